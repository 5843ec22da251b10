//! A plane with one origin behind it, and what that origin noted.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use fprs_testkit::client::{H1, Response};
use fprs_testkit::{Plane, until};
use serde_json::Value;

use crate::row::plain;

/// Longest an interpreter may take to start on a busy machine, and anything else to happen.
const LONGEST: Duration = Duration::from_secs(40);

/// The origin's name as a server.
const SERVER: &str = "origin";

/// A plane and an origin.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) plane: Plane,
    record: PathBuf,
    /// Lines of the record that were looked at.
    read: usize,
    markers: usize,
}

impl Stage {
    /// Deploys the origin and waits until it answers.
    pub(crate) async fn set(command: &[String]) -> Self {
        let plane = Plane::start(env!("CARGO_BIN_EXE_fprs")).await;
        let record = plane.dir().join("record");
        let command = Value::from(command);
        let noted = Value::from(record.to_str().unwrap());
        plane
            .deploy(&format!(
                "name = \"{SERVER}\"\ncommand = {command}\nauth = \"public\"\nmin_replicas = 1\n\
                 max_replicas = 1\nstartup_timeout = \"40s\"\n\
                 env = {{ RECORD = {noted}, PYTHONDONTWRITEBYTECODE = \"1\" }}\n"
            ))
            .await;
        let mut stage = Self {
            plane,
            record,
            read: 0,
            markers: 0,
        };
        until("the origin answers", LONGEST, async || {
            (stage.get("/up").await.status == 200).then_some(())
        })
        .await;
        stage.read = stage.until_noted("/up").await.len();
        stage
    }

    /// The origin's host name.
    pub(crate) fn host(&self) -> String {
        self.plane.host(SERVER)
    }

    /// A target that no other request has.
    pub(crate) fn marker(&mut self) -> String {
        self.markers += 1;
        format!("/marker-{}", self.markers)
    }

    /// A GET on a connection of its own.
    async fn get(&self, target: &str) -> Response {
        let mut client = H1::connect(self.plane.listen()).await.unwrap();
        client.get(&self.host(), target).await.unwrap()
    }

    /// What the origin has read since this was last asked, after it has read one more request.
    pub(crate) async fn noted(&mut self) -> Vec<Value> {
        let marker = self.marker();
        let answer = self.get(&marker).await;
        assert_eq!((answer.status, answer.text()), (200, marker.clone()));
        let mut noted = self.until_noted(&marker).await;
        noted.drain(..self.read);
        self.read += noted.len();
        let last = noted.pop().unwrap();
        assert_eq!(without_raw(last), plain(&self.host(), &marker));
        noted.into_iter().map(without_raw).collect()
    }

    /// All that was noted, once a target is.
    async fn until_noted(&self, target: &str) -> Vec<Value> {
        let what = format!("{target} at the origin");
        let started = Instant::now();
        loop {
            let text = std::fs::read_to_string(&self.record).unwrap_or_default();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let noted: Vec<Value> = whole
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            if noted.last().is_some_and(|noted| noted["target"] == target) {
                return noted;
            }
            assert!(started.elapsed() < LONGEST, "{what}: {noted:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn without_raw(mut noted: Value) -> Value {
    if noted.get("wrong").is_none() {
        noted.as_object_mut().unwrap().remove("raw");
    }
    noted
}
