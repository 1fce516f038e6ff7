//! Carries out what [`crate::machine::shutdown`] says, in its order.

use super::rows::Process;
use super::{Init, boot, report};
use crate::limits::SHUTDOWN_GRACE_MAX_MS;
use crate::machine::shutdown::{Action, Facts, Presence};
use crate::machine::unit::Event;
use crate::sys::process::{self, Reaped};
use crate::sys::{Errno, machine, mount};
use hearth_model::Tick;
use hearth_model::protocol::ShutdownKind;
use hearth_model::state::UnitState;

impl Init {
    pub(super) fn go_down(&mut self, kind: ShutdownKind, now: Tick) {
        if self.shutdown.presence() == Presence::Gone {
            self.shutdown.request(kind, now);
            report::progress(format_args!("going down"));
            self.console_at = None;
        }
    }

    pub(super) fn on_shutdown(&mut self, now: Tick) {
        while let Some(action) = self.shutdown.turn(self.facts(), now) {
            self.shutdown_action(action, now);
        }
    }

    fn facts(&self) -> Facts {
        let presence = |process: &Process| match process.unit.status().pid {
            0 => Presence::Gone,
            _ => Presence::There,
        };
        let [netpath, manager, console] = &self.system;
        Facts {
            deepest: self
                .rows
                .iter()
                .flatten()
                .filter(|row| row.process.unit.status().state != UnitState::Idle)
                .map(|row| row.service.depth)
                .max(),
            system: [presence(netpath), presence(manager), presence(console)],
            children: match process::any_child() {
                Reaped::NoChild => Presence::Gone,
                Reaped::Child(_, _) | Reaped::AllRunning => Presence::There,
            },
        }
    }

    fn shutdown_action(&mut self, action: Action, now: Tick) {
        match action {
            Action::StopServices(depth) => {
                for index in 0..self.rows.len() {
                    let row = self.rows.get_mut(index).and_then(Option::as_mut);
                    if let Some(row) = row.filter(|row| row.service.depth >= depth) {
                        row.process.unit.limit_grace(SHUTDOWN_GRACE_MAX_MS);
                        self.row_event(index, Event::Stop, now);
                    }
                }
            }
            Action::StopSystem(unit) => self.system_event(unit, Event::Stop, now),
            Action::SignalRest(signal) => {
                // ESRCH: nobody is left, which is what is wanted.
                if let Err(errno) = process::signal_all(signal)
                    && errno.0 != libc::ESRCH
                {
                    log::warn!("signal {signal} to the rest: {errno}");
                }
            }
            Action::Unmount => {
                boot::save_time();
                machine::sync();
                for folder in ["/run/hearth/images", "/run/hearth/netns"] {
                    detach_below(folder);
                }
                match mount::unmount(c"/data") {
                    // EINVAL: /data is no mount of its own.
                    Ok(()) | Err(Errno(libc::EINVAL)) => self.shutdown.unmounted(now),
                    Err(errno) => log::info!("/data: {errno}; trying again"),
                }
            }
            Action::Freeze => {
                if let Err(errno) = mount::remount_read_only(c"/data") {
                    report::progress(format_args!("/data could not be unmounted: {errno}"));
                }
            }
            Action::GoDown(kind) => {
                report::progress(format_args!(
                    "{}",
                    match kind {
                        ShutdownKind::PowerOff => "power off",
                        ShutdownKind::Reboot => "reboot",
                    }
                ));
                machine::sync();
                let refused = machine::go_down(kind);
                log::error!("reboot: {refused}");
            }
        }
    }
}

/// Images are mounted from files on /data: they must be gone before /data can go.
fn detach_below(folder: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = std::ffi::CString::new(entry.path().into_os_string().into_encoded_bytes());
        if let Ok(path) = path
            && let Err(errno) = mount::unmount(&path).or_else(|_| mount::detach(&path))
        {
            log::info!("{}: {errno}", entry.path().display());
        }
    }
}
