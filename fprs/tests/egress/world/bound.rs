//! Containers of the worker, and how a container runtime binds them to a pool.

use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::process::{Child, Stdio};

use super::{CONTAINERS, World, fprs};

impl World {
    /// Binds a container to a pool as a container runtime does.
    pub(crate) fn bind(&self, n: usize, pool: &str) {
        let (printed, done) = self.cni("ADD", &container(n), pool, Some(previous(n)));
        assert!(done, "{printed}");
    }

    /// From now on so many bound containers have a rule each, and more a map.
    pub(crate) fn map_above(&mut self, map_above: usize) {
        self.map_above = map_above;
    }

    /// Calls the plugin.
    pub(crate) fn cni(
        &self,
        verb: &str,
        id: &str,
        pool: &str,
        previous: Option<serde_json::Value>,
    ) -> (String, bool) {
        let mut child = self.cni_start(verb, id, pool, previous, &[]);
        let mut printed = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut printed)
            .unwrap();
        (printed, child.wait().unwrap().success())
    }

    /// Calls the plugin and doesn't wait.
    pub(crate) fn cni_start(
        &self,
        verb: &str,
        id: &str,
        pool: &str,
        previous: Option<serde_json::Value>,
        valid: &[&str],
    ) -> Child {
        let valid: Vec<_> = valid
            .iter()
            .map(|id| serde_json::json!({ "containerID": id, "ifname": "eth0" }))
            .collect();
        let mut config = serde_json::json!({
            "cniVersion": "1.1.0",
            "name": "net",
            "type": "fprs-egress",
            "pool": pool,
            "stateDir": self.state_dir(),
            "mapAbove": self.map_above,
            "cni.dev/valid-attachments": valid,
        });
        if let Some(previous) = previous {
            config["prevResult"] = previous;
        }
        let mut child = self
            .command("w", fprs())
            .args(["egress", "cni"])
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", id)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_NETNS", "/run/netns/x")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(config.to_string().as_bytes()).ok();
        child
    }
}

/// The name of a container's namespace.
pub(crate) fn container(n: usize) -> String {
    format!("c{}", n + 1)
}

/// The worker's end of its link.
pub(crate) fn port(n: usize) -> String {
    format!("vc{}", n + 1)
}

/// What the plugin before ours made.
pub(crate) fn previous(n: usize) -> serde_json::Value {
    result(&port(n), CONTAINERS[n])
}

/// The result of a plugin that gave a container that address behind that port.
pub(crate) fn result(port: &str, address: Ipv4Addr) -> serde_json::Value {
    serde_json::json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            { "name": port },
            { "name": "eth0", "sandbox": "/run/netns/x" },
        ],
        "ips": [{ "address": format!("{address}/32"), "interface": 1 }],
    })
}
