"""The websockets library: messages, fragments, pings, extensions, subprotocols and closes."""

import asyncio
import http.client
import socket as sockets

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from frames import Tapped
from transcript import say, target, tls

host, port, authority = target()
context = tls()
BINARY = bytes(range(256)) * 1024
KEPT = ("sec-websocket-protocol", "sec-websocket-extensions", "upgrade")
CODES = [(1000, ""), (1001, "going"), (1008, "x" * 123), (1011, "☃"), (3000, "lib"), (4999, "last")]


class Connection(Tapped, ClientConnection):
    pass


def opened(path, subprotocols=("echo.v2",), **options):
    return connect(
        f"{'wss' if context else 'ws'}://{authority}{path}",
        ssl=context,
        host=host,
        port=port,
        create_connection=Connection,
        subprotocols=subprotocols,
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


async def closed(socket):
    """Waits for the program to close, and says how it did."""
    try:
        await socket.recv()
    except ConnectionClosed as closed:
        how = closed.rcvd and (closed.rcvd.code, closed.rcvd.reason, closed.rcvd_then_sent)
        say("closed by the program", socket.close_code, how)


def carried(path, socket):
    """Every byte that one end sent is one that the other got."""
    if context:
        client = http.client.HTTPSConnection(authority, port, timeout=20, context=context)
        # Whatever this machine makes of such names.
        client._create_connection = lambda _, *more: sockets.create_connection((host, port), *more)
    else:
        client = http.client.HTTPConnection(host, port, timeout=20)
    client.request("GET", f"/frames{path}", headers={"Host": authority})
    came, went = client.getresponse().read().decode().splitlines()
    assert (came, went) == (str(socket.went), str(socket.came)), (came, went)
    # What comes is not masked: the same each time.
    say("frames", went)


async def main():
    async with opened("/deflate", subprotocols=["other", "echo.v2"]) as socket:
        await talk(socket)
        assert "permessage-deflate" in socket.response.headers["sec-websocket-extensions"]
        await socket.send("close 4001 as you wish ☃")
        await closed(socket)
        assert socket.close_code == 4001
    carried("/deflate", socket)
    async with opened("/plain", compression=None) as socket:
        await talk(socket)
        assert "sec-websocket-extensions" not in socket.response.headers
        await socket.close(4002, "leaving")
        say("closed by the client", socket.close_code, socket.close_reason)
    carried("/plain", socket)
    for code, reason in CODES:
        async with opened(f"/by-the-program/{code}") as socket:
            await socket.send(f"close {code} {reason}")
            await closed(socket)
        carried(f"/by-the-program/{code}", socket)
        async with opened(f"/by-the-client/{code}") as socket:
            await socket.close(code, reason)
            say("closed by the client", socket.close_code, socket.close_reason)
        carried(f"/by-the-client/{code}", socket)
    async with opened("/aborted") as socket:
        await socket.send("abort")
        await closed(socket)
        assert socket.close_code == 1006
    async with opened("/left") as socket:
        socket.transport.abort()


asyncio.run(main())
