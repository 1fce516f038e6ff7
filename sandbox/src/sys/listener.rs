//! The seccomp listener (seccomp_unotify(2)): a program's system calls, told to another process before the
//! kernel makes them; and what a process needs that looks after all that its command starts.

use super::{Errno, check, check_int, owned};
use crate::seccomp::instruction::Instruction;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;

const RECEIVE: u32 = 0xc050_2100; // linux/seccomp.h, SECCOMP_IOCTL_NOTIF_RECV
const SEND: u32 = 0xc018_2101; // linux/seccomp.h, SECCOMP_IOCTL_NOTIF_SEND
const CONTINUE: u32 = 1; // linux/seccomp.h, SECCOMP_USER_NOTIF_FLAG_CONTINUE, Linux 5.5

/// `struct seccomp_notif` with its `struct seccomp_data`, linux/seccomp.h.
#[repr(C)]
#[derive(Default)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    arch: u32,
    instruction: u64,
    args: [u64; 6],
}
const _: () = assert!(mem::size_of::<Notification>() == 80);

/// `struct seccomp_notif_resp`, linux/seccomp.h.
#[repr(C)]
#[derive(Default)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}
const _: () = assert!(mem::size_of::<Response>() == 24);

/// Both mirror `struct sock_filter`, linux/filter.h.
const _: () = assert!(mem::size_of::<Instruction>() == mem::size_of::<libc::sock_filter>());

/// The kernel writes and reads its own size of a structure, which a later one may have extended.
#[repr(C)]
struct WithRoom<T> {
    known: T,
    room: [u64; 16],
}

/// A system call that waits for its verdict.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    id: u64,
    /// The process, seen from here.
    pub pid: u32,
    /// The architecture word (linux/audit.h).
    pub arch: u32,
    /// Its number there.
    pub number: u32,
    /// Its arguments.
    pub args: [u64; 6],
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel makes it.
    Continue,
    /// It fails with this errno.
    Fail(i32),
}

/// Installs `program` for this process and all that it starts, and returns the listener, which closes at
/// exec. no_new_privs must be set.
///
/// # Errors
/// EBUSY where this process has a listener already; as seccomp(2).
pub fn listen(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let fprog = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno(libc::E2BIG))?,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    let (mode, flags) = (
        libc::SECCOMP_SET_MODE_FILTER,
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
    );
    // SAFETY: `fprog` and the instructions it points to live through the call, which only reads them.
    owned(unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const fprog) })
}

/// The next waiting call.
///
/// # Errors
/// ENOENT where the caller has died meanwhile.
pub fn receive(listener: BorrowedFd<'_>) -> Result<Call, Errno> {
    let mut buffer = WithRoom {
        known: Notification::default(),
        room: [0; 16],
    };
    // SAFETY: `buffer` is a live local of zeroes, larger than what any kernel so far writes.
    check_int(unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE as _, &raw mut buffer) })?;
    let Notification {
        id,
        pid,
        number,
        arch,
        args,
        ..
    } = buffer.known;
    Ok(Call {
        id,
        pid,
        arch,
        number: number as u32,
        args,
    })
}

/// Answers a call.
///
/// # Errors
/// ENOENT where the caller has died meanwhile.
pub fn answer(listener: BorrowedFd<'_>, call: &Call, verdict: Verdict) -> Result<(), Errno> {
    let (error, flags) = match verdict {
        Verdict::Continue => (0, CONTINUE),
        Verdict::Fail(errno) => (-errno, 0),
    };
    let mut buffer = WithRoom {
        known: Response {
            id: call.id,
            value: 0,
            error,
            flags,
        },
        room: [0; 16],
    };
    // SAFETY: `buffer` is a live local, larger than what any kernel so far reads.
    check_int(unsafe { libc::ioctl(listener.as_raw_fd(), SEND as _, &raw mut buffer) }).map(|_| ())
}

/// The ancillary data of one descriptor: its header and its number, with the kernel's alignment.
#[repr(C, align(8))]
struct OneDescriptor([u8; 32]);

/// Runs `with` on a message of one byte and room for one descriptor.
fn message<T>(control: &mut OneDescriptor, with: impl FnOnce(&mut libc::msghdr) -> T) -> T {
    let mut byte = 0_u8;
    let mut piece = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    // SAFETY: `msghdr` is plain integers and pointers, for which all zeroes is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: pure arithmetic.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of_fd()) } as _;
    with(&mut message)
}

const fn size_of_fd() -> libc::c_uint {
    mem::size_of::<RawFd>() as libc::c_uint
}

/// Passes a descriptor on (unix(7), SCM_RIGHTS). Allocates nothing: it is called between fork and exec.
///
/// # Errors
/// As sendmsg(2).
pub fn pass(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut control = OneDescriptor([0; 32]);
    message(&mut control, |message| {
        // SAFETY: `message` has a control buffer with room for one header and one descriptor.
        let header = unsafe { libc::CMSG_FIRSTHDR(message) };
        // SAFETY: pure arithmetic.
        let length = unsafe { libc::CMSG_LEN(size_of_fd()) };
        // SAFETY: `cmsghdr` is plain integers, for which all zeroes is a value; musl pads it.
        let mut filled: libc::cmsghdr = unsafe { mem::zeroed() };
        filled.cmsg_len = length as _;
        filled.cmsg_level = libc::SOL_SOCKET;
        filled.cmsg_type = libc::SCM_RIGHTS;
        // SAFETY: the header lies in the buffer, which is aligned for it.
        unsafe { ptr::write(header, filled) };
        // SAFETY: the data of a header in the buffer.
        let data = unsafe { libc::CMSG_DATA(header) };
        // SAFETY: four bytes of the buffer's room.
        unsafe { ptr::write_unaligned(data.cast::<RawFd>(), fd.as_raw_fd()) };
        // SAFETY: all that `message` points to lives through the call.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), message, libc::MSG_NOSIGNAL) };
        check(sent as libc::c_long).map(|_| ())
    })
}

/// The descriptor that was passed on, or none where the other side closed the socket without.
///
/// # Errors
/// As recvmsg(2).
pub fn take(socket: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Errno> {
    let mut control = OneDescriptor([0; 32]);
    message(&mut control, |message| {
        let flags = libc::MSG_CMSG_CLOEXEC;
        // SAFETY: all that `message` points to lives through the call.
        let count = unsafe { libc::recvmsg(socket.as_raw_fd(), message, flags) };
        if check(count as libc::c_long)? == 0 {
            return Ok(None);
        }
        // SAFETY: the kernel filled `message`; the header lies in the control buffer or is null.
        let header = unsafe { libc::CMSG_FIRSTHDR(message) };
        if header.is_null() {
            return Ok(None);
        }
        // SAFETY: the data of a header that the kernel wrote.
        let data = unsafe { libc::CMSG_DATA(header) };
        // SAFETY: the only message that is ever sent here holds one descriptor.
        let fd = unsafe { ptr::read_unaligned(data.cast::<RawFd>()) };
        owned(libc::c_long::from(fd)).map(Some)
    })
}

/// Makes this process the parent of every descendant whose own parent ends (PR_SET_CHILD_SUBREAPER).
///
/// # Errors
/// As prctl(2).
pub fn adopt_orphans() -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(|_| ())
}

/// A child that has ended, and how, as wait(2) tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// This one.
    Child {
        /// Its number.
        pid: u32,
        /// How it ended.
        ended: super::process::Ended,
    },
    /// None so far; some are running.
    NoneYet,
    /// There are no children.
    NoChildren,
}

/// Waits for a child that has ended, without blocking (waitpid(2)).
///
/// # Errors
/// As waitpid(2), but for ECHILD.
pub fn reap() -> Result<Reaped, Errno> {
    use super::process::Ended;
    let mut status = 0;
    // SAFETY: `status` is a live local.
    let returned = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
    match check_int(returned) {
        Ok(0) => Ok(Reaped::NoneYet),
        Ok(pid) => Ok(Reaped::Child {
            pid: pid as u32,
            ended: if libc::WIFSIGNALED(status) {
                Ended::Signal(libc::WTERMSIG(status))
            } else {
                Ended::Code(libc::WEXITSTATUS(status))
            },
        }),
        Err(Errno(libc::ECHILD)) => Ok(Reaped::NoChildren),
        Err(errno) => Err(errno),
    }
}

/// kill(2), for a child that was not waited for: the number is still its own.
///
/// # Errors
/// As kill(2).
pub fn signal_child(pid: u32, signal: libc::c_int) -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::kill(pid as libc::pid_t, signal) }).map(|_| ())
}

/// Changes the root and the working folder (chroot(2)): the recorded program finds its own files.
///
/// # Errors
/// As chroot(2) and chdir(2).
pub fn change_root(root: &std::ffi::CStr) -> Result<(), Errno> {
    // SAFETY: a NUL-terminated string that lives through the call.
    check_int(unsafe { libc::chroot(root.as_ptr()) })?;
    // SAFETY: a NUL-terminated constant.
    check_int(unsafe { libc::chdir(c"/".as_ptr()) }).map(|_| ())
}

/// Starts a command whose child runs `prepare` just before it executes.
///
/// # Errors
/// As fork(2) and execve(2), and what `prepare` returns.
pub fn spawn(
    command: &mut std::process::Command,
    prepare: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static,
) -> std::io::Result<std::process::Child> {
    use std::os::unix::process::CommandExt;
    // SAFETY: the one caller's `prepare` makes system calls only: it neither allocates nor locks.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// A call waits.
    pub call: bool,
    /// Nobody is left who could call.
    pub hung_up: bool,
    /// A signal waits.
    pub signal: bool,
}

/// Waits for a call, where there is a listener, or a signal (poll(2)).
///
/// # Errors
/// As poll(2).
pub fn wait(listener: Option<BorrowedFd<'_>>, signals: BorrowedFd<'_>) -> Result<Watched, Errno> {
    // poll(2) passes over an entry with a negative number.
    let listener = listener.map_or(-1, |fd| fd.as_raw_fd());
    let mut list = [listener, signals.as_raw_fd()].map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: `list` is a live local of two entries.
    check_int(unsafe { libc::poll(list.as_mut_ptr(), 2, -1) })?;
    let [calls, signals] = list;
    Ok(Watched {
        call: calls.revents & libc::POLLIN != 0,
        hung_up: calls.revents & (libc::POLLHUP | libc::POLLERR) != 0,
        signal: signals.revents != 0,
    })
}

/// Blocks the signals that ask this program to end and the one that tells of an ended child, and returns
/// the descriptor that delivers them (signalfd(2)).
///
/// # Errors
/// As sigprocmask(2) and signalfd(2).
pub fn signals() -> Result<OwnedFd, Errno> {
    // SAFETY: `sigset_t` is plain integers, for which all zeroes is the empty set on Linux.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD] {
        // SAFETY: `set` is a live local; the signal number is valid.
        unsafe { libc::sigaddset(&mut set, signal) };
    }
    // SAFETY: `set` lives through the call; the old mask is not asked for.
    check_int(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut()) })?;
    // SAFETY: `set` lives through the call; -1 asks for a new descriptor.
    let made = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC) };
    owned(libc::c_long::from(made))
}
