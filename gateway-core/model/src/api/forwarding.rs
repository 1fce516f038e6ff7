//! Who is charged for packets.

use serde::{Deserialize, Serialize};

/// Who is charged for the processor time of packets, so that forwarding and services can not starve each
/// other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct ForwardingJson {
    /// `cpu.weight` of forwarding's own cgroup; `null`: its packets are charged to whoever runs.
    pub weight: Option<u16>,
    /// Services with a link whose packets a thread in their own cgroup takes.
    pub charged: Vec<String>,
    /// What is charged to others, and why, one sentence each. Empty where all is well.
    pub lacking: Vec<String>,
}
