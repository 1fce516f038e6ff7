//! The machine and its processes: the boot clock, signals, file ownership masks.

use super::check;
use core::mem;
use std::io;

/// Milliseconds since boot, suspend included (`CLOCK_BOOTTIME`, clock_gettime(2)).
///
/// # Errors
/// As clock_gettime(2).
pub fn boot_clock_ms() -> io::Result<u64> {
    // SAFETY: `timespec` is integers, for which all zeroes is a value.
    let mut time: libc::timespec = unsafe { mem::zeroed() };
    // SAFETY: `time` is a live local of the right type.
    check(unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) })?;
    // The boot clock starts at 0 and its nanoseconds are below one second: neither is negative.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    Ok(seconds
        .saturating_mul(1000)
        .saturating_add(nanoseconds / 1_000_000))
}

/// Microseconds that the machine has run since boot, suspend excluded (`CLOCK_MONOTONIC`): the clock of the
/// kernel's log.
///
/// # Errors
/// As clock_gettime(2).
pub fn running_clock_us() -> io::Result<u64> {
    // SAFETY: `timespec` is integers, for which all zeroes is a value.
    let mut time: libc::timespec = unsafe { mem::zeroed() };
    // SAFETY: `time` is a live local of the right type.
    check(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) })?;
    // As for the boot clock: neither is negative.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    Ok(seconds
        .saturating_mul(1_000_000)
        .saturating_add(nanoseconds / 1000))
}

/// Level of the kernel's Landlock; 0 where it has none (landlock_create_ruleset(2)).
#[must_use]
pub fn landlock_level() -> u32 {
    const CREATE_RULESET: libc::c_long = 444; // in all word sizes (syscalls(2))
    const VERSION: libc::c_uint = 1; // linux/landlock.h
    let nothing = core::ptr::null::<u8>();
    // SAFETY: with this flag the kernel reads no structure: null and 0 are what it asks for.
    let level = unsafe { libc::syscall(CREATE_RULESET, nothing, 0_usize, VERSION) };
    u32::try_from(level).unwrap_or(0)
}

/// Asks a process to end (SIGTERM, kill(2)). Ids that mean groups or everyone are refused.
///
/// # Errors
/// As kill(2); `InvalidInput` for 0, 1 and what is no process id.
pub fn terminate(pid: u32) -> io::Result<()> {
    match libc::pid_t::try_from(pid) {
        Ok(pid) if pid > 1 => {
            // SAFETY: kill(2) takes no pointer.
            check(unsafe { libc::kill(pid, libc::SIGTERM) })?;
            Ok(())
        }
        Ok(_) | Err(_) => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}
