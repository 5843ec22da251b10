//! Short requests, one after the other on a connection that is kept.

use std::time::Duration;

use fprs_testkit::client::{Response, get};

use crate::load::Client;
use crate::world::WEB;

const PACE: Duration = Duration::from_millis(5);

pub(crate) async fn over_h1(client: &Client) -> Result<(), String> {
    let (mut connection, address) = client.h1().await?;
    while client.goes_on() && client.edge.is_ready(address) {
        client.begins();
        let answer = connection.get(WEB, "/").await;
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        check(client, &answer)?;
        if answer.header("connection") == Some("close") {
            break;
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

pub(crate) async fn over_h2(client: &Client) -> Result<(), String> {
    let (connection, address) = client.h2().await?;
    while client.goes_on() && client.edge.is_ready(address) {
        let Some(stream) = client.open(&connection, get(WEB, "/"), true).await? else {
            break;
        };
        match stream.response().await {
            Ok(answer) => check(client, &answer)?,
            Err(error) => return client.broken(&error),
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

fn check(client: &Client, answer: &Response) -> Result<(), String> {
    if answer.status != 200 || answer.text() != "hello" {
        let reason = answer.header("x-fprs-reason");
        return Err(format!("{} {reason:?} {:?}", answer.status, answer.text()));
    }
    client.whole();
    Ok(())
}
