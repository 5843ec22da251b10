"""A WebSocket echo program on the websockets library."""

import asyncio
import os

from websockets.asyncio.server import serve


async def echo(socket):
    async for message in socket:
        if message == "fragments":
            await socket.send(["one ", "two ", "three"])
        elif message == "ping me":
            await (await socket.ping(b"are you there"))
            await socket.send("you were")
        elif message == "close":
            await socket.close(4001, "as you wish ☃")
        else:
            await socket.send(message)


async def main():
    port = int(os.environ["PORT"])
    async with serve(
        echo, "127.0.0.1", port, subprotocols=["echo.v2"], max_size=None, ping_interval=None
    ) as server:
        await server.serve_forever()


asyncio.run(main())
