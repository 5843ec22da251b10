use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use super::agent::AgentTunnels;
use super::bound::Port;
use super::gateway::{GatewayRules, RuledAddress};
use super::{agent, bound};
use crate::plan::{Block, Ports};

/// Compares with the file, or writes it where `FPRS_BLESS` is set.
fn golden(name: &str, text: &str) {
    let path = format!(
        "{}/src/ruleset/golden/{name}.nft",
        env!("CARGO_MANIFEST_DIR")
    );
    if std::env::var_os("FPRS_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name}: FPRS_BLESS=1 writes it anew");
    accepted(name, text);
}

/// Asks `nft` itself, in a network namespace of its own, where there is one and this may ask it.
fn accepted(name: &str, text: &str) {
    let nft = Command::new("unshare")
        .args(["--net", "nft", "--check", "--file", "-"])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let required = std::env::var_os("FPRS_REQUIRE_NETNS").is_some();
    let mut nft = match nft {
        Ok(nft) => nft,
        Err(error) => {
            assert!(!required, "FPRS_REQUIRE_NETNS is set, and unshare: {error}");
            return eprintln!("SKIPPED: nft has not seen {name}: {error}");
        }
    };
    nft.stdin.take().unwrap().write_all(text.as_bytes()).ok();
    let output = nft.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if !required && (said.contains("unshare failed") || said.contains("failed to execute")) {
        return eprintln!("SKIPPED: nft has not seen {name}: {said}");
    }
    assert!(output.status.success(), "{name}: {said}\n{text}");
}

fn address(n: u8) -> RuledAddress {
    RuledAddress {
        ip: Ipv4Addr::new(203, 0, 113, n),
        block: Block::new(format!("100.64.{n}.0/25").parse().unwrap()).unwrap(),
        device: format!("fpgcb0071{n:02x}"),
        port: 50_000 + u16::from(n),
        class: (n % 2 == 1).then_some(u16::from(n)),
    }
}

fn port(name: &str, bridge: Option<&str>, n: u8) -> Port {
    Port {
        name: name.into(),
        bridge: bridge.map(str::to_owned),
        address: Ipv4Addr::new(10, 88, 0, n),
    }
}

#[test]
fn a_gateways_table_is_as_written_and_nft_takes_it() {
    let rules = GatewayRules {
        addresses: vec![address(101), address(102)],
        deny: vec!["10.0.0.0/8".parse().unwrap()],
    };
    golden("gateway", &rules.text());
}

#[test]
fn an_agents_table_is_as_written_and_nft_takes_it() {
    let pool = |n: u8| AgentTunnels {
        devices: vec![format!("fpacb0071{n:02x}a"), format!("fpacb0071{n:02x}b")],
        address: Ipv4Addr::new(100, 64, n, 8),
        ports: Ports {
            first: 2048,
            last: 3071,
        },
    };
    golden("agent", &agent::text(&[pool(101), pool(102)]));
}

#[test]
fn the_tables_of_bindings_are_as_written_and_nft_takes_them() {
    let ports = [port("veth1", None, 2), port("veth2", Some("cni0"), 3)];
    let direct = ["10.0.0.0/8".parse().unwrap()];
    golden("bound", &bound::text(&ports, &direct, &[]));
    let marks: Vec<_> = ports
        .iter()
        .map(|port| (port.address, super::mark::of(51901)))
        .collect();
    accepted("marks", &bound::text(&ports, &direct, &marks));
}

#[test]
fn tables_with_nothing_in_them_are_taken_too() {
    let none = GatewayRules {
        addresses: Vec::new(),
        deny: Vec::new(),
    };
    accepted("gateway", &none.text());
    accepted("agent", &agent::text(&[]));
    accepted("bound", &bound::text(&[], &[], &[]));
    accepted("remove", &super::remove(super::gateway::TABLE));
}

#[test]
fn the_most_static_ips_of_one_gateway_are_taken() {
    let rules = GatewayRules {
        addresses: (0..240).map(address).collect(),
        deny: Vec::new(),
    };
    accepted("240 static IPs", &rules.text());
}
