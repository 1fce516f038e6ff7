//! The policy: what a packet without a flow may open.
//!
//! | from \ to | gateway | home | services | Internet |
//! | --- | --- | --- | --- | --- |
//! | home | forward, hairpin, else the gateway's sockets | no | no | mapped |
//! | service | echo of its router | as its policy says | no | mapped, as its policy says |
//! | bridged service | echo, answers | (by the bridge) | no | mapped, as its policy says |
//! | guest | echo, hairpin among guests | no | no | mapped |
//! | Internet | forward, mapping, the gateway's own answers | - | - | - |
//!
//! A forward is a service's own, or the household's to a home host or a service; a home host that uses
//! one by the WAN's address is seen as from outside (RFC 4787 REQ-9).

use super::Nat;
use super::carry::Carrier;
use super::places::Place;
use super::refuse::Refusal;
use super::services::{ForwardKey, Service};
use super::sessions::Tuple;
use super::shares::PeerKey;
use super::table::Row;
use crate::counters::DropReason;
use crate::limits::{LOCAL_PORT_FIRST, LOCAL_PORT_LAST};
use crate::wire::icmp::Error;
use crate::wire::transport::{Kind, Protocol};
use core::net::Ipv4Addr;
use hearth_model::gateway::Filtering;
use hearth_model::protocol::{ForwardTarget, NetworkPolicy, Zone};
use hearth_model::{ServiceId, Tick};

/// What a flow's source becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceRule {
    /// It stays.
    Keep,
    /// The WAN's address and the port of its mapping.
    Mapped,
    /// The gateway's address and port that lead to it.
    Fixed(Ipv4Addr, u16),
}

/// A flow that may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where it goes out.
    pub egress: Zone,
    /// Its destination after translation.
    pub destination: Ipv4Addr,
    /// Its destination port after translation.
    pub port: u16,
    /// Its source after translation.
    pub source: SourceRule,
    /// Whose share it counts in.
    pub charge: Ipv4Addr,
    /// In a hairpin, the mapping that its destination goes by: it must not end before the flow does, or
    /// its port would be two endpoints' (RFC 4787 REQ-3).
    pub target: Option<Row>,
}

/// What a packet without a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The first of a flow.
    Flow(Plan),
    /// From an endpoint that a mapping's filter lets in: a flow that the inside has opened.
    Admitted {
        /// The mapping.
        mapping: Row,
        /// The permission, where one is needed.
        peer: Option<Row>,
        /// When the permission ends.
        until: Tick,
    },
    /// For the gateway itself.
    Local,
}

pub(super) fn prohibited(reason: DropReason) -> Refusal {
    Refusal::answered(reason, Error::Prohibited)
}

impl<C: Carrier> Nat<C> {
    /// Decides what a packet without a flow may open.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) fn plan(
        &self,
        tuple: &Tuple,
        kind: Kind,
        place: Place,
        now: Tick,
    ) -> Result<Opening, Refusal> {
        let opening = match tuple.zone {
            Zone::Lan => self.plan_lan(tuple, kind, place)?,
            Zone::Wan => self.plan_wan(tuple, kind, place, now)?,
            Zone::Service => self.plan_service(tuple, kind, place)?,
            Zone::Guest => self.plan_guest(tuple, kind, place)?,
        };
        match (opening, kind) {
            (Opening::Flow(_), Kind::Tcp(flags)) if flags.rst() => {
                Err(DropReason::TcpNoFlow.into())
            }
            // An echo reply opens nothing.
            (Opening::Flow(_), Kind::EchoReply) => Err(DropReason::Unsolicited.into()),
            (Opening::Flow(_) | Opening::Admitted { .. } | Opening::Local, _) => Ok(opening),
        }
    }

    /// How a protocol's mappings filter (RFC 4787 REQ-8, RFC 5382 REQ-3). Echoes have no ports that a
    /// stranger could answer: only a flow that is known passes.
    pub(super) fn filtering(&self, protocol: Protocol) -> Filtering {
        match protocol {
            Protocol::Udp => self.choices.udp_filtering,
            Protocol::Tcp => self.choices.tcp_filtering,
            Protocol::Icmp => Filtering::AddressAndPortDependent,
        }
    }

    /// Whether a mapping lets a stranger in: by which permission, and until when.
    pub(super) fn permitted(
        &self,
        protocol: Protocol,
        mapping: Row,
        remote: Ipv4Addr,
        now: Tick,
    ) -> Option<(Option<Row>, Tick)> {
        match self.filtering(protocol) {
            Filtering::EndpointIndependent => {
                let deadline = self.mappings.get(mapping)?.deadline;
                (deadline > now).then_some((None, deadline))
            }
            Filtering::AddressDependent => {
                let key = PeerKey { mapping, remote };
                let (peer, deadline) = self.peers.permitted(key, now)?;
                Some((Some(peer), deadline))
            }
            Filtering::AddressAndPortDependent => None,
        }
    }

    fn target(&self, tuple: &Tuple, from: Zone) -> Option<(Ipv4Addr, u16)> {
        self.services.target(ForwardKey {
            from,
            protocol: tuple.protocol,
            port: tuple.ports.destination,
        })
    }

    /// Where a port of the WAN's address leads: to the service whose it is, or as the household says.
    fn wan_target(&self, tuple: &Tuple) -> Option<(Zone, Ipv4Addr, u16)> {
        let own = self.target(tuple, Zone::Wan);
        own.map(|(address, port)| (Zone::Service, address, port))
            .or_else(|| self.household_target(tuple))
    }

    fn plan_lan(&self, tuple: &Tuple, kind: Kind, place: Place) -> Result<Opening, Refusal> {
        if let Some(service) = self.services.bridged_at(tuple.source) {
            bridged_may(service.policy, tuple, kind, place)?;
            if place != Place::Wan {
                return Ok(Opening::Local);
            }
        }
        let flow = |egress, destination, port, source| {
            Opening::Flow(Plan {
                egress,
                destination,
                port,
                source,
                charge: tuple.source,
                target: None,
            })
        };
        match place {
            Place::LanAddress => Ok(match self.target(tuple, Zone::Lan) {
                Some((address, port)) => flow(Zone::Service, address, port, SourceRule::Keep),
                None => Opening::Local,
            }),
            Place::WanAddress => {
                if let Some((zone, address, port)) = self.wan_target(tuple) {
                    return Ok(flow(zone, address, port, self.seen_as(tuple)));
                }
                // A home host reaches another by its mapping without asking the filter: in the
                // same home it reaches it without the gateway too.
                let mapped = match kind {
                    Kind::Tcp(_) | Kind::Udp => self
                        .mappings
                        .at_external(tuple.protocol, tuple.ports.destination),
                    Kind::EchoRequest | Kind::EchoReply | Kind::IcmpError => None,
                };
                match mapped {
                    None => Ok(Opening::Local),
                    Some((row, mapping)) if self.places.is_lan_host(mapping.inside.address) => {
                        Ok(Opening::Flow(Plan {
                            egress: Zone::Lan,
                            destination: mapping.inside.address,
                            port: mapping.inside.port,
                            source: self.seen_as(tuple),
                            charge: tuple.source,
                            target: Some(row),
                        }))
                    }
                    Some(_) => Err(DropReason::Filtered.into()),
                }
            }
            Place::ServiceRouter => Ok(Opening::Local),
            Place::Lan => Err(DropReason::LanToLan.into()),
            Place::Services => Err(prohibited(DropReason::ServiceClosed)),
            Place::Guest | Place::GuestAddress => Err(prohibited(DropReason::ToGuest)),
            Place::Wan => {
                let (to, port) = (tuple.destination, tuple.ports.destination);
                Ok(flow(Zone::Wan, to, port, self.seen_as(tuple)))
            }
        }
    }

    fn plan_service(&self, tuple: &Tuple, kind: Kind, place: Place) -> Result<Opening, Refusal> {
        let found = self.services.at(tuple.source);
        let (id, service) = found.ok_or(DropReason::ReversePath)?;
        match place {
            Place::ServiceRouter => match kind {
                Kind::EchoRequest | Kind::EchoReply => Ok(Opening::Local),
                Kind::Tcp(_) | Kind::Udp | Kind::IcmpError => {
                    Err(prohibited(DropReason::ServiceToGateway))
                }
            },
            Place::LanAddress | Place::WanAddress | Place::GuestAddress => {
                Err(prohibited(DropReason::ServiceToGateway))
            }
            Place::Guest => Err(prohibited(DropReason::ToGuest)),
            Place::Services => Err(prohibited(DropReason::ServiceToService)),
            Place::Lan => self.plan_from_service(tuple, kind, (id, service), Zone::Lan),
            Place::Wan => self.plan_from_service(tuple, kind, (id, service), Zone::Wan),
        }
    }

    /// A service opens a flow, or goes on with one that came by a forward and that this process,
    /// new since, does not know.
    fn plan_from_service(
        &self,
        tuple: &Tuple,
        kind: Kind,
        (id, service): (ServiceId, Service),
        egress: Zone,
    ) -> Result<Opening, Refusal> {
        let may_open = match (service.policy, egress) {
            (NetworkPolicy::Wan, Zone::Wan | Zone::Lan) => true,
            (NetworkPolicy::Lan, Zone::Lan) => true,
            (NetworkPolicy::Lan, Zone::Wan) => false,
            (NetworkPolicy::None, _) | (_, Zone::Service | Zone::Guest) => false,
        };
        let goes_on = matches!(kind, Kind::Tcp(flags) if !flags.syn());
        let port = tuple.ports.source;
        let own = self.services.port_of(id, egress, tuple.protocol, port);
        let forward = own.or_else(|| {
            let given = self.household_port(ForwardTarget::Service(id), tuple);
            given.filter(|_| egress == Zone::Wan)
        });
        let fixed = match (forward, self.places.own(egress)) {
            (Some(port), Some(address)) => Some(SourceRule::Fixed(address, port)),
            (Some(_) | None, _) => None,
        };
        let source = match (egress, fixed) {
            // Endpoint-independent: the forward is that endpoint's mapping.
            (Zone::Wan, Some(fixed)) if may_open || goes_on => fixed,
            (Zone::Lan, Some(fixed)) if goes_on => fixed,
            (Zone::Wan, None) if may_open => SourceRule::Mapped,
            (Zone::Lan, _) if may_open => SourceRule::Keep,
            (Zone::Lan | Zone::Wan | Zone::Service | Zone::Guest, _) => {
                return Err(prohibited(DropReason::ServicePolicy));
            }
        };
        Ok(Opening::Flow(Plan {
            egress,
            destination: tuple.destination,
            port: tuple.ports.destination,
            source,
            charge: tuple.source,
            target: None,
        }))
    }

    fn plan_wan(
        &self,
        tuple: &Tuple,
        kind: Kind,
        place: Place,
        now: Tick,
    ) -> Result<Opening, Refusal> {
        if place != Place::WanAddress {
            return Err(DropReason::NotOurs.into());
        }
        if let Some((egress, address, port)) = self.wan_target(tuple) {
            return Ok(Opening::Flow(Plan {
                egress,
                destination: address,
                port,
                source: SourceRule::Keep,
                charge: address,
                target: None,
            }));
        }
        if let Some((mapping, _)) = self
            .mappings
            .at_external(tuple.protocol, tuple.ports.destination)
            && kind != Kind::EchoRequest
        {
            // Of TCP, only what opens a connection opens a flow.
            let opens = match kind {
                Kind::Tcp(flags) => flags.syn() && !flags.ack(),
                Kind::Udp | Kind::EchoRequest | Kind::EchoReply | Kind::IcmpError => true,
            };
            let permitted = self.permitted(tuple.protocol, mapping, tuple.source, now);
            let permitted = permitted.filter(|_| opens);
            let (peer, until) = permitted.ok_or(DropReason::Filtered)?;
            return Ok(Opening::Admitted {
                mapping,
                peer,
                until,
            });
        }
        if is_for_the_gateway(tuple, kind) {
            Ok(Opening::Local)
        } else {
            // RFC 5382 REQ-4: nobody tells the sender of an unsolicited SYN, ever.
            Err(DropReason::Unsolicited.into())
        }
    }
}

/// Whether a packet to one of the gateway's addresses is what it takes from anybody: it answers a
/// ping, and gets the answers to what it has asked itself.
fn is_for_the_gateway(tuple: &Tuple, kind: Kind) -> bool {
    let own = (LOCAL_PORT_FIRST..=LOCAL_PORT_LAST).contains(&tuple.ports.destination);
    match kind {
        Kind::EchoRequest | Kind::EchoReply => true,
        Kind::Tcp(flags) => own && (!flags.syn() || flags.ack()),
        Kind::Udp => own,
        Kind::IcmpError => false,
    }
}

/// A host of the home that is a service has no more of the gateway than a routed one: neither its
/// ports, which are other services', nor its own sockets.
pub(super) fn bridged_may(
    policy: NetworkPolicy,
    tuple: &Tuple,
    kind: Kind,
    place: Place,
) -> Result<(), Refusal> {
    match place {
        Place::LanAddress if tuple.zone == Zone::Lan && is_for_the_gateway(tuple, kind) => Ok(()),
        Place::GuestAddress if tuple.zone == Zone::Guest && is_for_the_gateway(tuple, kind) => {
            Ok(())
        }
        Place::LanAddress | Place::GuestAddress | Place::WanAddress | Place::ServiceRouter => {
            Err(prohibited(DropReason::ServiceToGateway))
        }
        Place::Services => Err(prohibited(DropReason::ServiceToService)),
        Place::Lan if tuple.zone == Zone::Lan => Err(DropReason::LanToLan.into()),
        Place::Guest if tuple.zone == Zone::Guest => Err(DropReason::LanToLan.into()),
        Place::Lan => Err(prohibited(DropReason::GuestToHome)),
        Place::Guest => Err(prohibited(DropReason::ToGuest)),
        Place::Wan => match policy {
            NetworkPolicy::Wan => Ok(()),
            NetworkPolicy::Lan | NetworkPolicy::None => Err(prohibited(DropReason::ServicePolicy)),
        },
    }
}
