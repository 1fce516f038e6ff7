//! Every capacity and time of PID 1, each with its unit and reason.

use hearth_model::protocol::{RestartPolicy, RestartWhen};

/// Time a child may take from clone to the exec of its program, milliseconds. A launcher needs some
/// ten milliseconds on the 1.2 GHz Atom; emulated and loaded it has been seen to need seconds.
pub const START_MAX_MS: u64 = 30_000;

/// Time a child gets to end by itself after it reported a failed step, milliseconds.
pub const FAILED_STEP_EXIT_MS: u64 = 2_000;

/// A process that SIGKILL has not ended is sent it again after this, milliseconds: it may sit in
/// an uninterruptible wait (a dead NFS server), which no signal ends.
pub const KILL_RETRY_MS: u64 = 5_000;

/// Time a probe may take, milliseconds: one that hangs is ended, so that the next one can be made. It
/// starts as slowly as a service.
pub const PROBE_MAX_MS: u64 = START_MAX_MS;

/// Messages that are taken from a service's notify socket before a run of it; the kernel keeps no more
/// than `net.unix.max_dgram_qlen` and one, 11 unless somebody has set it.
pub const STALE_NOTES_MAX: usize = 1_024;

/// Longest grace time that PID 1 grants a service, milliseconds, whatever its manifest says.
pub const STOP_GRACE_MAX_MS: u32 = 300_000;

/// Longest grace time while the machine goes down, milliseconds.
pub const SHUTDOWN_GRACE_MAX_MS: u32 = 10_000;

/// Signal that asks a system unit to end (SIGTERM; the shell gets SIGHUP instead, signal(7)).
pub const SYSTEM_STOP_SIGNAL: u8 = 15;

/// Signal that asks the console's shell to end: an interactive shell ignores SIGTERM (bash(1)).
pub const CONSOLE_STOP_SIGNAL: u8 = 1;

/// Grace time of a system unit, milliseconds.
pub const SYSTEM_STOP_GRACE_MS: u32 = 3_000;

/// System units are never given up; the wait stays short, since a gateway without them is no gateway.
pub const SYSTEM_RESTART: RestartPolicy = RestartPolicy {
    when: RestartWhen::Always,
    delay_min_ms: 200,
    delay_max_ms: 10_000,
    retries_max: 0,
    reset_after_ms: 30_000,
};

/// The console starts when netpath and the manager run, or after this, milliseconds: a person must
/// get a shell on a gateway whose manager does not start.
pub const CONSOLE_WAIT_MS: u64 = 10_000;

/// Shutdown: all services together, milliseconds: [`SHUTDOWN_GRACE_MAX_MS`] and time to die.
pub const STOP_SERVICES_MAX_MS: u64 = 12_000;

/// Shutdown: one system unit, milliseconds: [`SYSTEM_STOP_GRACE_MS`] and time to die.
pub const STOP_SYSTEM_MAX_MS: u64 = 4_000;

/// Shutdown: whatever else runs, after SIGTERM and again after SIGKILL, milliseconds.
pub const STOP_REST_MAX_MS: u64 = 2_000;

/// Shutdown: `/data` is tried again this often, milliseconds; a loop device lets go of its file late.
pub const UNMOUNT_RETRY_MS: u64 = 200;

/// Shutdown: tries to unmount `/data` before it is made read-only instead.
pub const UNMOUNT_TRIES: u8 = 15;

/// Requests taken from the manager in one turn of the loop; the rest waits for the next turn.
pub const REQUESTS_PER_TURN: usize = 32;

/// Refusals that wait for room in the manager's socket; at this many no more requests are read.
pub const REFUSALS_MAX: usize = 16;

/// Time between two looks for full output pipes while the manager is away, milliseconds: the longest that a service
/// waits which fills its pipe then, and a hundred small wake-ups a second of a gateway that is out of order.
pub const OUTPUT_LOOK_MS: u64 = 10;

/// Output that is read at once to be forgotten, bytes: a quarter of a pipe.
pub const OUTPUT_READ_MAX: usize = 16 * 1024;

/// Such reads from one pipe in one turn of the loop: a whole pipe.
pub const OUTPUT_READS: usize = 4;

/// Children reaped in one turn of the loop.
pub const REAPS_PER_TURN: usize = 64;

/// Longest flat list (modules, kernel settings), bytes: some hundred lines.
pub const LIST_MAX: usize = 16 * 1024;

/// Longest line on the console or in the kernel's log, bytes (`LOG_LINE_MAX` of printk is 1024).
pub const LINE_MAX: usize = 400;

/// Wait between two looks whether a controller is back in cgroup v2, milliseconds.
pub const CONTROLLER_BACK_MS: u64 = 5;

/// Looks whether it is back: a second in all; some ten milliseconds are usual.
pub const CONTROLLER_BACK_TRIES: u32 = 200;

/// Descriptors PID 1 may hold: ten for each of 256 services, and its own. `INR_OPEN_MAX` of the
/// kernel, the hard limit PID 1 is born with, is 4096.
pub const OPEN_FILES: u64 = 4096;

/// Soft limit of descriptors of a system unit (`INR_OPEN_CUR` of the kernel): select(2) breaks above.
pub const CHILD_OPEN_FILES: u64 = 1024;

/// First descriptor number used while a child places its own; the launcher expects only 0 to 5.
pub const SPARE_FD_MIN: i32 = 16;

/// Size limit of `/run` and `/tmp`, for tmpfs(5): sockets and logs are small, an eighth of 2 GiB each.
pub const TMPFS_OPTIONS: &core::ffi::CStr = c"mode=0755,size=12%";

/// Options of `/tmp` and `/dev/shm`: everyone may write, only owners remove.
pub const TMPFS_SHARED_OPTIONS: &core::ffi::CStr = c"mode=1777,size=12%";

/// `oom_score_adj` of netpath: the home's traffic dies last (proc(5): -1000 to 1000).
pub const NETPATH_OOM_SCORE: &str = "-900";

/// `oom_score_adj` of the manager: it comes back without harm, services would not.
pub const MANAGER_OOM_SCORE: &str = "-800";

/// Signal that makes PID 1 panic on purpose, taken only where the kernel command line has the word
/// `hearth.test`: a real-time signal (signal(7)) that nothing else sends.
pub const TEST_PANIC_SIGNAL: i32 = 40;
