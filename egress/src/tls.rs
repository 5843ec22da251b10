//! TLS between egress processes: a certificate that an operator's own authority signed, and nothing
//! else trusted. Accepting is bounded, so that whoever connects and says nothing costs little.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, rustls};

use crate::limits;

/// Certificates that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("can't use `{path}`: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: rustls::pki_types::pem::Error,
    },
    /// What is in it.
    #[error("can't use `{path}`: {error}", path = path.display())]
    Certificate {
        /// Where it is from.
        path: PathBuf,
        /// Why.
        error: rustls::Error,
    },
}

/// What a gateway shows.
///
/// # Errors
/// A file is missing, or is no certificate with its key.
pub fn server(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = read(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, error))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    config.map(Arc::new).map_err(|error| TlsError::Certificate {
        path: certificate.to_owned(),
        error,
    })
}

/// What an agent trusts: that authority, and no other.
///
/// # Errors
/// The file is missing, or holds no certificate.
pub fn client(authority: &Path) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read(authority)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Certificate {
                path: authority.to_owned(),
                error,
            })?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}

/// Serves until the process ends. `refused` counts connections that were no TLS in time.
pub(crate) async fn serve(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    router: Router,
    refused: impl Fn(&'static str) + Clone + Send + 'static,
) {
    let acceptor = TlsAcceptor::from(config);
    let room = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors: others have to end first.
                tracing::warn!(%error, "can't accept control connections");
                tokio::time::sleep(limits::CONNECT_RETRY).await;
                continue;
            }
        };
        let (acceptor, router, refused) = (acceptor.clone(), router.clone(), refused.clone());
        tokio::spawn(async move {
            if let Err(why) = connection(stream, &acceptor, router).await {
                refused(why);
            }
            drop(permit);
        });
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    router: Router,
) -> Result<(), &'static str> {
    let accepted = tokio::time::timeout(limits::HANDSHAKE, acceptor.accept(stream)).await;
    let stream = accepted.map_err(|_| "too_slow")?.map_err(|_| "refused")?;
    let service = TowerToHyperService::new(router);
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    served.map_err(|error| {
        if error.is_timeout() {
            "too_slow"
        } else {
            "broken"
        }
    })
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_file_iter(path).map_err(|error| file(path, error))?;
    all.collect::<Result<_, _>>()
        .map_err(|error| file(path, error))
}

fn file(path: &Path, error: rustls::pki_types::pem::Error) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        error,
    }
}

/// An I/O error of the kind that TLS gives for a certificate that isn't trusted.
pub(crate) fn untrusted(error: &io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}
