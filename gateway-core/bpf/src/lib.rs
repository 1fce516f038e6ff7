//! Small programs for the kernel and the rtnetlink that attaches them.
//!
//! [`object`] reads a compiled object, [`map`] makes its tables, [`program`] loads its functions and
//! holds the shortest programs as data, [`guard`] makes those that let in honest frames only, [`tc`]
//! attaches one to a network interface's ingress, [`qdisc`] sets up queues, [`netlink`] is the socket and message builder that both this crate and netpath use.
//!
//! Invariants: a program that the kernel refuses is an error with the verifier's words; a program
//! that is attached replaces its predecessor in one step, so no packet passes between them. What
//! this crate refuses to do: parse C, need BTF or the `tc` command, decide anything about packets.
#![deny(unsafe_code)]

pub mod error;
pub mod gate;
pub mod guard;
pub mod limits;
pub mod map;
pub mod netlink;
pub mod object;
pub mod program;
pub mod qdisc;
mod sys;
pub mod tc;

pub use error::{KernelError, LoadError};
