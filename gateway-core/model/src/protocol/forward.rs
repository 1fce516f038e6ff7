//! Ports of the WAN's address that the household has given to a host of the home or to a service.

use super::Transport;
use crate::ids::ServiceId;
use crate::limits::{DHCP_CLIENT_PORT, HOUSEHOLD_RANGE_MAX, LOCAL_PORT_FIRST, LOCAL_PORT_LAST};
use core::fmt;
use core::net::Ipv4Addr;
use serde::{Deserialize, Serialize};

/// Ports of the WAN's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WanPorts {
    /// Protocol.
    pub transport: Transport,
    /// The first one.
    pub first: u16,
    /// The last one, `first` where it is one port.
    pub last: u16,
}

/// Why a text names no ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPorts {
    /// The protocol is none that has ports.
    Transport,
    /// The ports are no number and no range.
    Number,
}

impl fmt::Display for NoPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoPorts::Transport => f.write_str("ports are those of tcp or udp"),
            NoPorts::Number => write!(
                f,
                "a port is a number from 1 to 65535, a range two of them (8000-8010), {HOUSEHOLD_RANGE_MAX} \
                 ports at most"
            ),
        }
    }
}

impl core::error::Error for NoPorts {}

impl WanPorts {
    /// The ports that people mean by `tcp` and `8022`, or `udp` and `8000-8010`.
    ///
    /// # Errors
    /// [`NoPorts`].
    pub fn parse(transport: &str, ports: &str) -> Result<WanPorts, NoPorts> {
        let transport = match transport {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            _ => return Err(NoPorts::Transport),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let number = |text: &str| match text.parse() {
            Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
            Ok(_) | Err(_) => Err(NoPorts::Number),
        };
        let ports = WanPorts {
            transport,
            first: number(first)?,
            last: number(last)?,
        };
        if ports.is_range() {
            Ok(ports)
        } else {
            Err(NoPorts::Number)
        }
    }

    /// Whether a port is one of them.
    #[must_use]
    pub fn has(&self, transport: Transport, port: u16) -> bool {
        self.transport == transport && (self.first..=self.last).contains(&port)
    }

    /// A port that both have.
    #[must_use]
    pub fn common(&self, other: &WanPorts) -> Option<u16> {
        let first = self.first.max(other.first);
        let same = self.transport == other.transport;
        (same && first <= self.last.min(other.last)).then_some(first)
    }

    /// A port among them that nobody gets: 0, those of the gateway's own connections, the DHCP client's.
    #[must_use]
    pub fn reserved(&self) -> Option<u16> {
        let own = WanPorts {
            first: LOCAL_PORT_FIRST,
            last: LOCAL_PORT_LAST,
            ..*self
        };
        let single = [
            (Transport::Tcp, 0),
            (Transport::Udp, 0),
            (Transport::Udp, DHCP_CLIENT_PORT),
        ];
        let mut single = single.into_iter();
        single
            .find(|(transport, port)| self.has(*transport, *port))
            .map(|(_, port)| port)
            .or_else(|| self.common(&own))
    }

    /// Whether they are in order and no more than one forward may have.
    #[must_use]
    pub fn is_range(&self) -> bool {
        let more = self.last.checked_sub(self.first);
        more.is_some_and(|more| more < HOUSEHOLD_RANGE_MAX)
    }
}

impl fmt::Display for WanPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport, self.first)?;
        if self.last != self.first {
            write!(f, "-{}", self.last)?;
        }
        Ok(())
    }
}

/// Where ports lead that the household has given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardTarget {
    /// To a host of the home.
    Host(Ipv4Addr),
    /// To a service with a routed link; while it has none, the ports are silent.
    Service(ServiceId),
}

/// Ports of the WAN's address that the household has given to a host of the home or to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HouseholdForward {
    /// The ports.
    pub ports: WanPorts,
    /// Whose they are.
    pub to: ForwardTarget,
    /// The port that the first one leads to; those after it to the ones after that.
    pub to_port: u16,
}

impl HouseholdForward {
    /// The target's port that one of the ports leads to.
    #[must_use]
    pub fn leads(&self, port: u16) -> Option<u16> {
        let offset = port.checked_sub(self.ports.first)?;
        (port <= self.ports.last).then(|| self.to_port.checked_add(offset))?
    }

    /// The port that leads to one of the target's.
    #[must_use]
    pub fn comes_from(&self, to_port: u16) -> Option<u16> {
        let port = self
            .ports
            .first
            .checked_add(to_port.checked_sub(self.to_port)?)?;
        (port <= self.ports.last).then_some(port)
    }

    /// Whether every port leads to one.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.ports.is_range() && self.to_port > 0 && self.leads(self.ports.last).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(first: u16, last: u16) -> WanPorts {
        WanPorts {
            transport: Transport::Tcp,
            first,
            last,
        }
    }

    #[test]
    fn ports_know_what_they_share_and_what_is_kept() {
        let udp = WanPorts {
            transport: Transport::Udp,
            ..tcp(60, 70)
        };
        // (ports, reserved one among them)
        for (ports, reserved) in [
            (tcp(0, 10), Some(0)),
            (tcp(60, 70), None),
            (udp, Some(68)),
            (tcp(60_999, 61_000), Some(61_000)),
            (tcp(61_500, 61_500), Some(61_500)),
            (tcp(62_000, 65_535), None),
        ] {
            assert_eq!(ports.reserved(), reserved, "{ports}");
        }
        assert_eq!(tcp(10, 20).common(&tcp(20, 30)), Some(20));
        assert_eq!(tcp(10, 20).common(&tcp(21, 30)), None);
        assert_eq!(udp.common(&tcp(60, 70)), None);
        assert!(tcp(1, HOUSEHOLD_RANGE_MAX).is_range());
        assert!(!tcp(0, HOUSEHOLD_RANGE_MAX).is_range());
        assert!(!tcp(2, 1).is_range());
        assert_eq!(WanPorts::parse("udp", "60-70"), Ok(udp));
        assert_eq!(WanPorts::parse("tcp", "22"), Ok(tcp(22, 22)));
        assert_eq!(WanPorts::parse("icmp", "22"), Err(NoPorts::Transport));
        for text in [
            "", "0", "-1", "+1", "1-", "2-1", "1-257", "65536", "1-2-3", "x",
        ] {
            assert_eq!(WanPorts::parse("tcp", text), Err(NoPorts::Number), "{text}");
        }
        assert_eq!(format!("{udp}, {}", tcp(22, 22)), "udp 60-70, tcp 22");
    }

    #[test]
    fn a_forward_leads_there_and_back() {
        let mut forward = HouseholdForward {
            ports: tcp(8_000, 8_009),
            to: ForwardTarget::Host(Ipv4Addr::new(192, 168, 1, 50)),
            to_port: 80,
        };
        for (port, to) in [
            (7_999, None),
            (8_000, Some(80)),
            (8_009, Some(89)),
            (8_010, None),
        ] {
            assert_eq!(forward.leads(port), to);
        }
        for (to, port) in [(79, None), (80, Some(8_000)), (89, Some(8_009)), (90, None)] {
            assert_eq!(forward.comes_from(to), port);
        }
        assert!(forward.fits());
        forward.to_port = 65_527;
        assert!(!forward.fits(), "the last one leads nowhere");
    }
}
