//! Sizes, with their reason.

/// Largest netlink answer that is read, bytes: one link with all its attributes needs below 4 KiB
/// (netlink(7) advises 8 KiB).
pub const ANSWER_MAX: usize = 16 * 1024;

/// Messages that are read for one answer: a dump of the addresses or links of a home needs a few.
pub const ANSWERS_MAX: u32 = 1024;

/// How long the kernel's answer is waited for, ms: it is there when send(2) returns, unless it was lost.
pub const PATIENCE_MS: u16 = 5_000;

/// Bytes of the end of the verifier's log that an error keeps.
pub const LOG_MAX: usize = 4 * 1024;

/// Bytes of the verifier's log that are read, only where it refuses: its reason comes last, after a line
/// for every instruction that it followed.
pub const LOG_READ_MAX: usize = 1024 * 1024;

/// Bytes of an object file; ours are below 16 KiB.
pub const OBJECT_MAX: usize = 256 * 1024;

/// Functions of an object.
pub const FUNCTIONS_MAX: usize = 16;

/// Instructions of a function: the kernel's own limit for a program without privilege
/// (`BPF_MAXINSNS`); ours have below 400.
pub const INSTRUCTIONS_MAX: usize = 4096;

/// Maps of an object.
pub const MAPS_MAX: usize = 16;

/// Bytes of a name in an object; the kernel keeps the first 15.
pub const NAME_MAX: usize = 64;

/// Bytes of a packet that a test run gives back: an Ethernet frame and what a program may put before it.
pub const PACKET_MAX: usize = 2048;

/// Notices that [`crate::netlink::Watch::drain`] takes at once; more wait for the next wake-up.
pub const DRAIN_MAX: u32 = 64;
