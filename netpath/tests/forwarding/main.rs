//! The real program between real peers: a home, its Internet and services, each in its own network
//! namespace. Needs root; every namespace goes with its test.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]
// What is not expected is a failure, whatever it is.
#![allow(clippy::wildcard_enum_match_arm)]

mod clients;
mod conflict;
mod fast_path;
mod forwards;
mod guest;
mod home;
mod hostile;
mod look;
mod networks;
mod overload;
mod queues;
mod readdress;
mod recovery;
mod services;
mod support;
mod threads;
