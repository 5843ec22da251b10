//! Clients that are slow or silent, each in its own way, until they are cut.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

use crate::frames::{data, frame, headers};

/// What an attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Says nothing.
    Silent,
    /// Half a preface of HTTP/2.
    HalfPreface,
    /// Half a request line.
    HalfLine,
    /// A byte of a field now and then.
    HeaderByte,
    /// A byte of an announced body now and then.
    BodyByte,
    /// The same, over HTTP/2.
    H2BodyByte,
    /// A preface of HTTP/2 and nothing else.
    PrefaceOnly,
    /// HTTP/2 that never agrees to our settings.
    NoAck,
    /// HTTP/2 that asks for nothing but pings.
    Pings,
    /// One request, and no other.
    AfterOne,
    /// Takes a byte of a large response now and then.
    ReaderByte,
    /// Takes nothing of a large response.
    NeverReads,
    /// Gives a large response no window.
    NoWindow,
}

impl Kind {
    pub(crate) const ALL: [Self; 13] = [
        Self::Silent,
        Self::HalfPreface,
        Self::HalfLine,
        Self::HeaderByte,
        Self::BodyByte,
        Self::H2BodyByte,
        Self::PrefaceOnly,
        Self::NoAck,
        Self::Pings,
        Self::AfterOne,
        Self::ReaderByte,
        Self::NeverReads,
        Self::NoWindow,
    ];

    /// The deadline that cuts it.
    pub(crate) const fn deadline(self) -> &'static str {
        match self {
            Self::Silent | Self::HalfPreface => "first-byte",
            Self::HalfLine | Self::HeaderByte => "head",
            Self::BodyByte | Self::H2BodyByte => "body",
            Self::PrefaceOnly | Self::NoAck | Self::Pings | Self::AfterOne => "idle",
            Self::ReaderByte | Self::NeverReads | Self::NoWindow => "reader",
        }
    }

    /// Attacks until it is cut; how long that took.
    pub(crate) async fn attack(self, address: SocketAddr, host: &str) -> Duration {
        let begun = Instant::now();
        let mut stream = connect(address).await;
        stream.write_all(&self.opening(host)).await.unwrap();
        match self {
            Self::HeaderByte => drip(stream, b"a").await,
            Self::BodyByte => drip(stream, b"a").await,
            Self::H2BodyByte => drip(stream, &data(1, false, b"a")).await,
            Self::Pings => drip(stream, &frame(PING, 0, 0, &[0; 8])).await,
            Self::ReaderByte => sip(stream).await,
            Self::NeverReads => ignore(stream).await,
            _ => drain(stream).await,
        }
        begun.elapsed()
    }

    fn opening(self, host: &str) -> Vec<u8> {
        let h1 = |line: &str, more: &str| format!("{line} HTTP/1.1\r\nhost: {host}\r\n{more}");
        let settings = |settings: &[u8]| [PREFACE, &*frame(SETTINGS, 0, 0, settings)].concat();
        let request = |method: &str, path: &str, more: &[(&str, &str)]| {
            let fields = [
                (":method", method),
                (":scheme", "http"),
                (":authority", host),
                (":path", path),
            ];
            let fields: Vec<(Vec<u8>, Vec<u8>)> = fields
                .iter()
                .chain(more)
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect();
            headers(1, method == "GET", &fields)
        };
        match self {
            Self::Silent => Vec::new(),
            Self::HalfPreface => PREFACE[..10].to_vec(),
            Self::HalfLine => b"GET / HT".to_vec(),
            Self::HeaderByte => h1("GET /", "x-a: ").into(),
            Self::BodyByte => h1("POST /count", "content-length: 100000\r\n\r\n").into(),
            Self::AfterOne => h1("GET /", "\r\n").into(),
            Self::ReaderByte | Self::NeverReads => h1(LARGE_GET, "\r\n").into(),
            Self::PrefaceOnly => PREFACE.to_vec(),
            Self::NoAck | Self::Pings => settings(&[]),
            Self::H2BodyByte => {
                let length = [("content-length", "100000")];
                [settings(&[]), request("POST", "/count", &length)].concat()
            }
            // SETTINGS_INITIAL_WINDOW_SIZE.
            Self::NoWindow => {
                let none = settings(&[0, 4, 0, 0, 0, 0]);
                [none, request("GET", LARGE, &[])].concat()
            }
        }
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // Little of a response fits into the attacker's own buffers.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

/// Sends a little now and then, and takes whatever comes.
async fn drip(stream: TcpStream, drop: &[u8]) {
    let (reader, mut writer) = stream.into_split();
    let reading = tokio::spawn(end(reader));
    while !reading.is_finished() {
        writer.write_all(drop).await.ok();
        sleep(NOW_AND_THEN).await;
    }
}

async fn drain(stream: TcpStream) {
    // The writing half stays open.
    let (reader, _writer) = stream.into_split();
    end(reader).await;
}

/// Reads until the connection ends, or HTTP/2's stream 1 on it.
async fn end(mut reader: impl AsyncReadExt + Unpin) {
    let mut read = Vec::new();
    while matches!(reader.read_buf(&mut read).await, Ok(1..)) {
        while let [0, a, b, kind, flags, rest @ ..] = &*read {
            let length = usize::from(u16::from_be_bytes([*a, *b]));
            let Some(payload) = rest.get(4..) else { break };
            if payload.len() < length {
                break;
            }
            let ends = *kind == RST_STREAM || (*kind <= HEADERS && flags & END_STREAM != 0);
            if ends && rest[..4] == [0, 0, 0, 1] {
                return;
            }
            read.drain(..9 + length);
        }
    }
}

/// Takes a byte now and then. What has arrived before a reset can still be read, so that is no sign.
async fn sip(mut stream: TcpStream) {
    expect_answer(&stream).await;
    while stream.take_error().unwrap().is_none() && stream.read_u8().await.is_ok() {
        sleep(NOW_AND_THEN).await;
    }
}

/// Takes nothing, and only looks whether it was reset.
async fn ignore(stream: TcpStream) {
    expect_answer(&stream).await;
    while stream.take_error().unwrap().is_none() {
        sleep(Duration::from_millis(20)).await;
    }
}

/// There is a response to be slow with. Takes nothing of it.
async fn expect_answer(stream: &TcpStream) {
    let mut seen = [0; 12];
    while stream.peek(&mut seen).await.unwrap() < seen.len() {}
    assert_eq!(&seen, b"HTTP/1.1 200");
}

const NOW_AND_THEN: Duration = Duration::from_millis(250);

/// 4 MiB: more than all buffers on the way hold.
const LARGE: &str = "/bytes/4194304";
const LARGE_GET: &str = "GET /bytes/4194304";

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_STREAM: u8 = 1;
