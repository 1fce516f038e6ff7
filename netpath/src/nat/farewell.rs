//! Flows whose address in the Internet has gone: how they end.
//!
//! Rule: flows by the old address are removed at once when another one comes, in the fast path too. What was UDP
//! or an echo begins anew with its next packet, by the new address. A TCP connection can not go on: its other end
//! knows it by the old address, and could only be told from there. So the end inside is told, that its program
//! connects anew at once instead of waiting for an answer: a reset, with the number that the end itself names in
//! what it sends (RFC 5961: no other one is believed; this machine follows no numbers). An end that says nothing
//! is made to say something, once, by an empty segment.
//!
//! From then on a segment from inside that belongs to no flow can not be of a connection by the new address: this
//! machine knows those from their first segment. It is answered by a reset.

use super::Nat;
use super::carry::{Carrier, Pair};
use super::places::Place;
use super::sessions::Session;
use crate::limits::FAREWELLS_MAX;
use crate::wire::segment::{End, write_probe};
use crate::wire::transport::{Kind, Protocol};
use core::net::Ipv4Addr;
use hearth_model::Tick;
use hearth_model::protocol::{WanLease, Zone};
use std::collections::VecDeque;

/// An end inside that is to be told, and whom it talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Farewell {
    zone: Zone,
    to: End,
    from: End,
}

/// Whether a segment that belongs to no flow may be of a connection that can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    /// It may: it was opened before this process began.
    MayGoOn,
    /// It may not: its address has gone.
    IsOver,
}

/// Ends inside that are to be told, at most [`FAREWELLS_MAX`]: the others hear it when they say something.
#[derive(Debug)]
pub struct Farewells {
    waiting: VecDeque<Farewell>,
    unknown: Unknown,
    departed: Option<Departed>,
}

/// Another address came in the place of one that flows went by: what has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departed {
    /// The old address.
    pub from: Ipv4Addr,
    /// The new one.
    pub to: Ipv4Addr,
    /// TCP connections that were open.
    pub connections: u32,
    /// All others.
    pub others: u32,
}

impl Farewells {
    /// Nobody to tell.
    #[must_use]
    pub fn new() -> Farewells {
        Farewells {
            waiting: VecDeque::with_capacity(FAREWELLS_MAX),
            unknown: Unknown::MayGoOn,
            departed: None,
        }
    }

    fn tell(&mut self, pair: &Pair) {
        for tuple in [&pair.initiator, &pair.responder] {
            if tuple.zone != Zone::Wan && self.waiting.len() < FAREWELLS_MAX {
                self.waiting.push_back(Farewell {
                    zone: tuple.zone,
                    to: (tuple.source, tuple.ports.source),
                    from: (tuple.destination, tuple.ports.destination),
                });
            }
        }
    }
}

impl<C: Carrier> Nat<C> {
    /// Takes the WAN's address; where it is another one than flows went by, these end.
    pub(super) fn readdress(&mut self, lease: Option<WanLease>, now: Tick) {
        if lease != self.places.wan() {
            self.take_all_back(now);
        }
        self.places.set_wan(lease);
        let Some(WanLease { address: to, .. }) = lease else {
            return;
        };
        if let Some(from) = self.mapped_to.replace(to).filter(|from| *from != to) {
            let (connections, others) = self.depart(now, Some(from), |s| s.goes_by(from));
            self.farewells.departed = Some(Departed {
                from,
                to,
                connections,
                others,
            });
        }
    }

    /// What has ended since this was asked last, if another address came.
    pub fn take_departed(&mut self) -> Option<Departed> {
        self.farewells.departed.take()
    }

    /// Ends the flows that `which` picks, and tells the ends inside of connections by an address; how many of
    /// these, and others.
    fn depart(
        &mut self,
        now: Tick,
        by: Option<Ipv4Addr>,
        which: impl Fn(&Session) -> bool,
    ) -> (u32, u32) {
        let tells = |session: &Session| by.is_some_and(|address| session.goes_by(address));
        self.farewells.unknown = Unknown::IsOver;
        let (mut connections, mut others) = (0, 0);
        let farewells = &mut self.farewells;
        for row in self.sessions.all_rows() {
            let Some(session) = self.sessions.get(row).filter(|session| which(session)) else {
                continue;
            };
            let is_tcp = session.initiator.protocol == Protocol::Tcp;
            if is_tcp && session.tcp.is_open() && tells(session) {
                connections += 1;
                farewells.tell(&session.pair());
            } else if !session.tcp.is_finished() {
                others += 1;
            }
        }
        self.end_all(now, which);
        (connections, others)
    }

    /// Ends every flow, since the networks of its ends go, and tells those who talk to the Internet. The others
    /// hear it from whom they talk to, who goes as well.
    pub fn end_everything(&mut self, now: Tick) {
        self.depart(now, self.mapped_to, |_| true);
    }

    /// The address that an earlier process had: if it comes again, connections that this process does not know
    /// go on by it; if another one comes, they are over.
    pub fn remember_address(&mut self, address: Ipv4Addr) {
        self.mapped_to = Some(address);
    }

    /// Whether a flow that an earlier process has left went by an address that is not ours any more. Its ends
    /// inside are told; whoever carries it stops.
    pub(super) fn has_departed(&mut self, pair: &Pair) -> bool {
        let outside = match (pair.initiator.zone, pair.responder.zone) {
            (_, Zone::Wan) => pair.responder.destination,
            (Zone::Wan, _) => pair.initiator.destination,
            (Zone::Lan | Zone::Service | Zone::Guest, Zone::Lan | Zone::Service | Zone::Guest) => {
                return false;
            }
        };
        let gone = self.places.wan_address().is_some_and(|wan| wan != outside);
        if gone {
            let is_tcp = pair.initiator.protocol == Protocol::Tcp;
            if is_tcp {
                self.farewells.tell(pair);
            }
            if let Some(departed) = &mut self.farewells.departed {
                departed.connections += u32::from(is_tcp);
                departed.others += u32::from(!is_tcp);
            }
        }
        gone
    }

    /// Writes what makes the next end inside say something, to be written to that side; `None`: nobody is left.
    pub fn farewell(&mut self, out: &mut [u8]) -> Option<(Zone, usize)> {
        let Farewell { zone, to, from } = self.farewells.waiting.pop_front()?;
        let length = write_probe(out, from, to, self.random.draw())?;
        Some((zone, length))
    }

    /// Whether somebody waits for [`Nat::farewell`].
    #[must_use]
    pub fn has_farewells(&self) -> bool {
        !self.farewells.waiting.is_empty()
    }

    /// Whether a packet that belongs to no flow is one of a connection that is over.
    pub(super) fn is_over(&self, from: Zone, kind: Kind, place: Place) -> bool {
        let segment = matches!(kind, Kind::Tcp(flags) if !flags.syn());
        let leaves = from != Zone::Wan && place == Place::Wan;
        segment && leaves && self.farewells.unknown == Unknown::IsOver
    }
}

impl Session {
    /// Whether it goes by this address in the Internet; between two hosts of the home too, where one has the
    /// other by that address.
    fn goes_by(&self, address: Ipv4Addr) -> bool {
        let zones = [self.initiator.zone, self.responder.zone];
        let by = [self.initiator.destination, self.responder.destination];
        self.mapping.is_some() || zones.contains(&Zone::Wan) || by.contains(&address)
    }
}
