//! TLS for clients that speak none: a port of this machine whose bytes go to the edge inside TLS, with
//! the version of HTTP that the client begins with.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Dropping it closes its connections.
#[derive(Debug)]
pub(crate) struct Tunnel {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// An edge, and the authority that its clients trust.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    edge: SocketAddr,
    roots: Arc<RootCertStore>,
}

impl Trust {
    pub(crate) fn new(edge: SocketAddr, ca: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(ca).unwrap())
            .unwrap();
        let roots = Arc::new(roots);
        Self { edge, roots }
    }

    /// A handshake for that host name, with those versions of HTTP offered.
    pub(crate) async fn connect(
        &self,
        name: &str,
        versions: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.edge).await?;
        stream.set_nodelay(true)?;
        self.over(stream, name, versions).await
    }

    /// The same on a connection that is there.
    pub(crate) async fn over(
        &self,
        stream: TcpStream,
        name: &str,
        versions: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let config = ClientConfig::builder().with_root_certificates(Arc::clone(&self.roots));
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = versions.iter().map(|version| version.to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// A port for clients without TLS.
    pub(crate) async fn tunnel(&self, name: &str) -> Tunnel {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trust, name) = (self.clone(), name.to_owned());
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (trust, name) = (trust.clone(), name.clone());
                connections.spawn(async move { trust.pass(stream, &name).await });
                while connections.try_join_next().is_some() {}
            }
        });
        Tunnel { address, accepting }
    }

    /// Carries one connection to its end. What breaks it, its client sees.
    async fn pass(&self, mut near: TcpStream, name: &str) -> std::io::Result<()> {
        near.set_nodelay(true)?;
        // Clients send more than this at once.
        let mut first = [0; 3];
        near.peek(&mut first).await?;
        let version: &[u8] = if &first == b"PRI" { b"h2" } else { b"http/1.1" };
        let mut far = self.connect(name, &[version]).await?;
        tokio::io::copy_bidirectional(&mut near, &mut far).await?;
        Ok(())
    }
}

impl Tunnel {
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
