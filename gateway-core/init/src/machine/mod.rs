//! The decisions of PID 1, without a clock, a file or a process: [`unit`] is the life of one
//! supervised thing, [`shutdown`] the order in which the machine goes down.

pub mod shutdown;
pub mod unit;
