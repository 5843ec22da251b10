//! Captures that are uploaded: whole and signed, tried again until the store takes them, through
//! restarts, and at nobody's cost but the disk's.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fprs_testkit::plane::Settings;
use fprs_testkit::{Pattern, Plane, TempDir, program, until};
use http::Method;
use serde_json::Value;

use crate::s3_double::{KEY, Mood, REGION, S3, SECRET};
use crate::scene::DEADLINE;

/// Requests of one test.
const REQUESTS: usize = 20;

struct World {
    plane: Plane,
    dir: TempDir,
}

impl World {
    /// A plane with a server, a mirror of it that captures, and a place for captures.
    async fn start(endpoint: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let captures = dir.path().join("captures");
        let settings = [
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", REGION),
            ("AWS_ENDPOINT", endpoint),
            ("AWS_ALLOW_HTTP", "true"),
        ]
        .into_iter()
        .fold(
            Settings::new(env!("CARGO_BIN_EXE_fprs")),
            |set, (name, value)| set.env(name, value),
        );
        let settings = settings
            .arg("--capture-dir")
            .arg(captures.to_str().unwrap())
            .arg("--capture-store")
            .arg("s3://bucket/some/place/");
        let plane = settings.start().await;
        for name in ["prod", "shadow"] {
            let pool = "min_replicas = 1\nmax_replicas = 1\nhold = \"10s\"";
            plane.deploy(&program::manifest(name, pool, &[])).await;
        }
        let add = [
            "mirror",
            "add",
            "prod",
            "shadow",
            "--name",
            "m",
            "--capture",
        ];
        plane.run(&add).await.succeeded();
        Self { plane, dir }
    }

    /// Sends requests, which are captured; returns the longest time that one took.
    async fn send(&self) -> Duration {
        let client = self.plane.h2().await.deadline(DEADLINE);
        let host = self.plane.host("prod");
        let mut longest = Duration::ZERO;
        for number in 0..REQUESTS {
            let began = Instant::now();
            let mut request = fprs_testkit::client::get(&host, &format!("/bytes/{number}"));
            *request.method_mut() = Method::POST;
            let stream = client.open(request, true).await.unwrap();
            assert_eq!(stream.response().await.unwrap().status, 200);
            longest = longest.max(began.elapsed());
        }
        until("all to be captured", DEADLINE, async || {
            let lines = self.lines().await;
            (lines >= REQUESTS).then_some(())
        })
        .await;
        longest
    }

    /// Captured so far.
    async fn lines(&self) -> usize {
        let report: Value = self
            .plane
            .run(&["mirror", "report", "m", "--json"])
            .await
            .json();
        let written = report["captures"]["written"].as_u64().unwrap_or_default();
        usize::try_from(written).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.mirror()).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn mirror(&self) -> PathBuf {
        self.dir.path().join("captures").join("m")
    }

    async fn end(&mut self) {
        assert!(self.plane.terminate(DEADLINE).await.success());
    }
}

fn lines(objects: impl IntoIterator<Item = Vec<u8>>) -> usize {
    let text = objects
        .into_iter()
        .flat_map(|object| zstd::stream::decode_all(&*object).unwrap());
    let text: Vec<u8> = text.collect();
    let lines = text.split(|byte| *byte == b'\n');
    lines
        .filter(|line| serde_json::from_slice::<Value>(line).is_ok())
        .count()
}

#[tokio::test]
async fn captures_are_uploaded_whole_and_signed_and_then_gone_from_the_disk() {
    let s3 = S3::start().await;
    let mut world = World::start(&format!("http://{}", s3.address)).await;
    world.send().await;
    // What is there when a plane ends is uploaded first.
    world.end().await;
    let kept = s3.kept();
    assert_eq!(kept.disbelieved, Vec::<String>::new());
    for key in kept.objects.keys() {
        assert!(key.starts_with("/bucket/some/place/m/"), "{key}");
        assert!(key.ends_with(".jsonl.zst"), "{key}");
    }
    assert_eq!(lines(kept.objects.values().cloned()), REQUESTS);
    assert_eq!(world.files(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn what_the_store_refuses_is_kept_and_uploaded_later_and_no_request_waits() {
    for mood in [
        Mood::Fails(503),
        Mood::Fails(403),
        Mood::Slow(Duration::from_secs(30)),
    ] {
        let s3 = S3::start().await;
        s3.mood(mood);
        let mut world = World::start(&format!("http://{}", s3.address)).await;
        // A file that was left there: the store is tried while requests come.
        fs::create_dir_all(world.mirror()).unwrap();
        let earlier = zstd::stream::encode_all(&b"{\"earlier\":1}\n"[..], 1).unwrap();
        fs::write(world.mirror().join("0.jsonl.zst"), &earlier).unwrap();
        until("the store to be tried", DEADLINE, async || {
            (s3.kept().requests > 0).then_some(())
        })
        .await;
        until(
            "the file to be counted as one that waits",
            DEADLINE,
            async || {
                let waits = "fprs_mirror_capture_files_waiting 1\n";
                metrics_of(&world.plane).await.contains(waits).then_some(())
            },
        )
        .await;
        let longest = world.send().await;
        assert!(longest < Duration::from_secs(5), "{longest:?}");
        world.end().await;
        assert_eq!(s3.kept().objects.len(), 0, "{mood:?}");
        assert_eq!(world.files().len(), 2, "{mood:?}");
        s3.mood(Mood::Good);
        world.plane.restart().await;
        until("the files to be uploaded", DEADLINE, async || {
            (s3.kept().objects.len() == 2 && world.files().is_empty()).then_some(())
        })
        .await;
        let kept = s3.kept();
        assert_eq!(lines(kept.objects.values().cloned()), REQUESTS + 1);
    }
}

#[tokio::test]
async fn a_large_file_is_uploaded_in_parts_and_counted() {
    let s3 = S3::start().await;
    let world = World::start(&format!("http://{}", s3.address)).await;
    let body = Pattern::bytes(20 << 20);
    put(&world.mirror(), "0.jsonl.zst", &body);
    until("the file to be uploaded", DEADLINE, async || {
        let files = world.files();
        let gone = files.iter().all(|path| !path.ends_with("0.jsonl.zst"));
        (gone && s3.kept().objects.len() == 1).then_some(())
    })
    .await;
    {
        let kept = s3.kept();
        let object = kept.objects.values().next().unwrap();
        assert!(*object == body, "{} bytes", object.len());
        assert_eq!((kept.parts_completed, kept.disbelieved.len()), (3, 0));
    }
    until("the file to be counted", DEADLINE, async || {
        let uploaded = "fprs_mirror_capture_files_total{result=\"uploaded\"} 1";
        metrics_of(&world.plane)
            .await
            .contains(uploaded)
            .then_some(())
    })
    .await;
}

/// A file that is there whole at once.
fn put(dir: &Path, name: &str, body: &[u8]) {
    fs::create_dir_all(dir).unwrap();
    let part = dir.join("writing");
    fs::write(&part, body).unwrap();
    fs::rename(part, dir.join(name)).unwrap();
}

async fn metrics_of(plane: &Plane) -> String {
    let mut client = fprs_testkit::client::H1::connect(plane.admin())
        .await
        .unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: admin\r\n\r\n";
    client.writer.send(request).await.unwrap();
    client.reader.response().await.unwrap().text()
}

/// Somebody else's S3: `moto_server` of the Python package `moto[server]`, by `$MOTO_SERVER` or in the
/// path.
#[tokio::test]
async fn a_store_of_others_takes_what_is_uploaded() {
    let moto = std::env::var("MOTO_SERVER").unwrap_or_else(|_| "moto_server".to_owned());
    let address = fprs_testkit::ports::unused();
    let started = tokio::process::Command::new(&moto)
        .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(_moto) = started else {
        assert!(
            std::env::var_os("FPRS_REQUIRE_MOTO").is_none(),
            "`{moto}` can't be run, and FPRS_REQUIRE_MOTO is set"
        );
        eprintln!("SKIPPED: `{moto}` can't be run: pip install 'moto[server]'");
        return;
    };
    let ask = async |method: &str, path: &str| {
        let mut client = fprs_testkit::client::H1::connect(address).await.ok()?;
        // It checks no signature, but takes who has none for a stranger.
        let caller = format!("{KEY}/20260101/{REGION}/s3/aws4_request");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: s3\r\ncontent-length: 0\r\n\
             authorization: AWS4-HMAC-SHA256 Credential={caller}, SignedHeaders=host, Signature=0\r\n\r\n"
        );
        client.writer.send(request).await.ok()?;
        client.reader.response().await.ok()
    };
    until(
        "moto to make a bucket",
        Duration::from_secs(60),
        async || {
            let made = ask("PUT", "/bucket").await?;
            (made.status == 200).then_some(())
        },
    )
    .await;
    let mut world = World::start(&format!("http://{address}")).await;
    let large = Pattern::bytes(20 << 20);
    put(&world.mirror(), "0.jsonl.zst", &large);
    world.send().await;
    until("the large file to be uploaded", DEADLINE, async || {
        let files = world.files();
        let gone = files.iter().all(|path| !path.ends_with("0.jsonl.zst"));
        gone.then_some(())
    })
    .await;
    world.end().await;
    assert_eq!(world.files(), Vec::<PathBuf>::new());
    let object = ask("GET", "/bucket/some/place/m/0.jsonl.zst")
        .await
        .unwrap();
    assert!(object.body == large, "{} bytes", object.body.len());
    let listed = ask("GET", "/bucket?list-type=2").await.unwrap().text();
    let keys = listed.split("<Key>").skip(1);
    let keys = keys.filter_map(|rest| rest.split("</Key>").next());
    let mut objects = Vec::new();
    for key in keys.filter(|key| !key.ends_with("/0.jsonl.zst")) {
        let object = ask("GET", &format!("/bucket/{key}")).await.unwrap();
        let (status, bytes) = (object.status, object.body.len());
        assert!(status == 200 && bytes > 0, "{key}: {status}, {bytes} bytes");
        objects.push(object.body.to_vec());
    }
    assert_eq!(lines(objects), REQUESTS);
}
