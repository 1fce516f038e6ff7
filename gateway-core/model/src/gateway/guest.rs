//! `[guest]`: the guests' network. It may be left out; then there is none.

use super::{Lan, Services, check_pool, is_edge_of, is_interface, same_net};
use core::net::Ipv4Addr;
use serde::{Deserialize, Serialize};

/// `[guest]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Guest {
    /// Ethernet port of the guests, for example `eth2`.
    pub interface: String,
    /// The gateway's address among the guests.
    pub address: Ipv4Addr,
    /// Prefix length of their network, 8 to 29 bits.
    pub prefix: u8,
    /// First address that DHCP gives.
    pub pool_first: Ipv4Addr,
    /// Last address that DHCP gives.
    pub pool_last: Ipv4Addr,
    /// Address of the resolver and DHCP service there.
    pub resolver: Ipv4Addr,
}

impl Guest {
    /// Whether their network has this address.
    #[must_use]
    pub fn has(&self, address: Ipv4Addr) -> bool {
        same_net(self.address, address, self.prefix)
    }

    pub(super) fn check(
        &self,
        lan: &Lan,
        wan: &str,
        services: &Services,
        say: &mut impl FnMut(&str, String),
    ) {
        let name = self.interface.as_str();
        if !is_interface(name) {
            say("guest.interface", format!("{name:?} is no interface name"));
        } else if [lan.interface.as_str(), wan].contains(&name) {
            say(
                "guest.interface",
                format!("{name:?} is another side's already"),
            );
        }
        if !(8..=29).contains(&self.prefix) {
            say("guest.prefix", format!("{} is not in 8..=29", self.prefix));
            return;
        }
        for (name, address, prefix) in [
            ("LAN", lan.address, lan.prefix),
            ("services' subnet", services.subnet, services.prefix),
        ] {
            if same_net(self.address, address, self.prefix.min(prefix)) {
                say("guest.address", format!("its network overlaps the {name}"));
            }
        }
        for (key, address) in [
            ("guest.address", self.address),
            ("guest.pool-first", self.pool_first),
            ("guest.pool-last", self.pool_last),
            ("guest.resolver", self.resolver),
        ] {
            if !self.has(address) || is_edge_of(self.address, self.prefix, address) {
                let net = format!("{}/{}", self.address, self.prefix);
                say(
                    key,
                    format!("{address} is no host of the guests' network {net}"),
                );
            } else if key != "guest.address" && address == self.address {
                say(key, format!("{address} is the gateway's own address"));
            }
        }
        check_pool(
            "guest",
            self.pool_first..=self.pool_last,
            self.resolver,
            say,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::GatewayConfig;

    const GOOD: &str = include_str!("../../../../board/common/gateway.toml");
    const GUEST: &str = "\n[guest]\ninterface = \"eth2\"\naddress = \"192.168.2.1\"\nprefix = 24\n\
        pool-first = \"192.168.2.100\"\npool-last = \"192.168.2.199\"\nresolver = \"192.168.2.2\"\n";

    #[test]
    fn the_firmwares_example_is_one() {
        // given the firmware's file, with the "#" removed from its section for guests
        let (before, section) = GOOD.split_once("#[guest]").unwrap();
        let (section, after) = section.split_once("\n\n").unwrap();
        let section = section.replace("\n#", "\n");
        let text = format!("{before}[guest]{section}\n\n{after}");
        // then there are guests
        let parsed = GatewayConfig::parse("g.toml", &text).unwrap();
        assert_eq!(parsed.guest.unwrap().interface, "eth2");
    }

    #[test]
    fn guests_have_a_port_and_a_network_of_their_own() {
        // given a gateway without guests, and one with
        let parse = |text: &str| GatewayConfig::parse("g.toml", text);
        assert_eq!(parse(GOOD).unwrap().guest, None);
        let with = format!("{GOOD}{GUEST}");
        let guest = parse(&with).unwrap().guest.unwrap();
        assert_eq!(guest.interface, "eth2");
        for (from, to, wrong) in [
            (
                "interface = \"eth2\"",
                "interface = \"eth1\"",
                "guest.interface",
            ),
            ("\"192.168.2.1\"", "\"192.168.1.9\"", "overlaps the LAN"),
            (
                "\"192.168.2.1\"",
                "\"10.213.0.9\"",
                "overlaps the services' subnet",
            ),
            ("\"192.168.2.1\"", "\"192.168.2.0\"", "guest.address"),
            ("\"192.168.2.100\"", "\"192.168.3.100\"", "guest.pool-first"),
            ("\"192.168.2.100\"", "\"192.168.2.200\"", "guest.pool-last"),
            ("\"192.168.2.2\"", "\"192.168.2.150\"", "guest.resolver"),
            ("\"192.168.2.2\"", "\"192.168.2.1\"", "guest.resolver"),
            (
                "prefix = 24\npool-first = \"192.168.2",
                "prefix = 30\npool-first = \"192.168.2",
                "guest.prefix",
            ),
        ] {
            // when something is wrong, then it is named
            let text = with.replace(from, to);
            assert_ne!(text, with, "{from}");
            let errors = parse(&text).unwrap_err().0;
            assert!(errors.iter().any(|e| e.contains(wrong)), "{to}: {errors:?}");
        }
    }
}
