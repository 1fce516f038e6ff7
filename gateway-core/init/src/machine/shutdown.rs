//! The order in which the machine goes down: services, manager, console, netpath, whatever else
//! runs, `/data`, power. Each phase has a deadline, so it always ends.

use crate::limits::{
    STOP_REST_MAX_MS, STOP_SERVICES_MAX_MS, STOP_SYSTEM_MAX_MS, UNMOUNT_RETRY_MS, UNMOUNT_TRIES,
};
use hearth_model::Tick;
use hearth_model::protocol::{ShutdownKind, SystemUnit};

/// What runs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The highest [`depth`](hearth_model::protocol::StartService::depth) of a service that is not Idle;
    /// `None` where all are.
    pub deepest: Option<u8>,
    /// System units that are not Idle, in the order of [`SystemUnit::ALL`].
    pub system: [Presence; 3],
    /// Any child of PID 1.
    pub children: Presence,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    There,
    /// It is not.
    Gone,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Stop every service of at least this depth.
    StopServices(u8),
    /// Stop this unit.
    StopSystem(SystemUnit),
    /// Signal everything that still runs.
    SignalRest(u8),
    /// Save the time and unmount `/data`; tell by [`Shutdown::unmounted`].
    Unmount,
    /// `/data` can not be unmounted: make it read-only.
    Freeze,
    /// sync and reboot(2).
    GoDown(ShutdownKind),
}

/// The order after the services: netpath last, so that the home's traffic flows longest.
const SYSTEM_ORDER: [SystemUnit; 3] = [
    SystemUnit::Manager,
    SystemUnit::Console,
    SystemUnit::Netpath,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Services of at least this depth were told to stop; none yet.
    Services(Option<u8>),
    System(u8),
    Terminate,
    Kill,
    Unmount(u8),
    Down,
}

/// Where the machine is on its way down.
#[derive(Clone, Copy, Debug)]
pub struct Shutdown {
    kind: ShutdownKind,
    phase: Phase,
    deadline: Tick,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown {
            kind: ShutdownKind::PowerOff,
            phase: Phase::Running,
            deadline: Tick(0),
        }
    }
}

impl Shutdown {
    /// Whether it goes down.
    #[must_use]
    pub fn presence(&self) -> Presence {
        match self.phase {
            Phase::Running => Presence::Gone,
            Phase::Services(_)
            | Phase::System(_)
            | Phase::Terminate
            | Phase::Kill
            | Phase::Unmount(_)
            | Phase::Down => Presence::There,
        }
    }

    /// When [`Shutdown::turn`] has something to do though nothing changed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        match self.presence() {
            Presence::There => Some(self.deadline),
            Presence::Gone => None,
        }
    }

    /// Begins to go down; [`Shutdown::turn`] says with what. The first request decides how; later ones
    /// change nothing.
    pub fn request(&mut self, kind: ShutdownKind, now: Tick) {
        if self.presence() == Presence::Gone {
            self.kind = kind;
            self.phase = Phase::Services(None);
            self.deadline = now.after_ms(STOP_SERVICES_MAX_MS);
        }
    }

    /// Looks at what runs and says what comes next; call it again until it says nothing.
    pub fn turn(&mut self, facts: Facts, now: Tick) -> Option<Action> {
        let late = now >= self.deadline;
        match self.phase {
            Phase::Running => None,
            Phase::Services(asked) => match facts.deepest {
                // Who needs others first, then those others.
                Some(depth) if !late && asked.is_none_or(|asked| depth < asked) => {
                    self.phase = Phase::Services(Some(depth));
                    Some(Action::StopServices(depth))
                }
                Some(_) if !late => None,
                Some(_) | None => self.stop_system(0, now),
            },
            Phase::System(index) => {
                let unit = system_at(index);
                let there = unit.is_some_and(|unit| presence_of(facts, unit) == Presence::There);
                if there && !late {
                    None
                } else {
                    self.stop_system(index.saturating_add(1), now)
                }
            }
            Phase::Terminate if facts.children == Presence::Gone || late => {
                self.phase = Phase::Kill;
                self.deadline = now.after_ms(STOP_REST_MAX_MS);
                Some(Action::SignalRest(SIGKILL))
            }
            Phase::Kill if facts.children == Presence::Gone || late => {
                self.phase = Phase::Unmount(0);
                self.deadline = now.after_ms(UNMOUNT_RETRY_MS);
                Some(Action::Unmount)
            }
            Phase::Unmount(tries) if late => {
                self.deadline = now.after_ms(UNMOUNT_RETRY_MS);
                if tries < UNMOUNT_TRIES {
                    self.phase = Phase::Unmount(tries + 1);
                    Some(Action::Unmount)
                } else {
                    self.phase = Phase::Down;
                    Some(Action::Freeze)
                }
            }
            // Also where reboot(2) came back, which is not expected: again, once a deadline.
            Phase::Down if late => {
                self.deadline = now.after_ms(STOP_REST_MAX_MS);
                Some(Action::GoDown(self.kind))
            }
            Phase::Terminate | Phase::Kill | Phase::Unmount(_) | Phase::Down => None,
        }
    }

    /// [`Action::Unmount`] was done.
    pub fn unmounted(&mut self, now: Tick) {
        if matches!(self.phase, Phase::Unmount(_)) {
            self.phase = Phase::Down;
            self.deadline = now;
        }
    }

    fn stop_system(&mut self, index: u8, now: Tick) -> Option<Action> {
        match system_at(index) {
            Some(unit) => {
                self.phase = Phase::System(index);
                self.deadline = now.after_ms(STOP_SYSTEM_MAX_MS);
                Some(Action::StopSystem(unit))
            }
            None => {
                self.phase = Phase::Terminate;
                self.deadline = now.after_ms(STOP_REST_MAX_MS);
                Some(Action::SignalRest(SIGTERM))
            }
        }
    }
}

const SIGTERM: u8 = 15;
const SIGKILL: u8 = 9;

fn system_at(index: u8) -> Option<SystemUnit> {
    SYSTEM_ORDER.get(usize::from(index)).copied()
}

fn presence_of(facts: Facts, unit: SystemUnit) -> Presence {
    let [netpath, manager, console] = facts.system;
    match unit {
        SystemUnit::Netpath => netpath,
        SystemUnit::Manager => manager,
        SystemUnit::Console => console,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Presence::{Gone, There};

    const NOTHING: Facts = Facts {
        deepest: None,
        system: [Gone; 3],
        children: Gone,
    };
    const ALL: Facts = Facts {
        deepest: Some(2),
        system: [There; 3],
        children: There,
    };

    #[test]
    fn everything_is_stopped_in_order_as_soon_as_the_one_before_is_gone() {
        // given a machine on which all that is asked to stop stops at once
        let mut shutdown = Shutdown::default();
        assert_eq!(shutdown.turn(ALL, Tick(0)), None);
        shutdown.request(ShutdownKind::Reboot, Tick(0));
        // when it takes its turns
        let mut order = std::vec::Vec::new();
        for deepest in [2, 2, 0, 0] {
            let facts = Facts {
                deepest: Some(deepest),
                ..ALL
            };
            order.extend(shutdown.turn(facts, Tick(1)));
        }
        for _ in 0..20 {
            match shutdown.turn(NOTHING, Tick(2)) {
                Some(Action::Unmount) => {
                    order.push(Action::Unmount);
                    shutdown.unmounted(Tick(2));
                }
                Some(action) => order.push(action),
                None => break,
            }
        }
        // then
        assert_eq!(
            order,
            [
                Action::StopServices(2),
                Action::StopServices(0),
                Action::StopSystem(SystemUnit::Manager),
                Action::StopSystem(SystemUnit::Console),
                Action::StopSystem(SystemUnit::Netpath),
                Action::SignalRest(15),
                Action::SignalRest(9),
                Action::Unmount,
                Action::GoDown(ShutdownKind::Reboot),
            ]
        );
    }

    #[test]
    fn a_machine_on_which_nothing_ends_goes_down_in_bounded_time() {
        let mut shutdown = Shutdown::default();
        shutdown.request(ShutdownKind::PowerOff, Tick(0));
        let mut last = None;
        while last != Some(Action::GoDown(ShutdownKind::PowerOff)) {
            let now = shutdown.next_deadline().unwrap();
            if let Some(action) = shutdown.turn(ALL, now) {
                last = Some(action);
            }
            assert!(now < Tick(60_000), "{last:?}");
        }
    }

    #[test]
    fn a_second_request_changes_nothing() {
        let mut shutdown = Shutdown::default();
        shutdown.request(ShutdownKind::PowerOff, Tick(0));
        shutdown.request(ShutdownKind::Reboot, Tick(5));
        assert_eq!(shutdown.kind, ShutdownKind::PowerOff);
    }
}
