//! A service whose root sends whatever bytes it likes: nothing but its own, honest packets gets out
//! of its link, and nothing of anybody else gets in.

use super::support::lab::{Lab, Side, Wan, text};
use super::support::manager::{Manager, routed, tcp};
use super::support::peers::{fetch, page, serve};
use super::support::tap::{Tap, within};
use etherparse::{PacketBuilder, VlanId};
use hearth_model::protocol::{Forward, Link, NetworkPolicy, Transport, Zone};
use std::cell::Cell;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

const INTERNET: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const WAN_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 50);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 50);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);
/// The hostile service, number 0, and the one with the console's port, number 1.
const ROGUE: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 2);
const VICTIM: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 3);
/// Bridged services, numbers 2 and 3.
const BRIDGED: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 3);
const EVERYBODY: [u8; 6] = [0xff; 6];
/// A port of the gateway itself, which only the gateway's own programs may reach.
const CONTROL: u16 = 7_777;
const FENCE: &[u8] = b"fence";
const HOSTILE: &[u8] = b"hostile";

type Mac = [u8; 6];

/// The frame of a finished builder.
macro_rules! frame {
    ($builder:expr, $data:expr) => {{
        let (builder, data): (_, &[u8]) = ($builder, $data);
        let mut frame = vec![0; builder.size(data.len())];
        builder.write_to_slice(&mut frame, data).unwrap();
        frame
    }};
}

fn udp(macs: (Mac, Mac), from: Ipv4Addr, to: (Ipv4Addr, u16), data: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(macs.0, macs.1).ipv4(from.octets(), to.0.octets(), 64);
    frame!(builder.udp(5_555, to.1), data)
}

fn syn(macs: (Mac, Mac), from: Ipv4Addr, to: (Ipv4Addr, u16)) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(macs.0, macs.1).ipv4(from.octets(), to.0.octets(), 64);
    frame!(builder.tcp(5_556, to.1, 1, 1_024).syn(), &[])
}

fn tagged(macs: (Mac, Mac), tag: u16, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(macs.0, macs.1)
        .single_vlan(VlanId::try_new(tag).unwrap())
        .ipv4(from.octets(), to.octets(), 64);
    frame!(builder.udp(5_555, CONTROL), HOSTILE)
}

/// To every IPv6 node of the link, from the address that `mac` has by itself.
fn ipv6(mac: Mac) -> Vec<u8> {
    let mut from = [0; 16];
    from[..2].copy_from_slice(&[0xfe, 0x80]);
    from[8..].copy_from_slice(&[
        mac[0] ^ 2,
        mac[1],
        mac[2],
        0xff,
        0xfe,
        mac[3],
        mac[4],
        mac[5],
    ]);
    let mut to = [0; 16];
    (to[0], to[1], to[15]) = (0xff, 2, 1);
    let all = [0x33, 0x33, 0, 0, 0, 1];
    let builder = PacketBuilder::ethernet2(mac, all).ipv6(from, to, 64);
    frame!(builder.udp(5_555, CONTROL), HOSTILE)
}

/// ARP to everybody: `operation` 1 asks who has `about`, 2 says that `sender` does.
fn arp(mac: Mac, operation: u8, sender: Ipv4Addr, about: Ipv4Addr) -> Vec<u8> {
    let head = [8, 6, 0, 1, 8, 0, 6, 4, 0, operation];
    let sender = sender.octets();
    let (nobody, about) = ([0; 6], about.octets());
    let parts: [&[u8]; 8] = [
        &EVERYBODY, &mac, &head, &mac, &sender, &nobody, &about, &[0; 18],
    ];
    parts.concat()
}

/// The honest packet itself, and no ICMP error about it.
fn is_fence(frame: &[u8]) -> bool {
    frame.ends_with(FENCE) && frame.get(23) == Some(&17)
}

fn hostile(frames: &[Vec<u8>]) -> usize {
    frames
        .iter()
        .filter(|frame| frame.ends_with(HOSTILE))
        .count()
}

/// A lab whose kernel speaks IPv6 where nobody forbids it, with two routed services: a hostile one
/// that may do as much as any, and one with the console's port.
struct Siege {
    lab: Lab,
    manager: Manager,
    /// The hostile service's own link.
    rogue: Tap,
    victim: Tap,
    host: Tap,
    internet: Tap,
    /// From the hostile service to the gateway.
    path: (Mac, Mac),
    fence_port: Cell<u16>,
}

impl Siege {
    fn new() -> Siege {
        let mut lab = Lab::bare(Wan::Static);
        for scope in ["all", "default"] {
            let setting = format!("net.ipv6.conf.{scope}.disable_ipv6=0");
            let done = lab.run(Side::Gateway, &["sysctl", "-q", &setting]);
            assert!(done.status.success(), "{}", text(&done.stderr));
        }
        lab.plug_lan();
        lab.plug_wan();
        lab.start();
        lab.until_pings(Side::Lan, "203.0.113.1");
        let mut manager = Manager::connect(&lab);
        manager.attach(0, routed(0, NetworkPolicy::Wan));
        manager.attach(1, routed(1, NetworkPolicy::Lan));
        manager.forward(tcp(1, Zone::Lan, 80, 80));
        manager.forward(Forward {
            transport: Transport::Udp,
            ..tcp(1, Zone::Lan, 80, 80)
        });
        let rogue = Tap::open(&lab.namespace_of_service(0), "eth0");
        let path = (rogue.hardware, lab.hardware("sv0"));
        let siege = Siege {
            victim: Tap::open(&lab.namespace_of_service(1), "eth0"),
            host: Tap::open(&lab.namespace_of(Side::Lan), "l0"),
            internet: Tap::open(&lab.namespace_of(Side::Wan), "w0"),
            lab,
            manager,
            rogue,
            path,
            fence_port: Cell::new(4_100),
        };
        // Both ends of each way know each other before anybody listens.
        siege.fences();
        siege
    }

    /// What the home, the Internet and the victim have seen before an honest packet came.
    fn fences(&self) -> [Vec<Vec<u8>>; 3] {
        // Another port each time: a flow that lasts passes by the fast path, and others on its way.
        let port = self.fence_port.get() + 1;
        self.fence_port.set(port);
        for to in [HOST, INTERNET] {
            self.rogue.send(&udp(self.path, ROGUE, (to, port), FENCE));
        }
        let macs = (self.host.hardware, self.lab.hardware("br-lan"));
        self.host.send(&udp(macs, HOST, (GATEWAY, 80), FENCE));
        [&self.host, &self.internet, &self.victim].map(|tap| tap.until(is_fence))
    }
}

/// The gateway's own sockets, which hear of nobody.
struct Sockets {
    udp: UdpSocket,
    udp6: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    fn open(lab: &Lab) -> Sockets {
        within(&lab.namespace_of(Side::Gateway), || {
            // Linux takes IPv4 on an IPv6 socket too, so that each has its own port.
            let sockets = Sockets {
                udp: UdpSocket::bind(("0.0.0.0", CONTROL)).unwrap(),
                udp6: UdpSocket::bind(("::", CONTROL + 1)).unwrap(),
                tcp: TcpListener::bind(("0.0.0.0", CONTROL)).unwrap(),
            };
            sockets.udp.set_nonblocking(true).unwrap();
            sockets.udp6.set_nonblocking(true).unwrap();
            sockets.tcp.set_nonblocking(true).unwrap();
            sockets
        })
    }

    #[track_caller]
    fn have_heard_nothing(&self) {
        for socket in [&self.udp, &self.udp6] {
            let heard = socket.recv_from(&mut [0; 100]);
            assert_eq!(heard.map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
        }
        let heard = self.tcp.accept().map(|(_, from)| from);
        assert_eq!(heard.map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
    }
}

#[test]
fn a_service_sends_as_itself_or_not_at_all() {
    // given a service whose root makes its own frames
    let siege = Siege::new();
    let nobody = [
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::BROADCAST,
    ];
    let others = [VICTIM, ROUTER, GATEWAY, HOST, WAN_ADDRESS, INTERNET];
    let targets = [(HOST, 4_001), (INTERNET, 4_001), (GATEWAY, 80)];
    // when it sends as another, by address or by hardware address
    for to in targets {
        for from in nobody.into_iter().chain(others) {
            siege.rogue.send(&udp(siege.path, from, to, HOSTILE));
        }
        for mac in [
            siege.victim.hardware,
            siege.host.hardware,
            siege.path.1,
            EVERYBODY,
        ] {
            let macs = (mac, siege.path.1);
            siege.rogue.send(&udp(macs, ROGUE, to, HOSTILE));
        }
    }
    // then nobody sees anything of it, but what it sends as itself, and each is counted
    assert_eq!(siege.fences().map(|seen| hostile(&seen)), [0, 0, 0]);
    siege.lab.until_counted(&[
        "sv0 guard_source_frames=27",
        "sv0 guard_hardware_address_frames=12",
    ]);
}

#[test]
fn a_service_speaks_ipv4_without_a_tag_and_nothing_else() {
    // given sockets of the gateway's own on every address and protocol
    let siege = Siege::new();
    let sockets = Sockets::open(&siege.lab);
    let neighbours = || {
        let shown = siege
            .lab
            .run(Side::Gateway, &["ip", "neigh", "show", "dev", "sv0"]);
        text(&shown.stdout)
    };
    let before = neighbours();
    assert!(before.contains("PERMANENT"), "{before}");
    // when it hides packets behind a VLAN tag, 0 above all, which the kernel takes for none
    for tag in [0, 5] {
        for to in [
            ROUTER,
            GATEWAY,
            WAN_ADDRESS,
            HOST,
            INTERNET,
            Ipv4Addr::BROADCAST,
        ] {
            siege.rogue.send(&tagged(siege.path, tag, ROGUE, to));
        }
    }
    // or speaks IPv6 to whoever hears
    siege.rogue.send(&ipv6(siege.path.0));
    // or claims other's addresses, or asks for them
    for claimed in [ROUTER, VICTIM, GATEWAY, HOST, ROGUE] {
        siege.rogue.send(&arp(siege.path.0, 2, claimed, claimed));
        siege.rogue.send(&arp(siege.path.0, 1, ROGUE, claimed));
    }
    // then nobody has heard it, nobody answers, nobody believes it, and each is counted
    assert_eq!(siege.fences().map(|seen| hostile(&seen)), [0, 0, 0]);
    sockets.have_heard_nothing();
    assert_eq!(neighbours(), before);
    siege.rogue.send(&udp(
        siege.path,
        ROGUE,
        (INTERNET, 4_000),
        b"is there an answer",
    ));
    let answers = siege.rogue.until(|frame| frame.get(23) == Some(&1));
    assert_eq!(answers, Vec::<Vec<u8>>::new(), "but for the closed port");
    siege
        .lab
        .until_counted(&["sv0 guard_tagged_frames=12", "sv0 guard_protocol_frames=11"]);
    // and the gateway itself has no IPv6 address that it could be spoken to by, there or elsewhere
    let shown = siege
        .lab
        .run(Side::Gateway, &["ip", "-6", "-br", "address", "show"]);
    let shown = text(&shown.stdout);
    assert!(shown.lines().all(|line| line.starts_with("lo ")), "{shown}");
}

#[test]
fn behind_a_tag_or_by_ipv6_nobody_passes_by_the_policy() {
    // given the gateway's own sockets
    let siege = Siege::new();
    let sockets = Sockets::open(&siege.lab);
    // when the Internet, or the home, sends to them behind a priority tag, or by IPv6
    for (tap, from, port) in [
        (&siege.internet, INTERNET, "eth1"),
        (&siege.host, HOST, "br-lan"),
    ] {
        let macs = (tap.hardware, siege.lab.hardware(port));
        for to in [WAN_ADDRESS, GATEWAY, Ipv4Addr::BROADCAST] {
            tap.send(&tagged(macs, 0, from, to));
        }
        tap.send(&ipv6(tap.hardware));
    }
    // then the kernel has not delivered it
    siege.fences();
    sockets.have_heard_nothing();
    siege.lab.until_counted(&[
        "ports guard_tagged_frames=6",
        "ports guard_protocol_frames=2",
    ]);
}

#[test]
fn a_service_reaches_neither_the_gateway_nor_another_service() {
    // given the gateway's own sockets, and a console
    let siege = Siege::new();
    let sockets = Sockets::open(&siege.lab);
    // when a service that may open connections to the Internet tries all of the gateway's addresses
    let nobody = [
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(224, 0, 0, 1),
    ];
    let edge = Ipv4Addr::new(10, 213, 3, 255);
    let gateway = [GATEWAY, ROUTER, WAN_ADDRESS];
    for to in nobody.into_iter().chain(gateway).chain([edge, VICTIM]) {
        for port in [CONTROL, 80] {
            // also straight to the other service's hardware address
            for mac in [siege.path.1, siege.victim.hardware, EVERYBODY] {
                let macs = (siege.path.0, mac);
                siege.rogue.send(&udp(macs, ROGUE, (to, port), HOSTILE));
                siege.rogue.send(&syn(macs, ROGUE, (to, port)));
            }
        }
    }
    // then neither a socket of the gateway nor the console has heard it
    let [_, _, victim] = siege.fences();
    assert_eq!(victim, Vec::<Vec<u8>>::new());
    sockets.have_heard_nothing();
    // and each was refused by the policy: three addresses, and two of the services
    siege.lab.until_counted(&[
        "service_to_gateway_packets=36",
        "service_to_service_packets=24",
    ]);
}

#[test]
fn a_service_hears_nobody_else() {
    // given a service that listens to all that its link brings
    let mut siege = Siege::new();
    siege.fences();
    std::fs::create_dir(siege.lab.path("files")).unwrap();
    std::fs::write(siege.lab.path("files/index.html"), "files").unwrap();
    serve(&mut siege.lab, Side::Wan, "files");
    serve(&mut siege.lab, Side::Lan, "files");
    // when another service, and the home, talk to the home and to the Internet
    for url in ["http://203.0.113.1/", "http://192.168.1.50/"] {
        let got = fetch(siege.lab.in_service(0, &["curl", "-sS", url]), 5);
        assert_eq!(got, page("files"));
    }
    let words = ["curl", "-sS", "http://203.0.113.1/"];
    assert_eq!(
        fetch(siege.lab.command(Side::Lan, &words), 5),
        page("files")
    );
    // then it hears nothing of it
    let [_, _, victim] = siege.fences();
    assert_eq!(victim, Vec::<Vec<u8>>::new());
}

#[test]
fn policies_hold_for_every_kind_of_link() {
    let mut siege = Siege::new();
    std::fs::create_dir(siege.lab.path("files")).unwrap();
    std::fs::write(siege.lab.path("files/index.html"), "files").unwrap();
    serve(&mut siege.lab, Side::Wan, "files");
    serve(&mut siege.lab, Side::Lan, "files");
    for (policy, home, internet) in [
        (NetworkPolicy::None, false, false),
        (NetworkPolicy::Lan, true, false),
        (NetworkPolicy::Wan, true, true),
    ] {
        // given a service with a policy
        siege.manager.attach(0, routed(0, policy));
        let link = Link::Bridged {
            address: BRIDGED,
            prefix: 24,
            policy,
        };
        siege.manager.attach(2, link);
        // when it connects, then it gets through as the policy says, and is told so where it does not;
        // a bridged one is a host of the home whatever it says
        for (number, home) in [(0, home), (2, true)] {
            for (url, may) in [
                ("http://192.168.1.50/", home),
                ("http://203.0.113.1/", internet),
            ] {
                let got = fetch(siege.lab.in_service(number, &["curl", "-sS", url]), 5);
                let expected = if may {
                    page("files")
                } else {
                    super::support::peers::Fetched::Refused
                };
                assert_eq!(got, expected, "{policy:?} {number} {url}");
            }
        }
    }
}

#[test]
fn a_bridged_service_is_one_honest_host_of_the_home() {
    // given two bridged services, of which the first is hostile
    let mut siege = Siege::new();
    for (number, address) in [(2, BRIDGED), (3, NEIGHBOUR)] {
        let link = Link::Bridged {
            address,
            prefix: 24,
            policy: NetworkPolicy::Lan,
        };
        siege.manager.attach(number, link);
    }
    let lab = &siege.lab;
    let (rogue, neighbour) = (
        Tap::open(&lab.namespace_of_service(2), "eth0"),
        Tap::open(&lab.namespace_of_service(3), "eth0"),
    );
    let sockets = Sockets::open(lab);
    let (own, bridge, host) = (rogue.hardware, lab.hardware("br-lan"), siege.host.hardware);
    lab.until_pings(Side::Lan, "192.168.1.2");
    lab.until_pings(Side::Lan, "192.168.1.3");

    // when it sends as another host of the home, by address, hardware address or ARP
    let mut sent = 0;
    for from in [
        HOST,
        GATEWAY,
        NEIGHBOUR,
        Ipv4Addr::new(192, 168, 1, 77),
        INTERNET,
        ROGUE,
    ] {
        for (mac, to) in [(host, HOST), (bridge, INTERNET), (bridge, GATEWAY)] {
            rogue.send(&udp((own, mac), from, (to, 80), HOSTILE));
            sent += 1;
        }
    }
    for mac in [host, bridge, neighbour.hardware] {
        rogue.send(&udp((mac, host), BRIDGED, (HOST, 4_001), HOSTILE));
    }
    for claimed in [GATEWAY, HOST, NEIGHBOUR] {
        rogue.send(&arp(own, 2, claimed, claimed));
        rogue.send(&arp(own, 1, claimed, HOST));
    }
    rogue.send(&arp(host, 2, BRIDGED, BRIDGED));
    // or by another protocol, or behind a tag
    rogue.send(&ipv6(own));
    for to in [GATEWAY, HOST] {
        rogue.send(&tagged((own, bridge), 0, BRIDGED, to));
    }
    // or as itself, but to the gateway's own sockets, the console, other services, the Internet
    for to in [GATEWAY, WAN_ADDRESS, ROUTER, VICTIM, INTERNET] {
        for port in [CONTROL, 80] {
            rogue.send(&udp((own, bridge), BRIDGED, (to, port), HOSTILE));
            rogue.send(&syn((own, bridge), BRIDGED, (to, port)));
        }
    }
    // or to the other bridged service, and to everybody
    for mac in [neighbour.hardware, EVERYBODY] {
        rogue.send(&udp((own, mac), BRIDGED, (NEIGHBOUR, 80), HOSTILE));
    }

    // then what others have seen of it is its broadcast in the home, to which it belongs
    let [seen, internet, victim] = siege.fences();
    assert_eq!(
        [hostile(&seen), hostile(&internet), hostile(&victim)],
        [1, 0, 0]
    );
    siege.host.send(&udp(
        (host, neighbour.hardware),
        HOST,
        (NEIGHBOUR, 80),
        FENCE,
    ));
    let heard = neighbour.until(is_fence);
    assert!(
        heard.iter().all(|frame| frame[6..12] != own),
        "{heard:02x?}"
    );
    sockets.have_heard_nothing();
    lab.until_counted(&[
        &format!("sv2 guard_source_frames={sent}"),
        "sv2 guard_hardware_address_frames=4",
        "sv2 guard_arp_frames=6",
        "sv2 guard_protocol_frames=1",
        "sv2 guard_tagged_frames=2",
    ]);

    // and the home believes the gateway to be where it is, and the service cannot be displaced
    let shown = lab.run(Side::Lan, &["ip", "neigh", "show", "192.168.1.1"]);
    let expected = bridge.map(|byte| format!("{byte:02x}")).join(":");
    assert!(
        text(&shown.stdout).contains(&expected),
        "{}",
        text(&shown.stdout)
    );
    siege
        .host
        .send(&udp((own, bridge), HOST, (GATEWAY, 4_000), HOSTILE));
    lab.until_pings(Side::Gateway, "192.168.1.2");

    // and the gateway asks it questions and gets the answers
    let answer = within(&lab.namespace_of(Side::Gateway), || {
        let asks = UdpSocket::bind(("192.168.1.1", 61_010)).unwrap();
        asks.send_to(b"question", (BRIDGED, 53)).unwrap();
        asks
    });
    rogue.until(|frame| frame.ends_with(b"question"));
    rogue.send(&udp((own, bridge), BRIDGED, (GATEWAY, 61_010), b"answer"));
    answer
        .set_read_timeout(Some(super::support::lab::PATIENCE))
        .unwrap();
    let mut bytes = [0; 20];
    assert_eq!(answer.recv(&mut bytes).unwrap(), b"answer".len());
}
