//! `manifest.toml`: what a package says of itself. ARCHITECTURE.md, "Manifest", is the format.
//!
//! Stages: text → [`RawManifest`] (a TOML tree that remembers where everything stands) →
//! [`Manifest`] (every value checked). The second has no other constructor, so a manager that holds
//! one holds a good one. All faults of a file are reported at once, each with its line: whoever
//! packs a service edits once, not ten times.
//!
//! What this module refuses to do: know which seccomp policies the launcher has, whether the
//! machine has room, or whether a port is another service's. Those need more than the file.

mod check;
mod checked;
mod device;
mod fault;
mod health;
mod placeholder;
mod raw;
mod resources;
mod sealed;
mod value;

pub use checked::Manifest;
pub use device::Device;
pub use fault::{ManifestErrors, nearest};
pub use health::Ready;
pub use raw::RawManifest;
pub use sealed::{ARCHITECTURE, IMAGE_BLOCK, IMAGE_MAX, Sealed};

use crate::protocol::{Transport, Zone};
use crate::units::Bytes;
use core::fmt;

/// Largest manifest that is read, bytes: a hundred times the longest known one.
pub const MANIFEST_MAX: usize = 64 * 1024;

/// Faults of one manifest that are kept; the rest is counted. A person reads no more at once.
pub const FAULTS_MAX: usize = 64;

/// Longest `title`, `vendor`, `version` or reason, characters: two lines of an 80-column console.
pub const TEXT_MAX: usize = 160;

/// Most words of `exec`, variables of `env`, `listen` lines, policies or single system calls.
pub const LIST_MAX: usize = 64;

/// Smallest `resources.memory.max`, bytes: below it not even the launcher fits.
pub const MEMORY_MAX_MIN: u64 = 1024 * 1024;

/// Largest amount of memory a manifest can name, bytes. The page counter of a 32-bit kernel ends
/// at 8 TiB and means "no limit" there.
pub const MEMORY_MAX_MAX: u64 = 1 << 40;

/// Smallest `resources.cpu.max`, thousandths of a core: `cpu.max` takes a quota of 1 ms at least,
/// which is 1 % of its 100 ms period.
pub const CPU_MAX_MIN: u32 = 10;

/// Largest share of processor time a manifest can name, thousandths of a core: 64 cores.
pub const CPU_MAX_MAX: u32 = 64_000;

/// Highest number of a core that `resources.cpu.cores` can name: those of 64.
pub const CORE_MAX: u32 = 63;

/// Largest share that a manifest can name of the disk's time, thousandths: all of it.
pub const IO_SHARE_MAX: u32 = 1000;

/// Smallest `resources.io.max`, bytes a second: below it not even a program is read from its image.
pub const IO_MAX_MIN: u64 = 64 * 1024;

/// Smallest `resources.network.max-up` and `max-down`, bits a second: below it not even names resolve.
pub const NETWORK_MAX_MIN: u64 = 64_000;

/// Smallest `resources.storage.max`, bytes: a folder, a file and some blocks.
pub const STORAGE_MAX_MIN: u64 = 64 * 1024;

/// `resources.storage.max` of a manifest that names none: settings and a small database. Eight such
/// services fill the data partition of QEMU's disk, hundreds that of a household's.
pub const STORAGE_MAX_DEFAULT: Bytes = Bytes::mib(64);

/// Bytes of `resources.storage.max` for each file or folder (inode) that it allows, as mke2fs(8) makes
/// one for each 16 KiB of a disk: many empty files fill a disk too.
pub const STORAGE_BYTES_PER_FILE: u64 = 16 * 1024;

/// Largest `resources.pids.max`; a 32-bit kernel has 32768 process ids for everyone.
pub const PIDS_MAX_MAX: u32 = 4096;

/// Longest `health.stop-grace`, milliseconds: what PID 1 grants at most.
pub const STOP_GRACE_MAX_MS: u32 = 300_000;

/// `health.stop-grace` of a manifest that names none, milliseconds.
pub const STOP_GRACE_DEFAULT_MS: u32 = 10_000;

/// `health.ready-within` of a manifest that names none, milliseconds: what a large program needs on a
/// busy 1.2 GHz Atom, and some.
pub const READY_WITHIN_DEFAULT_MS: u32 = 60_000;

/// Shortest `health.watchdog`, milliseconds: a service that waits for its turn is not hung.
pub const WATCHDOG_MIN_MS: u32 = 1_000;

/// Most services in `service.needs`: a household must be able to follow it.
pub const NEEDS_MAX: usize = 8;

/// `service.user` of a manifest that names none: the first id of a person on most distributions.
pub const USER_DEFAULT: u32 = 1000;

/// `[access] network`: where the service may open connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Nowhere; its network namespace has only loopback.
    None,
    /// Hosts of the home.
    Lan,
    /// The Internet, and hosts of the home.
    Wan,
}

/// `[access] link`: how it is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A point-to-point link; netpath routes and translates.
    Routed,
    /// A host of the home's network, at the address `lan.resolver` of the gateway's configuration.
    Bridged,
    /// A host of the guests' network, at `guest.resolver`. Where `gateway.toml` has no guests, neither has the
    /// gateway this service.
    Guest,
}

impl LinkKind {
    /// Whether it is a host of a bridge, with ports of its own.
    #[must_use]
    pub fn is_bridged(self) -> bool {
        match self {
            LinkKind::Routed => false,
            LinkKind::Bridged | LinkKind::Guest => true,
        }
    }
}

/// `[access] grants`: what of the gateway the service may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The API's socket; as anyone but the gateway's own root, so it may only read.
    Api,
    /// The resolvers that the Internet provider named.
    Resolvers,
}

/// One line of `[access] listen`: a port of the gateway that is this service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Side on which the gateway's port is open: `Lan` or `Wan`.
    pub from: Zone,
    /// Protocol.
    pub transport: Transport,
    /// The gateway's port, 1 to 65535.
    pub port: u16,
    /// The service's port, 1 to 65535.
    pub to_port: u16,
}

impl fmt::Display for Listen {
    /// As the manifest has it: `lan tcp 8080 -> 80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.from {
            Zone::Lan => "lan",
            Zone::Wan => "wan",
            Zone::Service => "service",
            Zone::Guest => "guest",
        };
        let (transport, port, to) = (self.transport, self.port, self.to_port);
        write!(f, "{side} {transport} {port} -> {to}")
    }
}

/// A system call beyond the base policy, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraSyscall {
    /// Its name, as the kernel has it.
    pub name: String,
    /// Why the service needs it; the household reads this before it installs.
    pub reason: String,
}

#[cfg(test)]
mod tests;
