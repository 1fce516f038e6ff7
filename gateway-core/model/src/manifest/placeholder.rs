//! `${lan.address}` and its like in `exec` and `env`: facts of this gateway that a package can not
//! know.

use super::fault::{hint, shown};
use super::{LinkKind, Manifest, Network};
use crate::ServiceId;
use crate::gateway::{GatewayConfig, mask};
use core::net::Ipv4Addr;

/// Every name that may stand in `${...}`.
const NAMES: [&str; 7] = [
    "lan.address",
    "lan.netmask",
    "lan.prefix",
    "lan.pool-first",
    "lan.pool-last",
    "lan.resolver",
    SERVICE_ADDRESS,
];

const SERVICE_ADDRESS: &str = "service.address";

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
pub(super) fn faults(text: &str, network: Network) -> Vec<String> {
    let wrong = |piece: Piece<'_>| match piece {
        Piece::Text(_) => None,
        Piece::Open => Some("\"${\" has no \"}\"; close it".to_owned()),
        Piece::Name(SERVICE_ADDRESS) if network == Network::None => Some(
            "${service.address} needs an address; set access.network to \"lan\" or \"wan\""
                .to_owned(),
        ),
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
    /// The service's own address on this gateway; `None` without a network.
    #[must_use]
    pub fn address(&self, gateway: &GatewayConfig, id: ServiceId) -> Option<Ipv4Addr> {
        match (self.network(), self.link()) {
            (Network::None, _) => None,
            (Network::Lan | Network::Wan, LinkKind::Routed) => Some(gateway.service_address(id)),
            (Network::Lan | Network::Wan, LinkKind::Bridged) => Some(gateway.lan.resolver),
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

    fn filled(&self, text: &str, gateway: &GatewayConfig, id: ServiceId) -> String {
        let lan = &gateway.lan;
        let value = |name: &str| match name {
            "lan.address" => lan.address.to_string(),
            "lan.netmask" => Ipv4Addr::from(mask(lan.prefix)).to_string(),
            "lan.prefix" => lan.prefix.to_string(),
            "lan.pool-first" => lan.pool_first.to_string(),
            "lan.pool-last" => lan.pool_last.to_string(),
            "lan.resolver" => lan.resolver.to_string(),
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
