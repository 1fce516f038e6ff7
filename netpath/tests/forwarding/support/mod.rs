//! What the tests of the real program need: a home and its Internet, and the manager's side.

pub mod lab;
pub mod manager;
pub mod peers;
pub mod sniffer;
pub mod tap;
