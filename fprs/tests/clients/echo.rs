//! A tonic client of the gRPC program without generated code: messages are bytes as they are.

use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{IntoStreamingRequest, Request, Response, Status, Streaming};

/// The program's methods, on one connection.
#[derive(Clone, Debug)]
pub(crate) struct Echo {
    grpc: Grpc<Channel>,
}

/// Messages as they are.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Echo {
    /// Connects; what is asked for is `authority`.
    pub(crate) async fn connect(address: SocketAddr, authority: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let origin = format!("http://{authority}").parse().unwrap();
        let channel = endpoint.origin(origin).connect().await;
        Self {
            grpc: Grpc::new(channel.expect("somebody listens")),
        }
    }

    /// One message there, one back.
    pub(crate) async fn unary(
        &mut self,
        method: &str,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Status> {
        self.ready().await;
        self.grpc.unary(request, path(method), Raw).await
    }

    /// One message there, many back.
    pub(crate) async fn server_streaming(
        &mut self,
        method: &str,
        request: Request<Bytes>,
    ) -> Result<Response<Streaming<Bytes>>, Status> {
        self.ready().await;
        self.grpc.server_streaming(request, path(method), Raw).await
    }

    /// Many messages there, one back.
    pub(crate) async fn client_streaming(
        &mut self,
        method: &str,
        requests: impl IntoStreamingRequest<Message = Bytes>,
    ) -> Result<Response<Bytes>, Status> {
        self.ready().await;
        let requests = requests.into_streaming_request();
        self.grpc
            .client_streaming(requests, path(method), Raw)
            .await
    }

    /// Many messages both ways.
    pub(crate) async fn streaming(
        &mut self,
        method: &str,
        requests: impl IntoStreamingRequest<Message = Bytes>,
    ) -> Result<Response<Streaming<Bytes>>, Status> {
        self.ready().await;
        let requests = requests.into_streaming_request();
        self.grpc.streaming(requests, path(method), Raw).await
    }

    async fn ready(&mut self) {
        self.grpc.ready().await.expect("the connection is there");
    }
}

fn path(method: &str) -> PathAndQuery {
    format!("/test.Echo/{method}").parse().expect("a path")
}

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

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
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
