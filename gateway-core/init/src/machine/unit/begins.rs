//! How a run begins, and how it is told to end.

use super::{Action, Actions, Then, Unit, none, one};
use crate::limits::KILL_RETRY_MS;
use hearth_model::Tick;
use hearth_model::protocol::Asked;
use hearth_model::state::{Fault, Readiness, UnitState};

impl Unit {
    pub(super) fn when_due(
        &mut self,
        now: Tick,
        work: impl FnOnce(&mut Unit) -> Actions,
    ) -> Actions {
        if self.deadline.is_some_and(|at| at <= now) {
            work(self)
        } else {
            none()
        }
    }

    pub(super) fn enter(&mut self, state: UnitState, now: Tick) {
        self.status.state = state;
        self.status.readiness = Readiness::NotAsked;
        self.status.since = now;
    }

    pub(super) fn is_active(&mut self, now: Tick) -> Actions {
        self.enter(UnitState::Active, now);
        self.status.fault = Fault::NoFault;
        self.deadline = Some(now.after_ms(u64::from(self.terms.restart.reset_after_ms)));
        none()
    }

    /// A run that somebody asked for.
    pub(super) fn spawn_for(&mut self, asked: Asked, now: Tick) -> Actions {
        self.status.restarts = 0;
        self.asked = asked;
        self.spawn(now)
    }

    /// A run that follows one that failed.
    pub(super) fn spawn_again(&mut self, now: Tick) -> Actions {
        self.asked = Asked::Policy;
        self.spawn(now)
    }

    pub(super) fn spawn(&mut self, now: Tick) -> Actions {
        self.failed_step = None;
        self.deadline = None;
        self.started = now;
        self.enter(UnitState::Starting, now);
        one(Action::Spawn)
    }

    pub(super) fn signal_then(&mut self, then: Then, now: Tick) -> Actions {
        self.then = then;
        self.enter(UnitState::Stopping, now);
        self.deadline = Some(now.after_ms(u64::from(self.terms.stop_grace_ms)));
        one(Action::Signal)
    }

    pub(super) fn kill_then(&mut self, then: Then, now: Tick) -> Actions {
        self.then = then;
        self.enter(UnitState::Stopping, now);
        self.deadline = Some(now.after_ms(KILL_RETRY_MS));
        one(Action::Kill)
    }
}
