//! What is known of mirrors: a proxy says what it has seen, and control asks all proxies that follow it
//! and puts it together. A proxy that doesn't answer is named, and the others' word stands.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use fprs_config::View;
use fprs_config::feed::server::Followers;
use fprs_control::{MirrorReports, mirror_reports};
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};

use crate::client::Client;
use crate::proxy::Tables;
use crate::proxy::mirror::Report;
use crate::settings::Role;

/// A proxy that takes longer is named as one that doesn't answer.
const ANSWER: Duration = Duration::from_secs(3);

/// Proxies asked at a time.
const AT_A_TIME: usize = 16;

/// What one proxy has seen of mirrors.
#[derive(Clone, Debug)]
pub struct Seen(pub(super) Arc<Tables>);

impl Seen {
    /// Of the mirror of that name; `None`: this proxy has none of that name.
    pub fn of(&self, name: &str) -> Option<Report> {
        Report::of(self.0.mirrors(), name)
    }

    /// A proxy's own routes: its report for users, and what it has seen for whoever puts it together.
    pub fn api(&self, view: View) -> Router {
        let seen = self.clone();
        let reports: MirrorReports = Arc::new(move |name| {
            let report = seen.of(&name).map(|report| report.shown(&name));
            std::future::ready(report).boxed()
        });
        let seen = self.clone();
        let raw = async move |Path(name): Path<String>| Json(seen.of(&name));
        mirror_reports(view, reports).route("/v1/mirrors/{name}/seen", get(raw))
    }
}

/// Control's route: the report of all proxies that follow it, and of the one in its own process.
pub(super) fn of_all(
    view: View,
    followers: Arc<Followers>,
    token: &str,
    own: Option<Seen>,
) -> Router {
    let token: Arc<str> = token.into();
    let reports: MirrorReports = Arc::new(move |name| {
        let (followers, token, own) = (Arc::clone(&followers), Arc::clone(&token), own.clone());
        async move { Some(asked(&followers, &token, own, &name).await) }.boxed()
    });
    mirror_reports(view, reports)
}

/// One proxy, and what it says; `None`: it has no such mirror.
type Said = (String, Result<Option<Report>, String>);

async fn asked(followers: &Followers, token: &Arc<str>, own: Option<Seen>, name: &str) -> Value {
    let proxies = proxies(followers).into_iter();
    let asking = proxies.map(|(proxy, admin)| {
        let (token, name) = (Arc::clone(token), name.to_owned());
        async move { (proxy, ask(admin, token, name).await) }
    });
    let mut said: Vec<Said> = stream::iter(asking)
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    if let Some(own) = own {
        said.push((Role::Up.name().to_owned(), Ok(own.of(name))));
    }
    put_together(name, said)
}

/// PURE. One report of all that was said.
fn put_together(name: &str, said: Vec<Said>) -> Value {
    let (mut whole, mut answered, mut silent) = (Report::default(), 0_u64, Vec::new());
    for (proxy, said) in said {
        match said {
            Ok(report) => {
                answered += 1;
                whole.add(report.unwrap_or_default());
            }
            Err(why) => silent.push(json!({ "proxy": proxy, "why": why })),
        }
    }
    let mut shown = whole.shown(name);
    if let Some(shown) = shown.as_object_mut() {
        let proxies = json!({ "answered": answered, "silent": silent });
        shown.insert("proxies".to_owned(), proxies);
    }
    shown
}

/// Those that follow, with where they say they answer.
fn proxies(followers: &Followers) -> Vec<(String, Option<SocketAddr>)> {
    let of_role = format!("{}-", Role::Proxy.name());
    let followers = followers.report().into_iter();
    followers
        .filter(|follower| follower.name.starts_with(&of_role))
        .map(|follower| (follower.name, follower.admin))
        .collect()
}

async fn ask(
    admin: Option<SocketAddr>,
    token: Arc<str>,
    name: String,
) -> Result<Option<Report>, String> {
    let admin = admin.ok_or("it doesn't say where it answers")?;
    if admin.ip().is_unspecified() {
        return Err(format!(
            "it listens on {admin}, which is no address to ask; give its `--admin` one"
        ));
    }
    let asking = tokio::task::spawn_blocking(move || {
        let client = Client::within(&admin.to_string(), &token, ANSWER);
        client.get(&format!("/v1/mirrors/{name}/seen"))
    });
    let value = match asking.await {
        Ok(Ok(value)) => value,
        Ok(Err(failure)) => return Err(failure.to_string()),
        Err(ended) => return Err(ended.to_string()),
    };
    serde_json::from_value(value)
        .map_err(|error| format!("it says what this build can't read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_does_not_answer_is_named_and_the_others_count() {
        let said = vec![
            ("proxy-1".to_owned(), Ok(Some(Report::default()))),
            ("proxy-2".to_owned(), Ok(None)),
            ("proxy-3".to_owned(), Err("no answer".to_owned())),
        ];
        let shown = put_together("m", said);
        let proxies = json!({
            "answered": 2, "silent": [{ "proxy": "proxy-3", "why": "no answer" }],
        });
        assert_eq!(shown["proxies"], proxies);
        assert_eq!(shown["mirror"], "m");
    }
}
