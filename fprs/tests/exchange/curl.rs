//! Promise: real clients see what the others do. curl, over HTTP/1.1 and h2c, on `examples/stream`.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::world::World;

const TOKENS: usize = 20;
const DELAY: Duration = Duration::from_millis(20);

#[tokio::test]
async fn curl_prints_each_token_as_soon_as_the_program_has_it() {
    let mut world = World::alone().await;
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let example = format!("{root}/examples/stream");
    let text = std::fs::read_to_string(format!("{example}/fprs.toml")).unwrap();
    let (keys, env) = text.split_once("[env]").unwrap();
    let manifest = format!("{keys}working_dir = \"{example}\"\n[env]{env}");
    world.deploy("stream", &manifest).await;
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let began = Instant::now();
        let arrivals = tokens(&world, version).await;
        println!(
            "{version}: tokens after {arrivals:?} of {:?}",
            began.elapsed()
        );
        assert_eq!(arrivals.len(), TOKENS, "{version}");
        // Buffered anywhere, they would come together at the end.
        let spread = *arrivals.last().unwrap() - arrivals[0];
        let sent_over = DELAY * u32::try_from(TOKENS - 1).unwrap();
        assert!(
            spread > sent_over * 8 / 10,
            "{version}: all within {spread:?}"
        );
    }
    world.end().await;
}

/// When each token came.
async fn tokens(world: &World, version: &str) -> Vec<Duration> {
    let host = world.plane.host("stream");
    let listen = world.plane.listen();
    let delay = DELAY.as_millis();
    let mut curl = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--no-buffer", version])
        .args(["--max-time", "20", "--noproxy", "*"])
        .args(["--header", &format!("host: {host}")])
        .args([
            "--json",
            &format!("{{\"stream\": true, \"max_tokens\": {TOKENS}}}"),
        ])
        .arg(format!(
            "http://{listen}/v1/chat/completions?delay_ms={delay}"
        ))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("curl is installed");
    let began = Instant::now();
    let mut lines = BufReader::new(curl.stdout.take().unwrap()).lines();
    let mut arrivals = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        let Some(event) = line.strip_prefix("data: {") else {
            continue;
        };
        let event: Value = serde_json::from_str(&format!("{{{event}")).unwrap();
        if event["choices"][0]["delta"]["content"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
        {
            arrivals.push(began.elapsed());
        }
    }
    assert!(curl.wait().await.unwrap().success(), "{version}");
    arrivals
}
