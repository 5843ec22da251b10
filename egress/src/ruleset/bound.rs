//! PURE. The rules about bound containers: each sends with its own address only, nobody else sends
//! with it, and it leaves by a tunnel or stays on the host. Made of the bindings alone, so that they
//! hold while no agent runs.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::{AGENT_DEVICES, chain, quoted, replace, set};

/// The tables that the bindings own: one for what is routed, one for what is bridged.
pub const TABLES: [&str; 2] = ["inet fprs_egress_bound", "bridge fprs_egress_bound"];

/// Where a bound container is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its host's end, e.g. `veth1a2b`.
    pub name: String,
    /// The bridge that the port is in, if it is in one.
    pub bridge: Option<String>,
    /// Its address.
    pub address: Ipv4Addr,
}

impl Port {
    /// The interface that its packets are routed from.
    fn routed_from(&self) -> &str {
        self.bridge.as_deref().unwrap_or(&self.name)
    }
}

/// Both tables. `direct` is what containers reach without a tunnel; `marks` says which addresses' packets
/// get which mark, where that is how they find their table.
pub fn text(ports: &[Port], direct: &[Ipv4Net], marks: &[(Ipv4Addr, u32)]) -> String {
    let tables = [routed(ports, direct, marks), bridged(ports)];
    tables.concat()
}

fn routed(ports: &[Port], direct: &[Ipv4Net], marks: &[(Ipv4Addr, u32)]) -> String {
    let own = ports.iter().filter(|port| port.bridge.is_none());
    let pairs = ports
        .iter()
        .map(|port| format!("{} . {}", quoted(port.routed_from()), port.address));
    let spoofed = [
        "ip saddr @addresses iifname . ip saddr != @pairs drop",
        "iifname @ports meta nfproto ipv4 iifname . ip saddr != @pairs drop",
    ];
    let mut leaks = vec!["iifname @ports meta nfproto ipv6 drop".to_owned()];
    leaks.push(format!(
        "ip saddr @addresses oifname != \"{AGENT_DEVICES}*\" ip daddr != @direct drop"
    ));
    let body = [
        addresses(ports),
        set("set", "ports", "type ifname", own.map(|p| quoted(&p.name))),
        set("set", "pairs", "type ifname . ipv4_addr", pairs),
        set(
            "set",
            "direct",
            "type ipv4_addr; flags interval; auto-merge",
            direct,
        ),
        chain(
            "spoofed",
            "filter hook prerouting priority raw",
            &spoofed.map(str::to_owned),
        ),
        chain("leaks", "filter hook forward priority filter", &leaks),
        marked(marks),
    ];
    let [table, _] = TABLES;
    replace(table, &body.concat())
}

/// One lookup, however many there are: the kernel tries rules one after the other.
fn marked(marks: &[(Ipv4Addr, u32)]) -> String {
    if marks.is_empty() {
        return String::new();
    }
    let marks = marks.iter().map(|(ip, mark)| format!("{ip} : {mark:#x}"));
    let rule = "ip saddr @addresses meta mark set ip saddr map @marks".to_owned();
    [
        set("map", "marks", "type ipv4_addr : mark", marks),
        chain("marked", "filter hook prerouting priority mangle", &[rule]),
    ]
    .concat()
}

fn bridged(ports: &[Port]) -> String {
    let inside = || ports.iter().filter(|port| port.bridge.is_some());
    let pairs = inside().map(|port| format!("{} . {}", quoted(&port.name), port.address));
    let rules = [
        "iifname @ports ether type ip6 drop",
        "ether type ip ip saddr @addresses iifname . ip saddr != @pairs drop",
        "ether type ip iifname @ports iifname . ip saddr != @pairs drop",
    ];
    let body = [
        set(
            "set",
            "addresses",
            "type ipv4_addr",
            inside().map(|p| p.address),
        ),
        set(
            "set",
            "ports",
            "type ifname",
            inside().map(|p| quoted(&p.name)),
        ),
        set("set", "pairs", "type ifname . ipv4_addr", pairs),
        chain(
            "spoofed",
            "filter hook prerouting priority filter",
            &rules.map(str::to_owned),
        ),
    ];
    let [_, table] = TABLES;
    replace(table, &body.concat())
}

fn addresses(ports: &[Port]) -> String {
    let all = ports.iter().map(|port| port.address);
    set("set", "addresses", "type ipv4_addr", all)
}
