//! Asks gateways for a place. Both tunnels of a pool need the same tunnel address: what one gateway
//! gave is asked for at the other, and before there is any tunnel the two may settle on a third.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;

use crate::client::{AskError, GatewayClient};
use crate::key::PublicKey;
use crate::wire::{Connect, Connected};

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) identity: String,
    pub(super) secret_file: PathBuf,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) static_ip: Ipv4Addr,
    pub(super) key: PublicKey,
}

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The agent's own secret.
    #[error("can't read the secret in `{path}`: {error}", path = path.display())]
    Secret {
        path: PathBuf,
        error: std::io::Error,
    },
    /// The gateway.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// What it answered makes no sense.
    #[error("{0} gave another address than was asked for")]
    Other(SocketAddr),
}

impl ConnectError {
    /// The address that the gateway has free instead.
    pub(super) const fn free(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Ask(AskError::Refused { refusal, .. }) => refusal.free,
            _ => None,
        }
    }
}

impl Asker {
    /// Asks that gateway for a place, for that address if there is one to keep.
    pub(super) async fn ask(
        &self,
        gateway: SocketAddr,
        want: Option<Ipv4Addr>,
    ) -> Result<Connected, ConnectError> {
        // Read again each time: a secret that changed must not keep an agent out when it fails over.
        let secret = tokio::fs::read_to_string(&self.secret_file).await;
        let secret = secret.map_err(|error| ConnectError::Secret {
            path: self.secret_file.clone(),
            error,
        })?;
        // A token of the plane is written with its id.
        let (id, secret) = (format!("{}.", self.identity), secret.trim());
        let credential = format!("{id}{}", secret.strip_prefix(&id).unwrap_or(secret));
        let client = GatewayClient::new(gateway, Arc::clone(&self.tls), &credential);
        let asked = Connect {
            static_ip: self.static_ip,
            public_key: self.key,
            want,
        };
        let connected: Connected = client.post("/v1/connect", &asked).await?;
        if want.is_some_and(|want| want != connected.address) {
            return Err(ConnectError::Other(gateway));
        }
        Ok(connected)
    }
}
