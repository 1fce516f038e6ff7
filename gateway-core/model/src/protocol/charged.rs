//! Who is charged for packets.

use core::fmt;
use serde::{Deserialize, Serialize};

/// errno(3) of a file that is not there, and of an operation that a driver lacks (linux/errno.h).
const ENOENT: i32 = 2;
const EOPNOTSUPP: i32 = 95;

/// Who is charged for the processor time of packets that arrive at the gateway's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Charged {
    /// Forwarding: kernel threads take them, in a cgroup of their own.
    Forwarding {
        /// Its `cpu.weight` (1 to 10000).
        weight: u16,
    },
    /// Whoever runs when they arrive.
    Anyone(ChargeFault),
}

impl Default for Charged {
    fn default() -> Charged {
        Charged::Anyone(ChargeFault::NoPort)
    }
}

/// Why a device's packets are not charged to those they belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChargeFault {
    /// No port is up yet.
    NoPort,
    /// The kernel does not let threads take its packets: it has no such attribute, or the device's driver
    /// does not poll.
    Threads {
        /// errno(3).
        errno: i32,
    },
    /// There should be a thread and none was found.
    NoThread,
    /// The device has no setting that this needs.
    Feature {
        /// errno(3).
        errno: i32,
    },
    /// The thread can not be moved into the cgroup.
    Group {
        /// errno(3).
        errno: i32,
    },
    /// The cgroup takes no weight.
    Weight {
        /// errno(3).
        errno: i32,
    },
}

impl fmt::Display for ChargeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, errno) = match *self {
            ChargeFault::NoPort => return f.write_str("no port is up yet"),
            ChargeFault::NoThread => return f.write_str("the kernel has made no thread for it"),
            ChargeFault::Threads { errno } if errno == ENOENT => {
                return f.write_str("the kernel lacks threaded NAPI (Linux 5.12)");
            }
            ChargeFault::Threads { errno } if errno == EOPNOTSUPP => {
                return f.write_str("the driver of the port does not poll (NAPI)");
            }
            ChargeFault::Threads { errno } => ("let threads take its packets", errno),
            ChargeFault::Feature { errno } => ("let the link poll", errno),
            ChargeFault::Group { errno } => ("move its thread into the cgroup", errno),
            ChargeFault::Weight { errno } => ("set the weight of the cgroup", errno),
        };
        write!(f, "could not {what}: {}", crate::step::errno_words(errno))
    }
}
