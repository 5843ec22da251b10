//! A program that speaks HTTP/1.1 byte by byte: it shows the head it got, or answers what no well-kept
//! program would.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use fprs_testkit::program;

/// Answers that break a rule: a name, and what follows the status line. Of some, a proxy can make a
/// clean one; of others, only an error.
pub(crate) const BAD: [(&str, &str); 12] = [
    (
        "connection",
        "connection: x-hop\r\nx-hop: 1\r\ncontent-length: 2\r\n\r\nok",
    ),
    (
        "keep-alive",
        "keep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nok",
    ),
    (
        "transfer-encoding",
        "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "upgrade",
        "upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\nok",
    ),
    ("upper case", "X-UPPER: 1\r\ncontent-length: 2\r\n\r\nok"),
    ("nul", "x-nul: a\0b\r\ncontent-length: 2\r\n\r\nok"),
    ("cr", "x-cr: a\rb\r\ncontent-length: 2\r\n\r\nok"),
    (
        "space in a name",
        "x name: 1\r\ncontent-length: 2\r\n\r\nok",
    ),
    (
        "two lengths",
        "content-length: 2\r\ncontent-length: 3\r\n\r\nok",
    ),
    (
        "length and chunks",
        "content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    (
        "bad chunk",
        "transfer-encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n",
    ),
    ("short body", "content-length: 200\r\n\r\nok"),
];

/// Deploys it.
pub(crate) fn manifest(name: &str) -> String {
    let mut command = program::command();
    for argument in &mut command {
        if argument == "program" {
            *argument = "raw_program".to_owned();
        }
    }
    let command = serde_json::Value::from(command);
    format!("name = \"{name}\"\ncommand = {command}\nauth = \"public\"\nmin_replicas = 1\n")
}

/// Serves on `$PORT` until it is killed.
pub(crate) fn main() {
    let port = std::env::var("PORT").unwrap();
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    for stream in listener.incoming() {
        std::thread::spawn(move || answer(stream.unwrap()));
    }
}

/// One request a connection.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default();
    if let Some(number) = path.strip_prefix("/bad/") {
        let (_, rest) = BAD[number.parse::<usize>().unwrap()];
        return stream.write_all(format!("HTTP/1.1 200 OK\r\n{rest}").as_bytes());
    }
    if path == "/events" {
        return events(stream);
    }
    let more = match path {
        "/many" => (0..110)
            .map(|number| format!("x-{number}: 1\r\n"))
            .collect(),
        "/steer" => "x-envoy-immediate-health-check-fail: 1\r\nx-envoy-overloaded: 1\r\n\
                     x-envoy-upstream-canary: 1\r\nx-fprs-in-flight: 9\r\nx-internal-host: a\r\n"
            .to_owned(),
        _ => String::new(),
    };
    let length = text.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\n{more}connection: close\r\ncontent-length: {length}\r\n\r\n{text}"
    );
    stream.write_all(answer.as_bytes())
}

/// An event every 10 ms for as long as somebody listens.
fn events(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")?;
    loop {
        stream.write_all(b"data: 1\n\n")?;
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
