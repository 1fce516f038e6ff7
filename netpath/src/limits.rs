//! Every capacity, timeout and size of this crate, with its unit, reason and source.
//!
//! Memory of a full table: sessions 32,768 x 128 B, mappings and peers 32,768 x 20 B each, their
//! indexes 1 MiB, external ports 384 KiB, fragments 1.5 MiB: about 6.7 MiB, all of it allocated once.

use hearth_model::BitsPerSec;
pub use hearth_model::limits::{DHCP_CLIENT_PORT, LOCAL_PORT_FIRST, LOCAL_PORT_LAST};

/// Flows that can be tracked at once. A busy home has hundreds; a torrent client opens thousands.
pub const SESSIONS_MAX: usize = 32_768;

/// Flows that one home host or one service may hold of [`SESSIONS_MAX`] (RFC 6888 REQ-4: a limit
/// per subscriber), so that one of them can not take the table from the others.
pub const HOST_SHARE: u32 = 4_096;

/// Home hosts and services that can hold flows at once.
pub const HOSTS_MAX: usize = 1_024;

/// First external port that is no well-known one: those below are for mappings of such ports alone
/// (RFC 4787 REQ-3a).
pub const EXTERNAL_PORT_FIRST: u16 = 1_024;

/// Last external port that a mapping may get; the gateway's own start after it.
pub const EXTERNAL_PORT_LAST: u16 = LOCAL_PORT_FIRST - 1;

/// The port of a DHCP server (RFC 2131).
pub const DHCP_SERVER_PORT: u16 = 67;

/// The port of DNS over UDP, the one service whose flows get a shorter timer (RFC 4787 REQ-5a).
pub const DNS_PORT: u16 = 53;

/// A UDP flow without an outbound packet for so long ends, ms (RFC 4787 REQ-5: 5 minutes).
pub const UDP_TIMEOUT_MS: u64 = 5 * 60 * 1_000;

/// The same for a flow to [`DNS_PORT`], ms: a resolver opens a flow for each question and would
/// otherwise use up its host share at 14 questions a second (RFC 4787 REQ-5a permits it).
pub const UDP_DNS_TIMEOUT_MS: u64 = 30 * 1_000;

/// A UDP flow that the Internet has opened by a forward lasts so long after a datagram from there, ms,
/// until the service answers: invented senders then hold a service's share no longer (Linux
/// `nf_conntrack_udp_timeout`: 30 s). The next datagram would open the same flow again.
pub const UDP_UNANSWERED_TIMEOUT_MS: u64 = 30 * 1_000;

/// An established TCP flow without a packet for so long ends, ms (RFC 5382 REQ-5: 2 h 4 min).
pub const TCP_ESTABLISHED_TIMEOUT_MS: u64 = (2 * 60 + 4) * 60 * 1_000;

/// A TCP flow that opens or closes ends after so long, ms (RFC 5382 REQ-5: 4 minutes).
pub const TCP_TRANSITORY_TIMEOUT_MS: u64 = 4 * 60 * 1_000;

/// An ICMP echo flow without a request for so long ends, ms (RFC 5508 REQ-2: 60 s).
pub const ICMP_TIMEOUT_MS: u64 = 60 * 1_000;

/// How long later fragments may follow a first one, ms (Linux `ipfrag_time`: 30 s).
pub const FRAGMENT_TIMEOUT_MS: u64 = 30 * 1_000;

/// Groups of fragment records; a source's datagrams all fall into one, so that a source can only
/// displace records of its own group.
pub const FRAGMENT_GROUPS: usize = 64;

/// Datagrams under way that a group remembers.
pub const FRAGMENT_GROUP_SIZE: usize = 16;

/// Rows of the table that one page of a list looks at: a tenth of a millisecond on an Atom.
pub const LISTING_SCAN: usize = 512;

/// Packets of a flow that the machine sees before the fast path carries it: the third of a TCP
/// connection's handshake, and more than a question to a resolver and its answer.
pub const CARRY_AFTER: u8 = 3;

/// So long after this process has last been there the fast path still carries flows, ms: PID 1 needs
/// seconds to start it again, also a few times in a row, and no flow that lives at its death has a timer
/// that ends in that time but those of questions to resolvers (RFC 4787 REQ-5: at least 2 minutes). Longer
/// would only keep a gateway going whose NAT nobody can change any more.
pub const HEARTBEAT_MS: u64 = 60_000;

/// How often this process says that it is there, ms.
pub const BEAT_MS: u64 = 10_000;

/// Steps of the timer wheel in which all carried flows are looked at. Shorter than the shortest timer
/// ([`UDP_DNS_TIMEOUT_MS`]), so that a permission which a carried flow keeps alive does not lapse.
pub const SWEEP_STEPS: usize = 10;

/// Fragments that a group keeps for first ones which have not come yet. A datagram of 24 KB in reversed
/// order fits; larger ones come in order, or are lost as a whole.
pub const FRAGMENT_GROUP_HELD: usize = 16;

/// How long such a fragment is kept, ms: packets that overtake each other do so within milliseconds.
pub const FRAGMENT_HELD_MS: u64 = 2_000;

/// Longest one that is kept, bytes: one Ethernet frame's.
pub const FRAGMENT_HELD_MAX: usize = 1_500;

/// Step of the timer wheel, ms: a flow ends at most this late.
pub const WHEEL_STEP_MS: u64 = 1_000;

/// Steps around the wheel; a later deadline is looked at once a round.
pub const WHEEL_SLOTS: usize = 256;

/// ICMP errors that the NAT machine sends in a second at most (RFC 1812 4.3.2.8: limit the rate).
pub const ICMP_ERRORS_PER_SECOND: u32 = 100;

/// Ends of TCP connections that are told one by one when their address in the Internet has gone. A busy home
/// has hundreds; 16 bytes each.
pub const FAREWELLS_MAX: usize = 4_096;

/// Largest ICMP error that the NAT machine makes, bytes (RFC 1812 4.3.2.3: at most 576).
pub const REPLY_MAX: usize = 576;

/// Smallest MTU that IPv4 permits, bytes (RFC 791); smaller values in errors are hostile.
pub const MTU_MIN: u16 = 68;

/// First wait for an answer of a DHCP server, ms; doubles up to [`DHCP_RETRY_MAX_MS`] (RFC 2131
/// 4.1: 4, 8, 16, 32, 64 s, each with up to a second more or less).
pub const DHCP_RETRY_MIN_MS: u64 = 4_000;

/// Longest wait for an answer of a DHCP server, ms.
pub const DHCP_RETRY_MAX_MS: u64 = 64_000;

/// How far a wait for an answer is moved at random, ms, earlier or later (RFC 2131 4.1).
pub const DHCP_RETRY_JITTER_MS: u64 = 1_000;

/// Requests sent for one offer before another is looked for (RFC 2131 4.4.1 and 3.1 step 4).
pub const DHCP_REQUESTS_MAX: u32 = 4;

/// Shortest wait between two requests while renewing, ms (RFC 2131 4.4.5: 60 s).
pub const DHCP_RENEW_MIN_MS: u64 = 60_000;

/// Shortest lease that is taken, s: a shorter one would keep the client busy for ever.
pub const DHCP_LEASE_MIN_S: u32 = 60;

/// Longest wait after a refused lease before looking again, ms (RFC 2131 3.1 step 5: 10 s).
pub const DHCP_NAK_WAIT_MS: u64 = 10_000;

/// Shortest wait after an address was declined, ms (RFC 2131 3.1 step 5: 10 s at least).
pub const DHCP_DECLINE_WAIT_MS: u64 = 10_000;

/// Longest wait before the first ARP probe of an address, ms (RFC 5227 section 1.1, `PROBE_WAIT`).
pub const ACD_PROBE_WAIT_MS: u64 = 1_000;

/// ARP probes of an address before it is used (RFC 5227 section 1.1, `PROBE_NUM`).
pub const ACD_PROBES: u32 = 3;

/// Shortest wait between two probes, ms (RFC 5227 section 1.1, `PROBE_MIN`).
pub const ACD_PROBE_MIN_MS: u64 = 1_000;

/// Longest wait between two probes, ms (RFC 5227 section 1.1, `PROBE_MAX`).
pub const ACD_PROBE_MAX_MS: u64 = 2_000;

/// Silence after the last probe before the address is used, ms (RFC 5227 section 1.1, `ANNOUNCE_WAIT`).
pub const ACD_SILENCE_MS: u64 = 2_000;

/// Addresses in a row that others had before the search is slowed down (RFC 5227 section 1.1, `MAX_CONFLICTS`).
pub const ACD_CONFLICTS_MAX: u32 = 10;

/// Wait between two searches from then on, ms (RFC 5227 section 1.1, `RATE_LIMIT_INTERVAL`).
pub const ACD_RATE_LIMIT_MS: u64 = 60_000;

/// Smallest guaranteed rate of a queue: HTB knows no 0.
pub const QUEUE_RATE_MIN: BitsPerSec = BitsPerSec(8_000);

/// Fastest line that is shaped: no port of a home gateway is faster.
pub const LINE_SHAPED_MAX: BitsPerSec = BitsPerSec(10_000_000_000);

/// Least that a queue may borrow in its turn, bytes: one full Ethernet frame.
pub const QUANTUM_MIN: u32 = 1_514;

/// Most that a queue may borrow in its turn, bytes: 20 frames, 12 ms of 20 Mbit/s. Weights that lie further
/// apart are taken for so far apart.
pub const QUANTUM_MAX: u32 = 20 * QUANTUM_MIN;

/// Least memory of a leaf with its own idea of delay, bytes: small packets count with their kernel part.
pub const LEAF_MEMORY_MIN: u32 = 128 * 1024;

/// Most memory of such a leaf, bytes (CAKE's own choice for a fast line).
pub const LEAF_MEMORY_MAX: u32 = 4 * 1024 * 1024;

/// Most packets of such a leaf (half of fq_codel's own 10240 would be 7.6 MB of full ones).
pub const LEAF_PACKETS: u32 = 1_000;

/// Least packets of a pfifo: with fewer, a TCP connection does not recover by itself (RFC 5681: 3 more
/// after a lost one).
pub const QUEUE_PACKETS_MIN: u32 = 10;

/// Largest DHCP message that is looked at, bytes: one Ethernet frame.
pub const DHCP_MESSAGE_MAX: usize = 1_500;
