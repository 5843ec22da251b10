//! Every agent at once: gateways come up, and all that waited for them connect. Agents are processes of
//! their own in namespaces of their own; each has a place at every static IP, as so many agents would.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::world::{CONTROL, GATEWAYS, World, sha256, wait, world};

/// Agents, and static IPs that each has a place at.
fn size() -> (usize, usize) {
    if std::env::var_os("FPRS_SOAK").is_some() {
        (50, 14)
    } else {
        (3, 4)
    }
}

/// Longest time until all carry traffic. What so many machines do is done by two cores here.
const LONGEST: Duration = Duration::from_secs(15);

#[test]
fn agents_that_connect_all_at_once_soon_carry_traffic() {
    let Some(mut world) = world() else { return };
    let (agents, addresses) = size();
    settings(&world, agents, addresses);
    for (n, last) in (0..agents).zip(150..) {
        let name = agent(n);
        world.add_namespace(&name, Ipv4Addr::new(203, 0, 113, last));
        world.start(&name, "agent");
    }
    for gateway in ["g1", "g2"] {
        world.start(gateway, "gateway");
        world.hurry(gateway);
    }
    let began = Instant::now();
    let active = |n: usize, address: usize| {
        let path = world
            .path(&agent(n))
            .join("pools")
            .join(format!("p{address}.json"));
        let text = std::fs::read(path).unwrap_or_default();
        let state: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        state["active"].is_number()
    };
    let mut all: Vec<(usize, usize)> = (0..agents)
        .flat_map(|n| (0..addresses).map(move |address| (n, address)))
        .collect();
    let clients = all.len();
    let mut half = None;
    wait("all to carry traffic", || {
        // A route is by a tunnel once a probe has been there and back.
        all.retain(|(n, address)| !active(*n, *address));
        if all.len() <= clients / 2 && half.is_none() {
            half = Some(began.elapsed());
        }
        all.is_empty()
    });
    let took = began.elapsed();
    eprintln!("{clients} clients: half carry traffic after {half:?}, all after {took:?}");
    assert!(took < LONGEST, "{took:?}");
}

/// The identity of the agent of that number.
pub(crate) fn agent(n: usize) -> String {
    format!("a{n}")
}

/// The static IP of that number.
pub(crate) fn address(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, u8::try_from(n).unwrap())
}

/// Both gateways serve those static IPs to those agents.
pub(crate) fn gateways(world: &World, agents: usize, addresses: usize) {
    let hash = sha256("agent-secret");
    let identities: String = (0..agents)
        .map(|n| format!("[[agents]]\nidentity = \"a{n}\"\nsecret_sha256 = \"{hash}\"\n"))
        .collect();
    for name in ["g1", "g2"] {
        let path = world.path(&format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, _) = text.split_once("[[static_ips]]").unwrap();
        let ips: String = (0..addresses)
            .map(|n| {
                let port = 50_200 + n;
                let ip = address(n);
                format!(
                    "[[static_ips]]\nip = \"{ip}\"\nblock = \"100.65.{n}.0/25\"\nport = {port}\n"
                )
            })
            .collect();
        std::fs::write(path, format!("{head}{ips}{identities}")).unwrap();
    }
}

fn settings(world: &World, agents: usize, addresses: usize) {
    gateways(world, agents, addresses);
    let [g1, g2] = GATEWAYS;
    for n in 0..agents {
        let mut text = format!(
            "identity = \"a{n}\"\nsecret_file = \"secret\"\nauthority = \"ca.pem\"\nstate_dir = \"a{n}\"\n"
        );
        for address in 0..addresses {
            text += &format!(
                "[[pools]]\nname = \"p{address}\"\nstatic_ip = \"{}\"\ntable = {}\n\
                 gateways = [\"{g1}:{CONTROL}\", \"{g2}:{CONTROL}\"]\n",
                self::address(address),
                52_000 + address
            );
        }
        std::fs::write(world.path(&format!("a{n}.toml")), text).unwrap();
    }
}
