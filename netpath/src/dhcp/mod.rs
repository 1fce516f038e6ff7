//! The DHCP client of the WAN's address (RFC 2131), as a machine in virtual time.

use core::net::Ipv4Addr;
use hearth_model::Tick;
use hearth_model::protocol::WanStatus;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhcpEvent<'a> {
    /// The WAN port is up: ask for an address, forgetting any that was had.
    Start,
    /// The WAN port is down: ask no more; an address that was had is lost.
    Stop,
    /// The data of a UDP datagram to the client's port ([`crate::nat::Verdict::Dhcp`]).
    Packet(&'a [u8]),
    /// Time passed ([`Dhcp::next_deadline`]); late, early and repeated ones are harmless.
    Tick,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DhcpAction {
    /// Send `payload` from port 68 of the WAN's interface to port 67 of `to`.
    Send {
        /// The UDP data.
        payload: Vec<u8>,
        /// A server's address, or the broadcast one. The source is the leased address where there
        /// is one and else 0.0.0.0.
        to: Ipv4Addr,
    },
    /// The address is ours, or its prefix, router or resolvers changed.
    Bound(WanStatus),
    /// The address is no longer ours: take it from the interface.
    Lost,
    /// An offer was not taken; for the log, once for each cause in a row.
    Refused(OfferFault),
}

/// Why a server's lease was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferFault {
    /// The address is no host's: loopback, multicast, a network's first or last.
    Address(Ipv4Addr),
    /// The netmask is missing, 0, or has holes.
    Netmask,
    /// The lease time is missing or too short.
    LeaseTime(u32),
    /// The router is not in the leased network.
    Router(Ipv4Addr),
    /// The network overlaps the home's or the services'.
    Overlap(Ipv4Addr),
}

/// What does not change while the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DhcpConfig {
    /// The WAN port's hardware address.
    pub mac: [u8; 6],
    /// Seed of the transaction numbers and of the jitter.
    pub seed: u64,
    /// Networks of our own, address and prefix length, that a lease must not overlap.
    pub inside: [(Ipv4Addr, u8); 2],
}

/// The DHCP machine.
#[derive(Debug)]
pub struct Dhcp {
    _config: DhcpConfig,
}

impl Dhcp {
    /// A stopped client.
    #[must_use]
    pub fn new(config: DhcpConfig) -> Dhcp {
        Dhcp { _config: config }
    }

    /// Takes one event and says what is to be done.
    pub fn step(&mut self, _event: DhcpEvent<'_>, _now: Tick) -> Vec<DhcpAction> {
        Vec::new()
    }

    /// When a [`DhcpEvent::Tick`] is due; `None` while stopped.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        None
    }
}
