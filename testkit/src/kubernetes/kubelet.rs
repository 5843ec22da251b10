//! A node that runs pods as processes: in the container `program` the calling test's own program, in
//! `relay` the real binary, each pod at a loopback address of its own. It keeps the order of a real one:
//! what a pod's containers say of being ready, the hook before the program's end, the grace period.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::Cluster;
use super::state::Kind;
use crate::client::H1;
use crate::plane::Process;
use crate::{ports, program};

/// A node. Dropping it ends everything that it runs.
#[derive(Debug)]
pub struct Kubelet {
    node: Arc<Node>,
    work: JoinHandle<()>,
}

#[derive(Debug)]
struct Node {
    cluster: Cluster,
    fprs: PathBuf,
    dir: PathBuf,
    token: String,
    pods: Mutex<BTreeMap<String, Running>>,
    /// Not run again: they end, or their node is lost.
    left: Mutex<BTreeSet<String>>,
}

#[derive(Debug)]
struct Running {
    ip: Ipv4Addr,
    program: Process,
    relay: Process,
}

const LOOK_EVERY: Duration = Duration::from_millis(40);
/// The relay's probes.
const ADMIN_PORT: u16 = 8002;

impl Kubelet {
    /// Runs the cluster's pods from now on. `token`: what every Secret holds.
    pub fn start(cluster: &Cluster, fprs: &Path, dir: &Path, token: &str) -> Self {
        let node = Arc::new(Node {
            cluster: cluster.clone(),
            fprs: fprs.to_owned(),
            dir: dir.to_owned(),
            token: token.to_owned(),
            pods: Mutex::default(),
            left: Mutex::default(),
        });
        let work = tokio::spawn(Arc::clone(&node).work());
        Self { node, work }
    }

    /// The pod's node is gone: its processes die, and nobody says so.
    pub fn lose(&self, pod: &str) {
        self.node.left.lock().unwrap().insert(pod.to_owned());
        self.node.pods.lock().unwrap().remove(pod);
    }

    /// The pod's program dies and is not there for a while.
    pub fn crash(&self, pod: &str) {
        let mut pods = self.node.pods.lock().unwrap();
        pods.get_mut(pod).expect("it runs").program.kill9();
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.work.abort();
        self.node.pods.lock().unwrap().clear();
    }
}

impl Node {
    async fn work(self: Arc<Self>) {
        loop {
            for pod in self.cluster.all(Kind::Pods) {
                let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
                let ending = !pod["metadata"]["deletionTimestamp"].is_null();
                let left = self.left.lock().unwrap().contains(&name);
                let ip = self.pods.lock().unwrap().get(&name).map(|pod| pod.ip);
                match (left, ip) {
                    (true, _) => {}
                    (false, None) if ending => self.cluster.remove(Kind::Pods, &name),
                    (false, None) => self.run(&name, &pod),
                    (false, Some(_)) if ending => self.end(name, &pod),
                    (false, Some(ip)) => self.probe(&name, ip).await,
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn run(&self, name: &str, pod: &Value) {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [high, low] = u16::try_from(std::process::id() % 0x7000)
            .unwrap()
            .to_be_bytes();
        let ip = Ipv4Addr::new(127, 1 + high, low, NEXT.fetch_add(1, Ordering::Relaxed));
        let port = ports::unused().port();
        let containers = &pod["spec"]["containers"];
        let env = |container: &Value| self.env(container, name, ip);
        let mut arguments = program::command().into_iter();
        let mut command = Command::new(arguments.next().unwrap());
        command.args(arguments).envs(env(&containers[0]));
        command.env("PORT", port.to_string());
        let log = self.dir.join(format!("{name}.program.log"));
        let program = Process::spawn(name, command, &log);
        let mut command = Command::new(&self.fprs);
        let arguments = containers[1]["args"].as_array().unwrap().iter();
        command.args(arguments.map(|argument| argument.as_str().unwrap()));
        command.envs(env(&containers[1]));
        command.env("FPRS_DATA_DIR", self.dir.join(format!("{name}.data")));
        command.env("FPRS_POD_PROGRAM", format!("127.0.0.1:{port}"));
        let log = self.dir.join(format!("{name}.relay.log"));
        let relay = Process::spawn(name, command, &log);
        let running = Running { ip, program, relay };
        self.pods.lock().unwrap().insert(name.to_owned(), running);
        self.cluster.edit(Kind::Pods, name, |pod| {
            pod["spec"]["nodeName"] = "node".into();
            pod["status"]["phase"] = "Running".into();
            pod["status"]["podIP"] = ip.to_string().into();
        });
    }

    fn env(&self, container: &Value, name: &str, ip: Ipv4Addr) -> Vec<(String, String)> {
        let variables = container["env"].as_array().unwrap().iter();
        let value = |variable: &Value| {
            if let Some(value) = variable["value"].as_str() {
                return value.replace("$$(", "$(");
            }
            match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
                Some("metadata.name") => name.to_owned(),
                Some("status.podIP") => ip.to_string(),
                _ => self.token.clone(),
            }
        };
        variables
            .map(|variable| {
                (
                    variable["name"].as_str().unwrap().to_owned(),
                    value(variable),
                )
            })
            .collect()
    }

    async fn probe(&self, name: &str, ip: Ipv4Addr) {
        let ready = get(ip, "/readyz").await == Some(200);
        let status = if ready { "True" } else { "False" };
        self.cluster.edit(Kind::Pods, name, |pod| {
            pod["status"]["conditions"] = json!([{ "type": "Ready", "status": status }]);
        });
    }

    /// Both containers are told to end at once, the program after its hook.
    fn end(self: &Arc<Self>, name: String, pod: &Value) {
        let Some(mut running) = self.pods.lock().unwrap().remove(&name) else {
            return;
        };
        self.left.lock().unwrap().insert(name.clone());
        let hook = &pod["spec"]["containers"][0]["lifecycle"]["preStop"]["httpGet"]["path"];
        let hook = hook.as_str().unwrap().to_owned();
        let grace = pod["spec"]["terminationGracePeriodSeconds"]
            .as_u64()
            .unwrap();
        let cluster = self.cluster.clone();
        tokio::spawn(async move {
            if running.relay.is_running() {
                running.relay.terminate();
            }
            let ended = async {
                get(running.ip, &hook).await;
                if running.program.is_running() {
                    running.program.terminate();
                }
                while running.program.is_running() || running.relay.is_running() {
                    sleep(LOOK_EVERY).await;
                }
            };
            drop(timeout(Duration::from_secs(grace), ended).await);
            drop(running);
            cluster.remove(Kind::Pods, &name);
        });
    }
}

async fn get(ip: Ipv4Addr, path: &str) -> Option<u16> {
    let mut client = H1::connect((ip, ADMIN_PORT).into()).await.ok()?;
    let answer = client.get("pod", path).await.ok()?;
    Some(answer.status)
}
