//! Room for a service: whether it fits, which lower-ranked services would have to end, and the start
//! that ends exactly those. Where it fails, they are started again: nothing is half done.

use super::admission::{Promise, Refusal, Room, Shortfall, names};
use super::register::Wanted;
use super::service::{Cause, Phase, Trouble};
use super::{Action, Machine, choice};
use hearth_model::state::UnitState;
use hearth_model::{ServiceId, ServiceName, Tick};

type Out<'a> = &'a mut Vec<Action>;

/// What a start would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is promised before it.
    pub before: Promise,
    /// What would be promised after it, with what ends for it.
    pub after: Promise,
    /// Who would have to end for it, the lowest rank first.
    pub stops: Vec<ServiceId>,
    /// Why it does not start without that, if so.
    pub refusal: Option<Refusal>,
}

/// A start that waits for others to end, or has ended them.
#[derive(Debug)]
pub(super) struct Making {
    id: ServiceId,
    /// What the household wanted of it before.
    was: Wanted,
    /// Who ends for it, the lowest rank first.
    stops: Vec<ServiceId>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// They end.
    Ending,
    /// It starts.
    Starting,
    /// It did not: once it holds nothing any more, they are started again.
    Undoing,
}

impl Machine {
    /// What a start of this service would come to now; nothing changes.
    #[must_use]
    pub fn plan_start(&self, id: ServiceId) -> Plan {
        let before = self.promised();
        let mut plan = Plan {
            before,
            after: before,
            stops: Vec::new(),
            refusal: None,
        };
        let Some(service) = self.services.get(&id).filter(|s| s.admitted.is_none()) else {
            return plan;
        };
        let mut kept = before;
        if let Err(shortfalls) = self.budget.admit(service.asks(), self.held(id)) {
            let (room, stops) = self.room(id, &shortfalls);
            for admitted in stops.iter().filter_map(|&id| self.admitted(id)) {
                kept = kept.without(admitted);
            }
            plan.stops = stops;
            plan.refusal = Some(Refusal {
                service: service.name.clone(),
                shortfalls,
                room,
            });
        }
        if plan.refusal.is_none() || !plan.stops.is_empty() {
            plan.after = kept.and(service.asks());
        }
        plan
    }

    fn admitted(&self, id: ServiceId) -> Option<Promise> {
        let admitted = self.services.get(&id)?.admitted.as_ref()?;
        Some(admitted.promise())
    }

    /// What others than this one have, and the room that is being made for another one.
    pub(super) fn held(&self, id: ServiceId) -> Promise {
        let making = self.making.as_ref();
        let waiting = making.filter(|making| making.id != id && making.stage == Stage::Ending);
        let asks = waiting.and_then(|making| self.services.get(&making.id));
        let asks = asks.map_or(Promise::default(), |service| service.asks());
        self.promised().and(asks)
    }

    /// What would make room for a service that is short of these.
    pub(super) fn room(&self, id: ServiceId, short: &[Shortfall]) -> (Room, Vec<ServiceId>) {
        if short.iter().any(|short| !short.is_measured()) {
            return (Room::Unmeasured, Vec::new());
        }
        let most = self.budget.for_services();
        if short
            .iter()
            .any(|short| short.needed > most.of(short.resource))
        {
            return (Room::Never, Vec::new());
        }
        let ranked = self.ranked();
        let below = ranked.iter().rev().take_while(|&&other| other != id);
        let lower: Vec<(ServiceId, Promise)> = below
            .filter_map(|&other| Some((other, self.admitted(other)?)))
            .collect();
        let gives: Vec<Promise> = lower.iter().map(|(_, promise)| *promise).collect();
        let Some(places) = choice::fewest(short, &gives) else {
            return (Room::OnlyHigher, Vec::new());
        };
        let chosen = places.iter().filter_map(|&place| lower.get(place));
        let ids: Vec<ServiceId> = chosen.map(|(id, _)| *id).collect();
        (Room::Stop(self.names_of(&ids)), ids)
    }

    fn names_of(&self, ids: &[ServiceId]) -> Vec<ServiceName> {
        let name = |id| Some(self.services.get(id)?.name.clone());
        ids.iter().filter_map(name).collect()
    }

    /// The service for which room is being made.
    #[must_use]
    pub fn making_room_for(&self) -> Option<&ServiceName> {
        let making = self.making.as_ref()?;
        Some(&self.services.get(&making.id)?.name)
    }

    /// A person wants it to run, and what has to end for it; all of these wishes are kept already.
    pub(super) fn start_with_room(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        let stops = self.plan_start(id).stops;
        let at_rest = self.services.get_mut(&id).filter(|service| {
            (service.phase, service.status.state) == (Phase::Rest, UnitState::Idle)
        });
        match at_rest {
            Some(service) if !stops.is_empty() && self.making.is_none() => {
                let was = core::mem::replace(&mut service.wanted, Wanted::Running);
                service.cause = Cause::Person;
                service.trouble = None;
                service.phase = Phase::MakingRoom;
                for &stop in &stops {
                    self.stop(stop, now, out);
                }
                self.making = Some(Making {
                    id,
                    was,
                    stops,
                    stage: Stage::Ending,
                });
            }
            // Nothing has to end for it, or it is busy: then it is a start like any other.
            Some(_) | None => self.start(id, now, out),
        }
    }

    /// Goes on with a start that others end for, as far as it goes.
    pub(super) fn make_room(&mut self, now: Tick, out: Out<'_>) {
        while let Some(making) = &self.making {
            let (id, stage) = (making.id, making.stage);
            let next = match stage {
                Stage::Ending => self.ending(now, out),
                Stage::Starting => self.starting(now, out),
                Stage::Undoing => self.undoing(id, now, out),
            };
            match (next, &mut self.making) {
                (Some(next), Some(making)) if next != stage => making.stage = next,
                (Some(_), _) => return,
                (None, _) => self.making = None,
            }
        }
    }

    /// Whether all have ended that should.
    fn ending(&mut self, now: Tick, out: Out<'_>) -> Option<Stage> {
        let making = self.making.as_ref()?;
        let (id, service) = (making.id, self.services.get(&making.id)?);
        let mut rows = making.stops.iter().filter_map(|id| self.services.get(id));
        if service.phase != Phase::MakingRoom {
            // Somebody stopped it meanwhile.
            return Some(Stage::Undoing);
        }
        if let Some(row) = rows.clone().find(|row| row.trouble.is_some()) {
            let why = format!("{} did not end: {}", row.name, row.message(Tick(0)));
            self.undo(id, why, out);
            return Some(Stage::Undoing);
        }
        if rows.any(|row| row.admitted.is_some()) {
            return Some(Stage::Ending);
        }
        if let Some(service) = self.services.get_mut(&id) {
            service.phase = Phase::Rest;
            // What PID 1 runs already needs no start.
            if !service.is_running() {
                self.begin(id, Cause::Person, now, out);
            }
        }
        Some(Stage::Starting)
    }

    /// Whether it runs now; `None`: it does.
    fn starting(&mut self, now: Tick, out: Out<'_>) -> Option<Stage> {
        let id = self.making.as_ref()?.id;
        let service = self.services.get(&id)?;
        if service.wanted == Wanted::Stopped {
            // Somebody stopped it meanwhile.
            return Some(Stage::Undoing);
        }
        if service.phase != Phase::Rest {
            return Some(Stage::Starting);
        }
        match (service.status.state, &service.trouble) {
            (UnitState::Active, None) => None,
            (UnitState::Starting | UnitState::Stopping, None) => Some(Stage::Starting),
            (UnitState::Idle | UnitState::Restarting, None)
            | (
                UnitState::Idle
                | UnitState::Starting
                | UnitState::Active
                | UnitState::Stopping
                | UnitState::Restarting,
                Some(_),
            ) => {
                let why = service.message(now);
                self.stop(id, now, out);
                self.undo(id, why, out);
                Some(Stage::Undoing)
            }
        }
    }

    /// It will not run: what was wanted before is wanted again, and the reason is told.
    fn undo(&mut self, id: ServiceId, why: String, out: Out<'_>) {
        let (was, again) = match &self.making {
            Some(making) => (making.was, self.names_of(&making.stops)),
            None => return,
        };
        if let Some(service) = self.services.get_mut(&id) {
            service.wanted = was;
            if service.phase == Phase::MakingRoom {
                service.phase = Phase::Rest;
            }
            let again = names(&again);
            service.trouble = Some(Trouble::Undone(format!("{why}; {again} may run again")));
        }
        self.give_back(id, out);
    }

    /// Starts again who ended for it, once it holds nothing any more, the highest rank first; `None`
    /// then.
    fn undoing(&mut self, id: ServiceId, now: Tick, out: Out<'_>) -> Option<Stage> {
        let making = self.making.as_ref()?;
        if self.admitted(id).is_some() {
            return Some(Stage::Undoing);
        }
        let stops = making.stops.clone();
        if let Some(service) = self.services.get(&id) {
            out.push(Action::Keep(id, service.wanted));
        }
        self.making = None;
        for stop in stops.into_iter().rev() {
            self.start(stop, now, out);
            out.push(Action::Keep(stop, Wanted::Running));
        }
        None
    }

    /// Tries those again that should run and were refused, the highest rank first: something was given
    /// back, or the ranking has changed.
    pub(super) fn try_refused(&mut self, now: Tick, out: Out<'_>) {
        let refused =
            |service: &super::Service| matches!(service.trouble, Some(Trouble::Refused(_)));
        if self.making.is_some() || !self.services.values().any(refused) {
            // The room that is made now has an owner, or nobody waits for any.
            return;
        }
        for id in self.ranked() {
            let Some(service) = self.services.get(&id) else {
                continue;
            };
            let waits = refused(service)
                && service.wanted == Wanted::Running
                && (service.phase, service.status.state) == (Phase::Rest, UnitState::Idle);
            if waits && self.budget.admit(service.asks(), self.held(id)).is_ok() {
                let cause = service.cause;
                self.begin(id, cause, now, out);
            }
        }
    }
}
