//! PID 1's own three units: how an event of one becomes a process, a signal, or news.

use super::rows::Announce;
use super::{Init, SIGKILL, spawn};
use crate::limits::{
    CONSOLE_STOP_SIGNAL, MANAGER_OOM_SCORE, NETPATH_OOM_SCORE, SYSTEM_STOP_SIGNAL,
};
use crate::machine::unit::{Action, Event};
use hearth_model::Tick;
use hearth_model::protocol::SystemUnit;
use hearth_model::state::{LastExit, UnitState};
use std::os::fd::AsFd;

/// Where a unit stands in the arrays of PID 1.
pub(super) fn place(unit: SystemUnit) -> usize {
    match unit {
        SystemUnit::Netpath => 0,
        SystemUnit::Manager => 1,
        SystemUnit::Console => 2,
    }
}

impl Init {
    pub(super) fn system_event(&mut self, unit: SystemUnit, event: Event, now: Tick) {
        let Some(process) = self.system.get_mut(place(unit)) else {
            return;
        };
        let before = process.unit.status();
        for action in process.unit.step(event, now) {
            match action {
                Action::Signal => process.signal(match unit {
                    SystemUnit::Console => CONSOLE_STOP_SIGNAL,
                    SystemUnit::Netpath | SystemUnit::Manager => SYSTEM_STOP_SIGNAL,
                }),
                Action::Kill => process.signal(SIGKILL),
                Action::Spawn => {
                    let socket = match unit {
                        SystemUnit::Manager => self
                            .manager
                            .connect()
                            .inspect_err(|e| log::error!("manager's socket: {e}"))
                            .ok(),
                        SystemUnit::Netpath | SystemUnit::Console => None,
                    };
                    let started = self.spawner.system(
                        unit,
                        &self.booted.terminal,
                        socket.as_ref().map(AsFd::as_fd),
                    );
                    let outcome = process.take(started);
                    process.unit.step(outcome, now);
                    protect(unit, process.unit.status().pid);
                }
            }
        }
        let after = process.unit.status();
        if after != before {
            process.announce = Announce::Status;
            if let LastExit::Step(failure) = after.last_exit
                && after.state == UnitState::Restarting
            {
                log::error!("{}: {failure}", unit.name());
            }
            if after.state != before.state {
                log::info!("{}: {}", unit.name(), after.state);
            }
        }
    }
}

/// Keeps what the home needs most from being killed when memory is short.
fn protect(unit: SystemUnit, pid: u32) {
    if pid == 0 {
        return;
    }
    match unit {
        SystemUnit::Netpath => spawn::set_oom_score(pid, NETPATH_OOM_SCORE),
        SystemUnit::Manager => spawn::set_oom_score(pid, MANAGER_OOM_SCORE),
        SystemUnit::Console => {}
    }
}
