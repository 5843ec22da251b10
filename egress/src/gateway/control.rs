//! What agents, the reconciler and operators ask of a gateway over HTTPS. An agent's credential
//! touches that agent's places and nothing else; a body and the time for it are bounded.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use prometheus::TextEncoder;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::Metrics;
use super::discovery::Interfaces;
use super::epochs::Epochs;
use super::peers::{NotConnected, PeersHandle};
use super::serving::Served;
use crate::allocate;
use crate::credential::SecretHash;
use crate::limits;
use crate::wire::{AddressStatus, Connect, Disconnect, GatewayStatus, Ownerships, Refusal};

/// What requests are answered from.
#[derive(Clone, Debug)]
pub(super) struct Control {
    pub(super) name: String,
    pub(super) admin: SecretHash,
    pub(super) served: watch::Receiver<Served>,
    pub(super) interfaces: Interfaces,
    pub(super) epochs: Epochs,
    pub(super) metrics: Metrics,
}

/// A request that was refused: status, the counter's word for it, and what the caller reads.
struct Refused(StatusCode, &'static str, Refusal);

impl Refused {
    fn new(status: StatusCode, counted: &'static str, error: impl Into<String>) -> Self {
        let error = error.into();
        Self(status, counted, Refusal { error, free: None })
    }
}

/// Every route.
pub(super) fn router(control: Control) -> Router {
    Router::new()
        .route("/v1/connect", post(connect))
        .route("/v1/disconnect", post(disconnect))
        .route("/v1/status", get(status))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES))
        .merge(
            Router::new()
                .route("/v1/ownership", post(ownership))
                .layer(DefaultBodyLimit::max(limits::OWNERSHIP_BYTES)),
        )
        .with_state(control)
}

async fn connect(State(control): State<Control>, request: Request) -> Response {
    let done = async {
        let identity = control.agent(request.headers())?;
        let asked: Connect = body(request).await?;
        let peers = control.peers_of(asked.static_ip)?;
        let connected = peers.connect(identity, asked.public_key, asked.want).await;
        connected.map(Json).map_err(Refused::from)
    };
    control.answer("connect", done.await)
}

async fn disconnect(State(control): State<Control>, request: Request) -> Response {
    let done = async {
        let identity = control.agent(request.headers())?;
        let asked: Disconnect = body(request).await?;
        let peers = control.peers_of(asked.static_ip)?;
        if peers.disconnect(identity).await {
            return Ok(StatusCode::NO_CONTENT);
        }
        let error = "this gateway has too much to do; try again";
        Err(Refused::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "failed",
            error,
        ))
    };
    control.answer("disconnect", done.await)
}

async fn ownership(State(control): State<Control>, request: Request) -> Response {
    let done = async {
        control.operator(request.headers())?;
        let asked: Ownerships = body(request).await?;
        let Ownerships { term, static_ips } = asked;
        let known = |ip| control.peers_of(ip).is_ok();
        let (own, others): (Vec<_>, Vec<_>) = static_ips
            .into_iter()
            .partition(|ownership| known(ownership.static_ip));
        let set = control.epochs.set(term, own);
        set.map_err(|older| {
            let error = format!(
                "the reconciler of term {term} was relieved by that of term {}",
                older.term
            );
            Refused::new(StatusCode::CONFLICT, "older_term", error)
        })?;
        // One that comes or goes in the plane keeps no other from its owner.
        for ownership in &others {
            control.peers_of(ownership.static_ip)?;
        }
        Ok(StatusCode::NO_CONTENT)
    };
    control.answer("ownership", done.await)
}

async fn status(State(control): State<Control>, headers: HeaderMap) -> Response {
    let done = async {
        control.operator(&headers)?;
        Ok(Json(control.status().await))
    };
    control.answer("status", done.await)
}

async fn metrics(State(control): State<Control>, headers: HeaderMap) -> Response {
    let done = async {
        control.operator(&headers)?;
        let mut text = TextEncoder::new()
            .encode_to_string(&control.metrics.registry.gather())
            .unwrap_or_default();
        text.push_str(&exposition(&control.status().await));
        Ok(text)
    };
    control.answer("metrics", done.await)
}

impl Control {
    fn agent(&self, headers: &HeaderMap) -> Result<Arc<str>, Refused> {
        let agents = Arc::clone(&self.served.borrow().agents);
        let identity = authorization(headers).and_then(|text| agents.identity(text));
        identity.ok_or_else(unauthenticated)
    }

    fn operator(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let secret = authorization(headers).and_then(|text| text.strip_prefix("Bearer "));
        let fits = secret.is_some_and(|secret| self.admin.fits(secret));
        fits.then_some(()).ok_or_else(unauthenticated)
    }

    fn peers_of(&self, static_ip: Ipv4Addr) -> Result<PeersHandle, Refused> {
        let peers = self.served.borrow().peers.get(&static_ip).cloned();
        peers.ok_or_else(|| {
            let error = format!("{static_ip} is not a static IP of {}", self.name);
            Refused::new(StatusCode::NOT_FOUND, "unknown_ip", error)
        })
    }

    async fn status(&self) -> GatewayStatus {
        let mut static_ips = Vec::new();
        let Served { peers, locals, .. } = self.served.borrow().clone();
        for (static_ip, peers) in peers.iter() {
            let (peers, usage) = peers.status().await;
            let local = locals.get(static_ip).copied().unwrap_or(*static_ip);
            static_ips.push(AddressStatus {
                local,
                interface: self.interfaces.borrow().get(&local).cloned(),
                static_ip: *static_ip,
                epoch: self.epochs.of(*static_ip),
                peers,
                usage,
            });
        }
        let (term, led) = self.epochs.leader();
        GatewayStatus {
            gateway: self.name.clone(),
            term,
            led,
            static_ips,
        }
    }

    fn answer(&self, request: &str, done: Result<impl IntoResponse, Refused>) -> Response {
        match done {
            Ok(answer) => {
                self.metrics.count(request, "ok");
                answer.into_response()
            }
            Err(Refused(status, counted, refusal)) => {
                self.metrics.count(request, counted);
                tracing::debug!(request, counted, error = refusal.error, "refused");
                (status, Json(refusal)).into_response()
            }
        }
    }
}

impl From<NotConnected> for Refused {
    fn from(why: NotConnected) -> Self {
        match why {
            NotConnected::Refused { why, free } => {
                let (status, counted) = match why {
                    allocate::Refused::Full => (StatusCode::SERVICE_UNAVAILABLE, "full"),
                    allocate::Refused::KeyTaken => (StatusCode::FORBIDDEN, "key_taken"),
                    allocate::Refused::Taken { .. } => (StatusCode::CONFLICT, "address_taken"),
                };
                let error = why.to_string();
                Self(status, counted, Refusal { error, free })
            }
            NotConnected::Failed(error) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "failed", error)
            }
        }
    }
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}

fn unauthenticated() -> Refused {
    let error = "no valid credential: `Authorization: Bearer <identity>.<secret>`";
    Refused::new(StatusCode::UNAUTHORIZED, "unauthenticated", error)
}

/// Reads the body, which must be what is asked for, small, and there soon.
async fn body<T: DeserializeOwned>(request: Request) -> Result<T, Refused> {
    let read = tokio::time::timeout(limits::BODY, Bytes::from_request(request, &()));
    let bytes = match read.await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let error = "the request is larger than any that makes sense";
            return Err(Refused::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                error,
            ));
        }
        Ok(Err(rejection)) => {
            let error = rejection.body_text();
            return Err(Refused::new(StatusCode::BAD_REQUEST, "bad_request", error));
        }
        Err(_) => {
            let error = "the request did not end in time";
            return Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "too_slow", error));
        }
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, "bad_request", error.to_string()))
}

/// What is counted for each static IP and each peer, as Prometheus reads it. Peers come and go, so
/// their series are made when somebody asks.
fn exposition(status: &GatewayStatus) -> String {
    use std::fmt::Write as _;

    let mut text = String::new();
    for (name, help, value) in [
        ("term", "Newest term of a reconciler.", status.term),
        (
            "led",
            "1 while a reconciler looks at this gateway.",
            u64::from(status.led),
        ),
    ] {
        let metric = format!("fprs_egress_{name}");
        writeln!(
            text,
            "# HELP {metric} {help}\n# TYPE {metric} gauge\n{metric} {value}"
        )
        .ok();
    }
    let metric = "fprs_egress_usage_bytes_total";
    let help = "Bytes of a tenant's agents, by direction, over all their sessions.";
    writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} counter").ok();
    for address in &status.static_ips {
        for used in &address.usage {
            for (way, bytes) in [("in", used.received), ("out", used.sent)] {
                let (ip, tenant) = (address.static_ip, &used.tenant);
                let labels = format!("static_ip=\"{ip}\",tenant=\"{tenant}\",way=\"{way}\"");
                writeln!(text, "{metric}{{{labels}}} {bytes}").ok();
            }
        }
    }
    for (name, kind, help) in [
        (
            "epoch",
            "gauge",
            "Epoch in which the static IP is owned here, or 0.",
        ),
        ("peers", "gauge", "Peers of the static IP."),
        ("peer_received_bytes", "counter", "Bytes from a peer."),
        ("peer_sent_bytes", "counter", "Bytes to a peer."),
        (
            "peer_handshake_seconds",
            "gauge",
            "Age of a peer's last handshake.",
        ),
    ] {
        let metric = format!("fprs_egress_{name}");
        writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} {kind}").ok();
        for address in &status.static_ips {
            let ip = address.static_ip;
            let whole = match name {
                "epoch" => Some(address.epoch),
                "peers" => Some(address.peers.len() as u64),
                _ => None,
            };
            if let Some(value) = whole {
                writeln!(text, "{metric}{{static_ip=\"{ip}\"}} {value}").ok();
                continue;
            }
            for peer in &address.peers {
                let value = match name {
                    "peer_received_bytes" => Some(peer.received),
                    "peer_sent_bytes" => Some(peer.sent),
                    _ => peer.handshake_seconds,
                };
                let Some(value) = value else { continue };
                let identity = &peer.identity;
                writeln!(
                    text,
                    "{metric}{{static_ip=\"{ip}\",identity=\"{identity}\"}} {value}"
                )
                .ok();
            }
        }
    }
    text
}
