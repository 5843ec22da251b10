//! A control process as a relay sees it, driven by a test; and the programs tests run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fprs_config::Version;
use fprs_proto::worker::workers_server::{Workers, WorkersServer};
use fprs_proto::worker::{
    CancelLogs, FromWorker, Heartbeat, Hello, LogLines, Phase, ReplicaUpdate, Start, Stop,
    TailLogs, ToWorker, Welcome, from_worker, to_worker,
};
use fprs_relay::replicas::ReplicaTable;
use fprs_relay::{Relay, RelaySettings};
use prometheus::Registry;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// For what must come, on a machine that does other things too.
pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const TOKEN: &str = "a-token";

/// Accepts workers and hands each connection to the test.
pub(crate) struct FakeControl {
    pub(crate) address: SocketAddr,
    pub(crate) away: Arc<AtomicBool>,
    attached: mpsc::Receiver<Attached>,
}

/// One worker's connection.
pub(crate) struct Attached {
    pub(crate) hello: Hello,
    pub(crate) authorization: String,
    down: mpsc::Sender<Result<ToWorker, Status>>,
    up: Streaming<FromWorker>,
}

/// A relay that runs until it is told to shut down.
pub(crate) struct TestRelay {
    pub(crate) table: Arc<ReplicaTable>,
    pub(crate) registry: Registry,
    shutdown: Option<oneshot::Sender<()>>,
    pub(crate) running: JoinHandle<()>,
    pub(crate) state_dir: TempDir,
}

struct Service {
    attached: mpsc::Sender<Attached>,
    away: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl Workers for Service {
    type AttachStream = ReceiverStream<Result<ToWorker, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<FromWorker>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Status::unavailable("away"));
        }
        let authorization = request.metadata().get("authorization").unwrap();
        let authorization = authorization.to_str().unwrap().to_owned();
        let mut up = request.into_inner();
        let first = up.message().await?.unwrap().message.unwrap();
        let from_worker::Message::Hello(hello) = first else {
            panic!("the first message is {first:?}");
        };
        let (down, messages) = mpsc::channel(64);
        let attached = Attached {
            hello,
            authorization,
            down,
            up,
        };
        attached
            .tell(to_worker::Message::Welcome(Welcome { lease_ms: 5_000 }))
            .await;
        self.attached.send(attached).await.ok().unwrap();
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

impl FakeControl {
    pub(crate) async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, attached) = mpsc::channel(8);
        let away = Arc::new(AtomicBool::new(false));
        let service = Service {
            attached: sender,
            away: Arc::clone(&away),
        };
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(WorkersServer::new(service))
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self {
            address,
            away,
            attached,
        }
    }

    pub(crate) async fn attached(&mut self) -> Attached {
        let attached = timeout(SOON, self.attached.recv()).await;
        attached.expect("no relay attached").unwrap()
    }
}

impl Attached {
    pub(crate) async fn tell(&self, message: to_worker::Message) {
        let message = ToWorker {
            message: Some(message),
        };
        self.down.send(Ok(message)).await.unwrap();
    }

    pub(crate) async fn start(&self, replica: &str, version: &Version) {
        self.tell(to_worker::Message::Start(Start {
            replica: replica.to_owned(),
            server: "hello".to_owned(),
            version: Some(version.to_wire()),
        }))
        .await;
    }

    pub(crate) async fn stop(&self, replica: &str) {
        let replica = replica.to_owned();
        self.tell(to_worker::Message::Stop(Stop { replica })).await;
    }

    pub(crate) async fn tail(&self, request: u64, replica: &str, lines: u32, follow: bool) {
        self.tell(to_worker::Message::TailLogs(TailLogs {
            request,
            replica: replica.to_owned(),
            lines,
            follow,
        }))
        .await;
    }

    pub(crate) async fn cancel(&self, request: u64) {
        self.tell(to_worker::Message::CancelLogs(CancelLogs { request }))
            .await;
    }

    async fn next(&mut self) -> from_worker::Message {
        let next = timeout(SOON, self.up.message()).await;
        let next = next.expect("the relay says nothing").unwrap();
        next.expect("the relay closed").message.unwrap()
    }

    /// The relay has closed its side; what it still said is dropped.
    pub(crate) async fn closed(&mut self) {
        let rest = async { while let Ok(Some(_)) = self.up.message().await {} };
        timeout(SOON, rest).await.expect("the relay stays");
    }

    pub(crate) async fn update(&mut self) -> ReplicaUpdate {
        loop {
            if let from_worker::Message::Replica(update) = self.next().await {
                return update;
            }
        }
    }

    pub(crate) async fn heartbeat(&mut self) -> Heartbeat {
        loop {
            if let from_worker::Message::Heartbeat(heartbeat) = self.next().await {
                return heartbeat;
            }
        }
    }

    pub(crate) async fn logs(&mut self) -> LogLines {
        loop {
            if let from_worker::Message::Logs(logs) = self.next().await {
                return logs;
            }
        }
    }

    /// Collects a request's lines until it ends.
    pub(crate) async fn all_logs(&mut self, request: u64) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let logs = self.logs().await;
            if logs.request != request {
                continue;
            }
            lines.extend(logs.lines);
            if logs.end {
                return lines;
            }
        }
    }

    /// Waits for that word on that replica; another end of it is a failure of the test.
    pub(crate) async fn until(&mut self, replica: &str, phase: Phase) -> ReplicaUpdate {
        loop {
            let update = self.update().await;
            if update.replica != replica {
                continue;
            }
            if update.phase() == phase {
                return update;
            }
            let ended = matches!(update.phase(), Phase::Failed | Phase::Stopped);
            assert!(!ended, "waiting for {phase:?}: {update:?}");
        }
    }

    /// Starts a replica that is to fail and gives the reason.
    pub(crate) async fn failure(&mut self, version: &Version) -> String {
        self.start("failing", version).await;
        self.until("failing", Phase::Failed).await.reason
    }
}

impl TestRelay {
    /// A relay that knows these controls, with changed settings.
    pub(crate) fn with(control: &[SocketAddr], change: impl FnOnce(&mut RelaySettings)) -> Self {
        let state_dir = tempfile::tempdir().unwrap();
        let mut settings = RelaySettings {
            worker_id: Some("w1".to_owned()),
            data_address: "127.0.0.1:7070".parse().unwrap(),
            compute_region: "local".to_owned(),
            capacity: 100,
            reached_by: String::new(),
            control: control.iter().map(ToString::to_string).collect(),
            token: TOKEN.to_owned(),
            state_dir: state_dir.path().to_owned(),
            kill_after: SOON,
            shutdown_timeout: SOON,
            pod: None,
        };
        change(&mut settings);
        let registry = Registry::new();
        let relay = Relay::new(settings, &registry).unwrap();
        let table = relay.table();
        let (shutdown, told) = oneshot::channel::<()>();
        let running = tokio::spawn(relay.run(async {
            drop(told.await);
        }));
        Self {
            table,
            registry,
            shutdown: Some(shutdown),
            running,
            state_dir,
        }
    }

    /// Tells it to shut down.
    pub(crate) fn shut_down(&mut self) {
        self.shutdown.take();
    }

    /// Shuts it down and waits for its end, so that no program outlives the test.
    pub(crate) async fn end(mut self, mut attached: Attached) {
        self.shut_down();
        attached.closed().await;
        drop(attached);
        let ended = timeout(SOON, &mut self.running).await;
        ended.expect("the relay runs on").unwrap();
    }
}

/// A fake control with one relay attached.
pub(crate) async fn attached() -> (FakeControl, Attached, TestRelay) {
    attached_with(|_| {}).await
}

pub(crate) async fn attached_with(
    change: impl FnOnce(&mut RelaySettings),
) -> (FakeControl, Attached, TestRelay) {
    let mut control = FakeControl::serve().await;
    let relay = TestRelay::with(&[control.address], change);
    let attached = control.attached().await;
    (control, attached, relay)
}

/// A version that runs that command.
pub(crate) fn version(command: &[&str]) -> Version {
    Version {
        generation: 1,
        command: command.iter().map(ToString::to_string).collect(),
        image: String::new(),
        h2: false,
        env: [].into(),
        startup_timeout: SOON,
        exit_grace: SOON,
        working_dir: String::new(),
    }
}

/// A version that runs that shell script.
pub(crate) fn shell(script: &str) -> Version {
    version(&["sh", "-c", script])
}

/// A shell script, then a program that listens and waits to be killed. It prints its number.
pub(crate) fn listener_after(script: &str) -> Version {
    let listen = "import os, socket, sys, time
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print('pid', os.getpid(), flush=True)
time.sleep(1000)";
    version(&[
        "sh",
        "-c",
        &format!("{script}\nexec python3 -S -c \"$0\" \"$1\""),
        listen,
        "$PORT",
    ])
}

/// A program that listens and waits to be killed. It prints its number.
pub(crate) fn listener() -> Version {
    listener_after("")
}

/// What follows that word on a line of a replica's output, which is waited for.
pub(crate) async fn printed(attached: &mut Attached, replica: &str, word: &str) -> String {
    attached.tail(u64::MAX, replica, 100, true).await;
    loop {
        let logs = attached.logs().await;
        let found = logs.lines.iter().find_map(|line| {
            let (first, rest) = line.split_once(' ')?;
            (first == word).then(|| rest.to_owned())
        });
        if let Some(found) = found {
            attached.cancel(u64::MAX).await;
            return found;
        }
        assert!(!logs.end, "{replica} never printed {word}");
    }
}

/// No process has that number, but for a dead one that nobody reaped.
pub(crate) fn is_gone(pid: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())) else {
        return true;
    };
    stat.rsplit_once(')').unwrap().1.trim().starts_with('Z')
}

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let polled = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(SOON, polled).await.is_ok(), "never: {what}");
}
