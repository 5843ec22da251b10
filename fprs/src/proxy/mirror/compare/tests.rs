use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::*;
use crate::proxy::mirror::seen::Recorder;
use crate::proxy::mirror::{Account, Purse};

/// An answer that came in pieces of that many bytes.
fn seen(status: u16, fields: &[(&'static str, &str)], body: &str, piece: usize) -> Seen {
    let purse = Purse::new(usize::MAX);
    let mut recorder = Recorder::new(Account::new(usize::MAX, &purse, &purse));
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in fields {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    recorder.head(&response, false);
    for piece in body.as_bytes().chunks(piece) {
        recorder.piece(&Bytes::copy_from_slice(piece), false);
    }
    recorder.end();
    recorder.seen().unwrap()
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json; charset=utf-8")];
const EVENTS: &[(&str, &str)] = &[("content-type", "text/event-stream")];

fn found(rules: &Compare, one: &Seen, other: &Seen) -> Vec<(&'static str, String)> {
    let found = compare(rules, one, other).into_iter();
    found.map(|found| (found.part.name(), found.at)).collect()
}

#[test]
fn the_same_answer_in_other_pieces_is_the_same() {
    let rules = Compare::default();
    for fields in [JSON, EVENTS, &[]] {
        let body = "data: {\"a\": 1}\n\n";
        let one = seen(200, fields, body, 3);
        assert_eq!(compare(&rules, &one, &seen(200, fields, body, 7)), []);
    }
}

#[test]
fn status_listed_headers_and_bytes_are_compared() {
    let rules = Compare {
        headers: vec!["x-model".into()],
        ignore: Vec::new(),
    };
    let one = seen(200, &[("x-model", "a"), ("date", "1")], "one", 8);
    let other = seen(201, &[("x-model", "b"), ("date", "2")], "two", 8);
    let parts = [
        ("status", String::new()),
        ("header", "x-model".to_owned()),
        ("body", String::new()),
    ];
    assert_eq!(found(&rules, &one, &other), parts);
}

#[test]
fn json_differs_where_it_does_and_may_where_it_is_said() {
    let rules = |ignore: &[&str]| Compare {
        headers: Vec::new(),
        ignore: ignore.iter().map(|path| (*path).to_owned()).collect(),
    };
    let one = seen(
        200,
        JSON,
        r#"{"id":"a","n":[{"v":1,"t":5},{"v":2,"t":6}],"m":"x"}"#,
        8,
    );
    let other = seen(
        200,
        JSON,
        r#"{"m":"y","n":[{"v":1,"t":7},{"v":3,"t":8}],"id":"b","z":0}"#,
        8,
    );
    let at = |ignore: &[&str]| -> Vec<String> {
        let found = found(&rules(ignore), &one, &other).into_iter();
        let mut at: Vec<_> = found.map(|(part, at)| format!("{part} {at}")).collect();
        at.sort_unstable();
        at
    };
    assert_eq!(
        at(&[]),
        [
            "json /id",
            "json /m",
            "json /n/0/t",
            "json /n/1/t",
            "json /n/1/v",
            "json /z"
        ]
    );
    assert_eq!(at(&["/id", "/n/*/t", "/z"]), ["json /m", "json /n/1/v"]);
    assert_eq!(at(&["/id", "/n", "/z", "/m"]), [""; 0]);
    let reordered = seen(200, JSON, r#"{ "a": 1, "b": 2 }"#, 8);
    let same = seen(200, JSON, r#"{"b":2,"a":1}"#, 8);
    assert_eq!(compare(&rules(&[]), &reordered, &same), []);
}

#[test]
fn what_says_it_is_json_and_is_not_is_bytes() {
    let one = seen(200, JSON, "{", 8);
    let other = seen(200, JSON, "{}", 8);
    assert_eq!(
        found(&Compare::default(), &one, &other),
        [("body", String::new())]
    );
    let deep = "[".repeat(100_000);
    let deeper = seen(200, JSON, &format!("{deep}[1"), 4_096);
    let deep = seen(200, JSON, &deep, 4_096);
    assert_eq!(found(&Compare::default(), &deep, &deeper).len(), 1);
}

#[test]
fn events_are_compared_one_by_one_and_within() {
    let rules = Compare {
        headers: Vec::new(),
        ignore: vec!["/id".into()],
    };
    let one = ": a comment\ndata: {\"id\":1,\"t\":\"a\"}\n\nevent: end\ndata: x\n\n";
    let other = "data: {\"id\":2,\r\ndata: \"t\":\"a\"}\r\n\r\nevent: end\r\ndata: x\r\n\r\n";
    let of = |body: &str| seen(200, EVENTS, body, 5);
    assert_eq!(found(&rules, &of(one), &of(other)), []);
    let changed = one.replace("\"a\"", "\"b\"");
    assert_eq!(
        found(&rules, &of(one), &of(&changed)),
        [("event", "0 /t".to_owned())]
    );
    let longer = format!("{one}data: more\n\n");
    assert_eq!(
        found(&rules, &of(one), &of(&longer)),
        [("event", "2".to_owned())]
    );
    let retyped = one.replace("event: end", "event: stop");
    assert_eq!(
        found(&rules, &of(one), &of(&retyped)),
        [("event", "1".to_owned())]
    );
    let cut = one.replace("data: x\n\n", "data: x");
    assert_eq!(
        found(&rules, &of(one), &of(&cut)),
        [],
        "the last blank line may be missing"
    );
}

#[test]
fn only_the_first_differences_are_told_and_of_long_values_the_beginning() {
    let body = |value: &str| {
        let values: Vec<_> = (0..100)
            .map(|number| format!("\"{value}{number}\""))
            .collect();
        format!("[{}]", values.join(","))
    };
    let one = seen(200, JSON, &body("a"), 999);
    let other = seen(200, JSON, &body(&"b".repeat(1_000)), 999);
    let told = compare(&Compare::default(), &one, &other);
    assert_eq!(told.len(), TOLD);
    assert!(told[0].shadow.chars().count() <= QUOTED_CHARS + 1);
}

#[test]
fn nothing_is_kept_of_bodies_that_are_not_looked_into_or_too_large() {
    let purse = Purse::new(usize::MAX);
    let keeps = |fields: &[(&'static str, &str)], limit: usize, bytes: usize| {
        let account = Account::new(limit, &purse, &purse);
        let mut recorder = Recorder::new(Arc::clone(&account));
        let mut response = Response::new(());
        for (name, value) in fields {
            response.headers_mut().append(*name, value.parse().unwrap());
        }
        recorder.head(&response, false);
        for _ in 0..bytes / 1_000 {
            recorder.piece(&Bytes::from(vec![b' '; 1_000]), false);
        }
        recorder.end();
        let seen = recorder.seen().unwrap();
        assert_eq!(seen.length, bytes as u64);
        seen.body.is_some()
    };
    assert!(keeps(JSON, usize::MAX, 100_000));
    assert!(!keeps(&[], usize::MAX, 100_000));
    assert!(!keeps(JSON, 50_000, 100_000));
    assert!(!keeps(JSON, usize::MAX, 2_000_000));
    assert_eq!(purse.held(), 0);
}
