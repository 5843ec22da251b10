use fprs_config::Store;
use fprs_config::feed::FeedClient;
use serde_json::json;

use crate::plane::{Plane, TOKEN};

#[tokio::test]
async fn the_feed_is_served_on_the_same_port_behind_the_same_token() {
    let plane = Plane::start().await;
    plane.deploy("hello", json!({})).await;
    let addresses = [plane.address.to_string()];
    let follower = FeedClient::new(&addresses, TOKEN, "a follower").unwrap();
    let contents = follower.snapshot().await.unwrap();
    assert_eq!(contents.revision, plane.view.load().revision());
    assert_eq!(contents.entries.len(), 1);
    let stranger = FeedClient::new(&addresses, "wrong", "a stranger").unwrap();
    stranger.snapshot().await.unwrap_err();
}
