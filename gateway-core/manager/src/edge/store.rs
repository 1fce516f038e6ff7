//! The register on disk. What is there survives: a new one is written beside it, synced, and put in
//! its place (rename(2), fsync(2) of the folder), so that a power cut leaves the old or the new one.

use super::paths::{Paths, could_not, read_text, reason};
use crate::limits::STATE_MAX;
use crate::machine::register::Register;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

/// Where the register is kept.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The store of this file system.
    #[must_use]
    pub fn new(paths: &Paths) -> Store {
        Store {
            folder: paths.at("/data/hearth/state"),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("services.json")
    }

    /// The register, and what is wrong with it. A damaged one is put aside, never overwritten.
    #[must_use]
    pub fn load(&self) -> (Register, Option<String>) {
        let file = self.file();
        let text = match read_text(&file, STATE_MAX) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return (Register::default(), None),
            Err(e) => return (Register::default(), Some(could_not("read", &file, &e))),
        };
        match Register::from_json(&text) {
            Ok(register) => (register, None),
            Err(e) => {
                let aside = self.folder.join("services.json.damaged");
                let kept = match fs::rename(&file, &aside) {
                    Ok(()) => format!("it is kept as {}", aside.display()),
                    Err(e) => format!("it could not be put aside: {}", reason(&e)),
                };
                let text = format!(
                    "{} is damaged ({e}), so every service starts as its manifest says; {kept}",
                    file.display()
                );
                (Register::default(), Some(text))
            }
        }
    }

    /// Keeps the register; on disk when this returns.
    ///
    /// # Errors
    /// A sentence that names the file and the reason; the old register is still there.
    pub fn save(&self, register: &Register) -> Result<(), String> {
        let file = self.file();
        let text = register
            .to_json()
            .map_err(|e| format!("{}: {e}", file.display()))?;
        self.replace(&text)
            .map_err(|e| could_not("write", &file, &e))
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let new = self.folder.join("services.json.new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.file())?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::register::Wanted;
    use hearth_model::ServiceName;

    #[test]
    fn what_is_saved_is_loaded_and_what_is_damaged_is_put_aside() {
        // given a saved register
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(&Paths::new(root.path().into()));
        assert_eq!(store.load(), (Register::default(), None));
        let mut register = Register::default();
        let web = ServiceName::new("web").unwrap();
        register.number(&web).unwrap();
        register.set_wanted(&web, Wanted::Stopped);
        store.save(&register).unwrap();
        // when it is loaded, then it is the same
        assert_eq!(store.load(), (register, None));
        // when its last bytes are lost, then it is reported once and kept
        let text = fs::read_to_string(store.file()).unwrap();
        fs::write(store.file(), &text[..text.len() - 3]).unwrap();
        let (empty, problem) = store.load();
        assert_eq!(empty, Register::default());
        assert!(problem.unwrap().contains("services.json is damaged"));
        assert!(store.folder.join("services.json.damaged").exists());
        assert_eq!(store.load().1, None);
    }
}
