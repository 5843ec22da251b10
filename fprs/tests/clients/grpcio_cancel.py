"""grpcio: cancels a call, and says when by the clock that the program notes by."""

import time

import grpc

from transcript import target

host, port, authority = target()
options = [("grpc.default_authority", authority)]
with grpc.insecure_channel(f"{host}:{port}", options=options) as channel:
    call = channel.unary_stream("/test.Echo/Hang")(b"", timeout=20)
    next(call)
    now = time.time()
    call.cancel()
    print(f"{now:.6f}")
    # The channel stays: only the call ends.
    channel.unary_unary("/test.Echo/Unary")(b"after", timeout=20)
    time.sleep(0.3)
