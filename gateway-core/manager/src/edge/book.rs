//! A book of lines: two bounded files below `/run`, and whoever follows. A restarted manager goes on in
//! the same files.

#[cfg(doc)]
use crate::limits::LOG_FOLLOWERS_MAX;
use crate::limits::{LOG_FILE_MAX, LOG_FOLLOW_LINES};
use axum::body::Bytes;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

/// The lines of one writer.
#[derive(Debug)]
pub struct Book {
    files: Mutex<Files>,
    lines: broadcast::Sender<Bytes>,
}

/// The file in use and the full one before it.
#[derive(Debug)]
struct Files {
    current: PathBuf,
    before: PathBuf,
    open: Option<(File, u64)>,
}

/// A book to follow: all lines so far, and the ones to come.
#[derive(Debug)]
pub struct Follow {
    /// Lines that come from now on.
    pub lines: broadcast::Receiver<Bytes>,
    /// A place among the followers.
    pub place: OwnedSemaphorePermit,
}

/// Locks; a panic elsewhere ends this process anyhow (`panic = "abort"`).
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Book {
    /// A book whose two files are `name` and `name.1` in this folder.
    pub fn new(folder: &Path, name: &str) -> Book {
        Book {
            files: Mutex::new(Files {
                current: folder.join(name),
                before: folder.join(format!("{name}.1")),
                open: None,
            }),
            lines: broadcast::channel(LOG_FOLLOW_LINES).0,
        }
    }

    /// Keeps whole lines, each with its end.
    pub fn keep(&self, lines: Vec<Vec<u8>>) {
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

    /// All lines that are kept, oldest first.
    #[must_use]
    pub fn read(&self) -> Vec<u8> {
        lock(&self.files).read()
    }

    /// All lines that are kept, and a place to get the ones to come: none is missed in between.
    /// `None` where [`LOG_FOLLOWERS_MAX`] follow already.
    #[must_use]
    pub fn follow(&self, followers: &Arc<Semaphore>) -> Option<(Vec<u8>, Follow)> {
        let place = Arc::clone(followers).try_acquire_owned().ok()?;
        let files = lock(&self.files);
        let lines = self.lines.subscribe();
        Some((files.read(), Follow { lines, place }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_hold_the_last_whole_lines() {
        // given a log of three times its size
        let folder = tempfile::tempdir().unwrap();
        let book = Book::new(&folder.path().join("logs"), "web");
        let count = 3 * LOG_FILE_MAX / 16;
        for n in 0..count {
            book.keep(vec![format!("line {n:>9}\n").into_bytes()]);
        }
        // when it is read
        let text = String::from_utf8(book.read()).unwrap();
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
}
