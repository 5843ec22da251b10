//! Shadows that serve badly, each in its own way, on the core of the ends.

use std::{
    fmt::Debug,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::Result;
use bytes::Bytes;
use http::Response;
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use socket2::SockRef;

use crate::{
    arguments::of_serve, backend::Serve, cases::Shadow, harness::Origin, proxy::OTHER_CORE,
};

/// Ten times what a request takes through a proxy at a low rate.
const SLOW: Duration = Duration::from_millis(3);
/// What a trickling reader takes a second.
const TRICKLE: usize = 1024;
/// How often it takes a part of that.
const STEPS: u32 = 8;
/// What a dying one answers before it resets.
const BEGINNING: &[u8] = b"the beginning";
/// Turns of a dying one's runtime in which its connection writes that.
const LOOKS: usize = 8;

/// Where the shadow is, and what it lives in.
pub(super) fn start(
    kind: Shadow,
    origin: SocketAddr,
) -> Result<(SocketAddr, Option<Box<dyn Debug + Send>>)> {
    if kind == Shadow::Healthy {
        return Ok((origin, None));
    }
    if kind == Shadow::Slow {
        let slow = Origin::start(&of_serve(Serve::Around { about: SLOW }))?;
        return Ok((slow.address, Some(Box::new(slow))));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    match kind {
        Shadow::Stuck => return Ok((address, Some(Box::new(listener)))),
        Shadow::Resetting => each(listener, |stream| {
            // Closed with its linger at zero, a connection is reset.
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).ok();
        }),
        Shadow::Trickling => each(listener, |mut stream| {
            let mut part = vec![0; TRICKLE / STEPS as usize];
            while stream.read(&mut part).is_ok_and(|bytes| bytes > 0) {
                thread::sleep(Duration::from_secs(1) / STEPS);
            }
        }),
        Shadow::Dying => each(listener, |stream| {
            if let Err(error) = die(stream) {
                eprintln!("a dying shadow: {error:#}");
            }
        }),
        // The listener is gone with this function.
        Shadow::Refusing | Shadow::Absent | Shadow::Healthy | Shadow::Slow => {}
    }
    Ok((address, None))
}

/// Does that with every connection, on a thread each, as long as this process lives.
fn each(listener: TcpListener, with: fn(TcpStream)) {
    thread::spawn(move || {
        let mut core = CpuSet::new();
        // Threads that come of this one are there too.
        if core.set(OTHER_CORE as usize).is_ok() {
            sched_setaffinity(Pid::from_raw(0), &core).ok();
        }
        while let Ok((stream, _)) = listener.accept() {
            thread::spawn(move || with(stream));
        }
    });
}

/// Begins every answer and resets it.
fn die(stream: TcpStream) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    stream.set_nonblocking(true)?;
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let mut connection = h2::server::handshake(stream).await?;
        while let Some(accepted) = connection.accept().await {
            let (_, mut respond) = accepted?;
            let mut body = respond.send_response(Response::new(()), false)?;
            body.send_data(Bytes::from_static(BEGINNING), false)?;
            tokio::spawn(async move {
                // Once the beginning is on its way. Not by a timer: a time that is in step with that of
                // the requests has the end of each copy meet the next request, or never.
                for _ in 0..LOOKS {
                    tokio::task::yield_now().await;
                }
                body.send_reset(h2::Reason::INTERNAL_ERROR);
            });
        }
        Ok(())
    })
}
