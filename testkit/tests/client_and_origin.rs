//! The tools measure right: clients and origin against each other, without fprs between them. A
//! failure here means that other tests' failures mean nothing.

use std::time::Duration;

use bytes::Bytes;
use fprs_testkit::client::{ClientError, Ending, H1, H2, RawHttp, get};
use fprs_testkit::origin::{Answer, Body, Outcome};
use fprs_testkit::{Origin, Pattern, Script, eventually};
use h2::Reason;

const HOST: &str = "origin.test";
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn h1_reads_responses_one_after_the_other_off_one_connection() {
    let origin = Origin::by_path();
    let mut client = H1::connect(origin.address()).await.unwrap();
    assert_eq!(client.get(HOST, "/").await.unwrap().text(), "hello");
    let chunked = client.get(HOST, "/trailers").await.unwrap();
    assert_eq!(chunked.text(), "with trailers");
    assert_eq!(chunked.trailer("x-check"), Some("done"));
    assert_eq!(client.get(HOST, "/status/404").await.unwrap().status, 404);
    assert_eq!(origin.record().connections(), 1);
    all_ended(&origin).await;
}

#[tokio::test]
async fn h1_heads_are_recorded_to_the_byte() {
    let origin = Origin::by_path();
    let mut client = H1::connect(origin.address()).await.unwrap();
    let head = "GET /x HTTP/1.1\r\nHOST:  origin.test\r\nX-Odd:\tv\r\n\r\n";
    client.exchange(head).await.unwrap();
    assert_eq!(origin.record().exchanges()[0].request.head, head);
}

#[tokio::test]
async fn both_protocols_see_interim_responses_before_the_final_one() {
    let origin = Origin::by_path();
    let mut h1 = H1::connect(origin.address()).await.unwrap();
    let h2 = H2::connect(origin.address()).await.unwrap();
    for response in [h1.get(HOST, "/hints").await, h2.get(HOST, "/hints").await] {
        let response = response.unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.informational.len(), 1);
        assert_eq!(response.informational[0].status, 103);
        assert!(response.informational[0].header("link").is_some());
    }
}

#[tokio::test]
async fn large_bodies_pass_both_ways_and_check_out() {
    const LENGTH: u64 = 20_000_000;
    let origin = Origin::by_path();
    let mut h1 = H1::connect(origin.address()).await.unwrap();
    let head = format!("POST /count HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {LENGTH}\r\n\r\n");
    h1.writer.send(head).await.unwrap();
    h1.writer.send_pattern(LENGTH).await.unwrap();
    let counted = format!("{{\"bytes\":{LENGTH},\"matches\":true}}");
    assert_eq!(h1.reader.response().await.unwrap().text(), counted);

    let h2 = H2::connect(origin.address()).await.unwrap();
    let down = h2.open(get(HOST, &format!("/bytes/{LENGTH}")), true).await;
    let mut down = down.unwrap().receiver;
    assert_eq!(down.head().await.unwrap().status, 200);
    assert_eq!(down.check_pattern().await.unwrap(), LENGTH);

    let mut up = get(HOST, "/count");
    *up.method_mut() = http::Method::POST;
    let mut up = h2.open(up, false).await.unwrap();
    up.sender.send_pattern(LENGTH).await.unwrap();
    up.sender.finish().unwrap();
    assert_eq!(up.response().await.unwrap().text(), counted);
}

#[tokio::test]
async fn a_body_that_is_not_the_pattern_is_told() {
    let origin = Origin::by_path();
    let mut client = H1::connect(origin.address()).await.unwrap();
    let mut body = Pattern::bytes(1_000).to_vec();
    body[7] ^= 1;
    let response = client.post(HOST, "/count", &body).await.unwrap();
    assert_eq!(response.text(), r#"{"bytes":1000,"matches":false}"#);
}

#[tokio::test]
async fn an_echo_comes_back_while_the_request_is_still_open() {
    let origin = Origin::by_path();
    let mut h1 = H1::connect(origin.address()).await.unwrap();
    let head = format!("POST /echo HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n");
    h1.writer.send(head).await.unwrap();
    assert_eq!(h1.reader.head().await.unwrap().status, 200);
    for piece in [&b"one"[..], b"two"] {
        h1.writer.send_chunk(piece).await.unwrap();
        let echoed = h1.reader.piece().await.unwrap();
        assert_eq!(echoed.as_deref(), Some(piece));
    }
    h1.writer.send("0\r\n\r\n").await.unwrap();
    assert_eq!(h1.reader.piece().await.unwrap(), None);

    let h2 = H2::connect(origin.address()).await.unwrap();
    let mut stream = h2.open(get(HOST, "/echo"), false).await.unwrap();
    assert_eq!(stream.receiver.head().await.unwrap().status, 200);
    for piece in ["one", "two"] {
        stream.sender.send(Bytes::from(piece)).await.unwrap();
        let echoed = stream.receiver.piece().await.unwrap();
        assert_eq!(echoed.as_deref(), Some(piece.as_bytes()));
    }
    stream.sender.finish().unwrap();
    assert_eq!(stream.receiver.piece().await.unwrap(), None);
}

#[tokio::test]
async fn clients_tell_a_cut_body_from_a_reset_from_a_clean_end() {
    let origin = Origin::by_path();
    for (how, expected) in [
        ("close", ClientError::Truncated),
        ("reset", ClientError::Reset),
    ] {
        let mut client = H1::connect(origin.address()).await.unwrap();
        let path = format!("/die/body?after=5000&how={how}");
        assert_eq!(client.get(HOST, &path).await.unwrap_err(), expected);
        let mut client = H1::connect(origin.address()).await.unwrap();
        let path = format!("/die/head?how={how}");
        assert_eq!(client.get(HOST, &path).await.unwrap_err(), expected);
    }
    let client = H2::connect(origin.address()).await.unwrap();
    let died = client.get(HOST, "/die/body?after=5000&how=reset").await;
    let reset = ClientError::StreamReset(Reason::INTERNAL_ERROR);
    assert_eq!(died.unwrap_err(), reset);
    assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
    assert!(client.get(HOST, "/die/head?how=close").await.is_err());
    eventually("the connection is gone", SOON, || !client.is_open()).await;
    assert_eq!(origin.record().ended(Outcome::Died), 6);
}

#[tokio::test]
async fn the_origin_sees_clients_go_at_once() {
    let origin = Origin::by_path();
    let record = origin.record();
    let mut closing = H1::connect(origin.address()).await.unwrap();
    let request = format!("GET /hang HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    closing.writer.send(&request).await.unwrap();
    closing.reader.head().await.unwrap();
    let mut resetting = H1::connect(origin.address()).await.unwrap();
    resetting.writer.send(&request).await.unwrap();
    resetting.reader.head().await.unwrap();
    let h2 = H2::connect(origin.address()).await.unwrap();
    let mut stream = h2.open(get(HOST, "/hang"), true).await.unwrap();
    stream.receiver.head().await.unwrap();
    assert_eq!(record.in_flight(), 3);

    drop(closing);
    eventually("a close is seen", SOON, || record.in_flight() == 2).await;
    resetting.reset();
    eventually("a reset is seen", SOON, || record.in_flight() == 1).await;
    stream.reset(Reason::CANCEL);
    eventually("a stream's reset is seen", SOON, || record.in_flight() == 0).await;
    assert_eq!(record.ended(Outcome::Aborted), 3);
    assert_eq!(h2.get(HOST, "/").await.unwrap().status, 200);
}

#[tokio::test]
async fn events_carry_the_time_they_were_sent() {
    let origin = Origin::by_path();
    let mut client = H1::connect(origin.address()).await.unwrap();
    let request = format!("GET /sse?n=5&ms=2 HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    client.writer.send(request).await.unwrap();
    let head = client.reader.head().await.unwrap();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let mut times = Vec::new();
    while let Some(event) = client.reader.piece().await.unwrap() {
        let json = event.strip_prefix(b"data: ").expect("one event a chunk");
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(json["n"], times.len());
        times.push(json["at_us"].as_u64().unwrap());
    }
    assert_eq!(times.len(), 5);
    assert!(times.windows(2).all(|pair| pair[0] + 2_000 <= pair[1]));
}

#[tokio::test]
async fn an_early_answer_arrives_while_the_upload_is_stuck() {
    let origin = Origin::by_path();
    let mut client = H1::connect(origin.address()).await.unwrap();
    let head = format!("POST /early HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 100000000\r\n\r\n");
    client.writer.send(head).await.unwrap();
    let H1 { writer, reader } = &mut client;
    let (sent, answered) = tokio::join!(
        async {
            tokio::time::timeout(Duration::from_millis(300), writer.send_pattern(100_000_000)).await
        },
        reader.response()
    );
    assert_eq!(answered.unwrap().status, 413);
    assert!(!matches!(sent, Ok(Ok(()))), "the origin took the upload");
}

#[tokio::test]
async fn a_missing_answer_is_a_named_timeout() {
    let origin = Origin::by_path();
    let client = H1::connect(origin.address()).await.unwrap();
    let mut client = client.deadline(Duration::from_millis(50));
    let answer = client.get(HOST, "/never").await;
    assert_eq!(
        answer.unwrap_err(),
        ClientError::TimedOut("a response head")
    );
}

#[tokio::test]
async fn raw_bytes_show_how_the_peer_ended_the_connection() {
    let origin = Origin::by_path();
    let garbage = RawHttp::exchange(origin.address(), "\0\0\0\r\n\r\n", SOON).await;
    let garbage = garbage.unwrap();
    assert_eq!((garbage.status(), garbage.ending), (None, Ending::Closed));
    let request = format!("GET /die/body?after=9&how=reset HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    let reset = RawHttp::exchange(origin.address(), request, SOON).await;
    let reset = reset.unwrap();
    assert_eq!((reset.status(), reset.ending), (Some(200), Ending::Reset));
    let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    let short = Duration::from_millis(50);
    let open = RawHttp::exchange(origin.address(), request, short).await;
    assert_eq!(open.unwrap().ending, Ending::Open);
}

#[tokio::test]
async fn hundreds_of_streams_share_one_connection() {
    let origin = Origin::with(|_| Script {
        delay: Duration::from_millis(20),
        answer: Answer::AtOnce,
        ..Script::body(Body::Pattern(10_000))
    });
    let client = H2::connect(origin.address()).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..300 {
        streams.push(client.open(get(HOST, "/"), true).await.unwrap());
    }
    for mut stream in streams {
        stream.receiver.head().await.unwrap();
        assert_eq!(stream.receiver.check_pattern().await.unwrap(), 10_000);
    }
    assert_eq!(origin.record().connections(), 1);
    all_ended(&origin).await;
    assert_eq!(origin.record().ended(Outcome::Complete), 300);
}

/// The last byte is with the client a moment before the origin has noted that it was sent.
async fn all_ended(origin: &Origin) {
    let record = origin.record();
    eventually("all exchanges end", SOON, || record.in_flight() == 0).await;
}
