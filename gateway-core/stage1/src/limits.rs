//! Times, with their reason.

/// Longest wait for the disk's partitions, milliseconds. A SATA disk spins up in some 10 s.
pub const DISK_WAIT_MS: u64 = 20_000;

/// Between two looks for the disk, milliseconds.
pub const DISK_LOOK_MS: u64 = 50;

/// Between two lines of progress while the disk is waited for, milliseconds.
pub const PROGRESS_MS: u64 = 2_000;

/// Longest flat list of modules, bytes.
pub const LIST_MAX: u64 = 16 * 1024;

/// Pause before the recovery shell is started again, milliseconds: a console without input ends it
/// at once.
pub const SHELL_PAUSE_MS: u64 = 1_000;
