//! The plane of a world: control with its store, the pools in it, and reconciler after reconciler that
//! wants its lease.

use super::{CONTROL, GATEWAYS, POOLS, STATIC, STORE, TOKEN, World, fprs};

impl World {
    /// Starts control, in the reconciler's namespace.
    pub(crate) fn start_control(&mut self) {
        let (data, admin) = (self.path("control"), STORE.to_string());
        let data = data.to_str().unwrap();
        std::fs::write(self.path("token"), TOKEN).unwrap();
        let args = ["control", "--data-dir", data, "--admin", &admin];
        self.start_in("control", "rec", &args);
    }

    /// What users type, beside control; what it prints.
    pub(crate) fn fprs(&self, args: &[&str]) -> String {
        let output = self
            .command("rec", fprs())
            .env("FPRS_ADMIN_TOKEN", TOKEN)
            .env("FPRS_ADMIN", STORE.to_string())
            .args(args)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "fprs {}: {said}", args.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Both static IPs as pools of the store.
    pub(crate) fn add_pools(&self) {
        let [g1, g2] = GATEWAYS;
        for (pool, ip) in POOLS.iter().zip(STATIC) {
            self.fprs(&[
                "egress",
                "pool",
                "add",
                pool,
                "--ip",
                &ip.to_string(),
                "--gateway",
                &format!("g1={g1}:{CONTROL}"),
                "--gateway",
                &format!("g2={g2}:{CONTROL}"),
            ]);
        }
    }

    /// Starts a reconciler that has its pools and its lease in the store, in that namespace.
    pub(crate) fn start_candidate(&mut self, name: &str, netns: &str, more: &str) {
        let settings = self.path(&format!("{name}.toml"));
        let text = format!(
            "admin_secret_file = \"admin\"\nauthority = \"ca.pem\"\ncontrol = [\"{STORE}\"]\n\
             token_file = \"token\"\nholder = \"{name}\"\n{more}"
        );
        std::fs::write(&settings, text).unwrap();
        let settings = settings.to_str().unwrap().to_owned();
        self.start_in(name, netns, &["egress", "reconciler", &settings]);
    }
}
