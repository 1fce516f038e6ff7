//! Dependencies between services (`service.needs`): who starts after whom, who ends before whom, and what
//! becomes of a service whose need is not there.
//!
//! A start waits until each need is Active. A need that is being started again by itself keeps nobody from
//! running; one that is stopped, has failed or is given up ends those that need it, before it ends itself
//! where it can still choose. They start again by themselves when it is Active again. A person's start
//! starts what is needed too. Needs that come round to where they began are refused.

use super::register::Wanted;
use super::service::{Asked, Cause, Phase, Row, Service, Trouble};
use super::{Action, Greeting, Machine};
use crate::limits::{DEPENDENTS_WAIT_MS, INIT_ANSWER_MS};
use hearth_model::state::{Fault, UnitState};
use hearth_model::{ServiceId, ServiceName, Tick};

type Out<'a> = &'a mut Vec<Action>;

/// Why a need is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No such package.
    NotInstalled(ServiceName),
    /// The household stopped it.
    Stopped(ServiceName),
    /// It has failed, in the words of its fault.
    Failed(ServiceName, Fault),
}

/// Whether what a service needs is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// All of it is Active.
    Met,
    /// This one is on its way.
    NotYet(ServiceName),
    /// Not without somebody's doing.
    Missing(Missing),
}

impl Missing {
    /// One sentence, behind the service's name.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Missing::NotInstalled(name) => format!(
                "it needs {name}, which is not installed; install it, or remove it from service.needs"
            ),
            Missing::Stopped(name) => {
                format!("it needs {name}, which is stopped; `hearth start {name}` brings both back")
            }
            Missing::Failed(name, fault) => format!(
                "it needs {name}, which does not run ({fault}; see `hearth status {name}`); it starts by \
                 itself when {name} does"
            ),
        }
    }
}

impl Machine {
    /// Whether what this service needs is there.
    #[must_use]
    pub fn needs(&self, id: ServiceId) -> Needs {
        let needed = self.services.get(&id).and_then(|s| s.package.as_ref());
        let needed = needed.map_or(&[][..], |package| package.manifest.needs());
        let mut verdict = Needs::Met;
        for name in needed {
            match self.need(name) {
                Needs::Met => {}
                waits @ Needs::NotYet(_) => verdict = waits,
                missing @ Needs::Missing(_) => return missing,
            }
        }
        verdict
    }

    fn need(&self, name: &ServiceName) -> Needs {
        let row = self
            .find(name.as_str())
            .and_then(|id| self.services.get(&id));
        let Some(row) = row else {
            return Needs::Missing(Missing::NotInstalled(name.clone()));
        };
        if row.wanted == Wanted::Stopped {
            return Needs::Missing(Missing::Stopped(name.clone()));
        }
        match (row.phase, row.status.state, row.row) {
            (Phase::Rest, UnitState::Active, _) => Needs::Met,
            // It has ended, or its start came to nothing.
            (Phase::Rest, UnitState::Idle, Row::Held) => {
                Needs::Missing(Missing::Failed(name.clone(), row.fault()))
            }
            (Phase::Rest, UnitState::Idle, Row::Absent) if row.trouble.is_some() => {
                Needs::Missing(Missing::Failed(name.clone(), row.fault()))
            }
            (
                Phase::Rest
                | Phase::MakingRoom
                | Phase::WaitingForNeeds { .. }
                | Phase::Preparing
                | Phase::WaitingForNetpath { .. }
                | Phase::Linking { .. }
                | Phase::Forwarding { .. }
                | Phase::Waiting { .. }
                | Phase::WaitingForDependents { .. },
                _,
                _,
            ) => Needs::NotYet(name.clone()),
        }
    }

    /// The way from a service back to itself by needs, if there is one.
    #[must_use]
    pub fn cycle(&self, id: ServiceId) -> Option<Vec<ServiceName>> {
        let mut seen = Vec::new();
        let mut way = Vec::new();
        self.find_way(id, id, &mut seen, &mut way).then_some(way)
    }

    /// Whether `to` can be reached from `from`; the way is left in `way`, with both of its ends.
    fn find_way(
        &self,
        from: ServiceId,
        to: ServiceId,
        seen: &mut Vec<ServiceId>,
        way: &mut Vec<ServiceName>,
    ) -> bool {
        let Some(service) = self.services.get(&from) else {
            return false;
        };
        seen.push(from);
        way.push(service.name.clone());
        for next in self.needed_by(from) {
            if next == to {
                way.extend(self.services.get(&to).map(|service| service.name.clone()));
                return true;
            }
            if !seen.contains(&next) && self.find_way(next, to, seen, way) {
                return true;
            }
        }
        way.pop();
        false
    }

    /// What a service needs itself, as far as it is installed.
    fn needed_by(&self, id: ServiceId) -> Vec<ServiceId> {
        let package = self.services.get(&id).and_then(|s| s.package.as_ref());
        let needs = package.map_or(&[][..], |package| package.manifest.needs());
        needs
            .iter()
            .filter_map(|name| self.find(name.as_str()))
            .collect()
    }

    /// All that has to run for a service, the deepest need first; without the service itself.
    #[must_use]
    pub fn all_needed(&self, id: ServiceId) -> Vec<ServiceId> {
        let mut order = Vec::new();
        let mut seen = vec![id];
        self.collect_needed(id, &mut seen, &mut order);
        order
    }

    fn collect_needed(&self, id: ServiceId, seen: &mut Vec<ServiceId>, order: &mut Vec<ServiceId>) {
        for next in self.needed_by(id) {
            if !seen.contains(&next) {
                seen.push(next);
                self.collect_needed(next, seen, order);
                order.push(next);
            }
        }
    }

    /// The longest way down from a service by needs: those with none are 0. PID 1 ends the deepest first
    /// when the machine goes down.
    #[must_use]
    pub fn depth(&self, id: ServiceId) -> u8 {
        self.depth_below(id, &mut Vec::new())
    }

    fn depth_below(&self, id: ServiceId, above: &mut Vec<ServiceId>) -> u8 {
        if above.contains(&id) {
            // A cycle; none of it runs.
            return 0;
        }
        above.push(id);
        let below = self.needed_by(id).into_iter();
        let deepest = below.map(|next| self.depth_below(next, above).saturating_add(1));
        let depth = deepest.max().unwrap_or(0);
        above.pop();
        depth
    }

    /// Who runs and needs this service.
    fn running_dependents(&self, id: ServiceId) -> Vec<ServiceId> {
        let Some(name) = self.services.get(&id).map(|service| &service.name) else {
            return Vec::new();
        };
        let needs_it = |service: &Service| {
            let package = service.package.as_ref();
            package.is_some_and(|package| package.manifest.needs().contains(name))
        };
        self.services()
            .filter(|(other, service)| *other != id && service.is_running() && needs_it(service))
            .map(|(other, _)| other)
            .collect()
    }

    /// Ends a service that runs, after those that need it.
    pub(super) fn end(&mut self, id: ServiceId, asked: Asked, now: Tick, out: Out<'_>) {
        let waiting = Phase::WaitingForDependents {
            asked,
            until: now.after_ms(DEPENDENTS_WAIT_MS),
        };
        if let Some(service) = self.services.get_mut(&id) {
            // Before the others, so that a ring of needs ends here.
            service.phase = waiting;
        }
        let dependents = self.running_dependents(id);
        for &other in &dependents {
            self.withdraw(other, now, out);
        }
        if dependents.is_empty() {
            self.send_end(id, asked, now, out);
        }
    }

    /// Ends a service, since what it needs is not there.
    fn withdraw(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        let ends = match (service.phase, service.status.state) {
            (Phase::Rest, UnitState::Starting | UnitState::Active | UnitState::Restarting)
            | (
                Phase::Waiting {
                    asked: Asked::Start | Asked::Restart,
                    ..
                },
                _,
            ) => true,
            // It ends, or nothing of it runs.
            (Phase::Rest, UnitState::Idle | UnitState::Stopping)
            | (
                Phase::MakingRoom
                | Phase::WaitingForNeeds { .. }
                | Phase::Preparing
                | Phase::WaitingForNetpath { .. }
                | Phase::Linking { .. }
                | Phase::Forwarding { .. }
                | Phase::Waiting {
                    asked: Asked::Stop | Asked::Withdraw,
                    ..
                }
                | Phase::WaitingForDependents { .. },
                _,
            ) => false,
        };
        if ends {
            self.end(id, Asked::Withdraw, now, out);
        }
    }

    fn send_end(&mut self, id: ServiceId, asked: Asked, now: Tick, out: Out<'_>) {
        if let Some(service) = self.services.get_mut(&id) {
            service.phase = Phase::Waiting {
                asked,
                until: now.after_ms(INIT_ANSWER_MS),
            };
            out.push(match asked {
                Asked::Withdraw => Action::SendWithdraw(id),
                Asked::Start | Asked::Stop | Asked::Restart => Action::SendStop(id),
            });
        }
    }

    /// What follows from where everyone is now: starts and ends that waited for others, and those whose
    /// needs are gone.
    pub(super) fn follow_needs(&mut self, now: Tick, out: Out<'_>) {
        if self.greeting == Greeting::Open {
            // Who runs is not known yet.
            return;
        }
        // One service's change may be the next one's; each round changes at least one of them for good.
        for _ in 0..=self.services.len() {
            let ids: Vec<ServiceId> = self.services.keys().copied().collect();
            let before = out.len();
            for id in ids {
                self.follow_need(id, now, out);
            }
            if out.len() == before {
                return;
            }
        }
    }

    fn follow_need(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        let Some(service) = self.services.get(&id) else {
            return;
        };
        if let Phase::WaitingForDependents { asked, until } = service.phase {
            if !service.is_running() {
                if let Some(service) = self.services.get_mut(&id) {
                    service.phase = Phase::Rest;
                }
                self.settle(id, now, out);
            } else if until <= now || self.running_dependents(id).is_empty() {
                self.send_end(id, asked, now, out);
            }
            return;
        }
        let has_needs = |package: &super::service::Package| !package.manifest.needs().is_empty();
        if !service.package.as_ref().is_some_and(has_needs) {
            return;
        }
        let (phase, state, cause) = (service.phase, service.status.state, service.cause);
        let blames_a_need = service.blames_a_need();
        let wanted = service.wanted == Wanted::Running;
        match (phase, state, self.needs(id)) {
            (Phase::WaitingForNeeds { .. }, _, Needs::Met) => self.begin(id, cause, now, out),
            (
                Phase::WaitingForNeeds { .. }
                | Phase::Preparing
                | Phase::WaitingForNetpath { .. }
                | Phase::Linking { .. }
                | Phase::Forwarding { .. },
                _,
                Needs::Missing(missing),
            ) => self.fail(id, Trouble::Need(missing), out),
            (
                Phase::Rest,
                UnitState::Starting | UnitState::Active | UnitState::Restarting,
                Needs::Missing(missing),
            ) => {
                if let Some(service) = self.services.get_mut(&id) {
                    service.trouble = Some(Trouble::Need(missing));
                }
                self.withdraw(id, now, out);
            }
            (Phase::Rest, UnitState::Idle, needs) if wanted && blames_a_need => match needs {
                Needs::Met | Needs::NotYet(_) => self.begin(id, Cause::Boot, now, out),
                Needs::Missing(missing) => {
                    if let Some(service) = self.services.get_mut(&id) {
                        service.trouble = Some(Trouble::Need(missing));
                    }
                }
            },
            (
                Phase::Rest
                | Phase::MakingRoom
                | Phase::WaitingForNeeds { .. }
                | Phase::Preparing
                | Phase::WaitingForNetpath { .. }
                | Phase::Linking { .. }
                | Phase::Forwarding { .. }
                | Phase::Waiting { .. }
                | Phase::WaitingForDependents { .. },
                UnitState::Idle
                | UnitState::Starting
                | UnitState::Active
                | UnitState::Stopping
                | UnitState::Restarting,
                Needs::Met | Needs::NotYet(_) | Needs::Missing(_),
            ) => {}
        }
    }
}
