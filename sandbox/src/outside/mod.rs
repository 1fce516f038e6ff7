//! The outer half of a start: what PID 1 does on the gateway, done here on any Linux machine, so that a
//! developer and the tests go the same way through the same launcher.

pub mod cgroup;
pub mod image;

use crate::sys::Errno;
use crate::sys::clone::{self, Given, Network};
use crate::sys::process::{self, Ended};
use hearth_model::limits::{SERVICES_MAX, UID_BASE, UID_COUNT};
use hearth_model::plan::{Plan, PlanError};
use hearth_model::step::{Step, StepFailure};
use std::fmt;
use std::fs::File;
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// First id outside of what a sandbox here may use: the range behind the last service's.
pub const FIRST_ID: u32 = UID_BASE + SERVICES_MAX as u32 * UID_COUNT;

/// Why a sandbox did not start.
#[derive(Debug)]
pub enum StartError {
    /// The plan is not one.
    Plan(PlanError),
    /// A step failed, before or in the launcher.
    Step(StepFailure),
    /// A call before the first step failed.
    Before {
        /// What was tried, as an infinitive.
        what: &'static str,
        /// Why it failed.
        errno: Errno,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Plan(error) => write!(f, "{error}"),
            StartError::Step(failure) => write!(f, "{failure}"),
            StartError::Before { what, errno } => write!(f, "could not {what}: {errno}"),
        }
    }
}

impl std::error::Error for StartError {}

/// What a start needs besides its plan.
#[derive(Debug)]
pub struct Start<'a> {
    /// The program `hearth-sandbox`.
    pub launcher: BorrowedFd<'a>,
    /// Standard input, output and error of the sandboxed program.
    pub standard: [BorrowedFd<'a>; 3],
    /// The control group it is born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The network namespace it is born in; none is an empty one of its own.
    pub network: Option<BorrowedFd<'a>>,
}

/// A sandbox whose program runs.
#[derive(Debug)]
pub struct Running {
    pid: u32,
    pidfd: OwnedFd,
}

impl Start<'_> {
    /// Starts `plan`; returns when its program was executed.
    ///
    /// # Errors
    /// Every [`StartError`].
    pub fn start(&self, plan: &Plan) -> Result<Running, StartError> {
        let bytes = plan.encode().map_err(StartError::Plan)?;
        self.start_bytes(&bytes)
    }

    /// Starts an encoded plan, whatever it is: the launcher has to judge it.
    ///
    /// # Errors
    /// Every [`StartError`] but `Plan`.
    pub fn start_bytes(&self, plan: &[u8]) -> Result<Running, StartError> {
        let before = |what| move |errno| StartError::Before { what, errno };
        let plan = process::sealed_file(c"plan", plan).map_err(before("store the plan"))?;
        let (status, status_end) =
            pipe().map_err(|error| before("make a pipe")(Errno::from(error)))?;
        let (release_end, release) =
            pipe().map_err(|error| before("make a pipe")(Errno::from(error)))?;
        let given = Given {
            launcher: self.launcher,
            standard: self.standard,
            plan: plan.as_fd(),
            status: status_end.as_fd(),
            release: release_end.as_fd(),
            network: match self.network {
                None => Network::Empty,
                Some(_) => Network::Inherited,
            },
        };
        let (pid, pidfd) = self.spawn(&given)?;
        drop((status_end, release_end));
        let running = Running { pid, pidfd };
        running
            .let_go(release)
            .and_then(|()| outcome(status))
            .inspect_err(|_| {
                // The child has ended or will: it reports a failed step last, and gives up without release.
                let _ = running.wait();
            })?;
        Ok(running)
    }
}

impl Start<'_> {
    /// Clones, in the network namespace that the child is to have: this thread goes there and back.
    fn spawn(&self, given: &Given<'_>) -> Result<(u32, OwnedFd), StartError> {
        let failed = |step| {
            move |Errno(errno)| {
                StartError::Step(StepFailure {
                    step,
                    index: 0,
                    errno,
                })
            }
        };
        let Some(network) = self.network else {
            return clone::spawn(given, self.cgroup).map_err(failed(Step::Clone));
        };
        let home = File::open("/proc/thread-self/ns/net")
            .map_err(|error| failed(Step::EnterNetwork)(Errno::from(error)))?;
        process::enter_network(network).map_err(failed(Step::EnterNetwork))?;
        let spawned = clone::spawn(given, self.cgroup).map_err(failed(Step::Clone));
        process::enter_network(home.as_fd()).map_err(failed(Step::EnterNetwork))?;
        spawned
    }
}

/// What the status pipe says: nothing when it was closed by exec, else the failed step.
fn outcome(mut status: PipeReader) -> Result<(), StartError> {
    let mut bytes = Vec::new();
    let read = status.read_to_end(&mut bytes);
    read.map_err(|error| StartError::Before {
        what: "read the status pipe",
        errno: Errno::from(error),
    })?;
    if bytes.is_empty() {
        return Ok(());
    }
    Err(match StepFailure::from_bytes(&bytes) {
        Some(failure) => StartError::Step(failure),
        None => StartError::Before {
            what: "understand the launcher, which is of another version",
            errno: Errno(libc::EPROTO),
        },
    })
}

impl Running {
    /// Writes the id maps and lets the child go on.
    fn let_go(&self, mut release: impl Write) -> Result<(), StartError> {
        let map = format!("0 {FIRST_ID} {UID_COUNT}\n");
        for file in ["uid_map", "gid_map"] {
            let path = format!("/proc/{}/{file}", self.pid);
            std::fs::write(path, &map).map_err(|error| {
                StartError::Step(StepFailure {
                    step: Step::MapIds,
                    index: 0,
                    errno: Errno::from(error).0,
                })
            })?;
        }
        let released = release.write_all(b"x");
        released.map_err(|error| StartError::Before {
            what: "let the child go on",
            errno: Errno::from(error),
        })
    }

    /// The descriptor of the program's process.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Its number, seen from here.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// ESRCH where it has ended and was waited for.
    pub fn signal(&self, signal: i32) -> Result<(), Errno> {
        process::signal(self.pidfd.as_fd(), signal)
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// ECHILD where it was waited for before.
    pub fn wait(&self) -> Result<Ended, Errno> {
        process::wait(self.pidfd.as_fd())
    }
}
