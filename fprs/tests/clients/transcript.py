"""What a client saw, as lines that are the same with and without a routing plane between."""

import hashlib
import sys

# Fields of one hop, or different each time.
OWN = ("connection", "date", "keep-alive", "transfer-encoding")


def target():
    """Where to connect, and the authority to ask for."""
    address, authority = sys.argv[1:]
    host, port = address.rsplit(":", 1)
    return host, int(port), authority


def say(what, *seen):
    print(what, *(digest(item) if isinstance(item, bytes) else repr(item) for item in seen))


def digest(data):
    return f"{len(data)} bytes {hashlib.sha256(data).hexdigest()}"


def fields(items):
    """A response's fields, the order of equal names kept."""
    lower = [(name.lower(), value) for name, value in items]
    return sorted((pair for pair in lower if pair[0] not in OWN), key=lambda pair: pair[0])
