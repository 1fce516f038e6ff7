//! Probes: programs that the manager has executed inside the sandbox of a service that runs. PID 1 starts
//! them, since nobody else starts processes, ends those that take too long, and tells how they ended.

use super::Init;
use super::rows::Row;
use super::spawn::{ProbeFds, Started};
use crate::limits::PROBE_MAX_MS;
use crate::sys::{Errno, fd, process};
use hearth_model::protocol::FromInit;
use hearth_model::state::{LastExit, UnitState};
use hearth_model::step::StepFailure;
use hearth_model::{ServiceId, Tick};
use std::os::fd::{AsFd, OwnedFd};

/// What becomes of a service's probe.
pub enum Probing {
    /// There is none.
    Nothing,
    /// It runs.
    Running(Probe),
    /// It has ended so, which the manager has to be told: the run that it was for, and how.
    Ended(u32, LastExit),
}

/// A probe that runs.
pub struct Probe {
    started: Started,
    run: u32,
    until: Tick,
}

impl Probing {
    /// When it has taken too long.
    pub fn deadline(&self) -> Option<Tick> {
        match self {
            Probing::Running(probe) => Some(probe.until),
            Probing::Nothing | Probing::Ended(..) => None,
        }
    }

    /// What the manager has to be told.
    pub fn news(&self, id: ServiceId) -> Option<FromInit> {
        match *self {
            Probing::Ended(pid, exit) => Some(FromInit::Probed { id, pid, exit }),
            Probing::Nothing | Probing::Running(_) => None,
        }
    }

    fn is_process(&self, pid: u32) -> bool {
        match self {
            Probing::Running(probe) => probe.started.child.pid == pid,
            Probing::Nothing | Probing::Ended(..) => false,
        }
    }
}

impl Init {
    /// Starts a probe for this run. A request for another run, or beside a probe that runs, is answered by
    /// the end of that: nothing is to be done.
    pub(super) fn probe(&mut self, id: ServiceId, run: u32, plan: &OwnedFd, now: Tick) {
        let Some(row) = self.rows.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let status = row.process.unit.status();
        let runs = matches!(status.state, UnitState::Starting | UnitState::Active);
        let (true, Probing::Nothing, Some(target)) =
            (runs && status.pid == run, &row.probe, row.process.pidfd())
        else {
            return;
        };
        let fds = ProbeFds {
            plan: plan.as_fd(),
            cgroup: row.cgroup.as_fd(),
            output: row.input.as_fd(),
            target,
        };
        row.probe = match self.spawner.probe(&fds) {
            Ok(started) => {
                if let Err(errno) = fd::set_nonblocking(started.status.as_fd()) {
                    log::error!("status pipe of a probe: {errno}");
                }
                Probing::Running(Probe {
                    started,
                    run,
                    until: now.after_ms(PROBE_MAX_MS),
                })
            }
            Err(failure) => Probing::Ended(run, LastExit::Step(failure)),
        };
    }

    /// A child was reaped; whether it was a probe.
    pub(super) fn probe_reaped(&mut self, pid: u32, exit: LastExit) -> bool {
        let mut rows = self.rows.iter_mut().flatten();
        let Some(row) = rows.find(|row| row.probe.is_process(pid)) else {
            return false;
        };
        if let Probing::Running(probe) = &row.probe {
            let exit = failed_step(&probe.started.status).map_or(exit, LastExit::Step);
            row.probe = Probing::Ended(probe.run, exit);
        }
        true
    }

    /// Ends probes that take too long.
    pub(super) fn on_probe_time(&mut self, now: Tick) {
        for row in self.rows.iter_mut().flatten() {
            kill_late(row, now);
        }
    }
}

fn kill_late(row: &mut Row, now: Tick) {
    const SIGKILL: u8 = 9;
    if let Probing::Running(probe) = &mut row.probe
        && probe.until <= now
    {
        // Again, should that not be the end of it.
        probe.until = now.after_ms(PROBE_MAX_MS);
        if let Err(errno) = process::signal(probe.started.child.pidfd.as_fd(), SIGKILL)
            && errno != Errno(libc::ESRCH)
        {
            log::error!("signal to a probe of {}: {errno}", row.service.name);
        }
    }
}

/// The step that its launcher could not take, if so.
fn failed_step(status: &OwnedFd) -> Option<StepFailure> {
    let mut bytes = [0; StepFailure::SIZE];
    let length = fd::read(status.as_fd(), &mut bytes).ok()?;
    StepFailure::from_bytes(bytes.get(..length)?)
}
