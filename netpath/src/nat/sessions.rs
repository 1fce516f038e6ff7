//! Flows, each known by the two tuples under which its packets arrive.
//!
//! A packet that matches one tuple leaves as the other one reversed. Source and destination
//! translation, hairpins and plain routing are therefore one thing, and one entry a direction
//! holds the whole rewrite (which is what the fast path will store).

use super::carry::Passed;
mod finished;

use super::hash::Hasher;
use super::table::{Full, Index, Row, Slab};
use super::tcp::TcpState;
use crate::limits::{SESSIONS_MAX, WHEEL_SLOTS, WHEEL_STEP_MS};
use crate::wire::transport::{Ports, Protocol};
use core::net::Ipv4Addr;
use hearth_model::Tick;
use hearth_model::protocol::Zone;
use hearth_model::queues::CodePoint;

/// What identifies a packet's flow, as it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Source and destination port.
    pub ports: Ports,
    /// Protocol.
    pub protocol: Protocol,
    /// The side it arrives from.
    pub zone: Zone,
}

impl Tuple {
    fn words(&self) -> [u32; 4] {
        [
            u32::from(self.source),
            u32::from(self.destination),
            u32::from(self.ports.source) << 16 | u32::from(self.ports.destination),
            (self.protocol as u32) << 8 | self.zone as u32,
        ]
    }
}

/// Which of a flow's tuples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// That of the end which opened the flow.
    Initiator,
    /// That of the answers.
    Responder,
}

/// One flow.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Packets of the end that opened it, as they arrive.
    pub initiator: Tuple,
    /// Packets of the other end, as they arrive.
    pub responder: Tuple,
    /// When it ends.
    pub deadline: Tick,
    /// Where its TCP connection is.
    pub tcp: TcpState,
    /// Whose share it counts in; `None` once it is finished.
    pub host: Option<Row>,
    /// The mapping that its source goes by.
    pub mapping: Option<Row>,
    /// The mapping that its destination goes by, in a hairpin.
    pub target: Option<Row>,
    /// The permission it keeps alive (UDP through a mapping).
    pub peer: Option<Row>,
    /// Packets that the machine itself has passed on, as far as that decides whether the flow lasts.
    pub packets: u8,
    /// The code point with which its inside has sent last.
    pub mark: CodePoint,
    /// While it is carried: what had passed when that was looked at last.
    pub carried: Option<Passed>,
    /// Differs from that of an earlier flow in the same row.
    pub serial: u32,
    /// The wheel step at which it is looked at.
    due: u64,
    next: Option<Row>,
    previous: Option<Row>,
    /// Neighbours among the finished ones.
    newer: Option<Row>,
    older: Option<Row>,
}

impl Session {
    /// A flow that is not in a table yet.
    #[must_use]
    pub fn new(initiator: Tuple, responder: Tuple, host: Row) -> Session {
        Session {
            initiator,
            responder,
            deadline: Tick(0),
            tcp: TcpState::default(),
            host: Some(host),
            mapping: None,
            target: None,
            peer: None,
            packets: 0,
            mark: CodePoint::default(),
            carried: None,
            serial: 0,
            due: 0,
            next: None,
            previous: None,
            newer: None,
            older: None,
        }
    }

    /// The side that a packet of an end arrives from.
    #[must_use]
    pub fn arrives_from(&self, side: Side) -> Zone {
        match side {
            Side::Initiator => self.initiator.zone,
            Side::Responder => self.responder.zone,
        }
    }

    /// The tuple of the other end: what a packet of `side` becomes, reversed.
    #[must_use]
    pub fn opposite(&self, side: Side) -> &Tuple {
        match side {
            Side::Initiator => &self.responder,
            Side::Responder => &self.initiator,
        }
    }
}

/// Why a flow can not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// Every row is in use.
    Full,
    /// Another flow has one of the tuples.
    Conflict,
}

/// The flows, with a timer wheel: a slot for each step, a list of flows in each slot. A flow that
/// lives on stays where it is and is moved when its slot comes up, so a packet costs no list work.
#[derive(Debug)]
pub struct Sessions {
    rows: Slab<Session>,
    index: Index,
    hasher: Hasher,
    wheel: Box<[Option<Row>]>,
    /// The first step whose slot may hold something.
    cursor: u64,
    /// Finished flows, which may make room for new ones.
    oldest_finished: Option<Row>,
    newest_finished: Option<Row>,
    serial: u32,
}

const SLOTS: u64 = WHEEL_SLOTS as u64;

/// A number of the index: the row, and which of its two tuples.
fn number(row: Row, side: Side) -> u32 {
    u32::from(row) << 1 | u32::from(side == Side::Responder)
}

fn row_side(number: u32) -> (Row, Side) {
    let side = if number & 1 == 0 {
        Side::Initiator
    } else {
        Side::Responder
    };
    (Row::try_from(number >> 1).unwrap_or(Row::MAX), side)
}

fn tuple_of(rows: &Slab<Session>, number: u32) -> Option<&Tuple> {
    let (row, side) = row_side(number);
    let session = rows.get(row)?;
    Some(match side {
        Side::Initiator => &session.initiator,
        Side::Responder => &session.responder,
    })
}

/// First step at which `deadline` is over.
fn step_after(deadline: Tick) -> u64 {
    deadline.0.div_ceil(WHEEL_STEP_MS)
}

impl Sessions {
    /// An empty table.
    #[must_use]
    pub fn new(hasher: Hasher) -> Sessions {
        Sessions {
            rows: Slab::new(SESSIONS_MAX),
            index: Index::new(SESSIONS_MAX * 2),
            hasher,
            wheel: (0..WHEEL_SLOTS).map(|_| None).collect(),
            cursor: 0,
            oldest_finished: None,
            newest_finished: None,
            serial: 0,
        }
    }

    /// The flow that a packet belongs to, and from which end it comes.
    #[must_use]
    pub fn find(&self, tuple: &Tuple) -> Option<(Row, Side)> {
        let same = |number| tuple_of(&self.rows, number) == Some(tuple);
        let found = self.index.find(self.hasher.words(tuple.words()), same)?;
        Some(row_side(found))
    }

    /// Adds a flow under both tuples, or not at all.
    ///
    /// # Errors
    /// [`InsertError`].
    pub fn insert(&mut self, mut session: Session, now: Tick) -> Result<Row, InsertError> {
        let (initiator, responder) = (session.initiator, session.responder);
        if self.find(&initiator).is_some() || self.find(&responder).is_some() {
            return Err(InsertError::Conflict);
        }
        if self.rows.is_empty() {
            self.cursor = now.0 / WHEEL_STEP_MS;
        }
        self.serial = self.serial.wrapping_add(1);
        session.serial = self.serial;
        let row = self
            .rows
            .insert(session)
            .map_err(|Full| InsertError::Full)?;
        let hasher = self.hasher;
        let mut file = |tuple: &Tuple, side| {
            let hash = hasher.words(tuple.words());
            self.index.insert(hash, number(row, side));
        };
        file(&initiator, Side::Initiator);
        file(&responder, Side::Responder);
        self.link(row);
        Ok(row)
    }

    /// Takes a flow out.
    pub fn remove(&mut self, row: Row) -> Option<Session> {
        self.unlink(row);
        self.unlink_finished(row);
        let (rows, hasher) = (&self.rows, self.hasher);
        let hash_of = |n: u32| tuple_of(rows, n).map_or(0, |tuple| hasher.words(tuple.words()));
        for side in [Side::Initiator, Side::Responder] {
            let filed = number(row, side);
            self.index.remove(hash_of(filed), filed, hash_of);
        }
        self.rows.remove(row)
    }

    /// A flow.
    #[must_use]
    pub fn get(&self, row: Row) -> Option<&Session> {
        self.rows.get(row)
    }

    /// A flow, to change its state; tuples and deadline stay.
    pub fn get_mut(&mut self, row: Row) -> Option<&mut Session> {
        self.rows.get_mut(row)
    }

    /// Flows in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Numbers of all rows, in use or not: for rare events only.
    pub fn all_rows(&self) -> impl Iterator<Item = Row> + use<> {
        self.rows.all_rows()
    }

    /// Lets a flow end at `deadline`.
    pub fn set_deadline(&mut self, row: Row, deadline: Tick) {
        let Some(session) = self.rows.get_mut(row) else {
            return;
        };
        session.deadline = deadline;
        if step_after(deadline) < session.due {
            self.unlink(row);
            self.link(row);
        }
    }

    /// One flow whose time is over; the caller removes it and asks again. `None`: no more.
    pub fn pop_expired(&mut self, now: Tick) -> Option<Row> {
        let step = now.0 / WHEEL_STEP_MS;
        // After a long pause every slot is looked at once and no more.
        self.cursor = self.cursor.max(step.saturating_sub(SLOTS));
        while self.cursor <= step {
            let Some(row) = self.head(self.cursor) else {
                self.cursor += 1;
                continue;
            };
            if self.rows.get(row).is_none_or(|s| s.deadline <= now) {
                return Some(row);
            }
            self.unlink(row);
            self.link(row);
        }
        None
    }

    /// When [`Sessions::pop_expired`] next turns the wheel: the next step, while there are flows.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        let next = Tick(self.cursor.saturating_mul(WHEEL_STEP_MS));
        (!self.rows.is_empty()).then_some(next)
    }

    fn slot(step: u64) -> usize {
        // Less than WHEEL_SLOTS, which is a usize.
        usize::try_from(step % SLOTS).unwrap_or(0)
    }

    fn head(&self, step: u64) -> Option<Row> {
        self.wheel.get(Self::slot(step)).copied().flatten()
    }

    fn set_head(&mut self, step: u64, row: Option<Row>) {
        if let Some(head) = self.wheel.get_mut(Self::slot(step)) {
            *head = row;
        }
    }

    /// Puts a row into the slot of its deadline, or, where that is beyond the wheel, into the last
    /// slot; never into the one under the cursor, which is being emptied.
    fn link(&mut self, row: Row) {
        let (first, last) = (self.cursor + 1, self.cursor + SLOTS - 1);
        let Some(session) = self.rows.get_mut(row) else {
            return;
        };
        session.due = step_after(session.deadline).clamp(first, last);
        let due = session.due;
        let head = self.head(due);
        if let Some(session) = self.rows.get_mut(row) {
            session.next = head;
            session.previous = None;
        }
        if let Some(session) = head.and_then(|head| self.rows.get_mut(head)) {
            session.previous = Some(row);
        }
        self.set_head(due, Some(row));
    }

    fn unlink(&mut self, row: Row) {
        let Some(session) = self.rows.get(row) else {
            return;
        };
        let (due, next, previous) = (session.due, session.next, session.previous);
        match previous.and_then(|previous| self.rows.get_mut(previous)) {
            Some(session) => session.next = next,
            None => self.set_head(due, next),
        }
        if let Some(session) = next.and_then(|next| self.rows.get_mut(next)) {
            session.previous = previous;
        }
    }
}
