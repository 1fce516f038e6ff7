//! The NAT machine: every IPv4 packet of the home, the Internet and the services comes here, and
//! leaves with a [`Verdict`].

use crate::counters::{Counters, DropReason};
use crate::wire::ipv4::Ipv4;
use core::net::Ipv4Addr;
use core::ops::Range;
use hearth_model::protocol::{Forward, NetRefusal, NetReport, NetworkPolicy, WanLease, Zone};
use hearth_model::{ServiceId, Tick};

/// What does not change while the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatConfig {
    /// The gateway's address in the home.
    pub lan_address: Ipv4Addr,
    /// Length of the home's prefix, bits.
    pub lan_prefix: u8,
    /// First address of the services' subnet; its next is the gateway's end of every link.
    pub services_subnet: Ipv4Addr,
    /// Length of the services' prefix, bits.
    pub services_prefix: u8,
    /// MTU towards the home, bytes.
    pub lan_mtu: u16,
    /// MTU towards the Internet, bytes.
    pub wan_mtu: u16,
    /// MTU of the services' links, bytes.
    pub services_mtu: u16,
    /// Keys the hash tables and the choice of ports: random, new at each start, never told.
    pub secret: u64,
}

/// What changes the machine besides packets and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatEvent {
    /// The WAN's address came, changed or went. Flows live on while it is away, and end where
    /// another one comes.
    WanAddress(Option<WanLease>),
    /// A routed service's link is up, or its policy changed.
    Attach {
        /// Which service.
        id: ServiceId,
        /// Its address: the services' subnet plus 2 plus its number.
        address: Ipv4Addr,
        /// Where it may open connections.
        policy: NetworkPolicy,
    },
    /// The service's link goes: its forwards and flows end.
    Detach {
        /// Which service.
        id: ServiceId,
    },
    /// Open a port of the gateway to a service.
    Forward(Forward),
    /// Close all ports of a service; flows that came through them end.
    Unforward {
        /// Which service.
        id: ServiceId,
    },
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Write it, rewritten, back to the kernel, which routes it out.
    Forward,
    /// It is for the gateway itself and unchanged: write it back to the kernel, which delivers it.
    Local,
    /// An answer of a DHCP server: give these bytes of it to the DHCP machine, and nothing to the
    /// kernel.
    Dhcp(Range<usize>),
    /// Write the first so many bytes of `reply` to the kernel instead of it.
    Reply(usize),
    /// Forget it.
    Drop(DropReason),
}

/// The NAT machine.
#[derive(Debug)]
pub struct Nat {
    counters: Counters,
}

impl Nat {
    /// A machine without flows; all memory that it will ever use is allocated here.
    #[must_use]
    pub fn new(_config: NatConfig) -> Nat {
        Nat {
            counters: Counters::default(),
        }
    }

    /// Decides about one packet and rewrites it in place. `reply` has at least
    /// [`crate::limits::REPLY_MAX`] bytes.
    pub fn packet(
        &mut self,
        from: Zone,
        packet: &mut [u8],
        _now: Tick,
        _reply: &mut [u8],
    ) -> Verdict {
        self.counters.receive(from);
        let reason = match Ipv4::parse(packet) {
            Ok(_) => DropReason::NoWanAddress,
            Err(reason) => reason,
        };
        self.counters.drop(reason);
        Verdict::Drop(reason)
    }

    /// Takes a change.
    ///
    /// # Errors
    /// A [`NetRefusal`]; nothing was changed.
    pub fn event(&mut self, _event: NatEvent, _now: Tick) -> Result<(), NetRefusal> {
        Ok(())
    }

    /// Ends the flows whose time is over.
    pub fn tick(&mut self, _now: Tick) {}

    /// When [`Nat::tick`] has something to do; `None` while there are no flows.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        None
    }

    /// Totals for the manager.
    #[must_use]
    pub fn report(&self) -> NetReport {
        NetReport::default()
    }

    /// Packets by verdict.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
