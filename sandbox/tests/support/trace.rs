//! `hearth-sandbox run` under ptrace(2), so that a test can stop its launcher at any system call. No code
//! of the product knows of it.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

/// Where a process of the sandbox is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It has been cloned and has done nothing.
    Born,
    /// It has become another program: first the launcher, then the command.
    Executed,
    /// It is about to make a system call.
    Call,
}

/// What a test does about a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Let it go on to the next stop.
    GoOn,
    /// Kill it.
    Kill,
    /// Let it run to its end without another stop.
    Free,
}

const OPTIONS: libc::c_int = libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_EXITKILL;

fn ptrace(request: libc::c_uint, pid: i32, data: libc::c_int) {
    let nowhere = ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests read no address, and `data` as a number.
    let done = unsafe { libc::ptrace(request, pid, nowhere, data as libc::c_long) };
    // ESRCH: killed meanwhile, which the next wait tells.
    let error = std::io::Error::last_os_error();
    assert!(
        done == 0 || error.raw_os_error() == Some(libc::ESRCH),
        "{error}"
    );
}

/// The next stop or end of a child of this thread, or of what it traces.
fn wait() -> Option<(i32, libc::c_int)> {
    let mut status = 0;
    // SAFETY: `status` is a live local the kernel writes.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::__WNOTHREAD) };
    (pid > 0).then_some((pid, status))
}

#[allow(clippy::zombie_processes)] // waited for by its number
/// Runs `command` to its end. Each stop of the first process that it clones is told to `decide`, with the
/// process's number. Returns the exit status of `command`, 128 and more for a signal.
pub fn run(command: &mut Command, mut decide: impl FnMut(i32, Stop) -> Then) -> i32 {
    let become_traced = || {
        let nowhere = ptr::null_mut::<libc::c_void>();
        // SAFETY: takes no address.
        match unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, nowhere, nowhere) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure makes one system call and allocates nothing.
    let child = unsafe { command.pre_exec(become_traced) }.spawn().unwrap();
    let parent = child.id() as i32;
    let (mut inside, mut call_begins, mut result) = (None, false, None);
    while let Some((pid, status)) = wait() {
        if !libc::WIFSTOPPED(status) {
            if pid == parent {
                let signal = libc::WTERMSIG(status);
                let code = libc::WEXITSTATUS(status);
                result = Some(if libc::WIFEXITED(status) {
                    code
                } else {
                    128 + signal
                });
            }
            continue;
        }
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        if pid == parent {
            let deliver = if signal == libc::SIGTRAP { 0 } else { signal };
            ptrace(libc::PTRACE_SETOPTIONS as _, pid, OPTIONS);
            ptrace(libc::PTRACE_CONT as _, pid, deliver);
            continue;
        }
        let first = inside.is_none();
        if *inside.get_or_insert(pid) != pid {
            ptrace(libc::PTRACE_CONT as _, pid, 0); // what the command starts is its own affair
            continue;
        }
        let stop = match signal {
            _ if first => Some(Stop::Born),
            _ if event == libc::PTRACE_EVENT_EXEC => Some(Stop::Executed),
            _ if signal == libc::SIGTRAP | 0x80 => {
                call_begins = !call_begins;
                call_begins.then_some(Stop::Call)
            }
            _ => None,
        };
        match stop.map_or(Then::GoOn, |stop| decide(pid, stop)) {
            Then::GoOn => ptrace(libc::PTRACE_SYSCALL as _, pid, 0),
            Then::Free => ptrace(libc::PTRACE_DETACH as _, pid, 0),
            Then::Kill => {
                // SAFETY: takes no pointer; the process is stopped, so the number is its own.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
    }
    result.unwrap()
}
