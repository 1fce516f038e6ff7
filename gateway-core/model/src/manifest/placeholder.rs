//! `${lan.address}` and its like in `exec` and `env`: facts of this gateway that a package can not
//! know.

use super::checked::Access;
use super::fault::{hint, shown};
use super::{LinkKind, Manifest, Network};
use crate::ServiceId;
use crate::gateway::{GatewayConfig, Guest, mask};
use core::net::Ipv4Addr;

/// Every name that may stand in `${...}`.
const NAMES: [&str; 13] = [
    "lan.address",
    "lan.netmask",
    "lan.prefix",
    "lan.pool-first",
    "lan.pool-last",
    "lan.resolver",
    "guest.address",
    "guest.netmask",
    "guest.prefix",
    "guest.pool-first",
    "guest.pool-last",
    "guest.resolver",
    SERVICE_ADDRESS,
];

const SERVICE_ADDRESS: &str = "service.address";

/// Only a service among the guests has a gateway that knows these.
const OF_GUESTS: &str = "guest.";

/// A text cut at its placeholders.
enum Piece<'t> {
    Text(&'t str),
    Name(&'t str),
    /// `${` without its end.
    Open,
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        pieces.push(Piece::Text(before));
        match after.split_once('}') {
            Some((name, after)) => {
                pieces.push(Piece::Name(name));
                rest = after;
            }
            None => {
                pieces.push(Piece::Open);
                rest = "";
            }
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// What is wrong with the placeholders of a text, each fault once.
pub(super) fn faults(text: &str, access: &Access) -> Vec<String> {
    let wrong = |piece: Piece<'_>| match piece {
        Piece::Text(_) => None,
        Piece::Open => Some("\"${\" has no \"}\"; close it".to_owned()),
        Piece::Name(SERVICE_ADDRESS) if access.network == Network::None => Some(
            "${service.address} needs an address; set access.network to \"lan\" or \"wan\""
                .to_owned(),
        ),
        Piece::Name(name)
            if name.starts_with(OF_GUESTS)
                && NAMES.contains(&name)
                && access.link != LinkKind::Guest =>
        {
            Some(format!(
                "${{{name}}} is known to a service of the guests alone; set access.link to \"guest\""
            ))
        }
        Piece::Name(name) if NAMES.contains(&name) => None,
        Piece::Name(name) => Some(format!(
            "unknown placeholder {}; {}",
            shown(name),
            hint(name, &NAMES)
        )),
    };
    pieces(text).into_iter().filter_map(wrong).collect()
}

impl Manifest {
    /// The service's own address on this gateway; `None` without a network, or without guests to be among.
    #[must_use]
    pub fn address(&self, gateway: &GatewayConfig, id: ServiceId) -> Option<Ipv4Addr> {
        match (self.network(), self.link()) {
            (Network::None, _) => None,
            (Network::Lan | Network::Wan, LinkKind::Routed) => Some(gateway.service_address(id)),
            (Network::Lan | Network::Wan, LinkKind::Bridged) => Some(gateway.lan.resolver),
            (Network::Lan | Network::Wan, LinkKind::Guest) => {
                gateway.guest.as_ref().map(|guest| guest.resolver)
            }
        }
    }

    /// Whether this gateway has what the service is for: one for guests needs a network for them.
    #[must_use]
    pub fn suits(&self, gateway: &GatewayConfig) -> bool {
        match self.link() {
            LinkKind::Routed | LinkKind::Bridged => true,
            LinkKind::Guest => gateway.guest.is_some(),
        }
    }

    /// Program and arguments with every placeholder replaced by this gateway's fact.
    #[must_use]
    pub fn exec_on(&self, gateway: &GatewayConfig, id: ServiceId) -> Vec<String> {
        self.exec()
            .iter()
            .map(|word| self.filled(word, gateway, id))
            .collect()
    }

    /// The environment with every placeholder replaced by this gateway's fact.
    #[must_use]
    pub fn env_on(&self, gateway: &GatewayConfig, id: ServiceId) -> Vec<(String, String)> {
        let filled = |value: &str| self.filled(value, gateway, id);
        self.env()
            .iter()
            .map(|(name, value)| (name.clone(), filled(value)))
            .collect()
    }

    pub(super) fn filled(&self, text: &str, gateway: &GatewayConfig, id: ServiceId) -> String {
        let lan = &gateway.lan;
        let value = |name: &str| match name {
            "lan.address" => lan.address.to_string(),
            "lan.netmask" => Ipv4Addr::from(mask(lan.prefix)).to_string(),
            "lan.prefix" => lan.prefix.to_string(),
            "lan.pool-first" => lan.pool_first.to_string(),
            "lan.pool-last" => lan.pool_last.to_string(),
            "lan.resolver" => lan.resolver.to_string(),
            name if name.starts_with(OF_GUESTS) => {
                of_guests(name, gateway.guest.as_ref()).unwrap_or_default()
            }
            SERVICE_ADDRESS => self
                .address(gateway, id)
                .map(|address| address.to_string())
                .unwrap_or_default(),
            // A Manifest exists only where `faults` found no other name.
            other => format!("${{{other}}}"),
        };
        let fill = |piece: Piece<'_>| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Name(name) => value(name),
            Piece::Open => "${".to_owned(),
        };
        pieces(text).into_iter().map(fill).collect()
    }
}

/// A fact of the guests' network; `None` where there are none.
fn of_guests(name: &str, guest: Option<&Guest>) -> Option<String> {
    let guest = guest?;
    Some(match name {
        "guest.address" => guest.address.to_string(),
        "guest.netmask" => Ipv4Addr::from(mask(guest.prefix)).to_string(),
        "guest.prefix" => guest.prefix.to_string(),
        "guest.pool-first" => guest.pool_first.to_string(),
        "guest.pool-last" => guest.pool_last.to_string(),
        "guest.resolver" => guest.resolver.to_string(),
        // `faults` lets no other name in.
        _ => return None,
    })
}
