//! Sends the rows of HTTP/2 and says what is not as it must be.

use fprs_testkit::client::Ending;
use serde_json::Value;

use crate::frames::{Answer, Frames, data, frame, headers};
use crate::h1_table::bytes;
use crate::h2_table::{Frame, Row};
use crate::row::{Seen, Then, plain};
use crate::stage::Stage;

/// Sends a row on a connection of its own and a request behind it; what is wrong.
pub(crate) async fn send(stage: &mut Stage, row: &Row, origin: &str) -> Result<(), String> {
    let host = stage.host();
    let marker = stage.marker();
    let mut client = Frames::connect(stage.plane.listen()).await;
    let wire: Vec<u8> = row
        .frames
        .iter()
        .flat_map(|frame| encode(frame, &host))
        .collect();
    client.send(&wire).await;
    let mut expected: Vec<Value> = Seen::of(row.then)
        .iter()
        .map(|seen| seen.noted(&host))
        .collect();
    let answer = match row.then {
        Then::Dropped => None,
        _ => Some(client.answer(1).await),
    };
    let as_wanted = match (&answer, row.then) {
        (Some(Answer::Whole(400..=499, _)), Then::Kept(_)) => {
            expected.clear();
            row.refused_by.contains(&origin)
        }
        (Some(Answer::Whole(200, _)), Then::Kept(_)) => !row.refused_by.contains(&origin),
        (Some(Answer::Whole(400..=499, _) | Answer::Reset(_)), Then::Refused) => true,
        (Some(Answer::Ended(ending)), Then::Cut) => *ending != Ending::Open,
        (None, _) => true,
        _ => false,
    };
    let goes_on = if matches!(row.then, Then::Cut) {
        Ok(())
    } else {
        expected.push(plain(&host, &marker));
        let wire = headers(3, true, &request(&host, &marker));
        client.send(&wire).await;
        match client.answer(3).await {
            Answer::Whole(200, body) if body == marker => Ok(()),
            other => Err(format!("after {answer:?} the next stream: {other:?}")),
        }
    };
    let noted = stage.noted().await;
    if !as_wanted {
        return Err(format!("{answer:?}"));
    }
    goes_on?;
    if noted == expected {
        Ok(())
    } else {
        Err(format!(
            "the origin read {noted:#?} instead of {expected:#?}"
        ))
    }
}

fn request(host: &str, path: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", host),
        (":path", path),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .to_vec()
}

fn encode(sent: &Frame, host: &str) -> Vec<u8> {
    let literal = |fields: &[(&str, &str)]| -> Vec<(Vec<u8>, Vec<u8>)> {
        fields
            .iter()
            .map(|(name, value)| (bytes(name, host), bytes(value, host)))
            .collect()
    };
    match sent {
        Frame::Open(fields) => headers(1, false, &literal(fields)),
        Frame::Whole(fields) => headers(1, true, &literal(fields)),
        Frame::Data(content) => data(1, false, &bytes(content, host)),
        Frame::Last(content) => data(1, true, &bytes(content, host)),
        Frame::Raw(kind, flags, stream, payload) => frame(*kind, *flags, *stream, payload),
    }
}
