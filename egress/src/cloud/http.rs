//! One HTTP request to a cloud, on a connection of its own, with a deadline and a limit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::CloudError;
use crate::limits;

/// Sends it to `host:port`, by TLS if there is a configuration for that. The status and the body.
pub(super) async fn send(
    asked: &str,
    address: &str,
    tls: Option<&Arc<ClientConfig>>,
    request: Request<Full<Bytes>>,
    deadline: Duration,
) -> Result<(StatusCode, String), CloudError> {
    let failed = |why: String| CloudError::Unreachable {
        asked: asked.to_owned(),
        why,
    };
    let talk = async {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| failed(error.to_string()))?;
        let Some(tls) = tls else {
            return exchange(stream, request).await.map_err(&failed);
        };
        let name = address.rsplit_once(':').map_or(address, |(name, _)| name);
        let name = ServerName::try_from(name.to_owned());
        let name = name.map_err(|error| failed(error.to_string()))?;
        let stream = TlsConnector::from(Arc::clone(tls))
            .connect(name, stream)
            .await;
        let stream = stream.map_err(|error| failed(error.to_string()))?;
        exchange(stream, request).await.map_err(&failed)
    };
    let late = || failed(format!("nothing for {deadline:?}"));
    tokio::time::timeout(deadline, talk)
        .await
        .map_err(|_| late())?
}

/// The status and the body.
pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), String> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    // Ends with the exchange.
    tokio::spawn(connection);
    let response = sender.send_request(request).await;
    let response = response.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), limits::ANSWER_BYTES);
    let body = body.collect().await.map_err(|error| error.to_string())?;
    let text = String::from_utf8(body.to_bytes().to_vec()).map_err(|error| error.to_string())?;
    Ok((status, text))
}
