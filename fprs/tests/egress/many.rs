//! A gateway with as many static IPs as a machine has addresses.

use std::time::{Duration, Instant};

use crate::world::{GATEWAYS, STATIC, wait, world};

/// Beside the two of the world.
const MANY: usize = 238;
/// Longest time for all of them to be served, or to be owned.
const LONGEST: Duration = Duration::from_secs(10);

#[test]
fn two_hundred_and_forty_static_ips_of_one_gateway_are_soon_served_and_owned() {
    let Some(mut world) = world() else { return };
    let path = world.path("g1.toml");
    let mut gateway = std::fs::read_to_string(&path).unwrap();
    let mut reconciler = format!(
        "admin_secret_file = \"admin\"\nauthority = \"ca.pem\"\n\
         [gateways.g1]\nnode = \"{0}\"\ncontrol = \"{0}:8443\"\n",
        GATEWAYS[0]
    );
    for n in 0..MANY {
        let port = 51_000 - n;
        gateway.push_str(&format!(
            "[[static_ips]]\nip = \"198.51.100.{n}\"\nblock = \"100.65.{n}.0/25\"\nport = {port}\n"
        ));
    }
    let others = (0..MANY).map(|n| format!("198.51.100.{n}"));
    for ip in others.chain(STATIC.map(|ip| ip.to_string())) {
        reconciler.push_str(&format!(
            "[[static_ips]]\nip = \"{ip}\"\ngateways = [\"g1\"]\n"
        ));
    }
    std::fs::write(path, gateway).unwrap();
    std::fs::write(world.path("rec.toml"), reconciler).unwrap();
    let began = Instant::now();
    world.start("g1", "gateway");
    let served = began.elapsed();
    let began = Instant::now();
    world.start("rec", "reconciler");
    wait("every address", || {
        let all = world.output("g1", "ip", &["-4", "-br", "addr", "show", "dev", "eth0"]);
        all.matches("/32").count() == MANY + STATIC.len()
    });
    let owned = began.elapsed();
    eprintln!(
        "{} static IPs: served after {served:?}, owned after {owned:?}",
        MANY + 2
    );
    assert!(served.max(owned) < LONGEST, "{served:?}, {owned:?}");
}
