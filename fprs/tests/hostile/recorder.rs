//! The strictest origin: it reads HTTP/1.1 in the one form that fprs writes and in no other, and
//! notes every request with its raw bytes, one line of JSON in `$RECORD`. What is written otherwise is
//! noted as `wrong`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

/// Serves on `$PORT` until it is killed.
pub(crate) fn main() {
    let port = std::env::var("PORT").unwrap();
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        std::thread::spawn(move || serve(stream));
    }
}

fn serve(stream: TcpStream) {
    let mut wire = Wire {
        stream,
        bytes: Vec::new(),
        taken: 0,
    };
    loop {
        let target = match wire.request() {
            Ok(noted) => {
                note(&noted);
                noted["target"].as_str().unwrap().to_owned()
            }
            // Cut requests are none; the first bytes of one are never there alone.
            Err(Broken::Cut) => return,
            Err(Broken::Wrong(why)) => {
                let raw = String::from_utf8_lossy(&wire.bytes).into_owned();
                return note(&json!({"wrong": why, "raw": raw}));
            }
        };
        wire.bytes.drain(..wire.taken);
        wire.taken = 0;
        let length = target.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{target}");
        if wire.stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn note(noted: &Value) {
    let path = std::env::var_os("RECORD").unwrap();
    let mut file = std::fs::File::options()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(format!("{noted}\n").as_bytes()).unwrap();
}

/// Why there is no request.
enum Broken {
    Cut,
    Wrong(String),
}

struct Wire {
    stream: TcpStream,
    /// From the first byte of the request that is being read.
    bytes: Vec<u8>,
    taken: usize,
}

impl Wire {
    fn request(&mut self) -> Result<Value, Broken> {
        let line = self.line()?;
        let parts: Vec<&str> = line.split(' ').collect();
        let [method, target, "HTTP/1.1"] = parts[..] else {
            return Err(wrong("the request line", &line));
        };
        let Some(host) = self.line()?.strip_prefix("host: ").map(str::to_owned) else {
            return Err(wrong("no host first", &line));
        };
        let fields = self.fields()?;
        let value = |name: &str| {
            let mut values = fields.iter().filter(|field| field.0 == name);
            let value = values.next().map(|field| field.1.clone());
            let many = values.next().is_some();
            if many {
                Err(wrong("twice", name))
            } else {
                Ok(value.unwrap_or_default())
            }
        };
        for name in [
            "host",
            "connection",
            "keep-alive",
            "upgrade",
            "http2-settings",
            "proxy-connection",
        ] {
            if !value(name)?.is_empty() {
                return Err(wrong("a field of one hop", name));
            }
        }
        let (length, coding) = (value("content-length")?, value("transfer-encoding")?);
        let body = match (&*length, &*coding) {
            ("", "") => String::new(),
            ("", "chunked") => self.chunks()?,
            (length, "") if length == length.parse::<u64>().unwrap_or(u64::MAX).to_string() => {
                self.exact(length.parse().unwrap())?
            }
            (length, coding) => {
                return Err(wrong("the framing", &format!("{length:?} {coding:?}")));
            }
        };
        Ok(json!({
            "method": method,
            "target": target,
            "host": host,
            "body": body,
            "x-a": value("x-a")?,
            "cookie": value("cookie")?,
            "content-length": length,
            "transfer-encoding": coding,
            "raw": String::from_utf8_lossy(&self.bytes[..self.taken]),
        }))
    }

    fn fields(&mut self) -> Result<Vec<(String, String)>, Broken> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let Some((name, value)) = line.split_once(": ") else {
                return Err(wrong("no field", &line));
            };
            let is_token = |byte: u8| {
                !byte.is_ascii_uppercase()
                    && (byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
            };
            if name.is_empty() || !name.bytes().all(is_token) || value.trim() != value {
                return Err(wrong("no canonical field", &line));
            }
            fields.push((name.to_owned(), value.to_owned()));
        }
    }

    fn chunks(&mut self) -> Result<String, Broken> {
        let mut body = String::new();
        loop {
            let size = self.line()?;
            let length = usize::from_str_radix(&size, 16).map_err(|_| wrong("no size", &size))?;
            if format!("{length:x}") != size {
                return Err(wrong("no canonical size", &size));
            }
            if length == 0 {
                break;
            }
            body += &self.exact(length)?;
            if !self.line()?.is_empty() {
                return Err(wrong("a chunk's end", &size));
            }
        }
        for (name, _) in self.fields()? {
            if [
                "host",
                "authorization",
                "content-length",
                "transfer-encoding",
            ]
            .contains(&&*name)
                || name.starts_with("x-fprs-")
            {
                return Err(wrong("a trailer that may not be one", &name));
            }
        }
        Ok(body)
    }

    /// The next line without its CRLF; no other control byte is in it.
    fn line(&mut self) -> Result<String, Broken> {
        loop {
            let rest = &self.bytes[self.taken..];
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let Some(line) = rest[..end].strip_suffix(b"\r") else {
                    return Err(wrong("a bare LF", ""));
                };
                if line.iter().any(u8::is_ascii_control) {
                    return Err(wrong("a control byte", ""));
                }
                let line = line.iter().map(|byte| char::from(*byte)).collect();
                self.taken += end + 1;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn exact(&mut self, length: usize) -> Result<String, Broken> {
        while self.bytes.len() < self.taken + length {
            self.fill()?;
        }
        let content = &self.bytes[self.taken..self.taken + length];
        self.taken += length;
        Ok(content.iter().map(|byte| char::from(*byte)).collect())
    }

    fn fill(&mut self) -> Result<(), Broken> {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece) {
            Ok(0) | Err(_) => Err(Broken::Cut),
            Ok(length) => {
                self.bytes.extend_from_slice(&piece[..length]);
                Ok(())
            }
        }
    }
}

fn wrong(what: &str, where_: &str) -> Broken {
    Broken::Wrong(format!("{what}: {where_}"))
}
