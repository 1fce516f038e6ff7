//! Packets of known flows: the check of the next link, the flow's state and timer, the rewrite.

use super::Nat;
use super::carry::Carrier;
use super::fragments::{DatagramKey, Followed};
use super::places::Place;
use super::refuse::Refusal;
use super::sessions::{Side, Tuple};
use super::table::{Full, Row};
use super::{Pass, packet_key};
use crate::counters::DropReason;
use crate::limits::{LOCAL_PORT_FIRST, LOCAL_PORT_LAST, UDP_UNANSWERED_TIMEOUT_MS};
use crate::wire::checksum::Delta;
use crate::wire::icmp;
use crate::wire::ipv4::{Ipv4, Part};
use crate::wire::transport::{self, Kind, Ports, Protocol};
use core::net::Ipv4Addr;
use hearth_model::Tick;
use hearth_model::protocol::Zone;
use hearth_model::queues::CodePoint;

/// Largest step from the name of one datagram that leaves in fragments to the next.
const IDENTIFICATION_STEP_MAX: u32 = 8;

/// Offset of the second 8 bytes of a datagram: a fragment there overwrites TCP flags (RFC 1858).
const TCP_OVERLAP_OFFSET: u16 = 8;

impl<C: Carrier> Nat<C> {
    /// A packet of a flow passes: state, timer, rewrite.
    ///
    /// # Errors
    /// [`Refusal`]; the packet is then unchanged.
    pub(super) fn pass(
        &mut self,
        (row, side): (Row, Side),
        kind: Kind,
        packet: &mut Ipv4<'_>,
        now: Tick,
    ) -> Result<Pass, Refusal> {
        let session = self.sessions.get(row).ok_or(DropReason::Unsolicited)?;
        let (opposite, serial, tcp) = (*session.opposite(side), session.serial, session.tcp);
        let arrived = session.arrives_from(side);
        let (host, way) = (session.host, session.way(side));
        self.leaves(&opposite, packet)?;
        if let Some(host) = host {
            self.hosts
                .count(host, way, 1, u64::from(packet.total_len()));
        }
        if let Kind::Tcp(flags) = kind
            && !tcp.after(side, arrived, flags).is_open()
        {
            self.take_back(row, now);
        }
        if let Kind::Tcp(flags) = kind
            && let Some(state) = tcp.goes_on(arrived, flags)
        {
            // Without a share it stays finished, and passes until its time is over.
            self.revive(row, state).ok();
        }
        self.read_mark(row, arrived, packet);
        self.refresh(row, side, kind, now);
        self.offer(row, kind, packet.part(), now);
        if packet.part() == Part::First {
            let key = packet_key(packet, arrived);
            let identification = self.identify(&opposite, packet.identification());
            let followed = Followed::Session {
                row,
                serial,
                side,
                identification,
            };
            self.remember(key, followed, now);
            packet.set_identification(identification);
        }
        let delta = packet.set_addresses(opposite.destination, opposite.source);
        let ports = Ports {
            source: opposite.ports.destination,
            destination: opposite.ports.source,
        };
        transport::rewrite(opposite.protocol, packet.payload_mut(), ports, delta);
        Ok(Pass::Forward)
    }

    /// What the inside says in a flow holds for what the Internet sends in it.
    fn read_mark(&mut self, row: Row, arrived: Zone, packet: &Ipv4<'_>) {
        if let Some(session) = self.sessions.get_mut(row) {
            if arrived != Zone::Wan {
                session.mark = CodePoint::of_tos(packet.tos());
            }
            self.passed_mark = session.mark;
        }
    }

    /// Moves the state and the timer of a flow. What comes from the Internet prolongs no UDP or
    /// ICMP flow through a mapping (RFC 4787 REQ-6): else a stranger could keep it open for ever. A
    /// forward is open anyway, but holds a row only shortly.
    fn refresh(&mut self, row: Row, side: Side, kind: Kind, now: Tick) {
        let Some(session) = self.sessions.get_mut(row) else {
            return;
        };
        let zone = session.arrives_from(side);
        let from_inside = zone != Zone::Wan;
        let left = session.deadline.since_ms(now);
        let timeout = match kind {
            Kind::Tcp(flags) => {
                // A finished flow lives its time out; a reset never prolongs one (RFC 7857 7.1).
                let was_finished = session.tcp.is_finished();
                session.tcp = session.tcp.after(side, zone, flags);
                let timeout = self.timers.tcp(session.tcp);
                let timeout = if flags.rst() {
                    timeout.min(left)
                } else {
                    timeout
                };
                (!was_finished).then_some(timeout)
            }
            Kind::Udp if from_inside => Some(self.timers.udp(session)),
            Kind::Udp => {
                let by_forward = session.mapping.is_none();
                by_forward.then_some(UDP_UNANSWERED_TIMEOUT_MS.max(left))
            }
            Kind::EchoRequest | Kind::EchoReply => from_inside.then_some(self.timers.icmp),
            Kind::IcmpError => None,
        };
        if session.tcp.is_finished()
            && let Some(host) = self.sessions.finish(row)
        {
            self.hosts.release(host);
        }
        if let Some(timeout) = timeout {
            self.prolong(row, now.after_ms(timeout));
        }
    }

    /// Lets a flow, and what it permits, end at `deadline`.
    pub(super) fn prolong(&mut self, row: Row, deadline: Tick) {
        self.sessions.set_deadline(row, deadline);
        let Some(session) = self.sessions.get(row) else {
            return;
        };
        if let Some(peer) = session.peer {
            self.peers.extend(peer, deadline);
        }
        if let Some(mapping) = session.mapping {
            self.mappings.extend(mapping, deadline);
        }
    }

    /// A later fragment goes where its first one went, or waits for it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) fn later_fragment(
        &mut self,
        zone: Zone,
        packet: &mut Ipv4<'_>,
        now: Tick,
    ) -> Result<Pass, Refusal> {
        let key: DatagramKey = packet_key(packet, zone);
        if key.protocol == Protocol::Tcp as u8
            && packet.part()
                == (Part::Later {
                    offset: TCP_OVERLAP_OFFSET,
                })
        {
            return Err(DropReason::FragmentTiny.into());
        }
        match self.fragments.recall(&key, now) {
            Some(followed) => self.follow(followed, packet),
            None => {
                let held = self.fragments.hold(key, packet, now);
                held.map_err(|Full| DropReason::FragmentNoRoom)?;
                Ok(Pass::Held)
            }
        }
    }

    /// Notes what a first fragment was, for those that follow it, and for those that came before it.
    pub(super) fn remember(&mut self, key: DatagramKey, followed: Followed, now: Tick) {
        self.fragments.remember(key, followed, now);
        self.first_passed = Some(key);
    }

    /// Two home hosts may have given their datagrams the same name, which are one sender's outside: one
    /// that leaves in fragments gets a new one there (RFC 7857 section 10).
    fn identify(&mut self, opposite: &Tuple, own: u16) -> u16 {
        if opposite.zone != Zone::Wan {
            return own;
        }
        // Unique for thousands of datagrams, and not to be guessed exactly.
        let step = 1 + self.random.draw() % IDENTIFICATION_STEP_MAX;
        let next = self
            .identification
            .wrapping_add(u16::try_from(step).unwrap_or(1));
        self.identification = next;
        next
    }

    /// A later fragment goes where its first one, which is known, went.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) fn follow(
        &mut self,
        followed: Followed,
        packet: &mut Ipv4<'_>,
    ) -> Result<Pass, Refusal> {
        let (row, serial, side, identification) = match followed {
            Followed::Local => return Ok(Pass::Local),
            Followed::Session {
                row,
                serial,
                side,
                identification,
            } => (row, serial, side, identification),
        };
        let session = self.sessions.get(row).filter(|s| s.serial == serial);
        let session = session.ok_or(DropReason::FragmentUnknown)?;
        let opposite = *session.opposite(side);
        self.passed_mark = session.mark;
        // No answers about a later fragment (RFC 1122 3.2.2).
        self.check_link(opposite.zone, packet)
            .map_err(Refusal::silent)?;
        self.guard_egress(&opposite)?;
        packet.set_addresses(opposite.destination, opposite.source);
        packet.set_identification(identification);
        Ok(Pass::Forward)
    }

    /// An ICMP error about a packet of a flow goes to who sent that packet, and shows it as it
    /// was sent (RFC 5508 REQ-4, REQ-5). No flow is prolonged or ended by it (REQ-6).
    ///
    /// # Errors
    /// [`Refusal`], never answered.
    pub(super) fn icmp_error(
        &mut self,
        zone: Zone,
        place: Place,
        packet: &mut Ipv4<'_>,
        now: Tick,
    ) -> Result<Pass, Refusal> {
        if packet.part() != Part::Whole {
            return Err(DropReason::FragmentTiny.into());
        }
        let reporter = packet.source();
        let about = {
            let inner = icmp::embedded(packet.payload_mut())?;
            let (protocol, ports) = transport::read_embedded(&inner)?;
            // The answer to the embedded packet would arrive as this.
            Tuple {
                source: inner.destination(),
                destination: inner.source(),
                ports: Ports {
                    source: ports.destination,
                    destination: ports.source,
                },
                protocol,
                zone,
            }
        };
        // An error goes to the source of the packet that it is about.
        if packet.destination() != about.destination {
            return Err(DropReason::IcmpUnrelated.into());
        }
        let Some((row, side)) = self.live(&about, now) else {
            return self.own_error(&about, place);
        };
        let session = self.sessions.get(row).ok_or(DropReason::IcmpUnrelated)?;
        let opposite = *session.opposite(side);
        self.check_link(opposite.zone, packet)
            .map_err(Refusal::silent)?;
        self.guard_egress(&opposite)?;
        rewrite_embedded(packet.payload_mut(), &opposite)?;
        // A router in the Internet is named as it is; whoever reports from inside is shown to the
        // other side as the flow's own address there.
        let source = match zone {
            Zone::Wan => reporter,
            Zone::Lan | Zone::Service | Zone::Guest => opposite.destination,
        };
        packet.set_addresses(source, opposite.source);
        Ok(Pass::Forward)
    }

    /// An error about a packet that the gateway itself sent.
    fn own_error(&self, about: &Tuple, place: Place) -> Result<Pass, Refusal> {
        let own_port = (LOCAL_PORT_FIRST..=LOCAL_PORT_LAST).contains(&about.ports.destination);
        let ours = match place {
            Place::LanAddress | Place::ServiceRouter | Place::GuestAddress => true,
            Place::WanAddress => about.protocol == Protocol::Icmp || own_port,
            Place::Lan | Place::Guest | Place::Services | Place::Wan => false,
        };
        let sent: Option<Ipv4Addr> = self.places.own(about.zone);
        if ours && sent == Some(about.destination) {
            Ok(Pass::Local)
        } else {
            Err(DropReason::IcmpUnrelated.into())
        }
    }
}

/// Turns the packet inside an ICMP error into what its sender had sent: the opposite tuple.
fn rewrite_embedded(message: &mut [u8], sent: &Tuple) -> Result<(), Refusal> {
    {
        let mut inner = icmp::embedded(message)?;
        let delta: Delta = inner.set_addresses(sent.source, sent.destination);
        transport::rewrite(sent.protocol, inner.payload_mut(), sent.ports, delta);
    }
    icmp::set_checksum(message);
    Ok(())
}
