//! What guests may open: the policy's part for their network.

use super::Nat;
use super::carry::Carrier;
use super::places::Place;
use super::plan::{Opening, Plan, SourceRule, bridged_may, prohibited};
use super::refuse::Refusal;
use super::sessions::Tuple;
use crate::counters::DropReason;
use crate::wire::transport::Kind;
use hearth_model::protocol::Zone;

impl<C: Carrier> Nat<C> {
    /// A guest has the Internet, other guests by the WAN's address (RFC 4787 REQ-9), and an echo of its
    /// gateway; its resolver is a host of its network.
    pub(super) fn plan_guest(
        &self,
        tuple: &Tuple,
        kind: Kind,
        place: Place,
    ) -> Result<Opening, Refusal> {
        if let Some(service) = self.services.bridged_at(tuple.source) {
            bridged_may(service.policy, tuple, kind, place)?;
            if place != Place::Wan {
                return Ok(Opening::Local);
            }
        }
        let flow = |egress, destination, port, target| {
            Ok(Opening::Flow(Plan {
                egress,
                destination,
                port,
                source: SourceRule::Mapped,
                charge: tuple.source,
                target,
            }))
        };
        match place {
            Place::Wan => flow(Zone::Wan, tuple.destination, tuple.ports.destination, None),
            Place::WanAddress => {
                let at = |port| self.mappings.at_external(tuple.protocol, port);
                let mapped = match kind {
                    Kind::Tcp(_) | Kind::Udp => at(tuple.ports.destination),
                    Kind::EchoRequest | Kind::EchoReply | Kind::IcmpError => None,
                };
                match mapped {
                    Some((row, mapping)) if self.places.is_guest(mapping.inside.address) => {
                        let inside = mapping.inside;
                        flow(Zone::Guest, inside.address, inside.port, Some(row))
                    }
                    Some(_) | None => Err(prohibited(DropReason::GuestToGateway)),
                }
            }
            Place::GuestAddress if matches!(kind, Kind::EchoRequest | Kind::EchoReply) => {
                Ok(Opening::Local)
            }
            Place::GuestAddress | Place::LanAddress | Place::ServiceRouter => {
                Err(prohibited(DropReason::GuestToGateway))
            }
            Place::Lan | Place::Services => Err(prohibited(DropReason::GuestToHome)),
            Place::Guest => Err(DropReason::LanToLan.into()),
        }
    }
}
