//! What each event does to a service, phase by phase.

use super::admission::Refusal;
use super::needs::Needs;
use super::register::Wanted;
use super::service::{Asked, Cause, Phase, Row, Service, Trouble};
use super::{Action, Machine, Netpath, Object, overdue_at};
use crate::limits::INIT_ANSWER_MS;
use hearth_model::state::UnitState;
use hearth_model::{ServiceId, ServiceName, Tick};
use log::Level;

type Out<'a> = &'a mut Vec<Action>;

impl Machine {
    // --- people ---

    pub(super) fn start(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        service.wanted = Wanted::Running;
        for other in self.all_needed(id) {
            let Some(need) = self.services.get(&other) else {
                continue;
            };
            // One that runs, or will by itself, is left alone.
            if need.wanted == Wanted::Stopped || need.state() == UnitState::Idle {
                self.start_one(other, now, out);
            }
        }
        self.start_one(id, now, out);
    }

    fn start_one(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        service.wanted = Wanted::Running;
        if service.start_after_stop {
            // PID 1 has been told to end it, and has not said yet that it is over.
            return;
        }
        match (service.phase, service.status.state) {
            (Phase::Rest, UnitState::Idle) => self.begin(id, Cause::Person, now, out),
            (Phase::Rest, UnitState::Stopping) => service.stop_then_start(id, now, out),
            (
                Phase::Waiting {
                    asked: Asked::Stop | Asked::Withdraw,
                    ..
                },
                _,
            ) => service.start_after_stop = true,
            // It has not been asked to end yet.
            (Phase::WaitingForDependents { .. }, _) => service.phase = Phase::Rest,
            // It waits for its next try: try now.
            (Phase::Rest, UnitState::Restarting) => self.send_restart(id, now, out),
            (Phase::Rest, UnitState::Starting | UnitState::Active) => {}
            (
                Phase::MakingRoom
                | Phase::WaitingForNeeds { .. }
                | Phase::Preparing
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
        match self.services.get(&id).map(|service| {
            (
                service.phase,
                service.status.state,
                service.start_after_stop,
            )
        }) {
            // What it was about to end for is over.
            Some((
                Phase::Rest | Phase::WaitingForDependents { .. },
                UnitState::Starting | UnitState::Active | UnitState::Restarting,
                false,
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
        match (service.phase, service.status.state) {
            // One that is Stopping may be on its way to its next run.
            (Phase::Rest, UnitState::Starting | UnitState::Active | UnitState::Restarting | UnitState::Stopping)
            // PID 1 takes requests in order: the stop comes after what it was asked before.
            | (Phase::Waiting { asked: Asked::Start | Asked::Restart, .. }, _) => {
                self.end(id, Asked::Stop, now, out);
            }
            (Phase::Rest, UnitState::Idle) => self.settle(id, now, out),
            // It ends already, and this is why, now.
            (Phase::WaitingForDependents { until, .. }, _) => {
                service.phase = Phase::WaitingForDependents {
                    asked: Asked::Stop,
                    until,
                };
            }
            // PID 1 is told that it is to rest: it might start it again by itself.
            (Phase::Waiting { asked: Asked::Withdraw, .. }, _) => {
                self.end(id, Asked::Stop, now, out);
            }
            (Phase::Waiting { asked: Asked::Stop, .. }, _) => {}
            (
                Phase::MakingRoom
                | Phase::WaitingForNeeds { .. }
                | Phase::Preparing
                | Phase::WaitingForNetpath { .. }
                | Phase::Linking { .. }
                | Phase::Forwarding { .. },
                _,
            ) => {
                service.phase = Phase::Rest;
                self.settle(id, now, out);
            }
        }
    }

    // --- a start ---

    /// The first step of a start of something that is at rest.
    pub(super) fn begin(&mut self, id: ServiceId, cause: Cause, now: Tick, out: Out<'_>) {
        if let Some(service) = self.services.get_mut(&id) {
            // What was promised for its last run is asked for anew.
            service.admitted = None;
            // Its group is made anew.
            service.ranked = None;
        }
        if !self.may_begin(id, cause, now, out) {
            return;
        }
        let held = self.held(id);
        let bridged_elsewhere = self.bridged_elsewhere(id);
        let Some(service) = self.services.get(&id) else {
            return;
        };
        let verdict = match bridged_elsewhere {
            Some(other) => Err(Trouble::AddressTaken(other)),
            None => self
                .budget
                .admit(service.asks(), held)
                .map_err(|shortfalls| {
                    Trouble::Refused(Refusal {
                        service: service.name.clone(),
                        room: self.room(id, &shortfalls).0,
                        shortfalls,
                    })
                }),
        };
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        service.cause = cause;
        service.trouble = None;
        service.link_trouble = None;
        match verdict {
            Ok(admitted) => {
                service.admitted = Some(admitted);
                service.phase = Phase::Preparing;
                out.push(Action::Prepare(id));
            }
            Err(trouble) => self.fail(id, trouble, out),
        }
    }

    /// Whether what a service needs is there; else its start waits, or has failed.
    fn may_begin(&mut self, id: ServiceId, cause: Cause, now: Tick, out: Out<'_>) -> bool {
        let trouble = match (self.cycle(id), self.needs(id)) {
            (Some(way), _) => Trouble::Cycle(way),
            (None, Needs::Missing(missing)) => Trouble::Need(missing),
            (None, Needs::Met) => return true,
            (None, Needs::NotYet(_)) => {
                if let Some(service) = self.services.get_mut(&id) {
                    service.cause = cause;
                    service.trouble = None;
                    service.phase = Phase::WaitingForNeeds { since: now };
                }
                return false;
            }
        };
        if let Some(service) = self.services.get_mut(&id) {
            service.cause = cause;
        }
        self.fail(id, trouble, out);
        false
    }

    /// Another service that has the one address of bridged services (of its network: the home's, or the
    /// guests'), if this one wants it.
    fn bridged_elsewhere(&self, id: ServiceId) -> Option<ServiceName> {
        let bridged = |service: &Service| {
            let package = service.package.as_ref().filter(|p| p.is_bridged())?;
            Some(package.manifest.link())
        };
        let wanted = self.services.get(&id).and_then(bridged)?;
        let busy =
            |service: &Service| service.admitted.is_some() && bridged(service) == Some(wanted);
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
            | Phase::MakingRoom
            | Phase::WaitingForNeeds { .. }
            | Phase::WaitingForNetpath { .. }
            | Phase::Linking { .. }
            | Phase::Forwarding { .. }
            | Phase::Waiting { .. }
            | Phase::WaitingForDependents { .. } => {}
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

    /// [`Action::Prepare`] or [`Action::Launch`] failed; of a start that is not under way any more, nobody
    /// wants to know.
    pub(super) fn failed(&mut self, id: ServiceId, text: String, out: Out<'_>) {
        match self.services.get(&id).map(|service| service.phase) {
            Some(
                Phase::Preparing
                | Phase::Waiting {
                    asked: Asked::Start,
                    ..
                },
            ) => self.fail(id, Trouble::Prepare(text), out),
            Some(
                Phase::Rest
                | Phase::MakingRoom
                | Phase::WaitingForNeeds { .. }
                | Phase::WaitingForNetpath { .. }
                | Phase::Linking { .. }
                | Phase::Forwarding { .. }
                | Phase::Waiting {
                    asked: Asked::Stop | Asked::Restart | Asked::Withdraw,
                    ..
                }
                | Phase::WaitingForDependents { .. },
            )
            | None => {}
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
    pub(super) fn give_back(&mut self, id: ServiceId, out: Out<'_>) {
        if let Some(service) = self.services.get_mut(&id)
            && service.phase == Phase::Rest
            && !service.is_running()
            && service.admitted.take().is_some()
        {
            service.shared = None;
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
    pub(super) fn settle(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        if service.phase != Phase::Rest || service.is_running() {
            return;
        }
        if core::mem::take(&mut service.start_after_stop) {
            self.begin(id, Cause::Person, now, out);
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
        self.watch_time(now, out);
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
                Phase::Rest
                | Phase::MakingRoom
                | Phase::WaitingForNeeds { .. }
                | Phase::Preparing
                | Phase::WaitingForNetpath { .. }
                // `follow_needs` goes on.
                | Phase::WaitingForDependents { .. } => {}
            }
        }
    }
}

impl Service {
    /// Has PID 1 end its run and stay at rest, so that the next one is begun here. One that is ending may be on its
    /// way to a next run of PID 1's own, which is of before and takes no notice of what is to follow its end.
    pub(super) fn stop_then_start(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        self.start_after_stop = true;
        self.phase = Phase::Waiting {
            asked: Asked::Stop,
            until: now.after_ms(INIT_ANSWER_MS),
        };
        out.push(Action::SendStop(id));
    }
}
