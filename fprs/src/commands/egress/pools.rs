//! What users ask about egress pools.

use serde_json::{Value, json};

use crate::cli::egress::{AddPool, OfGateway, PoolCommand};
use crate::cli::{Output, Target};
use crate::client::Client;
use crate::commands::ask::{at, items, print, print_json, segment, text};
use crate::failure::Failure;
use crate::table::Table;

pub(super) fn pool(command: PoolCommand) -> Result<(), Failure> {
    match command {
        PoolCommand::Add(pool) => add(&pool),
        PoolCommand::List { target, output } => list(&target, output),
        PoolCommand::Remove { name, target } => {
            Client::find(&target)?.delete(&path(&name))?;
            print(&format!("egress pool {name} removed\n"))
        }
        PoolCommand::Drain(of) => {
            order(&of, "drain")?;
            let OfGateway { name, gateway, .. } = of;
            print(&format!("addresses of {name} move away from {gateway}\n"))
        }
        PoolCommand::Resume(of) => {
            order(&of, "resume")?;
            let OfGateway { name, gateway, .. } = of;
            print(&format!("{gateway} may own addresses of {name} again\n"))
        }
    }
}

fn add(pool: &AddPool) -> Result<(), Failure> {
    let gateways: Vec<Value> = pool
        .gateways
        .iter()
        .map(|gateway| {
            let (name, control) = gateway.split_once('=').ok_or_else(|| {
                Failure::usage(format!(
                    "--gateway `{gateway}`: write it like `g1=203.0.113.1:8443`"
                ))
            })?;
            Ok(json!({ "name": name, "control": control }))
        })
        .collect::<Result<_, Failure>>()?;
    let spec = json!({
        "static_ips": pool.static_ips, "gateways": gateways, "provider": pool.provider,
        "policy": pool.policy, "megabits": pool.megabits,
        "tenant": pool.tenant.as_deref().unwrap_or_default(),
    });
    let name = &pool.name;
    Client::find(&pool.target)?.put(&path(name), &spec)?;
    let count = pool.static_ips.len();
    print(&format!("egress pool {name}: {count} static IPs\n"))
}

fn list(target: &Target, output: Output) -> Result<(), Failure> {
    let pools = Client::find(target)?.get("/v1/egress/pools")?;
    if output.json {
        return print_json(&pools);
    }
    let mut table = Table::new(&[
        "NAME",
        "STATIC IPS",
        "GATEWAYS",
        "PROVIDER",
        "POLICY",
        "MBIT/S",
        "TENANT",
        "SERVERS",
    ]);
    for pool in items(&pools) {
        let of = |key: &str| items(pool.get(key).unwrap_or(&Value::Null));
        let words = |key: &str| {
            let words = of(key).iter().filter_map(Value::as_str);
            words.collect::<Vec<_>>().join(" ")
        };
        let gateways: Vec<String> = of("gateways").iter().map(gateway).collect();
        table.row([
            text(pool, "name").to_owned(),
            words("static_ips"),
            gateways.join(" "),
            text(pool, "provider").to_owned(),
            text(pool, "policy").to_owned(),
            match pool.get("megabits") {
                Some(Value::Number(_)) => at(pool, &["megabits"]),
                _ => String::new(),
            },
            text(pool, "tenant").to_owned(),
            words("servers"),
        ]);
    }
    print(&table.to_string())
}

fn gateway(gateway: &Value) -> String {
    let name = text(gateway, "name");
    match gateway.get("draining").and_then(Value::as_bool) {
        Some(true) => format!("{name}(draining)"),
        _ => name.to_owned(),
    }
}

fn order(of: &OfGateway, order: &str) -> Result<Value, Failure> {
    let gateway = segment(&of.gateway);
    let path = format!("{}/gateways/{gateway}/{order}", path(&of.name));
    Client::find(&of.target)?.post(&path, &json!({}))
}

fn path(name: &str) -> String {
    format!("/v1/egress/pools/{}", segment(name))
}
