//! Promise: a record that no build could have written is refused by name and keeps its last good
//! version, in every process; nobody else notices, it heals when it is put right, and a proxy that is
//! started meanwhile has the last good version too.

use std::time::Duration;

use fprs_config::engines::Etcd;
use fprs_proto::etcd::kv_client::KvClient;
use fprs_proto::etcd::request_op::Request;
use fprs_proto::etcd::{PutRequest, RangeRequest, RequestOp, TxnRequest};
use fprs_testkit::client::H1;
use fprs_testkit::{Role, until};
use serde_json::Value;
use tonic::transport::Channel;

use crate::SOON;
use crate::edge::Edge;
use crate::load::Load;
use crate::world::{TOKEN, World};

/// The server whose records are spoiled.
const SICK: &str = "sick.region.localhost";

/// How long a record stays as it is.
fn stays() -> Duration {
    let soak = std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1");
    Duration::from_secs(if soak { 5 } else { 0 })
}

/// The store behind fprs's back.
struct Raw(KvClient<Channel>);

impl Raw {
    async fn new(etcd: &Etcd) -> Self {
        let client = KvClient::connect(format!("http://{}", etcd.address())).await;
        Self(client.unwrap())
    }

    /// Every record by key as fprs shows it, with its row and value.
    async fn records(&mut self) -> Vec<(String, Vec<u8>, Vec<u8>)> {
        let all = RangeRequest {
            key: "plane/records/".into(),
            range_end: "plane/records0".into(),
            ..RangeRequest::default()
        };
        let rows = self.0.range(all).await.unwrap().into_inner().kvs;
        let shown = |row: &[u8]| {
            let row = std::str::from_utf8(row).unwrap();
            row.strip_prefix("plane/records/")
                .unwrap()
                .replace('\0', "/")
        };
        rows.iter()
            .map(|row| (shown(&row.key), row.key.to_vec(), row.value.to_vec()))
            .collect()
    }

    async fn put(&mut self, row: &[u8], value: &[u8]) {
        let put = Request::RequestPut(PutRequest {
            key: row.to_vec().into(),
            value: value.to_vec().into(),
        });
        let transaction = TxnRequest {
            success: vec![RequestOp { request: Some(put) }],
            ..TxnRequest::default()
        };
        self.0.txn(transaction).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_record_is_refused_by_name_and_hurts_nobody() {
    let Some(etcd) = Etcd::start() else {
        return;
    };
    let world = World::start_with(&["--store", &etcd.store("plane")]).await;
    let listen = ["--listen", "127.0.0.1:0"];
    let mut proxies = vec![
        world.proxy("one", &listen).await,
        world.proxy("two", &listen).await,
    ];
    world
        .deploy("sick", "domains = [\"sick.example.com\"]")
        .await;
    for args in [
        &["tenant", "create", "sick"][..],
        &["token", "create", "--tenant", "sick"],
    ] {
        world.cli().run(args).await.succeeded();
    }
    let edge = Edge::start(&proxies.iter().map(listens).collect::<Vec<_>>());
    let load = Load::start(&edge);
    let mut raw = Raw::new(&etcd).await;
    let records = raw.records().await;
    let mut poisoned = 0;
    for (key, row, good) in records {
        // What is busy is written by its owner all the time, and what the load uses isn't to be touched.
        let sick = key.contains("sick") || key.starts_with("token/");
        if !sick {
            continue;
        }
        for bad in [&[0xff; 64][..], &good[..good.len() - 1], &vec![0; 100_000]] {
            raw.put(&row, bad).await;
            refused_everywhere(&proxies, &[&key]).await;
            tokio::time::sleep(stays()).await;
            assert_eq!(status(&proxies[0]).await, 200, "{key}");
            raw.put(&row, &good).await;
            refused_everywhere(&proxies, &[]).await;
            tokio::time::sleep(stays()).await;
        }
        poisoned += 1;
    }
    assert!(
        poisoned >= 6,
        "server, two replicas, domain, tenant and token"
    );
    load.end().await;

    let records = raw.records().await;
    let (key, row, good) = records.iter().find(|it| it.0 == "server/sick").unwrap();
    raw.put(row, &[0xff; 64]).await;
    refused_everywhere(&proxies, &[key]).await;
    // It keeps what it serves by when it ends.
    proxies[0].process().terminate();
    assert!(proxies[0].process().exited(SOON).await.success());
    proxies[0] = world.proxy("one", &listen).await;
    refused_everywhere(&proxies, &[key]).await;
    assert_eq!(status(&proxies[0]).await, 200, "by its last good version");
    raw.put(row, good).await;
    refused_everywhere(&proxies, &[]).await;
    assert_eq!(status(&proxies[0]).await, 200);
}

fn listens(proxy: &Role) -> std::net::SocketAddr {
    proxy.address("listen")
}

async fn status(proxy: &Role) -> u16 {
    let mut client = H1::connect(listens(proxy)).await.unwrap();
    client.get(SICK, "/").await.unwrap().status
}

/// Waits until exactly those records are refused, by each of them.
async fn refused_everywhere(proxies: &[Role], keys: &[&str]) {
    let what = format!("{keys:?} are refused");
    until(&what, SOON, async || {
        for proxy in proxies {
            let mut client = H1::connect(proxy.address("admin")).await.ok()?;
            let ask = format!(
                "GET /v1/config HTTP/1.1\r\nhost: admin\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
            );
            let text = client.exchange(ask).await.ok()?.text();
            let config: Value = serde_json::from_str(&text).unwrap();
            let refused = config["refused"].as_array()?;
            let named: Vec<_> = refused
                .iter()
                .map(|it| it["key"].as_str().unwrap())
                .collect();
            if named != keys {
                return None;
            }
        }
        Some(())
    })
    .await;
}
