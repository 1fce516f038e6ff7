//! One service as the manager sees it: what is under way here, what PID 1 last said of it, and what
//! to tell a person.

use super::admission::{Admitted, Promise};
use super::killed::{Kills, SIGSYS};
use super::ranking::Rank;
use super::register::Wanted;
pub use super::trouble::Trouble;
use crate::limits::NETPATH_WAIT_MS;
use hearth_model::manifest::{Manifest, Network};
use hearth_model::protocol::{Forward, Link, NetworkShare};
use hearth_model::state::{Fault, LastExit, UnitState, UnitStatus};
use hearth_model::{Bytes, ServiceId, ServiceName, Tick};

/// A package that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// What it says of itself.
    pub manifest: Manifest,
    /// How netpath links it; `None` where it has no network.
    pub link: Option<Link>,
}

impl Package {
    /// The gateway's ports that are this service's.
    pub fn forwards(&self, id: ServiceId) -> impl Iterator<Item = Forward> {
        self.manifest.listen().iter().map(move |line| Forward {
            id,
            transport: line.transport,
            from: line.from,
            port: line.port,
            to_port: line.to_port,
        })
    }

    /// Whether it is a host of the home's network, or of the guests'.
    #[must_use]
    pub fn is_bridged(&self) -> bool {
        self.manifest.network() != Network::None && self.manifest.link().is_bridged()
    }
}

/// What was asked of PID 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To start it.
    Start,
    /// To end it.
    Stop,
    /// To end it and start it again.
    Restart,
}

/// What is under way in the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing: PID 1's last word is how it is.
    Rest,
    /// Others end, which makes room for it.
    MakingRoom,
    /// Its image, data folder and limits are being made.
    Preparing,
    /// Its link waits until netpath is there.
    WaitingForNetpath {
        /// Since when.
        since: Tick,
    },
    /// netpath was asked for its link.
    Linking {
        /// When the answer is overdue.
        until: Tick,
    },
    /// netpath was asked for its ports.
    Forwarding {
        /// Answers that have not come yet.
        left: usize,
        /// When they are overdue.
        until: Tick,
    },
    /// PID 1 was asked for something and has not said anything of the service since.
    Waiting {
        /// For what.
        asked: Asked,
        /// When its answer is overdue.
        until: Tick,
    },
}

/// Who asked for a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A person, just now.
    Person,
    /// The register or the manifest, at boot.
    Boot,
}

/// Whether PID 1 has a row for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// It has not.
    Absent,
    /// It has.
    Held,
}

/// A row of the manager's table.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Its package; `None` where PID 1 still runs it and the package is gone.
    pub package: Option<Package>,
    /// What the household or the manifest wants.
    pub wanted: Wanted,
    /// What is under way.
    pub phase: Phase,
    /// PID 1's last word.
    pub status: UnitStatus,
    /// Whether PID 1 has a row for it.
    pub row: Row,
    /// Why the last request came to nothing.
    pub trouble: Option<Trouble>,
    /// Why the link of a running service could not be made again.
    pub link_trouble: Option<String>,
    /// Who asked for the last start.
    pub cause: Cause,
    /// A start that was asked for while it was ending.
    pub start_after_stop: bool,
    /// What is promised to it.
    pub admitted: Option<Admitted>,
    /// What of its rank was told, and of which process: [`super::Action::Rank`].
    pub ranked: Option<(u32, Rank)>,
    /// Its part of the line that netpath was told; `None` while it has no link.
    pub shared: Option<NetworkShare>,
    /// Requests to netpath that are not answered.
    pub outstanding: usize,
    /// Answers among them that belong to earlier requests than the phase's.
    pub stale: usize,
    /// Kills for want of memory that were seen (`memory.events`).
    pub oom_kills: u64,
    /// Whether the last run ended by such a kill.
    pub ended_by_oom: bool,
    /// Processes of this run that were killed for a system call.
    pub kills: Kills,
}

impl Service {
    /// A service that PID 1 does not know.
    #[must_use]
    pub fn new(name: ServiceName, package: Option<Package>, wanted: Wanted) -> Service {
        Service {
            name,
            package,
            wanted,
            phase: Phase::Rest,
            status: UnitStatus::default(),
            row: Row::Absent,
            trouble: None,
            link_trouble: None,
            cause: Cause::Boot,
            start_after_stop: false,
            admitted: None,
            ranked: None,
            shared: None,
            outstanding: 0,
            stale: 0,
            oom_kills: 0,
            ended_by_oom: false,
            kills: Kills::default(),
        }
    }

    /// What its manifest asks to be guaranteed.
    #[must_use]
    pub fn asks(&self) -> Promise {
        self.package.as_ref().map_or(Promise::default(), |package| {
            Promise::of_manifest(&package.manifest)
        })
    }

    /// Whether netpath links it.
    #[must_use]
    pub fn has_link(&self) -> bool {
        self.package
            .as_ref()
            .is_some_and(|package| package.link.is_some())
    }

    /// Whether it has a process, or is about to get one or lose it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        match self.status.state {
            UnitState::Idle => false,
            UnitState::Starting
            | UnitState::Active
            | UnitState::Stopping
            | UnitState::Restarting => true,
        }
    }

    /// Takes PID 1's word.
    pub fn follow(&mut self, status: UnitStatus, oom_kills: u64) {
        const SIGKILL: u8 = 9;
        self.ended_by_oom = match status.state {
            UnitState::Starting | UnitState::Active => false,
            UnitState::Stopping | UnitState::Restarting | UnitState::Idle => {
                let by_kernel =
                    status.last_exit == LastExit::Signal(SIGKILL) && oom_kills > self.oom_kills;
                // The same end may be told again (Restarting, then Idle).
                by_kernel || (self.ended_by_oom && status.last_exit == self.status.last_exit)
            }
        };
        self.oom_kills = oom_kills;
        self.kills.follow(status.pid);
        self.status = status;
        self.row = Row::Held;
        match self.trouble {
            // Its end is a part of that.
            Some(Trouble::Undone(_)) => {}
            Some(_) | None => self.trouble = None,
        }
    }

    /// The state to show: the manager's part of a start is `Starting` too.
    #[must_use]
    pub fn state(&self) -> UnitState {
        match self.phase {
            Phase::Rest => self.status.state,
            Phase::MakingRoom
            | Phase::Preparing
            | Phase::WaitingForNetpath { .. }
            | Phase::Linking { .. }
            | Phase::Forwarding { .. } => UnitState::Starting,
            Phase::Waiting {
                asked: Asked::Start | Asked::Restart,
                ..
            } => UnitState::Starting,
            Phase::Waiting {
                asked: Asked::Stop, ..
            } => UnitState::Stopping,
        }
    }

    /// The fault to show.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match (&self.trouble, self.cause) {
            (None, _) => self.status.fault,
            (Some(_), Cause::Person) => Fault::FailureOnStart,
            (Some(_), Cause::Boot) => Fault::FailureOnAutoStart,
        }
    }

    /// Whether the last request has come to its end, good or bad.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.phase == Phase::Rest
            && !self.start_after_stop
            && match self.status.state {
                UnitState::Idle | UnitState::Active | UnitState::Restarting => true,
                UnitState::Starting | UnitState::Stopping => false,
            }
    }

    /// One sentence: why it is not as asked and what to do. Empty where all is well.
    #[must_use]
    pub fn message(&self, now: Tick) -> String {
        match self.phase {
            Phase::WaitingForNetpath { since } if now.since_ms(since) > NETPATH_WAIT_MS => {
                return "it waits for hearth-netpath, which makes its network link".to_owned();
            }
            Phase::Rest
            | Phase::MakingRoom
            | Phase::Preparing
            | Phase::WaitingForNetpath { .. }
            | Phase::Linking { .. }
            | Phase::Forwarding { .. }
            | Phase::Waiting { .. } => {}
        }
        if let Some(trouble) = &self.trouble {
            return trouble.words();
        }
        match self.state() {
            UnitState::Starting | UnitState::Active | UnitState::Stopping => self.running_message(),
            UnitState::Restarting => format!("{}; it is started again by itself", self.end()),
            UnitState::Idle => self.idle_message(),
        }
    }

    fn running_message(&self) -> String {
        match (&self.link_trouble, &self.package) {
            (Some(reason), _) => {
                let name = &self.name;
                format!("its network link is gone: {reason}; try `hearth restart {name}`")
            }
            (None, None) => "its package is gone; stop it, or install the package again".to_owned(),
            (None, Some(_)) => String::new(),
        }
    }

    fn idle_message(&self) -> String {
        let name = &self.name;
        match self.status.fault {
            Fault::NoFault => match (self.wanted, self.status.last_exit) {
                (Wanted::Stopped, _) | (Wanted::Running, LastExit::None) => String::new(),
                (Wanted::Running, _) => {
                    format!("{}, and its manifest asks for no new start", self.end())
                }
            },
            Fault::FailureOnStop => {
                "it did not end within its grace time (health.stop-grace) and was killed".to_owned()
            }
            Fault::UnStartable => format!(
                "{}; it failed too often and is left alone: see `hearth logs {name}`, then \
                 `hearth start {name}`",
                self.end()
            ),
            Fault::FailureOnStart
            | Fault::FailureOnAutoStart
            | Fault::FailureWhileActive
            | Fault::DependencyFailure => {
                format!("{}; see `hearth logs {name}`", self.end())
            }
        }
    }

    /// How the last run ended.
    fn end(&self) -> String {
        if self.ended_by_oom {
            let max = self
                .package
                .as_ref()
                .map_or(Bytes(0), |p| p.manifest.memory_max());
            return format!(
                "the kernel killed it, since it needed more memory than its limit of {max}; raise \
                 resources.memory.max in its manifest"
            );
        }
        match self.status.last_exit {
            LastExit::None => "it has not run".to_owned(),
            LastExit::Code(code) => format!("it ended with exit status {code}"),
            LastExit::Signal(SIGSYS) => self.kills.end(),
            LastExit::Signal(signal) => format!("it was killed by signal {signal}"),
            LastExit::Step(failure) => failure.to_string(),
        }
    }
}
