//! One service as the manager sees it: what is under way here, what PID 1 last said of it, and what
//! to tell a person.

use super::admission::{Admitted, Promise};
use super::killed::Kills;
use super::ranking::Rank;
use super::register::Wanted;
pub use super::trouble::Trouble;
use super::watch::Watch;
use hearth_model::manifest::{Manifest, Network};
use hearth_model::protocol::{Forward, Link, NetworkShare};
use hearth_model::state::{Fault, LastExit, UnitState, UnitStatus};
use hearth_model::{ServiceId, ServiceName, Tick};

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
    /// To end it, since what it needs is not there.
    Withdraw,
}

/// What is under way in the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing: PID 1's last word is how it is.
    Rest,
    /// Others end, which makes room for it.
    MakingRoom,
    /// Its start waits until what it needs is Active.
    WaitingForNeeds {
        /// Since when.
        since: Tick,
    },
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
    /// It runs, and ends when those have ended that need it.
    WaitingForDependents {
        /// What PID 1 is asked for then.
        asked: Asked,
        /// When it is asked all the same.
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
    /// A start that follows its end, which PID 1 has been asked for.
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
    /// Whether its run is ready, and lives.
    pub watch: Watch,
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
            watch: Watch::default(),
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
            Some(Trouble::Undone(_) | Trouble::Need(_)) => {}
            Some(_) | None => self.trouble = None,
        }
    }

    /// The state to show: the manager's part of a start is `Starting` too.
    #[must_use]
    pub fn state(&self) -> UnitState {
        match self.phase {
            Phase::Rest => self.status.state,
            Phase::MakingRoom
            | Phase::WaitingForNeeds { .. }
            | Phase::Preparing
            | Phase::WaitingForNetpath { .. }
            | Phase::Linking { .. }
            | Phase::Forwarding { .. } => UnitState::Starting,
            Phase::Waiting {
                asked: Asked::Start | Asked::Restart,
                ..
            } => UnitState::Starting,
            Phase::Waiting {
                asked: Asked::Stop | Asked::Withdraw,
                ..
            }
            | Phase::WaitingForDependents { .. } => UnitState::Stopping,
        }
    }

    /// The fault to show.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match (&self.trouble, self.cause) {
            (None, _) => self.status.fault,
            (Some(Trouble::Need(_)), _) => Fault::DependencyFailure,
            (Some(Trouble::Cycle(_)), _) => Fault::UnStartable,
            (
                Some(
                    Trouble::Refused(_)
                    | Trouble::AddressTaken(_)
                    | Trouble::Prepare(_)
                    | Trouble::Network(_)
                    | Trouble::NetworkSilent
                    | Trouble::Init(_)
                    | Trouble::InitSilent
                    | Trouble::Undone(_),
                ),
                cause,
            ) => match cause {
                Cause::Person => Fault::FailureOnStart,
                Cause::Boot => Fault::FailureOnAutoStart,
            },
        }
    }

    /// Whether it does not run for want of another service.
    #[must_use]
    pub fn blames_a_need(&self) -> bool {
        match &self.trouble {
            Some(trouble) => matches!(trouble, Trouble::Need(_)),
            None => self.status.fault == Fault::DependencyFailure,
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
}
