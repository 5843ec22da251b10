"""A program that goes on with the trace it is told of, by OpenTelemetry's own SDK."""

import http.server
import os

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind

provider = TracerProvider(resource=Resource.create({"service.name": "program"}))
exporter = OTLPSpanExporter(endpoint=os.environ["COLLECTOR"], insecure=True)
provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("program")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        context = extract(dict(self.headers))
        with tracer.start_as_current_span("work", context=context, kind=SpanKind.SERVER):
            body = self.headers.get("traceparent", "").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
