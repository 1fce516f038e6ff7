//! Sizes and times of the edge.

/// Largest packet that is read, bytes: IPv4's own limit (RFC 791); the kernel cuts large segments
/// to the MTU before it hands them to a TUN device.
pub const PACKET_MAX: usize = 65_535;

/// Packets taken from one side before the others get their turn.
pub const BATCH: usize = 64;

/// Packets that wait in a TUN device, a miss queue in front of this process: at 1500 bytes each
/// about 3 MB, 24 ms of a gigabit. More only adds delay; three hosts that flood it do not fill it.
pub const TUN_QUEUE: u32 = 2_048;

/// Where the fast path's maps are pinned: in a bpf file system, which PID 1 mounts.
pub const PINS: &str = "/sys/fs/bpf/hearth";

/// So long after the start, flows that an earlier process has left wait for what decides about them, ms:
/// the WAN's address, and the manager, which tells of the services after it has connected again.
pub const ADOPT_MS: u64 = 30_000;

/// Counters of the fast path are read for a report at most once in so long, ms: with a full table that
/// is 65,536 reads.
pub const REPORT_MS: u64 = 1_000;

/// Wait before an Ethernet port that is missing, or could not be set up, is tried again, ms.
pub const PORT_RETRY_MS: u64 = 2_000;

/// Wait between two batches of ends inside that are told of the end of their connections, ms: all of
/// them are told within some two seconds, and the home's queue is not filled.
pub const TELL_MS: u64 = 20;

/// So long after its networks have changed this process goes on, ms: ends inside are told, answer, and are
/// answered.
pub const LINGER_MS: u64 = 1_000;

/// Wait between the two announcements of a new address, ms (RFC 5227 section 1.1: `ANNOUNCE_INTERVAL`).
pub const ANNOUNCE_MS: u64 = 2_000;

/// Longest body of an ARP packet about IPv4 on Ethernet, with what pads its frame to the shortest one, bytes.
pub const ARP_MAX: usize = 46;

/// So long the home's port is down after the home's network has changed, ms: every host at its cable notices that
/// the link was gone, and asks for an address again. NetworkManager forgives up to six seconds.
pub const LAN_DOWN_MS: u64 = 8_000;

/// Control records handled before packets get their turn.
pub const CONTROL_BATCH: usize = 16;

/// Hosts that the kernel knows are looked at at most once in so long, ms: whoever can change them often
/// is not to keep this process busy.
pub const HOSTS_MS: u64 = 100;

/// Connections that wait for accept(2): there is one manager, and its successor.
pub const CONTROL_BACKLOG: i32 = 2;

/// MTU where the kernel does not tell one, bytes (Ethernet, RFC 894).
pub const MTU_ETHERNET: u16 = 1_500;

/// Name of the bridge that the home's ports and bridged services belong to.
pub const BRIDGE: &str = "br-lan";

/// Name of the bridge that the guests' port and resolver belong to.
pub const GUEST_BRIDGE: &str = "br-guest";

/// Names of the two ends of the pair on which downloads wait: in, and out again.
pub const PAIR_NAMES: [&str; 2] = ["hp-down", "hp-down-out"];

/// MTU of the pair, bytes: every port's packet fits (IPv4's own limit, RFC 791).
pub const PAIR_MTU: u32 = 65_535;

/// What a port hands on as one packet where nothing limits it, bytes (the kernel's own `GRO_MAX_SIZE`).
pub const GRO_MAX: u32 = 65_536;

/// Names of the TUN devices of the home's, the Internet's, the services' and the guests' side.
pub const TUN_NAMES: [&str; 4] = ["hp-lan", "hp-wan", "hp-svc", "hp-guest"];

/// The same kind of fault is told once in so long, ms, with how often it came meanwhile.
pub const COMPLAIN_MS: u64 = 60_000;

/// A kernel thread that was made just now is moved into its cgroup as soon as it has run once: tries, and
/// the wait between two of them. A second in all, for a machine that is busy at its start.
pub const THREAD_MOVE_TRIES: u32 = 200;
/// The wait.
pub const THREAD_MOVE_WAIT: core::time::Duration = core::time::Duration::from_millis(5);

/// After a link has changed, the ports' threads are looked for this much later, ms: changes come in
/// groups, a port that is new needs a moment to be up, and a look reads all of /proc.
pub const THREADS_LOOK_MS: u64 = 1_000;

/// A link's new thread is the one that was not there before; tries to see it alone. On a gateway the first
/// one does: only this process makes such threads.
pub const THREAD_FIND_TRIES: u32 = 10;
