//! The fast path's program by `BPF_PROG_TEST_RUN` against the NAT machine in Rust: every packet has the
//! fate that the machine would have given it. Needs root; the maps' pins go with each test.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod equal;
mod gso;
#[path = "../../src/nat/tests/home.rs"]
mod home;
mod pins;
mod support;
mod waiting;
