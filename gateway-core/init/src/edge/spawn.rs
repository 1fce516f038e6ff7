//! Turns [`Action::Spawn`](crate::machine::unit::Action) into a process.

use crate::error::Fault;
use crate::sys::child::{ChildPlan, Identity};
use crate::sys::process::{self, Child};
use crate::sys::{Errno, fd};
use core::ffi::CStr;
use core::fmt::Write as _;
use hearth_model::ServiceId;
use hearth_model::limits::{
    LAUNCHER_PLAN_FD, LAUNCHER_STATUS_FD, LAUNCHER_TARGET_FD, MANAGER_INIT_FD, UID_COUNT,
};
use hearth_model::protocol::SystemUnit;
use hearth_model::step::{Step, StepFailure};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A process that is on its way to its exec.
pub struct Started {
    /// The process.
    pub child: Child,
    /// Where its failed step arrives; its end without one is success.
    pub status: OwnedFd,
}

/// What every start needs; opened once.
pub struct Spawner {
    null: File,
    home: File,
    /// Namespaces of a service, but for the network's.
    namespaces: u64,
}

/// A service's own descriptors.
pub struct ServiceFds<'a> {
    /// Sealed memfd with its plan.
    pub plan: BorrowedFd<'a>,
    /// Its cgroup's folder.
    pub cgroup: BorrowedFd<'a>,
    /// Its network namespace; `None` makes an empty one.
    pub network: Option<BorrowedFd<'a>>,
    /// Write end of its output.
    pub output: BorrowedFd<'a>,
}

/// What a probe needs.
pub struct ProbeFds<'a> {
    /// Sealed memfd with its plan.
    pub plan: BorrowedFd<'a>,
    /// The service's cgroup.
    pub cgroup: BorrowedFd<'a>,
    /// Write end of the service's output.
    pub output: BorrowedFd<'a>,
    /// The service's process (a pidfd).
    pub target: BorrowedFd<'a>,
}

const LAUNCHER: &CStr = c"/sbin/hearth-sandbox";
const PATH: &CStr = c"PATH=/bin:/sbin:/usr/bin:/usr/sbin";

fn failed(step: Step) -> impl Fn(Errno) -> StepFailure {
    move |errno| StepFailure {
        step,
        index: 0,
        errno: errno.0,
    }
}

impl Spawner {
    /// Opens what every start needs.
    ///
    /// # Errors
    /// A [`Fault`] that names the file.
    pub fn open() -> Result<Spawner, Fault> {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null");
        // A choice of the kernel's configuration (time_namespaces(7)).
        let time = match std::fs::exists("/proc/self/ns/time") {
            Ok(true) => process::NEW_TIME,
            Ok(false) | Err(_) => 0,
        };
        Ok(Spawner {
            namespaces: process::SERVICE_NAMESPACES | time,
            null: null.map_err(Fault::of("open /dev/null"))?,
            home: File::open("/proc/self/ns/net").map_err(Fault::of("open /proc/self/ns/net"))?,
        })
    }

    /// Starts the launcher for a service in its namespaces and cgroup.
    ///
    /// # Errors
    /// The step that failed; nothing is left behind.
    pub fn service(&self, id: ServiceId, fds: &ServiceFds<'_>) -> Result<Started, StepFailure> {
        let (release, go) = fd::pipe().map_err(failed(Step::Clone))?;
        let (status, report) = fd::pipe().map_err(failed(Step::Clone))?;
        let plan = ChildPlan {
            program: LAUNCHER,
            arguments: &[LAUNCHER, c"exec-plan"],
            environment: &[],
            descriptors: &[
                (self.null.as_fd(), 0),
                (fds.output, 1),
                (fds.output, 2),
                (fds.plan, LAUNCHER_PLAN_FD),
                (report.as_fd(), LAUNCHER_STATUS_FD),
            ],
            terminal: None,
            folder: c"/",
            identity: Identity::NamespaceRoot,
            release: release.as_fd(),
            status: report.as_fd(),
            exec_step: Step::ExecLauncher,
        };
        let child = match fds.network {
            None => process::spawn(
                &plan,
                self.namespaces | process::NEW_NETWORK,
                Some(fds.cgroup),
            ),
            Some(network) => {
                process::enter_network(network).map_err(failed(Step::EnterNetwork))?;
                let child = process::spawn(&plan, self.namespaces, Some(fds.cgroup));
                self.go_home();
                child
            }
        }
        .map_err(failed(Step::Clone))?;
        // Where the ids can not be mapped the child is not released: it sees the pipe's end, reports
        // MapIds and ends by itself.
        if let Err(errno) = map_ids(child.pid, id) {
            log::error!("service {id}: {}", failed(Step::MapIds)(errno));
        } else {
            let_go(&go);
        }
        Ok(Started { child, status })
    }

    /// Starts the launcher that enters the sandbox of a service and executes a program there. It is
    /// charged to the service from its first instruction.
    ///
    /// # Errors
    /// The step that failed; nothing is left behind.
    pub fn probe(&self, fds: &ProbeFds<'_>) -> Result<Started, StepFailure> {
        let (release, go) = fd::pipe().map_err(failed(Step::Clone))?;
        let (status, report) = fd::pipe().map_err(failed(Step::Clone))?;
        let plan = ChildPlan {
            program: LAUNCHER,
            arguments: &[LAUNCHER, c"exec-probe"],
            environment: &[],
            descriptors: &[
                (self.null.as_fd(), 0),
                (fds.output, 1),
                (fds.output, 2),
                (fds.plan, LAUNCHER_PLAN_FD),
                (report.as_fd(), LAUNCHER_STATUS_FD),
                (fds.target, LAUNCHER_TARGET_FD),
            ],
            terminal: None,
            folder: c"/",
            identity: Identity::Guest,
            release: release.as_fd(),
            status: report.as_fd(),
            exec_step: Step::ExecLauncher,
        };
        let child = process::spawn(&plan, 0, Some(fds.cgroup)).map_err(failed(Step::Clone))?;
        let_go(&go);
        Ok(Started { child, status })
    }

    fn go_home(&self) {
        if let Err(errno) = process::enter_network(self.home.as_fd()) {
            // PID 1 must not stay in a service's network; the descriptor is its own and open, so the
            // kernel has no reason to refuse.
            log::error!("can not return to the gateway's network namespace: {errno}");
        }
    }

    /// Starts a system unit in its cgroup.
    ///
    /// # Errors
    /// The step that failed.
    pub fn system(
        &self,
        unit: SystemUnit,
        terminal: &CStr,
        manager: Option<BorrowedFd<'_>>,
    ) -> Result<Started, StepFailure> {
        let (release, go) = fd::pipe().map_err(failed(Step::Clone))?;
        let (status, report) = fd::pipe().map_err(failed(Step::Clone))?;
        let null = self.null.as_fd();
        let log = super::report::kernel_log().unwrap_or(null);
        let quiet = [(null, 0), (log, 1), (log, 2)];
        let with_manager = [
            (null, 0),
            (log, 1),
            (log, 2),
            (manager.unwrap_or(null), MANAGER_INIT_FD),
        ];
        let (program, name, terminal, descriptors): (&CStr, &CStr, Option<&CStr>, &[_]) = match unit
        {
            SystemUnit::Netpath => (c"/sbin/hearth-netpath", c"hearth-netpath", None, &quiet),
            SystemUnit::Manager => (
                c"/sbin/hearth-manager",
                c"hearth-manager",
                None,
                &with_manager,
            ),
            SystemUnit::Console => (c"/bin/sh", c"-sh", Some(terminal), &[]),
        };
        let cgroup = match unit {
            SystemUnit::Netpath => "/sys/fs/cgroup/forwarding",
            SystemUnit::Manager => "/sys/fs/cgroup/system/manager",
            SystemUnit::Console => "/sys/fs/cgroup/system/console",
        };
        // Without a cgroup a system unit still runs: forwarding matters more than its accounting.
        let cgroup = File::open(cgroup).ok();
        let plan = ChildPlan {
            program,
            arguments: &[name],
            environment: &[PATH, c"HOME=/root", c"TERM=vt102"],
            descriptors,
            terminal,
            folder: c"/",
            identity: Identity::Keep,
            release: release.as_fd(),
            status: report.as_fd(),
            exec_step: Step::ExecService,
        };
        let child = process::spawn(&plan, 0, cgroup.as_ref().map(AsFd::as_fd))
            .map_err(failed(Step::Clone))?;
        let_go(&go);
        Ok(Started { child, status })
    }
}

/// Lets the child run. Where that fails it sees the pipe's end and says so itself.
fn let_go(go: &OwnedFd) {
    if let Err(errno) = fd::write(go.as_fd(), b"!") {
        log::error!("release of a child: {errno}");
    }
}

/// Writes to a file below /proc/PID.
fn write_proc(pid: u32, name: &str, value: &str) -> Result<(), Errno> {
    let mut path = heapless::String::<64>::new();
    // 64 bytes hold "/proc/", ten digits and our names.
    write!(path, "/proc/{pid}/{name}").map_err(|_| Errno(libc::ENAMETOOLONG))?;
    let mut file = OpenOptions::new().write(true).open(path.as_str())?;
    Ok(file.write_all(value.as_bytes())?)
}

/// The service's ids 0 to 65535 are its own range outside (user_namespaces(7)).
fn map_ids(pid: u32, id: ServiceId) -> Result<(), Errno> {
    let mut map = heapless::String::<64>::new();
    writeln!(map, "0 {} {UID_COUNT}", id.uid_base()).map_err(|_| Errno(libc::ENAMETOOLONG))?;
    write_proc(pid, "uid_map", &map)?;
    write_proc(pid, "gid_map", &map)
}

/// Sets how soon the kernel ends a process when memory is short (proc(5)).
pub fn set_oom_score(pid: u32, score: &str) {
    if let Err(errno) = write_proc(pid, "oom_score_adj", score) {
        log::warn!("oom_score_adj of process {pid}: {errno}");
    }
}
