"""A WebSocket echo program on the websockets library, which says what it saw on the wire."""

import asyncio
import os
from collections import defaultdict

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from frames import Tapped
from seen import note

# What each socket's connection carried, by the path it was opened with.
CARRIED = defaultdict(lambda: asyncio.get_running_loop().create_future())


class Connection(Tapped, ServerConnection):
    def connection_lost(self, exc):
        super().connection_lost(exc)
        if self.request is None:
            return  # somebody looked whether the port accepts
        note("ended")
        if not self.request.path.startswith("/frames/"):
            CARRIED[self.request.path].set_result(f"{self.came}\n{self.went}\n")


async def begun(connection, request):
    note("begun")
    if request.path.startswith("/frames/"):
        path = request.path.removeprefix("/frames")
        carried = await asyncio.wait_for(CARRIED[path], 10)
        del CARRIED[path]
        return connection.respond(200, carried)


async def echo(socket):
    try:
        await answer(socket)
    except ConnectionClosed:
        pass  # with a code of its own


async def answer(socket):
    async for message in socket:
        if message == "fragments":
            await socket.send(["one ", "two ", "three"])
        elif message == "ping me":
            await (await socket.ping(b"are you there"))
            await socket.send("you were")
        elif message == "abort":
            socket.transport.abort()
        elif isinstance(message, str) and message.startswith("close "):
            _, code, reason = message.split(" ", 2)
            await socket.close(int(code), reason)
        else:
            await socket.send(message)


async def main():
    async with serve(
        echo,
        "127.0.0.1",
        int(os.environ["PORT"]),
        create_connection=Connection,
        process_request=begun,
        subprotocols=["echo.v2"],
        max_size=None,
        ping_interval=None,
    ) as server:
        await server.serve_forever()


asyncio.run(main())
