//! What users ask about those who call: tokens, tenants and issuers.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::ask::{at, items, print, print_json, segment, staged, text};
use crate::cli::callers::{IssuerCommand, LimitArgs, TenantCommand, TokenCommand};
use crate::cli::{Output, Target};
use crate::client::Client;
use crate::failure::Failure;
use crate::table::Table;

pub(super) fn token(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create {
            tenant,
            server,
            role,
            ttl,
            target,
            output,
        } => {
            let mut wish = wish(tenant, server, ttl.as_deref())?;
            wish.insert("role".to_owned(), role.into());
            let made = Client::find(&target)?.post("/v1/tokens", &wish)?;
            show_secret(&made, output)
        }
        TokenCommand::Mint {
            server,
            tenant,
            ttl,
            target,
            output,
        } => {
            let wish = wish(tenant, server, Some(&ttl))?;
            let made = Client::find(&target)?.post("/v1/tickets", &wish)?;
            show_secret(&made, output)
        }
        TokenCommand::List { target, output } => list_tokens(&target, output),
        TokenCommand::Revoke { id, target } => {
            Client::find(&target)?.delete(&format!("/v1/tokens/{}", segment(&id)))?;
            print(&format!("{id} revoked\n"))
        }
        TokenCommand::Rotate {
            id,
            finish,
            target,
            output,
        } => {
            let path = format!("/v1/tokens/{}/rotate", segment(&id));
            let rotated = Client::find(&target)?.post(&path, &json!({ "finish": finish }))?;
            match finish {
                true if output.json => print_json(&rotated),
                true => print(&format!("{id} has only its new secret now\n")),
                false => show_secret(&rotated, output),
            }
        }
    }
}

/// The one time a secret is shown.
fn show_secret(made: &Value, output: Output) -> Result<(), Failure> {
    if output.json {
        return print_json(made);
    }
    print(&format!(
        "id      {}\nsecret  {}\n\n  authorization: Bearer {}\n\nIt is not shown again.\n",
        text(made, "id"),
        text(made, "secret"),
        text(made, "token"),
    ))
}

fn wish(
    tenant: Option<String>,
    server: Option<String>,
    ttl: Option<&str>,
) -> Result<Map<String, Value>, Failure> {
    let ttl = ttl.map(lifetime).transpose()?;
    let parts = [
        ("tenant", tenant.map(Value::from)),
        ("server", server.map(Value::from)),
        ("ttl_ms", ttl.map(Value::from)),
    ];
    let given = parts.into_iter();
    Ok(given
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect())
}

/// In milliseconds.
fn lifetime(text: &str) -> Result<u64, Failure> {
    let duration: Duration = humantime::parse_duration(text).map_err(|error| {
        Failure::usage(format!(
            "--ttl `{text}`: {error}; write it like `30d`, `12h` or `90s`"
        ))
    })?;
    u64::try_from(duration.as_millis()).map_err(Failure::usage)
}

fn list_tokens(target: &Target, output: Output) -> Result<(), Failure> {
    let tokens = Client::find(target)?.get("/v1/tokens")?;
    if output.json {
        return print_json(&tokens);
    }
    let mut table = Table::new(&["ID", "ROLE", "TENANT", "SERVER", "SECRETS", "EXPIRES"]);
    for token in items(&tokens) {
        table.row([
            text(token, "id").to_owned(),
            text(token, "role").to_owned(),
            text(token, "tenant").to_owned(),
            text(token, "server").to_owned(),
            at(token, &["secrets"]),
            expiry(token),
        ]);
    }
    print(&table.to_string())
}

fn expiry(token: &Value) -> String {
    let expires = token.get("expires_unix_ms").and_then(Value::as_u64);
    let time = expires.and_then(|ms| std::time::UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
    time.map_or_else(String::new, |time| {
        humantime::format_rfc3339_seconds(time).to_string()
    })
}

pub(super) fn tenant(command: TenantCommand) -> Result<(), Failure> {
    match command {
        TenantCommand::Create {
            name,
            limits,
            target,
        } => {
            let client = Client::find(&target)?;
            let exists = items(&client.get("/v1/tenants")?)
                .iter()
                .any(|tenant| text(tenant, "name") == name);
            if exists {
                return Err(Failure::new(format!(
                    "there is a tenant `{name}` already; `fprs tenant set` changes it"
                )));
            }
            put_tenant(&client, &name, Map::new(), &limits)?;
            print(&format!("tenant {name} created\n"))
        }
        TenantCommand::Set {
            name,
            limits,
            stage,
            target,
        } => {
            let client = Client::find(&target)?.staging(&stage);
            let current = client.get(&format!("/v1/tenants/{}", segment(&name)))?;
            let kept = |(name, value): (&String, &Value)| {
                let is_limit = limits.named().iter().any(|(limit, _)| limit == name);
                is_limit.then(|| (name.clone(), value.clone()))
            };
            let current = current.as_object().into_iter().flatten().filter_map(kept);
            let put = put_tenant(&client, &name, current.collect(), &limits)?;
            print(&staged(&put).unwrap_or_else(|| format!("tenant {name} changed\n")))
        }
        TenantCommand::List { target, output } => list_tenants(&target, output),
        TenantCommand::Delete { name, target } => {
            Client::find(&target)?.delete(&format!("/v1/tenants/{}", segment(&name)))?;
            print(&format!("tenant {name} deleted\n"))
        }
    }
}

fn put_tenant(
    client: &Client,
    name: &str,
    mut spec: Map<String, Value>,
    limits: &LimitArgs,
) -> Result<Value, Failure> {
    for (limit, given) in limits.named() {
        let value = match given.as_deref() {
            None => continue,
            Some("none") => Value::Null,
            Some(number) => {
                let number: u64 = number.parse().map_err(|_| {
                    let flag = limit.replace('_', "-");
                    Failure::usage(format!("--{flag} `{number}` is no number and not `none`"))
                })?;
                number.into()
            }
        };
        spec.insert(limit.to_owned(), value);
    }
    client.put(&format!("/v1/tenants/{}", segment(name)), &spec)
}

impl LimitArgs {
    /// Every limit by its name in the API.
    fn named(&self) -> [(&'static str, &Option<String>); 7] {
        [
            ("requests_per_second", &self.requests_per_second),
            ("burst", &self.burst),
            ("concurrent_exchanges", &self.concurrent_exchanges),
            ("streams_per_connection", &self.streams_per_connection),
            ("buffered_bytes", &self.buffered_bytes),
            ("dials", &self.dials),
            ("weight", &self.weight),
        ]
    }
}

fn list_tenants(target: &Target, output: Output) -> Result<(), Failure> {
    let tenants = Client::find(target)?.get("/v1/tenants")?;
    if output.json {
        return print_json(&tenants);
    }
    let mut table = Table::new(&[
        "NAME",
        "SERVERS",
        "TOKENS",
        "ISSUERS",
        "WEIGHT",
        "REQ/S",
        "IN FLIGHT",
    ]);
    for tenant in items(&tenants) {
        table.row([
            text(tenant, "name").to_owned(),
            at(tenant, &["servers"]),
            at(tenant, &["tokens"]),
            at(tenant, &["issuers"]),
            at(tenant, &["weight"]),
            at(tenant, &["requests_per_second"]),
            at(tenant, &["concurrent_exchanges"]),
        ]);
    }
    print(&table.to_string())
}

pub(super) fn issuer(command: IssuerCommand) -> Result<(), Failure> {
    match command {
        IssuerCommand::Add {
            name,
            iss,
            aud,
            jwks,
            algorithms,
            servers_claim,
            tenant,
            target,
        } => {
            let spec = json!({
                "tenant": tenant, "iss": iss, "aud": aud, "algorithms": algorithms,
                "jwks": read_jwks(&jwks)?, "servers_claim": servers_claim.unwrap_or_default(),
            });
            let path = format!("/v1/issuers/{}", segment(&name));
            let issuer = Client::find(&target)?.put(&path, &spec)?;
            print(&format!(
                "issuer {name} with keys {}\n",
                at(&issuer, &["kids"])
            ))
        }
        IssuerCommand::List { target, output } => list_issuers(&target, output),
        IssuerCommand::Remove { name, target } => {
            Client::find(&target)?.delete(&format!("/v1/issuers/{}", segment(&name)))?;
            print(&format!("issuer {name} removed\n"))
        }
    }
}

fn list_issuers(target: &Target, output: Output) -> Result<(), Failure> {
    let issuers = Client::find(target)?.get("/v1/issuers")?;
    if output.json {
        return print_json(&issuers);
    }
    let mut table = Table::new(&["NAME", "TENANT", "ISS", "AUD", "ALGORITHMS", "KEYS"]);
    for issuer in items(&issuers) {
        table.row([
            text(issuer, "name").to_owned(),
            text(issuer, "tenant").to_owned(),
            text(issuer, "iss").to_owned(),
            text(issuer, "aud").to_owned(),
            at(issuer, &["algorithms"]),
            at(issuer, &["kids"]),
        ]);
    }
    print(&table.to_string())
}

/// A document of keys. What is wrong with it is told without any of it.
fn read_jwks(path: &Path) -> Result<Value, Failure> {
    let wrong =
        |what: &dyn std::fmt::Display| Failure::new(format!("keys `{}`: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    serde_json::from_str(&text).map_err(|error| {
        wrong(&format!(
            "no JSON in line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}
