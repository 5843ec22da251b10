"""httpx over HTTP/1.1 and HTTP/2. A program that speaks HTTP/1.1 only is asked in that directly."""

import sys

import httpx

from transcript import fields, say, target, tls

http2 = sys.argv.pop() == "2"
host, port, authority = target()
context = tls()
BODY = bytes(range(256)) * 4096


def pieces():
    for start in range(0, len(BODY), 50_000):
        yield BODY[start : start + 50_000]


with httpx.Client(
    http1=not http2,
    http2=http2,
    base_url=f"{'https' if context else 'http'}://{host}:{port}",
    verify=context or True,
    event_hooks={"request": [lambda request: request.extensions.update(sni_hostname=authority)]},
    headers={"host": authority},
    timeout=20,
    trust_env=False,
) as client:
    for method, path in [
        ("GET", "/hello"),
        ("HEAD", "/hello"),
        ("GET", "/status/204"),
        ("GET", "/status/304"),
        ("GET", "/status/404"),
        ("GET", "/status/503"),
        ("PUT", "/fields?a=1&b=%2F%20&c=%C3%A9&&d"),
    ]:
        response = client.request(method, path, headers=[("x-many", "1"), ("x-many", "2")])
        assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        say(f"{method} {path}", response.status_code, fields(response.headers.multi_items()))
        say("body", response.content)

    say("sized upload", client.post("/digest", content=BODY).json())
    say("streamed upload", client.post("/digest", content=pieces()).json())
    echoed = client.post("/echo", content=pieces())
    assert echoed.content == BODY
    say("echo", echoed.content)

    with client.stream("GET", "/events") as response:
        lines = list(response.iter_lines())
    assert lines.count("") == 5, lines
    say("events", lines)

    run = f"httpx {http2}"
    with client.stream("GET", "/paced", params={"run": run}) as response:
        for number, event in enumerate(response.iter_raw()):
            say("event", event.decode())
            params = {"run": run, "number": number}
            client.post("/arrived", params=params).raise_for_status()
    assert number == 19

    with client.stream("GET", "/download") as response:
        say("download", b"".join(response.iter_raw()))
