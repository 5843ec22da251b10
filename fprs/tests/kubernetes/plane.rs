//! A plane whose replicas are pods: control, an autoscaler and a proxy as processes of their own, beside
//! a double of Kubernetes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use fprs_testkit::client::{H1, H2};
use fprs_testkit::kubernetes::{Cluster, Kind, Kubelet};
use fprs_testkit::{Cli, Role, TempDir, ports, until};
use serde_json::Value;

use crate::{FPRS, HOST, SOON};

const TOKEN: &str = "0123456789abcdef";

pub(crate) struct Pods {
    pub(crate) kubelet: Kubelet,
    pub(crate) cluster: Cluster,
    proxy: Role,
    _autoscaler: Role,
    control: std::sync::Mutex<Role>,
    deploys: AtomicU32,
    // Last: removed after the processes are gone.
    dir: TempDir,
}

impl Pods {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With more arguments for control.
    pub(crate) async fn start_with(more: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let cluster = Cluster::start().await;
        let kubeconfig = cluster.kubeconfig(dir.path());
        let admin = ports::unused().to_string();
        let data = data(dir.path(), "control");
        let args = [
            "--admin",
            &admin,
            "--data-dir",
            data.to_str().unwrap(),
            "--kubernetes",
            fprs_testkit::kubernetes::NAMESPACE,
            "--kubernetes-relay-image",
            "fprs:test",
            "--kubernetes-control",
            &admin,
        ];
        let args = [&args, more].concat();
        let env = [
            ("FPRS_ADMIN_TOKEN", TOKEN),
            ("KUBECONFIG", kubeconfig.to_str().unwrap()),
        ];
        let control = Role::start(FPRS, "control", args, &env).await;
        let autoscaler = follower(dir.path(), "autoscaler", &admin).await;
        let proxy = follower(dir.path(), "proxy", &admin).await;
        let worker = cli(dir.path())
            .run(&["token", "create", "--role", "worker", "--json"])
            .await
            .succeeded()
            .json();
        let field = |name: &str| worker[name].as_str().unwrap().to_owned();
        let token = format!("{}.{}", field("id"), field("secret"));
        let kubelet = Kubelet::start(&cluster, Path::new(FPRS), dir.path(), &token);
        Self {
            kubelet,
            cluster,
            proxy,
            _autoscaler: autoscaler,
            control: control.into(),
            deploys: AtomicU32::new(0),
            dir,
        }
    }

    pub(crate) fn cli(&self) -> Cli {
        cli(self.dir.path())
    }

    /// Deploys the next version of the server.
    pub(crate) async fn deploy(&self, more: &str) {
        let number = self.deploys.fetch_add(1, Ordering::Relaxed) + 1;
        let manifest = format!(
            "name = \"web\"\nimage = \"shop/web:{number}\"\nauth = \"public\"\nhold = \"20s\"\n{more}\n"
        );
        let deployed = self.cli().deploy(&manifest, self.dir.path()).await;
        deployed.succeeded();
    }

    pub(crate) async fn delete(&self) {
        self.cli().run(&["delete", "web"]).await.succeeded();
    }

    pub(crate) async fn scale(&self, count: u32) {
        let (min, max) = (
            format!("--min-replicas={count}"),
            format!("--max-replicas={count}"),
        );
        let soon = "--scaledown-window=0s";
        let scaled = self.cli().run(&["scale", "web", &min, &max, soon]).await;
        scaled.succeeded();
    }

    pub(crate) fn listen(&self) -> SocketAddr {
        self.proxy.address("listen")
    }

    pub(crate) async fn h2(&self) -> H2 {
        H2::connect(self.listen()).await.unwrap()
    }

    pub(crate) async fn answers(&self) {
        until("it answers", SOON, async || {
            let mut client = H1::connect(self.listen()).await.ok()?;
            let answer = client.get(HOST, "/").await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    pub(crate) async fn replicas(&self) -> Vec<Value> {
        self.cli().replicas("web").await
    }

    pub(crate) async fn replicas_in(&self, state: &str) -> usize {
        let replicas = self.replicas().await;
        let of = replicas.iter().filter(|replica| replica["state"] == state);
        of.count()
    }

    pub(crate) async fn until_ready(&self, count: usize) {
        until(&format!("{count} replicas are ready"), SOON, async || {
            (self.replicas_in("ready").await == count).then_some(())
        })
        .await;
    }

    /// Replicas that have something in flight.
    pub(crate) async fn in_flight(&self) -> BTreeSet<String> {
        let replicas = self.replicas().await;
        let busy = replicas
            .iter()
            .filter(|replica| replica["in_flight"].as_u64().unwrap() > 0);
        busy.map(|replica| replica["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Pods that are not on their way out, by name.
    pub(crate) fn pods(&self) -> Vec<String> {
        let mut pods = self.cluster.all(Kind::Pods);
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        pods.iter()
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Pods with a ready replica.
    pub(crate) async fn serving(&self) -> BTreeSet<String> {
        let mut replicas = self.replicas().await;
        replicas.retain(|replica| replica["state"] == "ready");
        let pods = replicas.iter().map(|replica| replica["worker"].as_str());
        pods.map(|pod| pod.unwrap().to_owned()).collect()
    }

    pub(crate) fn control_log(&self) -> String {
        self.control.lock().unwrap().process().log()
    }
}

async fn follower(dir: &Path, role: &str, admin: &str) -> Role {
    let data = data(dir, role);
    let mut args = vec!["--control", admin, "--data-dir", data.to_str().unwrap()];
    if role == "proxy" {
        args.extend(["--listen", "127.0.0.1:0"]);
    }
    Role::start(FPRS, role, args, &[("FPRS_ADMIN_TOKEN", TOKEN)]).await
}

fn cli(dir: &Path) -> Cli {
    Cli::new(FPRS)
        .arg("--data-dir", data(dir, "control"))
        .env("FPRS_ADMIN_TOKEN", TOKEN)
}

fn data(dir: &Path, role: &str) -> PathBuf {
    dir.join(role)
}
