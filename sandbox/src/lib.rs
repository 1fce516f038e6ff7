//! Runs one program in a sandbox.
#![deny(unsafe_code)]

pub mod seccomp;
