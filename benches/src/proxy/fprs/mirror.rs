//! A mirror of all requests of the server under test, one like it without, and what became of copies.

use std::{
    fmt::Debug,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use anyhow::{Context as _, Result};

use super::{SERVER, plane::Plane, shadow, worker};
use crate::{cases::Shadow, proxy::Site};

/// The mirror.
const NAME: &str = "bench";
/// The server that gets copies.
const TO: &str = "shadow";
/// Where its replicas run.
const REGION: &str = "shadows";
/// Copies in flight that a healthy shadow may have: more than there are requests.
const COPIES: &str = "1000";

/// Deploys the shadow and mirrors all requests to it. What is returned lives as long as it is to.
pub(super) fn begin(
    site: &Site<'_>,
    plane: &Plane,
    kind: Shadow,
) -> Result<Vec<Box<dyn Debug + Send>>> {
    let mut kept: Vec<Box<dyn Debug + Send>> = Vec::new();
    let replicas = u32::from(kind != Shadow::Absent);
    let text = format!(
        "name = \"{TO}\"\ncommand = [\"none\"]\nh2 = true\nauth = \"public\"\n\
         compute_region = \"{REGION}\"\nmin_replicas = {replicas}\nmax_replicas = 1\n"
    );
    let file = site.folder.join("shadow.toml");
    fs::write(&file, text)?;
    if kind != Shadow::Absent {
        let (address, shadow) = shadow::start(kind, site.upstream)?;
        kept.push(Box::new(worker::attach(plane.admin, REGION, address)?));
        kept.extend(shadow);
    }
    plane.deploy(&file)?;
    if kind != Shadow::Absent {
        plane.ready_replica(TO)?;
    }
    let mut words = vec!["mirror", "add", SERVER, TO, "--name", NAME];
    if kind == Shadow::Healthy {
        words.extend(["--copies", COPIES]);
    }
    plane.ask(&words)?;
    Ok(kept)
}

/// Copies that have ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Copies {
    complete: f64,
    all: f64,
}

impl Copies {
    /// The share of those since then that the shadow answered whole.
    pub(crate) fn since(self, before: Self) -> f64 {
        (self.complete - before.complete) / (self.all - before.all).max(1.0)
    }
}

/// What the proxy with those metrics says of its copies.
pub(crate) fn copies(metrics: SocketAddr) -> Result<Copies> {
    let mut stream = TcpStream::connect(metrics)?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let mut copies = Copies::default();
    let lines = answer.lines();
    for line in lines.filter(|line| line.starts_with("fprs_mirror_requests_total{")) {
        let count = line.rsplit(' ').next().context("a metric without value")?;
        let count: f64 = count.parse()?;
        copies.all += count;
        if line.contains("end=\"complete\"") {
            copies.complete += count;
        }
    }
    Ok(copies)
}
