//! Packets as checked views: one length check at the door, then no read or write can go astray.
//!
//! Job: read IPv4, TCP, UDP and ICMP headers in place, rewrite addresses, ports and identifiers
//! with their checksums (RFC 1624), build ICMP errors and TCP segments without data. Invariants: a view exists only over bytes
//! that are long enough for it; a setter leaves every checksum that was right, right. What this
//! refuses to do: decide anything, allocate, or repair a packet that arrived wrong.

pub mod checksum;
pub mod icmp;
pub mod ipv4;
pub mod segment;
pub mod transport;
