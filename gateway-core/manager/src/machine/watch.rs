//! Whether a run of a service is ready, and whether it lives: from what it says, shows or answers, by its
//! manifest. Pure: [`Watch::step`] takes an event and the time and returns at most one action.
//!
//! | stage | Run | Active | Over | Ready | Stopping | Alive | Hung | Status | Looked: good | bad | Time (due) |
//! |---|---|---|---|---|---|---|---|---|---|---|---|
//! | Off | Waiting | Watching | - | - | - | - | - | keep | - | - | - |
//! | Waiting | same run: - | Watching | Off | tell, if it is asked for | Leaving | - | condemn | keep | tell | look later | look, or condemn |
//! | Told | same run: - | Watching | Off | - | Leaving | - | condemn | keep | - | - | - |
//! | Watching | Waiting | same run: - | Off | - | Leaving | count anew | condemn | keep | - | - | condemn |
//! | Leaving | same run: - | same run: - | Off | - | - | - | condemn | keep | - | - | - |
//! | Condemned | same run: - | same run: - | Off | - | - | - | - | keep | - | - | - |
//!
//! Another run than the one that is watched begins anew from any stage. Times are the manager's: while it
//! is away nobody is condemned, and the next manager gives each its time again, since it reads first what
//! was said meanwhile.

use super::notes::Note;
use crate::limits::{LOOK_AFTER_MAX_MS, LOOK_AFTER_MIN_MS, PROBE_ANSWER_MS, WATCH_AGAIN_MS};
use hearth_model::Tick;
use hearth_model::gate::Served;
use hearth_model::manifest::{Manifest, Ready};
use hearth_model::protocol::Condemned;
use hearth_model::state::{Readiness, UnitState, UnitStatus};

/// What a manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    ready: Ready,
    within_ms: u64,
    watchdog_ms: Option<u64>,
}

impl Terms {
    /// Those of this manifest; without one nothing is asked.
    #[must_use]
    pub fn of(manifest: Option<&Manifest>) -> Terms {
        let Some(manifest) = manifest else {
            return Terms {
                ready: Ready::Executed,
                within_ms: 0,
                watchdog_ms: None,
            };
        };
        Terms {
            ready: manifest.ready().clone(),
            within_ms: u64::from(manifest.ready_within_ms()),
            watchdog_ms: manifest.watchdog_ms().map(u64::from),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// PID 1 told where the service is.
    Status(UnitStatus),
    /// The service said something.
    Note(Note),
    /// [`Action::LookAtPort`] or [`Action::Probe`] came to this, for the run of this process.
    Looked(u32, Outcome),
    /// [`Watch::next_deadline`] may have come.
    Time,
}

/// What a look at a service found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is ready.
    Good,
    /// It is not, yet.
    Bad,
}

/// What to do about the run of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tell PID 1 that it is ready.
    TellReady(u32),
    /// Have PID 1 end it.
    Condemn(u32, Condemned),
    /// See whether it listens at this port.
    LookAtPort(u32, Served),
    /// Execute its probe.
    Probe(u32),
}

/// Where the watched run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is watched.
    Off,
    /// It is not ready.
    Waiting {
        /// When it has failed.
        until: Tick,
        /// When to look for it, where it does not say so itself.
        look_at: Tick,
        /// Time to the look after that, milliseconds.
        pause_ms: u64,
    },
    /// PID 1 was told that it is ready.
    Told,
    /// It is Active.
    Watching {
        /// When it has to have given a sign of life, if it has to give any.
        until: Option<Tick>,
    },
    /// It has said that it ends.
    Leaving,
    /// PID 1 was told to end it.
    Condemned,
}

/// The watch over one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    stage: Stage,
    /// The process of the run; 0 where none is watched.
    pid: u32,
    /// What it says of itself.
    said: String,
    /// When `READY=1` was said that was not waited for: perhaps by a run of which PID 1 has not told yet.
    early: Option<Tick>,
}

impl Default for Watch {
    fn default() -> Watch {
        Watch {
            stage: Stage::Off,
            pid: 0,
            said: String::new(),
            early: None,
        }
    }
}

impl Watch {
    /// Where the watched run is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The last `STATUS=` of the run; empty where it has said nothing.
    #[must_use]
    pub fn said(&self) -> &str {
        &self.said
    }

    /// When [`Event::Time`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        match self.stage {
            Stage::Waiting { until, look_at, .. } => Some(until.min(look_at)),
            Stage::Watching { until } => until,
            Stage::Off | Stage::Told | Stage::Leaving | Stage::Condemned => None,
        }
    }

    /// Takes one event.
    pub fn step(&mut self, terms: &Terms, event: Event, now: Tick) -> Option<Action> {
        match event {
            Event::Status(status) => self.follow(terms, status, now),
            Event::Note(Note::Status(text)) => {
                self.said = text;
                None
            }
            Event::Note(Note::Ready) => match (self.stage, &terms.ready) {
                (Stage::Waiting { .. }, Ready::Notify) => self.tell_ready(),
                // Of this run it is known; but another one may be faster than PID 1's word about it.
                (_, Ready::Notify) => {
                    self.early = Some(now);
                    None
                }
                // Its readiness is shown in another way.
                (_, Ready::Executed | Ready::Port(_) | Ready::Exec(_)) => None,
            },
            Event::Note(Note::Stopping) => {
                self.stage = match self.stage {
                    Stage::Waiting { .. } | Stage::Told | Stage::Watching { .. } => Stage::Leaving,
                    stage @ (Stage::Off | Stage::Leaving | Stage::Condemned) => stage,
                };
                None
            }
            Event::Note(Note::Alive) => {
                if let Stage::Watching { until } = &mut self.stage {
                    *until = terms.watchdog_ms.map(|ms| now.after_ms(ms));
                }
                None
            }
            Event::Note(Note::Hung) => match self.stage {
                Stage::Waiting { .. } | Stage::Told | Stage::Watching { .. } | Stage::Leaving => {
                    self.condemn(Condemned::Hung)
                }
                Stage::Off | Stage::Condemned => None,
            },
            Event::Looked(pid, outcome) if pid == self.pid => self.looked(outcome, now),
            // A look at an earlier run.
            Event::Looked(..) => None,
            Event::Time => self.time(terms, now),
        }
    }

    fn follow(&mut self, terms: &Terms, status: UnitStatus, now: Tick) -> Option<Action> {
        let another = status.pid != self.pid;
        if another {
            *self = Watch {
                pid: status.pid,
                early: self.early,
                ..Watch::default()
            };
        }
        match (status.state, status.readiness) {
            (UnitState::Starting, Readiness::Awaited) if self.stage == Stage::Off => {
                // The run may have waited for long while no manager was there to see it ready.
                let soon = now.after_ms(terms.within_ms.min(WATCH_AGAIN_MS));
                self.stage = Stage::Waiting {
                    until: status.since.after_ms(terms.within_ms).max(soon),
                    look_at: match terms.ready {
                        Ready::Notify => Tick(u64::MAX),
                        Ready::Executed | Ready::Port(_) | Ready::Exec(_) => now,
                    },
                    pause_ms: LOOK_AFTER_MIN_MS,
                };
                if self.early.take().is_some_and(|at| at >= status.since) {
                    return self.tell_ready();
                }
            }
            (UnitState::Active, _) => match self.stage {
                Stage::Off | Stage::Waiting { .. } | Stage::Told => {
                    self.stage = Stage::Watching {
                        until: terms.watchdog_ms.map(|ms| now.after_ms(ms)),
                    };
                }
                Stage::Watching { .. } | Stage::Leaving | Stage::Condemned => {}
            },
            // The launcher still runs, or this is known.
            (UnitState::Starting, Readiness::NotAsked | Readiness::Awaited) => {}
            (UnitState::Idle | UnitState::Stopping | UnitState::Restarting, _) => {
                self.stage = Stage::Off;
            }
        }
        None
    }

    fn tell_ready(&mut self) -> Option<Action> {
        self.stage = Stage::Told;
        Some(Action::TellReady(self.pid))
    }

    fn condemn(&mut self, why: Condemned) -> Option<Action> {
        self.stage = Stage::Condemned;
        Some(Action::Condemn(self.pid, why))
    }

    fn looked(&mut self, outcome: Outcome, now: Tick) -> Option<Action> {
        match (&mut self.stage, outcome) {
            (Stage::Waiting { .. }, Outcome::Good) => self.tell_ready(),
            (
                Stage::Waiting {
                    look_at, pause_ms, ..
                },
                Outcome::Bad,
            ) => {
                *look_at = now.after_ms(*pause_ms);
                *pause_ms = pause_ms.saturating_mul(2).min(LOOK_AFTER_MAX_MS);
                None
            }
            (
                Stage::Off
                | Stage::Told
                | Stage::Watching { .. }
                | Stage::Leaving
                | Stage::Condemned,
                Outcome::Good | Outcome::Bad,
            ) => None,
        }
    }

    fn time(&mut self, terms: &Terms, now: Tick) -> Option<Action> {
        match &mut self.stage {
            Stage::Waiting { until, .. } if *until <= now => self.condemn(Condemned::NotReady),
            Stage::Waiting { look_at, .. } if *look_at <= now => {
                // Until its outcome comes; a probe whose outcome never does is made again.
                *look_at = now.after_ms(PROBE_ANSWER_MS);
                match &terms.ready {
                    Ready::Port(port) => Some(Action::LookAtPort(self.pid, *port)),
                    Ready::Exec(_) => Some(Action::Probe(self.pid)),
                    // PID 1 waits by an older manifest; by this one it is ready.
                    Ready::Executed => self.tell_ready(),
                    Ready::Notify => None,
                }
            }
            Stage::Watching { until: Some(until) } if *until <= now => {
                self.condemn(Condemned::Hung)
            }
            Stage::Off
            | Stage::Waiting { .. }
            | Stage::Told
            | Stage::Watching { .. }
            | Stage::Leaving
            | Stage::Condemned => None,
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
