//! Connections to peers that allow few streams, change their mind, or go.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::*;
use crate::budget::{Account, Budget, Holds, Ledger, Owner, Window};
use crate::message::Body;
use crate::upstream::{Head, Upstream};

const DEADLINE: Duration = Duration::from_secs(10);

/// What a peer saw.
#[derive(Debug, Default)]
struct Seen {
    connections: Cell<usize>,
    /// Connections that are there now.
    open: Cell<usize>,
    exchanges: Cell<usize>,
}

/// A peer that allows so many streams a connection and answers each after a while.
async fn peer(allows: u32, after: Duration) -> (SocketAddr, Rc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Rc::new(Seen::default());
    let noted = Rc::clone(&seen);
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(serve(stream, allows, after, Rc::clone(&noted)));
        }
    });
    (address, seen)
}

async fn serve(stream: TcpStream, allows: u32, after: Duration, seen: Rc<Seen>) {
    seen.connections.set(seen.connections.get() + 1);
    seen.open.set(seen.open.get() + 1);
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(allows);
    let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        seen.exchanges.set(seen.exchanges.get() + 1);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(after).await;
            respond.send_response(http::Response::new(()), true).ok();
        });
    }
    seen.open.set(seen.open.get() - 1);
}

/// A peer that speaks in frames: what it is sent is dropped, what it says comes from the test.
async fn silent() -> (
    SocketAddr,
    Rc<RefCell<Vec<tokio::net::tcp::OwnedWriteHalf>>>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&accepted);
    tokio::task::spawn_local(async move {
        loop {
            let (mut read, mut write) = listener.accept().await.unwrap().0.into_split();
            write.write_all(&allow(1)).await.unwrap();
            kept.borrow_mut().push(write);
            tokio::task::spawn_local(async move {
                let mut dropped = [0; 1024];
                while matches!(read.read(&mut dropped).await, Ok(1..)) {}
            });
        }
    });
    (address, accepted)
}

/// SETTINGS_MAX_CONCURRENT_STREAMS.
fn allow(streams: u8) -> [u8; 15] {
    [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, streams]
}

fn request() -> Request<()> {
    Request::get("http://program/").body(()).unwrap()
}

/// One exchange to its head.
async fn exchange(peer: &Rc<Peer>) -> Result<StatusCode, Failure> {
    let mut stream = peer.reserve().await?.send(&request(), Body::None)?;
    match poll_fn(|cx| stream.poll_head(cx)).await? {
        Head::Final(response, _) => Ok(response.status()),
        Head::Interim(_) => Err(Failure::Protocol),
    }
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_crowd_that_finds_no_connection_dials_one() {
    let test = async {
        let (address, seen) = peer(1_000, Duration::from_millis(20)).await;
        let peer = Peer::new(address);
        let answers = join_all((0..200).map(|_| exchange(&peer))).await;
        assert!(answers.iter().all(|answer| *answer == Ok(StatusCode::OK)));
        assert_eq!(seen.connections.get(), 1);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_peer_is_never_sent_more_streams_than_it_allows_not_even_at_first() {
    let test = async {
        for allows in [1, 3] {
            let (address, seen) = peer(allows, Duration::from_millis(5)).await;
            let peer = Peer::new(address);
            // More than it allows would be refused.
            let answers = join_all((0..100).map(|_| exchange(&peer))).await;
            let whole = answers.iter().filter(|answer| answer.is_ok()).count();
            assert_eq!(whole, 100, "{answers:?}");
            assert_eq!(seen.exchanges.get(), 100);
            assert!(seen.connections.get() <= limits::CONNECTIONS_PER_PEER);
        }
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_peer_that_allows_more_is_used_at_once() {
    let test = async {
        let (address, accepted) = silent().await;
        let peer = Peer::new(address);
        let mut held = Vec::new();
        for _ in 0..limits::CONNECTIONS_PER_PEER {
            held.push(peer.reserve().await.unwrap());
        }
        let mut waiting = Box::pin(peer.reserve());
        let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(early.is_err(), "all are full");
        let raised = allow(2);
        let write = accepted.borrow_mut()[0].try_write(&raised).unwrap();
        assert_eq!(write, raised.len());
        let slot = tokio::time::timeout(DEADLINE, waiting).await.unwrap();
        assert!(slot.is_ok());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn whoever_leaves_gives_its_place_to_the_next() {
    let test = async {
        let (address, _accepted) = silent().await;
        let peer = Peer::new(address);
        let mut held = Vec::new();
        for _ in 0..limits::CONNECTIONS_PER_PEER {
            held.push(peer.reserve().await.unwrap());
        }
        let mut first = Box::pin(peer.reserve());
        let mut second = Box::pin(peer.reserve());
        for waiting in [&mut first, &mut second] {
            let early = tokio::time::timeout(Duration::from_millis(10), waiting).await;
            assert!(early.is_err(), "all are full");
        }
        // The room is for the first, who leaves just then.
        held.pop();
        drop(first);
        let slot = tokio::time::timeout(DEADLINE, second).await.unwrap();
        assert!(slot.is_ok());
        drop((slot, held));
        assert_eq!(peer.waiting.get(), 0);
        let open = peer.connections.borrow().iter().map(|c| c.open.get()).sum();
        assert_eq!(0_usize, open);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn those_who_wait_are_bounded_in_number_and_time() {
    let test = async {
        let (address, _accepted) = silent().await;
        let peer = Peer::new(address);
        let mut held = Vec::new();
        for _ in 0..limits::CONNECTIONS_PER_PEER {
            held.push(peer.reserve().await.unwrap());
        }
        tokio::time::pause();
        let begun = Instant::now();
        let crowd = (0..limits::WAITING_PER_PEER + 1).map(|_| async {
            let refused = peer.reserve().await.map(drop);
            (refused, begun.elapsed())
        });
        let refused = join_all(crowd).await;
        assert!(refused.iter().all(|(how, _)| *how == Err(Failure::Full)));
        let at_once = refused.iter().filter(|(_, after)| after.is_zero()).count();
        assert_eq!(at_once, 1, "the last one is one too many");
        let longest = refused.iter().map(|(_, after)| *after).max().unwrap();
        assert!(longest < limits::ROOM_PATIENCE + Duration::from_secs(1));
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_connection_is_warm_before_it_is_needed_and_ends_with_its_peer() {
    let test = async {
        let (address, seen) = peer(100, Duration::from_millis(50)).await;
        let peer = Peer::new(address);
        peer.warm().await;
        assert!(peer.room().is_some());
        let under_way = tokio::task::spawn_local({
            let peer = Rc::clone(&peer);
            async move { exchange(&peer).await }
        });
        eventually("the exchange arrives", || seen.exchanges.get() == 1).await;
        peer.close();
        assert_eq!(exchange(&peer).await, Err(Failure::Connect));
        assert_eq!(under_way.await.unwrap(), Ok(StatusCode::OK));
        eventually("it is closed", || seen.open.get() == 0).await;
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_peer_that_nobody_keeps_keeps_no_connection() {
    let test = async {
        let (address, seen) = peer(100, Duration::ZERO).await;
        let peer = Peer::new(address);
        assert_eq!(exchange(&peer).await, Ok(StatusCode::OK));
        assert_eq!(seen.open.get(), 1);
        drop(peer);
        eventually("it is closed", || seen.open.get() == 0).await;
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn what_does_not_speak_http2_is_no_connection() {
    let test = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Peer::new(listener.local_addr().unwrap());
        let mut refused = Box::pin(peer.reserve());
        // It is accepted, and asked in vain.
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            _ = &mut refused => unreachable!("the dial has not ended"),
        };
        tokio::time::pause();
        let begun = Instant::now();
        assert_eq!(refused.await.map(drop), Err(Failure::Connect));
        let waited = begun.elapsed();
        assert!(
            waited <= limits::SETTINGS_TIME + limits::CONNECT_TIMEOUT,
            "{waited:?}"
        );
        drop(accepted);
    };
    LocalSet::new().run_until(test).await;
}

/// A peer that answers every request with so many bytes, and goes on with each as its window allows.
async fn sender(bytes: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut send = respond
                .send_response(http::Response::new(()), false)
                .unwrap();
            send.send_data(Bytes::from(vec![0; bytes]), true).unwrap();
        }
    });
    address
}

/// An exchange whose reader takes nothing, held in the account until it is dropped.
async fn stalled<'a>(peer: &Rc<Peer>, account: &mut Account<'a>) -> (Stream, Window) {
    let slot = peer.reserve().await.unwrap();
    let mut stream = slot.send(&request(), Body::None).unwrap();
    poll_fn(|cx| stream.poll_head(cx)).await.unwrap();
    let window = stream.window().unwrap();
    let holds =
        poll_fn(|cx| Poll::Ready(account.poll(cx, Holds::default(), || None, || stream.window())));
    assert!(holds.await.is_pending());
    (stream, window)
}

#[tokio::test]
async fn the_more_of_a_peers_streams_stall_the_less_it_may_send_ahead_on_each() {
    let test = async {
        let owner = Owner::server(&"server".into());
        let ledger = Ledger::new(&Budget::new(usize::MAX));
        let peer = Peer::new(sender(1 << 20).await);
        let mut held = Vec::new();
        // So many of each window hold one step more.
        for (streams, window) in [(4, 256), (8, 128), (16, 64), (32, 32), (2, 16)] {
            for _ in 0..streams {
                let mut account = ledger.account(&owner);
                let (stream, credit) = stalled(&peer, &mut account).await;
                eventually("its window is used up", || credit.bytes() == window * 1024).await;
                held.push((account, stream));
            }
            // The ledger has looked, and the peer agreed.
            tokio::time::sleep(limits::BUDGET_SWEEP * 3).await;
        }
        assert_eq!(peer.connections.borrow().len(), 1);
        held.clear();
        eventually("the window is whole again", || {
            peer.credit.window() == limits::STREAM_WINDOW
        })
        .await;
        let mut account = ledger.account(&owner);
        tokio::time::sleep(limits::BUDGET_SWEEP).await;
        let (_stream, window) = stalled(&peer, &mut account).await;
        eventually("a whole window", || {
            window.bytes() == limits::STREAM_WINDOW as usize
        })
        .await;
    };
    LocalSet::new().run_until(test).await;
}
