//! Promise: Envoy takes what the chart gives it, serves by a Secret's files and by those that replace
//! them, and is told to drain by the preStop hook.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use fprs::edge::certificates;
use fprs_testkit::eventually_blocking;
use fprs_testkit::ports::unused;

use crate::envoy::envoy;
use crate::{collector, golden, run};

const ZONE: &str = "us-west.region.example";
const SOON: Duration = Duration::from_secs(20);

#[test]
fn the_edge_of_every_combination_is_taken_by_envoy() {
    let Some(envoy) = envoy() else { return };
    for (file, text) in golden().iter().filter(|(_, text)| has_edge(text)) {
        let pod = Pod::of(text);
        let settings = pod.dir.path().join("edge/edge.toml");
        eprintln!("{file}");
        let mut render = fprs(&["edge", "render", "--check"]);
        run(render.arg("--envoy").arg(&envoy).arg(settings));
    }
}

#[test]
fn a_replaced_certificate_is_served_and_the_pre_stop_hook_drains() {
    let (Some(envoy), Some(_)) = (envoy(), crate::install::curl()) else {
        return;
    };
    let golden = golden();
    let (_, text) = golden
        .iter()
        .find(|(file, _)| file == "smallest.yaml")
        .unwrap();
    let pod = Pod::of(text);
    let edge = pod.start(&envoy);
    eventually_blocking("the first certificate", SOON, || {
        edge.serves(&pod.authority)
    });
    assert!(!edge.serves(&pod.renewed.join("ca.pem")));

    pod.replace_certificate();
    eventually_blocking("the renewed certificate", SOON, || {
        edge.serves(&pod.renewed.join("ca.pem"))
    });

    assert_eq!(edge.health(), "200");
    let hook = pre_stop(text).replace("9901", &edge.admin.port().to_string());
    let hook = hook.split("exec sleep").next().unwrap();
    // Without the rest of the hook, bash would be gone before Envoy has read.
    run(Command::new("bash")
        .arg("-c")
        .arg(format!("{hook}\nread -r said <&3")));
    assert_eq!(edge.health(), "503");
}

/// What the chart puts into an edge's pod, with its paths below a directory of ours.
struct Pod {
    dir: tempfile::TempDir,
    authority: PathBuf,
    renewed: PathBuf,
}

impl Pod {
    fn of(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pod = Self {
            authority: dir.path().join("first/ca.pem"),
            renewed: dir.path().join("second"),
            dir,
        };
        let place = |name: &str| pod.dir.path().join(name);
        for name in ["first", "second"] {
            std::fs::create_dir_all(place(name)).unwrap();
            assert!(certificates::keep(&place(name), ZONE, SystemTime::now()).unwrap());
        }
        std::fs::create_dir_all(place("edge")).unwrap();
        for (name, document) in documents(text) {
            let ours = pod.dir.path().to_str().unwrap();
            let document = document.replace("/etc/fprs", ours);
            for secret in document
                .lines()
                .filter_map(|line| line.trim().strip_prefix("path: "))
            {
                mount(Path::new(secret), &place("first"));
            }
            let of_secrets = ["ca = ", "headers = "];
            for (key, file) in of_secrets.into_iter().zip(collector(pod.dir.path())) {
                let named = document.lines().find_map(|line| line.strip_prefix(key));
                if let Some(path) = named.map(|named| Path::new(named.trim_matches('"'))) {
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::copy(file, path).unwrap();
                }
            }
            std::fs::write(place("edge").join(name), document).unwrap();
        }
        pod
    }

    /// As kubelet does it: a new directory, and a link that is moved onto the one before.
    fn replace_certificate(&self) {
        let secret = self.dir.path().join("certificates/wildcard");
        fill(&secret.join("..second"), &self.renewed);
        symlink("..second", secret.join("..data_tmp")).unwrap();
        std::fs::rename(secret.join("..data_tmp"), secret.join("..data")).unwrap();
    }

    /// On ports of its own.
    fn start(&self, envoy: &Path) -> Edge {
        let [https, redirect, probe, admin] = [unused(), unused(), unused(), unused()];
        let file = self.dir.path().join("edge/edge.toml");
        let settings = std::fs::read_to_string(&file).unwrap();
        let settings = settings
            .replace("0.0.0.0:8443", &https.to_string())
            .replace("0.0.0.0:8080", &redirect.to_string())
            .replace("0.0.0.0:8002", &probe.to_string());
        std::fs::write(&file, format!("admin = \"{admin}\"\n{settings}")).unwrap();
        let bootstrap = self.dir.path().join("envoy.yaml");
        run(fprs(&["edge", "render", "--out"]).arg(&bootstrap).arg(file));
        let mut command = Command::new(envoy);
        command.arg("-c").arg(bootstrap);
        command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
        let process = command.stdin(Stdio::null()).spawn().unwrap();
        Edge {
            process,
            https,
            probe,
            admin,
        }
    }
}

/// One that runs, until it is dropped.
struct Edge {
    process: Child,
    https: SocketAddr,
    probe: SocketAddr,
    admin: SocketAddr,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Edge {
    /// It answers a client that trusts that authority; 503, since there is no proxy.
    fn serves(&self, authority: &Path) -> bool {
        let port = self.https.port();
        let mut curl = curl();
        curl.arg("--cacert").arg(authority);
        curl.arg("--resolve")
            .arg(format!("hello.{ZONE}:{port}:127.0.0.1"));
        curl.arg(format!("https://hello.{ZONE}:{port}/"));
        curl.output().unwrap().stdout == b"503"
    }

    fn health(&self) -> String {
        let mut curl = curl();
        curl.arg(format!("http://{}/healthz", self.probe));
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    }
}

fn curl() -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "5", "--noproxy", "*"]);
    curl.args(["--output", "/dev/null", "--write-out", "%{http_code}"]);
    curl
}

/// A secret's directory as kubelet makes it.
fn mount(secret: &Path, certificate: &Path) {
    fill(&secret.join("..first"), certificate);
    symlink("..first", secret.join("..data")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(file), secret.join(file)).unwrap();
    }
}

fn fill(secret: &Path, certificate: &Path) {
    std::fs::create_dir_all(secret).unwrap();
    std::fs::copy(certificate.join("wildcard.pem"), secret.join("tls.crt")).unwrap();
    // The key is only in the document of both.
    let document = std::fs::read_to_string(certificates::watched(certificate)).unwrap();
    let lines = document.lines().map(str::trim);
    let key = lines.skip_while(|line| !line.starts_with("-----BEGIN PRIVATE"));
    let key = key.take_while(|line| line.starts_with('-') || !line.contains(':'));
    let key: Vec<&str> = key.collect();
    std::fs::write(secret.join("tls.key"), key.join("\n") + "\n").unwrap();
}

fn has_edge(text: &str) -> bool {
    text.contains("edge.toml: |")
}

/// The files of the edge's ConfigMap.
fn documents(text: &str) -> Vec<(String, String)> {
    let (_, data) = text.split_once("\ndata:\n").unwrap();
    let mut files: Vec<(String, String)> = Vec::new();
    for line in data
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with(' '))
    {
        if let Some(line) = line.strip_prefix("    ") {
            let (_, document) = files.last_mut().unwrap();
            document.push_str(line);
            document.push('\n');
        } else if let Some(name) = line.trim().strip_suffix(": |") {
            files.push((name.to_owned(), String::new()));
        }
    }
    assert!(files.len() > 1, "the edge has settings and a certificate");
    files
}

/// The hook's script.
fn pre_stop(text: &str) -> String {
    let lines = text.lines().skip_while(|line| line.trim() != "preStop:");
    let script = lines.skip_while(|line| line.trim() != "- |").skip(1);
    let script = script.map(str::trim).take_while(|line| *line != "ports:");
    script.collect::<Vec<_>>().join("\n")
}

fn fprs(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fprs"));
    command.args(args);
    command
}
