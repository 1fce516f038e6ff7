//! The manager's socket: one connection, one record at a time.

use super::limits;
use crate::sys;
use hearth_model::limits::RECORD_MAX;
use hearth_model::protocol::{FromNetpath, RecordError, ToNetpath, decode, encode};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

/// The listening socket and the manager's connection, if it has one.
#[derive(Debug)]
pub struct Control {
    listener: OwnedFd,
    connection: Option<OwnedFd>,
}

impl Control {
    /// Listens at `path`, which only root may open; a socket file of an earlier run is replaced.
    pub fn open(path: &str) -> io::Result<Control> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Ok(()) | Err(_) => {}
        }
        let listener = sys::listen(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Control {
            listener,
            connection: None,
        })
    }

    /// What to wait on.
    pub fn fds(&self) -> (BorrowedFd<'_>, Option<BorrowedFd<'_>>) {
        (
            self.listener.as_fd(),
            self.connection.as_ref().map(AsFd::as_fd),
        )
    }

    /// Takes a new connection; it replaces an older one, whose manager is gone.
    pub fn accept(&mut self) {
        match sys::accept(self.listener.as_fd()) {
            Ok(connection) => self.connection = Some(connection),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => log::warn!("control: accept: {e}"),
        }
    }

    /// The next request, if one waits: `Some(Err(_))` where it did not decode.
    pub fn next(&mut self) -> Option<Result<ToNetpath, RecordError>> {
        let connection = self.connection.as_ref()?;
        let mut buffer = [0; RECORD_MAX];
        match sys::receive(connection.as_fd(), &mut buffer) {
            Ok(0) => self.connection = None,
            Ok(n) => return Some(decode(buffer.get(..n).unwrap_or_default())),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => {
                log::warn!("control: {e}; the manager has to connect again");
                self.connection = None;
            }
        }
        None
    }

    /// Tells the manager, if it is there. A manager that does not read loses its connection: it
    /// asks again for all of it after it has connected.
    pub fn tell(&mut self, record: &FromNetpath) {
        let Some(connection) = &self.connection else {
            return;
        };
        let mut buffer = [0; RECORD_MAX];
        let sent = match encode(record, &mut buffer) {
            Ok(bytes) => sys::send(connection.as_fd(), bytes),
            Err(e) => Err(io::Error::other(e)),
        };
        if let Err(e) = sent {
            log::warn!("control: {e}; the manager has to connect again");
            self.connection = None;
        }
    }
}

/// How many requests to handle in one turn.
pub const TURN: usize = limits::CONTROL_BATCH;
