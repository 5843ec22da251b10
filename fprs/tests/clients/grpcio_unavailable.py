"""grpcio: what a call to a server without replica, and to a host nobody has, ends with."""

import grpc

from transcript import target

host, port, authority = target()
for name in (authority, "nobody.region.localhost"):
    options = [("grpc.default_authority", name)]
    with grpc.insecure_channel(f"{host}:{port}", options=options) as channel:
        try:
            channel.unary_unary("/test.Echo/Unary")(b"", timeout=5)
        except grpc.RpcError as error:
            trailers = dict(error.trailing_metadata())
            print(error.code().name, trailers.get("x-fprs-reason"))
