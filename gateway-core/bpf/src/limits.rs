//! Sizes, with their reason.

/// Largest netlink answer that is read, bytes: one link with all its attributes needs below 4 KiB
/// (netlink(7) advises 8 KiB).
pub const ANSWER_MAX: usize = 16 * 1024;

/// Bytes of the verifier's log that an error keeps.
pub const LOG_MAX: usize = 4 * 1024;

/// Notices that [`crate::netlink::Watch::drain`] takes at once; more wait for the next wake-up.
pub const DRAIN_MAX: u32 = 64;
