//! PURE. An egress pool: static addresses, the gateways that can hold them, and what moves an address
//! from one to another. No two addresses and no two gateways of a pool are the same.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use fprs_proto::record as wire;

use super::check::{self, Invalid};
use crate::limits;

/// What moves an address from one gateway to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EgressProvider {
    /// Gratuitous ARP on a link that all gateways share.
    Link,
    /// The address API of AWS.
    Aws,
}

/// What happens to new connections while an address moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EgressPolicy {
    /// They wait for it.
    Strict,
    /// They leave by another address of the pool.
    PreferAvailable,
}

/// A gateway that can hold a pool's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressGateway {
    /// A DNS label; the same gateway in two pools has one name.
    pub name: String,
    /// Its own address, where tunnels end and looks are answered.
    pub node: Ipv4Addr,
    /// Where its control listens.
    pub control: SocketAddr,
    /// It is to own nothing.
    pub draining: bool,
}

/// A set of static addresses and the gateways that hold them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressPool {
    /// A DNS label.
    pub name: String,
    /// At least one.
    pub static_ips: Vec<Ipv4Addr>,
    /// At least one, in the order of preference.
    pub gateways: Vec<EgressGateway>,
    /// What moves addresses.
    pub provider: EgressProvider,
    /// What new connections do meanwhile.
    pub policy: EgressPolicy,
    /// Megabits a second of each address, each way; `None`: no limit.
    pub megabits: Option<u32>,
    /// Whose servers may use it; empty: everybody's.
    pub tenant: String,
}

impl EgressProvider {
    /// The provider as users write it: `link` or `aws`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Link, Self::Aws]
            .into_iter()
            .find(|provider| provider.text() == text)
    }

    /// The reverse of [`parse`](Self::parse).
    pub const fn text(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Aws => "aws",
        }
    }
}

impl EgressPolicy {
    /// The policy as users write it: `strict` or `prefer-available`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Strict, Self::PreferAvailable]
            .into_iter()
            .find(|policy| policy.text() == text)
    }

    /// The reverse of [`parse`](Self::parse).
    pub const fn text(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::PreferAvailable => "prefer-available",
        }
    }
}

impl EgressPool {
    /// Whether servers of that tenant may use it.
    pub fn serves(&self, tenant: &str) -> bool {
        self.tenant.is_empty() || self.tenant == tenant
    }

    pub(super) fn check(&self) -> Result<(), Invalid> {
        check::label("name", &self.name)?;
        check::optional_label("tenant", &self.tenant)?;
        count(
            "static_ips",
            self.static_ips.len(),
            limits::EGRESS_POOL_ADDRESSES,
        )?;
        count(
            "gateways",
            self.gateways.len(),
            limits::EGRESS_POOL_GATEWAYS,
        )?;
        let mut addresses = BTreeSet::new();
        for ip in &self.static_ips {
            usable("static_ips", *ip)?;
            if !addresses.insert(ip) {
                return Err(Invalid::new("static_ips", format!("has {ip} twice")));
            }
        }
        let mut names = BTreeSet::new();
        for gateway in &self.gateways {
            check::label("gateways", &gateway.name)?;
            usable("gateways", gateway.node)?;
            let own = names.insert(gateway.name.as_str());
            if !own || !addresses.insert(&gateway.node) {
                let name = &gateway.name;
                return Err(Invalid::new(
                    "gateways",
                    format!("has `{name}` or its address {} twice", gateway.node),
                ));
            }
        }
        let most = limits::EGRESS_MEGABITS;
        if let Some(rate) = self.megabits
            && !(1..=most).contains(&rate)
        {
            return Err(Invalid::new(
                "megabits",
                format!("is {rate}: must be 1 to {most}, or left out for no limit"),
            ));
        }
        Ok(())
    }

    pub(super) fn try_from_wire(wire: wire::EgressPool) -> Result<Self, String> {
        let provider = match wire.provider() {
            wire::EgressProvider::Unspecified => return Err(unknown("provider", wire.provider)),
            wire::EgressProvider::Link => EgressProvider::Link,
            wire::EgressProvider::Aws => EgressProvider::Aws,
        };
        let policy = match wire.policy() {
            wire::EgressPolicy::Unspecified => return Err(unknown("policy", wire.policy)),
            wire::EgressPolicy::Strict => EgressPolicy::Strict,
            wire::EgressPolicy::PreferAvailable => EgressPolicy::PreferAvailable,
        };
        let static_ips = wire
            .static_ips
            .iter()
            .map(|text| address("static_ips", text));
        let gateways = wire.gateways.into_iter().map(gateway);
        let pool = Self {
            static_ips: static_ips.collect::<Result<_, _>>()?,
            gateways: gateways.collect::<Result<_, _>>()?,
            name: wire.name,
            provider,
            policy,
            megabits: (wire.megabits > 0).then_some(wire.megabits),
            tenant: wire.tenant,
        };
        pool.check()?;
        Ok(pool)
    }

    pub(super) fn to_wire(&self) -> wire::EgressPool {
        let provider = match self.provider {
            EgressProvider::Link => wire::EgressProvider::Link,
            EgressProvider::Aws => wire::EgressProvider::Aws,
        };
        let policy = match self.policy {
            EgressPolicy::Strict => wire::EgressPolicy::Strict,
            EgressPolicy::PreferAvailable => wire::EgressPolicy::PreferAvailable,
        };
        let gateways = self.gateways.iter().map(|gateway| wire::EgressGateway {
            name: gateway.name.clone(),
            node: gateway.node.to_string(),
            control: gateway.control.to_string(),
            draining: gateway.draining,
        });
        wire::EgressPool {
            name: self.name.clone(),
            static_ips: self.static_ips.iter().map(ToString::to_string).collect(),
            gateways: gateways.collect(),
            provider: provider.into(),
            policy: policy.into(),
            megabits: self.megabits.unwrap_or_default(),
            tenant: self.tenant.clone(),
        }
    }
}

fn gateway(wire: wire::EgressGateway) -> Result<EgressGateway, String> {
    Ok(EgressGateway {
        node: address("gateways", &wire.node)?,
        control: wire.control.parse().map_err(|_| {
            format!(
                "`gateways` has a control that is not ip:port: `{}`",
                wire.control
            )
        })?,
        name: wire.name,
        draining: wire.draining,
    })
}

fn address(field: &str, text: &str) -> Result<Ipv4Addr, String> {
    text.parse()
        .map_err(|_| format!("`{field}` has what is not an IPv4 address: `{text}`"))
}

/// An address that remotes can answer to.
fn usable(field: &'static str, ip: Ipv4Addr) -> Result<(), Invalid> {
    let nobodys = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast();
    if nobodys || ip.is_link_local() {
        let reason = format!("has {ip}, which no packet can come back to");
        return Err(Invalid::new(field, reason));
    }
    Ok(())
}

fn count(field: &'static str, count: usize, most: usize) -> Result<(), Invalid> {
    if count == 0 || count > most {
        return Err(Invalid::new(
            field,
            format!("has {count}: must be 1 to {most}"),
        ));
    }
    Ok(())
}

fn unknown(field: &str, value: i32) -> String {
    format!("`{field}` has no value this build knows: {value}")
}
