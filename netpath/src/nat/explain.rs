//! What would become of a packet, step by step. Nothing is changed, and nothing is decided here: the
//! steps are what [`Nat::arrival`], [`Nat::step`] and [`Nat::leaves`] find, which decide about real packets.
//!
//! Where the table is full and a finished flow would make room, its port does not count as free here.

use super::Nat;
use super::carry::Carrier;
use super::judge::{Arrival, Begins, Step};
use super::mappings::Spot;
use super::places::{Place, next_hop};
use super::plan::Plan;
use super::refuse::Refusal;
use super::sessions::{Session, Side, Tuple};
use super::tcp::Phase;
use crate::counters::DropReason;
use crate::limits::CARRY_AFTER;
use crate::wire::checksum::Sum;
use crate::wire::icmp::{self, ECHO_REQUEST};
use crate::wire::ipv4::Ipv4;
use crate::wire::transport::{Kind, Protocol, TCP_HEADER_LEN, UDP_HEADER_LEN};
use core::net::Ipv4Addr;
use hearth_model::Tick;
use hearth_model::protocol::{
    Endpoint, Flow, FlowPath, FlowProtocol, FlowState, Place as Where, TraceEnd, TraceReport,
    TraceStep, Zone,
};

/// Length of the longest packet that is asked about, bytes.
const OPENER_MAX: usize = IP_HEADER + TCP_HEADER_LEN;
const IP_HEADER: usize = 20;
/// As hosts send it (Linux `ip_default_ttl`).
const TTL: u8 = 64;
/// Data offset of a TCP header without options, and the flag SYN.
const TCP_WORDS: u8 = 5 << 4;
const SYN: u8 = 2;

type Steps = heapless::Vec<TraceStep, { hearth_model::protocol::TRACE_STEPS }>;

impl<C: Carrier> Nat<C> {
    /// What would become of the packet that opens this flow, or of one that belongs to it.
    #[must_use]
    pub fn explain(&self, flow: &Flow, now: Tick) -> TraceReport {
        let (mut bytes, length) = opener(flow);
        let mut steps = Steps::new();
        let end = match bytes.get_mut(..length).map(Ipv4::parse) {
            Some(Ok(packet)) => self.tell(flow, &packet, now, &mut steps),
            Some(Err(reason)) => Err(reason.into()),
            None => Err(DropReason::MalformedIp.into()),
        };
        let end = end.unwrap_or_else(|refusal| TraceEnd::Dropped {
            reason: refusal.reason,
            told: refusal.answer.is_some() && self.places.own(flow.from).is_some(),
        });
        TraceReport { steps, end }
    }

    fn tell(
        &self,
        flow: &Flow,
        packet: &Ipv4<'_>,
        now: Tick,
        steps: &mut Steps,
    ) -> Result<TraceEnd, Refusal> {
        // There is room for every step that a packet can have.
        let mut say = |step| steps.push(step).unwrap_or(());
        let (tuple, kind, place) = match self.arrival(flow.from, packet)? {
            Arrival::Dhcp(_) => return Ok(TraceEnd::Dhcp),
            Arrival::Flow { tuple, kind, place } => (tuple, kind, place),
            // `opener` makes neither fragments nor errors.
            Arrival::Later | Arrival::Error(_) => {
                return Err(DropReason::MalformedTransport.into());
            }
        };
        say(TraceStep::Arrives(flow.from));
        say(TraceStep::Goes(place.into()));
        let found = self.alive(&tuple, now);
        let step = self.step((&tuple, kind, place), found, packet, now);
        if !matches!(step, Ok(Step::Goes { .. } | Step::Local)) {
            say(TraceStep::New);
        }
        let (leaves, path) = match step? {
            Step::Local => return Ok(TraceEnd::Local),
            Step::Goes { row, side, begins } => {
                let session = self.sessions.get(row);
                let session = session.ok_or(DropReason::Unsolicited)?;
                say(self.known(session, side, begins, now));
                (*session.opposite(side), path(session))
            }
            Step::Opens(plan, seat) => {
                self.tell_plan(&tuple, &plan, &mut say);
                say(TraceStep::Share(self.hosts.sessions(seat.host)));
                if let Some(spot) = seat.mapping {
                    say(TraceStep::Mapping {
                        external: destination(&seat.responder),
                        there: matches!(spot, Spot::There { .. }),
                    });
                }
                (seat.responder, first_path(kind))
            }
            Step::Admits {
                until, initiator, ..
            } => {
                say(TraceStep::Filter(seconds(until.since_ms(now))));
                (initiator, first_path(kind))
            }
        };
        self.leaves(&leaves, packet)?;
        say(TraceStep::Leaves {
            to: leaves.zone,
            source: destination(&leaves),
            destination: source(&leaves),
        });
        say(TraceStep::Hop(self.hop(leaves.zone, leaves.source)));
        say(TraceStep::Path(path));
        Ok(TraceEnd::Forwarded)
    }

    fn known(&self, session: &Session, side: Side, begins: Begins, now: Tick) -> TraceStep {
        match begins {
            Begins::Anew => TraceStep::Anew,
            Begins::No => TraceStep::Known {
                answer: side == Side::Responder,
                state: state(session),
                left_s: seconds(self.deadline_by_carrier(session, now).since_ms(now)),
            },
        }
    }

    fn tell_plan(&self, tuple: &Tuple, plan: &Plan, say: &mut impl FnMut(TraceStep)) {
        let policy = match tuple.zone {
            Zone::Service => self
                .services
                .at(tuple.source)
                .map(|(_, service)| service.policy),
            Zone::Lan | Zone::Guest => self
                .services
                .bridged_at(tuple.source)
                .map(|service| service.policy),
            Zone::Wan => None,
        };
        if let Some(policy) = policy {
            say(TraceStep::Policy(policy));
        }
        let to = Endpoint {
            address: plan.destination,
            port: plan.port,
        };
        let asked = Endpoint {
            address: tuple.destination,
            port: tuple.ports.destination,
        };
        if plan.target.is_some() {
            say(TraceStep::Hairpin(to));
        } else if to != asked {
            say(TraceStep::Forward(to));
        }
    }

    /// Who gets a packet next on a side, as the kernel routes it.
    fn hop(&self, zone: Zone, to: Ipv4Addr) -> Option<Ipv4Addr> {
        match zone {
            Zone::Lan | Zone::Service | Zone::Guest => Some(to),
            Zone::Wan => next_hop(&self.places.wan()?, to),
        }
    }
}

/// Where a flow is.
pub(super) fn state(session: &Session) -> FlowState {
    match (session.initiator.protocol, session.tcp.phase()) {
        (Protocol::Udp | Protocol::Icmp, _) => FlowState::Active,
        (Protocol::Tcp, Phase::Opening) => FlowState::Opening,
        (Protocol::Tcp, Phase::Established) => FlowState::Established,
        (Protocol::Tcp, Phase::Closing) => FlowState::Closing,
    }
}

fn path(session: &Session) -> FlowPath {
    match (session.carried, session.initiator.protocol) {
        (Some(_), _) => FlowPath::Carried,
        (None, Protocol::Icmp) => FlowPath::Never,
        (None, Protocol::Tcp | Protocol::Udp) => FlowPath::After(CARRY_AFTER),
    }
}

fn first_path(kind: Kind) -> FlowPath {
    match kind {
        Kind::Tcp(_) | Kind::Udp => FlowPath::After(CARRY_AFTER),
        Kind::EchoRequest | Kind::EchoReply | Kind::IcmpError => FlowPath::Never,
    }
}

pub(super) fn seconds(ms: u64) -> u32 {
    u32::try_from(ms / 1_000).unwrap_or(u32::MAX)
}

/// Where packets of a tuple come from. An echo has one identifier, wherever it stands.
pub(super) fn source(tuple: &Tuple) -> Endpoint {
    Endpoint {
        address: tuple.source,
        port: tuple.ports.source,
    }
}

/// Where packets of a tuple go to.
pub(super) fn destination(tuple: &Tuple) -> Endpoint {
    Endpoint {
        address: tuple.destination,
        port: tuple.ports.destination,
    }
}

impl From<Place> for Where {
    fn from(place: Place) -> Where {
        match place {
            Place::LanAddress => Where::LanAddress,
            Place::ServiceRouter => Where::ServiceRouter,
            Place::WanAddress => Where::WanAddress,
            Place::Lan => Where::Lan,
            Place::GuestAddress => Where::GuestAddress,
            Place::Guest => Where::Guest,
            Place::Services => Where::Services,
            Place::Wan => Where::Wan,
        }
    }
}

/// The packet that opens a flow: a SYN, an empty datagram, or an echo request without data.
fn opener(flow: &Flow) -> ([u8; OPENER_MAX], usize) {
    let (number, header) = match flow.protocol {
        FlowProtocol::Tcp => (Protocol::Tcp, TCP_HEADER_LEN),
        FlowProtocol::Udp => (Protocol::Udp, UDP_HEADER_LEN),
        FlowProtocol::Icmp => (Protocol::Icmp, icmp::HEADER_LEN),
    };
    let length = IP_HEADER + header;
    let mut bytes = [0; OPENER_MAX];
    let [a, b] = flow.source.port.to_be_bytes();
    let [c, d] = flow.destination.port.to_be_bytes();
    // Lengths below 64: the low byte.
    let (low, data) = (length as u8, header as u8);
    let ip = [0x45, 0, 0, low, 0, 0, 0, 0, TTL, number as u8, 0, 0];
    let ends = [flow.source.address, flow.destination.address].map(|end| end.octets());
    let transport: &[u8] = match flow.protocol {
        FlowProtocol::Tcp => &[a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, TCP_WORDS, SYN],
        FlowProtocol::Udp => &[a, b, c, d, 0, data],
        FlowProtocol::Icmp => &[ECHO_REQUEST, 0, 0, 0, a, b],
    };
    let parts = ip.iter().chain(ends.as_flattened()).chain(transport);
    for (place, byte) in bytes.iter_mut().zip(parts) {
        *place = *byte;
    }
    let sum = Sum::default().bytes(bytes.get(..IP_HEADER).unwrap_or_default());
    if let Some([high, low]) = bytes.get_mut(10..12) {
        [*high, *low] = sum.checksum().to_be_bytes();
    }
    (bytes, length)
}
