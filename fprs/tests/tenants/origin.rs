//! A relay that answers every request with 200 at once and nothing in it, for next to no work.

use std::net::{SocketAddr, TcpListener};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::wire::{self, END_HEADERS, END_STREAM, Frames, HEADERS, OK, SETTINGS};

/// Starts one, on a thread that ends with the process.
pub(crate) fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream));
            }
        });
    });
    address
}

async fn serve(stream: TcpStream) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut frames = Frames::new(reader);
    frames.preface().await?;
    let mut out = Vec::new();
    wire::put(&mut out, SETTINGS, 0, 0, &[]);
    while frames.read().await? {
        while let Some(frame) = frames.next() {
            wire::acknowledge(frame, &mut out);
            if frame.kind == HEADERS {
                let flags = END_HEADERS | END_STREAM;
                wire::put(&mut out, HEADERS, flags, frame.stream, &[OK]);
            }
        }
        writer.write_all(&out).await?;
        out.clear();
    }
    Ok(())
}
