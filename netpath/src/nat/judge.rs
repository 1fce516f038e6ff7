//! The decision about a packet, read-only: [`Nat::decide`](super::Nat) carries out what this finds, and
//! [`super::explain`] tells it.
//!
//! Invariant: nothing here changes the machine, so that telling and doing can not differ.

use super::Nat;
use super::carry::Carrier;
use super::flows::told;
use super::mappings::{Inside, Spot};
use super::places::Place;
use super::plan::{Opening, Plan, SourceRule};
use super::refuse::Refusal;
use super::sessions::{Session, Side, Tuple};
use super::shares::{ShareError, Way};
use super::table::Row;
use super::{dhcp_data, packet_key};
use crate::counters::DropReason;
use crate::wire::icmp::Error;
use crate::wire::ipv4::{Ipv4, Part};
use crate::wire::transport::{self, Kind, Ports};
use core::net::Ipv4Addr;
use core::ops::Range;
use hearth_model::Tick;
use hearth_model::protocol::Zone;

/// What a packet is, before anybody looks for its flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// An answer of a DHCP server; where its data is.
    Dhcp(Range<usize>),
    /// A later fragment.
    Later,
    /// An ICMP error, and where it goes.
    Error(Place),
    /// Of a flow.
    Flow {
        /// Which.
        tuple: Tuple,
        /// What it is to the flow.
        kind: Kind,
        /// Where it goes.
        place: Place,
    },
}

/// What becomes of a packet of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It belongs to a flow that is there.
    Goes {
        /// Which.
        row: Row,
        /// From which end.
        side: Side,
        /// Whether it begins another connection in the flow's place.
        begins: Begins,
    },
    /// It is for the gateway itself.
    Local,
    /// It opens a flow.
    Opens(Plan, Seat),
    /// A mapping's filter lets it in.
    Admits {
        /// The mapping.
        mapping: Row,
        /// The permission, where one is needed.
        peer: Option<Row>,
        /// When the permission ends.
        until: Tick,
        /// The flow that it opens: the inside's packets, as they would arrive.
        initiator: Tuple,
    },
}

/// Whether a packet of a flow begins another connection in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// It goes on with what is there.
    No,
    /// RFC 5382 REQ-1: the mapping stays the same.
    Anew,
}

/// What a new flow would have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Packets of the other end, as they arrive.
    pub responder: Tuple,
    /// The row of its host in the shares, where it has flows already.
    pub host: Option<Row>,
    /// The mapping that its source goes by.
    pub mapping: Option<Spot>,
}

impl<C: Carrier> Nat<C> {
    /// What a packet is: the checks of its addresses and headers.
    ///
    /// # Errors
    /// [`Refusal`], never answered.
    pub(super) fn arrival(&self, from: Zone, packet: &Ipv4<'_>) -> Result<Arrival, Refusal> {
        if from == Zone::Wan
            && let Some(range) = dhcp_data(packet)?
        {
            return Ok(Arrival::Dhcp(range));
        }
        let place = self.places.place(packet.destination())?;
        self.places
            .check_source(from, packet.source(), packet.destination())?;
        if from == Zone::Service && self.services.at(packet.source()).is_none() {
            return Err(DropReason::ReversePath.into());
        }
        if matches!(packet.part(), Part::Later { .. }) {
            return Ok(Arrival::Later);
        }
        let (protocol, kind, ports) = transport::read(packet)?;
        if kind == Kind::IcmpError {
            return Ok(Arrival::Error(place));
        }
        let key = packet_key(packet, from);
        let tuple = Tuple {
            source: key.source,
            destination: key.destination,
            ports,
            protocol,
            zone: from,
        };
        Ok(Arrival::Flow { tuple, kind, place })
    }

    /// What becomes of a packet; `found`: its flow, if it has a live one.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) fn step(
        &self,
        (tuple, kind, place): (&Tuple, Kind, Place),
        found: Option<(Row, Side)>,
        packet: &Ipv4<'_>,
        now: Tick,
    ) -> Result<Step, Refusal> {
        let from = tuple.zone;
        if let Some((row, side)) = found.filter(|(_, side)| may_come_from(*side, kind)) {
            let begins = self.begins((row, side), kind, now);
            let begins = begins.map_err(|refusal| told(from, refusal))?;
            return Ok(Step::Goes { row, side, begins });
        }
        if self.is_over(from, kind, place) {
            return Err(Refusal::reset(DropReason::TcpOver));
        }
        match self.plan(tuple, kind, place, now)? {
            Opening::Local => Ok(Step::Local),
            Opening::Flow(plan) => {
                self.check_link(plan.egress, packet)?;
                let seat = match found {
                    // An echo that is none of its flow's.
                    Some(_) => Err(full(DropReason::Conflict)),
                    None => self.seat(tuple, &plan, now),
                };
                let seat = seat.map_err(|refusal| told(from, refusal))?;
                Ok(Step::Opens(plan, seat))
            }
            Opening::Admitted {
                mapping,
                peer,
                until,
            } => {
                let initiator = self.inside_of(tuple, mapping)?;
                // The sender learns nothing of what is inside.
                let host = self.hosts.spot(initiator.source);
                host.map_err(|_| DropReason::HostShareFull)?;
                let vacant = self.vacant(&initiator, now);
                vacant.map_err(Refusal::silent)?;
                Ok(Step::Admits {
                    mapping,
                    peer,
                    until,
                    initiator,
                })
            }
        }
    }

    /// The packets of a mapping's inside to who is let in, as they would arrive.
    fn inside_of(&self, tuple: &Tuple, mapping: Row) -> Result<Tuple, Refusal> {
        let mapping = self.mappings.get(mapping).ok_or(DropReason::Filtered)?;
        let inside = mapping.inside;
        let bridged = self.places.bridged_side(inside.address);
        let zone = bridged.unwrap_or(Zone::Service);
        Ok(Tuple {
            source: inside.address,
            destination: tuple.source,
            ports: Ports {
                source: inside.port,
                destination: tuple.ports.source,
            },
            protocol: tuple.protocol,
            zone,
        })
    }

    /// Where a packet begins another TCP connection in the place of one that has ended, the flow goes on
    /// in its row: its mapping stays the same (RFC 5382 REQ-1), which may have no other flow. Through a
    /// mapping only the inside can, and whom the filter lets in.
    fn begins(&self, (row, side): (Row, Side), kind: Kind, now: Tick) -> Result<Begins, Refusal> {
        let (Kind::Tcp(flags), Some(session)) = (kind, self.sessions.get(row)) else {
            return Ok(Begins::No);
        };
        if !session.tcp.begins_anew(flags) {
            return Ok(Begins::No);
        }
        if let Some(mapping) = session.mapping
            && side == Side::Responder
        {
            let (protocol, remote) = (session.responder.protocol, session.responder.source);
            if self.permitted(protocol, mapping, remote, now).is_none() {
                return Ok(Begins::No);
            }
        }
        if session.host.is_none() {
            let spot = self.hosts.spot(session.inside());
            spot.map_err(|_| full(DropReason::HostShareFull))?;
        }
        Ok(Begins::Anew)
    }

    /// What a planned flow would have: host share, mapping, and both tuples.
    ///
    /// # Errors
    /// [`Refusal`]: one of them is not to be had.
    pub(super) fn seat(&self, tuple: &Tuple, plan: &Plan, now: Tick) -> Result<Seat, Refusal> {
        let host = self.hosts.spot(plan.charge).map_err(|error| {
            full(match error {
                ShareError::ShareFull => DropReason::HostShareFull,
                ShareError::HostsFull => DropReason::TableFull,
            })
        })?;
        let (source, port, mapping) = match plan.source {
            SourceRule::Keep => (tuple.source, tuple.ports.source, None),
            SourceRule::Fixed(address, port) => (address, port, None),
            SourceRule::Mapped => {
                let inside = Inside {
                    protocol: tuple.protocol,
                    address: tuple.source,
                    port: tuple.ports.source,
                };
                let wan = self.places.wan_address();
                let wan = wan.ok_or(full(DropReason::TableFull))?;
                let spot = self.mappings.spot(inside);
                let spot = spot.map_err(|_| full(DropReason::TableFull))?;
                (wan, spot.external(), Some(spot))
            }
        };
        let responder = Tuple {
            source: plan.destination,
            destination: source,
            ports: Ports {
                source: plan.port,
                destination: port,
            },
            protocol: tuple.protocol,
            zone: plan.egress,
        };
        self.vacant(&responder, now)?;
        Ok(Seat {
            responder,
            host,
            mapping,
        })
    }

    /// Whether the table has room for a flow, and no other one looks the same from its far end.
    fn vacant(&self, far: &Tuple, now: Tick) -> Result<(), Refusal> {
        if self.alive(far, now).is_some() {
            Err(full(DropReason::Conflict))
        } else if self.sessions.has_room() {
            Ok(())
        } else {
            Err(full(DropReason::TableFull))
        }
    }

    /// The flow of a tuple, if its time is not over, what has passed by counted in.
    pub(super) fn alive(&self, tuple: &Tuple, now: Tick) -> Option<(Row, Side)> {
        let found = self.sessions.find(tuple)?;
        let session = self.sessions.get(found.0)?;
        let lives = session.deadline > now || self.deadline_by_carrier(session, now) > now;
        lives.then_some(found)
    }

    /// Whether a packet may leave as the reverse of `opposite`.
    ///
    /// # Errors
    /// [`Refusal`] of what would be answered to a whole packet.
    pub(super) fn leaves(&self, opposite: &Tuple, packet: &Ipv4<'_>) -> Result<(), Refusal> {
        self.check_link(opposite.zone, packet)?;
        self.guard_egress(opposite)
    }

    /// Whether the next link can take a packet: before anything is changed.
    ///
    /// # Errors
    /// [`Refusal`] of what would be answered to a whole packet.
    pub(super) fn check_link(&self, egress: Zone, packet: &Ipv4<'_>) -> Result<(), Refusal> {
        if egress == Zone::Wan && self.places.wan_address().is_none() {
            return Err(Refusal::answered(
                DropReason::NoWanAddress,
                Error::NetUnreachable,
            ));
        }
        // The kernel takes one off when it forwards.
        if packet.ttl() <= 1 {
            return Err(Refusal::answered(
                DropReason::TtlExceeded,
                Error::TimeExceeded,
            ));
        }
        let mtu = self.places.mtu(egress);
        if packet.total_len() > mtu && packet.dont_fragment() {
            return Err(Refusal::answered(DropReason::TooBig, Error::TooBig { mtu }));
        }
        Ok(())
    }

    /// No inside address leaves for the Internet: true by construction, and checked all the same.
    pub(super) fn guard_egress(&self, opposite: &Tuple) -> Result<(), Refusal> {
        let wan = self.places.wan_address();
        if opposite.zone == Zone::Wan && Some(opposite.destination) != wan {
            return Err(DropReason::EgressGuard.into());
        }
        Ok(())
    }
}

impl Session {
    /// The address inside whose flow it is.
    #[must_use]
    pub fn inside(&self) -> Ipv4Addr {
        match self.initiator.zone {
            Zone::Wan => self.responder.source,
            Zone::Lan | Zone::Service | Zone::Guest => self.initiator.source,
        }
    }

    /// Which way packets of an end go, seen from that address.
    #[must_use]
    pub fn way(&self, side: Side) -> Way {
        let inside = match self.initiator.zone {
            Zone::Wan => Side::Responder,
            Zone::Lan | Zone::Service | Zone::Guest => Side::Initiator,
        };
        if side == inside {
            Way::Sent
        } else {
            Way::Received
        }
    }
}

/// With identifier 0, a question and an answer have the same tuple: only the end that opened a flow of
/// echoes asks, and only the other one answers.
fn may_come_from(side: Side, kind: Kind) -> bool {
    match kind {
        Kind::EchoRequest => side == Side::Initiator,
        Kind::EchoReply => side == Side::Responder,
        Kind::Tcp(_) | Kind::Udp | Kind::IcmpError => true,
    }
}

/// A new flow that finds no room (RFC 5508 REQ-8).
pub(super) fn full(reason: DropReason) -> Refusal {
    Refusal::answered(reason, Error::Prohibited)
}
