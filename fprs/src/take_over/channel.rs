//! One conversation over a Unix socket: a word a line, and descriptors beside a word. Only the user
//! that runs this process may take part.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use super::word::{DESCRIPTORS, LINE_BYTES};

/// One end of a conversation.
#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    /// Heard, not yet understood.
    heard: Vec<u8>,
    /// Came with what was heard so far.
    descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Speaks on that stream.
    ///
    /// # Errors
    /// The peer is another user's, or the system doesn't say whose.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        let peer = stream.peer_cred()?.uid();
        let own = rustix::process::geteuid().as_raw();
        if peer != own {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("it is run by user {peer}, this process by user {own}"),
            ));
        }
        Ok(Self {
            stream,
            heard: Vec::new(),
            descriptors: Vec::new(),
        })
    }

    /// Says a word.
    pub(super) async fn say(&mut self, word: &impl Serialize) -> io::Result<()> {
        self.stream.write_all(&line(word)?).await
    }

    /// Says a word, with descriptors. A peer that has not heard what was said before gets neither.
    pub(super) async fn offer(
        &mut self,
        word: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let line = line(word)?;
        let sent = self
            .stream
            .async_io(Interest::WRITABLE, || {
                let mut space =
                    [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
                    return Err(io::Error::other("too many descriptors for one message"));
                }
                let bytes = [IoSlice::new(&line)];
                Ok(sendmsg(
                    &self.stream,
                    &bytes,
                    &mut control,
                    SendFlags::NOSIGNAL,
                )?)
            })
            .await?;
        // The descriptors went with the first byte.
        let rest = line.get(sent..).unwrap_or_default();
        self.stream.write_all(rest).await
    }

    /// The next word; `None`: the peer is gone. Cancel-safe.
    pub(super) async fn hear<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let rest = self.heard.split_off(end + 1);
                let line = std::mem::replace(&mut self.heard, rest);
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            if self.heard.len() > LINE_BYTES {
                return Err(io::Error::other("what it says is no take-over"));
            }
            if self.listen().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// What came beside the words heard so far.
    pub(super) fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }

    async fn listen(&mut self) -> io::Result<usize> {
        let Self {
            stream,
            heard,
            descriptors,
        } = self;
        stream
            .async_io(Interest::READABLE, || {
                let mut space =
                    [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let mut bytes = [0; 1024];
                let read = recvmsg(
                    &*stream,
                    &mut [IoSliceMut::new(&mut bytes)],
                    &mut control,
                    RecvFlags::CMSG_CLOEXEC,
                )?
                .bytes;
                heard.extend_from_slice(bytes.get(..read).unwrap_or_default());
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(received) = message {
                        descriptors.extend(received);
                    }
                }
                Ok(read)
            })
            .await
    }
}

fn line(word: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    Ok(line)
}
