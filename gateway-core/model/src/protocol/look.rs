//! What the manager asks netpath on behalf of people: lists in pages, and what would become of a packet.
//! Asking changes nothing, and each answer is one record: a longer list has a cursor.

use super::net::{NetReport, NetworkPolicy, Zone};
use super::queues::{Direction, LineClass, QueueOwner, QueuePage};
use crate::drops::{DropReason, Stray};
use crate::ids::ServiceId;
use core::fmt;
use core::net::Ipv4Addr;
use serde::{Deserialize, Serialize};

/// Rows of [`Seen::Sessions`], each at most 40 bytes.
pub const SESSION_ROWS: usize = 11;
/// Rows of [`Seen::Hosts`], each at most 80 bytes.
pub const HOST_ROWS: usize = 5;
/// Rows of [`Seen::Drops`], each at most 21 bytes.
pub const DROP_ROWS: usize = 22;
/// Rows of [`Seen::Guards`], each at most 74 bytes.
pub const GUARD_ROWS: usize = 6;
/// Steps of a [`TraceReport`], each at most 24 bytes.
pub const TRACE_STEPS: usize = 14;

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Look {
    /// Flows, from a place of the table on; of all hosts and services, or of one.
    Sessions {
        /// Where to begin: 0, or what the last answer said.
        from: u16,
        /// Only those of this inside address.
        host: Option<Ipv4Addr>,
    },
    /// Who has flows, and what passes in them.
    Hosts {
        /// Where to begin.
        from: u16,
    },
    /// The sums.
    Report,
    /// The queues of a direction of the line.
    Queues {
        /// Which direction.
        direction: Direction,
        /// Where to begin.
        from: u16,
    },
    /// What netpath has dropped, by reason.
    Drops {
        /// Where to begin.
        from: u16,
    },
    /// What the guards have dropped, by link.
    Guards {
        /// Where to begin.
        from: u16,
    },
    /// What would become of the packet that opens this flow, or of one that belongs to it.
    Trace(Flow),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen {
    /// To [`Look::Sessions`]. A page may be empty although there is more.
    Sessions {
        /// Some of them.
        rows: heapless::Vec<SessionRow, SESSION_ROWS>,
        /// Where to go on; `None`: that was all.
        next: Option<u16>,
    },
    /// To [`Look::Hosts`].
    Hosts {
        /// Some of them.
        rows: heapless::Vec<HostRow, HOST_ROWS>,
        /// Where to go on.
        next: Option<u16>,
        /// How long the last window was that [`HostRow::sent_lately`] counts, ms; 0: none is over yet.
        window_ms: u32,
    },
    /// To [`Look::Report`].
    Report(NetReport),
    /// To [`Look::Queues`].
    Queues(QueuePage),
    /// To [`Look::Drops`].
    Drops {
        /// Some of them.
        rows: heapless::Vec<DropRow, DROP_ROWS>,
        /// Where to go on.
        next: Option<u16>,
    },
    /// To [`Look::Guards`].
    Guards {
        /// Some of them.
        rows: heapless::Vec<GuardRow, GUARD_ROWS>,
        /// Where to go on.
        next: Option<u16>,
    },
    /// To [`Look::Trace`].
    Trace(TraceReport),
}

/// Protocol of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP echo; its identifier takes the place of a port.
    Icmp,
}

impl FlowProtocol {
    /// The word on the command line and in lists.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FlowProtocol::Tcp => "tcp",
            FlowProtocol::Udp => "udp",
            FlowProtocol::Icmp => "icmp",
        }
    }
}

/// An address and a port, or an echo's identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The address.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.address, self.port)
    }
}

/// Where a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlowState {
    /// A TCP connection whose handshake is not over.
    Opening,
    /// An open TCP connection.
    Established,
    /// A TCP connection that both ends have closed, or that was reset.
    Closing,
    /// UDP or ICMP, which have no states.
    Active,
}

impl FlowState {
    /// The word in lists.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FlowState::Opening => "opening",
            FlowState::Established => "established",
            FlowState::Closing => "closing",
            FlowState::Active => "active",
        }
    }
}

/// One flow, as people look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Its protocol.
    pub protocol: FlowProtocol,
    /// The end in the home, or of a service.
    pub inside: Endpoint,
    /// How the other end sees the inside: an address and port of the gateway, or the inside itself.
    pub outside: Endpoint,
    /// The other end: in the Internet, or, of a flow that does not go there, whom it was opened to.
    pub remote: Endpoint,
    /// Whether the other end has opened it.
    pub incoming: bool,
    /// Where it is.
    pub state: FlowState,
    /// Since what last kept it alive, s.
    pub idle_s: u32,
    /// Until it ends without another packet, s.
    pub left_s: u32,
    /// Whether the fast path carries it now.
    pub carried: bool,
}

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Packets.
    pub packets: u64,
    /// Their bytes, from the IPv4 header on.
    pub bytes: u64,
}

/// A host of the home or a service with flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRow {
    /// Its address.
    pub address: Ipv4Addr,
    /// Flows in its share.
    pub sessions: u32,
    /// What it has sent since it has flows.
    pub sent: Volume,
    /// What it has received.
    pub received: Volume,
    /// What it has sent in the last window that is over.
    pub sent_lately: Volume,
    /// What it has received in it.
    pub received_lately: Volume,
}

/// Packets dropped for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropRow {
    /// Why.
    pub reason: DropReason,
    /// Silently.
    pub dropped: u64,
    /// With an ICMP error to the sender.
    pub answered: u64,
}

/// Where a guard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardPlace {
    /// At the Ethernet ports.
    Ports,
    /// At the link of a service.
    Link(ServiceId),
}

/// What a guard has dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardRow {
    /// Where.
    pub place: GuardPlace,
    /// Frames, in the order of [`Stray::ALL`].
    pub dropped: [u64; Stray::ALL.len()],
}

/// A flow that somebody asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// The side that the packet comes from.
    pub from: Zone,
    /// Protocol. Of TCP the packet is a SYN, of ICMP an echo request.
    pub protocol: FlowProtocol,
    /// Its source; of an echo, with the identifier as its port.
    pub source: Endpoint,
    /// Its destination.
    pub destination: Endpoint,
}

/// Where a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// The gateway's address in the home.
    LanAddress,
    /// The gateway's end of the services' links.
    ServiceRouter,
    /// The gateway's address in the Internet.
    WanAddress,
    /// A host of the home.
    Lan,
    /// The gateway's address in the guests' network.
    GuestAddress,
    /// A guest.
    Guest,
    /// The services' subnet.
    Services,
    /// Anywhere else.
    Wan,
}

/// How a flow's packets go through the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlowPath {
    /// The fast path carries it.
    Carried,
    /// netpath itself does, and hands it to the fast path after so many packets.
    After(u8),
    /// netpath itself does, always: ICMP.
    Never,
    /// netpath itself does: this kernel has no fast path.
    Off,
}

/// One thing that happens to a packet, or is found about it, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TraceStep {
    /// A guard looks at it; `None`: it passes.
    Guard(Option<GuardPlace>, Option<Stray>),
    /// Its source belongs on the side that it comes from.
    Arrives(Zone),
    /// Where its destination is.
    Goes(Place),
    /// It belongs to a flow that is there.
    Known {
        /// Whether it comes from the end which has not opened the flow.
        answer: bool,
        /// Where the flow is.
        state: FlowState,
        /// Until it ends without another packet, s.
        left_s: u32,
    },
    /// It begins another TCP connection in the place of one that has ended.
    Anew,
    /// No flow is there: it would open one.
    New,
    /// It comes from a service, whose policy lets it.
    Policy(NetworkPolicy),
    /// A port of the gateway leads to a service.
    Forward(Endpoint),
    /// The gateway's address in the Internet leads back to a host of the home.
    Hairpin(Endpoint),
    /// A mapping's filter lets it in, for so many seconds yet.
    Filter(u32),
    /// Flows in the share of its host before this one.
    Share(u32),
    /// Its source becomes this: the mapping is there, or would be made.
    Mapping {
        /// Address and port of the gateway.
        external: Endpoint,
        /// Whether it is there already.
        there: bool,
    },
    /// It leaves so.
    Leaves {
        /// On this side.
        to: Zone,
        /// From here.
        source: Endpoint,
        /// To there.
        destination: Endpoint,
    },
    /// Where it waits while the line to the Internet is full, if it says nothing about itself.
    Queue {
        /// Which direction of the line.
        direction: Direction,
        /// Whose queue.
        owner: QueueOwner,
        /// Its class.
        class: LineClass,
        /// Whether anything waits there: the line's rate is known.
        shaped: bool,
    },
    /// Who gets it next on that side; `None`: there is no router.
    Hop(Option<Ipv4Addr>),
    /// How further packets of the flow go.
    Path(FlowPath),
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TraceEnd {
    /// It is passed on.
    Forwarded,
    /// It is for the gateway's own programs.
    Local,
    /// It is an answer to the gateway's DHCP client.
    Dhcp,
    /// netpath drops it.
    Dropped {
        /// Why.
        reason: DropReason,
        /// Whether its sender is told by ICMP.
        told: bool,
    },
    /// A guard drops it.
    Guarded(Stray),
}

/// What would become of a packet, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceReport {
    /// Step by step.
    pub steps: heapless::Vec<TraceStep, TRACE_STEPS>,
    /// At last.
    pub end: TraceEnd,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{FromNetpath, encode};

    fn fits(seen: Seen) {
        let record = FromNetpath::Seen {
            ticket: u32::MAX,
            seen,
        };
        let mut buffer = [0; crate::limits::RECORD_MAX];
        let length = encode(&record, &mut buffer).unwrap().len();
        assert_eq!(
            crate::protocol::decode::<FromNetpath>(&buffer[..length]),
            Ok(record)
        );
    }

    #[test]
    fn the_longest_pages_fit_in_a_record() {
        let address = Ipv4Addr::BROADCAST;
        let end = Endpoint {
            address,
            port: u16::MAX,
        };
        let most = Volume {
            packets: u64::MAX,
            bytes: u64::MAX,
        };
        let session = SessionRow {
            protocol: FlowProtocol::Icmp,
            inside: end,
            outside: end,
            remote: end,
            incoming: true,
            state: FlowState::Active,
            idle_s: u32::MAX,
            left_s: u32::MAX,
            carried: true,
        };
        fits(Seen::Sessions {
            rows: [session; SESSION_ROWS].into_iter().collect(),
            next: Some(u16::MAX),
        });
        let host = HostRow {
            address,
            sessions: u32::MAX,
            sent: most,
            received: most,
            sent_lately: most,
            received_lately: most,
        };
        fits(Seen::Hosts {
            rows: [host; HOST_ROWS].into_iter().collect(),
            next: Some(u16::MAX),
            window_ms: u32::MAX,
        });
        let row = DropRow {
            reason: DropReason::EgressGuard,
            dropped: u64::MAX,
            answered: u64::MAX,
        };
        fits(Seen::Drops {
            rows: [row; DROP_ROWS].into_iter().collect(),
            next: Some(u16::MAX),
        });
        let row = GuardRow {
            place: GuardPlace::Link(ServiceId::new(255).unwrap()),
            dropped: [u64::MAX; Stray::ALL.len()],
        };
        fits(Seen::Guards {
            rows: [row; GUARD_ROWS].into_iter().collect(),
            next: Some(u16::MAX),
        });
        let step = TraceStep::Leaves {
            to: Zone::Service,
            source: end,
            destination: end,
        };
        fits(Seen::Trace(TraceReport {
            steps: [step; TRACE_STEPS].into_iter().collect(),
            end: TraceEnd::Dropped {
                reason: DropReason::EgressGuard,
                told: true,
            },
        }));
    }
}
