//! Records on the private `SOCK_SEQPACKET` sockets: one message, one record, postcard-encoded, at
//! most [`RECORD_MAX`] bytes. Descriptors travel beside a record as `SCM_RIGHTS`, in the order that
//! the record's documentation gives.
//!
//! Both sockets have root on both ends; a record that does not decode is still answered with an
//! error and never trusted.

mod charged;
mod forward;
mod life;
mod look;
mod net;
mod own;
mod queues;
mod refusal;

pub use charged::*;
pub use forward::*;
pub use life::*;
pub use look::*;
pub use net::*;
pub use own::*;
pub use queues::*;
pub use refusal::*;

use crate::ids::{ServiceId, ServiceName};
use crate::limits::RECORD_MAX;
use crate::state::{LastExit, UnitStatus};
use core::fmt;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A record that can not be sent or was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// It does not fit in [`RECORD_MAX`] bytes.
    TooLarge,
    /// The bytes are no record of this type.
    Malformed,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::TooLarge => write!(f, "record larger than {RECORD_MAX} bytes"),
            RecordError::Malformed => f.write_str("record of another version, or damaged"),
        }
    }
}

impl core::error::Error for RecordError {}

/// Encodes a record into the caller's buffer and returns the bytes to send.
///
/// # Errors
/// [`RecordError::TooLarge`].
pub fn encode<'b, R: Serialize>(
    record: &R,
    buffer: &'b mut [u8; RECORD_MAX],
) -> Result<&'b [u8], RecordError> {
    match postcard::to_slice(record, buffer) {
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(RecordError::TooLarge),
    }
}

/// Decodes one received message; bytes left over are an error too.
///
/// # Errors
/// [`RecordError::Malformed`].
pub fn decode<R: DeserializeOwned>(bytes: &[u8]) -> Result<R, RecordError> {
    match postcard::take_from_bytes(bytes) {
        Ok((record, [])) => Ok(record),
        Ok(_) | Err(_) => Err(RecordError::Malformed),
    }
}

/// The three units that PID 1 starts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SystemUnit {
    /// `hearth-netpath`.
    Netpath,
    /// `hearth-manager`.
    Manager,
    /// The shell on the serial console.
    Console,
}

impl SystemUnit {
    /// Every one, in start order.
    pub const ALL: [SystemUnit; 3] = [
        SystemUnit::Netpath,
        SystemUnit::Manager,
        SystemUnit::Console,
    ];

    /// Its name in logs and in `hearth ps`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SystemUnit::Netpath => "hearth-netpath",
            SystemUnit::Manager => "hearth-manager",
            SystemUnit::Console => "console",
        }
    }
}

/// How the machine goes down (reboot(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShutdownKind {
    /// Power off.
    PowerOff,
    /// Start anew.
    Reboot,
}

/// Manager to PID 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToInit {
    /// First record of every connection. PID 1 answers with [`FromInit::Welcome`], one
    /// [`FromInit::Service`] for each service it holds, then [`FromInit::WelcomeEnd`].
    Hello {
        /// [`crate::limits::PROTOCOL_VERSION`] of the sender.
        version: u16,
    },
    /// Put a service in the table and start it. Descriptors: plan (sealed memfd), cgroup folder,
    /// where `network` is [`NetworkNs::Passed`] its network namespace, and where `notify` is
    /// [`Notify::Passed`] its notify socket. A service that is in the table already must be Idle;
    /// its row is replaced.
    Start(StartService),
    /// End it: `stop_signal`, grace, then kill(2) with SIGKILL. The row stays, Idle.
    Stop {
        /// Which.
        id: ServiceId,
    },
    /// As [`ToInit::Stop`], since a service that it needs is not there: it ends as
    /// [`crate::state::Fault::DependencyFailure`].
    Withdraw {
        /// Which.
        id: ServiceId,
    },
    /// This run is ready. Another run's is ignored.
    Ready {
        /// Which.
        id: ServiceId,
        /// The run's process.
        pid: u32,
    },
    /// End this run, which has failed; what follows is its restart policy's. Another run's is ignored.
    Condemn {
        /// Which.
        id: ServiceId,
        /// The run's process.
        pid: u32,
        /// Why.
        why: Condemned,
    },
    /// Execute a program inside the sandbox of this run. Descriptor: its plan (sealed memfd).
    /// [`FromInit::Probed`] tells how it ended; one at a time for each service.
    Probe {
        /// Which.
        id: ServiceId,
        /// The run's process.
        pid: u32,
    },
    /// Stop it, then start it again from the row's own plan.
    Restart {
        /// Which.
        id: ServiceId,
    },
    /// Remove an Idle row and close its descriptors.
    Forget {
        /// Which.
        id: ServiceId,
    },
    /// Stop everything in order, unmount, sync, and go down.
    Shutdown {
        /// Off or anew.
        kind: ShutdownKind,
    },
}

/// PID 1 to manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromInit {
    /// Answer to [`ToInit::Hello`].
    Welcome {
        /// [`crate::limits::PROTOCOL_VERSION`] of PID 1.
        version: u16,
    },
    /// A service that PID 1 holds, while it answers a Hello, and after [`ToInit::Start`] was taken.
    /// Descriptors: read end of its output, cgroup folder, and its notify socket where it has one.
    Service {
        /// Its row.
        id: ServiceId,
        /// Its name.
        name: ServiceName,
        /// Where it is.
        status: UnitStatus,
        /// Bytes of its output that found no room while no manager read it, since this was last told.
        lost: u64,
    },
    /// The last record of the answer to a Hello.
    WelcomeEnd,
    /// A service changed.
    Status {
        /// Which.
        id: ServiceId,
        /// Where it is now.
        status: UnitStatus,
    },
    /// A system unit changed, or is told while PID 1 answers a Hello.
    System {
        /// Which.
        unit: SystemUnit,
        /// Where it is now.
        status: UnitStatus,
    },
    /// A probe has ended.
    Probed {
        /// Whose.
        id: ServiceId,
        /// The run that it was for.
        pid: u32,
        /// How; [`crate::state::LastExit::Step`] where it could not be executed.
        exit: LastExit,
    },
    /// A request was not carried out and changed nothing.
    Refused {
        /// Whose; `None` where the request named no service.
        id: Option<ServiceId>,
        /// Why.
        reason: InitRefusal,
    },
}

/// Why PID 1 refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitRefusal {
    /// The record did not decode.
    Malformed,
    /// The sender speaks another version.
    Version {
        /// PID 1's own.
        ours: u16,
    },
    /// A descriptor that the record promises did not come with it.
    MissingDescriptor,
    /// No such row.
    Unknown,
    /// The row is not in a state in which this can be done.
    WrongState {
        /// Its state.
        state: crate::state::UnitState,
    },
    /// The machine is going down.
    ShuttingDown,
    /// PID 1 could not get what the row needs (a pipe).
    System {
        /// errno(3).
        errno: i32,
    },
}

impl fmt::Display for InitRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InitRefusal::Malformed => f.write_str("hearth-init did not understand the request"),
            InitRefusal::Version { ours } => {
                write!(
                    f,
                    "hearth-init speaks protocol version {ours}; install matching firmware"
                )
            }
            InitRefusal::MissingDescriptor => {
                f.write_str("the request came without the descriptors it promised")
            }
            InitRefusal::Unknown => {
                f.write_str("hearth-init holds no such service; start it first")
            }
            InitRefusal::WrongState { state } => write!(f, "the service is {state}"),
            InitRefusal::ShuttingDown => f.write_str("the gateway is going down"),
            InitRefusal::System { errno } => {
                write!(f, "hearth-init: {}", crate::step::errno_words(*errno))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::*;
    use crate::step::{Step, StepFailure};
    use crate::units::Tick;

    fn longest_status() -> UnitStatus {
        UnitStatus {
            state: UnitState::Restarting,
            readiness: Readiness::Awaited,
            fault: Fault::UnStartable,
            pid: u32::MAX,
            restarts: u32::MAX,
            last_exit: LastExit::Step(StepFailure {
                step: Step::CgroupLimit,
                index: u16::MAX,
                errno: i32::MIN,
            }),
            since: Tick(u64::MAX),
        }
    }

    #[test]
    fn the_longest_records_fit_and_come_back() {
        // given the largest value of the largest records
        let name = ServiceName::new("abcdefghijabcdefghijabcdefghijab").unwrap();
        let id = ServiceId::new(255).unwrap();
        let from = FromInit::Service {
            id,
            name: name.clone(),
            status: longest_status(),
            lost: u64::MAX,
        };
        let to = ToInit::Start(StartService {
            id,
            name,
            restart: RestartPolicy {
                when: RestartWhen::Never,
                delay_min_ms: u32::MAX,
                delay_max_ms: u32::MAX,
                retries_max: u32::MAX,
                reset_after_ms: u32::MAX,
            },
            stop_signal: 64,
            stop_grace_ms: u32::MAX,
            network: NetworkNs::Passed,
            notify: Notify::Passed,
            active: ActiveWhen::Ready,
            asked: Asked::Policy,
            depth: u8::MAX,
        });
        let mut buffer = [0; RECORD_MAX];
        // when they are encoded and decoded, then nothing changes
        assert_eq!(
            decode::<FromInit>(encode(&from, &mut buffer).unwrap()),
            Ok(from)
        );
        assert_eq!(decode::<ToInit>(encode(&to, &mut buffer).unwrap()), Ok(to));
    }

    #[test]
    fn foreign_or_trailing_bytes_are_refused() {
        let mut buffer = [0; RECORD_MAX];
        let bytes = encode(&ToInit::Hello { version: 1 }, &mut buffer).unwrap();
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(decode::<ToInit>(&longer), Err(RecordError::Malformed));
        assert_eq!(decode::<ToInit>(&[250, 1, 2]), Err(RecordError::Malformed));
        assert_eq!(decode::<ToInit>(&[]), Err(RecordError::Malformed));
    }
}
