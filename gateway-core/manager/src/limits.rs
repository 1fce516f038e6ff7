//! Every capacity and time of the manager, each with its unit and reason.

use core::time::Duration;

// --- talking to PID 1 and netpath ---

/// Records that wait for room in a private socket. 256 services with some forwards each fit; more
/// means that the other side has stopped reading.
pub const QUEUE_MAX: usize = 4096;

/// First wait before netpath is tried again; it doubles up to [`NETPATH_RETRY_MAX`].
pub const NETPATH_RETRY_MIN: Duration = Duration::from_millis(100);

/// Longest wait between two tries to reach netpath. PID 1 has it back within 10 s at most.
pub const NETPATH_RETRY_MAX: Duration = Duration::from_secs(2);

/// Longest wait for netpath's answer to one request, milliseconds. It makes a link in some ten
/// milliseconds; a loaded 1.2 GHz core, or its emulation, may take seconds.
pub const NETPATH_ANSWER_MS: u64 = 10_000;

/// A service whose start waits for netpath this long says so, milliseconds.
pub const NETPATH_WAIT_MS: u64 = 10_000;

/// Longest wait for PID 1's answer to one request, milliseconds. It never blocks.
pub const INIT_ANSWER_MS: u64 = 10_000;

/// Longest wait for netpath's counters before a status is answered without them.
pub const REPORT_WAIT: Duration = Duration::from_millis(500);

/// Longest wait for netpath before a changed port-forward is acknowledged, which is on disk then.
pub const FORWARD_WAIT_MS: u64 = 2_000;
/// Longest wait for an answer of netpath to one question of people: forwarding comes first there.
pub const LOOK_WAIT: Duration = Duration::from_secs(5);

/// So long a network of the Internet's side is in the way of one of ours before that moves, milliseconds: a
/// second server, whose offer may be better, is given its time. netpath asks again every four seconds.
pub const OVERLAP_STANDS_MS: u64 = 5_000;

/// Shortest time between two moves, and before one that could not be kept is tried again, milliseconds: hosts
/// of the home have asked for addresses of the last one by then.
pub const MOVE_AGAIN_MS: u64 = 60_000;

// --- the API ---

/// Over how long the rates of links are taken: short enough to wait for.
pub const RATE_SPAN: Duration = Duration::from_millis(500);

/// Flows in one list: at 250 bytes each a quarter of what a client reads.
pub const SESSIONS_LISTED: usize = 1_000;

/// Hosts and services in the list of who talks most.
pub const TALKERS_LISTED: usize = 20;

/// Longest time that a start, stop or restart holds its answer back. `hearth` waits 20 s for an
/// answer and then asks again by itself.
pub const ACTION_WAIT: Duration = Duration::from_secs(15);

/// Connections to the API in all.
pub const CONNECTIONS_MAX: usize = 64;

/// Connections of everyone but root together: root finds a place however many services ask.
pub const CONNECTIONS_OTHERS_MAX: usize = 48;

/// Connections of one user but root: no service takes another's place.
pub const CONNECTIONS_USER_MAX: usize = 8;

/// Longest wait for the head of a request, also between two requests of one connection. It comes over a
/// socket of this machine: who needs longer sends no request.
pub const HEAD_WAIT: Duration = Duration::from_secs(10);

/// Longest time from a request to the head of its answer: the longest wait of any of them
/// ([`ACTION_WAIT`]), twice.
pub const REQUEST_WAIT: Duration = Duration::from_secs(30);

/// Requests a second of each user but root: a page that is loaded by a whole family, and a scraper.
pub const REQUESTS_RATE: u64 = 20;

/// Requests of each user but root in one burst.
pub const REQUESTS_BURST: u64 = 40;

/// Users but root whose pace is known at once: each of the gateway's services, and as many again.
pub const PACED_USERS_MAX: usize = 512;

/// Largest head of a request, bytes (hyper's smallest buffer is 8 KiB).
pub const HEAD_MAX: usize = 8 * 1024;

/// Most header lines of a request; curl sends four.
pub const HEADERS_MAX: usize = 32;

/// Requests that wait for the loop.
pub const REQUESTS_MAX: usize = 64;

// --- what services never get, beside gateway.toml's [reserve] ---

/// Share of the disk's time that is the system's, thousandths.
pub const IO_SYSTEM: u32 = 200;

/// `io.bfq.weight` of all services together, beside the 100 that the system's group has: four to one,
/// as [`IO_SYSTEM`] says.
pub const SERVICES_IO_WEIGHT: &str = "400";

/// Share of the line, each way, that no service can reserve, thousandths: it is the home's own, and
/// the gateway's.
pub const LINE_SYSTEM: u32 = 200;

/// Steps of the search for the fewest services to end: some ten milliseconds of a 1.2 GHz core. Twenty
/// services and less never need as many.
pub const CHOICE_STEPS_MAX: u32 = 20_000;

/// Looks at a service's processes for ones that were made while the earlier ones got their place.
pub const OOM_SCORE_ROUNDS: usize = 4;

/// Room on the data partition that is the system's, bytes: state, packages in the middle of an update.
pub const STORAGE_SYSTEM: u64 = 64 * 1024 * 1024;

/// Processes and threads that are the system's; a booted gateway has about 100.
pub const PIDS_SYSTEM: u32 = 2048;

/// Processes and threads there can be where the kernel does not say (`pid_max`, proc(5)).
pub const PIDS_DEFAULT: u32 = 32_768;

// --- starting a service ---

/// Tries to get a free loop device: another process may take each one first.
pub const LOOP_TRIES: usize = 8;

/// Share of `memory.max` that each private temporary file system may fill: one part in this many.
/// Its pages are charged to the service.
pub const TMP_PARTS: u64 = 2;

/// Most open descriptors of a service (`RLIMIT_NOFILE`).
pub const OPEN_FILES_MAX: u32 = 1024;

/// A kernel thread that was made just now is moved into its cgroup as soon as it has run once: tries, and
/// the wait between two of them. A fifth of a second in all: nothing else goes on meanwhile.
pub const THREAD_MOVE_TRIES: u32 = 40;

/// The wait.
pub const THREAD_MOVE_WAIT: Duration = Duration::from_millis(5);

// --- readiness and signs of life ---

/// First pause between two looks whether a service is ready, milliseconds; it doubles.
pub const LOOK_AFTER_MIN_MS: u64 = 100;

/// Longest pause between two such looks, milliseconds: a look is two small files, a probe a process.
pub const LOOK_AFTER_MAX_MS: u64 = 2_000;

/// A probe that was asked for and not told of for so long is asked for again, milliseconds. PID 1 ends
/// one after 30 s.
pub const PROBE_ANSWER_MS: u64 = 40_000;

/// Time that a run which waits gets after a new manager has come, milliseconds: it may have been ready
/// before, and the new manager has to look first.
pub const WATCH_AGAIN_MS: u64 = 5_000;

/// Longest table of sockets that is read, bytes: 1,700 sockets. The kernel lists those that listen first.
pub const SOCKET_TABLE_MAX: u64 = 256 * 1024;

/// Longest message at a notify socket, bytes; `STATUS=` is its only long part.
pub const NOTE_MAX: usize = 1024;

/// Messages that are read at once from a notify socket; then [`NOTES_PER_SECOND`]. What comes faster waits
/// in the socket, and then its sender.
pub const NOTES_BURST: u32 = 32;

/// Messages a second that are read from one notify socket: a ping each half second, and a busy status.
pub const NOTES_PER_SECOND: u32 = 8;

/// Longest text of `STATUS=` that is kept, characters: two lines of a console.
pub const STATUS_TEXT_MAX: usize = 120;

/// A service whose end waits for the end of those that need it goes on after so long, milliseconds, beyond
/// the longest grace time that PID 1 grants them.
pub const DEPENDENTS_WAIT_MS: u64 = 310_000;

// --- files that are read ---

/// Largest state file, bytes: 256 services of about 100 bytes, ten times over.
pub const STATE_MAX: u64 = 256 * 1024;

/// Largest single-value file of the kernel that is read, bytes.
pub const KERNEL_FILE_MAX: u64 = 16 * 1024;

/// Packages looked at in one folder; more can have no number anyhow.
pub const PACKAGES_MAX: usize = 1024;

/// Largest record of the kernel's log, bytes (kernel/printk, `PRINTK_MESSAGE_MAX`, and its prefix).
pub const KERNEL_RECORD_MAX: usize = 8 * 1024;

// --- logs of services ---

/// Size of one log file, bytes; there are two for each service, in memory (`/run` is tmpfs).
pub const LOG_FILE_MAX: u64 = 128 * 1024;

/// Longest line of a service's output, bytes; a longer one is split.
pub const LOG_LINE_MAX: usize = 4096;

/// Output read in one turn, bytes: a quarter of a pipe.
pub const LOG_READ_MAX: usize = 16 * 1024;

/// Output kept, bytes a second: a busy server's access log. More is dropped and counted.
pub const LOG_RATE: u64 = 32 * 1024;

/// Output kept in one burst, bytes: a program's start-up messages.
pub const LOG_BURST: u64 = 128 * 1024;

/// Pause after a turn that dropped lines: a flood costs at most 640 KiB of reading a second.
pub const LOG_FLOOD_PAUSE: Duration = Duration::from_millis(25);

/// Lines that a slow reader of a log may fall behind before it misses some.
pub const LOG_FOLLOW_LINES: usize = 256;

/// Readers that follow logs at once, in all services together.
pub const LOG_FOLLOWERS_MAX: usize = 16;

// --- events ---

/// Longest text of one event, characters.
pub const EVENT_TEXT_MAX: usize = 512;

/// Readers that follow events at once: a console, a page, an operator, each in more than one place.
pub const EVENT_FOLLOWERS_MAX: usize = 8;

/// A stream of events that is silent for so long gets an empty comment.
pub const EVENT_KEEP_ALIVE: Duration = Duration::from_secs(15);

// --- looking for what is wrong ---

/// Longest wait for a resolver or the next hop.
pub const PROBE_WAIT: Duration = Duration::from_secs(2);

/// A NAT table that is this full is called full, percent.
pub const NAT_FULL_PERCENT: u64 = 95;

/// A disk or quota that is this full is called full, percent.
pub const STORAGE_FULL_PERCENT: u64 = 95;

/// A clock before this was never set, seconds since 1970: 2026-01-01, before this program was made.
pub const CLOCK_EARLIEST: u64 = 1_767_225_600;

// --- congestion ---

/// Time between two looks at who waits for what while somebody does, milliseconds: what is short is told within
/// 5 s, of which [`PEEK_MS`] may have passed before the first look.
pub const LOOK_MS: u64 = 1000;

/// Longest wait for netpath's answers about the line before a look goes without them, milliseconds. Under a flood
/// packets come first there.
pub const QUEUES_WAIT_MS: u64 = 1500;

/// Time between two glances at line and data partition while nobody waits, milliseconds: less than
/// one wake-up a second, together with the accounts'.
pub const PEEK_MS: u64 = 1500;

/// So long everyone is looked at after the last sign that somebody waits, milliseconds.
pub const CALM_MS: u64 = 10_000;

/// Window of the triggers by which the kernel tells that somebody waits, microseconds. Two seconds are what it
/// grants to whoever lacks `CAP_SYS_RESOURCE`, too (kernel document psi).
pub const STALL_WINDOW_US: u64 = 2_000_000;

/// So much of the window somebody must have waited, microseconds: the share of [`WAIT_ENTER`]. All of them together
/// wait at least as long as each one.
pub const STALL_US: u64 = STALL_WINDOW_US / 1000 * WAIT_ENTER;

/// A line that is used this much may have packets that wait, percent: it was full for a part of [`PEEK_MS`].
pub const LINE_BUSY_PERCENT: u128 = 25;

/// A service takes part once it has run for so long, milliseconds.
pub const SETTLE_MS: u64 = 20_000;

/// A sample is compared with the one this many before it, or the oldest there is: a disk is written in bursts.
pub const SPAN_SAMPLES: usize = 2;

/// Samples in a row that must name the same culprit before it is told.
pub const CONFIRM_SAMPLES: u32 = 2;

/// Samples without a finding before it is over: ten seconds.
pub const CLEAR_SAMPLES: u32 = 10;

/// Share of the time that somebody must wait before it is told, thousandths.
pub const WAIT_ENTER: u64 = 150;

/// Share of the time below which nobody is said to wait any more, thousandths.
pub const WAIT_LEAVE: u64 = 75;

/// Who has this much of its own hard limit waits for that, percent.
pub const AT_MAX_PERCENT: u128 = 90;

/// Bytes that wait for the line and are not just one burst: ten full packets.
pub const LINE_WAITING_MIN: u64 = 15_000;

/// The least that somebody must have, beyond what was promised, to be in the way of others.
pub const BEYOND_MIN: Beyond = Beyond {
    cpu_us: 100_000,
    memory: 16 * 1024 * 1024,
    io: 256 * 1024,
    line: 4 * 1024,
};

/// An amount of each resource.
#[derive(Clone, Copy, Debug)]
pub struct Beyond {
    /// Microseconds of processor time a second.
    pub cpu_us: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of disk a second.
    pub io: u64,
    /// Bytes of the line a second.
    pub line: u64,
}

// --- accounting ---

/// Length of one usage record, seconds. Records begin at full hours of UTC.
pub const HOUR_SECONDS: u64 = 3600;

/// A wall clock that is this far from where it should be was set, seconds; less is a late sample.
pub const CLOCK_STEP_SECONDS: u64 = 5;

/// Time between two samples of the counters, milliseconds: memory between them is taken as a straight line.
pub const SAMPLE_MS: u64 = 10_000;

/// Samples between two checkpoints on disk: a power cut loses one minute at most, and flash is written
/// once a minute.
pub const SAMPLES_PER_CHECKPOINT: u32 = 6;

/// Records that wait for a disk that takes them: 256 services for 16 hours. More are refused and counted.
pub const RECORDS_WAITING_MAX: usize = 4096;

/// Size at which a file of records is full and the next one begins, bytes: about 8,000 records.
pub const USAGE_FILE_MAX: u64 = 4 * 1024 * 1024;

/// Files of records that are kept: 128 MiB, which is three years of ten services. The oldest goes first.
pub const USAGE_FILES_MAX: usize = 32;

/// Largest checkpoint, bytes: 256 open rows and every waiting record, of about 500 bytes each.
pub const CHECKPOINT_MAX: u64 = 4 * 1024 * 1024;

/// Bytes of records that are read at once while they are sent to whoever asked.
pub const USAGE_READ_MAX: usize = 64 * 1024;

/// Piece of an image that is read or copied at once, bytes: whole blocks, and little of a small machine's memory.
pub const PIECE: usize = 256 * 1024;
