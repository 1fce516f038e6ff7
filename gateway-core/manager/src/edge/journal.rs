//! The usage records on disk, below `/data/hearth/usage`: `key` (private, 32 bytes), `key.pem` (public),
//! `records-<number of the first>` (lines, see model `usage.rs`), `head` (a signed line) and `open.json` (the
//! checkpoint: the open hour, and records that are not written yet).
//!
//! Order of writing: the checkpoint with the records that wait, the records, the head, the checkpoint
//! without them. Whatever a power cut interrupts, each record is written once.

use super::durable::{self, Readers};
use super::paths::{could_not, read_text};
use crate::limits::{CHECKPOINT_MAX, RECORDS_WAITING_MAX, USAGE_FILE_MAX, USAGE_FILES_MAX};
use crate::machine::usage::{Closed, Ledger};
use hearth_model::usage::{Chain, Head, Key, Record, fingerprint};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Length of the private key, bytes (P-256).
const KEY_BYTES: usize = 32;

/// Tries to draw a private key: of 2^32 numbers one is none.
const KEY_TRIES: usize = 4;

/// The checkpoint.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Checkpoint {
    head: Head,
    ledger: Option<Ledger>,
    waiting: Vec<Closed>,
}

/// The folder and what is known of it.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    key: Key,
    head: Head,
    head_on_disk: Option<Head>,
    waiting: Vec<Closed>,
}

impl Journal {
    /// Opens the folder, made where it is missing, and finishes what was interrupted. Also the open hour
    /// of the last checkpoint, and what a person should know.
    ///
    /// # Errors
    /// A sentence: the folder or the key can not be used, and nothing is accounted.
    pub fn open(folder: PathBuf) -> Result<(Journal, Option<Ledger>, Vec<String>), String> {
        fs::create_dir_all(&folder).map_err(|e| could_not("make", &folder, &e))?;
        let key = key(&folder)?;
        let mut told = Vec::new();
        let kept = match checkpoint(&folder.join("open.json")) {
            Ok(kept) => kept,
            Err(text) => {
                told.push(text);
                None
            }
        };
        let mut journal = Journal {
            folder,
            key,
            head: Head::default(),
            head_on_disk: None,
            waiting: Vec::new(),
        };
        let lost = kept.is_none();
        let Checkpoint {
            head,
            ledger,
            waiting,
        } = kept.unwrap_or_default();
        let (followed, known) = journal.recover(&head)?;
        if known {
            // Those that were written before the checkpoint could say so.
            let written = followed.records.saturating_sub(head.records);
            let written = usize::try_from(written).unwrap_or(usize::MAX);
            journal.waiting = waiting.into_iter().skip(written).collect();
        }
        if !known || (lost && followed != Head::default()) {
            told.push(format!(
                "{} does not belong to the records beside it: what was used in the last hour may be in no record",
                journal.folder.join("open.json").display()
            ));
        }
        journal.head = followed;
        // On a full disk it waits for the first `keep`, which says so.
        if let Err(e) = journal.write_head() {
            log::debug!("{}", could_not("write", &journal.folder, &e));
        }
        Ok((journal, ledger.filter(|_| known), told))
    }

    /// Follows the records behind `head`, and cuts off a line that was not finished. Whether `head` is
    /// one of them; where it is not, the last file is followed from its start.
    fn recover(&self, head: &Head) -> Result<(Head, bool), String> {
        let Some((first, file)) = files(&self.folder).into_iter().next_back() else {
            return Ok((Head::default(), *head == Head::default()));
        };
        let text = whole_lines(&file).map_err(|e| could_not("read", &file, &e))?;
        let lines: Vec<&str> = text.lines().collect();
        let behind = head.records.checked_sub(first);
        let behind = behind.and_then(|count| usize::try_from(count).ok());
        let known = behind.filter(|&count| match count.checked_sub(1) {
            None => true,
            Some(at) => lines
                .get(at)
                .is_some_and(|line| fingerprint(line) == head.last),
        });
        let mut chain = known.map_or_else(Chain::default, |_| Chain::after(head.clone()));
        let public = self.key.public();
        for (number, line) in lines.iter().enumerate().skip(known.unwrap_or(0)) {
            chain.follow(&public, line).map_err(|broken| {
                format!(
                    "{} line {}: {broken}; nothing is accounted until the files of {} are moved away",
                    file.display(),
                    number + 1,
                    self.folder.display()
                )
            })?;
        }
        let followed = chain.head().cloned().unwrap_or_default();
        Ok((followed, known.is_some()))
    }

    /// Adds records and keeps the open hour; on disk when this returns. What a full disk does not take
    /// waits for the next call.
    ///
    /// # Errors
    /// A sentence.
    pub fn keep(&mut self, ledger: &Ledger, closed: Vec<Closed>) -> Result<(), String> {
        let room = RECORDS_WAITING_MAX.saturating_sub(self.waiting.len());
        let refused = closed.len().saturating_sub(room);
        self.waiting.extend(closed.into_iter().take(room));
        self.write(ledger)
            .map_err(|e| could_not("write the usage records in", &self.folder, &e))?;
        if refused > 0 {
            return Err(format!(
                "{refused} usage records are lost: {RECORDS_WAITING_MAX} waited already"
            ));
        }
        Ok(())
    }

    fn write(&mut self, ledger: &Ledger) -> io::Result<()> {
        self.write_checkpoint(ledger)?;
        if self.waiting.is_empty() {
            return self.write_head();
        }
        let (text, head) = self.sealed()?;
        let file = self.file_with_room();
        let before = fs::metadata(&file).map_or(0, |data| data.len());
        if let Err(e) = append(&file, text.as_bytes()) {
            // A part of a line would end the chain here.
            if let Ok(file) = OpenOptions::new().write(true).open(&file) {
                file.set_len(before)?;
            }
            return Err(e);
        }
        File::open(&self.folder)?.sync_all()?;
        self.head = head;
        self.waiting.clear();
        self.write_head()?;
        self.write_checkpoint(ledger)?;
        self.drop_oldest()
    }

    /// The records that wait, as lines.
    fn sealed(&self) -> io::Result<(String, Head)> {
        let mut head = self.head.clone();
        let mut text = String::new();
        for closed in &self.waiting {
            let record = Record {
                sequence: head.records,
                service: closed.service.to_string(),
                from: closed.from,
                until: closed.until,
                end: closed.end,
                used: closed.used,
                previous: head.last,
            };
            let (line, hash) = self.key.seal(&record).map_err(io::Error::other)?;
            text.push_str(&line);
            text.push('\n');
            head = Head {
                records: record.sequence.saturating_add(1),
                last: hash,
            };
        }
        Ok((text, head))
    }

    fn file_with_room(&self) -> PathBuf {
        let last = files(&self.folder).into_iter().next_back();
        last.map(|(_, file)| file)
            .filter(|file| fs::metadata(file).is_ok_and(|data| data.len() < USAGE_FILE_MAX))
            .unwrap_or_else(|| {
                self.folder
                    .join(format!("records-{:012}", self.head.records))
            })
    }

    /// Writes the head, where the one on disk is another.
    fn write_head(&mut self) -> io::Result<()> {
        if self.head_on_disk.as_ref() == Some(&self.head) {
            return Ok(());
        }
        let (line, _) = self.key.seal(&self.head).map_err(io::Error::other)?;
        replace(&self.folder, "head", &format!("{line}\n"))?;
        self.head_on_disk = Some(self.head.clone());
        Ok(())
    }

    fn write_checkpoint(&self, ledger: &Ledger) -> io::Result<()> {
        let checkpoint = Checkpoint {
            head: self.head.clone(),
            ledger: Some(ledger.clone()),
            waiting: self.waiting.clone(),
        };
        replace(
            &self.folder,
            "open.json",
            &serde_json::to_string(&checkpoint)?,
        )
    }

    fn drop_oldest(&self) -> io::Result<()> {
        let files = files(&self.folder);
        let more = files.len().saturating_sub(USAGE_FILES_MAX);
        for (_, file) in files.into_iter().take(more) {
            log::info!(
                "{} is the oldest file of usage records and goes",
                file.display()
            );
            fs::remove_file(file)?;
        }
        Ok(())
    }
}

/// The files of records with the number of their first, in order.
#[must_use]
pub fn files(folder: &Path) -> Vec<(u64, PathBuf)> {
    let mut files: Vec<(u64, PathBuf)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let first = name.strip_prefix("records-")?.parse().ok()?;
            Some((first, folder.join(name)))
        })
        .collect();
    files.sort();
    files
}

/// The head's signed line.
///
/// # Errors
/// As read(2).
pub fn head_line(folder: &Path) -> io::Result<String> {
    read_text(&folder.join("head"), CHECKPOINT_MAX)
}

/// The public key, PEM.
///
/// # Errors
/// As read(2).
pub fn public_key(folder: &Path) -> io::Result<String> {
    read_text(&folder.join("key.pem"), CHECKPOINT_MAX)
}

fn checkpoint(file: &Path) -> Result<Option<Checkpoint>, String> {
    match read_text(file, CHECKPOINT_MAX) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|e| format!("{} is damaged: {e}", file.display())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(could_not("read", file, &e)),
    }
}

/// The gateway's key; made at the first start.
fn key(folder: &Path) -> Result<Key, String> {
    let file = folder.join("key");
    let key = match fs::read(&file) {
        Ok(bytes) => Key::from_bytes(&bytes).ok_or_else(|| {
            format!(
                "{} is no private key; move it away to get a new one",
                file.display()
            )
        })?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            new_key(folder).map_err(|e| could_not("make", &file, &e))?
        }
        Err(e) => return Err(could_not("read", &file, &e)),
    };
    let pem = key.public().to_pem().map_err(|e| e.to_string())?;
    if public_key(folder).ok().as_deref() != Some(pem.as_str()) {
        replace(folder, "key.pem", &pem).map_err(|e| could_not("write key.pem in", folder, &e))?;
    }
    Ok(key)
}

fn new_key(folder: &Path) -> io::Result<Key> {
    let mut random = File::open("/dev/urandom")?;
    for _ in 0..KEY_TRIES {
        let mut bytes = [0; KEY_BYTES];
        random.read_exact(&mut bytes)?;
        if let Some(key) = Key::from_bytes(&bytes) {
            durable::replace(folder, "key", &bytes, Readers::Owner)?;
            return Ok(key);
        }
    }
    Err(io::Error::other("the random numbers are no key"))
}

/// A file's whole lines; what a power cut left of one more is cut off.
fn whole_lines(file: &Path) -> io::Result<String> {
    let mut text = read_text(file, USAGE_FILE_MAX + CHECKPOINT_MAX)?;
    let end = text.rfind('\n').map_or(0, |at| at + 1);
    if end < text.len() {
        log::warn!("{}: an unfinished record is cut off", file.display());
        let file = OpenOptions::new().write(true).open(file)?;
        file.set_len(end as u64)?;
        file.sync_all()?;
        text.truncate(end);
    }
    Ok(text)
}

fn append(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(file)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn replace(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    durable::replace(folder, name, text.as_bytes(), Readers::All)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_model::ServiceName;
    use hearth_model::Tick;
    use hearth_model::usage::{Figures, PublicKey, RecordEnd};

    fn closed(hour: u64) -> Closed {
        Closed {
            service: ServiceName::new("web").unwrap(),
            from: hour * 3600,
            until: (hour + 1) * 3600,
            end: RecordEnd::Hour,
            used: Figures {
                cpu_usec: hour,
                ..Figures::default()
            },
        }
    }

    fn ledger() -> Ledger {
        Ledger::new("boot", 0, Tick(0))
    }

    fn open(folder: &Path) -> Journal {
        let (journal, _, told) = Journal::open(folder.to_owned()).unwrap();
        assert_eq!(told, Vec::<String>::new());
        journal
    }

    /// The hours of all records, which must be the whole chain.
    fn hours(folder: &Path) -> Vec<u64> {
        let key = PublicKey::from_pem(&public_key(folder).unwrap()).unwrap();
        let mut chain = Chain::default();
        let mut hours = Vec::new();
        for (_, file) in files(folder) {
            for line in fs::read_to_string(file).unwrap().lines() {
                hours.push(chain.follow(&key, line).unwrap().used.cpu_usec);
            }
        }
        let (head, _) = key.open(head_line(folder).unwrap().trim()).unwrap();
        assert_eq!(chain.ends_at(&head), Ok(()));
        hours
    }

    #[test]
    fn records_go_on_after_a_restart_and_only_the_owner_reads_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        open(folder.path())
            .keep(&ledger(), vec![closed(1), closed(2)])
            .unwrap();
        open(folder.path())
            .keep(&ledger(), vec![closed(3)])
            .unwrap();
        assert_eq!(hours(folder.path()), [1, 2, 3]);
        let mode = fs::metadata(folder.path().join("key"))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let kept = Journal::open(folder.path().to_owned()).unwrap().1;
        assert_eq!(kept, Some(ledger()));
    }

    #[test]
    fn a_power_cut_anywhere_in_a_write_loses_and_doubles_nothing() {
        // given the files before and after three records were added
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        open(at).keep(&ledger(), vec![closed(1)]).unwrap();
        let before = fs::read(&files(at)[0].1).unwrap();
        let old_head = fs::read(at.join("head")).unwrap();
        let old: Checkpoint = checkpoint(&at.join("open.json")).unwrap().unwrap();
        open(at)
            .keep(&ledger(), vec![closed(2), closed(3), closed(4)])
            .unwrap();
        let after = fs::read(&files(at)[0].1).unwrap();
        // when the power goes after the checkpoint and any number of bytes of the records
        let waiting = Checkpoint {
            waiting: vec![closed(2), closed(3), closed(4)],
            ledger: Some(ledger()),
            head: old.head,
        };
        let ends = [before.len(), after.len() - 1, after.len()];
        let lengths = (before.len()..after.len()).step_by(61).chain(ends);
        let newlines = (before.len()..after.len()).filter(|&at| after[at] == b'\n');
        for length in lengths.chain(newlines.flat_map(|at| [at, at + 1])) {
            fs::write(&files(at)[0].1, &after[..length]).unwrap();
            fs::write(at.join("head"), &old_head).unwrap();
            replace(at, "open.json", &serde_json::to_string(&waiting).unwrap()).unwrap();
            // then the next manager writes each of them once
            open(at).keep(&ledger(), vec![]).unwrap();
            assert_eq!(hours(at), [1, 2, 3, 4], "cut after {length} bytes");
        }
    }

    #[test]
    fn a_full_file_is_followed_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = open(folder.path());
        journal.keep(&ledger(), vec![closed(1)]).unwrap();
        let first = files(folder.path())[0].1.clone();
        let full = vec![b'x'; USAGE_FILE_MAX as usize];
        let kept = fs::read(&first).unwrap();
        fs::write(&first, full).unwrap();
        journal.keep(&ledger(), vec![closed(2)]).unwrap();
        fs::write(&first, kept).unwrap();
        assert_eq!(files(folder.path()).len(), 2);
        open(folder.path())
            .keep(&ledger(), vec![closed(3)])
            .unwrap();
        assert_eq!(hours(folder.path()), [1, 2, 3]);
    }

    #[test]
    fn what_a_full_disk_does_not_take_waits() {
        // given a folder in which no file of records can be made
        let folder = tempfile::tempdir().unwrap();
        let mut journal = open(folder.path());
        let blocked = folder.path().join("records-000000000000");
        fs::create_dir(&blocked).unwrap();
        let error = journal.keep(&ledger(), vec![closed(1)]).unwrap_err();
        assert!(
            error.contains("could not write the usage records"),
            "{error}"
        );
        // when there is room again
        fs::remove_dir(&blocked).unwrap();
        journal.keep(&ledger(), vec![closed(2)]).unwrap();
        // then nothing is lost
        assert_eq!(hours(folder.path()), [1, 2]);
    }

    #[test]
    fn a_record_that_was_changed_is_not_built_upon() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path())
            .keep(&ledger(), vec![closed(1)])
            .unwrap();
        let file = files(folder.path())[0].1.clone();
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("\"cpu_usec\":1", "\"cpu_usec\":0")).unwrap();
        let error = Journal::open(folder.path().to_owned()).unwrap_err();
        assert!(error.contains("line 1"), "{error}");
        assert!(error.contains("moved away"), "{error}");
        // and a lost checkpoint is told
        fs::write(&file, &text).unwrap();
        fs::remove_file(folder.path().join("open.json")).unwrap();
        let (_, kept, told) = Journal::open(folder.path().to_owned()).unwrap();
        assert_eq!(kept, None);
        assert_eq!(told.len(), 1);
    }
}
