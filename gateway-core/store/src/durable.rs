//! Files that survive a power cut: the old content or the new one, never a part.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes a new file and syncs it.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts a new content in the place of a file of `folder`, in one step.
pub fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    write(&new, bytes)?;
    fs::rename(&new, folder.join(name))?;
    sync_folder(folder)
}

/// What the folder names is on disk when this returns.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
