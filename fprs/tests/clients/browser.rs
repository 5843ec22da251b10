//! Promise: a page in a browser sees the same: fetches, event sources, streams and sockets.

use crate::client::Client;
use crate::install;
use crate::stage::{Stage, here};

#[tokio::test]
async fn a_page_in_chromium_sees_the_same_events_streams_and_websockets() {
    let (Some(python), Some(modules)) = (install::python(), install::node_modules()) else {
        return;
    };
    let Some(chromium) = install::chromium() else {
        return;
    };
    let stage = Stage::set(&python, &here("http_program.py"), "").await;
    let page = Client::node(&modules, "chromium_client.js")
        .env("CHROMIUM", &chromium)
        // Where its profiles go with the test.
        .env("TMPDIR", stage.plane.dir());
    stage.compare(&page).await;
    stage.end().await;
}
