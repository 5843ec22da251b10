//! What every long-running process of ours does the same way: logging, its control runtime, binding
//! ports, waiting for signals, and noticing when a part of it ends that should not.

use std::future::Future;
use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};
use std::panic::PanicHookInfo;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::settings::LogFormat;

/// Connections the kernel may hold for us until they are accepted; a burst of clients that all
/// reconnect must fit.
const BACKLOG: i32 = 4096;

/// Threads for control work. It never runs on the threads of the data plane.
const CONTROL_THREADS: usize = 2;

/// How nice threads are that requests don't wait for: a tenth of an equal share (sched(7)).
const BEHIND_REQUESTS: i32 = 10;

/// Starts logging to standard error; `FPRS_LOG` chooses what, e.g. `debug` or `fprs=trace`.
pub fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("FPRS_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,h2=warn,gotatun=warn"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        // To tell of a line that could not be written it would write another one, and panic.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => subscriber.with_target(false).try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    // Only a second start in one process fails, and then the first one logs.
    started.ok();
    std::panic::set_hook(Box::new(log_panic));
}

/// A panic is a line of the log like any other, unless somebody catches it and says what it means.
fn log_panic(panic: &PanicHookInfo<'_>) {
    if fprs_config::store::catches_panic() {
        return;
    }
    let message = panic.payload_as_str().unwrap_or("it gave no reason");
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    tracing::error!(
        place,
        message,
        "a part of fprs panicked; report this as a bug"
    );
}

/// The runtime of everything but the data plane.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> Result<Runtime, Failure> {
    started(&mut threads())
}

/// The same for a process that serves requests and starts no programs, which would inherit it: where
/// there is too much to do for a core, requests get ten parts of it and everything else one.
///
/// # Errors
/// The system gives no threads.
pub fn runtime_behind_requests() -> Result<Runtime, Failure> {
    started(threads().on_thread_start(|| {
        // A system that doesn't allow it gives all threads the same.
        rustix::process::setpriority_process(None, BEHIND_REQUESTS).ok();
    }))
}

fn threads() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all();
    builder
}

fn started(builder: &mut Builder) -> Result<Runtime, Failure> {
    let failed = |error| Failure::new(format!("can't start threads: {error}"));
    builder.build().map_err(failed)
}

/// Listens on the address of that flag.
///
/// # Errors
/// Names the address and what to do.
pub fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    let listen = || {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(TcpListener::from(socket))
    };
    listen().map_err(|error: std::io::Error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::AddrInUse => "stop what listens there",
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need more rights",
            _ => "is it an address of this machine?",
        };
        Failure::new(format!(
            "can't listen on {address}: {error}; {remedy}, or choose another with --{flag}"
        ))
    })
}

/// The address a listener got.
///
/// # Errors
/// The system doesn't say.
pub fn bound(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener
        .local_addr()
        .map_err(|error| Failure::new(format!("can't tell the address of a listener: {error}")))
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// The system lets us wait for none.
pub async fn terminated() -> Result<(), Failure> {
    let unable = |error| Failure::new(format!("can't wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(unable)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unable)?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
    }
    Ok(())
}

/// The parts of a process that run until it ends.
#[derive(Debug, Default)]
pub struct Parts {
    tasks: JoinSet<&'static str>,
}

impl Parts {
    /// Runs a part. It is dropped with the process's other parts.
    pub fn run(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            part.await;
            name
        });
    }

    /// Waits until a part ends, which none should.
    pub async fn ended(&mut self) -> Failure {
        match self.tasks.join_next().await {
            Some(Ok(name)) => Failure::new(format!("{name} ended unexpectedly; see the log")),
            Some(Err(error)) => Failure::new(format!("a part of fprs failed: {error}")),
            None => std::future::pending().await,
        }
    }
}
