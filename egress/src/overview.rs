//! What all gateways of an egress say, for whoever wants to see all of it: they are asked at once, each by
//! itself, and one that does not answer is told as such.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use fprs_config::Snapshot;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::client::GatewayClient;
use crate::ownership::GatewayName;
use crate::reconciler::{ReconcilerError, ReconcilerSettings};
use crate::tls;
use crate::wire::{AddressStatus, GatewayStatus};

/// The gateways that a reconciler's settings name, or pools in the store.
#[derive(Clone, Debug)]
pub struct Overview {
    settings: PathBuf,
}

/// What one gateway says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GatewayReport {
    /// Its name.
    pub gateway: String,
    /// Where it was asked.
    pub control: SocketAddr,
    /// It is to own nothing.
    pub draining: bool,
    /// Why nothing is known of it.
    pub trouble: Option<String>,
    /// Its static IPs.
    pub static_ips: Vec<AddressReport>,
}

/// One static IP at one gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddressReport {
    /// Which.
    pub static_ip: Ipv4Addr,
    /// What leaves by it leaves here.
    pub owned: bool,
    /// Clients.
    pub peers: usize,
    /// Bytes from them.
    pub received: u64,
    /// Bytes to them.
    pub sent: u64,
}

impl From<AddressStatus> for AddressReport {
    fn from(status: AddressStatus) -> Self {
        Self {
            static_ip: status.static_ip,
            owned: status.epoch > 0,
            peers: status.peers.len(),
            received: status.peers.iter().map(|peer| peer.received).sum(),
            sent: status.peers.iter().map(|peer| peer.sent).sum(),
        }
    }
}

impl Overview {
    /// Of the reconciler with those settings.
    ///
    /// # Errors
    /// They are wrong, or name an authority that is none.
    pub fn of(settings: &Path) -> Result<Self, ReconcilerError> {
        tls::client(&ReconcilerSettings::read(settings)?.authority)?;
        Ok(Self {
            settings: settings.to_owned(),
        })
    }

    /// Asks all of them, by the settings as they are now and the pools of that snapshot.
    ///
    /// # Errors
    /// The settings are wrong by now.
    pub async fn look(&self, snapshot: &Snapshot) -> Result<Vec<GatewayReport>, ReconcilerError> {
        let settings = ReconcilerSettings::read(&self.settings)?;
        let tls = tls::client(&settings.authority)?;
        let secret = settings.admin_secret()?;
        let mut asked = JoinSet::new();
        for (name, Place { control, draining }) in gateways(&settings, snapshot) {
            let client = GatewayClient::new(control, tls.clone(), &secret);
            let mut report = GatewayReport {
                gateway: name.to_string(),
                control,
                draining,
                trouble: None,
                static_ips: Vec::new(),
            };
            asked.spawn(async move {
                match client.get::<GatewayStatus>("/v1/status").await {
                    Ok(status) => {
                        report.static_ips = status.static_ips.into_iter().map(Into::into).collect();
                    }
                    Err(error) => report.trouble = Some(error.to_string()),
                }
                report
            });
        }
        let mut reports = asked.join_all().await;
        reports.sort_by(|a, b| a.gateway.cmp(&b.gateway));
        Ok(reports)
    }
}

/// Where a gateway is asked.
struct Place {
    control: SocketAddr,
    draining: bool,
}

/// PURE. Each gateway once. One that is in several pools is to own nothing when it drains in all of them;
/// what the settings say of one wins.
fn gateways(settings: &ReconcilerSettings, snapshot: &Snapshot) -> BTreeMap<GatewayName, Place> {
    let mut gateways = BTreeMap::<GatewayName, Place>::new();
    for gateway in snapshot.egress_pools().flat_map(|pool| &pool.gateways) {
        let place = gateways.entry(gateway.name.as_str().into());
        let place = place.or_insert(Place {
            control: gateway.control,
            draining: true,
        });
        place.draining &= gateway.draining;
    }
    gateways.extend(settings.gateways().map(|(name, gateway)| {
        let place = Place {
            control: gateway.control,
            draining: gateway.draining,
        };
        (name.clone(), place)
    }));
    gateways
}
