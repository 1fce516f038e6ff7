//! The life of one supervised unit: a service, or one of PID 1's own three.
//!
//! `step(event, now) -> actions`. Every (state, event) pair is written down; the outcome of an
//! action comes back as an event. A late, early or repeated [`Event::Time`] is harmless.
//!
//! | state | Start | Stop | Restart | Spawned | SpawnFailed | Ready | StepFailed | Exited | Time (due) |
//! |---|---|---|---|---|---|---|---|---|---|
//! | Idle | spawn | - | spawn | - | - | - | - | - | - |
//! | Starting | asked again | kill | kill, then spawn | pid | retry | Active | note | retry | kill |
//! | Active | - | signal | signal, then spawn | - | - | - | - | retry or Idle | count anew |
//! | Stopping | then spawn | then Idle | then spawn | pid, kill | Idle or spawn | - | note | Idle or spawn | kill |
//! | Restarting | spawn | Idle | spawn | - | - | - | - | - | spawn |

use crate::limits::{FAILED_STEP_EXIT_MS, KILL_RETRY_MS, START_MAX_MS};
use heapless::Vec;
use hearth_model::Tick;
use hearth_model::protocol::{RestartPolicy, RestartWhen};
use hearth_model::state::{Fault, LastExit, UnitState, UnitStatus};
use hearth_model::step::StepFailure;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants it to run.
    Start,
    /// Somebody wants it to end.
    Stop,
    /// Somebody wants it to end and run again.
    Restart,
    /// [`Action::Spawn`] made this process.
    Spawned(u32),
    /// [`Action::Spawn`] made no process.
    SpawnFailed(StepFailure),
    /// Its program was executed.
    Ready,
    /// A step of its start failed; its process is about to end.
    StepFailed(StepFailure),
    /// Its process was reaped.
    Exited(LastExit),
    /// Time passed.
    Time,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make its process and tell of it by [`Event::Spawned`] or [`Event::SpawnFailed`].
    Spawn,
    /// Ask its process to end.
    Signal,
    /// End its process (SIGKILL).
    Kill,
}

/// No step needs more than one.
pub type Actions = Vec<Action, 1>;

/// What to do when it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Rest,
    Start,
}

/// Who wanted the present run: it decides the name of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Person,
    Policy,
}

/// What does not change over its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// When to start it again.
    pub restart: RestartPolicy,
    /// Time between [`Action::Signal`] and [`Action::Kill`], milliseconds.
    pub stop_grace_ms: u32,
}

/// One supervised unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    terms: Terms,
    status: UnitStatus,
    then: Then,
    asked: Asked,
    failed_step: Option<StepFailure>,
    in_a_row: u32,
    started: Tick,
    deadline: Option<Tick>,
}

fn one(action: Action) -> Actions {
    // A Vec of one place takes one entry: this is `Ok` always.
    Actions::from_slice(&[action]).unwrap_or_default()
}

fn none() -> Actions {
    Actions::new()
}

impl Unit {
    /// An idle unit.
    #[must_use]
    pub fn new(terms: Terms, now: Tick) -> Unit {
        Unit {
            terms,
            status: UnitStatus {
                since: now,
                ..UnitStatus::default()
            },
            then: Then::Rest,
            asked: Asked::Policy,
            failed_step: None,
            in_a_row: 0,
            started: now,
            deadline: None,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn status(&self) -> UnitStatus {
        self.status
    }

    /// When [`Event::Time`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.deadline
    }

    /// Shortens the grace time, for when the machine goes down.
    pub fn limit_grace(&mut self, most_ms: u32) {
        self.terms.stop_grace_ms = self.terms.stop_grace_ms.min(most_ms);
    }

    /// Takes one event.
    pub fn step(&mut self, event: Event, now: Tick) -> Actions {
        match self.status.state {
            UnitState::Idle => self.idle(event, now),
            UnitState::Starting => self.starting(event, now),
            UnitState::Active => self.active(event, now),
            UnitState::Stopping => self.stopping(event, now),
            UnitState::Restarting => self.restarting(event, now),
        }
    }

    fn idle(&mut self, event: Event, now: Tick) -> Actions {
        match event {
            Event::Start | Event::Restart => self.spawn_for(Asked::Person, now),
            // Nothing runs, so there is nothing to end and no process to hear from.
            Event::Stop
            | Event::Spawned(_)
            | Event::SpawnFailed(_)
            | Event::Ready
            | Event::StepFailed(_)
            | Event::Exited(_)
            | Event::Time => none(),
        }
    }

    fn starting(&mut self, event: Event, now: Tick) -> Actions {
        match event {
            // It starts already; from now on it counts as asked for.
            Event::Start => {
                self.asked = Asked::Person;
                none()
            }
            // A program that is not there yet can not be asked: SIGKILL ends the launcher.
            Event::Stop => self.kill_then(Then::Rest, now),
            Event::Restart => self.kill_then(Then::Start, now),
            Event::Spawned(pid) => {
                self.status.pid = pid;
                self.deadline = Some(now.after_ms(START_MAX_MS));
                none()
            }
            Event::SpawnFailed(failure) => self.retry(LastExit::Step(failure), now),
            Event::Ready => {
                self.enter(UnitState::Active, now);
                self.status.fault = Fault::NoFault;
                self.deadline = Some(now.after_ms(u64::from(self.terms.restart.reset_after_ms)));
                none()
            }
            Event::StepFailed(failure) => {
                self.failed_step = Some(failure);
                self.deadline = Some(now.after_ms(FAILED_STEP_EXIT_MS));
                none()
            }
            Event::Exited(exit) => {
                let exit = self.failed_step.map_or(exit, LastExit::Step);
                self.retry(exit, now)
            }
            Event::Time => self.when_due(now, |unit| {
                unit.deadline = Some(now.after_ms(KILL_RETRY_MS));
                one(Action::Kill)
            }),
        }
    }

    fn active(&mut self, event: Event, now: Tick) -> Actions {
        match event {
            Event::Stop => self.signal_then(Then::Rest, now),
            Event::Restart => self.signal_then(Then::Start, now),
            Event::Exited(exit) => self.ended_by_itself(exit, now),
            Event::Time => self.when_due(now, |unit| {
                // ResetPeriod: a run this long forgets the failures before it.
                unit.in_a_row = 0;
                unit.deadline = None;
                none()
            }),
            // It runs, which is what Start asks for; the others are told once, while it starts.
            Event::Start
            | Event::Spawned(_)
            | Event::SpawnFailed(_)
            | Event::Ready
            | Event::StepFailed(_) => none(),
        }
    }

    fn stopping(&mut self, event: Event, now: Tick) -> Actions {
        match event {
            Event::Start | Event::Restart => {
                self.then = Then::Start;
                none()
            }
            Event::Stop => {
                self.then = Then::Rest;
                none()
            }
            Event::Spawned(pid) => {
                self.status.pid = pid;
                one(Action::Kill)
            }
            Event::SpawnFailed(failure) => self.ended_as_asked(LastExit::Step(failure), now),
            Event::StepFailed(failure) => {
                self.failed_step = Some(failure);
                none()
            }
            Event::Exited(exit) => self.ended_as_asked(exit, now),
            Event::Time => self.when_due(now, |unit| {
                unit.status.fault = Fault::FailureOnStop;
                unit.deadline = Some(now.after_ms(KILL_RETRY_MS));
                one(Action::Kill)
            }),
            // Its exec came after it was told to end: it has been killed and will be reaped.
            Event::Ready => none(),
        }
    }

    fn restarting(&mut self, event: Event, now: Tick) -> Actions {
        match event {
            Event::Start | Event::Restart => {
                self.in_a_row = 0;
                self.spawn_for(Asked::Person, now)
            }
            Event::Stop => {
                self.in_a_row = 0;
                self.rest(now);
                none()
            }
            Event::Time => self.when_due(now, |unit| {
                unit.status.restarts = unit.status.restarts.saturating_add(1);
                unit.spawn_for(Asked::Policy, now)
            }),
            // Its last process is reaped; there is none to hear from.
            Event::Spawned(_)
            | Event::SpawnFailed(_)
            | Event::Ready
            | Event::StepFailed(_)
            | Event::Exited(_) => none(),
        }
    }

    fn when_due(&mut self, now: Tick, work: impl FnOnce(&mut Unit) -> Actions) -> Actions {
        if self.deadline.is_some_and(|at| at <= now) {
            work(self)
        } else {
            none()
        }
    }

    fn enter(&mut self, state: UnitState, now: Tick) {
        self.status.state = state;
        self.status.since = now;
    }

    fn spawn_for(&mut self, asked: Asked, now: Tick) -> Actions {
        if asked == Asked::Person {
            self.status.restarts = 0;
        }
        self.asked = asked;
        self.failed_step = None;
        self.deadline = None;
        self.started = now;
        self.enter(UnitState::Starting, now);
        one(Action::Spawn)
    }

    fn signal_then(&mut self, then: Then, now: Tick) -> Actions {
        self.then = then;
        self.enter(UnitState::Stopping, now);
        self.deadline = Some(now.after_ms(u64::from(self.terms.stop_grace_ms)));
        one(Action::Signal)
    }

    fn kill_then(&mut self, then: Then, now: Tick) -> Actions {
        self.then = then;
        self.enter(UnitState::Stopping, now);
        self.deadline = Some(now.after_ms(KILL_RETRY_MS));
        one(Action::Kill)
    }

    fn rest(&mut self, now: Tick) {
        self.status.pid = 0;
        self.deadline = None;
        self.enter(UnitState::Idle, now);
    }

    /// It ended after somebody asked for it.
    fn ended_as_asked(&mut self, exit: LastExit, now: Tick) -> Actions {
        self.status.last_exit = exit;
        self.status.pid = 0;
        self.in_a_row = 0;
        match self.then {
            Then::Start => self.spawn_for(Asked::Person, now),
            Then::Rest => {
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
    fn ended_by_itself(&mut self, exit: LastExit, now: Tick) -> Actions {
        let again = match (self.terms.restart.when, exit) {
            (RestartWhen::Always, _) => true,
            (RestartWhen::Never, _) | (RestartWhen::OnFailure, LastExit::Code(0)) => false,
            (
                RestartWhen::OnFailure,
                LastExit::None | LastExit::Code(_) | LastExit::Signal(_) | LastExit::Step(_),
            ) => true,
        };
        if again {
            return self.retry(exit, now);
        }
        self.status.last_exit = exit;
        self.status.fault = match exit {
            LastExit::Code(0) => Fault::NoFault,
            LastExit::None | LastExit::Code(_) | LastExit::Signal(_) | LastExit::Step(_) => {
                Fault::FailureWhileActive
            }
        };
        self.rest(now);
        none()
    }

    /// Waits for the next try, counted from the last start, or gives up.
    fn retry(&mut self, exit: LastExit, now: Tick) -> Actions {
        let policy = self.terms.restart;
        let was_active = self.status.state == UnitState::Active;
        self.status.last_exit = exit;
        self.status.pid = 0;
        self.status.fault = match (was_active, self.asked) {
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

#[cfg(test)]
#[path = "unit_tests.rs"]
mod tests;
