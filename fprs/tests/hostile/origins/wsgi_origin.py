# Notes each whole request that gunicorn reads, one line of JSON in $RECORD, and answers its target.
import json
import os


def app(environ, start):
    body = environ["wsgi.input"].read()
    length = environ.get("CONTENT_LENGTH") or ""
    target = environ["RAW_URI"]
    # A body that was cut ends like one that wasn't.
    if not length or len(body) == int(length):
        seen = {
            "method": environ["REQUEST_METHOD"],
            "target": target,
            "host": environ.get("HTTP_HOST", ""),
            "body": body.decode("latin1"),
            "x-a": environ.get("HTTP_X_A", ""),
            "cookie": environ.get("HTTP_COOKIE", ""),
            "content-length": length,
            "transfer-encoding": environ.get("HTTP_TRANSFER_ENCODING", ""),
        }
        with open(os.environ["RECORD"], "a") as record:
            record.write(json.dumps(seen) + "\n")
    answer = target.encode("latin1")
    start("200 OK", [("content-length", str(len(answer)))])
    return [answer]
