//! Settings and certificates of everything in a world.

use std::net::Ipv4Addr;
use std::process::Command;

use super::{CONTROL, GATEWAYS, POOLS, STATIC, World, fprs};

impl World {
    /// Settings and certificates of everything.
    pub(super) fn settings(&self) {
        for (n, node) in GATEWAYS.iter().enumerate() {
            let name = format!("g{}", n + 1);
            self.certificate(&name, *node);
            std::fs::write(self.path(&format!("{name}.toml")), gateway(n, *node)).unwrap();
        }
        std::fs::write(self.path("secret"), "agent-secret\n").unwrap();
        std::fs::write(self.path("admin"), "admin-secret\n").unwrap();
        std::fs::write(self.path("w.toml"), agent("w1")).unwrap();
        std::fs::write(self.path("rec.toml"), reconciler("")).unwrap();
    }

    /// Adds a line to what the gateways and the worker's agent say of the pool of that number.
    pub(crate) fn say_of_pool(&self, n: usize, line: &str) {
        let (port, table) = (50_101 + n, 51_901 + n);
        for (file, after) in [
            ("g1.toml", format!("port = {port}\n")),
            ("g2.toml", format!("port = {port}\n")),
            ("w.toml", format!("table = {table}\n")),
        ] {
            let path = self.path(file);
            let text = std::fs::read_to_string(&path).unwrap();
            let changed = text.replace(&after, &format!("{after}{line}\n"));
            assert_ne!(changed, text);
            std::fs::write(path, changed).unwrap();
        }
    }

    /// A certificate that the world's authority signed.
    pub(crate) fn certificate(&self, name: &str, address: Ipv4Addr) {
        let dir = self.path("");
        let made = Command::new(fprs())
            .args(["egress", "certificate", name, &address.to_string(), "--dir"])
            .arg(dir)
            .status();
        assert!(made.unwrap().success());
    }
}

/// Settings of the gateway of that number.
fn gateway(n: usize, node: Ipv4Addr) -> String {
    let mut text = format!(
        r#"
        name = "g{number}"
        number = {number}
        node = "{node}"
        uplink = "eth0"
        control = "{node}:{CONTROL}"
        state_dir = "g{number}-state"
        certificate = "g{number}.pem"
        key = "g{number}.key"
        admin_sha256 = "{admin}"
        "#,
        number = n + 1,
        admin = sha256("admin-secret"),
    );
    for (n, ip) in STATIC.iter().enumerate() {
        let n = n + 1;
        text.push_str(&format!(
            "[[static_ips]]\nip = \"{ip}\"\nblock = \"100.64.{n}.0/25\"\nport = {}\n",
            50_100 + n
        ));
    }
    for identity in ["w1", "w2"] {
        let hash = sha256("agent-secret");
        text.push_str(&format!(
            "[[agents]]\nidentity = \"{identity}\"\nsecret_sha256 = \"{hash}\"\n"
        ));
    }
    text
}

/// Settings of an agent.
fn agent(identity: &str) -> String {
    let mut text = format!(
        "identity = \"{identity}\"\nsecret_file = \"secret\"\nauthority = \"ca.pem\"\n\
         state_dir = \"agent\"\n"
    );
    let [g1, g2] = GATEWAYS;
    for (n, (pool, ip)) in POOLS.iter().zip(STATIC).enumerate() {
        text.push_str(&format!(
            "[[pools]]\nname = \"{pool}\"\nstatic_ip = \"{ip}\"\ntable = {}\n\
             direct = [\"10.0.0.0/8\"]\ngateways = [\"{g1}:{CONTROL}\", \"{g2}:{CONTROL}\"]\n",
            51_901 + n
        ));
    }
    text
}

/// Settings of the reconciler; `drained` is a gateway that is to own nothing.
pub(crate) fn reconciler(drained: &str) -> String {
    let mut text = "admin_secret_file = \"admin\"\nauthority = \"ca.pem\"\n".to_owned();
    for ip in STATIC {
        text.push_str(&format!(
            "[[static_ips]]\nip = \"{ip}\"\ngateways = [\"g1\", \"g2\"]\n"
        ));
    }
    for (n, node) in GATEWAYS.iter().enumerate() {
        let name = format!("g{}", n + 1);
        let draining = name == drained;
        text.push_str(&format!(
            "[gateways.{name}]\nnode = \"{node}\"\ncontrol = \"{node}:{CONTROL}\"\n\
             draining = {draining}\n"
        ));
    }
    text
}

pub(crate) fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
