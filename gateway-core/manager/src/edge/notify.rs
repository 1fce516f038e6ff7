//! Notify sockets (sd_notify(3)): one for each service that is to say something, in a folder of its own
//! that only its sandbox shows. PID 1 keeps the socket, so what a service says while no manager runs waits
//! there, as far as the kernel lets it.
//!
//! A service can say only its own: nobody else sees the socket, and a message whose sender is not one of
//! the service's users (or root) is dropped. One that talks much is read slowly, and then waits itself.

use super::Core;
use super::channel::Lost;
use super::paths::{Paths, could_not, now, reason};
use crate::limits::{NOTE_MAX, NOTES_BURST, NOTES_PER_SECOND};
use crate::machine::Event;
use crate::machine::notes::{self, Note};
use crate::sys;
use core::time::Duration;
use hearth_model::{ServiceId, ServiceName, Tick};
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::os::unix::net::UnixDatagram;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// The folder inside the sandbox.
pub const INSIDE: &str = "/run/hearth/notify";

/// The socket's name in its folder.
const SOCKET: &str = "socket";

/// The environment variable in which a service finds it (sd_notify(3)).
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// The environment variable with the watchdog's interval, microseconds (sd_watchdog_enabled(3)).
pub const WATCHDOG_VARIABLE: &str = "WATCHDOG_USEC";

/// What [`VARIABLE`] says.
#[must_use]
pub fn socket_inside() -> String {
    format!("{INSIDE}/{SOCKET}")
}

/// Makes a service's socket anew; only `owner` may write to it.
///
/// # Errors
/// A sentence that names the socket and the reason.
pub fn open(paths: &Paths, name: &ServiceName, owner: u32) -> Result<OwnedFd, String> {
    let folder = paths.notify(name);
    let socket = folder.join(SOCKET);
    let make = || -> io::Result<OwnedFd> {
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        match fs::remove_file(&socket) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        let bound = UnixDatagram::bind(&socket)?;
        bound.set_nonblocking(true)?;
        sys::notify::ask_for_senders(bound.as_fd())?;
        lchown(&socket, Some(owner), Some(owner))?;
        fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
        Ok(bound.into())
    };
    make().map_err(|e| could_not("make the notify socket", &socket, &e))
}

/// What services say, as it comes.
#[derive(Debug)]
pub struct Listener {
    /// Who is read: the socket's inode, and how to end its reader.
    readers: BTreeMap<ServiceId, (u64, AbortHandle)>,
    sender: mpsc::UnboundedSender<(ServiceId, Note)>,
    // What waits here is bounded by how fast each reader reads.
    notes: mpsc::UnboundedReceiver<(ServiceId, Note)>,
}

impl Listener {
    /// One that reads nothing yet.
    #[must_use]
    pub fn new() -> Listener {
        let (sender, notes) = mpsc::unbounded_channel();
        Listener {
            readers: BTreeMap::new(),
            sender,
            notes,
        }
    }

    /// Reads this socket from now on; PID 1 may tell of the same one twice.
    ///
    /// # Errors
    /// As fstat(2) and epoll_ctl(2).
    pub fn listen(&mut self, id: ServiceId, socket: OwnedFd) -> io::Result<()> {
        let file = File::from(socket);
        let inode = file.metadata()?.ino();
        if self
            .readers
            .get(&id)
            .is_some_and(|(known, _)| *known == inode)
        {
            return Ok(());
        }
        let socket = sys::fd::watched(OwnedFd::from(file))?;
        let task = tokio::spawn(read(id, socket, self.sender.clone()));
        if let Some((_, before)) = self.readers.insert(id, (inode, task.abort_handle())) {
            before.abort();
        }
        Ok(())
    }

    /// Reads nothing of this service any more.
    pub fn forget(&mut self, id: ServiceId) {
        if let Some((_, reader)) = self.readers.remove(&id) {
            reader.abort();
        }
    }

    /// The next thing that somebody says.
    pub async fn next(&mut self) -> (ServiceId, Note) {
        match self.notes.recv().await {
            Some(note) => note,
            // The sender is ours and lives as long as this does.
            None => core::future::pending().await,
        }
    }

    /// The same, of what has been read already.
    pub fn take(&mut self) -> Option<(ServiceId, Note)> {
        self.notes.try_recv().ok()
    }
}

/// Reads one socket, no faster than its limit. A message that has been read is passed on before anything
/// else is done, so that none is taken for a later run's.
async fn read(
    id: ServiceId,
    socket: AsyncFd<OwnedFd>,
    sender: mpsc::UnboundedSender<(ServiceId, Note)>,
) {
    let mut allowance = Allowance::new(now());
    let mut told = false;
    loop {
        if let Some(wait) = allowance.wait(now()) {
            sleep(wait).await;
            continue;
        }
        let message = socket
            .async_io(tokio::io::Interest::READABLE, |fd| {
                let mut buffer = [0; NOTE_MAX];
                let message = sys::notify::receive(fd.as_fd(), &mut buffer)?;
                Ok((message, buffer))
            })
            .await;
        let (message, buffer) = match message {
            Ok(message) => message,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return log::warn!("notify socket of service {id}: {}", reason(&e)),
        };
        allowance.take();
        let is_its_own = message
            .uid
            .is_some_and(|uid| uid == 0 || ServiceId::of_uid(uid) == Some(id));
        match message.length.and_then(|length| buffer.get(..length)) {
            Some(bytes) if is_its_own => {
                for note in notes::parse(bytes) {
                    if sender.send((id, note)).is_err() {
                        return;
                    }
                }
            }
            Some(_) | None => {
                if !core::mem::replace(&mut told, true) {
                    log::warn!(
                        "service {id}: a message at its notify socket was dropped: longer than {NOTE_MAX} \
                         bytes, or not by one of its users; later ones are dropped without a word"
                    );
                }
            }
        }
    }
}

/// Messages that may be read: [`NOTES_BURST`], and [`NOTES_PER_SECOND`] more each second.
struct Allowance {
    left: u32,
    since: Tick,
}

impl Allowance {
    fn new(now: Tick) -> Allowance {
        Allowance {
            left: NOTES_BURST,
            since: now,
        }
    }

    /// How long to wait before the next message; `None`: it may be read now.
    fn wait(&mut self, now: Tick) -> Option<Duration> {
        const EACH_MS: u64 = 1000 / NOTES_PER_SECOND as u64;
        let more = now.since_ms(self.since) / EACH_MS;
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more).min(NOTES_BURST);
            self.since = now;
        }
        (self.left == 0).then_some(Duration::from_millis(EACH_MS))
    }

    fn take(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

impl Core {
    /// What services have said so far: before a word of PID 1's about a run, so that nothing is taken for
    /// that run's which was said before it.
    pub(super) fn hear_notes(&mut self) -> Result<(), Lost> {
        while let Some((id, note)) = self.notify.take() {
            self.step(Event::Noted(id, note))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_talks_much_is_read_slowly_and_who_rests_may_talk_again() {
        let mut allowance = Allowance::new(Tick(0));
        for _ in 0..NOTES_BURST {
            assert_eq!(allowance.wait(Tick(0)), None);
            allowance.take();
        }
        assert!(allowance.wait(Tick(100)).is_some());
        assert_eq!(allowance.wait(Tick(125)), None);
        allowance.take();
        assert!(allowance.wait(Tick(130)).is_some());
        assert_eq!(allowance.wait(Tick(1_000_000)), None);
        assert_eq!(allowance.left, NOTES_BURST);
    }
}
