"""A chat completion endpoint without a model: HTTP/1.1 on asyncio, standard library only."""

import asyncio
import itertools
import json
import os
import signal
import time
from urllib.parse import parse_qs, urlsplit

MODEL = "words-1"
WORDS = "Every token here is a word , sent on its own as soon as it is there . ".split()
DELAY_MS = float(os.environ.get("TOKEN_DELAY_MS", "50"))
MAX_BODY = 1 << 20


async def serve(reader, writer):
    """Answers one request after the other on a connection."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            request, *lines = head.decode("latin-1").rstrip().split("\r\n")
            method, target, _ = request.split(" ", 2)
            fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
            if fields.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await read_body(reader, fields)
            await answer(method, urlsplit(target), body, reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client is done with the connection
    finally:
        writer.close()


async def read_body(reader, fields):
    if "chunked" not in fields.get("transfer-encoding", ""):
        length = int(fields.get("content-length", 0))
        return await reader.readexactly(min(length, MAX_BODY))
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    while (await reader.readline()).strip():
        pass  # trailers
    return body


async def answer(method, url, body, reader, writer):
    match method, url.path:
        case "POST", "/v1/chat/completions":
            try:
                asked = json.loads(body)
            except ValueError:
                return send_json(writer, 400, {"error": {"message": "the body is not JSON"}})
            query = parse_qs(url.query)
            delay = float(query.get("delay_ms", [DELAY_MS])[0]) / 1000
            limit = asked.get("max_completion_tokens") or asked.get("max_tokens") or len(WORDS)
            words = itertools.islice(itertools.cycle(WORDS), int(limit))
            if asked.get("stream"):
                await stream(asked, words, delay, reader, writer)
            else:
                await complete(asked, words, delay, writer)
        case "GET", "/v1/models":
            model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "fprs"}
            send_json(writer, 200, {"object": "list", "data": [model]})
        case "GET", "/":
            send_json(writer, 200, {"try": "POST /v1/chat/completions", "pid": os.getpid()})
        case _:
            send_json(writer, 404, {"error": {"message": f"no {method} {url.path} here"}})


async def stream(asked, words, delay, reader, writer):
    """Tokens as server-sent events, until they end or the client goes."""

    def event(data):
        text = data if isinstance(data, str) else json.dumps(data)
        payload = f"data: {text}\n\n".encode()
        writer.write(b"%x\r\n%b\r\n" % (len(payload), payload))

    def chunk(delta, finish=None, **more):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**shell(asked, "chat.completion.chunk"), "choices": [choice], **more}

    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    # A client that waits for events sends nothing: what ends this read is its leaving.
    left = asyncio.ensure_future(reader.read(1))
    event(chunk({"role": "assistant", "content": ""}))
    sent = 0
    for word in words:
        await asyncio.wait([left], timeout=delay)
        if left.done():
            print(f"client left after {sent} tokens", flush=True)
            raise ConnectionResetError
        event(chunk({"content": word + " "}))
        await writer.drain()
        sent += 1
    event(chunk({}, "stop"))
    if (asked.get("stream_options") or {}).get("include_usage"):
        event({**chunk({}), "choices": [], "usage": usage(sent)})
    event("[DONE]")
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    left.cancel()
    await asyncio.wait([left])


async def complete(asked, words, delay, writer):
    words = list(words)
    await asyncio.sleep(delay * len(words))
    message = {"role": "assistant", "content": " ".join(words)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = {"choices": [choice], "usage": usage(len(words))}
    send_json(writer, 200, {**shell(asked, "chat.completion"), **whole})


def shell(asked, kind):
    identity = {"id": f"chatcmpl-{os.getpid()}", "object": kind, "created": int(time.time())}
    return {**identity, "model": asked.get("model", MODEL)}


def usage(tokens):
    return {"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens}


def send_json(writer, status, value):
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
    print(f"serving on port {os.environ['PORT']}", flush=True)
    try:
        await server.serve_forever()
    except asyncio.CancelledError:
        pass  # told to stop; fprs lets open streams end first


asyncio.run(main())
