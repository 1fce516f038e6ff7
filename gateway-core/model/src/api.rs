//! The API's JSON: what `hearth-manager` answers over `/run/hearth/api.sock` and what `hearth` and
//! `hearth-web` read. HTTP/1.1; try `curl --unix-socket /run/hearth/api.sock http://gateway/v1/services`.
//!
//! Each thing that can be asked is an [`Operation`]: method, path, options, answer. The OpenAPI document is made
//! from that table and from the types here, is `openapi.json` beside this crate, and `GET /v1/openapi.json` gives it.
//!
//! Every error is an [`ApiError`] with a status of 4xx or 5xx. Only user 0 may POST and DELETE. A request has no body.

use crate::protocol::Transport;
use core::net::Ipv4Addr;
mod doctor;
mod forwarding;
mod life;
mod net;
#[cfg(feature = "openapi")]
pub mod openapi;
mod operations;
mod top;

pub use {doctor::*, forwarding::ForwardingJson, life::LifeJson, net::*, operations::*, top::*};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Path of the API's socket: a link into [`SOCKET_FOLDER`].
pub const SOCKET: &str = "/run/hearth/api.sock";

/// Folder of the API's socket, `api.sock`. The grant `api` binds this folder, not the socket: a
/// bound file goes stale when the manager makes it anew.
pub const SOCKET_FOLDER: &str = "/run/hearth/api";

/// Environment variable in which a service with the grant `api` finds the socket's path.
pub const SOCKET_VARIABLE: &str = "HEARTH_API";

/// One service or system unit, a row of `hearth ps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Service {
    /// Name.
    pub name: String,
    /// `system` or `service`.
    pub kind: Kind,
    /// Version in its manifest; the firmware's for a system unit.
    pub version: String,
    /// Title for people.
    pub title: String,
    /// TR-181 `ExecutionUnit.Status`: Idle, Starting, Active, Stopping, Restarting.
    pub state: String,
    /// TR-181 `ExecutionFaultCode`.
    pub fault: String,
    /// One sentence: why it is not as asked, and what to do. Empty where all is well.
    pub message: String,
    /// What it waits for, what it says of itself, what it needs.
    #[serde(default)]
    pub life: LifeJson,
    /// Whether the household asked for it to run.
    pub wanted: bool,
    /// Its place among the services, 1 for the most important; `None` for a system unit.
    #[serde(default)]
    pub rank: Option<u32>,
    /// Process id seen from PID 1; 0 where there is none.
    pub pid: u32,
    /// Starts by itself since it was asked to start.
    pub restarts: u32,
    /// Seconds in this state.
    pub since_seconds: u64,
    /// Memory in use, bytes (cgroup v2 `memory.current`); `None` for a unit without a cgroup.
    pub memory_bytes: Option<u64>,
    /// Hard limit of memory, bytes (`memory.max`).
    pub memory_max_bytes: Option<u64>,
    /// Processor time used, microseconds (`cpu.stat` `usage_usec`).
    pub cpu_usec: Option<u64>,
    /// The kernel killed it for memory this often (`memory.events` `oom_kill`).
    pub oom_kills: Option<u64>,
    /// What its gates refused since its cgroup was made, by reason ([`crate::gate::Refusal`]); empty
    /// for a unit without gates.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
    /// What its data takes, bytes; `None` where no quota counts it (a system unit, data in memory).
    pub storage_bytes: Option<u64>,
    /// Hard limit of its data, bytes (`resources.storage.max`).
    pub storage_max_bytes: Option<u64>,
    /// Its address, where it has one.
    pub address: Option<String>,
    /// Ports of the gateway that are its own, `lan tcp 8080 -> 80`.
    pub listens: Vec<String>,
}

/// Who a row of `hearth ps` belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A process of the gateway itself.
    System,
    /// A service in its sandbox.
    Service,
}

/// `GET /v1/status`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Status {
    /// Firmware version.
    pub firmware: String,
    /// Seconds since boot.
    pub uptime_seconds: u64,
    /// The Internet's side.
    pub wan: WanJson,
    /// The home's side, `192.168.1.1/24`.
    pub lan: String,
    /// The guests' side, `192.168.2.1/24`; `None`: there is none.
    #[serde(default)]
    pub guest: Option<String>,
    /// URL of the household's console, from the home.
    pub console_url: String,
    /// Each resource: what the machine has and what is promised.
    pub budget: Vec<BudgetLine>,
    /// NAT table and packets; `None` while netpath does not answer.
    pub nat: Option<NatJson>,
    /// Who is charged for the processor time of packets.
    #[serde(default)]
    pub forwarding: ForwardingJson,
    /// Services and their state.
    pub services: Vec<Service>,
    /// What this kernel has for every service's sandbox.
    pub sandbox: SandboxJson,
    /// What is short, by whom. Empty where everybody gets what they ask for.
    #[serde(default)]
    pub congestion: Vec<Congestion>,
    /// What people should know though nothing is wrong, one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What is wrong with packages or the gateway, one sentence each. Empty where all is well.
    pub problems: Vec<String>,
}

/// What a kernel has for sandboxes beyond what each of them needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct SandboxJson {
    /// Level of Landlock, 0 for none: 1 files, 4 TCP ports, 6 signals and abstract sockets (landlock(7)).
    pub landlock_level: u32,
    /// Whether each service has clocks of its own (time_namespaces(7)).
    pub time_namespaces: bool,
}

/// The Internet's side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct WanJson {
    /// `203.0.113.7/24`; `None` while there is no address.
    pub address: Option<String>,
    /// Next hop.
    pub router: Option<String>,
    /// Resolvers.
    pub resolvers: Vec<String>,
}

/// One resource of the admission budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct BudgetLine {
    /// `memory` and `storage` (bytes), `cpu` (thousandths of a core), `io` (thousandths of the disk's
    /// time), `pids` (processes and threads), `upload` or `download` (bits a second).
    pub resource: String,
    /// What the machine has; 0 of the line where nobody knows what it carries.
    pub total: u64,
    /// Kept for the system and for forwarding.
    pub system: u64,
    /// Promised to services that run.
    pub reserved: u64,
    /// Left to promise.
    pub free: u64,
}

/// What a start would come to; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct StartPlan {
    /// Which service.
    pub service: String,
    /// Whether it would start with what is free now.
    pub fits: bool,
    /// Who would end for it with `make_room`, in this order. Empty where nobody has to, or where that
    /// would not be enough.
    pub stops: Vec<String>,
    /// Why it would not start without that, as a sentence; empty where it would.
    pub message: String,
    /// The same for programs.
    pub refusal: Option<RefusalJson>,
    /// The budget as it is.
    pub before: Vec<BudgetLine>,
    /// The budget after the start, and after what ends for it; as before where it can not start.
    pub after: Vec<BudgetLine>,
}

/// Why a service was not admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct RefusalJson {
    /// Which service.
    pub service: String,
    /// Each resource that is short.
    pub short: Vec<ShortJson>,
    /// The fewest lower-ranked services whose end would make room, the lowest rank first; empty where
    /// there are none.
    pub room: Vec<String>,
}

/// Too little of one resource, in the unit of its [`BudgetLine`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ShortJson {
    /// As in [`BudgetLine`].
    pub resource: String,
    /// What the service asks for.
    pub needed: u64,
    /// What is left to promise.
    pub free: u64,
    /// What is missing.
    pub shortfall: u64,
}

/// One service in the ranking, and what its rank means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct RankRow {
    /// Its name.
    pub service: String,
    /// Its place, 1 for the most important.
    pub rank: u32,
    /// Whether the household ranked it; the others come after those that it ranked, and are equal in
    /// all that follows.
    pub ranked: bool,
    /// As [`Service::state`].
    pub state: String,
    /// `cpu.weight`; `None` while it does not run.
    pub cpu_weight: Option<u32>,
    /// `io.bfq.weight`.
    pub io_weight: Option<u32>,
    /// `memory.low`.
    pub memory_low_bytes: Option<u64>,
    /// `oom_score_adj` of its processes.
    pub oom_score_adj: Option<u16>,
    /// How long its packets may wait: `guaranteed`, `interactive` or `bulk`; `None` without a network.
    pub traffic_class: Option<String>,
    /// Its part of what nobody reserved of the line, beside others of its class.
    pub line_weight: Option<u16>,
}

/// NAT table and packets since netpath's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct NatJson {
    /// Mappings now.
    pub mappings: u32,
    /// Places in the table.
    pub mappings_max: u32,
    /// New flows refused for want of a place.
    pub mappings_refused: u64,
    /// Packets received.
    pub received: u64,
    /// Packets passed on.
    pub forwarded: u64,
    /// Packets dropped.
    pub dropped: u64,
    /// Of those passed on, what the fast path in the kernel has forwarded; `null`: there is none, and
    /// the kernel's log says why.
    pub fast_path: Option<u64>,
}

/// Ports of the WAN's address that the household has given to a host of the home or to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct PortForward {
    /// `tcp` or `udp`.
    pub transport: Transport,
    /// The first port.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// The host, if it is one.
    pub host: Option<Ipv4Addr>,
    /// The service, if it is one.
    pub service: Option<String>,
    /// The port that the first one leads to.
    pub to_port: u16,
    /// `open`, `waiting` (for hearth-netpath) or `refused`.
    pub state: String,
    /// One sentence: why it is not open, and what to do. Empty where it is.
    pub message: String,
}

/// What services used since the last full hour: not signed yet.
#[cfg(feature = "usage")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct OpenUsage {
    /// Start, seconds since 1970 (UTC).
    pub from: u64,
    /// The last sample, seconds since 1970 (UTC).
    pub until: u64,
    /// One row for each service that used something.
    pub services: Vec<UsageRow>,
}

/// What one service used.
#[cfg(feature = "usage")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct UsageRow {
    /// Its name.
    pub service: String,
    /// How much.
    pub used: crate::usage::Figures,
}

/// A resource that is short: somebody waits for it while somebody else has more than was promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Congestion {
    /// `cpu`, `memory`, `io`, `uplink`, `downlink` or `storage`.
    pub resource: String,
    /// Who has most beyond what was promised: a service, or `home`.
    pub culprit: String,
    /// Who waits.
    pub victims: Vec<String>,
    /// For how long.
    pub since_seconds: u64,
    /// All of it in one sentence.
    pub text: String,
    /// What to do.
    pub advice: String,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Event {
    /// Its number: 1 is the first since the boot.
    pub id: u64,
    /// Seconds since 1970 (UTC), by a clock that may not be set yet.
    pub time: u64,
    /// Milliseconds since the boot.
    pub uptime_ms: u64,
    /// `error`, `warning` or `informational` (RFC 5424).
    pub level: String,
    /// What it is about: `service nginx`, `wan`, `gateway`.
    pub object: String,
    /// One sentence.
    pub text: String,
}

/// An accepted request with nothing else to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Done {
    /// What happens now.
    pub message: String,
}

/// The body of every error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ApiError {
    /// What failed, on what, why, and what to do.
    pub error: String,
    /// USP fault code (TR-369; 7227 is an admission refusal, 7004 bad arguments, 7006 permission).
    pub code: u16,
    /// With 7227: what is short and what would make room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RefusalJson>,
}
