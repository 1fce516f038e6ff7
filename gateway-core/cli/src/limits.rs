//! Sizes and times of the client, each with unit and reason.

use core::time::Duration;

/// Width of a serial console, columns (VT100).
pub const COLUMNS: usize = 80;

/// Lines of a serial console (VT100: 24) but the one where the cursor stays.
pub const SCREEN_LINES: usize = 23;

/// Until `hearth top` shows something, where it looks less often than that.
pub const TOP_FIRST: Duration = Duration::from_secs(1);

/// Longest wait for an answer that the manager has at hand. It answers in milliseconds; a loaded
/// 1.2 GHz core, or its emulation, may take seconds.
pub const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// Longest wait for a start, stop or restart to come to its end: twice the longest sensible
/// grace time of a service (`health.stop-grace`, default 10 s) plus a start on a loaded machine.
pub const ACTION_WAIT: Duration = Duration::from_secs(120);

/// Between two looks at a service that starts or stops.
pub const ACTION_POLL: Duration = Duration::from_millis(500);

/// Longest wait of `hearth banner` for the manager and for the services to settle. A boot in
/// emulation needs about 30 s; after this time the banner says what is still on its way.
pub const BANNER_WAIT: Duration = Duration::from_secs(90);

/// Between two looks of `hearth banner`.
pub const BANNER_POLL: Duration = Duration::from_secs(1);

/// Between two tries to take up a stream of events again.
pub const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Largest answer that is read, bytes: 256 services of about 1 KiB each, four times over.
pub const ANSWER_MAX: usize = 1024 * 1024;

/// Levels of Landlock that say something new of a sandbox; those above add what is logged.
pub const LANDLOCK_LEVELS: u32 = 6;

/// Longest line of a service's log that is kept in one piece, bytes; a longer one is split.
pub const LOG_LINE_MAX: usize = 64 * 1024;

/// Largest part of a support bundle, bytes: the end of a longer one is taken, which is what happened last.
pub const PART_MAX: usize = 64 * 1024;

/// All parts of a support bundle together, bytes: it fits in memory beside all else, and in a mail.
pub const BUNDLE_MAX: usize = 2 * 1024 * 1024;

/// Longest wait for each answer of the manager that goes into a support bundle; `/v1/doctor` takes some seconds.
pub const BUNDLE_WAIT: Duration = Duration::from_secs(10);

/// Files of one folder that are looked at for a support bundle: each service, twice.
pub const BUNDLE_FILES_MAX: usize = 512;

/// Largest record of the kernel's log, bytes (kernel/printk, `PRINTK_MESSAGE_MAX`, and its prefix).
pub const KERNEL_RECORD_MAX: usize = 8 * 1024;
