//! The API over HTTP: list, watch, create, patch, delete of Deployments and pods in one namespace.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::merge::{apply, merge};
use super::state::{Kind, mark_deleted};
use super::watch::{Asked, watch};
use super::{Cluster, Faults, NAMESPACE};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

pub(super) async fn serve(cluster: Cluster, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let cluster = cluster.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let cluster = cluster.clone();
                async move { Ok::<_, Infallible>(answer(&cluster, request).await) }
            });
            let served = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(served);
        });
    }
}

async fn answer(cluster: &Cluster, request: Request<Incoming>) -> Answer {
    let delay = cluster.shared.faults.delay_ms.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(delay)).await;
    let Some((kind, name)) = path(request.uri().path()) else {
        return status(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
    };
    let query = query(request.uri().query().unwrap_or_default());
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let content = parts.headers.get("content-type");
    let content = content
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let writes = parts.method != Method::GET;
    if writes {
        cluster.shared.faults.writes.fetch_add(1, Ordering::SeqCst);
        if Faults::takes(&cluster.shared.faults.failing_writes) {
            return status(500, "InternalError", "etcdserver: request timed out");
        }
        if let Some(name) = &name
            && Faults::takes(&cluster.shared.faults.raced_writes)
        {
            cluster.edit(kind, name, |object| {
                let seen = object["metadata"]["resourceVersion"].clone();
                object["metadata"]["annotations"]["somebody"] = seen;
            });
        }
    }
    match (parts.method, name) {
        (Method::GET, None) if query.get("watch").is_some_and(|watch| watch == "true") => {
            let lines = watch(cluster.clone(), asked(kind, &query));
            Response::new(lines.boxed_unsync())
        }
        (Method::GET, None) => list(cluster, &asked(kind, &query)),
        (Method::GET, Some(name)) => match cluster.get(kind, &name) {
            Some(object) => json_answer(200, &object),
            None => not_found(&name),
        },
        (Method::POST, None) => create(cluster, kind, &body),
        (Method::PATCH, Some(name)) => patch(cluster, kind, &name, content, &body),
        (Method::DELETE, Some(name)) => delete(cluster, kind, &name, &body),
        _ => status(405, "MethodNotAllowed", "not here"),
    }
}

fn path(path: &str) -> Option<(Kind, Option<String>)> {
    let apps = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments");
    let core = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let (kind, rest) = match (path.strip_prefix(&apps), path.strip_prefix(&core)) {
        (Some(rest), _) => (Kind::Deployments, rest),
        (_, Some(rest)) => (Kind::Pods, rest),
        _ => return None,
    };
    let name = rest.trim_matches('/');
    (!name.contains('/')).then(|| (kind, (!name.is_empty()).then(|| name.to_owned())))
}

fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let plain = |text: &str| {
        let text = text
            .replace("%2C", ",")
            .replace("%3D", "=")
            .replace("%2F", "/");
        text.replace('+', " ")
    };
    pairs
        .map(|(key, value)| (key.to_owned(), plain(value)))
        .collect()
}

fn asked(kind: Kind, query: &BTreeMap<String, String>) -> Asked {
    let number = |key: &str| query.get(key).and_then(|value| value.parse().ok());
    let selector = query.get("labelSelector").map_or("", String::as_str);
    let labels = selector.split(',').filter_map(|pair| pair.split_once('='));
    Asked {
        kind,
        labels: labels
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        version: number("resourceVersion").unwrap_or(0),
        bookmarks: query
            .get("allowWatchBookmarks")
            .is_some_and(|allow| allow == "true"),
        within: Duration::from_secs(number("timeoutSeconds").unwrap_or(300)),
    }
}

fn list(cluster: &Cluster, asked: &Asked) -> Answer {
    let state = cluster.state();
    let mut items = state.all(asked.kind);
    items.retain(|object| asked.selects(object));
    let list = json!({
        "kind": format!("{}List", asked.kind.name()),
        "apiVersion": asked.kind.api_version(),
        "metadata": { "resourceVersion": state.version().to_string() },
        "items": items,
    });
    json_answer(200, &list)
}

fn create(cluster: &Cluster, kind: Kind, body: &[u8]) -> Answer {
    let Ok(mut object) = serde_json::from_slice::<Value>(body) else {
        return status(400, "BadRequest", "not JSON");
    };
    let name = object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    defaults(&mut object);
    cluster.write(|state| {
        if state.get(kind, &name).is_some() {
            return status(409, "AlreadyExists", &format!("\"{name}\" already exists"));
        }
        state.put(kind, &name, object);
        json_answer(201, state.get(kind, &name).unwrap())
    })
}

/// Some of what a server fills in.
fn defaults(object: &mut Value) {
    object["spec"]["progressDeadlineSeconds"] = 600.into();
    let containers = object.pointer_mut("/spec/template/spec/containers");
    for container in containers
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        container["imagePullPolicy"] = "IfNotPresent".into();
        container["terminationMessagePath"] = "/dev/termination-log".into();
        for probe in ["readinessProbe", "livenessProbe"] {
            if let Some(get) = container.pointer_mut(&format!("/{probe}/httpGet")) {
                get["scheme"] = "HTTP".into();
            }
        }
    }
}

fn patch(cluster: &Cluster, kind: Kind, name: &str, content: &str, body: &[u8]) -> Answer {
    let Ok(patch) = serde_json::from_slice::<Value>(body) else {
        return status(400, "BadRequest", "not JSON");
    };
    cluster.write(|state| {
        let Some(was) = state.get(kind, name) else {
            return not_found(name);
        };
        for field in ["resourceVersion", "uid"] {
            let expected = &patch["metadata"][field];
            if !expected.is_null() && *expected != was["metadata"][field] {
                let problem = "the object has been modified; please apply your changes to the latest \
                               version and try again";
                return status(409, "Conflict", problem);
            }
        }
        let mut object = was.clone();
        match content {
            "application/apply-patch+yaml" => apply(&mut object, &patch),
            "application/merge-patch+json" => merge(&mut object, &patch),
            other => return status(415, "UnsupportedMediaType", other),
        }
        state.put(kind, name, object);
        json_answer(200, state.get(kind, name).unwrap())
    })
}

fn delete(cluster: &Cluster, kind: Kind, name: &str, body: &[u8]) -> Answer {
    let options: Value = serde_json::from_slice(body).unwrap_or_default();
    cluster.write(|state| {
        let Some(was) = state.get(kind, name).cloned() else {
            return not_found(name);
        };
        let uid = &options["preconditions"]["uid"];
        if !uid.is_null() && *uid != was["metadata"]["uid"] {
            return status(
                409,
                "Conflict",
                "the UID in the precondition does not match",
            );
        }
        match kind {
            // A pod that no kubelet has is gone at once.
            Kind::Pods if !was["spec"]["nodeName"].is_null() => {
                let mut pod = was;
                mark_deleted(&mut pod);
                state.put(kind, name, pod);
                json_answer(200, state.get(kind, name).unwrap())
            }
            Kind::Pods | Kind::Deployments => {
                state.remove(kind, name);
                json_answer(200, &was)
            }
        }
    })
}

fn not_found(name: &str) -> Answer {
    status(404, "NotFound", &format!("\"{name}\" not found"))
}

fn status(code: u16, reason: &str, message: &str) -> Answer {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": message,
    });
    json_answer(code, &status)
}

fn json_answer(code: u16, value: &Value) -> Answer {
    let body = Full::new(Bytes::from(value.to_string()));
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(body.boxed_unsync())
        .unwrap()
}
