//! The CNI plugin, of specification 1.1.0, chained after the one that made the interface: it binds the
//! container's address to a pool, or takes that back. Many may run at once, and any may be killed at
//! any point: what is bound is in one file under one lock, written before the kernel is told and
//! changed back after.

mod bindings;
mod call;

use std::io::Read as _;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use crate::agent::{self, PoolState};
use crate::network::Network;
use crate::{files, limits};

use self::bindings::{Binding, Bindings};
use self::call::{Call, Config, Failed, Verb};

pub use self::bindings::BindingsError;

/// Runs the plugin as its caller asks by environment and standard input. What to print, and whether
/// that is a success.
pub async fn run(variable: impl Fn(&str) -> Option<String>) -> (String, bool) {
    let version = std::cell::RefCell::new(call::NEWEST.to_owned());
    let done = async {
        let call = Call::parse(variable)?;
        let mut input = String::new();
        std::io::stdin()
            .take(limits::ANSWER_BYTES as u64)
            .read_to_string(&mut input)
            .map_err(|error| Failed::decode(error.to_string()))?;
        let config = Config::parse(&input, call.verb)?;
        version.replace(config.version.clone());
        perform(&call, &config).await
    };
    match done.await {
        Ok(printed) => (
            printed.map_or_else(String::new, |value| value.to_string()),
            true,
        ),
        Err(failed) => (failed.json(&version.borrow()).to_string(), false),
    }
}

async fn perform(call: &Call, config: &Config) -> Result<Option<Value>, Failed> {
    if call.verb == Verb::Version {
        return Ok(Some(json!({
            "cniVersion": config.version,
            "supportedVersions": call::VERSIONS,
        })));
    }
    let network = Network::open().map_err(Failed::io)?;
    match call.verb {
        Verb::Add => add(&network, call, config).await.map(Some),
        Verb::Check => check(&network, call, config).await.map(|()| None),
        Verb::Del => del(&network, call, config).await.map(|()| None),
        Verb::Gc => gc(&network, config).await.map(|()| None),
        Verb::Status => status(config).map(|()| None),
        Verb::Version => Ok(None),
    }
}

async fn add(network: &Network, call: &Call, config: &Config) -> Result<Value, Failed> {
    let attachment = call.attachment()?;
    let result = config.previous()?;
    let pool = known_pool(config)?;
    let port = config.port(network, &attachment).await?;
    let binding = Binding {
        container: attachment.container,
        interface: attachment.interface,
        pool: config.pool.clone(),
        table: pool.table,
        port,
    };
    // Before anything is looked up there.
    let closed = agent::close_table(network, pool.table, &pool.direct).await;
    closed.map_err(Failed::io)?;
    let mut bindings = Bindings::lock(&config.state_dir, config.map_above)
        .await
        .map_err(Failed::bindings)?;
    let direct = direct(config, &bindings, &pool);
    let bound = bindings.bind(network, binding, &direct).await;
    bound.map_err(Failed::bindings)?;
    Ok(result.clone())
}

async fn del(network: &Network, call: &Call, config: &Config) -> Result<(), Failed> {
    let attachment = call.attachment()?;
    let mut bindings = Bindings::lock(&config.state_dir, config.map_above)
        .await
        .map_err(Failed::bindings)?;
    let kept = |binding: &Binding| {
        binding.container != attachment.container || binding.interface != attachment.interface
    };
    unbind(network, config, &mut bindings, kept).await
}

async fn gc(network: &Network, config: &Config) -> Result<(), Failed> {
    let mut bindings = Bindings::lock(&config.state_dir, config.map_above)
        .await
        .map_err(Failed::bindings)?;
    let kept = |binding: &Binding| {
        // Those of another network are another call's.
        binding.pool != config.pool
            || config.valid.iter().any(|valid| {
                valid.container == binding.container && valid.interface == binding.interface
            })
    };
    unbind(network, config, &mut bindings, kept).await?;
    let own = all_pools(config);
    let swept = bindings.sweep(network, &own).await;
    swept.map_err(Failed::bindings)
}

async fn unbind(
    network: &Network,
    config: &Config,
    bindings: &mut Bindings,
    kept: impl Fn(&Binding) -> bool,
) -> Result<(), Failed> {
    let direct: Vec<Ipv4Net> = all_pools(config)
        .into_iter()
        .flat_map(|pool| pool.direct)
        .collect();
    let unbound = bindings.keep(network, kept, &direct).await;
    unbound.map_err(Failed::bindings)
}

async fn check(network: &Network, call: &Call, config: &Config) -> Result<(), Failed> {
    let attachment = call.attachment()?;
    let bindings = Bindings::lock(&config.state_dir, config.map_above)
        .await
        .map_err(Failed::bindings)?;
    let holds = bindings.holds(network, &attachment, &config.pool).await;
    if holds.map_err(Failed::bindings)? {
        return Ok(());
    }
    Err(Failed::not_bound(&attachment.container, &config.pool))
}

fn status(config: &Config) -> Result<(), Failed> {
    let pool = known_pool(config)?;
    pool.active
        .map(|_| ())
        .ok_or_else(|| Failed::no_tunnel(&config.pool))
}

fn known_pool(config: &Config) -> Result<PoolState, Failed> {
    let path = agent::state_path(&config.state_dir, &config.pool);
    let pool = files::read_json(&path).map_err(Failed::io)?;
    pool.ok_or_else(|| Failed::no_agent(&config.pool))
}

/// Every pool of this host's agent.
fn all_pools(config: &Config) -> Vec<PoolState> {
    let pools = std::fs::read_dir(config.state_dir.join("pools"));
    let files = pools
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    // One that is being replaced is read again by whoever replaces it.
    files
        .filter_map(|path| files::read_json(&path).ok().flatten())
        .collect()
}

/// What all that is bound may reach without a tunnel.
fn direct(config: &Config, bindings: &Bindings, pool: &PoolState) -> Vec<Ipv4Net> {
    if bindings.is_empty() {
        return pool.direct.clone();
    }
    all_pools(config)
        .into_iter()
        .flat_map(|pool| pool.direct)
        .collect()
}
