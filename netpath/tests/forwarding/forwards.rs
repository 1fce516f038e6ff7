//! The household's port-forwards between real programs, and addresses that lie.

use super::support::lab::{Lab, PATIENCE, Side, Wan, spawn, text};
use super::support::manager::{Manager, routed, service, tcp};
use super::support::peers::{
    Conversation, ECHO_SERVER, Fetched, fetch_from, page, serve, serve_page,
};
use super::support::tap::Tap;
use etherparse::PacketBuilder;
use hearth_model::protocol::{
    ForwardTarget, FromNetpath, HouseholdForward, NetRefusal, NetworkPolicy, ToNetpath, Transport,
    WanPorts, Zone,
};
use std::fs;
use std::net::Ipv4Addr;
use std::process::Stdio;

const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 50);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);
const WAN_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 50);
/// What is in packets whose source is a lie.
const LIE: &[u8] = b"a lie";
const INTERNET: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// A port of the WAN's address for a host or a service.
fn to(first: u16, to: ForwardTarget, to_port: u16) -> HouseholdForward {
    HouseholdForward {
        ports: WanPorts {
            transport: Transport::Tcp,
            first,
            last: first,
        },
        to,
        to_port,
    }
}

/// Opens them as a manager does that has been greeted.
fn open(manager: &mut Manager, forwards: &[HouseholdForward]) {
    for forward in forwards {
        let answer = manager.ask(&ToNetpath::OpenPorts(*forward));
        assert_eq!(answer, FromNetpath::PortsOpened(forward.ports));
    }
    let answer = manager.ask(&ToNetpath::SettlePorts);
    assert_eq!(answer, FromNetpath::PortsSettled);
}

/// Tells every connection from where it sees it coming.
const MIRROR: &str = r#"
import socketserver, sys
class Mirror(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(self.client_address[0].encode())
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
Server(("", int(sys.argv[1])), Mirror).serve_forever()
"#;

const ASK_MIRROR: &str = r#"
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
print(s.makefile().read())
"#;

/// As whom a mirror there sees a side.
fn seen(lab: &Lab, from: Side, host: &str, port: &str) -> String {
    let done = lab.run(from, &["python3", "-c", ASK_MIRROR, host, port]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    text(&done.stdout).trim().to_owned()
}

#[test]
fn the_internet_and_the_home_reach_a_host_and_a_service_by_the_wan_address() {
    // given a mirror on a home host, one in a service, and a port of the WAN for each
    let mut lab = Lab::new(Wan::Static);
    let mut manager = Manager::connect(&lab);
    manager.attach(0, routed(0, NetworkPolicy::None));
    let server = lab.spawn(Side::Lan, &["python3", "-c", MIRROR, "7000"]);
    lab.keep(server);
    lab.until_listens(Side::Lan, "tcp", 7_000);
    let server = spawn(
        lab.in_service(0, &["python3", "-c", MIRROR, "7000"])
            .stdout(Stdio::null()),
    );
    lab.keep(server);
    lab.until("mirror in the service", || {
        let words = ["ss", "-Hlnt", "sport = :7000"];
        !lab.in_service(0, &words)
            .output()
            .unwrap()
            .stdout
            .is_empty()
    });
    let forwards = [
        to(8_000, ForwardTarget::Host(HOST), 7_000),
        to(8_001, ForwardTarget::Service(service(0)), 7_000),
    ];
    open(&mut manager, &forwards);
    // and a port that the service's own manifest opens to the Internet
    manager.forward(tcp(0, Zone::Wan, 8_002, 7_000));
    for port in ["8000", "8001", "8002"] {
        // when the Internet connects, then it is seen as itself
        assert_eq!(seen(&lab, Side::Wan, "203.0.113.50", port), "203.0.113.1");
        // and the home by the same address as from outside (RFC 4787 REQ-9)
        assert_eq!(seen(&lab, Side::Lan, "203.0.113.50", port), "203.0.113.50");
    }
    // and nothing else is open
    assert_eq!(
        fetch_from(&lab, Side::Wan, "http://203.0.113.50:7000/", 1),
        Fetched::Silence
    );

    // when a forward is removed, then it is silent, and the other stays
    let gone = forwards[0].ports;
    assert_eq!(
        manager.ask(&ToNetpath::ClosePorts(gone)),
        FromNetpath::PortsClosed(gone)
    );
    assert_eq!(
        fetch_from(&lab, Side::Wan, "http://203.0.113.50:8000/", 1),
        Fetched::Silence
    );
    assert_eq!(seen(&lab, Side::Wan, "203.0.113.50", "8001"), "203.0.113.1");
    // and what can not be is refused with its reason
    let answer = manager.ask(&ToNetpath::OpenPorts(to(
        8_002,
        ForwardTarget::Host(HOST),
        1,
    )));
    let reason = NetRefusal::PortTaken {
        port: 8_002,
        by: service(0),
    };
    let ports = to(8_002, ForwardTarget::Host(HOST), 1).ports;
    assert_eq!(answer, FromNetpath::PortsRefused { ports, reason });
}

#[test]
fn a_connection_by_a_forward_outlives_the_program_and_passes_by_it() {
    // given a conversation by a forward, in the fast path
    let mut lab = Lab::new(Wan::Static);
    let mut manager = Manager::connect(&lab);
    let echo = lab.spawn(Side::Lan, &["python3", "-c", ECHO_SERVER, "7"]);
    lab.keep(echo);
    lab.until_listens(Side::Lan, "tcp", 7);
    let forwards = [
        to(8_007, ForwardTarget::Host(HOST), 7),
        to(8_008, ForwardTarget::Host(HOST), 7),
    ];
    open(&mut manager, &forwards);
    let mut stays = Conversation::open(&lab, Side::Wan, "203.0.113.50", "8007");
    let mut ends = Conversation::open(&lab, Side::Wan, "203.0.113.50", "8008");
    for talk in [&mut stays, &mut ends] {
        talk.say("before");
        assert_eq!(talk.hear(PATIENCE), Some("before".to_owned()));
    }
    assert_eq!(lab.fast_path()[0], 2);
    // when the program is killed, then it goes on
    lab.kill();
    stays.say("meanwhile");
    assert_eq!(stays.hear(PATIENCE), Some("meanwhile".to_owned()));
    // when it is back, and the manager says one of the forwards again
    lab.start();
    let mut manager = Manager::connect(&lab);
    open(&mut manager, &forwards[..1]);
    // then that one is taken over, still in the fast path, and the other one ends in time
    stays.say("after");
    assert_eq!(
        stays.hear(PATIENCE),
        Some("after".to_owned()),
        "{}",
        lab.log()
    );
    assert_eq!(lab.fast_path()[0], 1);
    assert_eq!(
        fetch_from(&lab, Side::Wan, "http://203.0.113.50:8008/", 1),
        Fetched::Silence
    );
}

#[test]
fn a_forward_is_at_the_new_wan_address() {
    // given a forward, and a household whose address changes
    let mut lab = Lab::new(Wan::Static);
    fs::create_dir(lab.path("files")).unwrap();
    fs::write(lab.path("files/index.html"), "home").unwrap();
    serve(&mut lab, Side::Lan, "files");
    let forwards = [to(8_080, ForwardTarget::Host(HOST), 80)];
    open(&mut Manager::connect(&lab), &forwards);
    assert_eq!(
        fetch_from(&lab, Side::Wan, "http://203.0.113.50:8080/", 5),
        page("home")
    );
    lab.kill();
    let path = lab.path("gateway.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace(".113.50", ".113.51")).unwrap();
    // when it has another one, then the forward is there, for both sides
    lab.start();
    open(&mut Manager::connect(&lab), &forwards);
    for side in [Side::Wan, Side::Lan] {
        assert_eq!(
            fetch_from(&lab, side, "http://203.0.113.51:8080/", 5),
            page("home")
        );
    }
}

#[test]
fn addresses_that_lie_are_dropped_and_counted_by_reason() {
    // given both ends of the gateway, and everything that arrives at them
    let mut lab = Lab::new(Wan::Static);
    let mut manager = Manager::connect(&lab);
    manager.attach(0, routed(0, NetworkPolicy::Wan));
    let _page = serve_page(&mut lab, 0, "page");
    manager.forward(tcp(0, Zone::Lan, 80, 80));
    let home = Tap::open(&lab.namespace_of(Side::Lan), "l0");
    let internet = Tap::open(&lab.namespace_of(Side::Wan), "w0");
    let service_address = Ipv4Addr::new(10, 213, 0, 2);
    let lie = |tap: &Tap, port: &str, from: Ipv4Addr, to: Ipv4Addr| {
        let gateway = lab.hardware(port);
        let builder = PacketBuilder::ethernet2(tap.hardware, gateway)
            .ipv4(from.octets(), to.octets(), 64)
            .udp(5_555, 80);
        let mut frame = vec![0; builder.size(LIE.len())];
        builder.write_to_slice(&mut frame, LIE).unwrap();
        tap.send(&frame);
    };
    // when a host of the home sends as another network's, as a service, or as the gateway
    for from in [INTERNET, service_address, Ipv4Addr::new(10, 0, 0, 1)] {
        for to in [INTERNET, GATEWAY] {
            if from != to {
                lie(&home, "br-lan", from, to);
            }
        }
    }
    for from in [GATEWAY, WAN_ADDRESS, ROUTER] {
        for to in [INTERNET, GATEWAY, WAN_ADDRESS] {
            lie(&home, "br-lan", from, to);
        }
    }
    // when the Internet sends as a host of the home, as a service, or as the gateway
    for from in [HOST, service_address] {
        lie(&internet, "eth1", from, WAN_ADDRESS);
    }
    for from in [WAN_ADDRESS, GATEWAY, ROUTER] {
        lie(&internet, "eth1", from, WAN_ADDRESS);
    }
    // then each is counted by its reason
    lab.until_counted(&["reverse_path_packets=7", "land_attack_packets=12"]);
    // and nobody has seen any of it
    lab.until_pings(Side::Lan, "203.0.113.1");
    for tap in [&home, &internet] {
        let heard = tap.until(|frame| frame.get(23) == Some(&1));
        assert!(!heard.iter().any(|f| f.ends_with(LIE)), "{heard:02x?}");
    }
}

#[test]
fn what_would_show_an_inside_address_to_the_internet_is_counted() {
    // given a program of the gateway that speaks by its address in the home
    let lab = Lab::new(Wan::Static);
    let speaks = "import socket\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.bind(('192.168.1.1', 0))\n\
        for n in range(3):\n\
        \x20   try: s.sendto(b'x', ('203.0.113.1', 9))\n\
        \x20   except OSError: pass";
    let done = lab.run(Side::Gateway, &["python3", "-c", speaks]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    // then that does not leave, and is counted
    lab.until_counted(&["ports guard_inside_address_frames=3"]);
    // given a host of the home that has asked the Internet something, and then left
    let asked = "import socket\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.bind(('', 40008))\n\
        s.sendto(b'x', ('203.0.113.1', 9))";
    lab.run(Side::Lan, &["python3", "-c", asked]);
    lab.ip_batch(Side::Lan, "address del 192.168.1.50/24 dev l0");
    lab.ip_batch(Side::Gateway, "neigh flush dev br-lan");
    // when the Internet answers, then the kernel's complaint, which quotes the inside address, is too
    let answers = "import socket\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.bind(('', 9))\n\
        s.sendto(b'x', ('203.0.113.50', 40008))";
    lab.run(Side::Wan, &["python3", "-c", answers]);
    let failed = ["ip", "neigh", "show", "nud", "failed"];
    lab.until("failed search for the host", || {
        text(&lab.run(Side::Gateway, &failed).stdout).contains("192.168.1.50 ")
    });
    lab.until_counted(&["ports guard_inside_address_frames=4"]);
}
