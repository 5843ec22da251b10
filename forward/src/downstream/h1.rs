//! Client connections that speak HTTP/1.1: one exchange after the other; no byte of one is ever read
//! as part of the next. Where a message's end is in doubt the connection ends.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::header::EXPECT;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tokio::time::{Instant, Sleep};

use crate::answer::{Answer, Reason};
use crate::downstream::{Client, Downstream, Inbound};
use crate::fields::strip_hop_by_hop;
use crate::h1::body::{Decoded, Decoder, Encoder, Framing};
use crate::h1::buffer::{ReadBuffer, Socket, WriteBuffer};
use crate::h1::head::{self, Malformed};
use crate::limits;
use crate::message::{Body, Frame, Gone, Interim};
use crate::shard::{Connected, Drain, Phase, Service};
use crate::socket::ResetWatch;
use crate::stall::Stalls;
use crate::websocket;

/// Serves one connection to its end.
pub async fn serve<S: Service, T: Socket>(io: T, client: Rc<Client>, connected: Connected<S>) {
    let mut connection = Connection {
        io,
        read: ReadBuffer::default(),
        searched: 0,
        write: WriteBuffer::default(),
        drain: connected.drain(),
        stalls: connected.stalls(),
        clock: Clock::new(connected.stalls().deadlines().idle),
        reset: None,
    };
    loop {
        let head = match connection.next().await {
            Next::Head(head) => head,
            Next::End => break,
            Next::Malformed(malformed) => {
                refuse(&mut connection, malformed).await;
                break;
            }
        };
        let mut head = *head;
        let body = match body(&mut head) {
            Ok(body) => body,
            Err(malformed) => {
                refuse(&mut connection, malformed).await;
                break;
            }
        };
        let counted = connected.begin();
        let mut exchange = Exchange::new(&mut connection, &head, body);
        let mut request = head.request;
        strip_hop_by_hop(request.headers_mut());
        let mut inbound = Inbound {
            request,
            body,
            client: Rc::clone(&client),
        };
        connected.service().serve(&mut inbound, &mut exchange).await;
        let after = exchange.after();
        drop(counted);
        match after {
            After::Reuse => {}
            After::Discard(decoder) => {
                if !connection.discard(decoder).await {
                    connection.linger().await;
                    break;
                }
            }
            After::Close => break,
            After::Linger => {
                connection.linger().await;
                break;
            }
            After::Reset => {
                connection.io.reset_on_close();
                break;
            }
        }
    }
}

/// What body follows the head; a request for a WebSocket becomes canonical here.
fn body(head: &mut head::RequestHead) -> Result<Body, Malformed> {
    if websocket::from_upgrade(&mut head.request)? {
        if head.framing != Framing::None {
            return Err(Malformed("a WebSocket request with a body"));
        }
        head.framing = Framing::UntilClose;
        return Ok(Body::Tunnel);
    }
    if websocket::is_other_connect(&head.request) {
        return Err(Malformed("CONNECT is served for WebSockets only"));
    }
    Ok(match head.framing {
        Framing::None => Body::None,
        Framing::Length(length) => Body::Length(length),
        Framing::Chunked | Framing::UntilClose => Body::Stream,
    })
}

/// Answers what can't be understood, in a form every client reads, and closes.
async fn refuse<T: Socket>(connection: &mut Connection<T>, malformed: Malformed) {
    let head = head::RequestHead {
        request: Request::new(()),
        framing: Framing::None,
        keep_alive: false,
    };
    let mut exchange = Exchange::new(connection, &head, Body::None);
    Answer::new(Reason::BadRequest)
        .detail(malformed.0)
        .send(&HeaderMap::new(), &mut exchange);
    connection.linger().await;
}

struct Connection<T> {
    io: T,
    read: ReadBuffer,
    /// How far `read` has been searched for a head's end.
    searched: usize,
    write: WriteBuffer,
    drain: Drain,
    stalls: Rc<Stalls>,
    clock: Clock,
    /// Only once bytes that nobody takes hid the client's end.
    reset: Option<ResetWatch>,
}

enum Next {
    Head(Box<head::RequestHead>),
    Malformed(Malformed),
    End,
}

impl<T: Socket> Connection<T> {
    /// The next request's head; `End` when the client closes or stays silent, in a drain not for long.
    async fn next(&mut self) -> Next {
        let now = Instant::now();
        self.clock.restart(now + self.stalls.deadlines().idle);
        let silent_at = now + limits::PARTING;
        let mut head_at = None;
        poll_fn(|cx| self.poll_next(silent_at, &mut head_at, cx)).await
    }

    /// `silent_at`: when a drain ends a connection on which no head begins; `head_at`: when one that
    /// has begun must be whole.
    fn poll_next(
        &mut self,
        silent_at: Instant,
        head_at: &mut Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<Next> {
        loop {
            // A client that asks and asks, and takes none of what we answer ourselves, waits.
            match self.write.poll_room(&mut self.io, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Next::End),
                Poll::Pending => return self.clock.poll(cx).map(|()| Next::End),
            }
            // RFC 9112 §2.2: an empty line before a request line is not part of it.
            while self.searched == 0 && self.read.bytes().starts_with(b"\r\n") {
                self.read.bytes().advance(2);
            }
            match head::take_head(self.read.bytes(), &mut self.searched) {
                Ok(Some(head)) => {
                    return Poll::Ready(match head::parse_request(&head) {
                        Ok(head) => Next::Head(Box::new(head)),
                        Err(malformed) => Next::Malformed(malformed),
                    });
                }
                Ok(None) => {}
                Err(malformed) => return Poll::Ready(Next::Malformed(malformed)),
            }
            let begun = !self.read.is_empty();
            if begun {
                let whole_at = || Instant::now() + self.stalls.deadlines().head;
                self.clock.until(*head_at.get_or_insert_with(whole_at));
            } else if self.drain.poll(Phase::Draining, cx) {
                self.clock.until(silent_at);
            }
            // What we answered ourselves may still wait to be written.
            if let Poll::Ready(Err(_)) = self.write.poll_flush(&mut self.io, cx) {
                return Poll::Ready(Next::End);
            }
            match self.read.poll_read(&mut self.io, cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::End),
                Poll::Pending => {
                    self.read.release();
                    return self.clock.poll(cx).map(|()| Next::End);
                }
            }
        }
    }

    /// Ready once the client reset the connection, whatever it sent before.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.reset.is_none() {
            self.reset = self.io.watch_reset();
        }
        match &mut self.reset {
            Some(reset) => reset.poll(cx),
            None => Poll::Pending,
        }
    }

    /// Reads the rest of a request that has been answered; `false`: it doesn't end soon.
    async fn discard(&mut self, mut decoder: Decoder) -> bool {
        let mut left = limits::LINGER_BYTES;
        let rest = poll_fn(|cx| {
            loop {
                if let Poll::Ready(Err(_)) = self.write.poll_flush(&mut self.io, cx) {
                    return Poll::Ready(false);
                }
                match decoder.decode(self.read.bytes()) {
                    Ok(Decoded::End) => return Poll::Ready(true),
                    Ok(Decoded::Frame(Frame::Trailers(_))) => {}
                    Ok(Decoded::Frame(Frame::Data(data))) => {
                        let Some(rest) = left.checked_sub(data.len()) else {
                            return Poll::Ready(false);
                        };
                        left = rest;
                    }
                    Ok(Decoded::More) => match ready!(self.read.poll_read(&mut self.io, cx)) {
                        Ok(1..) => {}
                        Ok(0) | Err(_) => return Poll::Ready(false),
                    },
                    Err(_) => return Poll::Ready(false),
                }
            }
        });
        tokio::time::timeout(limits::LINGER, rest)
            .await
            .unwrap_or(false)
    }

    /// Closes so that an answer still on its way isn't overtaken by a reset: sends all, says that
    /// nothing follows, and reads what comes for a while.
    async fn linger(&mut self) {
        let all = async {
            poll_fn(|cx| self.write.poll_flush(&mut self.io, cx)).await?;
            poll_fn(|cx| Pin::new(&mut self.io).poll_shutdown(cx)).await?;
            let mut discarded = 0;
            while discarded < limits::LINGER_BYTES {
                self.read.bytes().clear();
                match poll_fn(|cx| self.read.poll_read(&mut self.io, cx)).await? {
                    0 => break,
                    read => discarded += read,
                }
            }
            Ok::<(), std::io::Error>(())
        };
        // A client that stays or fails is cut all the same.
        tokio::time::timeout(limits::LINGER, all).await.ok();
    }
}

/// One timer for a connection's life: moving its deadline costs a store, not a registration.
struct Clock {
    deadline: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Clock {
    fn new(after: Duration) -> Self {
        let deadline = Instant::now() + after;
        Self {
            deadline,
            sleep: Box::pin(tokio::time::sleep_until(deadline)),
        }
    }

    /// Moves the deadline on to there.
    fn restart(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Moves the deadline there, forward or back.
    fn until(&mut self, deadline: Instant) {
        if deadline < self.deadline {
            self.sleep.as_mut().reset(deadline);
        }
        self.deadline = deadline;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if Instant::now() >= self.deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.deadline);
        }
    }
}

/// What becomes of the connection after an exchange.
enum After {
    Close,
    /// The answer came before the request's end: if that is near, the connection can be reused.
    Discard(Decoder),
    Linger,
    Reset,
    Reuse,
}

struct Exchange<'a, T> {
    connection: &'a mut Connection<T>,
    decoder: Decoder,
    encoder: Option<Encoder>,
    method: Method,
    version: Version,
    keep_alive: bool,
    /// The client sends its body only when told to: after another answer there is none to wait for.
    expects_continue: bool,
    /// The client asked for a WebSocket; what follows its head is that, once agreed to.
    tunnel: bool,
    ended: bool,
    aborted: bool,
}

impl<'a, T: Socket> Exchange<'a, T> {
    fn new(connection: &'a mut Connection<T>, head: &head::RequestHead, body: Body) -> Self {
        Self {
            connection,
            decoder: Decoder::new(head.framing),
            encoder: None,
            method: head.request.method().clone(),
            version: head.request.version(),
            keep_alive: head.keep_alive,
            expects_continue: head.request.headers().contains_key(EXPECT),
            tunnel: body == Body::Tunnel,
            ended: false,
            aborted: false,
        }
    }

    fn after(self) -> After {
        let by_close = self.encoder.as_ref().is_some_and(Encoder::ends_by_close);
        if self.aborted || !self.ended {
            After::Reset
        } else if self.tunnel {
            // What the client says meanwhile must not make its end a reset.
            After::Linger
        } else if !self.decoder.is_done() && self.keep_alive && !self.expects_continue {
            After::Discard(self.decoder)
        } else if !self.decoder.is_done() {
            After::Linger
        } else if self.keep_alive && !by_close {
            After::Reuse
        } else if self.connection.write.is_empty() {
            After::Close
        } else {
            After::Linger
        }
    }

    const fn is_open_tunnel(&self) -> bool {
        self.tunnel && self.encoder.is_some()
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Gone> {
        let Some(encoder) = &self.encoder else {
            return Err(Gone::Left);
        };
        if encoder.end(trailers, self.connection.write.tail()).is_err() {
            self.aborted = true;
            return Err(Gone::Left);
        }
        self.ended = true;
        Ok(())
    }
}

impl<T: Socket> Downstream for Exchange<'_, T> {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Gone>>> {
        loop {
            match self.decoder.decode(self.connection.read.bytes()) {
                Ok(Decoded::Frame(frame)) => {
                    self.connection.read.hand_on(frame.content());
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::More) => {}
                Err(_) => {
                    // Where the next request would begin is not known: there is none.
                    self.keep_alive = false;
                    return Poll::Ready(Some(Err(Gone::Broken)));
                }
            }
            match ready!(self.connection.read.poll_read(&mut self.connection.io, cx)) {
                Ok(1..) => {}
                // Half of a tunnel has ended, after all that was sent in it: the program is to see
                // just that (RFC 8441 §5). It closes the other half when it has answered.
                Ok(0) if self.is_open_tunnel() => return Poll::Ready(None),
                Ok(0) | Err(_) => return Poll::Ready(Some(Err(Gone::Left))),
            }
        }
    }

    fn consumed(&mut self, bytes: usize) {
        // Credit on a TCP connection is not reading: there is nothing to give back.
        self.connection.read.passed(bytes);
    }

    fn is_body_done(&self) -> bool {
        self.decoder.is_done()
    }

    fn send_interim(&mut self, interim: Interim) -> Result<(), Gone> {
        // HTTP/1.0 knows no interim responses (RFC 9110 §15.2).
        if self.version != Version::HTTP_10 {
            head::write_interim(
                interim.status,
                &interim.fields,
                self.connection.write.tail(),
            );
        }
        Ok(())
    }

    fn send_head(&mut self, response: Response<()>, body: Body) -> Result<(), Gone> {
        if self.tunnel && body == Body::Tunnel && response.status() == StatusCode::OK {
            head::write_switch(&response, self.connection.write.tail());
            self.encoder = Some(Encoder::new(Framing::UntilClose));
            self.keep_alive = false;
            return Ok(());
        }
        if self.tunnel {
            // Refused: the connection goes on as the HTTP/1.1 it was, and the request had no body.
            self.tunnel = false;
            self.decoder = Decoder::new(Framing::None);
        }
        let framing = head::framing_towards(self.version, &self.method, response.status(), body);
        // A body that is still to come can't be told from the next request: this is the last one.
        self.keep_alive = self.keep_alive
            && framing != Framing::UntilClose
            && !self.connection.drain.leaves()
            && self.version == Version::HTTP_11;
        head::write_response(
            &response,
            &self.method,
            framing,
            !self.keep_alive,
            self.connection.write.tail(),
        );
        self.encoder = Some(Encoder::new(framing));
        if body.is_none() || framing == Framing::None {
            self.ended = true;
        }
        Ok(())
    }

    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        let Connection { io, write, .. } = &mut *self.connection;
        write
            .poll_room(io, cx)
            .map(|room| room.map(|()| wanted).map_err(|_| Gone::Left))
    }

    fn send_data(&mut self, data: Bytes, end: bool) -> Result<(), Gone> {
        let Some(encoder) = &mut self.encoder else {
            return Err(Gone::Left);
        };
        if matches!(encoder, Encoder::None) {
            return Ok(());
        }
        let length = data.len();
        let write = &mut self.connection.write;
        if encoder.before(length, write.tail()).is_err() {
            self.aborted = true;
            return Err(Gone::Left);
        }
        write.push(data);
        encoder.after(length, write.tail());
        if end { self.end(None) } else { Ok(()) }
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Gone> {
        self.end(Some(&trailers))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let Connection { io, write, .. } = &mut *self.connection;
        write.poll_flush(io, cx).map_err(|_| Gone::Left)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        // What follows the body is the next request; it is left alone once there is a buffer of it.
        let more = self.tunnel || !self.decoder.is_done();
        let enough = match more {
            // The end of what a client sends in a tunnel is not the client's.
            _ if self.is_open_tunnel() => 0,
            true => 1,
            false => limits::FIRST_READ_BYTES,
        };
        let Connection { io, read, .. } = &mut *self.connection;
        // Only a read that waits is woken when the client leaves.
        while read.len() < enough {
            match ready!(read.poll_read(io, cx)) {
                // Whoever waits for the body was not told of this part of it.
                Ok(1..) if more => cx.waker().wake_by_ref(),
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(Gone::Left),
            }
        }
        self.connection.poll_reset(cx).map(|()| Gone::Left)
    }

    fn buffered(&self) -> usize {
        self.connection.read.len() + self.connection.write.len()
    }

    fn stalls(&self) -> &Rc<Stalls> {
        &self.connection.stalls
    }

    fn poll_ending(&mut self, cx: &Context<'_>) -> bool {
        self.connection.drain.poll(Phase::Ending, cx)
    }

    fn abort(&mut self) {
        self.aborted = true;
    }
}
