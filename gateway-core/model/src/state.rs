//! States and faults of a running thing, in TR-181's words
//! (`Device.SoftwareModules.ExecutionUnit.{i}.`).

use crate::step::StepFailure;
use crate::units::Tick;
use core::fmt;
use serde::{Deserialize, Serialize};

/// `ExecutionUnit.{i}.Status`. `Restarting` is USP 2.16's: it waits for its next try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnitState {
    /// Not running and not asked to.
    #[default]
    Idle,
    /// Cloned: its sandbox is being built, or its program runs and is not ready ([`Readiness`]).
    Starting,
    /// Its program is running, and ready.
    Active,
    /// Told to end; its grace time runs.
    Stopping,
    /// Ended by itself or failed to start; waits for its next try.
    Restarting,
}

/// `ExecutionUnit.{i}.ExecutionFaultCode`, in the XML's spelling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fault {
    /// Nothing is wrong.
    #[default]
    NoFault,
    /// A start that a person asked for failed.
    FailureOnStart,
    /// A start after boot or crash failed.
    FailureOnAutoStart,
    /// It did not end in its grace time and was killed.
    FailureOnStop,
    /// It ended by itself while it should run.
    FailureWhileActive,
    /// A service it needs is not there.
    DependencyFailure,
    /// It can not be started: too many tries failed, or its package is damaged.
    UnStartable,
}

/// How the last run of a unit ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LastExit {
    /// It has not ended yet.
    #[default]
    None,
    /// It returned this status (wait(2)).
    Code(u8),
    /// This signal ended it (signal(7)).
    Signal(u8),
    /// It never ran: this step of its start failed.
    Step(StepFailure),
    /// It was not ready in time (`health.ready-within`) and was ended.
    NotReady,
    /// It gave no sign of life in time (`health.watchdog`), or asked for this end, and was killed.
    Hung,
}

/// What a program that runs still owes before its unit is Active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Readiness {
    /// Nothing, or nothing runs.
    #[default]
    NotAsked,
    /// The program runs and is not known to be ready; only in [`UnitState::Starting`].
    Awaited,
}

/// All that PID 1 knows of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitStatus {
    /// Where it is in its life.
    pub state: UnitState,
    /// What a Starting unit waits for.
    pub readiness: Readiness,
    /// Why it is not where it should be.
    pub fault: Fault,
    /// Its process, seen from PID 1; 0 where there is none.
    pub pid: u32,
    /// Starts by itself since it was last asked to start.
    pub restarts: u32,
    /// How the last run ended.
    pub last_exit: LastExit,
    /// When `state` was entered.
    pub since: Tick,
}

impl fmt::Display for UnitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            UnitState::Idle => "Idle",
            UnitState::Starting => "Starting",
            UnitState::Active => "Active",
            UnitState::Stopping => "Stopping",
            UnitState::Restarting => "Restarting",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Fault::NoFault => "NoFault",
            Fault::FailureOnStart => "FailureOnStart",
            Fault::FailureOnAutoStart => "FailureOnAutoStart",
            Fault::FailureOnStop => "FailureOnStop",
            Fault::FailureWhileActive => "FailureWhileActive",
            Fault::DependencyFailure => "DependencyFailure",
            Fault::UnStartable => "UnStartable",
        })
    }
}

impl fmt::Display for LastExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LastExit::None => f.write_str("-"),
            LastExit::Code(code) => write!(f, "exit status {code}"),
            LastExit::Signal(signal) => write!(f, "killed by signal {signal}"),
            LastExit::Step(failure) => write!(f, "{failure}"),
            LastExit::NotReady => f.write_str("not ready in time (health.ready-within)"),
            LastExit::Hung => f.write_str("no sign of life in time (health.watchdog)"),
        }
    }
}
