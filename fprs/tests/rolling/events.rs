//! Server-sent events, numbered: a stream that is cut, or lacks one, is seen.

use fprs_testkit::client::get;

use crate::load::Client;
use crate::world::WEB;

/// Longer than a proxy's readiness takes to be noticed, shorter than its drain.
const PATH: &str = "/sse?n=30&ms=15";
const EVENTS: usize = 30;

pub(crate) async fn over_h1(client: &Client) -> Result<(), String> {
    let (mut connection, address) = client.h1().await?;
    while client.goes_on() && client.edge.is_ready(address) {
        client.begins();
        let request = format!("GET {PATH} HTTP/1.1\r\nhost: {WEB}\r\n\r\n");
        let sent = connection.writer.send(request).await;
        sent.map_err(|error| format!("not sent: {error:?}"))?;
        let answer = connection.reader.response().await;
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        check(client, answer.status, &answer.text())?;
        if answer.header("connection") == Some("close") {
            break;
        }
    }
    Ok(())
}

pub(crate) async fn over_h2(client: &Client) -> Result<(), String> {
    let (connection, address) = client.h2().await?;
    while client.goes_on() && client.edge.is_ready(address) {
        let Some(stream) = client.open(&connection, get(WEB, PATH), true).await? else {
            break;
        };
        match stream.response().await {
            Ok(answer) => check(client, answer.status, &answer.text())?,
            Err(error) => return client.broken(&error),
        }
    }
    Ok(())
}

fn check(client: &Client, status: u16, text: &str) -> Result<(), String> {
    let numbers: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|event| serde_json::from_str::<serde_json::Value>(event).ok())
        .filter_map(|event| event["n"].as_u64())
        .collect();
    if status != 200 || !numbers.iter().copied().eq(0..EVENTS as u64) {
        return Err(format!("{status}, events {numbers:?}"));
    }
    client.whole();
    Ok(())
}
