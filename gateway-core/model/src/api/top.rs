//! What each service uses at one moment, for rates that whoever asks works out.

use super::Kind;
use serde::{Deserialize, Serialize};

/// `GET /v1/top`: counters as they stand. Two answers make rates, so that the manager measures nothing while
/// nobody looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Top {
    /// When they were read, milliseconds since the boot.
    pub uptime_ms: u64,
    /// Processors of this machine.
    pub cores: u32,
    /// Services by rank, then the gateway's own groups: `forwarding` and `system`.
    pub rows: Vec<TopRow>,
}

/// Counters of a service or of a group of the gateway's own processes. `null` where the kernel does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct TopRow {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub kind: Kind,
    /// Its place among the services, 1 for the most important.
    pub rank: Option<u32>,
    /// As [`super::Service::state`]; `Active` for a group.
    pub state: String,
    /// Processor time used, microseconds (`cpu.stat` `usage_usec`).
    pub cpu_usec: Option<u64>,
    /// Memory in use, bytes (`memory.current`).
    pub memory_bytes: Option<u64>,
    /// Hard limit of memory, bytes.
    pub memory_max_bytes: Option<u64>,
    /// Read from disks, bytes (`io.stat` `rbytes`).
    pub read_bytes: Option<u64>,
    /// Written to disks, bytes (`io.stat` `wbytes`).
    pub written_bytes: Option<u64>,
    /// Sent over its network link, bytes.
    pub sent_bytes: Option<u64>,
    /// Received over its network link, bytes.
    pub received_bytes: Option<u64>,
    /// Processes and threads (`pids.current`).
    pub pids: Option<u64>,
    /// Time in which some of its tasks waited for a processor, microseconds (`cpu.pressure` `some total`).
    pub cpu_waited_usec: Option<u64>,
    /// The same for memory.
    pub memory_waited_usec: Option<u64>,
    /// The same for the disk.
    pub io_waited_usec: Option<u64>,
}
