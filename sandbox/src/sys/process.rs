//! The process itself: session, signals, descriptors, names, exec.

use super::{Errno, check, check_int, owned};
use std::ffi::{CStr, CString};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

/// `_NSIG`, asm/signal.h: signals are numbered from 1 to this.
const SIGNALS_MAX: libc::c_long = 64;

/// Closes every descriptor from `first` to `last` (close_range(2), Linux 5.9). Only the launcher's own
/// start calls it, before anything of ours is open in that range.
///
/// # Errors
/// As close_range(2).
pub fn close_range(first: libc::c_uint, last: libc::c_uint) -> Result<(), Errno> {
    // SAFETY: takes no pointer. No descriptor in the range is owned by a value of this program: the
    // launcher calls this before it opens any.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(|_| ())
}

/// Makes a descriptor close at exec.
///
/// # Errors
/// EBADF where it is not open.
pub fn close_on_exec(fd: libc::c_int) -> Result<(), Errno> {
    // SAFETY: F_SETFD takes an int, no pointer.
    check_int(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).map(|_| ())
}

/// setsid(2). A caller that leads a session already keeps it; one that leads only a group gets EPERM.
///
/// # Errors
/// As setsid(2).
pub fn new_session() -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::setsid() }).map(|_| ())
}

/// Signals as a program expects them: none blocked, each with its default effect (an ignored signal would
/// stay ignored over exec, and the Rust run-time ignores SIGPIPE); and the usual file mode mask.
///
/// # Errors
/// As sigprocmask(2).
pub fn reset_inherited() -> Result<(), Errno> {
    // `struct sigaction` of the kernel, at most 32 bytes: all zeroes is SIG_DFL. By system call, since
    // libc keeps two signals for itself and refuses them, which a parent may have ignored all the same.
    let default = [0_u64; 4];
    let no_old = ptr::null::<u64>();
    for signal in 1..=SIGNALS_MAX {
        // SAFETY: `default` is a live local, larger than what the kernel reads; the mask has 8 bytes. It
        // answers EINVAL to SIGKILL and SIGSTOP, whose effect can not change.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                no_old,
                mem::size_of::<u64>(),
            )
        };
    }
    // SAFETY: takes no pointer and can not fail (umask(2)).
    unsafe { libc::umask(0o022) };
    // SAFETY: `sigset_t` is plain integers, for which all zeroes is the empty set on Linux.
    let empty: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: `empty` lives through the call; the old mask is not asked for.
    check_int(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &empty, ptr::null_mut()) }).map(|_| ())
}

/// The kernel kills this process when the thread that started it ends (PR_SET_PDEATHSIG). A change of user
/// takes that off again.
///
/// # Errors
/// As prctl(2).
pub fn end_with_parent() -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) }).map(|_| ())
}

/// sethostname(2).
///
/// # Errors
/// As sethostname(2).
pub fn set_host_name(name: &str) -> Result<(), Errno> {
    // SAFETY: the kernel reads `len` bytes of a live string; no NUL is needed.
    check_int(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(|_| ())
}

/// A mount namespace of its own, so that what is mounted goes away with this process (unshare(2)).
///
/// # Errors
/// As unshare(2).
pub fn new_mount_namespace() -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::unshare(libc::CLONE_NEWNS) }).map(|_| ())
}

/// Moves the calling thread into a network namespace (setns(2)).
///
/// # Errors
/// As setns(2).
pub fn enter_network(namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes no pointer; the descriptor is open.
    check_int(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(|_| ())
}

/// Moves this process into every namespace of another one (setns(2) with a pidfd, Linux 5.8); the pid
/// namespace is that of its children from now on. It must have one thread.
///
/// # Errors
/// As setns(2); ESRCH where the other process has ended.
pub fn enter_sandbox(process: BorrowedFd<'_>) -> Result<(), Errno> {
    let all = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    // A choice of the kernel's configuration (time_namespaces(7)).
    let time = match std::fs::exists("/proc/self/ns/time") {
        Ok(true) => NEW_TIME,
        Ok(false) | Err(_) => 0,
    };
    // SAFETY: takes no pointer; the descriptor is open.
    check_int(unsafe { libc::setns(process.as_raw_fd(), all | time) }).map(|_| ())
}

/// `CLONE_NEWTIME`, linux/sched.h.
const NEW_TIME: libc::c_int = 0x80;

/// Brings the loopback interface up (netdevice(7), `SIOCSIFFLAGS`).
///
/// # Errors
/// As socket(2) and ioctl(2).
pub fn loopback_up() -> Result<(), Errno> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointer.
    let socket = owned(libc::c_long::from(unsafe {
        libc::socket(libc::AF_INET, kind, 0)
    }))?;
    // SAFETY: `ifreq` is plain integers, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: `request` is a live local of the type this request reads.
    check_int(unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw mut request,
        )
    })
    .map(|_| ())
}

/// geteuid(2).
#[must_use]
pub fn effective_uid() -> u32 {
    // SAFETY: takes no pointer and can not fail.
    unsafe { libc::geteuid() }
}

/// getegid(2).
#[must_use]
pub fn effective_gid() -> u32 {
    // SAFETY: takes no pointer and can not fail.
    unsafe { libc::getegid() }
}

/// Arguments or variables as execve(2) wants them.
#[derive(Debug)]
pub struct Strings(Vec<CString>);

impl Strings {
    /// This list.
    #[must_use]
    pub fn new(strings: Vec<CString>) -> Strings {
        Strings(strings)
    }

    fn pointers(&self) -> Vec<*const libc::c_char> {
        let all = self.0.iter().map(|string| string.as_ptr());
        all.chain([ptr::null()]).collect()
    }
}

/// execve(2): returns only when it fails.
pub fn execute(program: &CStr, arguments: &Strings, environment: &Strings) -> Errno {
    let (arguments, environment) = (arguments.pointers(), environment.pointers());
    // SAFETY: the program is NUL-terminated, both lists end with null, and the strings they point to are
    // borrowed for this call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Errno::last()
}

/// A file without a name, sealed so that nobody changes it any more (memfd_create(2)). Its position is left
/// at its end, as a reader finds it whose descriptor has been read before.
///
/// # Errors
/// As memfd_create(2), write(2), fcntl(2).
pub fn sealed_file(name: &CStr, bytes: &[u8]) -> Result<OwnedFd, Errno> {
    use std::io::Write;
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: `name` is a NUL-terminated string that lives through the call.
    let made = owned(libc::c_long::from(unsafe {
        libc::memfd_create(name.as_ptr(), flags)
    }))?;
    let mut file = std::fs::File::from(made);
    file.write_all(bytes)?;
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: F_ADD_SEALS takes an int, no pointer.
    check_int(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    Ok(file.into())
}

/// A descriptor that this program was started with, as its own. For each number at most once.
///
/// # Errors
/// EBADF where it is not open.
pub fn inherited(fd: libc::c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: F_GETFD takes no pointer.
    check_int(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    owned(libc::c_long::from(fd))
}

/// pidfd_send_signal(2).
///
/// # Errors
/// ESRCH where the process has ended and was waited for.
pub fn signal(process: BorrowedFd<'_>, signal: libc::c_int) -> Result<(), Errno> {
    let pidfd = process.as_raw_fd();
    let no_info = ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, no_info, 0) })
        .map(|_| ())
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Waits for a child to end (waitid(2), `P_PIDFD`, Linux 5.4).
///
/// # Errors
/// ECHILD where it was waited for before.
pub fn wait(process: BorrowedFd<'_>) -> Result<Ended, Errno> {
    let id = process.as_raw_fd() as libc::id_t;
    // SAFETY: `siginfo_t` is plain integers, for which all zeroes is a value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: `info` is a live local that the kernel fills.
    check_int(unsafe { libc::waitid(libc::P_PIDFD, id, &mut info, libc::WEXITED) })?;
    // SAFETY: waitid(2) fills the fields of SIGCHLD, of which this is one.
    let status = unsafe { info.si_status() };
    Ok(match info.si_code {
        libc::CLD_EXITED => Ended::Code(status),
        _ => Ended::Signal(status),
    })
}

/// Which of the two processes after fork(2) this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The new one.
    Child,
    /// The old one.
    Parent {
        /// Number of the new one.
        child: u32,
    },
}

/// fork(2), of a process with one thread.
///
/// # Errors
/// EAGAIN where the process limit is reached.
pub fn fork() -> Result<Fork, Errno> {
    // SAFETY: the launcher has one thread, so the child lacks none that holds a lock.
    match check_int(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        child => Ok(Fork::Parent {
            child: child as u32,
        }),
    }
}

/// Waits for any child to end (waitpid(2)); its number and how.
///
/// # Errors
/// ECHILD where there is none.
pub fn wait_any() -> Result<(u32, Ended), Errno> {
    let mut status = 0;
    // SAFETY: `status` is a live local the kernel writes.
    let pid = check_int(unsafe { libc::waitpid(-1, &mut status, 0) })?;
    let ended = if libc::WIFSIGNALED(status) {
        Ended::Signal(libc::WTERMSIG(status))
    } else {
        Ended::Code(libc::WEXITSTATUS(status))
    };
    Ok((pid as u32, ended))
}

/// Ends this process at once, and nothing of it is run any more (_exit(2)).
pub fn end(status: i32) -> ! {
    // SAFETY: takes no pointer and does not return.
    unsafe { libc::_exit(status) }
}

/// Waits until one of two descriptors is readable; true for each that is (poll(2)).
///
/// # Errors
/// As poll(2).
pub fn either_readable(fds: [BorrowedFd<'_>; 2]) -> Result<[bool; 2], Errno> {
    let mut list = fds.map(|fd| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: `list` is a live local of two entries.
    check_int(unsafe { libc::poll(list.as_mut_ptr(), 2, -1) })?;
    Ok(list.map(|entry| entry.revents != 0))
}

/// Waits until a descriptor is readable, or this many milliseconds have passed; whether it is (poll(2)).
///
/// # Errors
/// As poll(2).
pub fn readable_within(fd: BorrowedFd<'_>, milliseconds: u32) -> Result<bool, Errno> {
    let mut entry = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let wait = libc::c_int::try_from(milliseconds).unwrap_or(libc::c_int::MAX);
    // SAFETY: `entry` is a live local, the one that is counted.
    check_int(unsafe { libc::poll(&mut entry, 1, wait) }).map(|ready| ready > 0)
}
