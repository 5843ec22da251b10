"""What crosses a WebSocket's connection after its heads, byte by byte: for both of its ends."""

from transcript import digest


class Wire:
    """One direction: its bytes after the head."""

    def __init__(self):
        self.head, self.frames = b"", None

    def add(self, data):
        if self.frames is None:
            self.head += data
            self.head, end, rest = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            self.frames, data = b"", rest
        self.frames += data

    def __str__(self):
        return digest(self.frames or b"")


class Tapped:
    """A connection of the websockets library that keeps what comes and what goes."""

    def connection_made(self, transport):
        self.came, self.went = Wire(), Wire()
        data_to_send = self.protocol.data_to_send

        def tapped():
            pieces = data_to_send()
            for piece in pieces:
                self.went.add(piece)
            return pieces

        self.protocol.data_to_send = tapped
        super().connection_made(transport)

    def data_received(self, data):
        self.came.add(data)
        super().data_received(data)
