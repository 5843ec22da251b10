"""aioquic: requests over HTTP/3, as lines of what came back."""

import asyncio
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration

address, authority, ca = sys.argv[1:]
host, port = address.rsplit(":", 1)
BODY = bytes(range(256)) * 1024


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.answers = {}

    async def ask(self, method, path, body=b""):
        stream = self._quic.get_next_available_stream_id()
        ended = asyncio.get_running_loop().create_future()
        self.answers[stream] = {}, bytearray(), ended
        head = {":method": method, ":scheme": "https", ":authority": authority, ":path": path}
        fields = [(name.encode(), value.encode()) for name, value in head.items()]
        self.http.send_headers(stream, fields, end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        return await asyncio.wait_for(ended, 20)

    def quic_event_received(self, event):
        for event in self.http.handle_event(event):
            head, body, ended = self.answers[event.stream_id]
            if isinstance(event, HeadersReceived):
                head.update((name.decode(), value.decode()) for name, value in event.headers)
            elif isinstance(event, DataReceived):
                body.extend(event.data)
            if event.stream_ended:
                ended.set_result((head, bytes(body)))


async def main():
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=authority)
    configuration.load_verify_locations(cafile=ca)
    configuration.verify_mode = ssl.CERT_REQUIRED
    async with connect(host, int(port), configuration=configuration, create_protocol=Client) as client:
        head, body = await client.ask("GET", "/")
        print(head[":status"], body.decode())
        head, body = await client.ask("POST", "/echo", BODY)
        assert body == BODY, len(body)
        print(head[":status"], len(body))
        answers = await asyncio.gather(*(client.ask("GET", f"/bytes/{size}") for size in range(20)))
        print([len(body) for _, body in answers])


asyncio.run(main())
