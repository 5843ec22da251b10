//! The admin port of a process: probes, metrics and, behind the token, everything else.

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use fprs_control::{AdminToken, ConfigStatus, ReadyCheck};
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
    pub config: Arc<dyn ConfigStatus>,
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

/// Serves routes on a bound port until the process ends.
///
/// # Errors
/// The listener can't be used.
pub fn serve(listener: TcpListener, router: Router, parts: &mut Parts) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::from_std(listener)
        .map_err(|error| Failure::new(format!("the admin port can't be used: {error}")))?;
    parts.run("the admin port", async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the admin port failed");
        }
    });
    Ok(())
}
