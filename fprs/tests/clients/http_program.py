"""The HTTP/1.1 program behind curl, httpx, aiohttp, openai, undici and the browser, on aiohttp."""

import asyncio
import hashlib
import json
import os
import pathlib
from collections import defaultdict

from aiohttp import WSMsgType, web

from seen import note

# What a routing plane may add or change between a client and a program.
HOPS = ("connection", "forwarded", "keep-alive", "te", "transfer-encoding", "content-length")
ADDED = ("x-forwarded-", "x-request-id", "x-fprs-")
# Which paced events have arrived, by the run's name and the event's number.
ARRIVED = defaultdict(asyncio.Event)
# Longest wait for a client to say that an event has arrived, in seconds.
LOST = 10


@web.middleware
async def noted(request, handler):
    note("begun")
    try:
        return await handler(request)
    finally:
        note("ended")


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


async def paced(request):
    """Sends an event only once the client has said that the one before is there."""
    if request.path == "/paced":
        make = "id: {0}\r\nevent: tick\r\ndata: event {0} ☃\ndata: in two lines\n\n".format
    else:
        make = token
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for number in range(20):
        await response.write(make(number).encode())
        await arrived(request.query["run"], number)
    if make is token:
        await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def token(number):
    choice = {"index": 0, "delta": {"content": f"{number} "}, "finish_reason": None}
    shell = {"id": "one", "object": "chat.completion.chunk", "created": 1, "model": "paced"}
    return f"data: {json.dumps({**shell, 'choices': [choice]})}\n\n"


async def arrived(run, number):
    async with asyncio.timeout(LOST):
        await ARRIVED[run, number].wait()
    del ARRIVED[run, number]


async def say_arrived(request):
    ARRIVED[request.query["run"], int(request.query["number"])].set()
    return web.json_response({})


async def resumed(request):
    """Ends after its first event, and goes on where the client says it was."""
    last = request.headers.get("last-event-id")
    if last is None:
        text = "retry: 10\nid: a7\ndata: first\n\n"
    else:
        text = f"event: done\ndata: after {last}\n\n"
    return web.Response(text=text, content_type="text/event-stream")


async def page(request):
    return web.FileResponse(pathlib.Path(__file__).with_name("page.html"))


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


app = web.Application(client_max_size=0, middlewares=[noted])
app.router.add_get("/hello", hello)
app.router.add_route("*", "/fields", fields)
app.router.add_post("/digest", digest)
app.router.add_post("/echo", echo)
app.router.add_get("/events", events)
app.router.add_get("/paced", paced)
app.router.add_post("/v1/chat/completions", paced)
app.router.add_post("/arrived", say_arrived)
app.router.add_get("/resumed", resumed)
app.router.add_get("/page", page)
app.router.add_get("/download", download)
app.router.add_get("/status/{code}", status)
app.router.add_get("/socket", socket)
web.run_app(
    app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None, handler_cancellation=True
)
