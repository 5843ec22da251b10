//! A program that is never too busy to be attacked: a thread a connection, and nothing to compute. It
//! answers `/` with little and any other GET with 4 MiB, and takes all of what is POSTed.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// More than all buffers on the way to a client hold.
static LARGE: [u8; 4 << 20] = [b'a'; 4 << 20];

/// Serves on `$PORT` until it is killed.
pub(crate) fn main() {
    let port = std::env::var("PORT").unwrap();
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        std::thread::spawn(move || serve(stream));
    }
}

fn serve(mut stream: TcpStream) {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    loop {
        while !read.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut piece) {
                Ok(length @ 1..) => read.extend_from_slice(&piece[..length]),
                Ok(_) | Err(_) => return,
            }
        }
        if read.starts_with(b"POST ") {
            while matches!(stream.read(&mut piece), Ok(1..)) {}
            return;
        }
        let body: &[u8] = match read.starts_with(b"GET / ") {
            true => b"small",
            false => &LARGE,
        };
        read.clear();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all(head.as_bytes()).is_err() || stream.write_all(body).is_err() {
            return;
        }
    }
}
