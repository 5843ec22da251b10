//! A Spanner that misbehaves: passes every call on to the emulator, message by message, and spoils
//! the reading of change streams as it is told, with what only production Spanner does.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::codegen::http;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::server::{NamedService, StreamingService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status, Streaming};

/// What is done to readings of change streams that begin from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamFault {
    /// Nothing bad.
    None,
    /// They are refused.
    Refused(Code),
    /// They end with that status after so many messages.
    Ended(Code, usize),
    /// No message carries a resume token.
    NoTokens,
}

/// A running fault server. Dropping it closes its port.
#[derive(Debug)]
pub(crate) struct FaultServer {
    address: SocketAddr,
    faults: Arc<Faults>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Faults {
    fault: Mutex<StreamFault>,
    /// Readings that a fault was done to.
    spoiled: AtomicUsize,
}

impl FaultServer {
    /// Stands before the Spanner at that address.
    pub(crate) async fn start(before: SocketAddr) -> Self {
        let upstream = Endpoint::from_shared(format!("http://{before}"))
            .expect("an address is one")
            .connect_lazy();
        let faults = Arc::new(Faults {
            fault: Mutex::new(StreamFault::None),
            spoiled: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let spanner = Spanner {
            upstream,
            faults: Arc::clone(&faults),
        };
        let serving = tokio::spawn(async move {
            Server::builder()
                .add_service(spanner)
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
                .expect("it serves until it is dropped");
        });
        Self {
            address,
            faults,
            serving,
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, fault: StreamFault) {
        *self.faults.fault.lock().expect("nobody panics with it") = fault;
    }

    /// Readings that a fault was done to so far.
    pub(crate) fn spoiled(&self) -> usize {
        self.faults.spoiled.load(Ordering::Relaxed)
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Clone)]
struct Spanner {
    upstream: Channel,
    faults: Arc<Faults>,
}

impl NamedService for Spanner {
    const NAME: &'static str = "google.spanner.v1.Spanner";
}

impl Service<http::Request<Body>> for Spanner {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path_and_query().cloned();
        let call = Call {
            path: path.expect("a call has a path"),
            spanner: self.clone(),
        };
        Box::pin(async move {
            let mut server = tonic::server::Grpc::new(Raw)
                .max_decoding_message_size(usize::MAX)
                .max_encoding_message_size(usize::MAX);
            Ok(server.streaming(call, request).await)
        })
    }
}

/// One call, on its way.
struct Call {
    path: PathAndQuery,
    spanner: Spanner,
}

impl StreamingService<Bytes> for Call {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let Spanner { upstream, faults } = self.spanner.clone();
        let path = self.path.clone();
        Box::pin(async move {
            let (metadata, extensions, mut messages) = request.into_parts();
            // Spanner's calls have one message each.
            let message = messages.message().await?.unwrap_or_default();
            let reads = message.windows(CHANGES.len()).any(|part| part == CHANGES);
            let fault = match *faults.fault.lock().expect("nobody panics with it") {
                fault if reads => fault,
                _ => StreamFault::None,
            };
            if fault != StreamFault::None {
                faults.spoiled.fetch_add(1, Ordering::Relaxed);
            }
            if let StreamFault::Refused(code) = fault {
                return Err(Status::new(code, "as the test wants it"));
            }
            let mut client = tonic::client::Grpc::new(upstream)
                .max_decoding_message_size(usize::MAX)
                .max_encoding_message_size(usize::MAX);
            let unavailable = |error| Status::unavailable(format!("the emulator: {error}"));
            client.ready().await.map_err(unavailable)?;
            let request = Request::from_parts(metadata, extensions, stream::iter([message]));
            let reply = client.streaming(request, path, Raw).await?;
            Ok(reply.map(|told| spoil(told, fault)))
        })
    }
}

/// What the text of a query on the stream has.
const CHANGES: &[u8] = b"READ_Changes";
/// `PartialResultSet.resume_token`: the tag of field 4 with a length.
const TOKEN_TAG: u8 = 4 << 3 | 2;

fn spoil(told: Streaming<Bytes>, fault: StreamFault) -> BoxStream<'static, Result<Bytes, Status>> {
    match fault {
        StreamFault::Ended(code, after) => told
            .take(after)
            .chain(stream::iter([Err(Status::new(
                code,
                "as the test wants it",
            ))]))
            .boxed(),
        StreamFault::NoTokens => told.map(|message| message.map(without_token)).boxed(),
        StreamFault::None | StreamFault::Refused(_) => told.boxed(),
    }
}

/// Fields of a message in order, but for the token; none of them is a group.
fn without_token(message: Bytes) -> Bytes {
    let mut kept = Vec::with_capacity(message.len());
    let mut rest = &message[..];
    while let Some(tag) = rest.first().copied() {
        let whole = rest;
        rest.advance(1);
        let size = match tag & 7 {
            0 => rest
                .iter()
                .position(|byte| byte & 0x80 == 0)
                .map_or(0, |last| last + 1),
            1 => 8,
            5 => 4,
            _ => {
                let size = prost::encoding::decode_varint(&mut rest).expect("a length");
                usize::try_from(size).expect("in memory")
            }
        };
        rest.advance(size);
        if tag != TOKEN_TAG {
            let field = whole.get(..whole.len() - rest.len());
            kept.extend_from_slice(field.expect("it is a part"));
        }
    }
    kept.into()
}

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
