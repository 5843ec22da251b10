//! HTTP/2 written by hand, for what no library would send: frames go out as they are given, and what
//! comes back is noted per stream.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex as Turn, Notify};
use tokio::task::JoinHandle;

use crate::world::DEADLINE;

/// One connection. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Frames {
    writer: Arc<Turn<OwnedWriteHalf>>,
    noted: Arc<Mutex<Noted>>,
    reader: JoinHandle<()>,
    next: AtomicU32,
    came: Arc<Notify>,
}

/// What came.
#[derive(Debug, Default)]
struct Noted {
    streams: HashMap<u32, Seen>,
    /// Code and debug data.
    goaway: Option<(u32, String)>,
    closed: bool,
}

/// What came on one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answered: bool,
    /// Bytes of body.
    pub(crate) bytes: usize,
    pub(crate) ended: bool,
    pub(crate) reset: bool,
}

impl Frames {
    /// Connects with windows that never fill: 1 GiB for the connection and each stream.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        let writer = Arc::new(Turn::new(writer));
        let noted = Arc::new(Mutex::new(Noted::default()));
        let came = Arc::new(Notify::new());
        let (answers, notes) = (Arc::clone(&writer), Arc::clone(&noted));
        let reader = tokio::spawn(read(reader, answers, notes, Arc::clone(&came)));
        let frames = Self {
            writer,
            noted,
            reader,
            next: AtomicU32::new(1),
            came,
        };
        frames.write(&opening()).await;
        frames
    }

    /// The next stream's number.
    pub(crate) fn stream(&self) -> u32 {
        self.next.fetch_add(2, Ordering::Relaxed)
    }

    /// Sends bytes as they are; on a connection that ended they are lost.
    pub(crate) async fn write(&self, bytes: &[u8]) {
        self.writer.lock().await.write_all(bytes).await.ok();
    }

    /// Sends a GET and returns its stream.
    pub(crate) async fn get(&self, authority: &str, path: &str) -> u32 {
        let stream = self.stream();
        let head = headers(stream, true, &request("GET", authority, path));
        self.write(&head).await;
        stream
    }

    /// Sends a GET for `/bytes/N` and waits for all of them.
    pub(crate) async fn expect_bytes(&self, authority: &str, length: usize) {
        let stream = self.get(authority, &format!("/bytes/{length}")).await;
        self.wait("a whole response", stream, |seen| {
            seen.ended && seen.bytes == length
        })
        .await;
    }

    /// What came on a stream so far.
    pub(crate) fn seen(&self, stream: u32) -> Seen {
        let noted = self.noted.lock().unwrap();
        noted.streams.get(&stream).cloned().unwrap_or_default()
    }

    /// Waits until what came on a stream is as wanted; fails at once when the connection ends.
    pub(crate) async fn wait(&self, what: &str, stream: u32, wanted: impl Fn(&Seen) -> bool) {
        let came = async {
            loop {
                let came = self.came.notified();
                let seen = self.seen(stream);
                self.expect_open(what);
                if wanted(&seen) {
                    return;
                }
                assert!(!seen.reset, "{what}: {seen:?}");
                came.await;
            }
        };
        let came = tokio::time::timeout(DEADLINE, came).await;
        assert!(came.is_ok(), "not in time: {what}: {:?}", self.seen(stream));
    }

    /// Fails when the peer has ended the connection, or is about to, after `what`.
    pub(crate) fn expect_open(&self, what: &str) {
        let noted = self.noted.lock().unwrap();
        assert_eq!((&noted.goaway, noted.closed), (&None, false), "{what}");
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// A connection with windows that never fill, on which nothing is ever read.
#[derive(Debug)]
pub(crate) struct Unread(#[expect(dead_code, reason = "held open")] TcpStream);

impl Unread {
    /// Connects and asks for so many responses of 200 KiB.
    pub(crate) async fn connect(address: SocketAddr, authority: &str, responses: usize) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&opening()).await.unwrap();
        for number in 0..responses {
            let number = 2 * u32::try_from(number).unwrap() + 1;
            let get = headers(number, true, &request("GET", authority, "/bytes/204800"));
            stream.write_all(&get).await.unwrap();
        }
        Self(stream)
    }
}

/// Preface and settings.
fn opening() -> Vec<u8> {
    let mut opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut setting = INITIAL_WINDOW.to_be_bytes().to_vec();
    setting.extend(WINDOW.to_be_bytes());
    opening.extend(frame(SETTINGS, 0, 0, &setting));
    opening.extend(frame(WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes()));
    opening
}

async fn read(
    mut reader: OwnedReadHalf,
    writer: Arc<Turn<OwnedWriteHalf>>,
    noted: Arc<Mutex<Noted>>,
    came: Arc<Notify>,
) {
    let mut head = [0; 9];
    while reader.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        if reader.read_exact(&mut payload).await.is_err() {
            break;
        }
        if kind == SETTINGS && flags & ACK == 0 {
            let acknowledged = frame(SETTINGS, ACK, 0, &[]);
            writer.lock().await.write_all(&acknowledged).await.ok();
        }
        let mut noted = noted.lock().unwrap();
        if kind == GOAWAY {
            let code = u32::from_be_bytes([payload[4], payload[5], payload[6], payload[7]]);
            let debug = String::from_utf8_lossy(&payload[8..]).into_owned();
            noted.goaway = Some((code, debug));
        }
        if matches!(kind, DATA | HEADERS | RST_STREAM) {
            let seen = noted.streams.entry(stream).or_default();
            seen.answered |= kind == HEADERS;
            seen.reset |= kind == RST_STREAM;
            seen.bytes += if kind == DATA { length } else { 0 };
            seen.ended |= kind != RST_STREAM && flags & END_STREAM != 0;
        }
        came.notify_waiters();
    }
    noted.lock().unwrap().closed = true;
    came.notify_waiters();
}

/// A HEADERS frame of literal fields.
pub(crate) fn headers(stream: u32, end: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        // A literal with a new name, not indexed.
        block.push(0);
        string(&mut block, name);
        string(&mut block, value);
    }
    let end = if end { END_STREAM } else { 0 };
    frame(HEADERS, END_HEADERS | end, stream, &block)
}

/// A DATA frame.
pub(crate) fn data(stream: u32, end: bool, payload: &[u8]) -> Vec<u8> {
    frame(DATA, if end { END_STREAM } else { 0 }, stream, payload)
}

/// An RST_STREAM frame: CANCEL.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// The fields of a proper request.
pub(crate) fn request<'a>(
    method: &'a str,
    authority: &'a str,
    path: &'a str,
) -> [(&'static str, &'a str); 4] {
    [
        (":method", method),
        (":scheme", "http"),
        (":authority", authority),
        (":path", path),
    ]
}

fn string(block: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 127, "one byte of length: {text}");
    block.push(length);
    block.extend(text.as_bytes());
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

const INITIAL_WINDOW: u16 = 4;
const WINDOW: u32 = 1 << 30;
