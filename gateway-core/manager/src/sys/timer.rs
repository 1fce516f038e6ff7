//! A timer as a descriptor (timerfd_create(2)).

use super::check;
use core::time::Duration;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A timer that is not set, close-on-exec and non-blocking. It goes on while the machine is suspended.
///
/// # Errors
/// As timerfd_create(2).
pub fn create() -> io::Result<OwnedFd> {
    let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
    // SAFETY: timerfd_create(2) takes no pointer.
    let fd = check(unsafe { libc::timerfd_create(libc::CLOCK_BOOTTIME, flags) })?;
    // SAFETY: the kernel has just made `fd` for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes it readable once, after so long; what it was set to before is forgotten. Zero is the shortest time there is.
///
/// # Errors
/// As timerfd_settime(2).
pub fn set(timer: BorrowedFd<'_>, after: Duration) -> io::Result<()> {
    let never = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let once = libc::itimerspec {
        it_interval: never,
        it_value: libc::timespec {
            // 32 bits in both word sizes: 68 years.
            tv_sec: i32::try_from(after.as_secs()).unwrap_or(i32::MAX) as _,
            // Below 10^9. A value of 0 and 0 would be none.
            tv_nsec: after.subsec_nanos().max(1) as _,
        },
    };
    let old = core::ptr::null_mut();
    // SAFETY: `once` is a live local that the kernel only reads; it writes no old value where that is null.
    check(unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &once, old) }).map(|_| ())
}
