"""The HTTP/1.1 program behind curl, httpx, aiohttp and undici, on aiohttp."""

import asyncio
import hashlib
import os

from aiohttp import WSMsgType, web

# What a routing plane may add or change between a client and a program.
HOPS = ("connection", "forwarded", "keep-alive", "te", "transfer-encoding", "content-length")
ADDED = ("x-forwarded-", "x-request-id", "x-fprs-")


async def hello(request):
    response = web.Response(text="hello\n", headers={"x-program": "hello", "etag": '"1"'})
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return response


async def fields(request):
    """Says what arrived of the request's head."""
    seen = sorted(
        [name.lower(), value]
        for name, value in request.headers.items()
        if name.lower() not in HOPS and not name.lower().startswith(ADDED)
    )
    return web.json_response({"method": request.method, "target": request.path_qs, "fields": seen})


async def digest(request):
    seen, length = hashlib.sha256(), 0
    async for piece in request.content.iter_any():
        seen.update(piece)
        length += len(piece)
    return web.json_response({"length": length, "sha256": seen.hexdigest()})


async def echo(request):
    """Sends each piece back as soon as it is there."""
    response = web.StreamResponse(headers={"content-type": "application/octet-stream"})
    await response.prepare(request)
    async for piece in request.content.iter_any():
        await response.write(piece)
    await response.write_eof()
    return response


async def events(request):
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for number in range(5):
        await response.write(f"id: {number}\ndata: event {number} ☃\n\n".encode())
        await asyncio.sleep(0.02)
    await response.write_eof()
    return response


async def download(request):
    response = web.StreamResponse(headers={"content-type": "application/octet-stream"})
    await response.prepare(request)
    for number in range(64):
        await response.write(bytes([number]) * 16_384)
    await response.write_eof()
    return response


async def status(request):
    return web.Response(status=int(request.match_info["code"]))


async def socket(request):
    socket = web.WebSocketResponse(protocols=("echo.v2",), max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.TEXT and message.data == "bye":
            await socket.close(code=4001, message="said bye".encode())
        elif message.type == WSMsgType.TEXT:
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)
    return socket


app = web.Application(client_max_size=0)
app.router.add_get("/hello", hello)
app.router.add_route("*", "/fields", fields)
app.router.add_post("/digest", digest)
app.router.add_post("/echo", echo)
app.router.add_get("/events", events)
app.router.add_get("/download", download)
app.router.add_get("/status/{code}", status)
app.router.add_get("/socket", socket)
web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None)
