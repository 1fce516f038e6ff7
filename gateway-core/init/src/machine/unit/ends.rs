//! What follows the end of a run: rest, the start that was asked for, or the restart policy.

use super::{Actions, Then, Unit, none};
use hearth_model::Tick;
use hearth_model::protocol::{Asked, RestartWhen};
use hearth_model::state::{Fault, LastExit, UnitState};

impl Unit {
    pub(super) fn rest(&mut self, now: Tick) {
        self.status.pid = 0;
        self.deadline = None;
        self.enter(UnitState::Idle, now);
    }

    /// It ended after it was told to.
    pub(super) fn ended_as_asked(&mut self, exit: LastExit, now: Tick) -> Actions {
        self.status.pid = 0;
        if let Then::Retry(reason, was) = self.then {
            return self.retry(reason, was, now);
        }
        self.status.last_exit = exit;
        self.in_a_row = 0;
        match self.then {
            Then::Start => self.spawn_for(Asked::Person, now),
            Then::Withdrawn => {
                self.status.fault = Fault::DependencyFailure;
                self.rest(now);
                none()
            }
            Then::Rest | Then::Retry(..) => {
                // A stop that needed SIGKILL keeps its fault for the one who asks; others are over.
                if self.status.fault != Fault::FailureOnStop {
                    self.status.fault = Fault::NoFault;
                }
                self.rest(now);
                none()
            }
        }
    }

    /// It ended, though nobody asked for that.
    pub(super) fn ended_by_itself(&mut self, exit: LastExit, now: Tick) -> Actions {
        let again = match (self.terms.restart.when, exit) {
            (RestartWhen::Always, _) => true,
            (RestartWhen::Never, _) | (RestartWhen::OnFailure, LastExit::Code(0)) => false,
            (
                RestartWhen::OnFailure,
                LastExit::None
                | LastExit::Code(_)
                | LastExit::Signal(_)
                | LastExit::Step(_)
                | LastExit::NotReady
                | LastExit::Hung,
            ) => true,
        };
        if again {
            return self.retry(exit, UnitState::Active, now);
        }
        self.status.last_exit = exit;
        self.status.fault = match exit {
            LastExit::Code(0) => Fault::NoFault,
            LastExit::None
            | LastExit::Code(_)
            | LastExit::Signal(_)
            | LastExit::Step(_)
            | LastExit::NotReady
            | LastExit::Hung => Fault::FailureWhileActive,
        };
        self.rest(now);
        none()
    }

    /// A run failed in the state `was`: waits for the next try, counted from the last start, or
    /// gives up.
    pub(super) fn retry(&mut self, exit: LastExit, was: UnitState, now: Tick) -> Actions {
        let policy = self.terms.restart;
        self.status.last_exit = exit;
        self.status.pid = 0;
        self.status.fault = match (was == UnitState::Active, self.asked) {
            (true, _) => Fault::FailureWhileActive,
            (false, Asked::Person) => Fault::FailureOnStart,
            (false, Asked::Policy) => Fault::FailureOnAutoStart,
        };
        if policy.when == RestartWhen::Never {
            self.rest(now);
            return none();
        }
        if policy.retries_max > 0 && self.in_a_row >= policy.retries_max {
            self.status.fault = Fault::UnStartable;
            self.in_a_row = 0;
            self.rest(now);
            return none();
        }
        let wait = u64::from(policy.delay_min_ms)
            .checked_shl(self.in_a_row)
            .unwrap_or(u64::MAX)
            .clamp(
                u64::from(policy.delay_min_ms),
                u64::from(policy.delay_max_ms).max(1),
            );
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.enter(UnitState::Restarting, now);
        self.deadline = Some(self.started.after_ms(wait).max(now));
        none()
    }
}
