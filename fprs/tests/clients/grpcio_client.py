"""grpcio: every kind of call, errors with trailers, metadata, deadlines."""

import os
import queue
import threading
import time

import grpc

from transcript import say, target

host, port, authority = target()
SERVICE = "/test.Echo/"
# The library's own trailers and what differs from run to run.
OWN = ("date", "server", "user-agent")


def metadata(pairs):
    return sorted(
        (key, value)
        for key, value in pairs or ()
        if key not in OWN and not key.startswith("x-request-id")
    )


def failed(call):
    """Ends a call that must fail, and says how."""
    try:
        got = call()
    except grpc.RpcError as error:
        return error.code().name, error.details(), metadata(error.trailing_metadata())
    raise AssertionError(f"no error but {got!r}")


def unary(channel):
    call = channel.unary_unary(SERVICE + "Unary")
    for request in [b"", b"hello", bytes(range(256)) * 8192]:
        sent = (("x-sent", "one"), ("x-sent-bin", b"\x00\x01\xff"))
        answer, done = call.with_call(request, metadata=sent, timeout=20)
        assert answer == request
        say("unary", answer, metadata(done.initial_metadata()), metadata(done.trailing_metadata()))
        say("status", done.code().name, done.details())


def streams(channel):
    counted = list(channel.unary_stream(SERVICE + "Count")(b"1000", timeout=20))
    assert len(counted) == 1000
    say("server streaming", b"".join(counted))
    pieces = (b"x" * size for size in range(2000))
    say("client streaming", channel.stream_unary(SERVICE + "Total")(pieces, timeout=20))
    # Each message waits for the answer to the one before.
    messages = queue.SimpleQueue()
    messages.put(b"0")
    answers = channel.stream_stream(SERVICE + "Echo")(iter(messages.get, None), timeout=20)
    for number in range(300):
        assert next(answers) == str(number).encode()
        messages.put(str(number + 1).encode() if number < 299 else None)
    say("bidi", list(answers), answers.code().name)
    # All at once, both ways.
    many = [str(number).encode() * 50 for number in range(2000)]
    assert list(channel.stream_stream(SERVICE + "Echo")(iter(many), timeout=20)) == many


def errors(channel):
    why = "why ☃".encode()
    say("error", failed(lambda: channel.unary_unary(SERVICE + "Fail")(why, timeout=20)))
    late = channel.unary_stream(SERVICE + "FailLate")(b"", timeout=20)
    say("before", [next(late) for _ in range(3)])
    say("late error", failed(lambda: next(late)))
    say("no method", failed(lambda: channel.unary_unary(SERVICE + "Nothing")(b"", timeout=20)))


def deadline(channel):
    call = channel.unary_stream(SERVICE + "Hang")(b"", timeout=0.5)
    next(call)
    started = time.monotonic()
    code, _, _ = failed(lambda: next(call))
    assert 0.2 < time.monotonic() - started < 2
    say("deadline", code)


def at_once(channel):
    """Calls of many threads share the channel's one connection."""
    call, wrong = channel.unary_unary(SERVICE + "Unary"), []

    def ask(name):
        for number in range(20):
            request = f"{name} {number}".encode() * 1000
            if call(request, timeout=20) != request:
                wrong.append(request)

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    say("at once", len(threads))


def channel():
    """With TLS where there is an edge."""
    address, options = f"{host}:{port}", [("grpc.default_authority", authority)]
    if "CA" not in os.environ:
        return grpc.insecure_channel(address, options=options)
    with open(os.environ["CA"], "rb") as ca:
        credentials = grpc.ssl_channel_credentials(ca.read())
    options.append(("grpc.ssl_target_name_override", authority))
    return grpc.secure_channel(address, credentials, options=options)


with channel() as channel:
    unary(channel)
    streams(channel)
    errors(channel)
    deadline(channel)
    at_once(channel)
