//! What PID 1 holds for each unit: its life, its process, its descriptors.

use super::output::Unread;
use super::probe::Probing;
use super::spawn::Started;
use crate::machine::unit::{Event, Terms, Unit};
use crate::sys::{Errno, fd, process};
use hearth_model::Tick;
use hearth_model::protocol::StartService;
use hearth_model::state::{Fault, LastExit};
use hearth_model::step::StepFailure;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the manager has to be told of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announce {
    /// Nothing.
    Nothing,
    /// Its status.
    Status,
    /// All of it, with its descriptors.
    Row,
}

/// How loud the end of a service is told: one that was asked for is no news on the console.
pub fn level_of_an_end(fault: Fault) -> log::Level {
    match fault {
        Fault::NoFault => log::Level::Info,
        Fault::FailureOnStart
        | Fault::FailureOnAutoStart
        | Fault::FailureOnStop
        | Fault::FailureWhileActive
        | Fault::DependencyFailure
        | Fault::UnStartable => log::Level::Warn,
    }
}

/// The life and the process of a unit.
pub struct Process {
    /// Its life.
    pub unit: Unit,
    /// What the manager does not know yet.
    pub announce: Announce,
    pidfd: Option<OwnedFd>,
    status: Option<OwnedFd>,
}

impl Process {
    /// An idle one.
    pub fn new(terms: Terms, now: Tick) -> Process {
        Process {
            unit: Unit::new(terms, now),
            announce: Announce::Nothing,
            pidfd: None,
            status: None,
        }
    }

    /// Takes over what a start has made; the event tells the unit.
    pub fn take(&mut self, started: Result<Started, StepFailure>) -> Event {
        match started {
            Ok(Started { child, status }) => {
                if let Err(errno) = fd::set_nonblocking(status.as_fd()) {
                    log::error!("status pipe: {errno}");
                }
                self.pidfd = Some(child.pidfd);
                self.status = Some(status);
                Event::Spawned(child.pid)
            }
            Err(failure) => Event::SpawnFailed(failure),
        }
    }

    /// The pipe to wait on while it starts.
    pub fn status_pipe(&self) -> Option<&OwnedFd> {
        self.status.as_ref()
    }

    /// Looks into the status pipe; `None` where nothing has come yet.
    pub fn read_status(&mut self) -> Option<Event> {
        let status = self.status.as_ref()?;
        let mut bytes = [0; StepFailure::SIZE];
        match fd::read(status.as_fd(), &mut bytes) {
            Err(Errno(libc::EAGAIN | libc::EINTR)) => None,
            // The pipe's end without a word: exec has closed it.
            Ok(0) | Err(_) => {
                self.status = None;
                Some(Event::Executed)
            }
            Ok(length) => {
                self.status = None;
                let failure = bytes.get(..length).and_then(StepFailure::from_bytes);
                // Eight bytes below PIPE_BUF arrive whole; a launcher that writes others is broken.
                Some(failure.map_or(Event::Executed, Event::StepFailed))
            }
        }
    }

    /// Its process, to enter its sandbox by; none where nothing runs.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Signals the process, if there is one.
    pub fn signal(&self, signal: u8) {
        if let Some(pidfd) = &self.pidfd
            && let Err(errno) = process::signal(pidfd.as_fd(), signal)
            && errno != Errno(libc::ESRCH)
        {
            log::error!(
                "signal {signal} to process {}: {errno}",
                self.unit.status().pid
            );
        }
    }

    /// The process was reaped.
    pub fn reaped(&mut self, exit: LastExit) -> Event {
        self.pidfd = None;
        self.status = None;
        Event::Exited(exit)
    }
}

/// One service.
pub struct Row {
    /// As the manager gave it.
    pub service: StartService,
    /// Its life and process.
    pub process: Process,
    /// Its sealed plan.
    pub plan: OwnedFd,
    /// Its cgroup's folder.
    pub cgroup: OwnedFd,
    /// Its network namespace; `None` where it gets an empty one.
    pub network: Option<OwnedFd>,
    /// Read end of its output, which the manager gets.
    pub output: OwnedFd,
    /// Write end of its output, for its next run.
    pub input: OwnedFd,
    /// What becomes of its output while the manager is away.
    pub unread: Unread,
    /// Bytes of its output that were forgotten, which the manager has to be told.
    pub lost: u64,
    /// Its notify socket, which the manager reads.
    pub notify: Option<OwnedFd>,
    /// Its probe.
    pub probe: Probing,
}
