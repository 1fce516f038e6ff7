//! The system-call filter: policy files, what they add up to, and the program the kernel runs.

pub mod abi;
pub mod compiled;
pub mod constants;
pub mod data;
pub mod error;
pub mod fate;
pub mod filter;
pub mod instruction;
pub mod lint;
pub mod policy;
pub mod tree;

#[cfg(test)]
pub(crate) mod interpreter;
