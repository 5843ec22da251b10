//! Client connections that speak HTTP/2: each stream is an exchange of its own task; one bad stream
//! never ends its connection. What was read is begun before more is read: streams that were opened and
//! reset must not add up, however fast they come.

mod canonical;
mod stream;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use self::stream::serve_stream;
use crate::downstream::Client;
use crate::downstream::idle::{Idle, Step};
use crate::h1::buffer::ReadBuffer;
use crate::h2::frame::{Code, PREFACE};
use crate::h2::{Accepted, Core};
use crate::shard::{Connected, Drain, Phase, Service};
use crate::{limits, turn};

/// Serves one connection to its end.
pub async fn serve<S, T>(mut io: T, client: Rc<Client>, connected: Connected<S>)
where
    S: Service,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let deadlines = connected.stalls().deadlines();
    let mut connection = Connection {
        core: Rc::new(RefCell::new(Core::server())),
        read: ReadBuffer::default(),
        greeted: false,
        drain: connected.drain(),
        idle: Idle::new(deadlines.idle),
    };
    let begin = |accepted| begin(&connected, &client, accepted);
    let ended = poll_fn(|cx| connection.poll(&mut io, &begin, cx)).await;
    connection.core.borrow_mut().end(None);
    match ended {
        Ok(()) => {
            // Whether the client still reads is its own affair.
            io.shutdown().await.ok();
        }
        Err(error) => {
            tracing::debug!(client = %client.address, %error, "HTTP/2 connection ended");
        }
    }
}

/// One client's connection.
struct Connection {
    core: Rc<RefCell<Core>>,
    read: ReadBuffer,
    /// The client has said that it speaks HTTP/2.
    greeted: bool,
    drain: Drain,
    idle: Idle,
}

/// A stream to be served, and the connection's word that it is there.
struct Begun {
    accepted: Accepted,
    core: Rc<RefCell<Core>>,
    open: super::idle::Open,
}

/// Starts a stream's task.
fn begin<S: Service>(connected: &Connected<S>, client: &Rc<Client>, begun: Begun) {
    let counted = (connected.begin(), begun.open);
    // Boxed here, for a task is moved several times on its way to its first poll.
    let served = Box::pin(serve_stream(connected, client, begun.accepted, begun.core));
    tokio::task::spawn_local(async move {
        served.await;
        drop(counted);
    });
}

impl Connection {
    /// One look: reads, begins what came, and writes. Starts the two-step GOAWAY when told to drain or
    /// idle for too long, and goes on with what was begun.
    fn poll<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        begin: &impl Fn(Begun),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        turn::look();
        self.core.borrow_mut().attend(cx);
        if self.drain.poll(Phase::Draining, cx) {
            self.core.borrow_mut().shut_down();
        }
        let closed = self.read(io, begin, cx)?;
        let choked = self.core.borrow().is_choked();
        loop {
            match self.idle.poll(cx) {
                Poll::Pending => break,
                Poll::Ready(Step::Tell) => self.core.borrow_mut().shut_down(),
                Poll::Ready(Step::Cut) => return Poll::Ready(Ok(())),
            }
        }
        let core = &mut *self.core.borrow_mut();
        if core.is_empty() {
            self.read.release();
        }
        let flushed = core.out.poll_flush(io, cx)?;
        // What was left unread for want of room is looked at now that there is some.
        if core.wake_waiting() || (choked && !core.is_choked()) {
            cx.waker().wake_by_ref();
        }
        match closed || core.is_done() {
            true => flushed.map(Ok),
            false => Poll::Pending,
        }
    }

    /// Reads one turn's worth; `true`: the client will send no more.
    fn read<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        begin: &impl Fn(Begun),
        cx: &mut Context<'_>,
    ) -> io::Result<bool> {
        let mut turn = 0;
        while !self.core.borrow().is_choked()
            && let Poll::Ready(read) = self.read.poll_read(io, cx)?
        {
            if read == 0 {
                self.core.borrow_mut().end(None);
                return Ok(true);
            }
            if let Err(code) = self.receive(begin) {
                return Err(self.broken(code, io, cx));
            }
            turn += read;
            if turn >= limits::TURN_BYTES {
                cx.waker().wake_by_ref();
                break;
            }
        }
        Ok(false)
    }

    /// Takes what was read, and begins each stream as it is opened.
    fn receive(&mut self, begin: &impl Fn(Begun)) -> Result<(), Code> {
        let bytes = self.read.bytes();
        if !self.greeted {
            let Some(said) = bytes.get(..PREFACE.len()) else {
                return Ok(());
            };
            if said != PREFACE {
                return Err(Code::PROTOCOL_ERROR);
            }
            bytes.advance(PREFACE.len());
            self.greeted = true;
        }
        loop {
            let accepted = {
                let mut core = self.core.borrow_mut();
                core.receive(bytes)?;
                core.accept()
            };
            let Some(accepted) = accepted else {
                return Ok(());
            };
            begin(Begun {
                accepted,
                core: Rc::clone(&self.core),
                open: self.idle.open(),
            });
        }
    }

    /// Tells a client that broke the protocol why its connection ends, if it still listens.
    fn broken<T: AsyncWrite + Unpin>(
        &self,
        code: Code,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> io::Error {
        let core = &mut *self.core.borrow_mut();
        core.end(Some(code));
        let _told_or_not = core.out.poll_flush(io, cx);
        io::Error::other(format!(
            "the client broke the protocol: HTTP/2 error {}",
            code.0
        ))
    }
}

#[cfg(test)]
mod tests;
