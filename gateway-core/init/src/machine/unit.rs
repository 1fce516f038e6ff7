//! The life of one supervised unit: a service, or one of PID 1's own three.
//!
//! `step(event, now) -> actions`. Every (state, event) pair is written down; the outcome of an
//! action comes back as an event. A late, early or repeated [`Event::Time`] is harmless. Starting is two
//! states: while the sandbox is built, and while the program that runs is not known to be ready.
//!
//! | state | Start | Stop | Withdraw | Restart | Spawned | SpawnFailed | Executed | StepFailed | Ready | Condemn | Exited | Time (due) |
//! |---|---|---|---|---|---|---|---|---|---|---|---|---|
//! | Idle | spawn | - | - | spawn | - | - | - | - | - | - | - | - |
//! | Starting, built | asked again | kill | kill, DependencyFailure | kill, then spawn | pid | retry | Active, or Starting and awaited | note | - | - | retry | kill |
//! | Starting, awaited | asked again | signal | signal, DependencyFailure | signal, then spawn | - | - | - | - | Active | NotReady: signal; Hung: kill; then retry | retry | - |
//! | Active | - | signal | signal, DependencyFailure | signal, then spawn | - | - | - | - | - | Hung: kill, then retry | retry or Idle | count anew |
//! | Stopping | then spawn | then Idle | DependencyFailure unless it is to rest | then spawn | pid, kill | as it is to end | - | note | - | - | as it is to end | kill |
//! | Restarting | spawn | Idle | Idle, DependencyFailure | spawn | - | - | - | - | - | - | - | spawn |

mod begins;
mod ends;

use crate::limits::{FAILED_STEP_EXIT_MS, KILL_RETRY_MS, START_MAX_MS};
use heapless::Vec;
use hearth_model::Tick;
use hearth_model::protocol::{ActiveWhen, Asked, Condemned, RestartPolicy};
use hearth_model::state::{Fault, LastExit, Readiness, UnitState, UnitStatus};
use hearth_model::step::StepFailure;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is to run: who asks.
    Start(Asked),
    /// Somebody wants it to end.
    Stop,
    /// It is to end, since what it needs is not there.
    Withdraw,
    /// Somebody wants it to end and run again.
    Restart,
    /// [`Action::Spawn`] made this process.
    Spawned(u32),
    /// [`Action::Spawn`] made no process.
    SpawnFailed(StepFailure),
    /// Its program was executed.
    Executed,
    /// The run of this process is ready.
    Ready(u32),
    /// The run of this process has failed and is to end.
    Condemn(u32, Condemned),
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
    /// Nothing.
    Rest,
    /// Nothing, and it is told that what it needs is not there.
    Withdrawn,
    /// Start it.
    Start,
    /// Its run has failed, for this reason, in this state: what its policy says.
    Retry(LastExit, UnitState),
}

/// What does not change over its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// When to start it again.
    pub restart: RestartPolicy,
    /// When it is Active.
    pub active: ActiveWhen,
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
            UnitState::Starting => match self.status.readiness {
                Readiness::NotAsked => self.starting(event, now),
                Readiness::Awaited => self.awaited(event, now),
            },
            UnitState::Active => self.active(event, now),
            UnitState::Stopping => self.stopping(event, now),
            UnitState::Restarting => self.restarting(event, now),
        }
    }

    fn idle(&mut self, event: Event, now: Tick) -> Actions {
        match event {
            Event::Start(asked) => self.spawn_for(asked, now),
            Event::Restart => self.spawn_for(Asked::Person, now),
            // Nothing runs, so there is nothing to end and no process to hear from.
            Event::Stop
            | Event::Withdraw
            | Event::Spawned(_)
            | Event::SpawnFailed(_)
            | Event::Executed
            | Event::Ready(_)
            | Event::Condemn(..)
            | Event::StepFailed(_)
            | Event::Exited(_)
            | Event::Time => none(),
        }
    }

    fn starting(&mut self, event: Event, now: Tick) -> Actions {
        match event {
            // It starts already; from now on it counts as asked for by this one.
            Event::Start(asked) => {
                self.asked = asked;
                none()
            }
            // A program that is not there yet can not be asked: SIGKILL ends the launcher.
            Event::Stop => self.kill_then(Then::Rest, now),
            Event::Withdraw => self.kill_then(Then::Withdrawn, now),
            Event::Restart => self.kill_then(Then::Start, now),
            Event::Spawned(pid) => {
                self.status.pid = pid;
                self.deadline = Some(now.after_ms(START_MAX_MS));
                none()
            }
            Event::SpawnFailed(failure) => {
                self.retry(LastExit::Step(failure), UnitState::Starting, now)
            }
            Event::Executed => match self.terms.active {
                ActiveWhen::Executed => self.is_active(now),
                ActiveWhen::Ready => {
                    // `since` stays: its program may have said that it is ready before this was heard.
                    self.status.readiness = Readiness::Awaited;
                    self.deadline = None;
                    none()
                }
            },
            Event::StepFailed(failure) => {
                self.failed_step = Some(failure);
                self.deadline = Some(now.after_ms(FAILED_STEP_EXIT_MS));
                none()
            }
            Event::Exited(exit) => {
                let exit = self.failed_step.map_or(exit, LastExit::Step);
                self.retry(exit, UnitState::Starting, now)
            }
            Event::Time => self.when_due(now, |unit| {
                unit.deadline = Some(now.after_ms(KILL_RETRY_MS));
                one(Action::Kill)
            }),
            // Only a program that runs can be ready or fail to be; these are late words of another run.
            Event::Ready(_) | Event::Condemn(..) => none(),
        }
    }

    /// Its program runs, and the manager has not said that it is ready.
    fn awaited(&mut self, event: Event, now: Tick) -> Actions {
        match event {
            Event::Start(asked) => {
                self.asked = asked;
                none()
            }
            Event::Stop => self.signal_then(Then::Rest, now),
            Event::Withdraw => self.signal_then(Then::Withdrawn, now),
            Event::Restart => self.signal_then(Then::Start, now),
            Event::Ready(pid) if pid == self.status.pid => self.is_active(now),
            Event::Condemn(pid, why) if pid == self.status.pid => match why {
                Condemned::NotReady => {
                    let then = Then::Retry(LastExit::NotReady, UnitState::Starting);
                    self.signal_then(then, now)
                }
                Condemned::Hung => {
                    let then = Then::Retry(LastExit::Hung, UnitState::Starting);
                    self.kill_then(then, now)
                }
            },
            Event::Exited(exit) => self.retry(exit, UnitState::Starting, now),
            // Another run's word; no time is set here, since the manager knows how long to wait; the
            // others are told once, before its program runs.
            Event::Ready(_)
            | Event::Condemn(..)
            | Event::Time
            | Event::Spawned(_)
            | Event::SpawnFailed(_)
            | Event::Executed
            | Event::StepFailed(_) => none(),
        }
    }

    fn active(&mut self, event: Event, now: Tick) -> Actions {
        match event {
            Event::Stop => self.signal_then(Then::Rest, now),
            Event::Withdraw => self.signal_then(Then::Withdrawn, now),
            Event::Restart => self.signal_then(Then::Start, now),
            Event::Condemn(pid, Condemned::Hung) if pid == self.status.pid => {
                let then = Then::Retry(LastExit::Hung, UnitState::Active);
                self.kill_then(then, now)
            }
            Event::Exited(exit) => self.ended_by_itself(exit, now),
            Event::Time => self.when_due(now, |unit| {
                // ResetPeriod: a run this long forgets the failures before it.
                unit.in_a_row = 0;
                unit.deadline = None;
                none()
            }),
            // It runs, which is what Start asks for; it is ready already, or another run was meant; the
            // others are told once, while it starts.
            Event::Start(_)
            | Event::Ready(_)
            | Event::Condemn(..)
            | Event::Spawned(_)
            | Event::SpawnFailed(_)
            | Event::Executed
            | Event::StepFailed(_) => none(),
        }
    }

    fn stopping(&mut self, event: Event, now: Tick) -> Actions {
        match event {
            Event::Start(_) | Event::Restart => {
                self.then = Then::Start;
                none()
            }
            Event::Stop => {
                self.then = Then::Rest;
                none()
            }
            Event::Withdraw => {
                self.then = match self.then {
                    // Somebody wants it to rest: then nothing is missing.
                    Then::Rest => Then::Rest,
                    Then::Withdrawn | Then::Start | Then::Retry(..) => Then::Withdrawn,
                };
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
            // It ends already, however it is.
            Event::Executed | Event::Ready(_) | Event::Condemn(..) => none(),
        }
    }

    fn restarting(&mut self, event: Event, now: Tick) -> Actions {
        match event {
            Event::Start(asked) => {
                self.in_a_row = 0;
                self.spawn_for(asked, now)
            }
            Event::Restart => {
                self.in_a_row = 0;
                self.spawn_for(Asked::Person, now)
            }
            Event::Stop => {
                self.in_a_row = 0;
                self.rest(now);
                none()
            }
            Event::Withdraw => {
                self.in_a_row = 0;
                self.status.fault = Fault::DependencyFailure;
                self.rest(now);
                none()
            }
            Event::Time => self.when_due(now, |unit| {
                unit.status.restarts = unit.status.restarts.saturating_add(1);
                unit.spawn_again(now)
            }),
            // Its last process is reaped; there is none to hear from.
            Event::Spawned(_)
            | Event::SpawnFailed(_)
            | Event::Executed
            | Event::Ready(_)
            | Event::Condemn(..)
            | Event::StepFailed(_)
            | Event::Exited(_) => none(),
        }
    }
}

#[cfg(test)]
#[path = "unit_tests.rs"]
mod tests;
