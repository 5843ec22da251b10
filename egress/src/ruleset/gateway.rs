//! PURE. The rules of a gateway: a client leaves by its static IP and its own ports, and reaches
//! nothing but the internet. They follow from the settings alone, so that they stand before the first
//! client comes, and a restarted or another gateway goes on with connections it never saw begin.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{chain, quoted, replace, set};
use crate::plan::{Block, Place, Ports};
use crate::{limits, shaping};

/// The table that a gateway owns.
pub const TABLE: &str = "ip fprs_egress_gateway";

/// What clients never reach, whatever the settings say: metadata services and everything else that
/// is only meant for this link or this host.
const NEVER: &[&str] = &[
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// What a gateway's rules are made of.
#[derive(Clone, Debug)]
pub struct GatewayRules {
    /// The static IPs it may have to answer for.
    pub addresses: Vec<RuledAddress>,
    /// What else clients must not reach.
    pub deny: Vec<Ipv4Net>,
}

/// One static IP.
#[derive(Clone, Debug)]
pub struct RuledAddress {
    /// The static IP.
    pub ip: Ipv4Addr,
    /// Its clients' tunnel addresses.
    pub block: Block,
    /// The device that its clients come by.
    pub device: String,
    /// The UDP port of its tunnel.
    pub port: u16,
    /// The class of the uplink's queue that its clients' packets are of, where they are shaped.
    pub class: Option<u16>,
}

impl GatewayRules {
    /// The whole table.
    pub fn text(&self) -> String {
        let body = [
            self.sets(),
            self.untracked(),
            mid_stream(),
            input(),
            forward(),
            self.classes(),
            source(),
        ];
        replace(TABLE, &body.concat())
    }

    fn sets(&self) -> String {
        let all = || self.addresses.iter();
        let places = || all().flat_map(|a| Place::all().map(move |place| (a, place)));
        let sources = places().map(|(a, place)| {
            let Ports { first, last } = place.ports();
            format!("{} : {} . {first}-{last}", a.block.client(place), a.ip)
        });
        let clients = places().map(|(a, place)| {
            let Ports { first, last } = place.ports();
            format!("{} . {first}-{last} : {}", a.ip, a.block.client(place))
        });
        let blocks = all().map(|a| format!("{} : {}", a.block.net(), a.ip));
        let denied = NEVER.iter().map(ToString::to_string);
        let denied = denied.chain(self.deny.iter().map(ToString::to_string));
        [
            set(
                "set",
                "tunnels",
                "type ifname",
                all().map(|a| quoted(&a.device)),
            ),
            set("set", "static_ips", "type ipv4_addr", all().map(|a| a.ip)),
            set(
                "set",
                "blocks",
                "type ipv4_addr; flags interval",
                all().map(|a| a.block.net()),
            ),
            set(
                "set",
                "denied",
                "type ipv4_addr; flags interval; auto-merge",
                denied,
            ),
            set(
                "map",
                "by_block",
                "type ipv4_addr : ipv4_addr; flags interval",
                blocks,
            ),
            set(
                "map",
                "sources",
                "type ipv4_addr : interval ipv4_addr . inet_service; flags interval",
                sources,
            ),
            set(
                "map",
                "clients",
                "type ipv4_addr . inet_service : ipv4_addr; flags interval",
                clients,
            ),
        ]
        .concat()
    }

    /// Tunnels' own packets need no connection tracking: one flow would hold thousands of clients'.
    fn untracked(&self) -> String {
        let ports: Vec<String> = self.addresses.iter().map(|a| a.port.to_string()).collect();
        if ports.is_empty() {
            return String::new();
        }
        let ports = ports.join(", ");
        let inward = format!("udp dport {{ {ports} }} notrack");
        let outward = format!("udp sport {{ {ports} }} notrack");
        [
            chain(
                "untracked_in",
                "filter hook prerouting priority raw",
                &[inward],
            ),
            chain(
                "untracked_out",
                "filter hook output priority raw",
                &[outward],
            ),
        ]
        .concat()
    }
}

impl GatewayRules {
    /// The kernel forgets a packet's priority when it forwards it: this is after.
    fn classes(&self) -> String {
        let shaped = self.addresses.iter().filter_map(|address| {
            let class = address.class?;
            let (device, queue) = (quoted(&address.device), shaping::QUEUE);
            Some(format!(
                "iifname {device} meta priority set {queue:x}:{class:x}"
            ))
        });
        let rules: Vec<String> = shaped.collect();
        if rules.is_empty() {
            return String::new();
        }
        chain(
            "classes",
            "filter hook forward priority filter + 10",
            &rules,
        )
    }
}

/// A segment of a connection that another gateway began goes to the client whose port it is for. One
/// that begins or kills a connection never does.
fn mid_stream() -> String {
    let rule = "tcp flags & (syn | rst) == 0 dnat to ip daddr . tcp dport map @clients";
    chain(
        "mid_stream",
        "nat hook prerouting priority dstnat",
        &[rule.to_owned()],
    )
}

fn input() -> String {
    let probes = format!(
        "iifname @tunnels ip saddr @blocks udp dport {} accept",
        limits::PROBE_PORT
    );
    let rules = [
        probes,
        // The gateway itself is not the internet.
        "iifname @tunnels drop".to_owned(),
        // What nobody waits for must not be answered with a reset: on another gateway, or after a
        // moment, there is a connection for it.
        "ip daddr @static_ips meta l4proto { tcp, udp } drop".to_owned(),
    ];
    chain("input", "filter hook input priority filter", &rules)
}

fn forward() -> String {
    let rules = [
        "iifname @tunnels oifname @tunnels drop",
        "iifname @tunnels ip saddr != @blocks drop",
        // It would leave untranslated.
        "iifname @tunnels ct state invalid drop",
        "iifname @tunnels ip daddr @denied drop",
        "iifname @tunnels ip daddr @blocks drop",
        "iifname @tunnels ip daddr @static_ips drop",
        "oifname @tunnels ct status dnat accept",
        "oifname @tunnels ct state != { established, related } drop",
        "oifname @tunnels tcp flags syn tcp option maxseg size set rt mtu",
        "iifname @tunnels tcp flags syn tcp option maxseg size set rt mtu",
    ];
    let rules = rules.map(str::to_owned);
    chain("forward", "filter hook forward priority filter", &rules)
}

/// Before the host's own masquerading, which would take any port.
fn source() -> String {
    let rules = [
        "oifname != @tunnels meta l4proto { tcp, udp } snat ip to ip saddr map @sources",
        "oifname != @tunnels snat to ip saddr map @by_block",
    ];
    let rules = rules.map(str::to_owned);
    chain(
        "source",
        "nat hook postrouting priority srcnat - 10",
        &rules,
    )
}
