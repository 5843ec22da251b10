//! `fprs egress …`: runs a gateway, an agent, the reconciler or the CNI plugin, shows what a gateway
//! holds, and makes its certificate.

mod pools;

use std::path::Path;

use fprs_egress::agent::settings::AgentSettings;
use fprs_egress::client::GatewayClient;
use fprs_egress::gateway::settings::GatewaySettings;
use fprs_egress::reconciler::ReconcilerSettings;
use fprs_egress::wire::GatewayStatus;
use fprs_egress::{agent, certificate, cni, files, gateway, reconciler, tls, tunnel};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::cli::egress::{EgressCommand, EgressRole};
use crate::failure::Failure;
use crate::process;
use crate::settings::LogFormat;
use crate::table::Table;

/// Does it.
///
/// # Errors
/// Says what is wrong with the settings, or what the process could not go on without.
pub(super) fn run(command: EgressCommand) -> Result<(), Failure> {
    match command {
        EgressCommand::Gateway(following) => {
            let plane = following.token_file.map(|token_file| gateway::Plane {
                control: following.control,
                token_file,
                pools: following.pools,
            });
            let role = following.role;
            let settings = GatewaySettings::read(&role.settings, plane.is_some());
            let settings = settings.map_err(Failure::new)?;
            serve(&role, async |ready| {
                gateway::run(settings, plane, ready).await
            })
        }
        EgressCommand::Agent(following) => {
            let plane = following.token_file.map(|token_file| agent::Plane {
                control: following.control,
                token_file,
                pools: following.pools,
            });
            let role = following.role;
            let settings = AgentSettings::read(&role.settings).map_err(Failure::new)?;
            serve(&role, async |ready| {
                agent::run(settings, plane, ready).await
            })
        }
        EgressCommand::Reconciler(role) => {
            let settings = ReconcilerSettings::read(&role.settings).map_err(Failure::new)?;
            serve(&role, async |ready| reconciler::run(settings, ready).await)
        }
        EgressCommand::Pool(command) => pools::pool(command),
        EgressCommand::Cni => plugin(),
        EgressCommand::Guard => {
            process::log(LogFormat::Text);
            let runtime = Builder::new_current_thread().enable_all().build();
            let guarded = runtime.map_err(Failure::new)?.block_on(tunnel::guard());
            guarded.map_err(Failure::new)
        }
        EgressCommand::Status {
            gateway,
            authority,
            secret_file,
            json,
        } => {
            let tls = tls::client(&authority).map_err(Failure::new)?;
            let client = GatewayClient::new(gateway, tls, &secret(&secret_file)?);
            let status = runtime()?.block_on(client.get("/v1/status"));
            show(&status.map_err(Failure::new)?, json)
        }
        EgressCommand::Certificate { name, address, dir } => {
            certificate::make(&dir, &name, address).map_err(Failure::new)
        }
    }
}

/// Runs a part until it ends or the process is to.
fn serve<E: std::fmt::Display>(
    role: &EgressRole,
    part: impl AsyncFnOnce(Box<dyn FnOnce()>) -> Result<(), E>,
) -> Result<(), Failure> {
    process::log(role.log_format);
    let ready_file = role.ready_file.clone();
    let ready = Box::new(move || {
        if let Some(path) = ready_file
            && let Err(error) = files::write_json(&path, &json!({ "pid": std::process::id() }))
        {
            tracing::warn!(%error, path = %path.display(), "the ready file is not written");
        }
    });
    runtime()?.block_on(async {
        tokio::select! {
            ended = part(ready) => ended.map_err(Failure::new),
            ended = process::terminated() => ended,
        }
    })
}

/// Its answer is what it prints; the exit code only says whether that is an error.
fn plugin() -> Result<(), Failure> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let (printed, done) = runtime.block_on(cni::run(|name| std::env::var(name).ok()));
    if !printed.is_empty() {
        println!("{printed}");
    }
    if done {
        Ok(())
    } else {
        Err(Failure::new("the CNI call failed; its answer says why"))
    }
}

/// All cores: tunnels are encrypted here.
fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .thread_name("egress")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("can't start threads: {error}")))
}

fn secret(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path);
    text.map_err(|error| Failure::new(format!("can't read `{}`: {error}", path.display())))
}

fn show(status: &GatewayStatus, json: bool) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string_pretty(status).map_err(Failure::new)?;
        println!("{text}");
        return Ok(());
    }
    let mut table = Table::new(&[
        "STATIC IP",
        "EPOCH",
        "AGENT",
        "ADDRESS",
        "PORTS",
        "HANDSHAKE",
        "IN",
        "OUT",
    ]);
    for address in &status.static_ips {
        let (ip, epoch) = (address.static_ip.to_string(), address.epoch.to_string());
        if address.peers.is_empty() {
            let empty = String::new;
            table.row([
                ip,
                epoch,
                empty(),
                empty(),
                empty(),
                empty(),
                empty(),
                empty(),
            ]);
            continue;
        }
        for peer in &address.peers {
            let age = peer.handshake_seconds;
            table.row([
                ip.clone(),
                epoch.clone(),
                peer.identity.clone(),
                peer.address.to_string(),
                format!("{}-{}", peer.ports.first, peer.ports.last),
                age.map_or_else(String::new, |seconds| format!("{seconds} s ago")),
                peer.received.to_string(),
                peer.sent.to_string(),
            ]);
        }
    }
    println!("{table}");
    println!("{}", used(status));
    Ok(())
}

/// What each tenant has used of each static IP.
fn used(status: &GatewayStatus) -> Table<4> {
    let mut table = Table::new(&["TENANT", "STATIC IP", "BYTES IN", "BYTES OUT"]);
    for address in &status.static_ips {
        for used in &address.usage {
            let tenant = match &*used.tenant {
                "" => "(none)",
                tenant => tenant,
            };
            table.row([
                tenant.to_owned(),
                address.static_ip.to_string(),
                used.received.to_string(),
                used.sent.to_string(),
            ]);
        }
    }
    table
}
