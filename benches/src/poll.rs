//! Waiting and moving bytes on one thread: epoll, one nanosecond timer, and buffered sockets.
//!
//! The generator's accuracy rests on this file: the timer is absolute and has no slack, so a
//! request leaves when the schedule says and not at the next millisecond.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    os::fd::AsFd,
    time::Duration,
};

use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

const TIMER: u64 = u64::MAX;
/// Sockets looked at between two looks at the clock.
const EVENTS_PER_WAIT: usize = 64;
/// What one read may take: a few frames, so that one bulk connection can't starve the others.
const READ_BUFFER: usize = 128 * 1024;

/// Readiness of the sockets registered with it, and an alarm.
#[derive(Debug)]
pub struct Poller {
    epoll: Epoll,
    timer: TimerFd,
    armed: Option<u64>,
    ready: Vec<u64>,
}

impl Poller {
    /// # Errors
    /// When the process has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        Ok(Self {
            epoll,
            timer,
            armed: None,
            ready: Vec::with_capacity(EVENTS_PER_WAIT),
        })
    }

    /// Reports `source` as `token` whenever it can be read.
    ///
    /// # Errors
    /// When the kernel refuses the registration.
    pub fn add(&self, source: impl AsFd, token: u64) -> io::Result<()> {
        Ok(self
            .epoll
            .add(source, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Whether `link` is also reported when it can be written: only while bytes are left over.
    ///
    /// # Errors
    /// When the kernel refuses the change.
    pub fn follow(&self, link: &mut Link, token: u64) -> io::Result<()> {
        let wants = (link.wants_read(), link.has_unsent());
        if link.followed == wants {
            return Ok(());
        }
        link.followed = wants;
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, wants.0);
        flags.set(EpollFlags::EPOLLOUT, wants.1);
        Ok(self
            .epoll
            .modify(&link.stream, &mut EpollEvent::new(flags, token))?)
    }

    /// Sleeps until a socket is ready or the clock reaches `until` ns; returns the ready tokens.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait(&mut self, until: Option<u64>) -> io::Result<&[u64]> {
        if self.armed != until {
            match until {
                Some(at) => self.timer.set(
                    Expiration::OneShot(TimeSpec::from_duration(Duration::from_nanos(at.max(1)))),
                    TimerSetTimeFlags::TFD_TIMER_ABSTIME,
                )?,
                None => self.timer.unset()?,
            }
            self.armed = until;
        }
        let mut events = [EpollEvent::empty(); EVENTS_PER_WAIT];
        let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        self.ready.clear();
        self.ready
            .extend(events.iter().take(count).map(EpollEvent::data));
        if let Some(timer) = self.ready.iter().position(|token| *token == TIMER) {
            self.ready.swap_remove(timer);
            self.timer.unset()?;
            self.armed = None;
        }
        Ok(&self.ready)
    }
}

/// A non-blocking socket with what was read and not yet understood, and what is still to be sent.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    received: Vec<u8>,
    filled: usize,
    paused: bool,
    /// Bytes to send; [`Link::flush`] takes them from the front.
    pub out: Vec<u8>,
    sent: usize,
    followed: (bool, bool),
}

impl Link {
    /// # Errors
    /// When the socket can't be made non-blocking.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: vec![0; READ_BUFFER],
            filled: 0,
            paused: false,
            out: Vec::new(),
            sent: 0,
            followed: (true, false),
        })
    }

    /// The socket, to register it.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// What was received and not yet used.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received[..self.filled]
    }

    /// Both ends at once: what was received, and where answers go.
    pub fn parts(&mut self) -> (&[u8], &mut Vec<u8>) {
        (&self.received[..self.filled], &mut self.out)
    }

    /// Forgets the first `size` received bytes.
    pub fn consume(&mut self, size: usize) {
        self.received.copy_within(size..self.filled, 0);
        self.filled -= size;
    }

    /// Stops or resumes reading: how a slow reader is played.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    fn wants_read(&self) -> bool {
        !self.paused
    }

    /// Bytes that the kernel did not take yet.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    fn has_unsent(&self) -> bool {
        self.unsent() > 0
    }

    /// Reads once; `Ok(false)` means that the peer closed.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn read(&mut self) -> io::Result<bool> {
        if self.paused || self.filled == self.received.len() {
            return Ok(true);
        }
        match self.stream.read(&mut self.received[self.filled..]) {
            Ok(0) => Ok(false),
            Ok(size) => {
                self.filled += size;
                Ok(true)
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends as much as the kernel takes.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.has_unsent() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(size) => self.sent += size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }
}
