"""A gRPC program on grpcio, without generated code: messages are bytes as they are."""

import os
import time
from concurrent import futures

import grpc

LOG = os.environ.get("SEEN")


def note(line):
    """Leaves word, with the time, for a test that asks what the program saw."""
    if LOG:
        with open(LOG, "a", encoding="utf-8") as file:
            file.write(f"{line} {time.time():.6f}\n")


def unary(request, context):
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-initial", "α".encode().hex()), ("x-data-bin", b"\x00\xff")))
    context.set_trailing_metadata(
        (("x-trailing", sent.get("x-sent", "none")), ("x-back-bin", sent.get("x-sent-bin", b"")))
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
    """Runs until its caller is gone, and notes when."""
    context.add_callback(lambda: note("ended"))
    yield b"hanging"
    while context.is_active():
        time.sleep(0.002)


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Total": grpc.stream_unary_rpc_method_handler(total),
    "Echo": grpc.stream_stream_rpc_method_handler(echo),
    "Hang": grpc.unary_stream_rpc_method_handler(hang),
}

server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", METHODS)])
server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
server.start()
server.wait_for_termination()
