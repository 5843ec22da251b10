//! Plays a script over one exchange, whatever the protocol: takes the request and answers it at the
//! same time, and notices when the client goes.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::watch;

use super::record::{InFlight, now_us};
use super::script::{Answer, Body, End, Fate, Intake, Script};
use crate::pattern::Pattern;

/// The client is gone.
#[derive(Debug)]
pub(super) struct Gone;

/// The request's body.
pub(super) trait Source {
    /// The next piece; `None` at its end.
    async fn piece(&mut self) -> Result<Option<Bytes>, Gone>;
    /// Returns once the client is gone. Only after the body's end.
    async fn gone(&mut self);
    /// Returns once the client reset the exchange; reads nothing.
    async fn reset(&mut self);
    /// The request's trailers. Only after the body's end.
    async fn trailers(&mut self) -> Result<Vec<(String, String)>, Gone>;
}

/// The response.
pub(super) trait Sink {
    async fn informational(&mut self, status: u16) -> Result<(), Gone>;
    /// `length` is the body's where it is known.
    async fn head(&mut self, script: &Script, length: Option<u64>) -> Result<(), Gone>;
    async fn data(&mut self, bytes: Bytes) -> Result<(), Gone>;
    async fn end(&mut self, trailers: &[(String, String)]) -> Result<(), Gone>;
    /// Waits that long, unless the client goes and this side is the one to see it.
    async fn pause(&mut self, time: Duration) -> Result<(), Gone>;
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Played {
    Aborted,
    Complete,
    Died(End),
}

/// What the whole request's body was.
#[derive(Clone, Copy, Debug)]
struct Taken {
    bytes: u64,
    matches: bool,
}

pub(super) async fn play(
    script: &Script,
    exchange: &InFlight<'_>,
    source: &mut impl Source,
    sink: &mut impl Sink,
) -> Played {
    if matches!(script.body, Body::Echo) {
        return match echo(script, exchange, source, sink).await {
            Ok(()) => Played::Complete,
            Err(Gone) => Played::Aborted,
        };
    }
    let (taken, whole) = watch::channel(None);
    tokio::select! {
        () = take(script.intake, exchange, source, taken) => Played::Aborted,
        answered = answer(script, sink, whole) => answered.unwrap_or(Played::Aborted),
    }
}

async fn echo(
    script: &Script,
    exchange: &InFlight<'_>,
    source: &mut impl Source,
    sink: &mut impl Sink,
) -> Result<(), Gone> {
    sink.head(script, None).await?;
    while let Some(piece) = source.piece().await? {
        exchange.took(piece.len());
        sink.data(piece).await?;
    }
    let trailers = source.trailers().await?;
    sink.end(&[trailers, script.trailers.clone()].concat())
        .await
}

/// Takes the body as the script says; returns only when the client is gone.
async fn take(
    intake: Intake,
    exchange: &InFlight<'_>,
    source: &mut impl Source,
    whole: watch::Sender<Option<Taken>>,
) {
    if intake == Intake::Never {
        return source.reset().await;
    }
    let mut pattern = Pattern::new();
    let mut taken = Taken {
        bytes: 0,
        matches: true,
    };
    loop {
        let piece = match source.piece().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(Gone) => return,
        };
        exchange.took(piece.len());
        taken.bytes += piece.len() as u64;
        taken.matches = taken.matches && pattern.check(&piece).is_ok();
        if let Intake::Slow(bytes_per_second) = intake {
            let micros = piece.len() as u64 * 1_000_000 / bytes_per_second.max(1);
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
    }
    whole.send_replace(Some(taken));
    source.gone().await;
}

async fn answer(
    script: &Script,
    sink: &mut impl Sink,
    mut whole: watch::Receiver<Option<Taken>>,
) -> Result<Played, Gone> {
    let mut taken = None;
    for status in &script.informational {
        sink.informational(*status).await?;
    }
    if script.answer == Answer::AfterBody {
        taken = *whole.wait_for(Option::is_some).await.map_err(|_| Gone)?;
    }
    if !script.delay.is_zero() {
        sink.pause(script.delay).await?;
    }
    if let Fate::BeforeHead(end) = script.fate {
        return Ok(Played::Died(end));
    }
    let body = match (&script.body, taken) {
        (Body::Count, Some(taken)) => {
            let counted = json!({"bytes": taken.bytes, "matches": taken.matches});
            Body::Bytes(counted.to_string().into())
        }
        (body, _) => body.clone(),
    };
    sink.head(script, length(&body)).await?;
    match send_body(script, &body, sink).await? {
        Some(end) => Ok(Played::Died(end)),
        None => {
            sink.end(&script.trailers).await?;
            Ok(Played::Complete)
        }
    }
}

/// Sends the body; returns how the origin dies, if it does.
async fn send_body(
    script: &Script,
    body: &Body,
    sink: &mut impl Sink,
) -> Result<Option<End>, Gone> {
    let (limit, dies) = match script.fate {
        Fate::AfterBytes(bytes, end) => (bytes, Some(end)),
        Fate::BeforeHead(_) | Fate::Clean => (u64::MAX, None),
    };
    match body {
        Body::Bytes(bytes) => {
            let length = usize::try_from(limit)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            sink.data(bytes.slice(..length)).await?;
        }
        Body::Pattern(length) => {
            let length = limit.min(*length);
            let mut pattern = Pattern::new();
            while pattern.offset() < length {
                let left = usize::try_from(length - pattern.offset()).unwrap_or(usize::MAX);
                sink.data(pattern.next(left)).await?;
            }
        }
        Body::Sse { count, every } => {
            for n in 0..*count {
                // A pause of zero is one of up to a millisecond.
                if n > 0 && !every.is_zero() {
                    sink.pause(*every).await?;
                }
                let at_us = now_us();
                let event = format!("data: {{\"n\":{n},\"at_us\":{at_us}}}\n\n");
                sink.data(event.into()).await?;
            }
        }
        Body::Hang => loop {
            sink.pause(Duration::from_secs(60)).await?;
        },
        Body::Count | Body::Echo => {}
    }
    Ok(dies)
}

fn length(body: &Body) -> Option<u64> {
    match body {
        Body::Bytes(bytes) => Some(bytes.len() as u64),
        Body::Pattern(length) => Some(*length),
        Body::Count | Body::Echo | Body::Hang | Body::Sse { .. } => None,
    }
}
