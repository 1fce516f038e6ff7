//! The outer half of a start: what PID 1 does on the gateway, done here on any Linux machine, so that a
//! developer and the tests go the same way through the same launcher.

pub mod cgroup;
pub mod image;

use crate::sys::Errno;
use crate::sys::clone::{self, Become, Given};
use crate::sys::process::{self, Ended};
use hearth_model::limits::{SERVICES_MAX, UID_BASE, UID_COUNT};
use hearth_model::plan::{Plan, PlanError};
use hearth_model::step::{Step, StepFailure};
use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// First id outside of what a sandbox here may use: the range behind the last service's.
pub const FIRST_ID: u32 = UID_BASE + SERVICES_MAX as u32 * UID_COUNT;

/// Which ids of the machine a sandbox gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// [`UID_COUNT`] from [`FIRST_ID`] on. Takes root.
    Range,
    /// The caller's own, seen inside as these (user_namespaces(7): all that a user can map).
    Caller {
        /// User id inside.
        uid: u32,
        /// Group id inside.
        gid: u32,
    },
}

/// Which network namespace a sandbox gets.
#[derive(Clone, Copy, Debug)]
pub enum Network<'a> {
    /// An empty one of its own.
    Empty,
    /// That of the caller.
    Host,
    /// This one.
    Other(BorrowedFd<'a>),
}

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
            StartError::Step(failure) => {
                write!(f, "{failure}")?;
                match hint(*failure) {
                    Some(hint) => write!(f, "; {hint}"),
                    None => Ok(()),
                }
            }
            StartError::Before { what, errno } => write!(f, "could not {what}: {errno}"),
        }
    }
}

impl std::error::Error for StartError {}

/// What a person can do about a failure whose errno does not say it.
fn hint(failure: StepFailure) -> Option<&'static str> {
    match (failure.step, failure.errno) {
        (Step::Clone, libc::ENOSPC) => {
            Some("user namespaces are switched off: sysctl user.max_user_namespaces")
        }
        (Step::Clone, libc::EPERM) => Some(
            "this machine lets only root make user namespaces: sysctl kernel.unprivileged_userns_clone or \
             kernel.apparmor_restrict_unprivileged_userns",
        ),
        (Step::Clone, libc::EINVAL) => {
            Some("the kernel was built without a namespace: CONFIG_{USER,PID,NET,IPC,UTS}_NS")
        }
        (Step::MountProc, libc::EPERM) => {
            Some("parts of this machine's /proc are covered, as in a container")
        }
        (Step::Bind, libc::EACCES) => {
            Some("a device node is not granted by a bind, or the folder can not be entered")
        }
        _ => None,
    }
}

/// What a start needs besides its plan.
#[derive(Debug)]
pub struct Start<'a> {
    /// Absolute path of the program `hearth-sandbox`.
    pub launcher: &'a Path,
    /// Standard input, output and error of the sandboxed program.
    pub standard: [BorrowedFd<'a>; 3],
    /// The control group it is born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The network namespace it is born in.
    pub network: Network<'a>,
    /// Its ids.
    pub ids: Ids,
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
        let launcher = CString::new(self.launcher.as_os_str().as_bytes())
            .map_err(|_| before("find the launcher")(Errno(libc::EINVAL)))?;
        let given = Given {
            launcher: &launcher,
            standard: self.standard,
            plan: plan.as_fd(),
            status: status_end.as_fd(),
            release: release_end.as_fd(),
            network: match self.network {
                Network::Empty => clone::Network::Empty,
                Network::Host | Network::Other(_) => clone::Network::Inherited,
            },
            user: match self.ids {
                Ids::Range => Become::Root,
                Ids::Caller { .. } => Become::Caller,
            },
        };
        let (pid, pidfd) = self.spawn(&given)?;
        drop((status_end, release_end));
        let running = Running { pid, pidfd };
        running
            .let_go(self.ids, release)
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
        let network = match self.network {
            Network::Empty | Network::Host => {
                return clone::spawn(given, self.cgroup).map_err(failed(Step::Clone));
            }
            Network::Other(network) => network,
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
    fn let_go(&self, ids: Ids, mut release: impl Write) -> Result<(), StartError> {
        let range = || format!("0 {FIRST_ID} {UID_COUNT}\n");
        let files = match ids {
            Ids::Range => vec![("uid_map", range()), ("gid_map", range())],
            Ids::Caller { uid, gid } => vec![
                // Without it no group can be mapped: leaving a group could open what is closed to it.
                ("setgroups", "deny".into()),
                ("uid_map", format!("{uid} {} 1\n", process::effective_uid())),
                ("gid_map", format!("{gid} {} 1\n", process::effective_gid())),
            ],
        };
        for (file, text) in files {
            let path = format!("/proc/{}/{file}", self.pid);
            std::fs::write(path, &text).map_err(|error| {
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
