//! What services print: from the pipe that PID 1 keeps, through the line machine, into a book
//! a service, and to whoever follows. A service that floods its output costs a
//! bounded amount of reading and never delays another's.

use super::book::{Book, Follow, lock};
use super::paths::now;
use crate::limits::{LOG_FLOOD_PAUSE, LOG_FOLLOWERS_MAX, LOG_READ_MAX};
use crate::machine::lines::{Flood, Lines};
use core::time::Duration;
use hearth_model::ServiceName;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::net::unix::pipe;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// A service silent for this long is told of what was dropped before.
const QUIET: Duration = Duration::from_secs(1);

/// The logs of all services.
#[derive(Debug)]
pub struct Logs {
    folder: PathBuf,
    logs: Mutex<BTreeMap<ServiceName, Arc<Log>>>,
    followers: Arc<Semaphore>,
}

/// One service's log.
#[derive(Debug)]
struct Log {
    book: Book,
    /// Inode of the pipe that is being read: PID 1 may tell of the same one twice.
    pipe: Mutex<Option<u64>>,
}

impl Logs {
    /// Logs below this folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Logs {
        let followers = Arc::new(Semaphore::new(LOG_FOLLOWERS_MAX));
        Logs {
            folder,
            logs: Mutex::new(BTreeMap::new()),
            followers,
        }
    }

    fn log(&self, name: &ServiceName) -> Arc<Log> {
        let new = || {
            Arc::new(Log {
                book: Book::new(&self.folder, name.as_str()),
                pipe: Mutex::new(None),
            })
        };
        lock(&self.logs)
            .entry(name.clone())
            .or_insert_with(new)
            .clone()
    }

    /// Reads a service's output from now on, until all writers are gone.
    ///
    /// # Errors
    /// As fcntl(2), fstat(2) and epoll_ctl(2).
    pub fn pump(&self, name: &ServiceName, output: OwnedFd) -> io::Result<()> {
        let log = self.log(name);
        let file = File::from(output);
        let inode = file.metadata()?.ino();
        if lock(&log.pipe).replace(inode) == Some(inode) {
            return Ok(());
        }
        let pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(file))?;
        tokio::spawn(run(pipe, inode, log));
        Ok(())
    }

    /// Puts a line of ours among a service's own.
    pub fn note(&self, name: &ServiceName, text: &str) {
        let line = format!("{text}\n").into_bytes();
        self.log(name).book.keep(vec![line]);
    }

    /// Says what a service printed while no manager read it, and its pipe had no room for.
    pub fn note_lost(&self, name: &ServiceName, bytes: u64) {
        let text = format!("hearth: {bytes} bytes lost while hearth-manager was away");
        self.note(name, &text);
    }

    /// As [`Book::read`].
    #[must_use]
    pub fn read(&self, name: &ServiceName) -> Vec<u8> {
        self.log(name).book.read()
    }

    /// As [`Book::follow`].
    #[must_use]
    pub fn follow(&self, name: &ServiceName) -> Option<(Vec<u8>, Follow)> {
        self.log(name).book.follow(&self.followers)
    }
}

async fn run(pipe: pipe::Receiver, inode: u64, log: Arc<Log>) {
    let book = &log.book;
    let mut lines = Lines::new(now());
    let mut buffer = vec![0; LOG_READ_MAX];
    loop {
        let read = async {
            pipe.readable().await?;
            pipe.try_read(&mut buffer)
        };
        let result = if lines.owes_notice() {
            match timeout(QUIET, read).await {
                Ok(result) => result,
                Err(_) => {
                    book.keep(lines.flush(now()));
                    continue;
                }
            }
        } else {
            read.await
        };
        match result {
            Ok(0) => break,
            Ok(count) => {
                let taken = lines.take(buffer.get(..count).unwrap_or_default(), now());
                book.keep(taken.lines);
                match taken.flood {
                    Flood::Yes => sleep(LOG_FLOOD_PAUSE).await,
                    // Everyone else's turn, however fast this one prints.
                    Flood::No => tokio::task::yield_now().await,
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => {
                log::warn!("a service's output can not be read any more: {e}");
                break;
            }
        }
    }
    book.keep(lines.flush(now()));
    let mut current = lock(&log.pipe);
    if *current == Some(inode) {
        *current = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn logs() -> (tempfile::TempDir, Logs, ServiceName) {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new(folder.path().join("logs"));
        (folder, logs, ServiceName::new("web").unwrap())
    }

    #[tokio::test]
    async fn a_follower_misses_no_line_and_the_places_are_few() {
        let (_folder, logs, name) = logs();
        let (reader, mut writer) = std::io::pipe().unwrap();
        logs.pump(&name, reader.into()).unwrap();
        writer.write_all(b"one\ntwo\n").unwrap();
        let (so_far, mut follow) = logs.follow(&name).unwrap();
        let mut got = so_far;
        while !got.ends_with(b"two\n") {
            got.extend_from_slice(&follow.lines.recv().await.unwrap());
        }
        assert_eq!(got, b"one\ntwo\n");
        let others: Vec<_> = (1..LOG_FOLLOWERS_MAX)
            .map(|_| logs.follow(&name).unwrap())
            .collect();
        assert!(logs.follow(&name).is_none());
        drop(others);
        // when the service ends in the middle of a line, then it is kept
        writer.write_all(b"thr").unwrap();
        drop(writer);
        assert_eq!(&follow.lines.recv().await.unwrap()[..], b"thr\n");
    }

    #[tokio::test]
    async fn what_was_lost_without_us_is_told_before_what_was_kept() {
        let (_folder, logs, name) = logs();
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"kept\n").unwrap();
        logs.note_lost(&name, 70_000);
        logs.pump(&name, reader.into()).unwrap();
        drop(writer);
        let (so_far, mut follow) = logs.follow(&name).unwrap();
        let told = b"hearth: 70000 bytes lost while hearth-manager was away\n";
        assert_eq!(so_far, told);
        assert_eq!(&follow.lines.recv().await.unwrap()[..], b"kept\n");
    }

    #[tokio::test]
    async fn the_same_pipe_is_read_by_one_pump() {
        let (_folder, logs, name) = logs();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let again = reader.try_clone().unwrap();
        logs.pump(&name, reader.into()).unwrap();
        logs.pump(&name, again.into()).unwrap();
        let (_, mut follow) = logs.follow(&name).unwrap();
        writer.write_all(b"once\n").unwrap();
        drop(writer);
        assert_eq!(&follow.lines.recv().await.unwrap()[..], b"once\n");
        assert!(
            timeout(Duration::from_millis(50), follow.lines.recv())
                .await
                .is_err()
        );
    }
}
