//! The system calls: signals, the clock, a disk that fills up.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{SystemTime, UNIX_EPOCH};

/// Sends a signal. Whoever is gone needs none.
pub fn signal(pid: u32, signal: i32) {
    let Ok(pid) = i32::try_from(pid) else { return };
    if pid > 1 {
        // SAFETY: kill(2) takes two numbers and touches no memory.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Seconds since 1970.
pub fn wall() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(time) => time.as_secs() as i64,
        Err(before) => -(before.duration().as_secs() as i64),
    }
}

/// Sets the clock by this many seconds.
pub fn jump(by: i64) -> io::Result<()> {
    // SAFETY: `timespec` is integers, for which all zeroes is a value.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    time.tv_sec = (wall() + by) as _;
    // SAFETY: clock_settime reads one timespec at the live `time`.
    if unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &time) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Takes this much room for a file, beyond what it has; whether there was room.
pub fn grow(file: &File, bytes: u64) -> bool {
    let at = file.metadata().map_or(0, |facts| facts.len());
    // SAFETY: posix_fallocate takes a descriptor, which lives, and two numbers.
    unsafe { libc::posix_fallocate(file.as_raw_fd(), at as _, bytes as _) == 0 }
}

/// Waits for one of these signals, which no longer do anything else.
pub fn wait_for(signals: &[i32]) -> i32 {
    // SAFETY: `sigset_t` is integers, for which all zeroes is a value.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    for &signal in signals {
        // SAFETY: the live `set` is changed.
        unsafe { libc::sigaddset(&mut set, signal) };
    }
    let mut came = 0;
    // SAFETY: the live `set` is read; nothing is written where the old one is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    // SAFETY: the live `set` is read, and one number is written to the live `came`.
    unsafe { libc::sigwait(&set, &mut came) };
    came
}
