//! The NAT machine in virtual time, both ends in one test.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test names the outcome that it expects; all others fail it"
)]

mod bridged;
mod carrier;
mod carry;
mod explain;
mod guest;
mod home;
mod household;
mod icmp;
mod limits;
mod packets;
mod properties;
mod readdress;
mod support;
mod tcp;
mod udp;
mod zones;
