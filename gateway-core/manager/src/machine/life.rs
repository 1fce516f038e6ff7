//! What each event does to a service, phase by phase.

use super::admission::Refusal;
use super::register::Wanted;
use super::service::{Asked, Cause, Phase, Row, Service, Trouble};
use super::{Action, Machine, Netpath, Object, overdue_at};
use crate::limits::INIT_ANSWER_MS;
use hearth_model::protocol::Link;
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
                Phase::MakingRoom
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
                Phase::MakingRoom
                | Phase::Preparing
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

    // --- the gateway's own networks ---

    /// Services have other links. What runs with an old one is ended and started anew: its addresses, its gates
    /// and what its plan says of the home are of before. What the household wants stays.
    pub(super) fn relink(
        &mut self,
        links: Vec<(ServiceId, Option<Link>)>,
        now: Tick,
        out: Out<'_>,
    ) {
        for (id, link) in links {
            let Some(service) = self.services.get_mut(&id) else {
                continue;
            };
            let Some(package) = &mut service.package else {
                continue;
            };
            package.link = link;
            if link.is_none() {
                continue;
            }
            match (service.phase, service.status.state) {
                (Phase::Rest, UnitState::Starting | UnitState::Active | UnitState::Restarting)
                | (
                    Phase::Waiting {
                        asked: Asked::Start | Asked::Restart,
                        ..
                    },
                    _,
                ) => {
                    service.start_after_stop = true;
                    service.phase = Phase::Waiting {
                        asked: Asked::Stop,
                        until: now.after_ms(INIT_ANSWER_MS),
                    };
                    out.push(Action::SendStop(id));
                }
                // What is promised to it stays so.
                (
                    Phase::WaitingForNetpath { .. }
                    | Phase::Linking { .. }
                    | Phase::Forwarding { .. },
                    _,
                ) => {
                    service.phase = Phase::Preparing;
                    out.push(Action::Prepare(id));
                }
                // Its next start is with the new link; a start that was waited for too.
                (Phase::Rest, UnitState::Idle | UnitState::Stopping)
                | (
                    Phase::Waiting {
                        asked: Asked::Stop, ..
                    },
                    _,
                )
                | (Phase::Preparing | Phase::MakingRoom, _) => {}
            }
        }
    }

    // --- a start ---

    /// The first step of a start of something that is at rest.
    pub(super) fn begin(&mut self, id: ServiceId, cause: Cause, out: Out<'_>) {
        if let Some(service) = self.services.get_mut(&id) {
            // What was promised for its last run is asked for anew.
            service.admitted = None;
            // Its group is made anew.
            service.ranked = None;
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
    pub(super) fn settle(&mut self, id: ServiceId, out: Out<'_>) {
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
                Phase::Rest
                | Phase::MakingRoom
                | Phase::Preparing
                | Phase::WaitingForNetpath { .. } => {}
            }
        }
    }
}
