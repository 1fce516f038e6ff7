//! What PID 1's words do to a service: who runs already, what has become of a request.

use super::admission::Admitted;
use super::register::Wanted;
use super::service::{Asked, Cause, Phase, Row, Service, Trouble};
use super::watch;
use super::{Action, Greeting, Machine, Netpath, Object};
use hearth_model::protocol::{InitRefusal, SystemUnit};
use hearth_model::state::{Fault, UnitState, UnitStatus};
use hearth_model::{ServiceId, ServiceName, Tick};
use log::Level;

type Out<'a> = &'a mut Vec<Action>;

/// PID 1, as an object of what is told.
const INIT: &str = "hearth-init";

impl Machine {
    /// PID 1 holds something that has no package any more: it is a row all the same.
    pub(super) fn adopt(&mut self, id: ServiceId, name: &ServiceName) {
        let orphan = || Service::new(name.clone(), None, Wanted::Running);
        self.services.entry(id).or_insert_with(orphan);
    }

    /// What PID 1 runs by this name without a package in the table is wanted no more: it ends at
    /// [`super::Event::InitWelcomeEnd`].
    pub fn part_with(&mut self, name: &ServiceName) {
        let orphans = self.services.values_mut();
        for orphan in orphans.filter(|s| s.package.is_none() && s.name == *name) {
            orphan.wanted = Wanted::Stopped;
        }
    }

    pub(super) fn follow(
        &mut self,
        id: ServiceId,
        status: UnitStatus,
        oom_kills: u64,
        now: Tick,
        out: Out<'_>,
    ) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        let before = (
            service.status.state,
            service.status.readiness,
            service.status.pid,
        );
        service.follow(status, oom_kills);
        service.phase = match service.phase {
            Phase::Rest | Phase::Waiting { .. } => Phase::Rest,
            // `follow_needs` goes on from there.
            Phase::WaitingForDependents { .. } => service.phase,
            // A word about an earlier run does not end what is under way for the next one.
            Phase::MakingRoom
            | Phase::WaitingForNeeds { .. }
            | Phase::Preparing
            | Phase::WaitingForNetpath { .. }
            | Phase::Linking { .. }
            | Phase::Forwarding { .. } => service.phase,
        };
        if service.is_running() && service.admitted.is_none() {
            service.admitted = Some(Admitted::running(service.asks()));
        }
        if before != (status.state, status.readiness, status.pid) {
            out.push(told(service, now));
        }
        self.watch(id, watch::Event::Status(status), now, out);
        self.settle(id, now, out);
    }

    /// PID 1 has told all: start what should run and does not, stop what should not and does.
    pub(super) fn boot(&mut self, now: Tick, out: Out<'_>) {
        self.greeting = Greeting::Done;
        // What must end first: it gives back what others wait for.
        let (mut stops, starts): (Vec<ServiceId>, Vec<ServiceId>) =
            self.ranked().into_iter().partition(|id| {
                self.services
                    .get(id)
                    .is_some_and(|s| s.wanted == Wanted::Stopped)
            });
        stops.extend(starts);
        for id in stops {
            let Some(service) = self.services.get(&id) else {
                continue;
            };
            match (service.wanted, service.row, service.is_running()) {
                (Wanted::Running, Row::Absent, _) => self.begin(id, Cause::Boot, now, out),
                // It ended by itself, or was given up: the manager's own restart changes nothing.
                (Wanted::Running, Row::Held, _) => {}
                (Wanted::Stopped, _, true) => self.stop(id, now, out),
                (Wanted::Stopped, _, false) => self.settle(id, now, out),
            }
        }
        if self.netpath == Netpath::Up {
            self.net_up(now, out);
        }
    }

    pub(super) fn init_refused(
        &mut self,
        id: Option<ServiceId>,
        reason: InitRefusal,
        now: Tick,
        out: Out<'_>,
    ) {
        let Some((id, service)) = id.and_then(|id| Some((id, self.services.get_mut(&id)?))) else {
            out.push(Action::Tell(
                Level::Error,
                Object::Part(INIT),
                format!("refused a request: {reason}"),
            ));
            return;
        };
        match (service.phase, reason) {
            (
                Phase::Waiting {
                    asked: Asked::Stop | Asked::Withdraw,
                    ..
                },
                InitRefusal::Unknown,
            ) => {
                service.phase = Phase::Rest;
                service.row = Row::Absent;
                service.status = UnitStatus::default();
                self.settle(id, now, out);
            }
            (Phase::Waiting { .. }, reason) => self.fail(id, Trouble::Init(reason), out),
            (
                Phase::Rest
                | Phase::MakingRoom
                | Phase::WaitingForNeeds { .. }
                | Phase::Preparing
                | Phase::WaitingForNetpath { .. }
                | Phase::Linking { .. }
                | Phase::Forwarding { .. }
                | Phase::WaitingForDependents { .. },
                reason,
            ) => {
                let object = Object::Service(service.name.clone());
                let text = format!("hearth-init refused: {reason}");
                out.push(Action::Tell(Level::Warn, object, text));
            }
        }
    }

    /// A part of the gateway has another process, or none.
    pub(super) fn follow_system(&mut self, unit: SystemUnit, status: UnitStatus, out: Out<'_>) {
        let before = self.system.insert(unit.name(), (unit, status));
        let was = before.map_or(UnitStatus::default(), |(_, was)| was);
        if (was.state, was.pid) == (status.state, status.pid) {
            return;
        }
        let level = match status.state {
            UnitState::Restarting | UnitState::Idle => Level::Warn,
            UnitState::Starting | UnitState::Active | UnitState::Stopping => Level::Info,
        };
        let text = format!("{} pid={}", status.state, status.pid);
        out.push(Action::Tell(level, Object::Part(unit.name()), text));
    }
}

fn told(service: &Service, now: Tick) -> Action {
    let status = service.status;
    let message = service.message(now);
    let (level, end) = match (status.fault, message.as_str()) {
        (Fault::NoFault, "") => (Level::Info, String::new()),
        (Fault::NoFault, text) => (Level::Info, format!(": {text}")),
        (_, text) => (Level::Warn, format!(": {text}")),
    };
    Action::Tell(
        level,
        Object::Service(service.name.clone()),
        format!("{} pid={}{end}", status.state, status.pid),
    )
}
