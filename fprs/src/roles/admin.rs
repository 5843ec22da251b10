//! The admin port of a process: probes, metrics and, behind the token, everything else.

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::serve::ListenerExt;
use fprs_config::follow::Status;
use fprs_control::{AdminToken, ReadyCheck};
use prometheus::Registry;
use tonic::service::Routes;

use crate::failure::Failure;
use crate::process::Parts;

/// What an admin port is made of.
#[expect(missing_debug_implementations, reason = "routes and checks have none")]
pub struct Admin {
    /// The process's metrics.
    pub registry: Registry,
    /// The plane's admin token.
    pub token: String,
    /// Whether the process serves.
    pub ready: ReadyCheck,
    /// What it runs by.
    pub config: Arc<Status>,
    /// Services of roles in this process.
    pub grpc: Routes,
    /// JSON routes of roles in this process.
    pub api: Router,
}

impl Admin {
    /// The port's routes, without control's.
    pub fn into_control_admin(self) -> fprs_control::Admin {
        fprs_control::Admin {
            token: AdminToken::new(&self.token),
            registry: self.registry,
            ready: self.ready,
            config: self.config,
            api: self.api,
            grpc: self.grpc,
        }
    }
}

/// Serves routes on a bound port until the process ends; from `relieved` on it accepts no more, since
/// another process does.
///
/// # Errors
/// The listener can't be used.
pub fn serve(
    listener: TcpListener,
    router: Router,
    parts: &mut Parts,
    relieved: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::from_std(listener)
        .map_err(|error| Failure::new(format!("the admin port can't be used: {error}")))?;
    // Small messages both ways all the time: waiting to fill a segment would cost 40 ms each.
    let listener = listener.tap_io(|stream| {
        stream.set_nodelay(true).ok();
    });
    parts.run("the admin port", async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(relieved);
        if let Err(error) = served.await {
            tracing::error!(%error, "the admin port failed");
        }
    });
    Ok(())
}
