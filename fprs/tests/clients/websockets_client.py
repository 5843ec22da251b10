"""The websockets library: messages, fragments, pings, extensions, subprotocols and closes."""

import asyncio

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from transcript import say, target

host, port, authority = target()
BINARY = bytes(range(256)) * 1024
KEPT = ("sec-websocket-protocol", "sec-websocket-extensions", "upgrade")


def opened(**options):
    return connect(
        f"ws://{authority}/",
        host=host,
        port=port,
        max_size=None,
        ping_interval=None,
        proxy=None,
        **options,
    )


async def talk(socket):
    response = socket.response
    say("opened", response.status_code, socket.subprotocol)
    say("fields", [(name.lower(), response.headers.get(name)) for name in KEPT])
    for message in ["text ☃", "", b"", b"\x00\xff", "x" * 65_535, "y" * 65_536, BINARY]:
        await socket.send(message)
        answer = await socket.recv()
        assert answer == message and type(answer) is type(message)
    await socket.send(["frag", "ment", "ed"])
    say("fragmented there", await socket.recv())
    await socket.send("fragments")
    say("fragmented back", [piece async for piece in socket.recv_streaming()])
    await (await socket.ping(b"still there"))
    say("pong")
    await socket.send("ping me")
    say("pinged", await socket.recv())
    # Many at once, in order.
    for number in range(500):
        await socket.send(str(number))
    assert [await socket.recv() for _ in range(500)] == [str(number) for number in range(500)]


async def main():
    async with opened(subprotocols=["other", "echo.v2"]) as socket:
        await talk(socket)
        assert "permessage-deflate" in socket.response.headers["sec-websocket-extensions"]
        await socket.send("close")
        try:
            await socket.recv()
        except ConnectionClosed as closed:
            say("closed by the program", closed.rcvd.code, closed.rcvd.reason, closed.rcvd_then_sent)
            assert closed.rcvd.code == 4001
    async with opened(compression=None, subprotocols=["echo.v2"]) as socket:
        await talk(socket)
        assert "sec-websocket-extensions" not in socket.response.headers
        await socket.close(4002, "leaving")
        say("closed by the client", socket.close_code, socket.close_reason)


asyncio.run(main())
