//! What a start tells PID 1 of a service's life: when it is Active, when it is started again, who asked.

use crate::ids::{ServiceId, ServiceName};
use serde::{Deserialize, Serialize};

/// When PID 1 starts a unit again by itself (TR-181 `ExecutionUnit.{i}.AutoRestart.`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// Which ends are followed by a new start.
    pub when: RestartWhen,
    /// `RetryMinimumWaitInterval`, milliseconds: least time from a start to the first new one.
    /// Who has run for longer is started again at once.
    pub delay_min_ms: u32,
    /// `RetryMaximumWaitInterval`, milliseconds: with each try that time doubles up to this.
    pub delay_max_ms: u32,
    /// `MaximumRetryCount`: after so many in a row it is given up as `UnStartable`; 0 = never.
    pub retries_max: u32,
    /// `ResetPeriod`, milliseconds: a run this long makes the count start anew.
    pub reset_after_ms: u32,
}

/// Which ends are followed by a new start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartWhen {
    /// Every end that nobody asked for.
    Always,
    /// Only a signal, a failed start or a status other than 0.
    OnFailure,
    /// None.
    Never,
}

impl RestartPolicy {
    /// What a service gets whose manifest says nothing.
    pub const DEFAULT: RestartPolicy = RestartPolicy {
        when: RestartWhen::Always,
        delay_min_ms: 500,
        delay_max_ms: 30_000,
        retries_max: 10,
        reset_after_ms: 60_000,
    };
}

/// Where a service's network namespace comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkNs {
    /// A descriptor of one that netpath made travels with the record.
    Passed,
    /// A new, empty one with only loopback.
    Empty,
}

/// Whether a service has a notify socket. PID 1 keeps it over a crash of the manager; it reads nothing
/// from it, but empties it before each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notify {
    /// A descriptor of it travels with the record.
    Passed,
    /// It has none.
    None,
}

/// When a service is Active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActiveWhen {
    /// As soon as its program was executed.
    Executed,
    /// When the manager says [`ToInit::Ready`].
    Ready,
}

/// Who asked for a start: it decides the name of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    /// A person.
    Person,
    /// The boot, a policy, or a service that came back.
    Policy,
}

/// Why a run is ended that nobody asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condemned {
    /// It is not ready in time. It is asked to end, as for a stop.
    NotReady,
    /// It gives no sign of life, so it is not asked but killed.
    Hung,
}

/// All that PID 1 has to know to start a service, and to start it again without the manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartService {
    /// Its row.
    pub id: ServiceId,
    /// Its name, for logs.
    pub name: ServiceName,
    /// When to start it again.
    pub restart: RestartPolicy,
    /// Signal that asks it to end (signal(7)), 1 to 64.
    pub stop_signal: u8,
    /// Time it gets after that signal, milliseconds.
    pub stop_grace_ms: u32,
    /// Its network namespace.
    pub network: NetworkNs,
    /// Its notify socket.
    pub notify: Notify,
    /// When it is Active.
    pub active: ActiveWhen,
    /// Who asks for this start.
    pub asked: Asked,
    /// How many services stand below it, each needing the next: when the machine goes down, those with
    /// the highest number end first.
    pub depth: u8,
}
