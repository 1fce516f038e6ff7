//! What the household has decided, on disk: the register of services, its port-forwards, and networks that have moved. What is
//! there survives ([`super::durable`]); what is damaged is put aside, never overwritten.

use super::durable::{self, Readers};
use super::paths::{Paths, could_not, read_text, reason};
use crate::limits::STATE_MAX;
use crate::machine::forwards::Forward;
use crate::machine::register::Register;
use hearth_model::networks::Networks;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

/// Where it is kept.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
}

/// Why something could not be kept; what was kept before is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// There is no room now.
    Full(String),
    /// This place takes nothing.
    Broken(String),
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotKept::Full(text) | NotKept::Broken(text) => f.write_str(text),
        }
    }
}

/// A file of the store, and what its loss means.
#[derive(Debug)]
struct Kept {
    name: &'static str,
    without: &'static str,
}

const REGISTER: Kept = Kept {
    name: "services.json",
    without: "every service starts as its manifest says",
};

const FORWARDS: Kept = Kept {
    name: "forwards.json",
    without: "no port is forwarded: add them again",
};

const NETWORKS: Kept = Kept {
    name: "networks.toml",
    without: "the gateway has the networks of gateway.toml",
};

impl Store {
    /// The store of this file system.
    #[must_use]
    pub fn new(paths: &Paths) -> Store {
        Store {
            folder: paths.at("/data/hearth/state"),
        }
    }

    /// The register, and what is wrong with it.
    #[must_use]
    pub fn load(&self) -> (Register, Option<String>) {
        self.read(&REGISTER, Register::from_json)
    }

    /// The household's port-forwards, and what is wrong with them.
    #[must_use]
    pub fn load_forwards(&self) -> (Vec<Forward>, Option<String>) {
        self.read(&FORWARDS, |text| serde_json::from_str(text))
    }

    /// Keeps the register; on disk when this returns.
    ///
    /// # Errors
    /// A sentence that names the file and the reason; the old register is still there.
    pub fn save(&self, register: &Register) -> Result<(), NotKept> {
        self.write(&REGISTER, register.to_json())
    }

    /// Keeps the port-forwards; on disk when this returns.
    ///
    /// # Errors
    /// As [`Store::save`].
    pub fn save_forwards(&self, forwards: &[&Forward]) -> Result<(), String> {
        self.write(&FORWARDS, serde_json::to_string_pretty(forwards))
            .map_err(|e| e.to_string())
    }

    /// Networks of the gateway that have moved, and what is wrong with that file.
    #[must_use]
    pub fn load_networks(&self) -> (Networks, Option<String>) {
        let parse = |text: &str| Networks::parse(NETWORKS.name, text);
        self.read(&NETWORKS, parse)
    }

    /// Keeps networks that have moved; on disk when this returns.
    ///
    /// # Errors
    /// As [`Store::save`].
    pub fn save_networks(&self, networks: &Networks) -> Result<(), String> {
        self.write(&NETWORKS, Ok::<_, String>(networks.to_text()))
            .map_err(|e| e.to_string())
    }

    fn read<T: Default, E: fmt::Display>(
        &self,
        kept: &Kept,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> (T, Option<String>) {
        let file = self.folder.join(kept.name);
        let text = match read_text(&file, STATE_MAX) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return (T::default(), None),
            Err(e) => return (T::default(), Some(could_not("read", &file, &e))),
        };
        match parse(&text) {
            Ok(value) => (value, None),
            Err(e) => {
                let aside = self.folder.join(format!("{}.damaged", kept.name));
                let saved = match fs::rename(&file, &aside) {
                    Ok(()) => format!("it is kept as {}", aside.display()),
                    Err(e) => format!("it could not be put aside: {}", reason(&e)),
                };
                let (file, without) = (file.display(), kept.without);
                let text = format!("{file} is damaged ({e}), so {without}; {saved}");
                (T::default(), Some(text))
            }
        }
    }

    /// What is there already takes no room: it is only made sure that it stays.
    fn write<E: fmt::Display>(&self, kept: &Kept, text: Result<String, E>) -> Result<(), NotKept> {
        let file = self.folder.join(kept.name);
        let text = text.map_err(|e| NotKept::Broken(format!("{}: {e}", file.display())))?;
        let put = || {
            fs::create_dir_all(&self.folder)?;
            match read_text(&file, STATE_MAX) {
                Ok(old) if old == text => File::open(&self.folder)?.sync_all(),
                Ok(_) | Err(_) => {
                    durable::replace(&self.folder, kept.name, text.as_bytes(), Readers::All)
                }
            }
        };
        put().map_err(|e| {
            let text = could_not("write", &file, &e);
            match e.raw_os_error() {
                Some(libc::ENOSPC | libc::EDQUOT) => NotKept::Full(text),
                Some(_) | None => NotKept::Broken(text),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::forwards::Target;
    use crate::machine::register::Wanted;
    use hearth_model::ServiceName;
    use hearth_model::protocol::{Transport, WanPorts};

    #[test]
    fn networks_are_kept_and_a_damaged_file_is_told() {
        // given networks that are kept
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(&Paths::new(root.path().into()));
        assert_eq!(store.load_networks(), (Networks::default(), None));
        let networks = Networks::parse("n", "[[outside]]\nnetwork = \"10.0.0.0\"\nprefix = 8\n");
        let networks = networks.unwrap();
        store.save_networks(&networks).unwrap();
        // when they are loaded, then they are the same
        assert_eq!(store.load_networks(), (networks, None));
        // when the file is damaged, then there are none, and it is told with its line
        fs::write(store.folder.join("networks.toml"), "# x\n[[outside]\n").unwrap();
        let (none, problem) = store.load_networks();
        assert_eq!(none, Networks::default());
        assert!(problem.unwrap().contains("networks.toml:2: "));
    }

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
        let file = store.folder.join("services.json");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, &text[..text.len() - 3]).unwrap();
        let (empty, problem) = store.load();
        assert_eq!(empty, Register::default());
        assert!(problem.unwrap().contains("services.json is damaged"));
        assert!(store.folder.join("services.json.damaged").exists());
        assert_eq!(store.load().1, None);
    }

    #[test]
    fn forwards_are_kept_beside_it() {
        // given forwards to a host and to a service
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(&Paths::new(root.path().into()));
        assert_eq!(store.load_forwards(), (Vec::new(), None));
        let ports = WanPorts {
            transport: Transport::Udp,
            first: 8_000,
            last: 8_010,
        };
        let host = Forward {
            ports,
            to: Target::Host([192, 168, 1, 50].into()),
            to_port: 80,
        };
        let service = Forward {
            to: Target::Service(ServiceName::new("web").unwrap()),
            ..host.clone()
        };
        store.save_forwards(&[&host, &service]).unwrap();
        // when they are loaded, then they are the same
        assert_eq!(store.load_forwards(), (vec![host, service], None));
        // and a key that is not known is damage
        fs::write(store.folder.join("forwards.json"), r#"[{"port":1}]"#).unwrap();
        let (none, problem) = store.load_forwards();
        assert_eq!(none, Vec::new());
        assert!(problem.unwrap().contains("forwards.json is damaged"));
    }
}
