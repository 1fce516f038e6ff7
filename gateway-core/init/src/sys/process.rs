//! Processes: clone3(2), wait4(2), signals by pidfd, setns(2).

use super::child::{self, ChildPlan};
use super::{Errno, check, check_int};
use core::mem;
use hearth_model::state::LastExit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Every namespace of a service but the network's, which PID 1 enters before (namespaces(7)).
pub const SERVICE_NAMESPACES: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64;
/// A time namespace of its own, where the kernel has them: linux/sched.h; only clone3(2) takes it.
pub const NEW_TIME: u64 = 0x80;
/// A network namespace of its own, empty.
pub const NEW_NETWORK: u64 = libc::CLONE_NEWNET as u64;

const CLONE_PIDFD: u64 = 0x1000; // linux/sched.h
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000; // linux/sched.h, Linux 5.7

/// `struct clone_args`, linux/sched.h, version 2 (with `cgroup`).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const _: () = assert!(mem::size_of::<CloneArgs>() == 88); // CLONE_ARGS_SIZE_VER2

/// A child of PID 1.
#[derive(Debug)]
pub struct Child {
    /// Its number, seen from PID 1.
    pub pid: u32,
    /// Its descriptor, by which it is signalled: it can never mean another process.
    pub pidfd: OwnedFd,
}

/// Clones PID 1 into new namespaces and a cgroup; the child carries out `plan` and never returns.
///
/// # Errors
/// As clone3(2).
pub fn spawn(
    plan: &ChildPlan<'_>,
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Child, Errno> {
    let ready = child::prepare(plan);
    let mut pidfd: RawFd = -1;
    let mut arguments = CloneArgs {
        flags: namespaces | CLONE_PIDFD,
        pidfd: (&raw mut pidfd) as usize as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    let size = mem::size_of::<CloneArgs>();
    // SAFETY: `arguments` and `pidfd` live through the call and have the kernel's layout. Without
    // CLONE_VM and with no stack given this is fork(2): the child runs on its own copy of memory, and
    // PID 1 has a single thread, so no lock is held by a thread that the child lacks.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &mut arguments, size) })?;
    if pid == 0 {
        child::run(&ready);
    }
    Ok(Child {
        pid: pid as u32,
        // SAFETY: with CLONE_PIDFD the kernel has stored a new descriptor there; nobody else owns it.
        pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
    })
}

/// pidfd_send_signal(2).
///
/// # Errors
/// ESRCH where the process has ended and was reaped.
pub fn signal(pidfd: BorrowedFd<'_>, signal: u8) -> Result<(), Errno> {
    // SAFETY: the descriptor is open; a null siginfo is allowed.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            libc::c_int::from(signal),
            core::ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(|_| ())
}

/// Signals every process of this pid namespace but PID 1 itself (kill(2), pid -1).
///
/// # Errors
/// ESRCH where there is none.
pub fn signal_all(signal: u8) -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::kill(-1, libc::c_int::from(signal)) }).map(|_| ())
}

/// What [`reap`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// This child ended so.
    Child(u32, LastExit),
    /// Children run, none has ended.
    AllRunning,
    /// There is no child at all.
    NoChild,
}

/// Takes one ended child, ours or an orphan that came to PID 1 (waitpid(2), `WNOHANG`).
///
/// # Errors
/// As waitpid(2), but for ECHILD, which is [`Reaped::NoChild`].
pub fn reap() -> Result<Reaped, Errno> {
    let mut status = 0;
    // SAFETY: `status` is a live local the kernel writes.
    match check_int(unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) }) {
        Ok(0) => Ok(Reaped::AllRunning),
        Ok(pid) => Ok(Reaped::Child(pid as u32, exit_of(status))),
        Err(Errno(libc::ECHILD)) => Ok(Reaped::NoChild),
        Err(errno) => Err(errno),
    }
}

/// Whether PID 1 has any child, without taking one (waitid(2), `WNOWAIT`).
#[must_use]
pub fn any_child() -> Reaped {
    // SAFETY: all zeroes is a value of `siginfo_t`, which is integers and pointers.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a live local the kernel writes.
    match check_int(unsafe { libc::waitid(libc::P_ALL, 0, &mut info, options) }) {
        Err(Errno(libc::ECHILD)) => Reaped::NoChild,
        Ok(_) | Err(_) => Reaped::AllRunning,
    }
}

/// The end that a wait(2) status tells of; without `WUNTRACED` it is one of the two.
fn exit_of(status: libc::c_int) -> LastExit {
    if libc::WIFSIGNALED(status) {
        LastExit::Signal(libc::WTERMSIG(status) as u8)
    } else {
        LastExit::Code(libc::WEXITSTATUS(status) as u8)
    }
}

/// Moves PID 1 into a network namespace (setns(2)).
///
/// # Errors
/// As setns(2).
pub fn enter_network(namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes no pointer; the descriptor is open.
    check_int(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::super::{fd, machine};
    use super::*;
    use crate::limits::{CHILD_OPEN_FILES, OPEN_FILES};
    use hearth_model::step::Step;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    /// PID 1 holds some for each service: at the 165th it was more than the 165th may open.
    #[test]
    fn a_child_starts_where_more_descriptors_are_held_than_it_may_open() {
        machine::set_open_files(OPEN_FILES, OPEN_FILES).unwrap();
        let null = File::open("/dev/null").unwrap();
        let held: Vec<File> = (0..CHILD_OPEN_FILES)
            .map(|_| null.try_clone().unwrap())
            .collect();
        let (release, go) = fd::pipe().unwrap();
        let (status, report) = fd::pipe().unwrap();
        let plan = ChildPlan {
            program: c"/bin/true",
            arguments: &[c"true"],
            environment: &[],
            descriptors: &[(null.as_fd(), 0), (null.as_fd(), 1), (null.as_fd(), 2)],
            terminal: None,
            folder: c"/",
            identity: child::Identity::Guest,
            release: release.as_fd(),
            status: report.as_fd(),
            exec_step: Step::ExecLauncher,
        };
        let child = spawn(&plan, 0, None).unwrap();
        drop((report, held));
        File::from(go).write_all(&[1]).unwrap();
        let mut failure = Vec::new();
        File::from(status).read_to_end(&mut failure).unwrap();
        assert_eq!(failure, [0_u8; 0]);
        let mut ended = 0;
        // SAFETY: `ended` is a live local that the kernel writes.
        let reaped = unsafe { libc::waitpid(child.pid as i32, &mut ended, 0) };
        assert_eq!((reaped, ended), (child.pid as i32, 0));
    }
}
