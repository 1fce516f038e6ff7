//! What services print: from the pipe that PID 1 keeps, through the line machine, into two bounded
//! files a service below `/run`, and to whoever follows. A service that floods its output costs a
//! bounded amount of reading and never delays another's.

use super::paths::now;
use crate::limits::{
    LOG_FILE_MAX, LOG_FLOOD_PAUSE, LOG_FOLLOW_LINES, LOG_FOLLOWERS_MAX, LOG_READ_MAX,
};
use crate::machine::lines::{Flood, Lines};
use axum::body::Bytes;
use core::time::Duration;
use hearth_model::ServiceName;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::unix::pipe;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::{sleep, timeout};

/// A service silent for this long is told of what was dropped before.
const QUIET: Duration = Duration::from_secs(1);

/// The logs of all services.
#[derive(Debug)]
pub struct Logs {
    folder: PathBuf,
    books: Mutex<BTreeMap<ServiceName, Arc<Book>>>,
    followers: Arc<Semaphore>,
}

/// One service's log.
#[derive(Debug)]
struct Book {
    files: Mutex<Files>,
    lines: broadcast::Sender<Bytes>,
    /// Inode of the pipe that is being read: PID 1 may tell of the same one twice.
    pipe: Mutex<Option<u64>>,
}

/// The file in use and the full one before it.
#[derive(Debug)]
struct Files {
    current: PathBuf,
    before: PathBuf,
    open: Option<(File, u64)>,
}

/// A log to follow: all lines so far, and the ones to come.
#[derive(Debug)]
pub struct Follow {
    /// Lines that come from now on.
    pub lines: broadcast::Receiver<Bytes>,
    /// A place among the followers.
    pub place: OwnedSemaphorePermit,
}

/// Locks; a panic elsewhere ends this process anyhow (`panic = "abort"`).
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Logs {
    /// Logs below this folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Logs {
        let followers = Arc::new(Semaphore::new(LOG_FOLLOWERS_MAX));
        Logs {
            folder,
            books: Mutex::new(BTreeMap::new()),
            followers,
        }
    }

    fn book(&self, name: &ServiceName) -> Arc<Book> {
        let new = || {
            let current = self.folder.join(name.as_str());
            let before = self.folder.join(format!("{name}.1"));
            Arc::new(Book {
                files: Mutex::new(Files {
                    current,
                    before,
                    open: None,
                }),
                lines: broadcast::channel(LOG_FOLLOW_LINES).0,
                pipe: Mutex::new(None),
            })
        };
        lock(&self.books)
            .entry(name.clone())
            .or_insert_with(new)
            .clone()
    }

    /// Reads a service's output from now on, until all writers are gone.
    ///
    /// # Errors
    /// As fcntl(2), fstat(2) and epoll_ctl(2).
    pub fn pump(&self, name: &ServiceName, output: OwnedFd) -> io::Result<()> {
        let book = self.book(name);
        let file = File::from(output);
        let inode = file.metadata()?.ino();
        if lock(&book.pipe).replace(inode) == Some(inode) {
            return Ok(());
        }
        let pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(file))?;
        tokio::spawn(run(pipe, inode, book));
        Ok(())
    }

    /// Puts a line of ours among a service's own.
    pub fn note(&self, name: &ServiceName, text: &str) {
        self.book(name).keep(vec![format!("{text}\n").into_bytes()]);
    }

    /// All lines that are kept, oldest first.
    #[must_use]
    pub fn read(&self, name: &ServiceName) -> Vec<u8> {
        let book = self.book(name);
        let files = lock(&book.files);
        files.read()
    }

    /// All lines that are kept, and a place to get the ones to come: none is missed in between.
    /// `None` where [`LOG_FOLLOWERS_MAX`] follow already.
    #[must_use]
    pub fn follow(&self, name: &ServiceName) -> Option<(Vec<u8>, Follow)> {
        let place = Arc::clone(&self.followers).try_acquire_owned().ok()?;
        let book = self.book(name);
        let files = lock(&book.files);
        let lines = book.lines.subscribe();
        Some((files.read(), Follow { lines, place }))
    }
}

impl Book {
    fn keep(&self, lines: Vec<Vec<u8>>) {
        let mut files = lock(&self.files);
        for line in lines {
            if let Err(e) = files.append(&line) {
                // `/run` is full: the reader who follows still gets the line.
                log::debug!("a log line could not be kept: {e}");
            }
            // Nobody may be following: that is no error.
            let _followers = self.lines.send(Bytes::from(line));
        }
    }
}

impl Files {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        let (mut file, mut size) = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        if size > 0 && size + length > LOG_FILE_MAX {
            fs::rename(&self.current, &self.before)?;
            (file, size) = self.open()?;
        }
        file.write_all(line)?;
        self.open = Some((file, size + length));
        Ok(())
    }

    fn open(&self) -> io::Result<(File, u64)> {
        if let Some(folder) = self.current.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.current)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    fn read(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for path in [&self.before, &self.current] {
            // A file that is not there has no lines.
            if let Ok(file) = File::open(path) {
                // One line more than a full file is the most there can be.
                let _count = file.take(LOG_FILE_MAX * 2).read_to_end(&mut all);
            }
        }
        all
    }
}

async fn run(pipe: pipe::Receiver, inode: u64, book: Arc<Book>) {
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
    let mut current = lock(&book.pipe);
    if *current == Some(inode) {
        *current = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs() -> (tempfile::TempDir, Logs, ServiceName) {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new(folder.path().join("logs"));
        (folder, logs, ServiceName::new("web").unwrap())
    }

    #[test]
    fn two_files_hold_the_last_whole_lines() {
        // given a log of three times its size
        let (_folder, logs, name) = logs();
        let book = logs.book(&name);
        let count = 3 * LOG_FILE_MAX / 16;
        for n in 0..count {
            book.keep(vec![format!("line {n:>9}\n").into_bytes()]);
        }
        // when it is read
        let text = String::from_utf8(logs.read(&name)).unwrap();
        // then it is bounded, ends with the last line, and no line is cut
        assert!(text.len() as u64 <= 2 * LOG_FILE_MAX);
        let numbers: Vec<u64> = text
            .lines()
            .map(|line| line[5..].trim().parse().unwrap())
            .collect();
        assert_eq!(numbers.last(), Some(&(count - 1)));
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        assert!(numbers.len() as u64 > LOG_FILE_MAX / 16);
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
