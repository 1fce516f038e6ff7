//! The gateway's own networks, as the manager and netpath tell them to each other.

use crate::limits::OWN_NETWORKS_MAX;
use core::net::Ipv4Addr;
use serde::{Deserialize, Serialize};

/// What a network of the gateway's own is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkRole {
    /// The home.
    Lan,
    /// The links of the services.
    Services,
    /// The guests'.
    Guest,
}

/// A network of the gateway's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnNetwork {
    /// What it is for.
    pub role: NetworkRole,
    /// The gateway's address in it.
    pub address: Ipv4Addr,
    /// Prefix length, bits.
    pub prefix: u8,
}

/// All networks of the gateway's own.
pub type OwnNetworks = heapless::Vec<OwnNetwork, OWN_NETWORKS_MAX>;
