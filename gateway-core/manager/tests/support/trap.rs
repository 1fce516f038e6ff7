//! A trap at each of a process's writes to a folder: seccomp(2) stops it before the call and tells this test, which
//! lets it go on or kills it there. No code of the product knows of it.

use std::fs::File;
use std::io::Error;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

/// Where the process keeps its end of the trap until this test has fetched it.
const PLACE: i32 = 200;

/// What names the file that a call changes: one of the call's arguments.
enum Names {
    /// A descriptor.
    File,
    /// The address of a path.
    Path(usize),
}

/// The calls that change files, as the standard library makes them.
const CALLS: [(libc::c_long, Names); 8] = [
    (libc::SYS_openat, Names::Path(1)),
    (libc::SYS_rename, Names::Path(0)),
    (libc::SYS_unlink, Names::Path(0)),
    (libc::SYS_mkdir, Names::Path(0)),
    (libc::SYS_write, Names::File),
    (libc::SYS_ftruncate, Names::File),
    (libc::SYS_fsync, Names::File),
    (libc::SYS_fdatasync, Names::File),
];

/// Sets the trap in what this command will start.
pub fn set(command: &mut Command) {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    // The number of the call is the first word of what a filter sees.
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for (left, (number, _)) in (1..=CALLS.len()).rev().zip(&CALLS) {
        program.push(libc::sock_filter {
            jt: left as u8,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, *number as u32)
        });
    }
    program.push(statement(libc::BPF_RET, libc::SECCOMP_RET_ALLOW));
    program.push(statement(libc::BPF_RET, libc::SECCOMP_RET_USER_NOTIF));
    let filter = move || {
        let program = libc::sock_fprog {
            len: program.len() as u16,
            filter: program.as_ptr().cast_mut(),
        };
        // SAFETY: the kernel copies the program, which lives over the call.
        let listener = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
                &program,
            )
        };
        // SAFETY: takes no pointer. The copy stays open over exec.
        if listener < 0 || unsafe { libc::dup2(listener as i32, PLACE) } < 0 {
            return Err(Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made, on values made before.
    unsafe { command.pre_exec(filter) };
}

/// What the trap does, and what it has seen.
#[derive(Default)]
struct Plan {
    /// Calls that may pass before the one that ends the process.
    left: Option<usize>,
    /// Each call since the trap was armed, as `rename services.json.new`.
    seen: Vec<String>,
}

/// A trap at a process.
pub struct Trap(Arc<Mutex<Plan>>);

impl Trap {
    /// Takes the trap of a process that was started with one: so many of its writes below `folder` pass, or all.
    pub fn watch(pid: u32, folder: PathBuf, left: Option<usize>) -> Trap {
        let listener = fetch(pid as i32);
        let plan = Arc::new(Mutex::new(Plan {
            left,
            seen: Vec::new(),
        }));
        let shared = Arc::clone(&plan);
        // It ends with the process, which the gateway ends.
        std::thread::spawn(move || {
            while let Some(call) = next(&listener) {
                if let Some(text) = told(&call, &folder)
                    && shared.lock().unwrap().is_the_last(text)
                {
                    // SAFETY: takes no pointer; the process is this test's child and not yet waited for.
                    unsafe { libc::kill(pid as i32, libc::SIGKILL) };
                } else {
                    let_go(&listener, call.id);
                }
            }
        });
        Trap(plan)
    }

    /// From now on so many writes pass, and the process is killed before the one after them.
    pub fn arm(&self, left: usize) {
        *self.0.lock().unwrap() = Plan {
            left: Some(left),
            seen: Vec::new(),
        };
    }

    /// Lets all writes pass again. The writes since it was armed, and whether the last one was never made.
    pub fn disarm(&self) -> (Vec<String>, bool) {
        let plan = std::mem::take(&mut *self.0.lock().unwrap());
        let sprung = plan.left.is_some_and(|left| left < plan.seen.len());
        (plan.seen, sprung)
    }
}

impl Plan {
    fn is_the_last(&mut self, text: String) -> bool {
        let Some(left) = self.left else { return false };
        self.seen.push(text);
        left < self.seen.len()
    }
}

/// The end of the trap that the process keeps at its [`PLACE`].
fn fetch(pid: i32) -> OwnedFd {
    // SAFETY: pidfd_open(2) and pidfd_getfd(2) take no pointer; their results are checked, new and owned by nobody else.
    unsafe {
        let process = libc::syscall(libc::SYS_pidfd_open, pid, 0) as i32;
        assert!(process >= 0, "{}", Error::last_os_error());
        let process = OwnedFd::from_raw_fd(process);
        let listener = libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), PLACE, 0) as i32;
        assert!(listener >= 0, "{}", Error::last_os_error());
        OwnedFd::from_raw_fd(listener)
    }
}

/// The next call that waits; `None` when the process is gone.
fn next(listener: &OwnedFd) -> Option<libc::seccomp_notif> {
    loop {
        let mut poll = libc::pollfd {
            fd: listener.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one live entry.
        let ready = unsafe { libc::poll(&mut poll, 1, -1) };
        if ready < 0 || poll.revents & libc::POLLIN == 0 {
            return None;
        }
        // SAFETY: all zeroes are a value of this type, and what the kernel asks for.
        let mut call: libc::seccomp_notif = unsafe { zeroed() };
        // SAFETY: `call` is live and as long as the kernel's structure.
        let got = unsafe { libc::ioctl(poll.fd, libc::SECCOMP_IOCTL_NOTIF_RECV, &mut call) };
        if got == 0 {
            return Some(call);
        }
        // ENOENT: killed since it was announced.
    }
}

fn let_go(listener: &OwnedFd, id: u64) {
    let answer = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: 0,
        flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
    };
    // SAFETY: `answer` is live. It fails where the process was killed meanwhile, which the next call tells.
    let _done = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND,
            &answer,
        )
    };
}

/// The call in words, where it changes something below the folder.
fn told(call: &libc::seccomp_notif, folder: &Path) -> Option<String> {
    let number = libc::c_long::from(call.data.nr);
    let (_, names) = CALLS.iter().find(|(known, _)| *known == number)?;
    if number == libc::SYS_openat && call.data.args[2] & libc::O_CREAT as u64 == 0 {
        return None;
    }
    let path = match names {
        Names::File => {
            let link = format!("/proc/{}/fd/{}", call.pid, call.data.args[0]);
            std::fs::read_link(link).ok()?
        }
        Names::Path(argument) => text_at(call.pid, call.data.args[*argument])?,
    };
    let below = path.strip_prefix(folder).ok()?;
    let verb = match number {
        libc::SYS_openat => "create",
        libc::SYS_rename => "rename",
        libc::SYS_unlink => "unlink",
        libc::SYS_mkdir => "mkdir",
        libc::SYS_write => "write",
        libc::SYS_ftruncate => "truncate",
        _ => "sync",
    };
    Some(format!("{verb} {}", below.display()))
}

/// A path in the memory of a thread that waits.
fn text_at(thread: u32, address: u64) -> Option<PathBuf> {
    let memory = File::open(format!("/proc/{thread}/mem")).ok()?;
    let mut bytes = vec![0; libc::PATH_MAX as usize];
    let length = memory.read_at(&mut bytes, address).ok()?;
    let end = bytes[..length].iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned().into())
}
