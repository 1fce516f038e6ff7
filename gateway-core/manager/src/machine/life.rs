//! What each event does to a service, phase by phase.

use super::admission::Admitted;
use super::register::Wanted;
use super::service::{Asked, Cause, Phase, Row, Service, Trouble};
use super::{Action, Greeting, Machine, Netpath, Object, overdue_at};
use crate::limits::INIT_ANSWER_MS;
use hearth_model::protocol::{InitRefusal, SystemUnit};
use hearth_model::state::{Fault, UnitState, UnitStatus};
use hearth_model::{ServiceId, ServiceName, Tick};
use log::Level;

type Out<'a> = &'a mut Vec<Action>;

/// PID 1, as an object of what is told.
const INIT: &str = "hearth-init";

impl Machine {
    // --- PID 1 ---

    /// PID 1 holds something that has no package any more: it is a row all the same.
    pub(super) fn adopt(&mut self, id: ServiceId, name: &ServiceName) {
        let orphan = || Service::new(name.clone(), None, Wanted::Running);
        self.services.entry(id).or_insert_with(orphan);
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
        let before = (service.status.state, service.status.pid);
        service.follow(status, oom_kills);
        service.phase = match service.phase {
            Phase::Rest | Phase::Waiting { .. } => Phase::Rest,
            // A word about an earlier run does not end what is under way for the next one.
            Phase::Preparing
            | Phase::WaitingForNetpath { .. }
            | Phase::Linking { .. }
            | Phase::Forwarding { .. } => service.phase,
        };
        if service.is_running() && service.admitted.is_none() {
            service.admitted = Some(Admitted::running(service.asks()));
        }
        if before != (status.state, status.pid) {
            out.push(told(service, now));
        }
        self.settle(id, out);
    }

    /// PID 1 has told all: start what should run and does not, stop what should not and does.
    pub(super) fn boot(&mut self, now: Tick, out: Out<'_>) {
        self.greeting = Greeting::Done;
        let ids: Vec<ServiceId> = self.services.keys().copied().collect();
        for id in ids {
            let Some(service) = self.services.get(&id) else {
                continue;
            };
            match (service.wanted, service.row, service.is_running()) {
                (Wanted::Running, Row::Absent, _) => self.begin(id, Cause::Boot, out),
                // It ended by itself, or was given up: the manager's own restart changes nothing.
                (Wanted::Running, Row::Held, _) => {}
                (Wanted::Stopped, _, true) => self.stop(id, now, out),
                (Wanted::Stopped, _, false) => self.settle(id, out),
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
                    asked: Asked::Stop, ..
                },
                InitRefusal::Unknown,
            ) => {
                service.phase = Phase::Rest;
                service.row = Row::Absent;
                service.status = UnitStatus::default();
                self.settle(id, out);
            }
            (Phase::Waiting { .. }, reason) => self.fail(id, Trouble::Init(reason), out),
            (
                Phase::Rest
                | Phase::Preparing
                | Phase::WaitingForNetpath { .. }
                | Phase::Linking { .. }
                | Phase::Forwarding { .. },
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

    // --- people ---

    pub(super) fn start(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        service.wanted = Wanted::Running;
        match (service.phase, service.status.state) {
            (Phase::Rest, UnitState::Idle) => self.begin(id, Cause::Person, out),
            (Phase::Rest, UnitState::Stopping)
            | (
                Phase::Waiting {
                    asked: Asked::Stop, ..
                },
                _,
            ) => service.start_after_stop = true,
            // It waits for its next try: try now.
            (Phase::Rest, UnitState::Restarting) => self.send_restart(id, now, out),
            (Phase::Rest, UnitState::Starting | UnitState::Active) => {}
            (
                Phase::Preparing
                | Phase::WaitingForNetpath { .. }
                | Phase::Linking { .. }
                | Phase::Forwarding { .. }
                | Phase::Waiting {
                    asked: Asked::Start | Asked::Restart,
                    ..
                },
                _,
            ) => {}
        }
    }

    pub(super) fn restart(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        match self
            .services
            .get(&id)
            .map(|service| (service.phase, service.status.state))
        {
            Some((
                Phase::Rest,
                UnitState::Starting | UnitState::Active | UnitState::Restarting,
            )) => {
                if let Some(service) = self.services.get_mut(&id) {
                    service.wanted = Wanted::Running;
                }
                self.send_restart(id, now, out);
            }
            // Nothing runs, or a start is under way: then a start is the same.
            Some(_) => self.start(id, now, out),
            None => {}
        }
    }

    fn send_restart(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        if let Some(service) = self.services.get_mut(&id) {
            service.cause = Cause::Person;
            service.trouble = None;
            service.phase = Phase::Waiting {
                asked: Asked::Restart,
                until: now.after_ms(INIT_ANSWER_MS),
            };
            out.push(Action::SendRestart(id));
        }
    }

    pub(super) fn stop(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        service.wanted = Wanted::Stopped;
        service.start_after_stop = false;
        service.trouble = None;
        let asked = Phase::Waiting {
            asked: Asked::Stop,
            until: now.after_ms(INIT_ANSWER_MS),
        };
        match (service.phase, service.status.state) {
            (Phase::Rest, UnitState::Starting | UnitState::Active | UnitState::Restarting)
            // PID 1 takes requests in order: the stop comes after what it was asked before.
            | (Phase::Waiting { asked: Asked::Start | Asked::Restart, .. }, _) => {
                service.phase = asked;
                out.push(Action::SendStop(id));
            }
            (Phase::Rest, UnitState::Idle) => self.settle(id, out),
            (Phase::Rest, UnitState::Stopping)
            | (Phase::Waiting { asked: Asked::Stop, .. }, _) => {}
            (
                Phase::Preparing
                | Phase::WaitingForNetpath { .. }
                | Phase::Linking { .. }
                | Phase::Forwarding { .. },
                _,
            ) => {
                service.phase = Phase::Rest;
                self.settle(id, out);
            }
        }
    }

    // --- a start ---

    /// The first step of a start of something that is at rest.
    pub(super) fn begin(&mut self, id: ServiceId, cause: Cause, out: Out<'_>) {
        if let Some(service) = self.services.get_mut(&id) {
            // What was promised for its last run is asked for anew.
            service.admitted = None;
        }
        let promised = self.promised();
        let bridged_elsewhere = self.bridged_elsewhere(id);
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        service.cause = cause;
        service.trouble = None;
        service.link_trouble = None;
        let verdict = match bridged_elsewhere {
            Some(other) => Err(Trouble::AddressTaken(other)),
            None => self
                .budget
                .admit(&service.name, service.asks(), promised)
                .map_err(Trouble::Refused),
        };
        match verdict {
            Ok(admitted) => {
                service.admitted = Some(admitted);
                service.phase = Phase::Preparing;
                out.push(Action::Prepare(id));
            }
            Err(trouble) => self.fail(id, trouble, out),
        }
    }

    /// Another service that has the one address of bridged services, if this one wants it.
    fn bridged_elsewhere(&self, id: ServiceId) -> Option<ServiceName> {
        let bridged = |service: &Service| service.package.as_ref().is_some_and(|p| p.is_bridged());
        self.services.get(&id).filter(|service| bridged(service))?;
        let busy = |service: &Service| service.admitted.is_some() && bridged(service);
        self.services()
            .find(|&(other, service)| other != id && busy(service))
            .map(|(_, service)| service.name.clone())
    }

    pub(super) fn prepared(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        match service.phase {
            Phase::Preparing if service.has_link() => self.attach(id, now, out),
            Phase::Preparing => self.launch(id, now, out),
            // It was stopped meanwhile.
            Phase::Rest
            | Phase::WaitingForNetpath { .. }
            | Phase::Linking { .. }
            | Phase::Forwarding { .. }
            | Phase::Waiting { .. } => {}
        }
    }

    pub(super) fn launch(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        if let Some(service) = self.services.get_mut(&id) {
            service.phase = Phase::Waiting {
                asked: Asked::Start,
                until: now.after_ms(INIT_ANSWER_MS),
            };
            out.push(Action::Launch(id));
        }
    }

    /// A request came to nothing; the service is as it was.
    pub(super) fn fail(&mut self, id: ServiceId, trouble: Trouble, out: Out<'_>) {
        if let Some(service) = self.services.get_mut(&id) {
            service.phase = Phase::Rest;
            service.start_after_stop = false;
            service.trouble = Some(trouble);
            let object = Object::Service(service.name.clone());
            out.push(Action::Tell(Level::Warn, object, service.message(Tick(0))));
            self.give_back(id, out);
        }
    }

    /// Takes back what only a running service has.
    fn give_back(&mut self, id: ServiceId, out: Out<'_>) {
        if let Some(service) = self.services.get_mut(&id)
            && service.phase == Phase::Rest
            && !service.is_running()
            && service.admitted.take().is_some()
        {
            if service.has_link() && self.netpath == Netpath::Up {
                service.outstanding += 1;
                out.push(Action::Detach(id));
            }
            if service.row == Row::Absent {
                out.push(Action::Release(service.name.clone()));
            }
        }
    }

    /// What follows from being at rest and not running: a start that was waited for, or the end.
    fn settle(&mut self, id: ServiceId, out: Out<'_>) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        if service.phase != Phase::Rest || service.is_running() {
            return;
        }
        if core::mem::take(&mut service.start_after_stop) {
            self.begin(id, Cause::Person, out);
            return;
        }
        let is_over = service.wanted == Wanted::Stopped || service.package.is_none();
        if is_over && service.row == Row::Held {
            service.row = Row::Absent;
            out.push(Action::SendForget(id));
            if service.admitted.is_none() {
                out.push(Action::Release(service.name.clone()));
            }
        }
        self.give_back(id, out);
        // Nothing is left of a service without a package.
        if self
            .services
            .get(&id)
            .is_some_and(|s| s.package.is_none() && s.row == Row::Absent)
        {
            self.services.remove(&id);
        }
    }

    // --- time ---

    pub(super) fn deadline(&mut self, now: Tick, out: Out<'_>) {
        let late: Vec<(ServiceId, Phase)> = self
            .services()
            .filter(|(_, service)| overdue_at(service.phase).is_some_and(|until| until <= now))
            .map(|(id, service)| (id, service.phase))
            .collect();
        for (id, phase) in late {
            match phase {
                Phase::Linking { .. } | Phase::Forwarding { .. } => {
                    self.fail(id, Trouble::NetworkSilent, out);
                }
                Phase::Waiting { .. } => self.fail(id, Trouble::InitSilent, out),
                Phase::Rest | Phase::Preparing | Phase::WaitingForNetpath { .. } => {}
            }
        }
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
