//! The programs that choose a packet's class (`netpath/bpf/queues.rs`), and what they are told.

use super::classes::{Row, Written};
use hearth_bpf::map::{Map, Maps, When};
use hearth_bpf::object::Object;
use hearth_bpf::program::{Kind, Program};
use hearth_bpf::{KernelError, LoadError};

/// The committed object; `scripts/bpf` makes it.
const OBJECT: &[u8] = include_bytes!("../../bpf/queues.o");
const ROWS: &str = "ROWS_OUT";
const WRITTEN: &str = "WRITTEN";
const FIRST: [u8; 4] = [0; 4];

/// The programs, loaded, with their maps.
#[derive(Debug)]
pub struct Programs {
    maps: Maps,
    /// For what leaves by the Internet's port.
    pub leaves: Program,
    /// For what this process writes to the home's and the services' TUN devices.
    pub written: Program,
    /// For what it writes to the Internet's.
    pub written_from_wan: Program,
    /// For downloads that have waited.
    pub waited: Program,
    told: Option<Written>,
}

impl Programs {
    /// Loads them.
    ///
    /// # Errors
    /// [`LoadError`]: the kernel has not taken the object, or would interpret it.
    pub fn load() -> Result<Programs, LoadError> {
        let object = Object::parse(OBJECT)?;
        let maps = Maps::create(&object, Vec::new())?;
        let load = |name| Program::load_function(Kind::Classifier, &object, name, &maps);
        Ok(Programs {
            leaves: load("leaves")?,
            written: load("written")?,
            written_from_wan: load("written_from_wan")?,
            waited: load("waited")?,
            told: None,
            maps,
        })
    }

    fn map(&self, name: &str) -> Result<&Map, LoadError> {
        let missing = || LoadError::Missing(name.to_owned());
        self.maps.get(name).ok_or_else(missing)
    }

    /// Says what becomes of packets of a row of the table.
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    pub fn set_row(&self, number: u32, row: &Row) -> Result<(), LoadError> {
        let words = row.by_mark.map(u32::to_ne_bytes);
        let map = self.map(ROWS)?;
        Ok(map.update(&number.to_ne_bytes(), words.as_flattened(), When::Any)?)
    }

    /// Says what the packet is that is written next; the same again costs nothing.
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    pub fn announce(&mut self, next: Written) -> Result<(), LoadError> {
        if self.told != Some(next) {
            let words = [next.class, next.pair].map(u32::to_ne_bytes);
            let told = self.map(WRITTEN)?;
            told.update(&FIRST, words.as_flattened(), When::Any)?;
            self.told = Some(next);
        }
        Ok(())
    }
}

/// The number of an error, for a report.
#[must_use]
pub fn errno(error: &LoadError) -> i32 {
    match error {
        LoadError::Kernel(error) => error.errno(),
        LoadError::Object(_) | LoadError::Missing(_) => KernelError::Answer.errno(),
        LoadError::Interpreted(_) => libc::EOPNOTSUPP,
    }
}
