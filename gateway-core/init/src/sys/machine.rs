//! The machine as a whole: clocks, host name, loopback, modules, power.

use super::{Errno, check, check_int};
use core::mem;
use hearth_model::Tick;
use hearth_model::protocol::ShutdownKind;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The kernel's 64-bit time (`struct __kernel_timespec`, linux/time_types.h): i386 has its own system
/// calls for it, and programs that use them live past 2038.
#[repr(C)]
struct KernelTime {
    seconds: i64,
    nanoseconds: i64,
}

const _: () = assert!(mem::size_of::<KernelTime>() == 16);

#[cfg(target_pointer_width = "32")]
const CLOCK_GETTIME: libc::c_long = 403; // clock_gettime64, arch/x86/entry/syscalls/syscall_32.tbl
#[cfg(target_pointer_width = "32")]
const CLOCK_SETTIME: libc::c_long = 404; // clock_settime64, the same table
#[cfg(target_pointer_width = "64")]
const CLOCK_GETTIME: libc::c_long = libc::SYS_clock_gettime;
#[cfg(target_pointer_width = "64")]
const CLOCK_SETTIME: libc::c_long = libc::SYS_clock_settime;

fn clock(id: libc::clockid_t) -> KernelTime {
    let mut time = KernelTime {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: `time` is a live local of the layout that this call fills.
    let _ = unsafe { libc::syscall(CLOCK_GETTIME, id, &mut time) };
    // The result is not looked at: both clocks exist on every kernel since 2.6.39 and the pointer is
    // good, so the call has no way to fail (clock_gettime(2)); 0 would only be an early time.
    time
}

/// Milliseconds since boot (`CLOCK_BOOTTIME`).
#[must_use]
pub fn now() -> Tick {
    let time = clock(libc::CLOCK_BOOTTIME);
    Tick((time.seconds as u64).saturating_mul(1000) + (time.nanoseconds as u64) / 1_000_000)
}

/// Seconds since 1970 (`CLOCK_REALTIME`).
#[must_use]
pub fn wall_seconds() -> i64 {
    clock(libc::CLOCK_REALTIME).seconds
}

/// Sets the wall clock.
///
/// # Errors
/// As clock_settime(2).
pub fn set_wall_seconds(seconds: i64) -> Result<(), Errno> {
    let time = KernelTime {
        seconds,
        nanoseconds: 0,
    };
    // SAFETY: `time` is a live local of the layout that this call reads.
    check(unsafe { libc::syscall(CLOCK_SETTIME, libc::CLOCK_REALTIME, &time) }).map(|_| ())
}

/// Whether the kernel is a 64-bit one, whatever this program is (uname(2)).
#[must_use]
pub fn is_64_bit() -> bool {
    // SAFETY: `utsname` is arrays of bytes, for which all zeroes is a value.
    let mut name: libc::utsname = unsafe { mem::zeroed() };
    // SAFETY: `name` is a live local that the kernel fills; it can not fail then.
    let _ = unsafe { libc::uname(&mut name) };
    let machine = name.machine.iter().map(|&byte| byte as u8);
    machine.take_while(|&byte| byte != 0).eq(*b"x86_64")
}

/// sethostname(2).
///
/// # Errors
/// As sethostname(2).
pub fn set_host_name(name: &[u8]) -> Result<(), Errno> {
    // SAFETY: the pointer and the length are those of a live slice.
    check_int(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(|_| ())
}

/// Brings the loopback interface up (netdevice(7), `SIOCSIFFLAGS`).
///
/// # Errors
/// As socket(2) and ioctl(2).
pub fn loopback_up() -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    let raw = check_int(unsafe {
        libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)
    })?;
    // SAFETY: the kernel has just made `raw` for us; nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: `ifreq` is integers and a union of them, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = *byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the kernel reads one `ifreq`, and `request` is a live one; `socket` is open.
    check_int(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) })
        .map(|_| ())
}

/// Loads a kernel module from an open file (finit_module(2)).
///
/// # Errors
/// As finit_module(2); EEXIST where it is loaded already.
pub fn load_module(file: &File) -> Result<(), Errno> {
    // SAFETY: the descriptor is open; the parameters are an empty NUL-terminated string.
    check(unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) })
        .map(|_| ())
}

/// Hands ctrl-alt-del to PID 1 as SIGINT instead of a sudden restart (reboot(2)).
///
/// # Errors
/// As reboot(2).
pub fn take_ctrl_alt_del() -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::reboot(libc::RB_DISABLE_CAD) }).map(|_| ())
}

/// Writes all file systems' dirty pages (sync(2)).
pub fn sync() {
    // SAFETY: takes no pointer and never fails.
    unsafe { libc::sync() };
}

/// Powers off or restarts at once; returns only where the kernel refuses.
#[must_use]
pub fn go_down(kind: ShutdownKind) -> Errno {
    let command = match kind {
        ShutdownKind::PowerOff => libc::RB_POWER_OFF,
        ShutdownKind::Reboot => libc::RB_AUTOBOOT,
    };
    // SAFETY: takes no pointer.
    unsafe { libc::reboot(command) };
    Errno::last()
}

/// Takes off the limits of pending signals and of processes, which all services share: their namespaces
/// are made by this process, and what they take counts as its user's too (the limits of whoever makes a
/// user namespace hold for all that is in it). Each service has a share of its own: its launcher's limit
/// of signals, and its cgroup's of processes.
///
/// # Errors
/// As setrlimit(2).
pub fn lift_shared_limits() -> Result<(), Errno> {
    let none = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    for resource in [libc::RLIMIT_SIGPENDING, libc::RLIMIT_NPROC] {
        // SAFETY: `none` is a live local of the type the call reads.
        check_int(unsafe { libc::setrlimit(resource, &none) })?;
    }
    Ok(())
}

/// Raises the limit of open descriptors (setrlimit(2)).
///
/// # Errors
/// As setrlimit(2).
pub fn set_open_files(soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit {
        rlim_cur: soft as libc::rlim_t,
        rlim_max: hard as libc::rlim_t,
    };
    // SAFETY: `limit` is a live local of the type the call reads.
    check_int(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }).map(|_| ())
}
