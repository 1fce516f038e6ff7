//! The manager's decisions, pure: [`Machine::step`] takes an [`Event`] and the time and returns the
//! [`Action`]s that the edge carries out. The outcome of an action is another event.
//!
//! Invariants: a start passes admission, then preparation, then its network link, then its ports,
//! then PID 1, in this order and never twice at once; what is promised is given back exactly when
//! the service neither runs nor is about to.

pub mod admission;
pub mod congestion;
pub mod doctor;
pub mod forwards;
pub mod killed;
pub mod lines;
pub mod needs;
pub mod networks;
pub mod notes;
pub mod pace;
pub mod ports;
pub mod promise;
pub mod rank;
pub mod ranking;
pub mod register;
pub mod room;
pub mod service;
pub mod trouble;
pub mod usage;
pub mod watch;

mod choice;
mod init;
mod life;
mod links;
mod relink;
mod sight;
#[cfg(test)]
mod tests;
mod told;

use admission::{Budget, Promise};
use core::fmt;
use hearth_model::protocol::{Forward, InitRefusal, Link, NetRefusal, NetworkShare, SystemUnit};
use hearth_model::state::UnitStatus;
use hearth_model::{BitsPerSec, Bytes, ServiceId, ServiceName, Tick};
use killed::Killed;
use log::Level;
use notes::Note;
use ranking::Rank;
use register::Wanted;
use room::Making;
use service::{Package, Phase, Service};
use std::collections::BTreeMap;
use watch::Outcome;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// PID 1 holds this service: told while it answers a Hello, and after a start was taken.
    InitService {
        /// Its row.
        id: ServiceId,
        /// Its name.
        name: ServiceName,
        /// Where it is.
        status: UnitStatus,
        /// Kills for want of memory, of its cgroup.
        oom_kills: u64,
    },
    /// PID 1 has told all that it holds.
    InitWelcomeEnd,
    /// A service changed.
    InitStatus {
        /// Which.
        id: ServiceId,
        /// Where it is now.
        status: UnitStatus,
        /// Kills for want of memory, of its cgroup.
        oom_kills: u64,
    },
    /// A system unit changed.
    InitSystem(SystemUnit, UnitStatus),
    /// PID 1 did not carry out a request.
    InitRefused(Option<ServiceId>, InitRefusal),
    /// netpath is connected; it knows nothing of what was asked before.
    NetUp,
    /// netpath is gone, and with it every answer that is due.
    NetDown,
    /// netpath made a link.
    Attached(ServiceId),
    /// netpath removed a link.
    Detached(ServiceId),
    /// netpath opened a port.
    Forwarded(ServiceId),
    /// netpath did not carry out a request.
    NetRefused(Option<ServiceId>, NetRefusal),
    /// [`Action::Prepare`] is done.
    Prepared(ServiceId),
    /// [`Action::Prepare`] or [`Action::Launch`] failed; the text says what, why and what to do.
    Failed(ServiceId, String),
    /// A person wants it to run.
    Start(ServiceId),
    /// A person wants it to run, and those to end that have to for it: [`Machine::plan_start`].
    StartWithRoom(ServiceId),
    /// A person wants it to end.
    Stop(ServiceId),
    /// A person wants it to run anew.
    Restart(ServiceId),
    /// The household ranks its services.
    Ranked(Vec<ServiceName>),
    /// The line carries this much, up and down; nothing where it is not known.
    Line(BitsPerSec, BitsPerSec),
    /// Services have other links: the gateway's own networks have changed.
    Relink(Vec<(ServiceId, Option<Link>)>),
    /// The kernel killed a process of this service for a system call.
    Killed(ServiceId, Killed),
    /// It said something at its notify socket.
    Noted(ServiceId, Note),
    /// A look at the run of this process, by port or probe, came to this.
    Looked(ServiceId, u32, Outcome),
    /// [`Machine::next_deadline`] has come.
    Deadline,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make image, data folder and limits; answer with [`Event::Prepared`] or [`Event::Failed`].
    Prepare(ServiceId),
    /// Send PID 1 the plan and its descriptors; answer with [`Event::Failed`] if they can not be made.
    Launch(ServiceId),
    /// Ask PID 1 to end it.
    SendStop(ServiceId),
    /// Ask PID 1 to end and start it.
    SendRestart(ServiceId),
    /// Ask PID 1 to end it, since what it needs is not there.
    SendWithdraw(ServiceId),
    /// What is found of the run of a process by its manifest.
    Watch(ServiceId, watch::Action),
    /// Ask PID 1 to give up its row.
    SendForget(ServiceId),
    /// Ask netpath for a link with this share of the line.
    Attach(ServiceId, Link, NetworkShare),
    /// Ask netpath to remove link and ports.
    Detach(ServiceId),
    /// Ask netpath for a port.
    Forward(Forward),
    /// Unmount its image and remove its cgroup, if nobody uses them.
    Release(ServiceName),
    /// Of all services together, this much memory is never taken away from now on, and this much last.
    Guarantee(Bytes, Bytes),
    /// Give a service what its rank means.
    Rank(ServiceId, Rank),
    /// Keep what is wanted of a service now.
    Keep(ServiceId, Wanted),
    /// Put a line into a service's own log.
    Note(ServiceName, String),
    /// Tell whoever looks after this gateway.
    Tell(Level, Object, String),
}

/// What a word to whoever looks after this gateway is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A service.
    Service(ServiceName),
    /// A part of the gateway: a process, a side, `gateway` for all of it.
    Part(&'static str),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Service(name) => write!(f, "service {name}"),
            Object::Part(part) => f.write_str(part),
        }
    }
}

/// Whether netpath can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Netpath {
    Down,
    Up,
}

/// Whether PID 1 has told all that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greeting {
    Open,
    Done,
}

/// Everything the manager decides from.
#[derive(Debug)]
pub struct Machine {
    budget: Budget,
    services: BTreeMap<ServiceId, Service>,
    system: BTreeMap<&'static str, (SystemUnit, UnitStatus)>,
    netpath: Netpath,
    greeting: Greeting,
    guaranteed: (Bytes, Bytes),
    /// What the household ranked, the most important first.
    ranking: Vec<ServiceName>,
    /// The start that others end for.
    making: Option<Making>,
}

impl Machine {
    /// A manager that has heard nothing yet and knows these packages and the household's ranking.
    #[must_use]
    pub fn new(
        budget: Budget,
        packages: Vec<(ServiceId, Package, Wanted)>,
        ranking: Vec<ServiceName>,
    ) -> Machine {
        let service = |(id, package, wanted): (ServiceId, Package, Wanted)| {
            let name = package.manifest.name().clone();
            (id, Service::new(name, Some(package), wanted))
        };
        Machine {
            budget,
            services: packages.into_iter().map(service).collect(),
            system: SystemUnit::ALL
                .into_iter()
                .map(|unit| (unit.name(), (unit, UnitStatus::default())))
                .collect(),
            netpath: Netpath::Down,
            greeting: Greeting::Open,
            guaranteed: (Bytes(0), Bytes(0)),
            ranking,
            making: None,
        }
    }

    /// The table.
    pub fn services(&self) -> impl Iterator<Item = (ServiceId, &Service)> {
        self.services.iter().map(|(&id, service)| (id, service))
    }

    /// One service.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.services.get(&id)
    }

    /// The number of the service with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ServiceId> {
        self.services()
            .find(|(_, service)| service.name.as_str() == name)
            .map(|(id, _)| id)
    }

    /// The system units, by name.
    pub fn system_units(&self) -> impl Iterator<Item = (SystemUnit, UnitStatus)> {
        self.system.values().copied()
    }

    /// What is promised to all services together.
    #[must_use]
    pub fn promised(&self) -> Promise {
        let all = self
            .services
            .values()
            .filter_map(|service| service.admitted.as_ref());
        all.fold(Promise::default(), |sum, admitted| {
            sum.and(admitted.promise())
        })
    }

    /// The budget it decides by.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The one way in.
    pub fn step(&mut self, event: Event, now: Tick) -> Vec<Action> {
        let mut actions = Vec::new();
        let out = &mut actions;
        match event {
            Event::InitService {
                id,
                name,
                status,
                oom_kills,
            } => {
                self.adopt(id, &name);
                self.follow(id, status, oom_kills, now, out);
            }
            Event::InitWelcomeEnd => self.boot(now, out),
            Event::InitStatus {
                id,
                status,
                oom_kills,
            } => {
                self.follow(id, status, oom_kills, now, out);
            }
            Event::InitSystem(unit, status) => self.follow_system(unit, status, out),
            Event::InitRefused(id, reason) => self.init_refused(id, reason, now, out),
            Event::NetUp => self.net_up(now, out),
            Event::NetDown => self.net_down(now),
            Event::Attached(id) => self.attached(id, now, out),
            Event::Detached(id) => {
                self.is_due(id);
            }
            Event::Forwarded(id) => self.forwarded(id, now, out),
            Event::NetRefused(id, reason) => self.net_refused(id, reason, out),
            Event::Prepared(id) => self.prepared(id, now, out),
            Event::Failed(id, text) => self.failed(id, text, out),
            Event::Start(id) => self.start(id, now, out),
            Event::Stop(id) => self.stop(id, now, out),
            Event::StartWithRoom(id) => self.start_with_room(id, now, out),
            Event::Restart(id) => self.restart(id, now, out),
            Event::Ranked(ranking) => self.rank(ranking),
            Event::Line(up, down) => self.budget.line(up, down),
            Event::Relink(links) => self.relink(links, now, out),
            Event::Killed(id, killed) => self.killed(id, killed, out),
            Event::Noted(id, note) => self.noted(id, note, now, out),
            Event::Looked(id, pid, outcome) => {
                self.watch(id, watch::Event::Looked(pid, outcome), now, out);
            }
            Event::Deadline => self.deadline(now, out),
        }
        self.follow_needs(now, out);
        self.make_room(now, out);
        self.try_refused(now, out);
        self.apply_ranks(out);
        actions
    }

    /// When to send [`Event::Deadline`] next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.services
            .values()
            .flat_map(|service| [overdue_at(service.phase), service.watch.next_deadline()])
            .flatten()
            .min()
    }
}

/// When the answer that a phase waits for is overdue.
fn overdue_at(phase: Phase) -> Option<Tick> {
    match phase {
        Phase::Rest
        | Phase::MakingRoom
        | Phase::WaitingForNeeds { .. }
        | Phase::Preparing
        | Phase::WaitingForNetpath { .. } => None,
        Phase::Linking { until }
        | Phase::Forwarding { until, .. }
        | Phase::Waiting { until, .. }
        | Phase::WaitingForDependents { until, .. } => Some(until),
    }
}
