//! Who encrypts: the kernel where it can, `fprs` itself elsewhere; and that nothing of either is left when a
//! process has ended, however it did.

use std::process::Command;

use crate::world::{KERNEL, POOLS, PROCESS, SERVER, STATIC, World, container, fprs, wait, world};

/// Whether this machine's kernel has WireGuard; required where a test run is about it.
fn has_wireguard() -> bool {
    let name = format!("fpw{:x}", std::process::id());
    let link = |what: &[&str]| {
        let output = Command::new("ip").arg("link").args(what).output();
        output.unwrap().status.success()
    };
    let has = link(&["add", &name, "type", KERNEL]);
    if has {
        assert!(link(&["del", &name]));
    }
    let required = std::env::var_os("FPRS_REQUIRE_WIREGUARD").is_some();
    assert!(
        has || !required,
        "FPRS_REQUIRE_WIREGUARD is set, and this kernel has none"
    );
    has
}

impl World {
    /// Why a gateway doesn't start.
    fn refusal(&self, name: &str) -> String {
        let settings = self.path(&format!("{name}.toml"));
        let output = self
            .command(name, "timeout")
            .args(["20", fprs(), "egress", "gateway"])
            .arg(settings)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

#[test]
fn the_kernel_encrypts_where_it_can_and_fprs_elsewhere() {
    let Some(mut world) = world() else { return };
    let best = if has_wireguard() { KERNEL } else { PROCESS };
    // Of the second pool it is said.
    world.say_of_pool(1, "engine = \"process\"");
    world.start_all();
    let both = [("g1", 1), ("g2", 1), ("w", 2)];
    for (name, each) in both {
        let (first, second) = if best == KERNEL {
            (world.devices(name, KERNEL), world.devices(name, PROCESS))
        } else {
            let all = world.devices(name, PROCESS);
            (all - each, each)
        };
        assert_eq!((first, second), (each, each), "{name}");
    }
    let whoami = world.whoami("srv", SERVER);
    for (n, pool) in POOLS.iter().enumerate() {
        world.bind(n, pool);
        wait("the static IP", || {
            world.seen_as(&container(n), whoami) == Some(STATIC[n].to_string())
        });
    }
    for name in ["w", "g1", "g2"] {
        let role = if name == "w" { "agent" } else { "gateway" };
        world.kill(name);
        if name == "g1" {
            wait("its devices to go", || world.no_devices(name));
        }
        // Of the others, what is left is made anew.
        world.start(name, role);
    }
    wait("traffic again", || {
        (0..POOLS.len())
            .all(|n| world.seen_as(&container(n), whoami) == Some(STATIC[n].to_string()))
    });
    for (name, _) in both {
        world.end(name);
        wait("its devices to go", || world.no_devices(name));
    }
}

#[test]
fn a_kernel_without_wireguard_is_said_to_be_one() {
    let Some(world) = world() else { return };
    if has_wireguard() {
        eprintln!("SKIPPED: this kernel has WireGuard");
        return;
    }
    world.say_of_pool(0, "engine = \"kernel\"");
    let said = world.refusal("g1");
    assert!(said.contains("this kernel has no WireGuard"), "{said}");
    world.say_of_pool(0, "daemon = \"/bin/true\"");
    let said = world.refusal("g1");
    assert!(said.contains("leave one out"), "{said}");
}
