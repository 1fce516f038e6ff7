//! The gates of a service: which devices it opens, where it connects and which ports it binds, as its
//! manifest says on this gateway. The kernel enforces them for its cgroup (`sandbox/bpf`); here are the
//! rules and, in plain words of Rust, what they mean.
//!
//! Invariants: what no rule allows is refused, with a reason that is counted. A service always reaches
//! its own loopback. What this module refuses to do: touch a kernel.

use crate::ServiceId;
use crate::gateway::{GatewayConfig, Guest, same_net};
use crate::manifest::{LinkKind, Manifest, Network};
use crate::protocol::Transport;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::RangeInclusive;

/// Why a gate refuses. The order is that of the kernel's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A device that the manifest does not grant.
    Device,
    /// An Internet socket that is neither TCP nor UDP.
    Protocol,
    /// A port that is neither the service's own nor a client's.
    Port,
    /// An address of IPv6: services have none.
    Ipv6,
    /// The manifest grants no network.
    NoNetwork,
    /// The gateway itself: its console, its API, its router.
    Gateway,
    /// Another service.
    Service,
    /// An address outside of the home.
    Outside,
}

impl Refusal {
    /// All, in the counters' order.
    pub const ALL: [Refusal; 8] = [
        Refusal::Device,
        Refusal::Protocol,
        Refusal::Port,
        Refusal::Ipv6,
        Refusal::NoNetwork,
        Refusal::Gateway,
        Refusal::Service,
        Refusal::Outside,
    ];

    /// Its name in the API and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Refusal::Device => "device",
            Refusal::Protocol => "protocol",
            Refusal::Port => "port",
            Refusal::Ipv6 => "ipv6",
            Refusal::NoNetwork => "no-network",
            Refusal::Gateway => "gateway",
            Refusal::Service => "other-service",
            Refusal::Outside => "outside-home",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be.
    Allow,
    /// It fails with `EPERM`, and is counted.
    Refuse(Refusal),
}

/// The two kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A disk or its like.
    Block,
    /// Everything else.
    Character,
}

/// A device that may be read and written. None may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Its kind.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number; none: every one.
    pub minor: Option<u32>,
}

/// What is wanted of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceUse {
    /// mknod(2).
    pub make: bool,
    /// Open to read.
    pub read: bool,
    /// Open to write.
    pub write: bool,
}

/// A network, a host or a port of a host, and the verdict on it. The narrowest that holds decides; of two
/// for the same, the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// An address of the network.
    pub address: Ipv4Addr,
    /// Its prefix length, 0 to 32 bits.
    pub prefix: u8,
    /// The one port of the host; only looked at where the prefix is 32.
    pub port: Option<u16>,
    /// What follows.
    pub verdict: Verdict,
}

impl Target {
    /// Bits of address and port that must agree.
    #[must_use]
    pub fn bits(&self) -> u32 {
        match (self.prefix, self.port) {
            (32.., Some(_)) => 48,
            (prefix, _) => u32::from(prefix.min(32)),
        }
    }

    fn holds(&self, to: Ipv4Addr, port: u16) -> bool {
        let port_too = self.bits() == 48;
        same_net(self.address, to, self.prefix) && (!port_too || self.port == Some(port))
    }
}

/// A port at which the service is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Protocol.
    pub transport: Transport,
    /// Its own port; 0 stands for every one.
    pub port: u16,
}

/// All rules of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Devices that it may open.
    pub devices: Vec<DeviceRule>,
    /// Where it may connect or send to. Where none holds, that is [`Refusal::NoNetwork`].
    pub targets: Vec<Target>,
    /// Ports that it may bind at every address; a port of 0 is every one.
    pub served: Vec<Served>,
}

/// Ports that clients bind: what Linux gives out by itself (`ip_local_port_range`).
pub const EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;

/// Devices that every program may expect: null, zero, full, random, urandom, tty.
const BASE_DEVICES: [(u32, u32); 6] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0)];

/// Port of a resolver (RFC 1035).
const DNS: u16 = 53;

impl Gate {
    /// The gates of a service on this gateway.
    #[must_use]
    pub fn of(manifest: &Manifest, gateway: &GatewayConfig, id: ServiceId) -> Gate {
        let gate = Gate::without_network(manifest);
        match manifest.address(gateway, id) {
            Some(own) => gate.linked(manifest, gateway, own),
            None => gate,
        }
    }

    /// The gates of a service whose manifest's network is not this gateway's: devices and ports as it
    /// says, and connections to its own loopback alone.
    #[must_use]
    pub fn without_network(manifest: &Manifest) -> Gate {
        let mut gate = Gate::base();
        let granted = manifest.devices().iter().map(|device| device.numbers());
        gate.devices.extend(granted.map(character));
        gate.served = manifest.served();
        gate
    }

    /// What everybody has: the devices that each program expects, its own loopback, clients' ports.
    #[must_use]
    pub fn base() -> Gate {
        Gate {
            devices: BASE_DEVICES.into_iter().map(character).collect(),
            targets: own_loopback().to_vec(),
            served: Vec::new(),
        }
    }

    /// What they allow, one rule a line, for a person who looks at a plan.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let devices = self.devices.iter().map(|rule| {
            let kind = match rule.kind {
                DeviceKind::Block => 'b',
                DeviceKind::Character => 'c',
            };
            let minor = rule.minor.map_or("*".to_owned(), |minor| minor.to_string());
            format!("device {kind} {}:{minor}: read and write", rule.major)
        });
        let targets = self.targets.iter().map(|target| {
            let port = match target.port {
                Some(port) if target.bits() == 48 => format!(" port {port}"),
                Some(_) | None => String::new(),
            };
            let verdict = match target.verdict {
                Verdict::Allow => "allowed".to_owned(),
                Verdict::Refuse(refusal) => format!("refused ({refusal})"),
            };
            format!(
                "connect {}/{}{port}: {verdict}",
                target.address, target.prefix
            )
        });
        let served = self.served.iter().map(|served| match served.port {
            0 => format!("bind {}: every port", served.transport),
            port => format!("bind {} {port}", served.transport),
        });
        devices.chain(targets).chain(served).collect()
    }

    fn linked(mut self, manifest: &Manifest, gateway: &GatewayConfig, own: Ipv4Addr) -> Gate {
        self.targets.push(host(own, Verdict::Allow));
        self = match (manifest.link(), &gateway.guest) {
            (LinkKind::Guest, Some(guest)) => self.among_guests(manifest, gateway, guest),
            (LinkKind::Routed | LinkKind::Bridged, Some(guest)) => {
                let apart = Verdict::Refuse(Refusal::Outside);
                let guests = net(guest.address, guest.prefix, apart);
                self.targets.push(guests);
                self.in_home(manifest, gateway)
            }
            (_, None) => self.in_home(manifest, gateway),
        };
        self
    }

    /// What a service among the guests reaches: them, and the Internet where it may.
    fn among_guests(mut self, manifest: &Manifest, gateway: &GatewayConfig, guest: &Guest) -> Gate {
        let refuse = Verdict::Refuse;
        let (lan, services) = (&gateway.lan, &gateway.services);
        self.targets.extend([
            host(guest.address, refuse(Refusal::Gateway)),
            net(guest.address, guest.prefix, Verdict::Allow),
            host(lan.address, refuse(Refusal::Gateway)),
            net(lan.address, lan.prefix, refuse(Refusal::Outside)),
            host(gateway.service_router(), refuse(Refusal::Gateway)),
            net(services.subnet, services.prefix, refuse(Refusal::Service)),
        ]);
        let everybody = |verdict| net(Ipv4Addr::UNSPECIFIED, 0, verdict);
        match manifest.network() {
            Network::None => {}
            Network::Lan => self.targets.push(everybody(refuse(Refusal::Outside))),
            Network::Wan => self.targets.push(everybody(Verdict::Allow)),
        }
        self
    }

    fn in_home(mut self, manifest: &Manifest, gateway: &GatewayConfig) -> Gate {
        let lan = &gateway.lan;
        let services = &gateway.services;
        let refuse = Verdict::Refuse;
        self.targets.extend([
            Target {
                port: Some(DNS),
                ..host(lan.resolver, Verdict::Allow)
            },
            // The resolver is a service, whose other ports are not everybody's.
            host(lan.resolver, refuse(Refusal::Service)),
            host(lan.address, refuse(Refusal::Gateway)),
            host(gateway.service_router(), refuse(Refusal::Gateway)),
            net(services.subnet, services.prefix, refuse(Refusal::Service)),
        ]);
        let others = |verdict| net(Ipv4Addr::UNSPECIFIED, 0, verdict);
        match manifest.network() {
            Network::None => {}
            Network::Lan => self.targets.extend([
                net(lan.address, lan.prefix, Verdict::Allow),
                others(refuse(Refusal::Outside)),
            ]),
            Network::Wan => self.targets.push(others(Verdict::Allow)),
        }
        self
    }

    /// May a device be used so?
    #[must_use]
    pub fn open(&self, kind: DeviceKind, major: u32, minor: u32, wanted: DeviceUse) -> Verdict {
        let granted = |rule: &DeviceRule| {
            rule.kind == kind && rule.major == major && rule.minor.is_none_or(|it| it == minor)
        };
        if !wanted.make && self.devices.iter().any(granted) {
            Verdict::Allow
        } else {
            Verdict::Refuse(Refusal::Device)
        }
    }

    /// May a socket, bound to the service's own port `from`, connect or send to this address?
    #[must_use]
    pub fn reach(&self, transport: Transport, from: u16, to: IpAddr, port: u16) -> Verdict {
        let Some(to) = inner(to) else {
            return Verdict::Refuse(Refusal::Ipv6);
        };
        let holding = self.targets.iter().filter(|target| target.holds(to, port));
        // `max_by_key` keeps the last of equals, so the list is gone through from its end.
        let narrowest = holding.rev().max_by_key(|target| target.bits());
        let verdict = narrowest.map_or(Verdict::Refuse(Refusal::NoNetwork), |it| it.verdict);
        // Whoever asked a served port is answered, wherever it is. TCP has no such case: its answers
        // are no connections.
        let answer = transport == Transport::Udp && self.serves(Transport::Udp, from);
        if answer { Verdict::Allow } else { verdict }
    }

    /// May a socket be bound at this address and port?
    #[must_use]
    pub fn bind(&self, transport: Transport, at: IpAddr, port: u16) -> Verdict {
        let own = |address: Ipv4Addr| address.is_loopback();
        let alone = match at {
            IpAddr::V4(address) => own(address),
            IpAddr::V6(address) => {
                address == Ipv6Addr::LOCALHOST || address.to_ipv4_mapped().is_some_and(own)
            }
        };
        if port == 0 || alone || EPHEMERAL.contains(&port) || self.serves(transport, port) {
            Verdict::Allow
        } else {
            Verdict::Refuse(Refusal::Port)
        }
    }

    fn serves(&self, transport: Transport, port: u16) -> bool {
        let ours = |served: &Served| {
            served.transport == transport && (served.port == port || served.port == 0)
        };
        self.served.iter().any(ours)
    }
}

fn character((major, minor): (u32, u32)) -> DeviceRule {
    DeviceRule {
        kind: DeviceKind::Character,
        major,
        minor: Some(minor),
    }
}

fn net(address: Ipv4Addr, prefix: u8, verdict: Verdict) -> Target {
    Target {
        address,
        prefix,
        port: None,
        verdict,
    }
}

fn host(address: Ipv4Addr, verdict: Verdict) -> Target {
    net(address, 32, verdict)
}

/// The service's own loopback, to which the kernel also takes 0.0.0.0 (ip(7)).
fn own_loopback() -> [Target; 2] {
    [
        net(Ipv4Addr::LOCALHOST, 8, Verdict::Allow),
        host(Ipv4Addr::UNSPECIFIED, Verdict::Allow),
    ]
}

/// What an address means in IPv4, where it has such a meaning.
fn inner(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(Ipv6Addr::LOCALHOST | Ipv6Addr::UNSPECIFIED) => Some(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) => address.to_ipv4_mapped(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(access: &str) -> Manifest {
        let text = format!(
            "[service]\nname = \"web\"\nversion = \"1\"\nexec = [\"/a\"]\n[resources.memory]\n\
             max = \"8 MiB\"\n[resources.pids]\nmax = 4\n[access]\n{access}"
        );
        Manifest::parse("m", &text).unwrap()
    }

    fn gate(access: &str) -> Gate {
        let gateway = include_str!("../../../board/common/gateway.toml");
        let gateway = GatewayConfig::parse("g", gateway).unwrap();
        Gate::of(&manifest(access), &gateway, ServiceId::new(3).unwrap())
    }

    #[test]
    fn guests_and_the_home_are_kept_apart_here_too() {
        // given a gateway with guests, a service among them, and one of the home
        let gateway = include_str!("../../../board/common/gateway.toml");
        let guest = "[guest]\ninterface = \"eth2\"\naddress = \"192.168.2.1\"\nprefix = 24\n\
                     pool-first = \"192.168.2.100\"\npool-last = \"192.168.2.199\"\nresolver = \"192.168.2.2\"\n";
        let gateway = GatewayConfig::parse("g", &format!("{gateway}\n{guest}")).unwrap();
        let gate = |access: &str| Gate::of(&manifest(access), &gateway, ServiceId::new(3).unwrap());
        let names = gate("network = \"wan\"\nlink = \"guest\"\nserves = [\"udp 53\"]");
        let home = gate("network = \"wan\"");
        let no = Verdict::Refuse;
        // to, verdict for the service among the guests, and for the one of the home
        for (to, guests, homes) in [
            ("192.168.2.2", Verdict::Allow, no(Refusal::Outside)),
            ("192.168.2.100", Verdict::Allow, no(Refusal::Outside)),
            ("192.168.2.1", no(Refusal::Gateway), no(Refusal::Outside)),
            ("192.168.1.1", no(Refusal::Gateway), no(Refusal::Gateway)),
            ("192.168.1.50", no(Refusal::Outside), Verdict::Allow),
            ("10.213.0.6", no(Refusal::Service), no(Refusal::Service)),
            ("198.51.100.7", Verdict::Allow, Verdict::Allow),
        ] {
            assert_eq!(reach(&names, to, 80), guests, "{to}");
            assert_eq!(reach(&home, to, 80), homes, "{to}");
        }
    }

    fn reach(gate: &Gate, to: &str, port: u16) -> Verdict {
        gate.reach(Transport::Tcp, 40_000, to.parse().unwrap(), port)
    }

    #[test]
    fn each_network_reaches_what_it_says() {
        use Refusal::{Gateway, Ipv6, NoNetwork, Outside, Service};
        let allow = Verdict::Allow;
        let no = Verdict::Refuse;
        // to, port, verdict without a network, of lan, of wan
        for (to, port, none, lan, wan) in [
            ("127.0.0.1", 9000, allow, allow, allow),
            ("::1", 9000, allow, allow, allow),
            ("0.0.0.0", 9000, allow, allow, allow),
            ("10.213.0.5", 80, no(NoNetwork), allow, allow), // itself
            ("10.213.0.6", 80, no(NoNetwork), no(Service), no(Service)),
            ("10.213.0.1", 80, no(NoNetwork), no(Gateway), no(Gateway)),
            ("192.168.1.1", 80, no(NoNetwork), no(Gateway), no(Gateway)),
            (
                "::ffff:192.168.1.1",
                80,
                no(NoNetwork),
                no(Gateway),
                no(Gateway),
            ),
            ("192.168.1.2", 53, no(NoNetwork), allow, allow),
            ("192.168.1.2", 80, no(NoNetwork), no(Service), no(Service)),
            ("192.168.1.50", 22, no(NoNetwork), allow, allow),
            ("::ffff:192.168.1.50", 22, no(NoNetwork), allow, allow),
            ("192.168.2.1", 22, no(NoNetwork), no(Outside), allow),
            ("198.51.100.7", 443, no(NoNetwork), no(Outside), allow),
            ("fe80::1", 443, no(Ipv6), no(Ipv6), no(Ipv6)),
            ("2001:db8::1", 443, no(Ipv6), no(Ipv6), no(Ipv6)),
        ] {
            for (access, verdict) in [
                ("", none),
                ("network = \"lan\"", lan),
                ("network = \"wan\"", wan),
            ] {
                assert_eq!(
                    reach(&gate(access), to, port),
                    verdict,
                    "{access}: {to}:{port}"
                );
            }
        }
    }

    #[test]
    fn a_service_binds_what_it_serves_and_what_clients_do() {
        let web = gate("network = \"lan\"\nlisten = [\"lan tcp 8080 -> 80\"]");
        let dns = gate("network = \"wan\"\nlink = \"bridged\"\nserves = [\"udp 53\"]");
        let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let no = Verdict::Refuse(Refusal::Port);
        for (gate, transport, port, verdict) in [
            (&web, Transport::Tcp, 80, Verdict::Allow),
            (&web, Transport::Udp, 80, no),
            (&web, Transport::Tcp, 8080, no),
            (&web, Transport::Tcp, 0, Verdict::Allow),
            (&web, Transport::Udp, 32_768, Verdict::Allow),
            (&web, Transport::Udp, 61_000, no),
            (&dns, Transport::Udp, 53, Verdict::Allow),
            (&dns, Transport::Tcp, 53, no),
        ] {
            assert_eq!(
                gate.bind(transport, any, port),
                verdict,
                "{transport} {port}"
            );
        }
        // and at its own loopback whatever it likes
        for own in ["127.0.0.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(
                web.bind(Transport::Tcp, own.parse().unwrap(), 9000),
                Verdict::Allow
            );
        }
        assert_eq!(web.bind(Transport::Tcp, "::".parse().unwrap(), 9000), no);
    }

    #[test]
    fn a_served_port_answers_whoever_asked() {
        let dns = gate("network = \"lan\"\nlink = \"bridged\"\nserves = [\"udp 53\", \"tcp 53\"]");
        let asker = IpAddr::from([10, 213, 0, 6]);
        let no = Verdict::Refuse(Refusal::Service);
        assert_eq!(dns.reach(Transport::Udp, 53, asker, 5000), Verdict::Allow);
        assert_eq!(dns.reach(Transport::Udp, 40_000, asker, 5000), no);
        assert_eq!(dns.reach(Transport::Tcp, 53, asker, 5000), no);
    }

    #[test]
    fn a_device_is_used_where_it_is_granted_and_never_made() {
        let gate = gate("devices = [\"/dev/ttyUSB0\"]");
        let wanted = |make, read, write| DeviceUse { make, read, write };
        let no = Verdict::Refuse(Refusal::Device);
        use DeviceKind::{Block, Character};
        for (kind, major, minor, wanted, verdict) in [
            (Character, 1, 3, wanted(false, true, true), Verdict::Allow),
            (Character, 188, 0, wanted(false, true, true), Verdict::Allow),
            (Character, 188, 1, wanted(false, true, false), no),
            (Block, 1, 3, wanted(false, true, false), no),
            (Character, 1, 3, wanted(true, false, false), no),
            (Character, 1, 1, wanted(false, true, false), no), // /dev/mem
            (Character, 1, 11, wanted(false, true, false), no), // /dev/kmsg
        ] {
            assert_eq!(
                gate.open(kind, major, minor, wanted),
                verdict,
                "{major}:{minor}"
            );
        }
    }

    #[test]
    fn its_words_are_a_line_for_each_rule() {
        let words = gate("network = \"lan\"\nlisten = [\"lan tcp 8080 -> 80\"]").words();
        for line in [
            "device c 1:3: read and write",
            "connect 192.168.1.2/32 port 53: allowed",
            "connect 192.168.1.1/32: refused (gateway)",
            "bind tcp 80",
        ] {
            assert!(words.iter().any(|it| it == line), "{line}: {words:#?}");
        }
    }

    #[test]
    fn names_are_different_and_in_the_counters_order() {
        for (n, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*refusal as usize, n);
            assert!(
                Refusal::ALL
                    .iter()
                    .filter(|it| it.name() == refusal.name())
                    .count()
                    == 1
            );
        }
    }
}
