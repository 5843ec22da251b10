//! Promise: what outsiders say about themselves, or in our name, arrives as the truth or not at all.

use std::net::IpAddr;

use http::HeaderMap;

use crate::plane::{Edged, WEB};

const SPOOFS: [(&str, &str); 16] = [
    ("x-fprs-replica", "r"),
    ("x-fprs-tenant", "t"),
    ("x-fprs-mirror", "m"),
    ("x_fprs_tenant", "t"),
    ("x-envoy-internal", "true"),
    ("x-envoy-external-address", "1.2.3.4"),
    ("x-envoy-retry-on", "5xx"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
    ("x-internal-user", "root"),
    ("x-forwarded-for", "1.2.3.4"),
    ("x-forwarded-proto", "http"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-port", "1"),
    ("x-real-ip", "1.2.3.4"),
    ("forwarded", "for=1.2.3.4"),
    ("proxy", "http://evil.example"),
];

#[tokio::test]
async fn spoofed_fields_arrive_cleaned_over_both_versions_of_http() {
    let Some(edged) = Edged::raw().await else {
        return;
    };
    let mut head = format!("GET /a/../head HTTP/1.1\r\nhost: {WEB}:8443\r\nx-kept: 1\r\n");
    let mut request = fprs_testkit::client::get(WEB, "/a/../head");
    request.headers_mut().insert("x-kept", "1".parse().unwrap());
    for (name, value) in SPOOFS {
        head += &format!("{name}: {value}\r\n");
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let mut h1 = edged.h1().await;
    let over_h1 = h1.exchange(head + "\r\n").await.unwrap();
    let h2 = edged.h2().await;
    let over_h2 = h2.open(request, true).await.unwrap().response().await;
    for answer in [over_h1, over_h2.unwrap()] {
        assert_eq!(answer.status, 200);
        let arrived = answer.text();
        let (line, rest) = arrived.split_once("\r\n").unwrap();
        assert_eq!(line, "GET /head HTTP/1.1");
        let fields = fields(rest);
        let all = |name: &str| fields.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(all("host"), [WEB]);
        assert_eq!(all("x-kept"), ["1"]);
        // The truth, once. Of clients on its own machine Envoy says the machine's address.
        let [client] = all("x-forwarded-for")[..] else {
            panic!("{arrived}");
        };
        let client: IpAddr = client.to_str().unwrap().parse().unwrap();
        assert_ne!(client.to_string(), "1.2.3.4");
        assert_eq!(all("x-forwarded-proto"), ["https"]);
        assert_eq!(all("x-forwarded-host"), [WEB]);
        let told = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
        for (name, value) in SPOOFS.iter().filter(|(name, _)| !told.contains(name)) {
            assert!(
                all(name).iter().all(|arrived| arrived != value),
                "{name}: {arrived}"
            );
        }
        for name in fields.keys() {
            let ours = ["x-envoy-", "x-internal-"];
            assert!(
                !ours.iter().any(|start| name.as_str().starts_with(start)),
                "{arrived}"
            );
        }
        // One id, for the client, the program and the edge's own log.
        assert_eq!(
            answer.header("x-request-id").unwrap(),
            fields["x-request-id"]
        );
    }
}

#[tokio::test]
async fn spoofed_fields_in_trailers_do_not_arrive() {
    let Some(edged) = Edged::start().await else {
        return;
    };
    let client = edged.h2().await;
    let mut request = fprs_testkit::client::get(WEB, "/echo");
    *request.method_mut() = http::Method::POST;
    let mut stream = client.open(request, false).await.unwrap();
    stream.sender.send("body".into()).await.unwrap();
    let mut trailers = HeaderMap::new();
    for name in [
        "x-internal-user",
        "x-fprs-tenant",
        "x-envoy-internal",
        "x-kept",
    ] {
        trailers.insert(name, "1".parse().unwrap());
    }
    stream.sender.finish_with(trailers).unwrap();
    // The program sends back what arrived.
    let answer = stream.response().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "body"));
    let arrived: Vec<&str> = answer.trailers.keys().map(|name| name.as_str()).collect();
    assert_eq!(arrived, ["x-kept"]);
}

#[tokio::test]
async fn only_the_edge_is_believed_about_clients() {
    let Some(edged) = Edged::raw().await else {
        return;
    };
    let mut direct = edged.plane.h1().await;
    let head = format!(
        "GET /head HTTP/1.1\r\nhost: {WEB}\r\nx-forwarded-for: 1.2.3.4\r\n\
         x-forwarded-proto: https\r\n\r\n"
    );
    let answer = direct.exchange(head).await.unwrap();
    let arrived = answer.text();
    let fields = fields(arrived.split_once("\r\n").unwrap().1);
    assert_eq!(fields["x-forwarded-for"], "127.0.0.1");
    assert_eq!(fields["x-forwarded-proto"], "http");
}

fn fields(text: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        let name = http::HeaderName::try_from(name).unwrap();
        fields.append(name, value.parse().unwrap());
    }
    fields
}
