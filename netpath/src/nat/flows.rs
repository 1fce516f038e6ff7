//! Flows come and go: host share, mapping, permission and row in one step, or none of them.

use super::Nat;
use super::carry::Carrier;
use super::mappings::Inside;
use super::plan::{Plan, SourceRule};
use super::refuse::Refusal;
use super::sessions::{InsertError, Session, Side, Tuple};
use super::shares::{PeerKey, ShareError};
use super::table::{Full, Row};
use super::tcp::TcpState;
use crate::counters::DropReason;
use crate::wire::icmp;
use crate::wire::transport::{Kind, Ports};
use hearth_model::Tick;
use hearth_model::gateway::Filtering;
use hearth_model::protocol::Zone;

impl<C: Carrier> Nat<C> {
    /// The flow of a tuple; one whose time is over is ended and not found.
    pub(super) fn live(&mut self, tuple: &Tuple, now: Tick) -> Option<(Row, Side)> {
        let (row, side) = self.sessions.find(tuple)?;
        if self.sessions.get(row)?.deadline <= now {
            // Perhaps not, with what has passed by.
            self.look(row, now);
        }
        if self.sessions.get(row)?.deadline > now {
            return Some((row, side));
        }
        self.end(row, now);
        None
    }

    /// Where a packet begins another TCP connection in the place of one that has ended, the flow goes on
    /// in its row: its mapping stays the same (RFC 5382 REQ-1), which may have no other flow. Through a
    /// mapping only the inside can, and whom the filter lets in.
    ///
    /// # Errors
    /// [`Refusal`]: its host has no share left.
    pub(super) fn begin_anew(
        &mut self,
        (row, side): (Row, Side),
        kind: Kind,
        now: Tick,
    ) -> Result<(), Refusal> {
        let Kind::Tcp(flags) = kind else {
            return Ok(());
        };
        let Some(session) = self.sessions.get(row) else {
            return Ok(());
        };
        if !session.tcp.begins_anew(flags) {
            return Ok(());
        }
        if let Some(mapping) = session.mapping
            && side == Side::Responder
        {
            let (protocol, remote) = (session.responder.protocol, session.responder.source);
            if self.permitted(protocol, mapping, remote, now).is_none() {
                return Ok(());
            }
        }
        let revived = self.revive(row, TcpState::default());
        revived.map_err(|_| full(DropReason::HostShareFull))
    }

    /// A finished flow is none any more: it counts in its host's share again.
    ///
    /// # Errors
    /// [`ShareError`]; it stays finished.
    pub(super) fn revive(&mut self, row: Row, state: TcpState) -> Result<(), ShareError> {
        let Some(session) = self.sessions.get(row) else {
            return Ok(());
        };
        if session.host.is_none() {
            let inside = match session.initiator.zone {
                Zone::Wan => session.responder.source,
                Zone::Lan | Zone::Service => session.initiator.source,
            };
            let host = self.hosts.acquire(inside)?;
            self.sessions.unfinish(row, host);
        }
        if let Some(session) = self.sessions.get_mut(row) {
            session.tcp = state;
        }
        Ok(())
    }

    /// Opens a planned flow: host share, mapping, permission and row, or none of them.
    pub(super) fn open(&mut self, tuple: &Tuple, plan: &Plan, now: Tick) -> Result<Row, Refusal> {
        self.make_room(now);
        let host = self.hosts.acquire(plan.charge).map_err(|error| {
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
                let mapped = self.places.wan_address().ok_or(Full);
                match mapped.and_then(|wan| Ok((wan, self.mappings.acquire(inside)?))) {
                    Ok((wan, (row, external))) => (wan, external, Some(row)),
                    Err(Full) => {
                        self.hosts.release(host);
                        return Err(full(DropReason::TableFull));
                    }
                }
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
        let mut session = Session::new(*tuple, responder, host);
        session.mapping = mapping;
        session.peer = self.permit(&session);
        session.target = self.aim(plan);
        self.add(session, now)
    }

    /// Keeps the mapping that a hairpin's destination goes by.
    pub(super) fn aim(&mut self, plan: &Plan) -> Option<Row> {
        let target = plan.target?;
        self.mappings.share(target);
        Some(target)
    }

    /// The permission that a flow through a mapping gives to whom it talks to, where the filter asks for
    /// one.
    pub(super) fn permit(&mut self, session: &Session) -> Option<Row> {
        let (mapping, responder) = (session.mapping?, session.responder);
        let asks = self.filtering(responder.protocol) == Filtering::AddressDependent;
        let remote = responder.source;
        (asks && responder.zone == Zone::Wan)
            .then(|| self.peers.acquire(PeerKey { mapping, remote }).ok())
            .flatten()
    }

    /// Adds the flow of a packet that a mapping's filter lets in: as if the inside had opened it,
    /// but it ends with the permission.
    pub(super) fn admit(
        &mut self,
        tuple: &Tuple,
        mapping: Row,
        peer: Option<Row>,
        until: Tick,
        now: Tick,
    ) -> Result<Row, Refusal> {
        let inside = self
            .mappings
            .get(mapping)
            .ok_or(DropReason::Filtered)?
            .inside;
        self.make_room(now);
        // The sender learns nothing of what is inside.
        let host = self.hosts.acquire(inside.address);
        let host = host.map_err(|_| DropReason::HostShareFull)?;
        let zone = if self.places.is_lan_host(inside.address) {
            Zone::Lan
        } else {
            Zone::Service
        };
        let initiator = Tuple {
            source: inside.address,
            destination: tuple.source,
            ports: Ports {
                source: inside.port,
                destination: tuple.ports.source,
            },
            protocol: tuple.protocol,
            zone,
        };
        let mut session = Session::new(initiator, *tuple, host);
        session.deadline = until;
        session.mapping = Some(mapping);
        session.peer = peer;
        self.mappings.share(mapping);
        if let Some(peer) = peer {
            self.peers.share(peer);
        }
        self.add(session, now).map_err(Refusal::silent)
    }

    pub(super) fn add(&mut self, session: Session, now: Tick) -> Result<Row, Refusal> {
        // A flow whose time is over must not stand in the way.
        self.live(&session.responder, now);
        self.sessions.insert(session, now).map_err(|error| {
            self.let_go(&session);
            match error {
                InsertError::Full => full(DropReason::TableFull),
                InsertError::Conflict => full(DropReason::Conflict),
            }
        })
    }

    /// Where the table is full, the flow that finished first goes: it was kept for packets that
    /// are late, and no live flow is ever in its place.
    fn make_room(&mut self, now: Tick) {
        if let Some(row) = self.sessions.in_the_way() {
            self.end(row, now);
        }
    }

    /// Ends a flow.
    pub(super) fn end(&mut self, row: Row, now: Tick) {
        self.take_back(row, now);
        if let Some(session) = self.sessions.remove(row) {
            self.let_go(&session);
        }
    }

    pub(super) fn let_go(&mut self, session: &Session) {
        if let Some(host) = session.host {
            self.hosts.release(host);
        }
        if let Some(mapping) = session.mapping {
            self.mappings.release(mapping);
        }
        if let Some(target) = session.target {
            self.mappings.release(target);
        }
        if let Some(peer) = session.peer {
            self.peers.release(peer);
        }
    }

    /// Ends the flows that `which` picks: for rare events only.
    pub(super) fn end_all(&mut self, now: Tick, which: impl Fn(&Session) -> bool) {
        for row in self.sessions.all_rows() {
            if self.sessions.get(row).is_some_and(&which) {
                self.end(row, now);
            }
        }
    }
}

/// A new flow that finds no room (RFC 5508 REQ-8).
fn full(reason: DropReason) -> Refusal {
    Refusal::answered(reason, icmp::Error::Prohibited)
}
