//! Forwarding between the home, the Internet and the services on this machine.
//!
//! Pure parts decide: [`wire`] reads and rewrites packets, [`nat`] is the NAT machine, [`dhcp`] the
//! client of the WAN's address. [`fastpath`] lets the kernel repeat what the machine has decided. The
//! binary's `edge` and `sys` turn packets, timers and records into their events.
#![deny(unsafe_code)]

// Tests here and in `tests/` share files, which name this library.
#[cfg(test)]
extern crate self as hearth_netpath;

pub mod counters;
pub mod dhcp;
pub mod fastpath;
pub mod limits;
pub mod nat;
pub mod queue;
pub mod wire;
