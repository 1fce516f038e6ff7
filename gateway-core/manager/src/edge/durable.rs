//! Files that survive a power cut: what is written is the old content or the new one, never a part.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone: a secret.
    Owner,
    /// Everyone.
    All,
}

/// Writes a file of `folder` beside the old one, syncs it, and puts it in its place (rename(2), fsync(2)
/// of the folder). On disk when this returns.
///
/// # Errors
/// As open(2), write(2), fsync(2) and rename(2); the old file is still there.
pub fn replace(folder: &Path, name: &str, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let done = write(&new, bytes, readers).and_then(|()| fs::rename(&new, folder.join(name)));
    if done.is_err() {
        // A part of it would take what little room there is.
        let _ = fs::remove_file(&new);
    }
    done?;
    File::open(folder)?.sync_all()
}

fn write(new: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(match readers {
            Readers::Owner => 0o600,
            Readers::All => 0o644,
        })
        .open(new)?;
    file.write_all(bytes)?;
    file.sync_all()
}
