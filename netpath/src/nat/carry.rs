//! Flows that pass by this machine: it has decided, and a [`Carrier`] (the fast path) repeats the
//! decision for every further plain packet.
//!
//! Invariants: a flow is carried only while the next plain packet of either end would be forwarded and
//! change nothing but timers; what is carried is taken back before the flow ends, and before its state
//! changes; what has passed prolongs the flow by the same rules as if it had come here.

use super::mappings::Inside;
use super::plan::{Opening, Plan, SourceRule};
use super::sessions::{Session, Side, Tuple};
use super::table::Row;
use super::tcp::TcpState;
use super::timers::Timers;
use super::{Nat, places::Place};
use crate::counters::DropReason;
use crate::limits::{CARRY_AFTER, SESSIONS_MAX, SWEEP_STEPS, UDP_UNANSWERED_TIMEOUT_MS};
use crate::wire::ipv4::Part;
use crate::wire::transport::{Kind, Protocol, TcpFlags};
use hearth_model::Tick;
use hearth_model::protocol::Zone;
use hearth_model::queues::CodePoint;

/// A flow by the tuples under which its two ends' packets arrive: each leaves as the other reversed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Packets of the end that opened it.
    pub initiator: Tuple,
    /// Packets of the other end.
    pub responder: Tuple,
}

/// What a carrier has let pass in one direction since it carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Their bytes, from the IPv4 header on.
    pub bytes: u64,
    /// When the last one passed; when it began, where none has.
    pub last: Tick,
}

/// The same for both directions: the initiator's packets, and the responder's.
pub type Passed = [Traffic; 2];

/// Both ends of a flow, in the order of [`Passed`].
const SIDES: [Side; 2] = [Side::Initiator, Side::Responder];

/// What carries flows past this machine.
pub trait Carrier {
    /// Starts to carry both directions, the answers' first; `None` where it does not. `mark`: the code point
    /// with which the inside sends.
    fn carry(&mut self, pair: &Pair, mark: CodePoint, now: Tick) -> Option<Passed>;
    /// What has passed so far; `None` where it does not carry the flow (any more).
    fn passed(&self, pair: &Pair) -> Option<Passed>;
    /// Stops, and says what has passed to the very end.
    fn stop(&mut self, pair: &Pair) -> Option<Passed>;
}

/// Carries nothing: every packet comes to the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Carrier for Nobody {
    fn carry(&mut self, _: &Pair, _: CodePoint, _: Tick) -> Option<Passed> {
        None
    }
    fn passed(&self, _: &Pair) -> Option<Passed> {
        None
    }
    fn stop(&mut self, _: &Pair) -> Option<Passed> {
        None
    }
}

impl<C: Carrier> Carrier for Option<C> {
    fn carry(&mut self, pair: &Pair, mark: CodePoint, now: Tick) -> Option<Passed> {
        self.as_mut()?.carry(pair, mark, now)
    }
    fn passed(&self, pair: &Pair) -> Option<Passed> {
        self.as_ref()?.passed(pair)
    }
    fn stop(&mut self, pair: &Pair) -> Option<Passed> {
        self.as_mut()?.stop(pair)
    }
}

/// Why a flow that was carried before this machine began is not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdopted {
    /// It may be later: its service, its forward or the WAN's address is not known yet.
    NotYet,
    /// It would not be opened, or not so.
    Never,
}

impl<C: Carrier> Nat<C> {
    /// What carries flows.
    #[must_use]
    pub fn carrier(&self) -> &C {
        &self.carrier
    }

    /// The same, to be changed.
    pub fn carrier_mut(&mut self) -> &mut C {
        &mut self.carrier
    }

    /// Flows that are carried.
    #[must_use]
    pub fn carried(&self) -> usize {
        self.carried
    }

    /// Whether a live flow with one of these tuples is carried.
    #[must_use]
    pub fn carries(&self, pair: &Pair) -> bool {
        [&pair.initiator, &pair.responder].iter().any(|tuple| {
            let found = self.sessions.find(tuple);
            let session = found.and_then(|(row, _)| self.sessions.get(row));
            session.is_some_and(|session| session.carried.is_some())
        })
    }

    /// Offers a flow to the carrier once it has shown that it lasts: a question and its answer never
    /// get there, and neither does a flood of new flows.
    pub(super) fn offer(&mut self, row: Row, kind: Kind, part: Part, now: Tick) {
        let Some(session) = self.sessions.get_mut(row) else {
            return;
        };
        session.packets = session.packets.saturating_add(1);
        let plain = match kind {
            Kind::Tcp(_) => session.tcp.is_open(),
            Kind::Udp => true,
            Kind::EchoRequest | Kind::EchoReply | Kind::IcmpError => false,
        };
        let (pair, mark) = (session.pair(), session.mark);
        // One that talks to itself by its own mapping has one tuple for both ends.
        let fits = plain && part == Part::Whole && pair.initiator != pair.responder;
        if !fits || session.packets < CARRY_AFTER || session.carried.is_some() {
            return;
        }
        session.packets = 0;
        let started = self.carrier.carry(&pair, mark, now);
        if started.is_some()
            && let Some(session) = self.sessions.get_mut(row)
        {
            session.carried = started;
            self.carried += 1;
        }
    }

    /// Takes a flow back, with what has passed.
    pub(super) fn take_back(&mut self, row: Row, now: Tick) {
        let Some(session) = self.sessions.get(row).filter(|s| s.carried.is_some()) else {
            return;
        };
        let passed = self.carrier.stop(&session.pair());
        self.note(row, passed, now);
        if let Some(session) = self.sessions.get_mut(row) {
            session.carried = None;
            self.carried = self.carried.saturating_sub(1);
        }
    }

    /// Takes every flow back: where it leaves, or whether it may, has changed. Those that go on are
    /// carried again.
    pub fn take_all_back(&mut self, now: Tick) {
        for row in self.sessions.all_rows() {
            if self.carried == 0 {
                return;
            }
            self.take_back(row, now);
        }
    }

    /// Looks at what has passed in a flow: counters, and its timer.
    pub(super) fn look(&mut self, row: Row, now: Tick) {
        let Some(session) = self.sessions.get(row).filter(|s| s.carried.is_some()) else {
            return;
        };
        let passed = self.carrier.passed(&session.pair());
        if passed.is_some() {
            self.note(row, passed, now);
        } else {
            // Somebody else has removed it: the next packet comes here.
            self.take_back(row, now);
        }
    }

    /// Counts packets that were dropped on their way here.
    pub fn keep_out(&mut self, from: Zone, reason: DropReason, packets: u64) {
        self.counters.keep_out(from, reason, packets);
    }

    /// Looks at every carried flow, so that counters are those of now.
    pub fn look_at_all(&mut self, now: Tick) {
        if self.carried > 0 {
            for row in self.sessions.all_rows() {
                self.look(row, now);
            }
        }
    }

    /// Looks at the next part of the carried flows: at all of them in [`SWEEP_STEPS`] calls.
    pub(super) fn sweep(&mut self, now: Tick) {
        if self.carried > 0 {
            let part = SESSIONS_MAX.div_ceil(SWEEP_STEPS);
            let rows = self.sessions.all_rows().skip(self.swept * part);
            for row in rows.take(part) {
                self.look(row, now);
            }
        }
        self.swept = (self.swept + 1) % SWEEP_STEPS;
        if self.swept == 0 {
            self.hosts.turn(now);
        }
    }

    fn note(&mut self, row: Row, passed: Option<Passed>, now: Tick) {
        let Some(passed) = passed else { return };
        let Some(session) = self.sessions.get_mut(row) else {
            return;
        };
        let before = session.carried.replace(passed).unwrap_or(passed);
        let session = *session;
        for ((side, traffic), before) in SIDES.into_iter().zip(passed).zip(before) {
            // Wrapping: a count of 64 bits that was read in two halves is made good by the next one.
            let packets = traffic.packets.wrapping_sub(before.packets);
            let bytes = traffic.bytes.wrapping_sub(before.bytes);
            self.counters
                .carry(session.arrives_from(side), packets, bytes);
            if let Some(host) = session.host {
                self.hosts.count(host, session.way(side), packets, bytes);
            }
        }
        let deadline = session.deadline_after(before, passed, &self.timers, now);
        if deadline > session.deadline {
            self.prolong(row, deadline);
        }
    }

    /// When a flow ends, with what has passed by: its own deadline where nothing has.
    pub(super) fn deadline_by_carrier(&self, session: &Session, now: Tick) -> Tick {
        let passed = session.carried.zip(self.carrier.passed(&session.pair()));
        passed.map_or(session.deadline, |(before, passed)| {
            session.deadline_after(before, passed, &self.timers, now)
        })
    }

    /// Takes over a flow that the carrier has carried since before this machine began, if the policy
    /// of now would open it, and so.
    ///
    /// # Errors
    /// [`NotAdopted`]; nothing was changed.
    pub fn adopt(&mut self, pair: &Pair, passed: Passed, now: Tick) -> Result<(), NotAdopted> {
        if self.has_departed(pair) {
            return Err(NotAdopted::Never);
        }
        let zones = [pair.initiator.zone, pair.responder.zone];
        // Between two home hosts it goes by the other one's mapping, which another flow brings.
        // One that the Internet has opened goes by a forward, which the manager has to say again.
        let waits = zones.contains(&Zone::Service)
            || zones[0] == Zone::Wan
            || zones == [Zone::Lan; 2]
            || zones == [Zone::Guest; 2]
            || self.places.wan_address().is_none();
        let refusal = if waits {
            NotAdopted::NotYet
        } else {
            NotAdopted::Never
        };
        let plan = self.plan_again(pair, now).ok_or(refusal)?;
        let external = (pair.responder.destination, pair.responder.ports.destination);
        let kept = (pair.initiator.source, pair.initiator.ports.source);
        let same = match plan.source {
            SourceRule::Keep => external == kept,
            SourceRule::Fixed(address, port) => external == (address, port),
            SourceRule::Mapped => Some(external.0) == self.places.wan_address(),
        };
        let leads = (plan.egress, plan.destination, plan.port);
        let led = (zones[1], pair.responder.source, pair.responder.ports.source);
        if !same || leads != led {
            return Err(refusal);
        }
        self.reopen(pair, &plan, passed, now).ok_or(refusal)
    }

    fn plan_again(&self, pair: &Pair, now: Tick) -> Option<Plan> {
        let tuple = &pair.initiator;
        let place: Place = self.places.place(tuple.destination).ok()?;
        self.places
            .check_source(tuple.zone, tuple.source, tuple.destination)
            .ok()?;
        let kind = match tuple.protocol {
            Protocol::Tcp => Kind::Tcp(TcpFlags::new(0x10)),
            Protocol::Udp => Kind::Udp,
            Protocol::Icmp => return None,
        };
        match self.plan(tuple, kind, place, now).ok()? {
            Opening::Flow(plan) => Some(plan),
            Opening::Admitted { .. } | Opening::Local => None,
        }
    }

    fn reopen(&mut self, pair: &Pair, plan: &Plan, passed: Passed, now: Tick) -> Option<()> {
        let host = self.hosts.acquire(plan.charge).ok()?;
        let mut session = Session::new(pair.initiator, pair.responder, host);
        if plan.source == SourceRule::Mapped {
            let inside = Inside {
                protocol: pair.initiator.protocol,
                address: pair.initiator.source,
                port: pair.initiator.ports.source,
            };
            let external = pair.responder.ports.destination;
            let Ok(mapping) = self.mappings.acquire_as(inside, external) else {
                self.hosts.release(host);
                return None;
            };
            session.mapping = Some(mapping);
            session.peer = self.permit(&session);
            session.target = self.aim(plan);
        }
        if pair.initiator.protocol == Protocol::Tcp {
            session.tcp = TcpState::open();
        }
        let ends = SIDES.into_iter().zip(passed).filter_map(|(side, traffic)| {
            let timeout = session.carried_timeout_ms(side, &self.timers)?;
            Some(traffic.last.min(now).after_ms(timeout))
        });
        session.deadline = ends.max().unwrap_or(now);
        session.carried = Some(passed);
        let deadline = session.deadline;
        if deadline <= now {
            self.let_go(&session);
            return None;
        }
        let row = self.add(session, now).ok()?;
        self.carried += 1;
        self.prolong(row, deadline);
        Some(())
    }
}

impl Session {
    /// Its tuples.
    #[must_use]
    pub fn pair(&self) -> Pair {
        Pair {
            initiator: self.initiator,
            responder: self.responder,
        }
    }

    /// When it ends, after more has passed than `before`.
    fn deadline_after(&self, before: Passed, passed: Passed, timers: &Timers, now: Tick) -> Tick {
        let mut deadline = self.deadline;
        for ((side, traffic), before) in SIDES.into_iter().zip(passed).zip(before) {
            // A clock that is read later can not be earlier; torn, it could seem so.
            let last = traffic.last.min(now);
            if traffic.packets != before.packets
                && let Some(timeout) = self.carried_timeout_ms(side, timers)
            {
                deadline = deadline.max(last.after_ms(timeout));
            }
        }
        deadline
    }

    /// By how much a plain packet of an end prolongs the flow, ms: the rule of
    /// [`super::translate`]'s refresh, without what a flow that is carried can not be.
    fn carried_timeout_ms(&self, side: Side, timers: &Timers) -> Option<u64> {
        match self.initiator.protocol {
            Protocol::Tcp => Some(timers.tcp(self.tcp)),
            Protocol::Udp if self.arrives_from(side) != Zone::Wan => Some(timers.udp(self)),
            Protocol::Udp => self.mapping.is_none().then_some(UDP_UNANSWERED_TIMEOUT_MS),
            Protocol::Icmp => None,
        }
    }
}
