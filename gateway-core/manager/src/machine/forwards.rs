//! The household's port-forwards: what it may ask for, what it has asked for, and whether netpath has
//! opened it. Pure: the edge keeps them on disk and tells netpath.
//!
//! Invariant: no two rows share a port, nor one with a port that a manifest listens on towards the WAN.

use super::service::Package;
use core::fmt;
use core::net::Ipv4Addr;
use hearth_model::ServiceName;
use hearth_model::gateway::{GatewayConfig, is_edge_of, same_net};
use hearth_model::limits::{HOUSEHOLD_FORWARDS_MAX, HOUSEHOLD_RANGE_MAX};
use hearth_model::protocol::{Transport, WanPorts, Zone};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a forward leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// To a host of the home.
    Host(Ipv4Addr),
    /// To a service.
    Service(ServiceName),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Host(address) => address.fmt(f),
            Target::Service(name) => name.fmt(f),
        }
    }
}

/// One forward, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Forward {
    /// Ports of the WAN's address.
    pub ports: WanPorts,
    /// Whose they are.
    pub to: Target,
    /// The port that the first one leads to.
    pub to_port: u16,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// netpath has not answered yet, or is away.
    Waiting,
    /// netpath has opened it.
    Open,
    /// It is closed; why, and what to do.
    Refused(String),
}

/// A forward and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was asked for.
    pub forward: Forward,
    /// What became of it.
    pub state: State,
}

/// Why a forward can not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Ports that are in no order or too many, or that lead past the last one.
    Range,
    /// The port is kept for the gateway itself.
    Reserved(u16),
    /// Every place is taken.
    Full,
    /// Another forward has a port of these.
    Taken(u16, Forward),
    /// A manifest listens on one of these.
    OfService(u16, ServiceName),
    /// The target is no host of the home.
    NotInHome(Ipv4Addr, String),
    /// The target is the gateway itself.
    Gateway(Ipv4Addr),
    /// The target is a service that is a host of the home.
    Bridged(String),
    /// There is no such service.
    NoService(ServiceName),
    /// The service does not listen there; where it does.
    NotListening(ServiceName, u16, Vec<u16>),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Range => write!(
                f,
                "these ports make no forward: a range has at most {HOUSEHOLD_RANGE_MAX} in rising order, \
                 none is 0, and each leads to a port up to 65535"
            ),
            Refusal::Reserved(port) => write!(
                f,
                "port {port} is kept for the gateway itself; choose another port"
            ),
            Refusal::Full => write!(
                f,
                "all {HOUSEHOLD_FORWARDS_MAX} port-forwards are in use; remove one"
            ),
            Refusal::Taken(port, Forward { ports, to, to_port }) => write!(
                f,
                "port {port} leads to {to} port {to_port} already; first: hearth forward remove {ports}"
            ),
            Refusal::OfService(port, name) => write!(
                f,
                "port {port} is {name}'s, whose manifest listens on it; choose another port"
            ),
            Refusal::NotInHome(address, home) => write!(
                f,
                "{address} is no host of the home; those of {home} are, but for its first and last address"
            ),
            Refusal::Gateway(address) => write!(
                f,
                "{address} is the gateway itself, which opens no port of its own to the Internet; \
                 name a service instead"
            ),
            Refusal::Bridged(what) => write!(
                f,
                "{what} is a service for the home alone; the Internet is not let in there"
            ),
            Refusal::NoService(name) => {
                write!(f, "there is no service {name}; see `hearth ps`")
            }
            Refusal::NotListening(name, port, there) if there.is_empty() => {
                write!(
                    f,
                    "{name} does not listen on port {port}, nor on any other of this protocol"
                )
            }
            Refusal::NotListening(name, port, there) => {
                let there: Vec<String> = there.iter().map(u16::to_string).collect();
                write!(
                    f,
                    "{name} does not listen on port {port}; its own ports are: {}",
                    there.join(", ")
                )
            }
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Forwards {
    rows: BTreeMap<WanPorts, Row>,
}

impl Forwards {
    /// Those that were kept; what can not be any more is told when netpath refuses it.
    #[must_use]
    pub fn new(kept: Vec<Forward>) -> Forwards {
        let row = |forward: Forward| {
            let state = State::Waiting;
            (forward.ports, Row { forward, state })
        };
        let rows = kept.into_iter().map(row).take(HOUSEHOLD_FORWARDS_MAX);
        Forwards {
            rows: rows.collect(),
        }
    }

    /// The table, by ports.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// One row.
    #[must_use]
    pub fn get(&self, ports: &WanPorts) -> Option<&Row> {
        self.rows.get(ports)
    }

    /// The row that these ports name: all of a range, or its first one.
    #[must_use]
    pub fn named(&self, ports: &WanPorts) -> Option<&Row> {
        let first_of = |row: &&Row| {
            let its = row.forward.ports;
            ports.first == ports.last
                && its.has(ports.transport, ports.first)
                && its.first == ports.first
        };
        self.get(ports).or_else(|| self.rows().find(first_of))
    }

    /// Whether it can be.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(
        &self,
        new: &Forward,
        gateway: &GatewayConfig,
        packages: &[&Package],
    ) -> Result<(), Refusal> {
        let Forward { ports, to, to_port } = new;
        let more = ports.last.saturating_sub(ports.first);
        if !ports.is_range() || *to_port == 0 || to_port.checked_add(more).is_none() {
            return Err(Refusal::Range);
        }
        if let Some(port) = ports.reserved() {
            return Err(Refusal::Reserved(port));
        }
        for row in self.rows() {
            if let Some(port) = row.forward.ports.common(ports) {
                return Err(Refusal::Taken(port, row.forward.clone()));
            }
        }
        for package in packages {
            let mut listens = package.manifest.listen().iter();
            let same = listens.find(|l| l.from == Zone::Wan && ports.has(l.transport, l.port));
            if let Some(line) = same {
                let name = package.manifest.name().clone();
                return Err(Refusal::OfService(line.port, name));
            }
        }
        match to {
            Target::Host(address) => check_host(*address, gateway)?,
            Target::Service(name) => {
                let own = *to_port..=to_port.saturating_add(more);
                check_service(name, ports.transport, own, packages)?;
            }
        }
        if self.rows.len() >= HOUSEHOLD_FORWARDS_MAX {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// Adds one that [`Forwards::check`] has let pass.
    pub fn add(&mut self, forward: Forward) {
        let state = State::Waiting;
        self.rows.insert(forward.ports, Row { forward, state });
    }

    /// Removes one.
    pub fn remove(&mut self, ports: &WanPorts) -> Option<Row> {
        self.rows.remove(ports)
    }

    /// Puts a removed one back.
    pub fn put_back(&mut self, row: Row) {
        self.rows.insert(row.forward.ports, row);
    }

    /// What became of one.
    pub fn set(&mut self, ports: &WanPorts, state: State) {
        if let Some(row) = self.rows.get_mut(ports) {
            row.state = state;
        }
    }

    /// netpath is gone: nothing is known.
    pub fn net_down(&mut self) {
        for row in self.rows.values_mut() {
            row.state = State::Waiting;
        }
    }
}

fn check_host(address: Ipv4Addr, gateway: &GatewayConfig) -> Result<(), Refusal> {
    let lan = &gateway.lan;
    if address == lan.address {
        return Err(Refusal::Gateway(address));
    }
    if address == lan.resolver {
        return Err(Refusal::Bridged(address.to_string()));
    }
    if !same_net(address, lan.address, lan.prefix) || is_edge_of(lan.address, lan.prefix, address) {
        let home = format!("{}/{}", lan.address, lan.prefix);
        return Err(Refusal::NotInHome(address, home));
    }
    Ok(())
}

fn check_service(
    name: &ServiceName,
    transport: Transport,
    mut own: core::ops::RangeInclusive<u16>,
    packages: &[&Package],
) -> Result<(), Refusal> {
    let package = packages
        .iter()
        .find(|package| package.manifest.name() == name)
        .ok_or_else(|| Refusal::NoService(name.clone()))?;
    if package.is_bridged() {
        return Err(Refusal::Bridged(name.to_string()));
    }
    let listens = package.manifest.listen().iter();
    let its = listens.filter(|line| line.transport == transport);
    let mut its: Vec<u16> = its.map(|line| line.to_port).collect();
    its.sort_unstable();
    its.dedup();
    match own.find(|port| !its.contains(port)) {
        Some(port) => Err(Refusal::NotListening(name.clone(), port, its)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_model::manifest::Manifest;

    const GATEWAY: &str = include_str!("../../../../board/common/gateway.toml");

    fn package(name: &str, access: &str) -> Package {
        let text = format!(
            "[service]\nname = \"{name}\"\nversion = \"1\"\nexec = [\"/bin/x\"]\n\
             [resources.memory]\nmax = \"32 MiB\"\n[resources.pids]\nmax = 8\n[access]\n{access}"
        );
        Package {
            manifest: Manifest::parse("m", &text).unwrap(),
            link: None,
        }
    }

    fn forward(ports: (u16, u16), to: Target, to_port: u16) -> Forward {
        Forward {
            ports: WanPorts {
                transport: Transport::Tcp,
                first: ports.0,
                last: ports.1,
            },
            to,
            to_port,
        }
    }

    fn host(last: u8) -> Target {
        Target::Host(Ipv4Addr::new(192, 168, 1, last))
    }

    fn service(name: &str) -> Target {
        Target::Service(ServiceName::new(name).unwrap())
    }

    #[test]
    fn what_can_not_be_is_refused_by_name() {
        // given two services and a forward
        let gateway = GatewayConfig::parse("gateway.toml", GATEWAY).unwrap();
        let packages = [
            package(
                "nginx",
                "network = \"lan\"\nlisten = [\"lan tcp 8080 -> 80\", \"wan tcp 443 -> 8443\"]\n",
            ),
            package(
                "names",
                "network = \"lan\"\nlink = \"bridged\"\nserves = [\"tcp 53\"]\n",
            ),
        ];
        let packages: Vec<&Package> = packages.iter().collect();
        let mut forwards = Forwards::default();
        let there = forward((8_022, 8_022), host(50), 22);
        forwards.add(there.clone());
        let elsewhere = Target::Host(Ipv4Addr::new(198, 51, 100, 7));
        for (new, expected) in [
            (forward((80, 80), host(50), 80), ""),
            (forward((80, 80), service("nginx"), 80), ""),
            (forward((0, 0), host(50), 80), "port 0 is kept"),
            (
                forward((60_990, 61_010), host(50), 80),
                "port 61000 is kept",
            ),
            (forward((9, 8), host(50), 80), "make no forward"),
            (forward((1, 1_000), host(50), 80), "make no forward"),
            (forward((80, 81), host(50), 65_535), "make no forward"),
            (forward((80, 80), host(50), 0), "make no forward"),
            (
                forward((8_000, 8_100), host(51), 1),
                "first: hearth forward remove tcp 8022",
            ),
            (forward((440, 450), host(50), 1), "port 443 is nginx's"),
            (forward((80, 80), host(1), 80), "is the gateway itself"),
            (
                forward((80, 80), host(2), 80),
                "is a service for the home alone",
            ),
            (forward((80, 80), host(0), 80), "is no host of the home"),
            (forward((80, 80), host(255), 80), "is no host of the home"),
            (
                forward((80, 80), elsewhere, 80),
                "those of 192.168.1.1/24 are",
            ),
            (
                forward((80, 80), service("mail"), 80),
                "there is no service mail",
            ),
            (
                forward((80, 80), service("names"), 53),
                "names is a service for the home alone",
            ),
            (
                forward((80, 81), service("nginx"), 80),
                "nginx does not listen on port 81; its own ports are: 80, 8443",
            ),
        ] {
            // when it is asked for, then the answer names the object and the reason
            let said = forwards.check(&new, &gateway, &packages);
            let said = said.map_or_else(|refusal| refusal.to_string(), |()| String::new());
            assert!(said.contains(expected), "{new:?}: {said}");
            assert_eq!(said.is_empty(), expected.is_empty(), "{new:?}: {said}");
        }
        // and the table is bounded
        for port in 1..HOUSEHOLD_FORWARDS_MAX as u16 {
            forwards.add(forward((1_000 + port, 1_000 + port), host(50), 22));
        }
        let one_more = forward((80, 80), host(50), 80);
        let said = forwards.check(&one_more, &gateway, &packages);
        assert_eq!(said, Err(Refusal::Full));
    }

    #[test]
    fn a_range_is_named_by_all_of_it_or_its_first_port() {
        let mut forwards = Forwards::default();
        let range = forward((8_000, 8_010), host(50), 80);
        forwards.add(range.clone());
        for (first, last, found) in [
            (8_000, 8_010, true),
            (8_000, 8_000, true),
            (8_001, 8_001, false),
            (8_000, 8_005, false),
        ] {
            let ports = forward((first, last), host(1), 1).ports;
            assert_eq!(forwards.named(&ports).is_some(), found, "{ports}");
        }
        // and what netpath said is forgotten with it
        forwards.set(&range.ports, State::Open);
        forwards.net_down();
        assert_eq!(forwards.get(&range.ports).unwrap().state, State::Waiting);
    }
}
