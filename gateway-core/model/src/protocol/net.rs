//! Records between the manager and netpath, over `/run/hearth/netpath.sock`.

use super::OwnNetworks;
use super::charged::Charged;
use super::look::{Look, Seen};
use super::queues::{Direction, QueuePage};
use super::{HouseholdForward, NetRefusal, WanPorts};
use crate::ids::ServiceId;
use crate::limits::{IFNAME_MAX, RESOLVERS_MAX};
use crate::units::BitsPerSec;
use core::fmt;
use core::net::Ipv4Addr;
use serde::{Deserialize, Serialize};

/// Transport protocol of a forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        })
    }
}

/// The side of the gateway a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Zone {
    /// The home.
    Lan,
    /// The Internet.
    Wan,
    /// A service on this machine.
    Service,
    /// The guests' network.
    Guest,
}

impl Zone {
    /// All sides, in the order of their numbers.
    pub const ALL: [Zone; 4] = [Zone::Lan, Zone::Wan, Zone::Service, Zone::Guest];
}

/// How a service's network namespace is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Link {
    /// A point-to-point veth; netpath routes and translates. What it may open is `policy`.
    Routed {
        /// The service's address, a /32 of the services' subnet.
        address: Ipv4Addr,
        /// Where it may open connections to.
        policy: NetworkPolicy,
    },
    /// A port of the LAN bridge: the service is a host of the home's network (a DHCP server must be).
    Bridged {
        /// The service's address in the LAN.
        address: Ipv4Addr,
        /// Length of the LAN's prefix, bits.
        prefix: u8,
        /// Where it may open connections to besides the home's hosts.
        policy: NetworkPolicy,
    },
}

impl Link {
    /// The service's address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        match self {
            Link::Routed { address, .. } | Link::Bridged { address, .. } => *address,
        }
    }
}

/// Where a service may open connections to (manifest `[access] network`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkPolicy {
    /// Nowhere: loopback only.
    None,
    /// Hosts of the home.
    Lan,
    /// The Internet, and hosts of the home.
    Wan,
}

/// A service's part of the line to the Internet in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineShare {
    /// What it gets whatever others send.
    pub reserve: BitsPerSec,
    /// What it gets at most; `None`: all there is.
    pub max: Option<BitsPerSec>,
}

/// How long a service's packets may wait where the line is full. Packets of a class go before those of
/// the ones below it, as far as nobody's reserve is touched; control traffic (netpath's own) before all.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum TrafficClass {
    /// It may wait: downloads, backups.
    #[default]
    Bulk,
    /// Somebody waits for the answer: pages, calls.
    Interactive,
    /// It must not wait.
    Guaranteed,
}

impl TrafficClass {
    /// The word in a manifest and in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TrafficClass::Bulk => "bulk",
            TrafficClass::Interactive => "interactive",
            TrafficClass::Guaranteed => "guaranteed",
        }
    }
}

/// A service's part of the line to the Internet, by its manifest (`resources.network`) and its rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkShare {
    /// Towards the Internet.
    pub up: LineShare,
    /// From the Internet.
    pub down: LineShare,
    /// How long its packets may wait.
    pub class: TrafficClass,
    /// Its part of what nobody reserved, beside the other services of its class: in proportion, 1 to
    /// [`NetworkShare::WEIGHT_MAX`]. The household's ranking decides it.
    pub weight: u16,
}

impl NetworkShare {
    /// The largest weight.
    pub const WEIGHT_MAX: u16 = 1000;
    /// The weight of a service that nobody ranked.
    pub const WEIGHT_EVEN: u16 = 100;
}

impl Default for NetworkShare {
    /// Nothing reserved, no ceiling, and as much as everybody else of the rest.
    fn default() -> NetworkShare {
        NetworkShare {
            up: LineShare::default(),
            down: LineShare::default(),
            class: TrafficClass::default(),
            weight: NetworkShare::WEIGHT_EVEN,
        }
    }
}

/// Manager to netpath, over `/run/hearth/netpath.sock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToNetpath {
    /// First record of every connection; answered with [`FromNetpath::Welcome`].
    Hello {
        /// [`crate::limits::PROTOCOL_VERSION`] of the sender.
        version: u16,
    },
    /// Make (or adopt, or change) the service's network namespace and link. Answered with
    /// [`FromNetpath::Attached`], or Refused.
    Attach {
        /// Which service.
        id: ServiceId,
        /// How.
        link: Link,
        /// What it gets of the line. Sent again where only this has changed.
        share: NetworkShare,
    },
    /// Remove the service's link, forwards and namespace.
    Detach {
        /// Which service.
        id: ServiceId,
    },
    /// Send what arrives on `port` of the gateway's address in `from` to the service. Answered
    /// with [`FromNetpath::Forwarded`], or Refused. The same forward twice is one forward.
    Forward(Forward),
    /// Remove all forwards of a service.
    Unforward {
        /// Which service.
        id: ServiceId,
    },
    /// Give ports of the WAN's address to a host or a service, for the household; said again with another
    /// target, they lead there. Answered with [`FromNetpath::PortsOpened`] or
    /// [`FromNetpath::PortsRefused`].
    OpenPorts(HouseholdForward),
    /// Close such ports: flows that came through them end. Answered with [`FromNetpath::PortsClosed`].
    ClosePorts(WanPorts),
    /// All that the household has given away has been said since the Hello: whatever an earlier manager
    /// has opened besides is closed. Answered with [`FromNetpath::PortsSettled`].
    SettlePorts,
    /// Ask for [`FromNetpath::Report`].
    Report,
    /// Ask for [`FromNetpath::Queues`]: the queues of a direction from place `from` on, 0 first.
    Queues {
        /// Which direction.
        direction: Direction,
        /// 0, or what the page before named as the next.
        from: u16,
    },
    /// Ask on behalf of people. Answered with [`FromNetpath::Seen`] of the same ticket.
    Look {
        /// Chosen by who asks.
        ticket: u32,
        /// What.
        look: Look,
    },
    /// The gateway's own networks are others now, on disk: end every flow, tell those inside, and start
    /// anew with them. There is no answer; the connection ends.
    Renumber,
}

/// One port of the gateway that is a service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Whose.
    pub id: ServiceId,
    /// Protocol.
    pub transport: Transport,
    /// Side on which the gateway's port is open (`Lan` or `Wan`).
    pub from: Zone,
    /// The gateway's port, 1 to 65535.
    pub port: u16,
    /// The service's port, 1 to 65535.
    pub to_port: u16,
}

/// netpath to manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "a page of a list is one record, of which there is one at a time; the model has no allocator"
)]
pub enum FromNetpath {
    /// Answer to [`ToNetpath::Hello`]. A new `instance` means that netpath was restarted: the
    /// manager sends every Attach and Forward again (each is idempotent).
    Welcome {
        /// [`crate::limits::PROTOCOL_VERSION`] of netpath.
        version: u16,
        /// Differs between two runs of netpath.
        instance: u64,
        /// The networks that it forwards for.
        networks: OwnNetworks,
    },
    /// The link is up; its namespace is pinned at `/run/hearth/netns/<id>`.
    Attached {
        /// Which service.
        id: ServiceId,
        /// The kernel thread that takes packets from the link into the service, for the service's cgroup;
        /// `None`: whoever brings them does, and netpath's log says why.
        thread: Option<u32>,
    },
    /// Answer to [`ToNetpath::Detach`].
    Detached {
        /// Which service.
        id: ServiceId,
    },
    /// Answer to [`ToNetpath::Forward`] and [`ToNetpath::Unforward`].
    Forwarded {
        /// Which service.
        id: ServiceId,
    },
    /// Answer to [`ToNetpath::OpenPorts`].
    PortsOpened(WanPorts),
    /// Answer to [`ToNetpath::ClosePorts`], also where they were not open.
    PortsClosed(WanPorts),
    /// Answer to [`ToNetpath::OpenPorts`]: nothing was changed.
    PortsRefused {
        /// Which ports.
        ports: WanPorts,
        /// Why.
        reason: NetRefusal,
    },
    /// Answer to [`ToNetpath::SettlePorts`].
    PortsSettled,
    /// A request was not carried out and changed nothing.
    Refused {
        /// Whose.
        id: Option<ServiceId>,
        /// Why.
        reason: NetRefusal,
    },
    /// The WAN's address came, changed or went; also sent after Welcome.
    Wan(WanStatus),
    /// What a DHCP server gives can not be taken, since it overlaps a network of our own; `None`: this is
    /// over. Also sent after Welcome, while it is so.
    Overlap(Option<WanStatus>),
    /// Something happened to the WAN's address that people should hear of.
    WanEvent(WanEvent),
    /// Answer to [`ToNetpath::Report`].
    Report(NetReport),
    /// Answer to [`ToNetpath::Queues`].
    Queues(QueuePage),
    /// Answer to [`ToNetpath::Look`].
    Seen {
        /// That of the question.
        ticket: u32,
        /// What is there.
        seen: Seen,
    },
}

/// Something that happened to the WAN's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WanEvent {
    /// Another address came in the place of one that flows went by; they have ended.
    Readdressed {
        /// The old one.
        from: Ipv4Addr,
        /// The new one.
        to: Ipv4Addr,
        /// TCP connections whose ends inside are told, so that they connect anew at once.
        connections: u32,
        /// All other flows.
        others: u32,
    },
}

/// The WAN's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WanStatus {
    /// Address, prefix length and next hop; `None` while there is no address.
    pub lease: Option<WanLease>,
    /// Resolvers the operator named; unused places are `None`.
    pub resolvers: [Option<Ipv4Addr>; RESOLVERS_MAX],
}

/// An address of the WAN interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WanLease {
    /// The address.
    pub address: Ipv4Addr,
    /// Prefix length, bits.
    pub prefix: u8,
    /// Next hop.
    pub router: Option<Ipv4Addr>,
}

/// What netpath counts, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetReport {
    /// NAT mappings in the table now.
    pub mappings: u32,
    /// Places in the table.
    pub mappings_max: u32,
    /// New flows refused because the table, or a host's share of it, was full.
    pub mappings_refused: u64,
    /// Packets received from the three sides.
    pub received: u64,
    /// Packets passed on, translated or to the gateway itself.
    pub forwarded: u64,
    /// Packets dropped, for all reasons.
    pub dropped: u64,
    /// Of those passed on, what the fast path in the kernel has forwarded; `None`: there is none.
    pub fast_path: Option<u64>,
    /// Whose processor time forwarding takes.
    pub charged: Charged,
}

/// An interface name, at most [`IFNAME_MAX`] bytes.
pub type IfName = heapless::String<IFNAME_MAX>;
