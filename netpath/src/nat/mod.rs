//! The NAT machine: every IPv4 packet of the home, the Internet and the services comes here, and
//! leaves with a [`Verdict`] (RFC 4787 for UDP, 5382 for TCP, 5508 for ICMP, 7857 on all three).
//!
//! Invariants: nothing is allocated after [`Nat::new`]; no work grows with the number of flows but
//! for rare events (another WAN address, a service that leaves); a live flow is never removed to
//! make room (a finished one may be); a packet that is not forwarded is unchanged; no inside address leaves for the
//! Internet. What this refuses to do: read a clock, do I/O, reassemble, follow sequence numbers,
//! look into what packets carry (no application gateways: RFC 4787 REQ-10).
//!
//! Start at `Nat::decide`; `judge` finds what becomes of a packet and changes nothing, `plan` is the policy,
//! `translate` the rewrite, `sessions` the table.

mod carry;
mod events;
mod explain;
mod farewell;
mod flows;
mod fragments;
mod guest;
mod hash;
mod household;
mod judge;
mod listing;
mod mappings;
mod places;
mod plan;
mod refuse;
mod services;
mod sessions;
mod shares;
mod table;
mod tcp;
mod timers;
mod translate;

#[cfg(test)]
mod tests;

use crate::counters::{Counters, DropReason};
use crate::limits::{DHCP_CLIENT_PORT, DHCP_SERVER_PORT, SESSIONS_MAX};
use crate::wire::icmp;
use crate::wire::ipv4::{Ipv4, Part};
use crate::wire::segment;
use crate::wire::transport::{self, Ports, Protocol, UDP_HEADER_LEN};
use core::net::Ipv4Addr;
use core::ops::Range;
use farewell::Farewells;
use flows::told;
use fragments::{DatagramKey, Followed, Fragments};
use hash::Hasher;
use hearth_model::gateway::NatChoices;
use hearth_model::protocol::{
    Charged, Forward, HouseholdForward, NetReport, NetworkPolicy, WanLease, WanPorts, Zone,
};
use hearth_model::queues::CodePoint;
use hearth_model::{ServiceId, Tick};
use household::Household;
use judge::{Arrival, Step};
use mappings::Mappings;
use places::Places;
use refuse::{Answer, Limiter, Refusal};
use services::Services;
use sessions::{Sessions, Side};
use shares::{Hosts, Peers};
use timers::Timers;

pub use carry::{Carrier, Nobody, NotAdopted, Pair, Passed, Traffic};
pub use farewell::Departed;
pub use hash::Random;
pub use places::{is_edge_of, is_no_host, next_hop};
pub use sessions::Tuple;

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
    /// The guests' network, where there is one.
    pub guest: Option<GuestNet>,
    /// What the household has chosen.
    pub choices: NatChoices,
    /// Keys the hash tables and the choice of ports: random, new at each start, never told.
    pub secret: u64,
}

/// The guests' network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestNet {
    /// The gateway's address in it.
    pub address: Ipv4Addr,
    /// Length of its prefix, bits.
    pub prefix: u8,
    /// MTU towards it, bytes.
    pub mtu: u16,
}

/// What changes the machine besides packets and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatEvent {
    /// The WAN's address came, changed or went. Flows live on while it is away, and end where
    /// another one comes ([`Nat::farewell`]).
    WanAddress(Option<WanLease>),
    /// What a side's link carries at most.
    Mtu {
        /// Which side.
        zone: Zone,
        /// Bytes.
        mtu: u16,
    },
    /// A routed service's link is up, or its policy changed.
    Attach {
        /// Which service.
        id: ServiceId,
        /// Its address: the services' subnet plus 2 plus its number.
        address: Ipv4Addr,
        /// Where it may open connections.
        policy: NetworkPolicy,
    },
    /// A bridged service's link is up, or its policy changed. The home reaches it without this
    /// machine; what it opens itself beyond the home is as its policy says.
    AttachBridged {
        /// Which service.
        id: ServiceId,
        /// Its address in the home.
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
    /// Give ports of the WAN's address to a host of the home or a service.
    OpenPorts(HouseholdForward),
    /// Close such ports; flows that came through them end.
    ClosePorts(WanPorts),
    /// Another manager is there, and has said nothing of such ports yet.
    NewManager,
    /// It has said all: what it has not opened is closed.
    SettlePorts,
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
    /// It waits for the first fragment of its datagram; after that one, [`Nat::released`] gives it
    /// back. Write nothing.
    Held,
    /// Forget it.
    Drop(DropReason),
}

/// A verdict that is no refusal.
enum Pass {
    Forward,
    Local,
    Held,
    Dhcp(Range<usize>),
}

/// The NAT machine.
#[derive(Debug)]
pub struct Nat<C: Carrier = Nobody> {
    places: Places,
    services: Services,
    household: Household,
    sessions: Sessions,
    mappings: Mappings,
    peers: Peers,
    hosts: Hosts,
    fragments: Fragments,
    limiter: Limiter,
    counters: Counters,
    choices: NatChoices,
    timers: Timers,
    /// The datagram whose first fragment has passed last.
    first_passed: Option<DatagramKey>,
    /// Names datagrams that leave in fragments (RFC 6864): the latest name.
    identification: u16,
    random: Random,
    /// The WAN's latest address, which the mappings belong to.
    mapped_to: Option<Ipv4Addr>,
    /// The mark of the flow of the packet that has passed last.
    passed_mark: CodePoint,
    farewells: Farewells,
    carrier: C,
    /// Flows that it carries.
    carried: usize,
    /// The part of the table that was looked at last.
    swept: usize,
}

impl Nat {
    /// A machine without flows that decides about every packet itself; all memory that it will ever
    /// use is allocated here.
    #[must_use]
    pub fn new(config: NatConfig) -> Nat {
        Nat::with_carrier(config, Nobody)
    }
}

impl<C: Carrier> Nat<C> {
    /// The same with something that carries flows past it.
    #[must_use]
    pub fn with_carrier(config: NatConfig, carrier: C) -> Nat<C> {
        let hasher = Hasher::new(config.secret);
        let mut random = Random::new(config.secret.rotate_left(32));
        let [a, b, ..] = random.draw().to_le_bytes();
        let first = u16::from_le_bytes([a, b]);
        Nat {
            places: Places::new(config),
            services: Services::new(config.services_subnet, hasher),
            household: Household::default(),
            sessions: Sessions::new(hasher),
            mappings: Mappings::new(hasher, config.secret),
            peers: Peers::new(hasher),
            hosts: Hosts::new(hasher),
            fragments: Fragments::new(hasher),
            limiter: Limiter::new(),
            counters: Counters::default(),
            choices: config.choices,
            timers: Timers::new(&config.choices),
            first_passed: None,
            identification: first,
            random,
            mapped_to: None,
            passed_mark: CodePoint::default(),
            farewells: Farewells::new(),
            carrier,
            carried: 0,
            swept: 0,
        }
    }

    /// Decides about one packet and rewrites it in place. `reply` has at least
    /// [`crate::limits::REPLY_MAX`] bytes.
    pub fn packet(
        &mut self,
        from: Zone,
        packet: &mut [u8],
        now: Tick,
        reply: &mut [u8],
    ) -> Verdict {
        self.counters.receive(from);
        self.passed_mark = CodePoint::default();
        match self.decide(from, packet, now) {
            Ok(Pass::Forward) => {
                self.counters.forwarded = self.counters.forwarded.wrapping_add(1);
                Verdict::Forward
            }
            Ok(Pass::Local) => {
                self.counters.local = self.counters.local.wrapping_add(1);
                Verdict::Local
            }
            Ok(Pass::Dhcp(range)) => {
                self.counters.local = self.counters.local.wrapping_add(1);
                Verdict::Dhcp(range)
            }
            Ok(Pass::Held) => {
                self.counters.held += 1;
                Verdict::Held
            }
            Err(refusal) => self.refuse(refusal, from, packet, now, reply),
        }
    }

    /// A fragment that waited for the first one, which has just passed: rewritten, to be written to
    /// the same side as that one. The caller asks until there is none.
    pub fn released<'a>(&mut self, packet: &'a mut [u8], now: Tick) -> Option<&'a [u8]> {
        loop {
            let key = self.first_passed?;
            let Some(length) = self.fragments.take(&key, packet) else {
                self.first_passed = None;
                return None;
            };
            self.counters.held = self.counters.held.saturating_sub(1);
            let passed = match packet.get_mut(..length) {
                Some(bytes) => self.pass_later(key.zone, bytes, now),
                None => Err(DropReason::FragmentUnknown.into()),
            };
            match passed {
                Ok(Pass::Local) => self.counters.local = self.counters.local.wrapping_add(1),
                Ok(Pass::Forward | Pass::Held | Pass::Dhcp(_)) => {
                    self.counters.forwarded = self.counters.forwarded.wrapping_add(1);
                }
                Err(refusal) => {
                    self.counters.drop(refusal.reason);
                    continue;
                }
            }
            return packet.get(..length);
        }
    }

    fn pass_later(&mut self, zone: Zone, bytes: &mut [u8], now: Tick) -> Result<Pass, Refusal> {
        let mut packet = Ipv4::parse(bytes)?;
        let known = self.fragments.recall(&packet_key(&packet, zone), now);
        let followed = known.ok_or(DropReason::FragmentUnknown)?;
        self.follow(followed, &mut packet)
    }

    fn refuse(
        &mut self,
        refusal: Refusal,
        from: Zone,
        packet: &[u8],
        now: Tick,
        reply: &mut [u8],
    ) -> Verdict {
        let written = match refusal.answer {
            Some(Answer::Error(error)) => self.places.own(from).and_then(|source| {
                self.limiter.take(now)?;
                icmp::write_error(reply, error, source, packet).ok()
            }),
            Some(Answer::Reset) => segment::write_reset(reply, packet),
            None => None,
        };
        match written {
            Some(length) => {
                self.counters.answer(refusal.reason);
                Verdict::Reply(length)
            }
            None => {
                self.counters.drop(refusal.reason);
                Verdict::Drop(refusal.reason)
            }
        }
    }

    fn decide(&mut self, from: Zone, bytes: &mut [u8], now: Tick) -> Result<Pass, Refusal> {
        let mut packet = Ipv4::parse(bytes)?;
        let (tuple, kind, place) = match self.arrival(from, &packet)? {
            Arrival::Dhcp(range) => return Ok(Pass::Dhcp(range)),
            Arrival::Later => return self.later_fragment(from, &mut packet, now),
            Arrival::Error(place) => return self.icmp_error(from, place, &mut packet, now),
            Arrival::Flow { tuple, kind, place } => (tuple, kind, place),
        };
        let found = self.live(&tuple, now);
        let (flow, side) = match self.step((&tuple, kind, place), found, &packet, now)? {
            Step::Local => {
                if packet.part() == Part::First {
                    let key = packet_key(&packet, from);
                    self.remember(key, Followed::Local, now);
                }
                return Ok(Pass::Local);
            }
            Step::Goes { row, side, begins } => {
                let begun = self.begin(row, begins);
                begun.map_err(|refusal| told(from, refusal))?;
                (row, side)
            }
            Step::Opens(plan, seat) => {
                let opened = self.open(&tuple, &plan, seat, now);
                let row = opened.map_err(|refusal| told(from, refusal))?;
                (row, Side::Initiator)
            }
            Step::Admits {
                mapping,
                peer,
                until,
                initiator,
            } => {
                let row = self.admit((&initiator, &tuple), mapping, peer, until, now)?;
                (row, Side::Responder)
            }
        };
        self.pass((flow, side), kind, &mut packet, now)
    }

    /// Ends the flows, and gives up the fragments, whose time is over.
    pub fn tick(&mut self, now: Tick) {
        for _ in 0..self.fragments.give_up(now) {
            self.counters.held = self.counters.held.saturating_sub(1);
            self.counters.drop(DropReason::FragmentUnknown);
        }
        while let Some(row) = self.sessions.pop_expired(now) {
            // What has passed by may have prolonged it.
            self.look(row, now);
            if self.sessions.get(row).is_some_and(|s| s.deadline <= now) {
                self.end(row, now);
            }
        }
        self.sweep(now);
    }

    /// When [`Nat::tick`] has something to do; `None` while there are no flows.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        let next = [
            self.sessions.next_deadline(),
            self.fragments.next_deadline(),
        ];
        next.into_iter().flatten().min()
    }

    /// Totals for the manager.
    #[must_use]
    pub fn report(&self) -> NetReport {
        let counters = &self.counters;
        NetReport {
            mappings: u32::try_from(self.sessions.len()).unwrap_or(u32::MAX),
            mappings_max: u32::try_from(SESSIONS_MAX).unwrap_or(u32::MAX),
            mappings_refused: counters.refused(DropReason::TableFull)
                + counters.refused(DropReason::HostShareFull),
            received: counters.received_all(),
            forwarded: counters.forwarded.wrapping_add(counters.local),
            dropped: counters.refused_all(),
            fast_path: None,
            charged: Charged::default(),
        }
    }

    /// The code point with which the inside sends in the flow of the packet that was passed on last.
    #[must_use]
    pub fn passed_mark(&self) -> CodePoint {
        self.passed_mark
    }

    /// Packets by verdict.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// What the fragments of a packet's datagram share.
fn packet_key(packet: &Ipv4<'_>, zone: Zone) -> DatagramKey {
    DatagramKey {
        zone,
        source: packet.source(),
        destination: packet.destination(),
        protocol: packet.protocol(),
        identification: packet.identification(),
    }
}

/// Where a DHCP server's answer has its data, if a packet is one.
fn dhcp_data(packet: &Ipv4<'_>) -> Result<Option<Range<usize>>, DropReason> {
    let ports = Ports {
        source: DHCP_SERVER_PORT,
        destination: DHCP_CLIENT_PORT,
    };
    let is_answer = matches!(transport::read(packet), Ok((Protocol::Udp, _, p)) if p == ports);
    if !is_answer || packet.part() != Part::Whole {
        return Ok(None);
    }
    let length = transport::udp_data(packet)?.len();
    let start = packet.header_len() + UDP_HEADER_LEN;
    Ok(Some(start..start + length))
}
