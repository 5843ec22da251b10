//! Sends captured requests again, as they were: one after the other, byte for byte.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Request;

use crate::cli::mirrors::Replay;
use crate::commands::ask::{print, print_json};
use crate::failure::Failure;

/// What sending came to.
#[derive(Default)]
struct Sent {
    requests: u64,
    /// With the status that was captured.
    same_status: u64,
    /// Not there to be sent: parts of them were left out.
    left_out: u64,
    statuses: BTreeMap<u16, u64>,
}

pub(super) fn replay(replay: &Replay) -> Result<(), Failure> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mut sent = Sent::default();
    for path in &replay.files {
        let wrong = |what: &dyn std::fmt::Display| {
            Failure::new(format!("capture `{}`: {what}", path.display()))
        };
        for line in lines(path)? {
            let line = line.map_err(|error| wrong(&error))?;
            let line: Value = serde_json::from_str(&line).map_err(|error| wrong(&error))?;
            send(&agent, replay, &line, &mut sent)?;
        }
    }
    if replay.output.json {
        return print_json(&json!({
            "requests": sent.requests, "same_status": sent.same_status,
            "left_out": sent.left_out, "statuses": sent.statuses,
        }));
    }
    print(&format!(
        "{} requests, {} answered with the status that was captured; {} not sent, as parts of them were left out\n",
        sent.requests, sent.same_status, sent.left_out
    ))
}

fn lines(path: &Path) -> Result<impl Iterator<Item = std::io::Result<String>>, Failure> {
    let wrong = |error| Failure::new(format!("capture `{}`: {error}", path.display()));
    let file = File::open(path).map_err(wrong)?;
    let decoder = zstd::stream::read::Decoder::new(file).map_err(wrong)?;
    Ok(BufReader::new(decoder).lines())
}

fn send(agent: &Agent, replay: &Replay, line: &Value, sent: &mut Sent) -> Result<(), Failure> {
    let Some(request) = request(replay, line)? else {
        sent.left_out += 1;
        return Ok(());
    };
    let answer = if request.body().is_empty() {
        agent.run(request.map(|_| ()))
    } else {
        agent.run(request)
    };
    let mut answer =
        answer.map_err(|error| Failure::new(format!("`{}` can't be asked: {error}", replay.to)))?;
    let status = answer.status().as_u16();
    // Read to its end, so that the connection can be used again; nobody looks at it.
    std::io::copy(&mut answer.body_mut().as_reader(), &mut std::io::sink())
        .map_err(|error| Failure::new(format!("an answer broke: {error}")))?;
    sent.requests += 1;
    sent.same_status += u64::from(line.pointer("/response/status") == Some(&json!(status)));
    *sent.statuses.entry(status).or_default() += 1;
    Ok(())
}

/// The request as it was; `None`: its body was left out.
fn request(replay: &Replay, line: &Value) -> Result<Option<Request<Vec<u8>>>, Failure> {
    let text = |path: &str| line.pointer(path).and_then(Value::as_str);
    let body = match line.pointer("/request/body") {
        None | Some(Value::Null) => Vec::new(),
        Some(body) => match (body["text"].as_str(), body["base64"].as_str()) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(text)) => STANDARD.decode(text).map_err(Failure::new)?,
            (None, None) => return Ok(None),
        },
    };
    let target = text("/request/target").unwrap_or("/");
    let url = format!("{}{target}", replay.to.trim_end_matches('/'));
    let mut request = Request::builder()
        .method(text("/request/method").unwrap_or("GET"))
        .uri(url);
    let headers = line.pointer("/request/headers").and_then(Value::as_array);
    for header in headers.into_iter().flatten() {
        if let (Some(name), Some(value)) = (header[0].as_str(), header[1].as_str()) {
            request = request.header(name, value);
        }
    }
    for header in &replay.headers {
        let (name, value) = header.split_once(':').ok_or_else(|| {
            Failure::usage(format!("--header `{header}`: write it like `name: value`"))
        })?;
        request = request.header(name.trim(), value.trim());
    }
    request.body(body).map(Some).map_err(Failure::new)
}
