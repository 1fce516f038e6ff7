//! What can be promised to services, and how much of each.

use hearth_model::manifest::Manifest;
use hearth_model::{BitsPerSec, Bytes, MilliCpu, PerMille};

/// What can be promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Bytes of memory.
    Memory,
    /// Thousandths of a core.
    Cpu,
    /// Thousandths of the disk's time.
    Io,
    /// Bytes of the data partition.
    Storage,
    /// Processes and threads.
    Pids,
    /// Bits a second towards the Internet.
    Upload,
    /// Bits a second from the Internet.
    Download,
}

impl Resource {
    /// Every one, in the order in which people read them.
    pub const ALL: [Resource; 7] = [
        Resource::Memory,
        Resource::Cpu,
        Resource::Io,
        Resource::Storage,
        Resource::Pids,
        Resource::Upload,
        Resource::Download,
    ];

    /// Its name in tables and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Resource::Memory => "memory",
            Resource::Cpu => "cpu",
            Resource::Io => "io",
            Resource::Storage => "storage",
            Resource::Pids => "pids",
            Resource::Upload => "upload",
            Resource::Download => "download",
        }
    }

    /// The key of a manifest that asks for it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Resource::Memory => "resources.memory.reserve",
            Resource::Cpu => "resources.cpu.reserve",
            Resource::Io => "resources.io.reserve",
            Resource::Storage => "resources.storage.reserve",
            Resource::Pids => "resources.pids.reserve",
            Resource::Upload => "resources.network.reserve-up",
            Resource::Download => "resources.network.reserve-down",
        }
    }

    /// What an amount is of, as it stands after the amount.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Resource::Memory => " of memory",
            Resource::Cpu => " of a core",
            Resource::Io => " of the disk's time",
            Resource::Storage => " of storage",
            Resource::Pids => " processes",
            Resource::Upload => " of upload",
            Resource::Download => " of download",
        }
    }

    /// An amount in its unit.
    #[must_use]
    pub fn amount(self, value: u64) -> String {
        let small = u32::try_from(value).unwrap_or(u32::MAX);
        match self {
            Resource::Memory | Resource::Storage => Bytes(value).to_string(),
            Resource::Cpu => MilliCpu(small).to_string(),
            Resource::Io => PerMille(small).to_string(),
            Resource::Pids => value.to_string(),
            Resource::Upload | Resource::Download => BitsPerSec(value).to_string(),
        }
    }
}

/// An amount of each resource: guaranteed to a service, or to several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// `resources.memory.reserve`
    pub memory: Bytes,
    /// `resources.cpu.reserve`
    pub cpu: MilliCpu,
    /// `resources.io.reserve`
    pub io: PerMille,
    /// `resources.storage.reserve`
    pub storage: Bytes,
    /// `resources.pids.reserve`
    pub pids: u32,
    /// `resources.network.reserve-up`
    pub upload: BitsPerSec,
    /// `resources.network.reserve-down`
    pub download: BitsPerSec,
}

impl Promise {
    /// What a manifest asks for.
    #[must_use]
    pub fn of_manifest(manifest: &Manifest) -> Promise {
        let line = manifest.network_share();
        Promise {
            memory: manifest.memory_reserve(),
            cpu: manifest.cpu_reserve(),
            io: manifest.io_reserve(),
            storage: manifest.storage_reserve(),
            pids: manifest.pids_reserve(),
            upload: line.up.reserve,
            download: line.down.reserve,
        }
    }

    /// The amount of one resource.
    #[must_use]
    pub fn of(self, resource: Resource) -> u64 {
        match resource {
            Resource::Memory => self.memory.0,
            Resource::Cpu => self.cpu.0.into(),
            Resource::Io => self.io.0.into(),
            Resource::Storage => self.storage.0,
            Resource::Pids => self.pids.into(),
            Resource::Upload => self.upload.0,
            Resource::Download => self.download.0,
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Promise) -> Promise {
        self.with(other, u64::saturating_add, u32::saturating_add)
    }

    /// What is left of this without the other; never less than nothing.
    #[must_use]
    pub fn without(self, other: Promise) -> Promise {
        self.with(other, u64::saturating_sub, u32::saturating_sub)
    }

    fn with(
        self,
        other: Promise,
        long: impl Fn(u64, u64) -> u64,
        short: impl Fn(u32, u32) -> u32,
    ) -> Promise {
        Promise {
            memory: Bytes(long(self.memory.0, other.memory.0)),
            cpu: MilliCpu(short(self.cpu.0, other.cpu.0)),
            io: PerMille(short(self.io.0, other.io.0)),
            storage: Bytes(long(self.storage.0, other.storage.0)),
            pids: short(self.pids, other.pids),
            upload: BitsPerSec(long(self.upload.0, other.upload.0)),
            download: BitsPerSec(long(self.download.0, other.download.0)),
        }
    }
}
