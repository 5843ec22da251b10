//! PURE. The rules of an agent: whatever leaves by a tunnel leaves with the agent's tunnel address
//! and a port of its range, by whichever of its tunnels, and nothing begins from outside.

use std::net::Ipv4Addr;

use super::{chain, quoted, replace};
use crate::plan::Ports;

/// The table that an agent owns.
pub const TABLE: &str = "ip fprs_egress_agent";

/// What one pool's tunnels have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentTunnels {
    /// Their devices.
    pub devices: Vec<String>,
    /// The tunnel address on all of them.
    pub address: Ipv4Addr,
    /// The ports on the static IP.
    pub ports: Ports,
}

/// The whole table.
pub fn text(pools: &[AgentTunnels]) -> String {
    let mut source = Vec::new();
    let mut inward = Vec::new();
    let mut sizes = Vec::new();
    for pool in pools {
        let devices: Vec<String> = pool.devices.iter().map(|d| quoted(d)).collect();
        let devices = devices.join(", ");
        let AgentTunnels { address, ports, .. } = pool;
        let Ports { first, last } = ports;
        // Not `masquerade`: that forgets its connections when the route changes device.
        source.push(format!(
            "oifname {{ {devices} }} meta l4proto {{ tcp, udp }} snat to {address}:{first}-{last}"
        ));
        source.push(format!("oifname {{ {devices} }} snat to {address}"));
        inward.push(format!(
            "iifname {{ {devices} }} ct state {{ new, invalid }} drop"
        ));
        sizes.push(format!(
            "oifname {{ {devices} }} tcp flags syn tcp option maxseg size set rt mtu"
        ));
    }
    let body = [
        // Before the host's own masquerading, which would take any address and port.
        chain(
            "source",
            "nat hook postrouting priority srcnat - 10",
            &source,
        ),
        chain("inward", "filter hook prerouting priority mangle", &inward),
        chain("sizes", "filter hook forward priority mangle", &sizes),
    ];
    replace(TABLE, &body.concat())
}
