//! The gateway's own configuration, `gateway.toml`: which interface is which, the home's addresses,
//! how the WAN gets its address, and what is kept for the system itself. The firmware's copy is
//! `/etc/hearth/gateway.toml`; a household's `/data/hearth/gateway.toml` replaces it as a whole.

mod choices;
mod guest;
mod wan;

pub use choices::{Filtering, NatChoices};
pub use guest::Guest;
pub use wan::{Wan, WanMode};

use crate::networks;
use crate::protocol::{NetworkRole, OwnNetwork, OwnNetworks};
use crate::units::{Bytes, MilliCpu};
use core::fmt;
use core::net::Ipv4Addr;
use core::ops::RangeInclusive;
use serde::{Deserialize, Serialize};

/// The whole file. Unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// The home's side.
    pub lan: Lan,
    /// The Internet's side.
    pub wan: Wan,
    /// Services' own addresses.
    pub services: Services,
    /// What services never get.
    pub reserve: Reserve,
    /// How flows are translated.
    #[serde(default)]
    pub nat: NatChoices,
    /// The guests' side, where there is one.
    #[serde(default)]
    pub guest: Option<Guest>,
}

/// `[lan]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lan {
    /// Ethernet port of the home, for example `eth0`.
    pub interface: String,
    /// The gateway's address in the home.
    pub address: Ipv4Addr,
    /// Prefix length of the home's network, 8 to 29 bits.
    pub prefix: u8,
    /// First address that DHCP gives.
    pub pool_first: Ipv4Addr,
    /// Last address that DHCP gives.
    pub pool_last: Ipv4Addr,
    /// Address of the resolver and DHCP service in the home.
    pub resolver: Ipv4Addr,
}

/// `[services]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Services {
    /// First address of the services' subnet; the gateway's end of every link is this plus 1, and
    /// service `n` has this plus 2 plus `n`.
    pub subnet: Ipv4Addr,
    /// Prefix length, 8 to 23 bits: 256 services need 258 addresses.
    pub prefix: u8,
}

/// `[reserve]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reserve {
    /// Memory that admission leaves to the system and to forwarding, MiB.
    pub memory_mib: u64,
    /// Processor time that admission leaves to the system and to forwarding, thousandths of a core.
    pub cpu_milli: u32,
    /// Of that, what forwarding is guaranteed; two thirds where it is not said.
    pub forwarding_milli: Option<u32>,
}

impl Reserve {
    /// The memory reserve.
    #[must_use]
    pub fn memory(&self) -> Bytes {
        Bytes::mib(self.memory_mib)
    }
    /// The processor reserve.
    #[must_use]
    pub fn cpu(&self) -> MilliCpu {
        MilliCpu(self.cpu_milli)
    }
    /// Of that, what forwarding is guaranteed.
    #[must_use]
    pub fn forwarding(&self) -> MilliCpu {
        let two_thirds = self.cpu_milli.saturating_mul(2) / 3;
        MilliCpu(self.forwarding_milli.unwrap_or(two_thirds))
    }

    fn check(&self, say: &mut impl FnMut(&str, String)) {
        let (all, forwarding) = (self.cpu_milli, self.forwarding().0);
        if !(1..all).contains(&forwarding) {
            let text =
                format!("{forwarding} is not in 1..{all}: the system needs some of cpu-milli, too");
            say("reserve.forwarding-milli", text);
        }
    }
}

/// Everything wrong with a file, each with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayErrors(pub Vec<String>);

impl fmt::Display for GatewayErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for GatewayErrors {}

impl GatewayConfig {
    /// Parses and checks. `file` is only named in errors.
    ///
    /// # Errors
    /// [`GatewayErrors`]: one line of syntax or type error, or every value that is out of range.
    pub fn parse(file: &str, text: &str) -> Result<GatewayConfig, GatewayErrors> {
        let config: GatewayConfig = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| line_of(text, span.start));
            GatewayErrors(vec![format!("{file}:{line}: {}", e.message())])
        })?;
        let mut errors = Vec::new();
        let mut say = |key: &str, reason: String| {
            errors.push(format!(
                "{file}:{}: {key}: {reason}",
                line_of_key(text, key)
            ));
        };
        config.check(&mut say);
        config.check_apart(&mut say, |key| line_of_key(text, key));
        if errors.is_empty() {
            Ok(config)
        } else {
            Err(GatewayErrors(errors))
        }
    }

    fn check(&self, say: &mut impl FnMut(&str, String)) {
        self.nat.check(say);
        self.reserve.check(say);
        let lan = &self.lan;
        for (key, name) in [
            ("lan.interface", &lan.interface),
            ("wan.interface", &self.wan.interface),
        ] {
            if !is_interface(name) {
                say(key, format!("{name:?} is no interface name"));
            }
        }
        if lan.interface == self.wan.interface {
            say(
                "wan.interface",
                format!("{:?} is the LAN's already", self.wan.interface),
            );
        }
        if !(8..=29).contains(&lan.prefix) {
            say("lan.prefix", format!("{} is not in 8..=29", lan.prefix));
            return;
        }
        for (key, address) in [
            ("lan.pool-first", lan.pool_first),
            ("lan.pool-last", lan.pool_last),
            ("lan.resolver", lan.resolver),
        ] {
            if !same_net(lan.address, address, lan.prefix) {
                say(
                    key,
                    format!("{address} is not in the LAN {}/{}", lan.address, lan.prefix),
                );
            }
            if address == lan.address {
                say(key, format!("{address} is the gateway's own address"));
            }
        }
        check_pool("lan", lan.pool_first..=lan.pool_last, lan.resolver, say);
        if !(8..=23).contains(&self.services.prefix) {
            say(
                "services.prefix",
                format!("{} is not in 8..=23", self.services.prefix),
            );
        } else if same_net(
            self.services.subnet,
            lan.address,
            self.services.prefix.min(lan.prefix),
        ) {
            say("services.subnet", "overlaps the LAN".to_owned());
        } else if u32::from(self.services.subnet) & !mask(self.services.prefix) != 0 {
            say(
                "services.subnet",
                "is not the first address of its prefix".to_owned(),
            );
        }
        self.wan.check(say);
        if let Some(guest) = &self.guest {
            guest.check(lan, &self.wan.interface, &self.services, say);
        }
    }

    /// A configured WAN that overlaps a network of our own: two places are wrong together, and both are named.
    fn check_apart(&self, say: &mut impl FnMut(&str, String), line: impl Fn(&str) -> usize) {
        let own = self.own_networks();
        let Some((role, theirs)) = networks::overlap(&own, &self.wan.configured()) else {
            return;
        };
        let (key, name) = match role {
            NetworkRole::Lan => ("lan.address", "the home's network"),
            NetworkRole::Services => ("services.subnet", "the services' network"),
            NetworkRole::Guest => ("guest.address", "the guests' network"),
        };
        let mine = own.iter().find(|own| own.role == role).copied();
        let mine = mine.map(networks::Net::from).unwrap_or(theirs);
        say(
            "wan.address",
            format!(
                "the Internet side has {theirs}, which overlaps {name} {mine} ({key}, line {}); change one of them",
                line(key)
            ),
        );
    }

    /// The gateway's own networks, each with the gateway's address in it.
    #[must_use]
    pub fn own_networks(&self) -> OwnNetworks {
        let lan = OwnNetwork {
            role: NetworkRole::Lan,
            address: self.lan.address,
            prefix: self.lan.prefix,
        };
        let services = OwnNetwork {
            role: NetworkRole::Services,
            address: self.service_router(),
            prefix: self.services.prefix,
        };
        // There is room for one of each role.
        let guest = self.guest.as_ref().map(|guest| OwnNetwork {
            role: NetworkRole::Guest,
            address: guest.address,
            prefix: guest.prefix,
        });
        [lan, services].into_iter().chain(guest).collect()
    }

    /// The gateway's end of every service link.
    #[must_use]
    pub fn service_router(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.services.subnet).wrapping_add(1))
    }

    /// A service's own address on a routed link.
    #[must_use]
    pub fn service_address(&self, id: crate::ServiceId) -> Ipv4Addr {
        // 2 + 255 addresses fit in the largest prefix allowed (/23), so this never wraps.
        let offset = u32::try_from(id.index()).unwrap_or(0).wrapping_add(2);
        Ipv4Addr::from(u32::from(self.services.subnet).wrapping_add(offset))
    }
}

/// The netmask of a prefix length (0 to 32 bits).
#[must_use]
pub fn mask(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0)
}

/// Whether the kernel takes this for the name of an interface.
fn is_interface(name: &str) -> bool {
    !name.is_empty() && name.len() <= crate::limits::IFNAME_MAX && !name.contains(['/', ' '])
}

/// Looks whether a side's DHCP pool has addresses, and its resolver none of them.
fn check_pool(
    section: &str,
    pool: RangeInclusive<Ipv4Addr>,
    resolver: Ipv4Addr,
    say: &mut impl FnMut(&str, String),
) {
    if pool.is_empty() {
        let text = format!("{} is before pool-first", pool.end());
        say(&format!("{section}.pool-last"), text);
    }
    if pool.contains(&resolver) {
        let text = format!("{resolver} is in the DHCP pool");
        say(&format!("{section}.resolver"), text);
    }
}

/// Whether two addresses share their first `prefix` bits.
#[must_use]
pub fn same_net(a: Ipv4Addr, b: Ipv4Addr, prefix: u8) -> bool {
    (u32::from(a) ^ u32::from(b)) & mask(prefix) == 0
}

/// Whether an address of a network is its first or last: no host's (RFC 1122 3.2.1.3). Networks of
/// 31 and 32 bits have no such addresses (RFC 3021).
#[must_use]
pub fn is_edge_of(network: Ipv4Addr, prefix: u8, address: Ipv4Addr) -> bool {
    let host = u32::from(address) & !mask(prefix);
    prefix < 31 && same_net(network, address, prefix) && (host == 0 || host == !mask(prefix))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&b| b == b'\n').count() + 1
}

/// The line of `section.key`, or of its section, or 1.
fn line_of_key(text: &str, dotted: &str) -> usize {
    let (section, key) = dotted.split_once('.').unwrap_or((dotted, ""));
    let mut inside = false;
    let mut section_line = 1;
    for (number, line) in text.lines().enumerate().map(|(n, l)| (n + 1, l.trim())) {
        if line.starts_with('[') {
            inside = line == format!("[{section}]");
            if inside {
                section_line = number;
            }
        } else if inside && line.split('=').next().is_some_and(|k| k.trim() == key) {
            return number;
        }
    }
    section_line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BitsPerSec;

    const GOOD: &str = include_str!("../../../board/common/gateway.toml");

    #[test]
    fn the_shipped_file_is_valid() {
        let config = GatewayConfig::parse("gateway.toml", GOOD).unwrap();
        assert_eq!(
            config.service_address(crate::ServiceId::new(0).unwrap()),
            Ipv4Addr::new(10, 213, 0, 2)
        );
        assert_eq!(
            config.service_address(crate::ServiceId::new(255).unwrap()),
            Ipv4Addr::new(10, 213, 1, 1)
        );
    }

    #[test]
    fn every_bad_value_is_named_with_its_line_at_once() {
        let text = GOOD
            .replace(
                "pool-last = \"192.168.1.199\"",
                "pool-last = \"192.168.2.9\"",
            )
            .replace("interface = \"eth1\"", "interface = \"eth0\"")
            .replace("mode = \"dhcp\"", "mode = \"static\"");
        let errors = GatewayConfig::parse("g.toml", &text).unwrap_err().0;
        assert_eq!(errors.len(), 4, "{errors:#?}");
        for (n, key) in ["wan.interface", "lan.pool-last", "wan.mode", "wan.mode"]
            .iter()
            .enumerate()
        {
            assert!(
                errors
                    .iter()
                    .any(|e| e.contains(key) && e.starts_with("g.toml:")),
                "{n} {errors:?}"
            );
        }
    }

    #[test]
    fn rates_of_the_line_are_read_and_checked() {
        let with = |lines: &str| {
            let text = GOOD.replace("mode = \"dhcp\"", &format!("mode = \"dhcp\"\n{lines}"));
            GatewayConfig::parse("g.toml", &text)
        };
        // given no rates, and good ones
        let none = with("").unwrap().wan;
        assert_eq!((none.upload, none.download), (None, None));
        let wan = with("upload = \"2.5 Mbit/s\"\ndownload = \"20 Mbit/s\"")
            .unwrap()
            .wan;
        let rates = (BitsPerSec(2_500_000), BitsPerSec::mbit(20));
        assert_eq!((wan.upload, wan.download), (Some(rates.0), Some(rates.1)));
        // when they are no rates, or too little, then the line and the key are named
        for (bad, what) in [
            ("upload = \"2 MB\"", "\"2 MB\" is no rate of a line; write"),
            ("upload = 20", "invalid type"),
            (
                "download = \"1 kbit/s\"",
                "wan.download: 1 kbit/s is too little; at least 128 kbit/s",
            ),
        ] {
            let errors = with(bad).unwrap_err().0;
            assert_eq!(errors.len(), 1, "{errors:?}");
            let line = GOOD
                .lines()
                .position(|line| line.starts_with("mode ="))
                .unwrap()
                + 2;
            assert!(
                errors[0].starts_with(&format!("g.toml:{line}: ")),
                "{errors:?}"
            );
            assert!(errors[0].contains(what), "{errors:?}");
        }
    }

    #[test]
    fn a_configured_wan_that_overlaps_is_an_error_with_both_lines() {
        // given a WAN whose network, router or resolver is in a network of our own
        let wan = |text: &str| {
            let text = GOOD.replace("mode = \"dhcp\"", &format!("mode = \"static\"\n{text}"));
            (text.clone(), GatewayConfig::parse("g.toml", &text))
        };
        for (text, net, key) in [
            (
                "address = \"192.168.1.7\"\nprefix = 24",
                "192.168.1.0/24",
                "lan.address",
            ),
            (
                "address = \"192.168.7.7\"\nprefix = 16",
                "192.168.0.0/16",
                "lan.address",
            ),
            (
                "address = \"10.212.1.7\"\nprefix = 12",
                "10.208.0.0/12",
                "services.subnet",
            ),
            (
                "address = \"203.0.113.5\"\nprefix = 32\nrouter = \"192.168.1.254\"",
                "192.168.1.254/32",
                "lan.address",
            ),
            (
                "address = \"203.0.113.5\"\nprefix = 24\nresolvers = [\"10.213.3.255\"]",
                "10.213.3.255/32",
                "services.subnet",
            ),
        ] {
            // when it is read, then the error names both places
            let (text, parsed) = wan(text);
            let error = parsed.unwrap_err().to_string();
            let line_of =
                |start: &str| text.lines().position(|l| l.starts_with(start)).unwrap() + 1;
            let wan = text.lines().position(|l| l == "[wan]").unwrap() + 4;
            assert!(
                error.starts_with(&format!("g.toml:{wan}: wan.address: ")),
                "{error}"
            );
            assert!(error.contains(net), "{error}");
            let own = if key == "lan.address" {
                "address = \"192.168.1.1\""
            } else {
                "subnet"
            };
            let both = format!("({key}, line {})", line_of(own));
            assert!(error.contains(&both), "{both}: {error}");
        }
        // and one beside them is fine
        assert!(wan("address = \"192.168.2.7\"\nprefix = 24").1.is_ok());
    }

    #[test]
    fn forwarding_is_guaranteed_a_part_of_what_services_never_get() {
        // given 300 thousandths that services never get
        let with = |line: &str| {
            let text = GOOD.replace("forwarding-milli = 200", line);
            GatewayConfig::parse("g.toml", &text)
        };
        // then forwarding has what is said, or two thirds; never nothing, and never all
        let said = with("forwarding-milli = 150").unwrap().reserve;
        assert_eq!(said.forwarding(), MilliCpu(150));
        assert_eq!(with("").unwrap().reserve.forwarding(), MilliCpu(200));
        for line in ["forwarding-milli = 0", "forwarding-milli = 300"] {
            let error = with(line).unwrap_err();
            assert!(error.0[0].contains("reserve.forwarding-milli"), "{error}");
        }
    }

    #[test]
    fn timers_are_no_shorter_than_the_rfcs_permit() {
        // given a section with a choice, a timer that is too short and one that is too long
        let good = GOOD.split("[nat]").next().unwrap();
        let text = format!(
            "{good}\n[nat]\nudp-filtering = \"endpoint-independent\"\nudp-timeout = 119\n\
             icmp-timeout = 604801\n"
        );
        let errors = GatewayConfig::parse("g.toml", &text).unwrap_err().0;
        assert_eq!(errors.len(), 2, "{errors:#?}");
        let line = text.lines().count();
        assert!(errors[0].starts_with(&format!("g.toml:{}: nat.udp-timeout", line - 1)));
        assert!(errors[1].starts_with(&format!("g.toml:{line}: nat.icmp-timeout")));
        // when they are good, then they are taken, and the others have their defaults
        let text = text.replace("119", "120").replace("604801", "61");
        let nat = GatewayConfig::parse("g.toml", &text).unwrap().nat;
        let expected = NatChoices {
            udp_filtering: Filtering::EndpointIndependent,
            udp_timeout: 120,
            icmp_timeout: 61,
            ..NatChoices::default()
        };
        assert_eq!(nat, expected);
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let error = GatewayConfig::parse("g.toml", &GOOD.replace("[lan]", "[lan]\nadress = 1"))
            .unwrap_err();
        let line = GOOD.lines().position(|l| l == "[lan]").unwrap() + 2;
        assert!(
            error.0[0].starts_with(&format!("g.toml:{line}: ")),
            "{error}"
        );
        assert!(error.0[0].contains("adress"), "{error}");
    }
}
