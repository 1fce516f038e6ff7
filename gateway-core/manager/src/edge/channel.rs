//! One end of a private `SOCK_SEQPACKET` socket in the loop: records in, records out, descriptors
//! beside them; nothing ever waits but for [`Channel::next`].

use crate::limits::QUEUE_MAX;
use crate::sys;
use crate::sys::socket::Received;
use core::fmt;
use hearth_model::limits::RECORD_MAX;
use hearth_model::protocol::{RecordError, decode, encode};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Why a channel is of no more use.
#[derive(Debug)]
pub enum Lost {
    /// The other side closed it.
    Closed,
    /// The other side does not read: [`QUEUE_MAX`] records wait.
    Full,
    /// The other side sent what is no record, or one of ours does not fit.
    Record(RecordError),
    /// The system's reason.
    System(io::Error),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Closed => f.write_str("it closed the connection"),
            Lost::Full => write!(f, "it reads nothing and {QUEUE_MAX} records wait"),
            Lost::Record(error) => write!(f, "{error}"),
            Lost::System(error) => f.write_str(&super::paths::reason(error)),
        }
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Lost {
        Lost::System(error)
    }
}

/// A record and its descriptors, encoded, waiting for room in the socket.
type Waiting = (Vec<u8>, Vec<OwnedFd>);

/// The channel.
#[derive(Debug)]
pub struct Channel {
    socket: AsyncFd<OwnedFd>,
    queue: VecDeque<Waiting>,
}

impl Channel {
    /// A channel over a connected, non-blocking socket.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn new(socket: OwnedFd) -> io::Result<Channel> {
        Ok(Channel {
            socket: sys::fd::watched(socket)?,
            queue: VecDeque::new(),
        })
    }

    /// Queues a record; [`Channel::next`] sends it.
    ///
    /// # Errors
    /// [`Lost::Full`], and [`Lost::Record`] for one that is too large.
    pub fn send<R: Serialize>(&mut self, record: &R, fds: Vec<OwnedFd>) -> Result<(), Lost> {
        if self.queue.len() >= QUEUE_MAX {
            return Err(Lost::Full);
        }
        let mut buffer = [0; RECORD_MAX];
        let bytes = encode(record, &mut buffer).map_err(Lost::Record)?.to_vec();
        self.queue.push_back((bytes, fds));
        Ok(())
    }

    /// The next record from the other side; sends what is queued meanwhile. Nothing is lost where
    /// the caller stops waiting: all work is done between two waits.
    ///
    /// # Errors
    /// [`Lost`], after which the channel is to be dropped.
    pub async fn next<R: DeserializeOwned>(&mut self) -> Result<(R, Vec<OwnedFd>), Lost> {
        loop {
            let mut interest = Interest::READABLE;
            if !self.queue.is_empty() {
                interest |= Interest::WRITABLE;
            }
            let mut guard = self.socket.ready(interest).await?;
            let ready = guard.ready();
            if ready.is_writable() && !flush(guard.get_inner(), &mut self.queue)? {
                guard.clear_ready_matching(tokio::io::Ready::WRITABLE);
            }
            if ready.is_readable() || ready.is_read_closed() {
                let mut buffer = [0; RECORD_MAX];
                match sys::socket::receive(guard.get_inner().as_fd(), &mut buffer) {
                    Ok(Received::Record(length, fds)) => {
                        let bytes = buffer.get(..length).unwrap_or(&buffer);
                        return Ok((decode(bytes).map_err(Lost::Record)?, fds));
                    }
                    Ok(Received::Truncated) => return Err(Lost::Record(RecordError::TooLarge)),
                    Ok(Received::Closed) => return Err(Lost::Closed),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        guard.clear_ready_matching(tokio::io::Ready::READABLE);
                    }
                    Err(e) => return Err(Lost::System(e)),
                }
            }
        }
    }
}

/// Sends until the socket is full or nothing waits; whether all went out.
fn flush(socket: &OwnedFd, queue: &mut VecDeque<Waiting>) -> Result<bool, Lost> {
    while let Some((bytes, fds)) = queue.front() {
        match sys::socket::send(socket.as_fd(), bytes, fds) {
            Ok(()) => drop(queue.pop_front()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(Lost::System(e)),
        }
    }
    Ok(true)
}
