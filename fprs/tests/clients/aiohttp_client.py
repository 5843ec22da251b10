"""aiohttp: streaming both ways, and a WebSocket."""

import asyncio

import aiohttp

from transcript import fields, say, target

host, port, authority = target()
BODY = bytes(range(256)) * 4096


async def pieces():
    for start in range(0, len(BODY), 50_000):
        yield BODY[start : start + 50_000]


async def main():
    async with aiohttp.ClientSession(
        f"http://{host}:{port}", headers={"Host": authority}, timeout=aiohttp.ClientTimeout(20)
    ) as session:
        async with session.get("/hello") as response:
            say("hello", response.status, fields(response.headers.items()), await response.read())
        async with session.post("/digest", data=pieces(), expect100=True) as response:
            say("upload after 100-continue", await response.json())
        async with session.post("/echo", data=pieces()) as response:
            echoed = b"".join([piece async for piece in response.content.iter_any()])
            assert echoed == BODY
            say("echo", echoed)
        async with session.get("/events") as response:
            say("events", [line async for line in response.content])
        await paced(session)
        await socket(session)


async def paced(session):
    """Each event is here before the next is sent."""
    async with session.get("/paced", params={"run": "aiohttp"}) as response:
        number = 0
        async for event in response.content.iter_any():
            say("event", event.decode())
            params = {"run": "aiohttp", "number": number}
            async with session.post("/arrived", params=params, raise_for_status=True):
                number += 1
    assert number == 20


async def socket(session):
    async with session.ws_connect("/socket", protocols=("other", "echo.v2"), compress=15) as ws:
        say("socket", ws.protocol, ws.compress)
        for message in ["text ☃", "", "x" * 200_000]:
            await ws.send_str(message)
            assert await ws.receive_str() == message
        await ws.send_bytes(BODY)
        assert await ws.receive_bytes() == BODY
        await ws.ping(b"are you there")
        await ws.send_str("bye")
        closed = await ws.receive()
        say("closed", closed.type.name, closed.data, closed.extra)
        assert closed.data == 4001


asyncio.run(main())
