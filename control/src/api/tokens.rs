//! Tokens: made, listed, rotated and revoked; and tickets, which are tokens of a few minutes. A
//! secret is in the answer to whoever made it, and nowhere else.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use fprs_config::{
    Key, Kind, Millis, Record, Secret, SecretHash, Snapshot, Token, TokenRole, limits,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Api, checked, forbidden, read};
use crate::access::Who;
use crate::commit::Group;
use crate::driver::unix_ms;
use crate::problem::Problem;
use crate::secret::{self, NoRandom, token_id};

/// What a new token is to be.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wish {
    role: String,
    tenant: Option<String>,
    server: String,
    /// Milliseconds it lives; absent: until it is revoked.
    ttl_ms: Option<Millis>,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            role: TokenRole::Caller.name().to_owned(),
            tenant: None,
            server: String::new(),
            ttl_ms: None,
        }
    }
}

/// How a token is rotated.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rotation {
    /// Ends the old secret instead of making a new one.
    finish: bool,
}

/// One token, without anything secret.
#[derive(Debug, Serialize)]
pub(super) struct TokenReport {
    id: String,
    role: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    tenant: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    server: String,
    created_unix_ms: Millis,
    expires_unix_ms: Option<Millis>,
    /// Secrets that are good now: two while it is rotated.
    secrets: usize,
}

impl From<&Token> for TokenReport {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.clone(),
            role: token.role.name(),
            tenant: token.tenant.clone(),
            server: token.server.clone(),
            created_unix_ms: token.created_unix_ms,
            expires_unix_ms: token.expires_unix_ms,
            secrets: token.secrets.len(),
        }
    }
}

/// Every token that whoever asks may see, by id. Tickets are left out: there are many, and they go
/// by themselves.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
) -> Json<Vec<TokenReport>> {
    let snapshot = api.view.load();
    let mut tokens: Vec<_> = snapshot
        .tokens()
        .filter(|token| token.role != TokenRole::Ticket && who.sees(&token.tenant))
        .map(|token| TokenReport::from(&**token))
        .collect();
    tokens.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Json(tokens)
}

/// Makes a token.
pub(super) async fn create(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let wish: Wish = read("token", body)?;
    let role = TokenRole::from_name(&wish.role).ok_or_else(|| {
        let roles: Vec<_> = TokenRole::ALL.iter().map(|role| role.name()).collect();
        unusable(format!("there is no role `{}`", wish.role))
            .remedy(format!("the roles are {}", roles.join(", ")))
    })?;
    make(&api, &who, role, wish).await
}

/// Makes a ticket.
pub(super) async fn mint(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let mut wish: Wish = read("ticket", body)?;
    if wish.ttl_ms.is_none() {
        wish.ttl_ms = Some(TICKET_MS);
    }
    make(&api, &who, TokenRole::Ticket, wish).await
}

async fn make(
    api: &Api,
    who: &Who,
    role: TokenRole,
    wish: Wish,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let tenant = match wish.tenant {
        Some(tenant) => tenant,
        None if role.has_tenant() => who.own_tenant().to_owned(),
        None => String::new(),
    };
    if !who.grants(role) || !who.changes(&tenant) {
        return Err(forbidden(who));
    }
    let secret = secret::secret().map_err(no_random)?;
    let now = unix_ms();
    let token = Token {
        id: token_id().map_err(no_random)?,
        tenant,
        server: wish.server,
        role,
        secrets: vec![hash(&secret)],
        created_unix_ms: now,
        expires_unix_ms: wish.ttl_ms.map(|ttl| now.saturating_add(ttl)),
    };
    let record = checked(Record::Token(token.clone()))?;
    let what = format!("token/{}", token.id);
    api.commit(who, "create", &what, |snapshot| {
        known_tenant(snapshot, &token.tenant)?;
        let mut group = Group::default();
        group.put(snapshot, &record);
        for gone in expired_tickets(snapshot, now) {
            group.delete(snapshot, Key::new(Kind::Token, &gone));
        }
        Ok(group)
    })
    .await?;
    Ok((StatusCode::CREATED, Json(shown(&token, &secret))))
}

/// Gives a token a second secret, or ends its old one.
pub(super) async fn rotate(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Problem> {
    let Rotation { finish } = read("rotation", body)?;
    let secret = secret::secret().map_err(no_random)?;
    let what = format!("token/{id}");
    let rotated = |snapshot: &Snapshot| {
        let mut token = find(snapshot, &who, &id)?;
        if finish {
            token.secrets.truncate(1);
        } else {
            token.secrets.insert(0, hash(&secret));
            token.secrets.truncate(limits::TOKEN_SECRETS);
        }
        Ok(token)
    };
    let action = if finish { "finish rotation" } else { "rotate" };
    api.commit(&who, action, &what, |snapshot| {
        let mut group = Group::default();
        group.put(snapshot, &Record::Token(rotated(snapshot)?));
        Ok(group)
    })
    .await?;
    let token = find(&api.view.load(), &who, &id)?;
    if finish {
        let report = serde_json::to_value(TokenReport::from(&token));
        return Ok(Json(report.unwrap_or_default()));
    }
    Ok(Json(shown(&token, &secret)))
}

/// Revokes a token: its record goes.
pub(super) async fn revoke(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let what = format!("token/{id}");
    let revision = api
        .commit(&who, "revoke", &what, |snapshot| {
            find(snapshot, &who, &id)?;
            let mut group = Group::default();
            group.delete(snapshot, Key::new(Kind::Token, &id));
            Ok(group)
        })
        .await?;
    Ok(Json(json!({ "id": id, "revision": revision.0 })))
}

/// A token that whoever asks may change; one of another tenant is as if it didn't exist.
fn find(snapshot: &Snapshot, who: &Who, id: &str) -> Result<Token, Problem> {
    let token = snapshot.token(id).filter(|token| who.sees(&token.tenant));
    let token = token.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, format!("there is no token `{id}`"))
            .remedy("`fprs token list` lists those there are")
    })?;
    if !who.changes(&token.tenant) || !who.grants(token.role) {
        return Err(forbidden(who));
    }
    Ok(Token::clone(token))
}

/// A tenant that exists: the default one always does.
pub(super) fn known_tenant(snapshot: &Snapshot, tenant: &str) -> Result<(), Problem> {
    let known = tenant.is_empty()
        || tenant == fprs_config::DEFAULT_TENANT
        || snapshot.tenant(tenant).is_some();
    if known {
        return Ok(());
    }
    Err(unusable(format!("there is no tenant `{tenant}`"))
        .remedy("`fprs tenant create` makes one; `fprs tenant list` lists those there are"))
}

fn expired_tickets(snapshot: &Snapshot, now: Millis) -> Vec<String> {
    let expired = snapshot
        .tokens()
        .filter(|token| token.role == TokenRole::Ticket && token.is_expired(now));
    expired.take(SWEPT).map(|token| token.id.clone()).collect()
}

/// What is stored of a secret.
fn hash(secret: &Secret) -> SecretHash {
    SecretHash::of(secret.expose().as_bytes())
}

fn shown(token: &Token, secret: &Secret) -> Value {
    json!({
        "id": token.id,
        "secret": secret.expose(),
        "token": format!("{}.{}", token.id, secret.expose()),
        "role": token.role.name(),
        "tenant": token.tenant,
        "server": token.server,
        "created_unix_ms": token.created_unix_ms,
        "expires_unix_ms": token.expires_unix_ms,
    })
}

fn unusable(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

fn no_random(error: NoRandom) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        .remedy("nothing was changed; look at the machine")
}

/// A ticket lives so long unless it is told otherwise: a page needs it at once.
const TICKET_MS: Millis = 60_000;
/// Tickets that have ended and go with the making of a new one: more than are made meanwhile.
const SWEPT: usize = 16;
