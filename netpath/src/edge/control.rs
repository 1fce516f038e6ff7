//! The manager's socket: one connection, one record at a time.

use super::limits::CONTROL_BACKLOG;
use crate::sys;
use hearth_model::limits::RECORD_MAX;
use hearth_model::protocol::{FromNetpath, RecordError, ToNetpath, decode, encode};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

/// The listening socket and the manager's connection, if it has one.
#[derive(Debug)]
pub struct Control {
    /// None, once nobody is answered any more.
    listener: Option<OwnedFd>,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    /// Its Hello was answered with Welcome.
    greeted: bool,
}

impl Control {
    /// Listens at `path`, which only root may open; a socket file of an earlier run is replaced.
    ///
    /// # Errors
    /// As unlink(2), bind(2), chmod(2) and listen(2).
    pub fn open(path: &str) -> io::Result<Control> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Ok(()) | Err(_) => {}
        }
        let listener = sys::bind_seqpacket(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        sys::listen(listener.as_fd(), CONTROL_BACKLOG)?;
        Ok(Control {
            listener: Some(listener),
            connection: None,
        })
    }

    /// Lets the manager go, and answers nobody any more: it finds the next process.
    pub fn shut(&mut self) {
        self.connection = None;
        self.listener = None;
    }

    /// What to wait on.
    #[must_use]
    pub fn fds(&self) -> (Option<BorrowedFd<'_>>, Option<BorrowedFd<'_>>) {
        let connection = self.connection.as_ref().map(|c| c.socket.as_fd());
        (self.listener.as_ref().map(AsFd::as_fd), connection)
    }

    /// Takes a new connection; it replaces an older one, whose manager is gone.
    pub fn accept(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        match sys::accept(listener.as_fd()) {
            Ok(socket) => {
                self.connection = Some(Connection {
                    socket,
                    greeted: false,
                });
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => log::warn!("control: accept: {e}"),
        }
    }

    /// Whether the connection's Hello was answered with Welcome.
    #[must_use]
    pub fn is_greeted(&self) -> bool {
        self.connection.as_ref().is_some_and(|c| c.greeted)
    }

    /// The next request, if one waits: `Some(Err(_))` where it did not decode.
    pub fn next(&mut self) -> Option<Result<ToNetpath, RecordError>> {
        let connection = self.connection.as_ref()?;
        let mut buffer = [0; RECORD_MAX];
        match sys::receive(connection.socket.as_fd(), &mut buffer) {
            Ok(0) => self.connection = None,
            Ok(length) => return Some(decode(buffer.get(..length).unwrap_or_default())),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => {
                log::warn!("control: {e}; the manager has to connect again");
                self.connection = None;
            }
        }
        None
    }

    /// Tells a manager that has been greeted, or greets it. One that does not read loses its
    /// connection: it asks again for all of it after it has connected.
    pub fn tell(&mut self, record: &FromNetpath) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        connection.greeted |= matches!(record, FromNetpath::Welcome { .. });
        let mut buffer = [0; RECORD_MAX];
        let sent = match encode(record, &mut buffer) {
            Ok(bytes) => sys::send(connection.socket.as_fd(), bytes),
            Err(e) => Err(io::Error::other(e)),
        };
        if let Err(e) = sent {
            log::warn!("control: {e}; the manager has to connect again");
            self.connection = None;
        }
    }
}
