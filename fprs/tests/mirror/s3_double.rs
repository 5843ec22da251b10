//! An S3 in this process, as far as uploads need one: it believes nobody whose signature is wrong
//! (Signature Version 4), keeps objects and parts, and fails as it is told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

pub(crate) const KEY: &str = "test-key";
pub(crate) const SECRET: &str = "test-secret";
pub(crate) const REGION: &str = "us-east-1";

/// How it answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Mood {
    #[default]
    Good,
    /// This status.
    Fails(u16),
    /// After so long.
    Slow(Duration),
}

/// What it has.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) mood: Mood,
    /// By path: bucket and key.
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// By upload and number.
    parts: BTreeMap<(String, u32), Bytes>,
    /// Parts of objects that were put together.
    pub(crate) parts_completed: usize,
    pub(crate) requests: usize,
    /// What was wrong with those that were not believed.
    pub(crate) disbelieved: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct S3 {
    pub(crate) address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

impl S3 {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let s3 = Self {
            address: listener.local_addr().unwrap(),
            kept: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(s3.clone());
        let router = router.layer(axum::extract::DefaultBodyLimit::disable());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        s3
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.kept().mood = mood;
    }
}

async fn answer(
    State(s3): State<S3>,
    method: Method,
    uri: Uri,
    head: HeaderMap,
    body: Bytes,
) -> Response {
    let mood = {
        let mut kept = s3.kept();
        kept.requests += 1;
        kept.mood
    };
    match mood {
        Mood::Good => {}
        Mood::Fails(status) => {
            let status = StatusCode::from_u16(status).unwrap();
            return (status, error("Test", "as it was told")).into_response();
        }
        Mood::Slow(after) => tokio::time::sleep(after).await,
    }
    let mut kept = s3.kept();
    if let Err(why) = believed(&method, &uri, &head, &body) {
        kept.disbelieved.push(why);
        let error = error("SignatureDoesNotMatch", "the signature is another one");
        return (StatusCode::FORBIDDEN, error).into_response();
    }
    let path = uri.path().to_owned();
    let query = query(&uri);
    let of = |name: &str| {
        query
            .iter()
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1.clone())
    };
    match (method, of("uploads"), of("uploadId"), of("partNumber")) {
        (Method::PUT, None, None, None) => {
            kept.objects.insert(path, body.to_vec());
            ([("etag", "\"whole\"")], "").into_response()
        }
        (Method::POST, Some(_), None, None) => {
            let body = format!(
                "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key>\
                 <UploadId>upload-{:x}</UploadId></InitiateMultipartUploadResult>",
                fastrand::u64(..)
            );
            body.into_response()
        }
        (Method::PUT, None, Some(upload), Some(number)) => {
            let number: u32 = number.parse().unwrap();
            kept.parts.insert((upload, number), body);
            ([("etag", format!("\"part-{number}\""))], "").into_response()
        }
        (Method::POST, None, Some(upload), None) => {
            let parts = std::mem::take(&mut kept.parts);
            let (ours, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
                parts.into_iter().partition(|((of, _), _)| *of == upload);
            kept.parts = others;
            kept.parts_completed += ours.len();
            let object = ours.into_values().collect::<Vec<_>>().concat();
            kept.objects.insert(path, object);
            "<CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>"
                .into_response()
        }
        (Method::DELETE, None, Some(upload), None) => {
            kept.parts.retain(|(of, _), _| *of != upload);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => (StatusCode::NOT_IMPLEMENTED, error("NotImplemented", "")).into_response(),
    }
}

fn error(code: &str, message: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>")
}

fn query(uri: &Uri) -> Vec<(String, String)> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let pairs = pairs.filter(|pair| !pair.is_empty());
    let mut pairs: Vec<_> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        })
        .collect();
    pairs.sort_unstable();
    pairs
}

/// Whether the signature is that of who knows the secret, and the body what was signed.
fn believed(method: &Method, uri: &Uri, head: &HeaderMap, body: &[u8]) -> Result<(), String> {
    let field = |name: &str| {
        let value = head.get(name).and_then(|value| value.to_str().ok());
        value.ok_or_else(|| format!("no {name}"))
    };
    let told = field("authorization")?
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or("another kind of credential")?;
    let parts: BTreeMap<&str, &str> = told
        .split(',')
        .filter_map(|part| part.trim().split_once('='))
        .collect();
    let part = |name: &str| parts.get(name).copied().ok_or_else(|| format!("no {name}"));
    let (credential, signed) = (part("Credential")?, part("SignedHeaders")?);
    let scope: Vec<&str> = credential.split('/').collect();
    let [key, date, region, "s3", "aws4_request"] = scope[..] else {
        return Err(format!("another scope: {credential}"));
    };
    if (key, region) != (KEY, REGION) || !signed.split(';').any(|name| name == "host") {
        return Err(format!("another caller: {credential}"));
    }
    let content = field("x-amz-content-sha256")?;
    if content != "UNSIGNED-PAYLOAD"
        && content != hex(digest::digest(&digest::SHA256, body).as_ref())
    {
        return Err("another body than was signed".to_owned());
    }
    let query: Vec<_> = query(uri)
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut canonical = format!("{method}\n{}\n{}\n", uri.path(), query.join("&"));
    for name in signed.split(';') {
        canonical += &format!("{name}:{}\n", field(name)?.trim());
    }
    canonical += &format!("\n{signed}\n{content}");
    let time = field("x-amz-date")?;
    let scope = format!("{date}/{region}/s3/aws4_request");
    let digest = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}");
    let mut secret = format!("AWS4{SECRET}").into_bytes();
    for step in [date, region, "s3", "aws4_request", &text] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        secret = hmac::sign(&key, step.as_bytes()).as_ref().to_vec();
    }
    match part("Signature")? == hex(&secret) {
        true => Ok(()),
        false => Err(format!("another signature of\n{canonical}")),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
