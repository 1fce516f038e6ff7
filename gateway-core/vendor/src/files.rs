//! Files, bounded and whole: read up to a limit, written beside and put in place in one step.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// `could not VERB PATH: reason`
pub fn could_not(verb: &str, path: &Path, error: &io::Error) -> String {
    format!("could not {verb} {}: {error}", path.display())
}

/// A file of at most `max` bytes.
pub fn read(path: &Path, max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(max + 1).read_to_end(&mut bytes))
        .map_err(|e| could_not("read", path, &e))?;
    if bytes.len() as u64 > max {
        return Err(format!("{} is longer than {max} bytes", path.display()));
    }
    Ok(bytes)
}

/// The same of text.
pub fn read_text(path: &Path, max: u64) -> Result<String, String> {
    String::from_utf8(read(path, max)?).map_err(|_| format!("{} is no UTF-8 text", path.display()))
}

/// Writes a file in one step.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, bytes)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|e| could_not("write", path, &e))
}
