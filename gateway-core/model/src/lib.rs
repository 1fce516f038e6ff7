//! What every Hearth process agrees on: names, units, states, the records on the private sockets,
//! the sandbox plan, the manifest and the gateway's configuration.
//!
//! Invariants: no I/O, no clock, no thread, no `unsafe`; a type that crosses a process boundary is
//! defined here and nowhere else. What this crate refuses to do: read a file, open a socket or ask
//! what time it is; callers hand in text, bytes and [`Tick`]s.
//!
//! PID 1 is built without the `std` feature: it then sees only fixed-size types.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![forbid(unsafe_code)]

pub mod audit;
pub mod drops;
pub mod ids;
pub mod limits;
pub mod poll;
pub mod protocol;
pub mod state;
pub mod step;
pub mod units;

#[cfg(feature = "std")]
pub mod api;
#[cfg(feature = "std")]
pub mod calendar;
#[cfg(feature = "std")]
pub mod cgroup;
#[cfg(feature = "std")]
pub mod explain;
#[cfg(feature = "std")]
pub mod gate;
#[cfg(feature = "std")]
pub mod gateway;
#[cfg(feature = "std")]
pub mod hex;
#[cfg(feature = "std")]
pub mod manifest;
#[cfg(feature = "std")]
pub mod networks;
#[cfg(feature = "std")]
pub mod plan;
#[cfg(feature = "std")]
pub mod queues;
#[cfg(feature = "std")]
pub mod trace;
#[cfg(feature = "usage")]
pub mod usage;

pub use ids::{ServiceId, ServiceName};
pub use units::{BitsPerSec, Bytes, BytesPerSec, MilliCpu, PerMille, Tick};
