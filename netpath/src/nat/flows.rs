//! Flows come and go: host share, mapping, permission and row in one step, or none of them.

use super::Nat;
use super::carry::Carrier;
use super::judge::{Begins, Seat, full};
use super::plan::Plan;
use super::refuse::Refusal;
use super::sessions::{InsertError, Session, Side, Tuple};
use super::shares::{PeerKey, ShareError};
use super::table::{Full, Row};
use super::tcp::TcpState;
use crate::counters::DropReason;
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

    /// Begins another connection in a flow's place, where [`Nat::step`] says so.
    ///
    /// # Errors
    /// [`Refusal`]: its host has no share left.
    pub(super) fn begin(&mut self, row: Row, begins: Begins) -> Result<(), Refusal> {
        match begins {
            Begins::No => Ok(()),
            Begins::Anew => {
                let revived = self.revive(row, TcpState::default());
                revived.map_err(|_| full(DropReason::HostShareFull))
            }
        }
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
            let host = self.hosts.acquire(session.inside())?;
            self.sessions.unfinish(row, host);
        }
        if let Some(session) = self.sessions.get_mut(row) {
            session.tcp = state;
        }
        Ok(())
    }

    /// Opens a planned flow: host share, mapping, permission and row, or none of them. `seat`: what
    /// [`Nat::seat`] has found for it.
    pub(super) fn open(
        &mut self,
        tuple: &Tuple,
        plan: &Plan,
        seat: Seat,
        now: Tick,
    ) -> Result<Row, Refusal> {
        let seat = match self.make_room(now) {
            // What has gone may have been what was found.
            Some(()) => self.seat(tuple, plan, now)?,
            None => seat,
        };
        let Ok(host) = self.hosts.take(plan.charge, seat.host) else {
            return Err(full(DropReason::TableFull));
        };
        let mapping = match seat.mapping.map(|spot| self.mappings.take(spot)) {
            Some(Ok(row)) => Some(row),
            None => None,
            Some(Err(Full)) => {
                self.hosts.release(host);
                return Err(full(DropReason::TableFull));
            }
        };
        let mut session = Session::new(*tuple, seat.responder, host);
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
        (initiator, responder): (&Tuple, &Tuple),
        mapping: Row,
        peer: Option<Row>,
        until: Tick,
        now: Tick,
    ) -> Result<Row, Refusal> {
        let host = self.hosts.acquire(initiator.source);
        let host = host.map_err(|_| DropReason::HostShareFull)?;
        let mut session = Session::new(*initiator, *responder, host);
        session.deadline = until;
        session.mapping = Some(mapping);
        session.peer = peer;
        self.mappings.share(mapping);
        if let Some(peer) = peer {
            self.peers.share(peer);
        }
        // Its own mapping and permission are kept now, whoever makes room.
        self.make_room(now);
        self.live(initiator, now);
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
    fn make_room(&mut self, now: Tick) -> Option<()> {
        let row = self.sessions.in_the_way()?;
        self.end(row, now);
        Some(())
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

/// A stranger is told nothing of what is full inside.
pub(super) fn told(from: Zone, refusal: Refusal) -> Refusal {
    match from {
        Zone::Wan => refusal.silent(),
        Zone::Lan | Zone::Service | Zone::Guest => refusal,
    }
}
