//! Sends the rows of HTTP/1.1 and says what is not as it must be.

use std::time::Duration;

use fprs_testkit::client::{Ending, H1, RawHttp};
use serde_json::Value;

use crate::h1_table::{Row, bytes};
use crate::row::{Seen, Then, plain};
use crate::stage::Stage;

/// Longest wait for an answer.
const SOON: Duration = Duration::from_secs(5);

/// Sends a row with a request behind it; what is wrong.
pub(crate) async fn send(stage: &mut Stage, row: &Row, origin: &str) -> Result<(), String> {
    let host = stage.host();
    let (piped, marker) = (stage.marker(), stage.marker());
    let mut wire = bytes(row.wire, &host);
    wire.extend(format!("GET {piped} HTTP/1.1\r\nhost: {host}\r\n\r\n").bytes());
    let seen = Seen::of(row.then);
    let mut expected: Vec<Value> = seen.iter().map(|seen| seen.noted(&host)).collect();
    let sent = match row.then {
        Then::Refused => refused(stage, &wire).await,
        Then::Cut | Then::Dropped => cut(stage, &wire).await,
        Then::Last(_) => last(stage, &wire, seen).await,
        Then::Kept(_) => {
            let refuses = row.refused_by.contains(&origin);
            if refuses {
                expected.clear();
            }
            expected.push(plain(&host, &piped));
            expected.push(plain(&host, &marker));
            let status = if refuses { 400 } else { 200 };
            kept(stage, &wire, seen, status, [&piped, &marker]).await
        }
    };
    let noted = stage.noted().await;
    sent?;
    if noted == expected {
        Ok(())
    } else {
        Err(format!(
            "the origin read {noted:#?} instead of {expected:#?}"
        ))
    }
}

/// One answer that refuses, and the connection's end.
async fn refused(stage: &Stage, wire: &[u8]) -> Result<(), String> {
    let answer = exchange(stage, wire).await;
    let is_refused = answer.status().is_some_and(|status| status / 100 == 4);
    let answers = answer.text().matches("HTTP/1.1 ").count();
    if is_refused && answers == 1 && answer.ending != Ending::Open {
        Ok(())
    } else {
        Err(format!(
            "not refused: {:?} {}",
            answer.ending,
            answer.text()
        ))
    }
}

async fn cut(stage: &Stage, wire: &[u8]) -> Result<(), String> {
    let answer = exchange(stage, wire).await;
    if answer.ending != Ending::Open && !answer.text().contains("HTTP/1.1 ") {
        Ok(())
    } else {
        Err(format!("not cut: {:?} {}", answer.ending, answer.text()))
    }
}

async fn last(stage: &Stage, wire: &[u8], seen: &[Seen]) -> Result<(), String> {
    let answer = exchange(stage, wire).await;
    let text = answer.text();
    if answer.ending == Ending::Closed && text.matches("HTTP/1.1 200").count() == seen.len() {
        Ok(())
    } else {
        Err(format!(
            "not answered and closed: {:?} {text}",
            answer.ending
        ))
    }
}

/// An answer to each request, to the one behind them, and to one more on the same connection.
async fn kept(
    stage: &Stage,
    wire: &[u8],
    seen: &[Seen],
    status: u16,
    [piped, marker]: [&str; 2],
) -> Result<(), String> {
    let mut client = H1::connect(stage.plane.listen()).await.unwrap();
    client
        .writer
        .send(wire)
        .await
        .map_err(|error| format!("{error:?}"))?;
    for seen in seen {
        let method = if seen.is_head() { "HEAD" } else { "GET" };
        let answer = client.reader.response_of(method).await;
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        if answer.status != status {
            return Err(format!("answered {}: {}", answer.status, answer.text()));
        }
    }
    let answer = client.reader.response().await;
    let behind = answer.map_err(|error| format!("behind it: {error:?}"))?;
    let answer = client.get(&stage.host(), marker).await;
    let after = answer.map_err(|error| format!("after it: {error:?}"))?;
    if (behind.text(), after.text()) == (piped.to_owned(), marker.to_owned()) {
        Ok(())
    } else {
        Err(format!(
            "answers of others: {} {}",
            behind.text(),
            after.text()
        ))
    }
}

async fn exchange(stage: &Stage, wire: &[u8]) -> RawHttp {
    RawHttp::exchange(stage.plane.listen(), wire, SOON)
        .await
        .unwrap()
}
