# Notes each whole request that uvicorn reads, one line of JSON in $RECORD, and answers its target.
import json
import os


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    fields = {}
    for name, value in scope["headers"]:
        name, value = name.decode("latin1"), value.decode("latin1")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    query = scope["query_string"].decode("latin1")
    target = scope["raw_path"].decode("latin1") + ("?" + query if query else "")
    seen = {
        "method": scope["method"],
        "target": target,
        "body": body.decode("latin1"),
        **{
            name: fields.get(name, "")
            for name in ("host", "x-a", "cookie", "content-length", "transfer-encoding")
        },
    }
    with open(os.environ["RECORD"], "a") as record:
        record.write(json.dumps(seen) + "\n")
    answer = target.encode("latin1")
    length = str(len(answer)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": answer})
