"""What a client saw, as lines that are the same with and without a routing plane between."""

import hashlib
import os
import ssl
import sys

# Fields of one hop, or different each time.
OWN = ("connection", "date", "keep-alive", "transfer-encoding", "x-request-id")


def target():
    """Where to connect, and the authority to ask for."""
    address, authority = sys.argv[1:]
    host, port = address.rsplit(":", 1)
    return host, int(port), authority


def tls():
    """What trusts the authority of the edge behind that address; nothing: there is no edge, and no TLS."""
    authority = os.environ.get("CA")
    return ssl.create_default_context(cafile=authority) if authority else None


def say(what, *seen):
    print(what, *(digest(item) if isinstance(item, bytes) else repr(item) for item in seen))


def digest(data):
    return f"{len(data)} bytes {hashlib.sha256(data).hexdigest()}"


def fields(items):
    """A response's fields, the order of equal names kept."""
    lower = [(name.lower(), value) for name, value in items]
    return sorted((pair for pair in lower if pair[0] not in OWN), key=lambda pair: pair[0])
