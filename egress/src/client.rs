//! Asks gateways over HTTPS. One connection a request: what asks is rare, and a gateway that died
//! leaves no half dead connection behind. Everything has a deadline and a limit.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::wire::Refusal;
use crate::{limits, tls};

/// A gateway, and who asks it.
#[derive(Clone)]
pub struct GatewayClient {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    /// What stands after `Bearer`.
    credential: String,
}

/// What came of asking.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The gateway said no.
    #[error("{address} refused ({status}): {}", refusal.error)]
    Refused {
        /// Which gateway.
        address: SocketAddr,
        /// Its status.
        status: StatusCode,
        /// Its reason.
        refusal: Refusal,
    },
    /// It is not who it should be.
    #[error("{0} shows a certificate that the configured authority did not sign for that address")]
    Untrusted(SocketAddr),
    /// It did not answer.
    #[error("{address} does not answer: {why}")]
    Unreachable {
        /// Which gateway.
        address: SocketAddr,
        /// Why.
        why: String,
    },
}

impl std::fmt::Debug for GatewayClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GatewayClient({})", self.address)
    }
}

impl GatewayClient {
    /// Asks the gateway at that address, with what stands after `Bearer`.
    pub fn new(address: SocketAddr, tls: Arc<ClientConfig>, credential: &str) -> Self {
        Self {
            address,
            tls,
            credential: credential.trim().to_owned(),
        }
    }

    /// Where the gateway is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Posts a value and reads one.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        value: &impl Serialize,
    ) -> Result<A, AskError> {
        let body = serde_json::to_vec(value).map_err(|error| self.unreachable(error))?;
        self.read(self.ask(Method::POST, path, body).await?)
    }

    /// Posts a value.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn tell(&self, path: &str, value: &impl Serialize) -> Result<(), AskError> {
        let body = serde_json::to_vec(value).map_err(|error| self.unreachable(error))?;
        self.ask(Method::POST, path, body).await.map(|_| ())
    }

    /// Reads a value.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, AskError> {
        self.read(self.ask(Method::GET, path, Vec::new()).await?)
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes, AskError> {
        let asked = tokio::time::timeout(limits::CONTROL, self.exchange(method, path, body));
        let late = || self.unreachable("no answer in time");
        let (status, body) = asked.await.map_err(|_| late())??;
        if status.is_success() {
            return Ok(body);
        }
        let refusal = serde_json::from_slice(&body).unwrap_or_else(|_| Refusal {
            error: String::from_utf8_lossy(&body).chars().take(200).collect(),
            free: None,
        });
        Err(AskError::Refused {
            address: self.address,
            status,
            refusal,
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), AskError> {
        let stream = TcpStream::connect(self.address).await;
        let stream = stream.map_err(|error| self.unreachable(error))?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await.map_err(|error| {
            if tls::untrusted(&error) {
                AskError::Untrusted(self.address)
            } else {
                self.unreachable(error)
            }
        })?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.unreachable(error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.credential))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.unreachable(error))?;
        let talk = async {
            let response = sender.send_request(request).await;
            let response = response.map_err(|error| self.unreachable(error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), limits::ANSWER_BYTES);
            let body = body
                .collect()
                .await
                .map_err(|error| self.unreachable(error))?;
            Ok((status, body.to_bytes()))
        };
        let mut connection = std::pin::pin!(connection);
        let mut talk = std::pin::pin!(talk);
        tokio::select! {
            biased;
            answer = &mut talk => return answer,
            // It ends before the answer was read when the gateway closes at once.
            _ = &mut connection => {}
        }
        talk.await
    }

    fn read<A: DeserializeOwned>(&self, body: Bytes) -> Result<A, AskError> {
        serde_json::from_slice(&body).map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, why: impl ToString) -> AskError {
        AskError::Unreachable {
            address: self.address,
            why: why.to_string(),
        }
    }
}
