"""A gRPC program on grpcio, without generated code: messages are bytes as they are."""

import os
import queue
import threading
from collections import defaultdict
from concurrent import futures

import grpc

from seen import note


# Whether the caller of `Hang` with that name has gone.
GONE = defaultdict(threading.Event)


class Noted(grpc.ServerInterceptor):
    """Notes the calls of methods that are not there; the others note themselves."""

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        if handler is None:
            note("begun")
            note("ended")
        return handler


def noted(behaviour):
    """The same method, which notes the beginning and the end of each call."""

    def noting(request, context):
        note("begun")
        if not context.add_callback(lambda: note("ended")):
            note("ended")
        return behaviour(request, context)

    return noting


def unary(request, context):
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-initial", "α".encode().hex()), ("x-data-bin", b"\x00\xff")))
    # What is left of the caller's deadline, in tens of seconds.
    left = context.time_remaining()
    context.set_trailing_metadata(
        (
            ("x-trailing", sent.get("x-sent", "none")),
            ("x-back-bin", sent.get("x-sent-bin", b"")),
            ("x-deadline", "none" if left is None else str(round(left, -1))),
        )
    )
    return request


def fail(request, context):
    context.set_trailing_metadata((("x-detail-bin", b"\x01\x02\x03"), ("x-detail", "more")))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"no: {request.decode()} ☃ 100%")


def fail_late(request, context):
    for number in range(3):
        yield f"{number}".encode()
    context.set_trailing_metadata((("x-detail", "late"),))
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "three is enough")


def count(request, context):
    for number in range(int(request)):
        yield f"{number} ".encode() * 100


def total(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def echo(requests, context):
    yield from requests


def hang(request, context):
    """Runs until its caller is gone, and notes when, under the name it was given."""
    ended = threading.Event()
    name = request.decode() or "nobody"

    def end():
        note(f"gone-{name}")
        ended.set()
        GONE[name].set()

    context.add_callback(end)
    yield b"hanging"
    ended.wait()


def gone(request, context):
    """Answers once the caller of `Hang` with that name is gone."""
    if not GONE[request.decode()].wait(10):
        context.abort(grpc.StatusCode.ABORTED, "it is still there")
    return b""


def ping_pong(requests, context):
    """Answers every ping, and sends as many of its own, whose answers it checks."""
    first = next(requests)
    count, size = map(int, first.split())
    padding = b"." * size
    answers = queue.SimpleQueue()

    def read():
        pinged = ponged = 0
        for message in requests:
            kind, number, _ = message.split(b" ", 2)
            if kind == b"ping":
                assert int(number) == pinged, (number, pinged)
                pinged += 1
                answers.put(b"pong %d %b" % (int(number), padding))
            else:
                assert (kind, int(number)) == (b"pong", ponged), (message[:20], ponged)
                ponged += 1
        answers.put(b"saw %d %d" % (pinged, ponged))
        answers.put(None)

    threading.Thread(target=read).start()
    sent = 0
    while True:
        if sent < count:
            yield b"ping %d %b" % (sent, padding)
            sent += 1
        try:
            answer = answers.get(block=sent == count)
        except queue.Empty:
            continue
        if answer is None:
            return
        yield answer


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(noted(unary)),
    "Fail": grpc.unary_unary_rpc_method_handler(noted(fail)),
    "FailLate": grpc.unary_stream_rpc_method_handler(noted(fail_late)),
    "Count": grpc.unary_stream_rpc_method_handler(noted(count)),
    "Total": grpc.stream_unary_rpc_method_handler(noted(total)),
    "Echo": grpc.stream_stream_rpc_method_handler(noted(echo)),
    "Hang": grpc.unary_stream_rpc_method_handler(noted(hang)),
    "Gone": grpc.unary_unary_rpc_method_handler(noted(gone)),
    "PingPong": grpc.stream_stream_rpc_method_handler(noted(ping_pong)),
}

server = grpc.server(
    futures.ThreadPoolExecutor(16), interceptors=[Noted()], options=[("grpc.so_reuseport", 0)]
)
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", METHODS)])
server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
server.start()
server.wait_for_termination()
