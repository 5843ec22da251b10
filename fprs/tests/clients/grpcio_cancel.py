"""grpcio: cancels a call, and says when by the clock that the program notes by."""

import sys
import time

import grpc

from transcript import target

name = sys.argv.pop()
host, port, authority = target()
options = [("grpc.default_authority", authority)]
with grpc.insecure_channel(f"{host}:{port}", options=options) as channel:
    call = channel.unary_stream("/test.Echo/Hang")(name.encode(), timeout=20)
    next(call)
    now = time.time()
    call.cancel()
    # The channel stays, also on the wire: only the call ends.
    channel.unary_unary("/test.Echo/Unary")(b"after", timeout=20)
    channel.unary_unary("/test.Echo/Gone")(name.encode(), timeout=20)
    print(f"{now:.6f}")
