//! A collector that keeps what it is sent: OTLP over gRPC, from whoever speaks it, or over TLS from those
//! that it knows.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fprs_proto::otlp::any_value::Value;
use fprs_proto::otlp::trace_service_server::{TraceService, TraceServiceServer};
use fprs_proto::otlp::{
    ExportTraceServiceRequest, ExportTraceServiceResponse, KeyValue, Span as Told,
};
use fprs_testkit::until;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::SOON;

/// Dropping it leaves it running until the test ends.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    /// What `authorization` must be.
    wants: Option<&'static str>,
}

/// A span with the name of who sent it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) service: String,
    told: Told,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        Self::serve(Server::builder(), None).await
    }

    /// Behind TLS, with a certificate that `<dir>/ca.pem` signed, for those who know that word.
    pub(crate) async fn behind_tls(dir: &Path, wants: &'static str) -> Self {
        fprs_egress::certificate::make(dir, "sink", [127, 0, 0, 1].into()).unwrap();
        let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
        let identity = Identity::from_pem(read("sink.pem"), read("sink.key"));
        let tls = ServerTlsConfig::new().identity(identity);
        Self::serve(Server::builder().tls_config(tls).unwrap(), Some(wants)).await
    }

    async fn serve(mut server: Server, wants: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Self {
            address: listener.local_addr().unwrap(),
            spans: Arc::default(),
            wants,
        };
        let service = TraceServiceServer::new(sink.clone());
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(server.add_service(service).serve_with_incoming(incoming));
        sink
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.wants.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// The spans of a trace, once `enough` of them are there.
    pub(crate) async fn trace(&self, trace: &str, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        until("the spans of the trace", SOON, async || {
            let mut spans = self.spans();
            spans.retain(|span| span.trace() == trace);
            enough(&spans).then_some(spans)
        })
        .await
    }
}

impl Span {
    pub(crate) fn name(&self) -> &str {
        &self.told.name
    }

    pub(crate) fn trace(&self) -> String {
        hex(&self.told.trace_id)
    }

    pub(crate) fn id(&self) -> String {
        hex(&self.told.span_id)
    }

    /// Empty: it has none.
    pub(crate) fn parent(&self) -> String {
        hex(&self.told.parent_span_id)
    }

    pub(crate) fn state(&self) -> &str {
        &self.told.trace_state
    }

    pub(crate) const fn nanos(&self) -> (u64, u64) {
        (self.told.start_time_unix_nano, self.told.end_time_unix_nano)
    }

    /// Empty: it has none of that name.
    pub(crate) fn attribute(&self, key: &str) -> String {
        value(&self.told.attributes, key)
    }

    pub(crate) fn all(&self) -> String {
        format!("{:?}", self.told)
    }
}

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let given = request.metadata().get("authorization");
        if self
            .wants
            .is_some_and(|wants| given.is_none_or(|given| given != wants))
        {
            return Err(Status::unauthenticated("who are you"));
        }
        let mut spans = self.spans.lock().unwrap();
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = value(&attributes, "service.name");
            let told = resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            spans.extend(told.map(|told| Span {
                service: service.clone(),
                told,
            }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn value(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|found| found.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
