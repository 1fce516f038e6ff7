//! How the gateway's own networks get out of the way of the Internet's side (RFC 4787 REQ-7): `networks.toml`,
//! which is laid over `gateway.toml`, and the rule by which it changes. Pure.
//!
//! Rule: where what the Internet's side has (the leased network, its router, its resolvers) overlaps a network of
//! our own, that one moves to the first of [`CANDIDATES`] that overlaps nothing known: neither what is offered
//! now, nor what was in the way before, nor another network of our own. The prefix length and the host parts of
//! all addresses stay. What was in the way is remembered, so that a network never moves back and forth: each move
//! uses up a candidate. A network that the household has changed in `gateway.toml` since is not moved: its choice
//! counts.

use crate::gateway::{GatewayConfig, WanMode, mask};
use crate::protocol::{NetworkRole, OwnNetwork, OwnNetworks, WanStatus};
use core::fmt;
use core::net::Ipv4Addr;
use serde::{Deserialize, Serialize};

/// Where networks move to, in this order; each is cut to the moved network's prefix length. RFC 1918 has the
/// three blocks; these avoid what routers come with (192.168.0 to .2, .8, .100, .178, 10.0.0, 10.1.1, 172.16, .17).
/// They are multiples of four, so that a services' subnet of 22 bits begins at one too.
pub const CANDIDATES: [Ipv4Addr; 8] = [
    Ipv4Addr::new(192, 168, 44, 0),
    Ipv4Addr::new(192, 168, 180, 0),
    Ipv4Addr::new(192, 168, 212, 0),
    Ipv4Addr::new(172, 22, 76, 0),
    Ipv4Addr::new(172, 28, 140, 0),
    Ipv4Addr::new(10, 87, 44, 0),
    Ipv4Addr::new(10, 203, 180, 0),
    Ipv4Addr::new(10, 91, 212, 0),
];

/// The private blocks (RFC 1918 section 3).
const PRIVATE: [Net; 3] = [
    Net {
        network: Ipv4Addr::new(10, 0, 0, 0),
        prefix: 8,
    },
    Net {
        network: Ipv4Addr::new(172, 16, 0, 0),
        prefix: 12,
    },
    Net {
        network: Ipv4Addr::new(192, 168, 0, 0),
        prefix: 16,
    },
];

/// Networks of the Internet's side that are remembered: more than there are candidates to move to.
pub const OUTSIDE_MAX: usize = 16;

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Net {
    /// Its first address.
    pub network: Ipv4Addr,
    /// Prefix length, bits.
    pub prefix: u8,
}

impl Net {
    /// The network that has this address.
    #[must_use]
    pub fn of(address: Ipv4Addr, prefix: u8) -> Net {
        Net {
            network: Ipv4Addr::from(u32::from(address) & mask(prefix)),
            prefix: prefix.min(32),
        }
    }

    /// Whether the two have an address in common.
    #[must_use]
    pub fn overlaps(self, other: Net) -> bool {
        let shorter = self.prefix.min(other.prefix);
        (u32::from(self.network) ^ u32::from(other.network)) & mask(shorter) == 0
    }

    /// Whether all addresses of the other one are in this one.
    fn holds(self, other: Net) -> bool {
        self.prefix <= other.prefix && self.overlaps(other)
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// A network of our own as a network.
impl From<OwnNetwork> for Net {
    fn from(own: OwnNetwork) -> Net {
        Net::of(own.address, own.prefix)
    }
}

/// The networks that the Internet's side has: the leased one, and the addresses of its router and resolvers.
pub fn outside(status: &WanStatus) -> impl Iterator<Item = Net> {
    let lease = status.lease;
    let network = lease.map(|lease| Net::of(lease.address, lease.prefix));
    let router = lease.and_then(|lease| lease.router);
    let hosts = router
        .into_iter()
        .chain(status.resolvers.into_iter().flatten());
    network
        .into_iter()
        .chain(hosts.map(|host| Net::of(host, 32)))
}

/// The first network of our own that the Internet's side has too, with what is in its way.
#[must_use]
pub fn overlap(own: &OwnNetworks, status: &WanStatus) -> Option<(NetworkRole, Net)> {
    own.iter().find_map(|network| {
        let mine = Net::from(*network);
        let theirs = outside(status).find(|theirs| theirs.overlaps(mine))?;
        Some((network.role, theirs))
    })
}

/// A network that has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moved {
    /// Which.
    pub role: NetworkRole,
    /// Prefix length, bits.
    pub prefix: u8,
    /// Where `gateway.toml` has it. Where it has it elsewhere now, this row counts no more.
    pub from: Ipv4Addr,
    /// Where it is.
    pub to: Ipv4Addr,
    /// What was in the way.
    pub because: Net,
}

impl Moved {
    /// One sentence: what was moved, why, and how to choose another network.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (section, name) = match self.role {
            NetworkRole::Lan => ("lan", "the home's network"),
            NetworkRole::Services => ("services", "the services' network"),
            NetworkRole::Guest => ("guest", "the guests' network"),
        };
        format!(
            "{name} was moved from {} to {}, because the Internet side has {}; to choose another network, set \
             [{section}] in /data/hearth/gateway.toml and type: hearth restart hearth-netpath",
            Net::of(self.from, self.prefix),
            Net::of(self.to, self.prefix),
            self.because
        )
    }
}

/// `networks.toml`: what has moved. Written by the manager, read by the manager and netpath.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Networks {
    /// One row a network at most.
    #[serde(default)]
    pub moved: Vec<Moved>,
    /// What was in the way so far, the latest last.
    #[serde(default)]
    pub outside: Vec<Net>,
}

/// What an offer of the Internet's side means for our own networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// It is in nobody's way.
    Clear,
    /// With these it is in nobody's way.
    Move(Networks),
    /// This network has nowhere to go.
    NoRoom(NetworkRole, Net),
}

impl Networks {
    /// Parses the file. `file` is only named in the error.
    ///
    /// # Errors
    /// One line that names the file and the place.
    pub fn parse(file: &str, text: &str) -> Result<Networks, String> {
        toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| {
                text.bytes()
                    .take(span.start)
                    .filter(|&b| b == b'\n')
                    .count()
                    + 1
            });
            format!("{file}:{line}: {}", e.message())
        })
    }

    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = "# Written by hearth-manager: networks of the gateway that got out of the way of the \
                        Internet's side.\n# It is laid over gateway.toml; remove it to have those networks again.\n"
            .to_owned();
        for row in &self.moved {
            let Net { network, prefix } = row.because;
            let role = match row.role {
                NetworkRole::Lan => "lan",
                NetworkRole::Services => "services",
                NetworkRole::Guest => "guest",
            };
            text.push_str(&format!(
                "\n[[moved]]\nrole = \"{role}\"\nprefix = {}\nfrom = \"{}\"\nto = \"{}\"\n\
                 because = {{ network = \"{network}\", prefix = {prefix} }}\n",
                row.prefix, row.from, row.to
            ));
        }
        for Net { network, prefix } in &self.outside {
            text.push_str(&format!(
                "\n[[outside]]\nnetwork = \"{network}\"\nprefix = {prefix}\n"
            ));
        }
        text
    }

    /// The rows that count on this gateway: all of them, or none where they no longer fit together with each
    /// other or with a configured WAN.
    #[must_use]
    pub fn in_force<'a>(&'a self, configured: &GatewayConfig) -> Vec<&'a Moved> {
        let rows: Vec<&Moved> = self
            .moved
            .iter()
            .filter(|row| is_of(row, &configured.own_networks()))
            .collect();
        let moved = rows
            .iter()
            .fold(configured.clone(), |config, row| renumbered(config, row));
        if is_sound(&moved) { rows } else { Vec::new() }
    }

    /// The configuration that is in force: the one of `gateway.toml` with what has moved.
    #[must_use]
    pub fn applied_to(&self, configured: &GatewayConfig) -> GatewayConfig {
        let rows = self.in_force(configured).into_iter();
        rows.fold(configured.clone(), renumbered)
    }

    /// What to do about an offer.
    #[must_use]
    pub fn resolve(&self, configured: &GatewayConfig, offer: &WanStatus) -> Resolved {
        let mut new = self.clone();
        // Rows that the household has overruled are of no more use.
        let in_force: Vec<Moved> = self.in_force(configured).into_iter().copied().collect();
        new.moved = in_force;
        let mut own: Vec<(OwnNetwork, Net)> = new
            .applied_to(configured)
            .own_networks()
            .into_iter()
            .map(|own| (own, Net::from(own)))
            .collect();
        let mut rest = own.clone();
        rest.retain(|(_, mine)| outside(offer).any(|theirs| theirs.overlaps(*mine)));
        if rest.is_empty() {
            return Resolved::Clear;
        }
        for theirs in outside(offer) {
            if rest.iter().any(|(_, mine)| mine.overlaps(theirs)) {
                new.remember(theirs);
            }
        }
        for (network, mine) in rest {
            let because = outside(offer).find(|theirs| theirs.overlaps(mine));
            let because = because.unwrap_or(mine);
            own.retain(|(other, _)| other.role != network.role);
            let taken = |candidate: Net| {
                let others = own.iter().map(|(_, other)| *other);
                let known = new.outside.iter().copied().chain(outside(offer));
                others.chain(known).any(|net| net.overlaps(candidate))
            };
            let free = CANDIDATES
                .into_iter()
                .map(|candidate| Net::of(candidate, network.prefix))
                .find(|net| PRIVATE.iter().any(|block| block.holds(*net)) && !taken(*net));
            let Some(to) = free else {
                return Resolved::NoRoom(network.role, because);
            };
            own.push((network, to));
            let first = configured.own_networks().into_iter();
            let from = first
                .filter(|own| own.role == network.role)
                .map(|own| Net::from(own).network)
                .next()
                .unwrap_or(mine.network);
            new.moved.retain(|row| row.role != network.role);
            new.moved.push(Moved {
                role: network.role,
                prefix: network.prefix,
                from,
                to: to.network,
                because,
            });
        }
        Resolved::Move(new)
    }

    fn remember(&mut self, theirs: Net) {
        self.outside.retain(|known| *known != theirs);
        self.outside.push(theirs);
        let over = self.outside.len().saturating_sub(OUTSIDE_MAX);
        self.outside.drain(..over);
    }
}

/// Whether a row is about a network that the configuration still has there.
fn is_of(row: &Moved, own: &OwnNetworks) -> bool {
    own.iter().any(|network| {
        let there = Net::from(*network);
        network.role == row.role && there == Net::of(row.from, row.prefix)
    })
}

/// The configuration with this network elsewhere.
fn renumbered(mut config: GatewayConfig, row: &Moved) -> GatewayConfig {
    let moved = |address: Ipv4Addr| {
        let host = u32::from(address) & !mask(row.prefix);
        Ipv4Addr::from(u32::from(row.to) & mask(row.prefix) | host)
    };
    match row.role {
        NetworkRole::Lan => {
            let lan = &mut config.lan;
            for address in [
                &mut lan.address,
                &mut lan.pool_first,
                &mut lan.pool_last,
                &mut lan.resolver,
            ] {
                *address = moved(*address);
            }
        }
        NetworkRole::Services => config.services.subnet = moved(config.services.subnet),
        NetworkRole::Guest => {
            if let Some(guest) = &mut config.guest {
                for address in [
                    &mut guest.address,
                    &mut guest.pool_first,
                    &mut guest.pool_last,
                    &mut guest.resolver,
                ] {
                    *address = moved(*address);
                }
            }
        }
    }
    config
}

/// Whether our own networks are apart from each other, and from a configured WAN.
fn is_sound(config: &GatewayConfig) -> bool {
    let own = config.own_networks();
    let apart = own.iter().enumerate().all(|(n, one)| {
        let mut others = own.iter().skip(n + 1);
        others.all(|other| !Net::from(*one).overlaps(Net::from(*other)))
    });
    let wan = config.wan.mode == WanMode::Dhcp;
    apart && (wan || overlap(&own, &config.wan.configured()).is_none())
}

#[cfg(test)]
mod tests;
