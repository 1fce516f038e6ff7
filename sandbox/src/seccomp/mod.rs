//! The system-call filter: policy files, what they add up to, and the program the kernel runs.

pub mod abi;
pub mod constants;
pub mod data;
pub mod filter;
pub mod lint;
pub mod policy;

#[cfg(test)]
pub(crate) mod interpreter;
