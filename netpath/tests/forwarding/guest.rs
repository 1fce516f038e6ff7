//! Guests: the Internet and their resolver, and nothing of the home, its services or the gateway.

use super::support::lab::{Lab, Side, text};
use super::support::manager::{Manager, routed, tcp};
use super::support::peers::{Fetched, fetch, fetch_from, page, serve, serve_page};
use super::support::tap::within;
use hearth_model::protocol::{
    ForwardTarget, FromNetpath, HouseholdForward, Link, NetworkPolicy, ToNetpath, Transport,
    WanPorts, Zone,
};
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

fn pings(lab: &Lab, from: Side, to: &str) -> bool {
    let ping = ["ping", "-n", "-c", "1", "-W", "1", to];
    lab.run(from, &ping).status.success()
}

#[test]
fn a_guest_has_the_internet_and_nothing_else() {
    // given a page of the Internet, one of a home host that is forwarded, and one of a service
    let mut lab = Lab::with_guest();
    let mut manager = Manager::connect(&lab);
    manager.attach(0, routed(0, NetworkPolicy::Wan));
    let _page = serve_page(&mut lab, 0, "service");
    manager.forward(tcp(0, Zone::Lan, 8080, 80));
    manager.forward(tcp(0, Zone::Wan, 8081, 80));
    fs::create_dir(lab.path("files")).unwrap();
    fs::write(lab.path("files/index.html"), "files").unwrap();
    for side in [Side::Wan, Side::Lan, Side::Guest] {
        serve(&mut lab, side, "files");
    }
    let ports = WanPorts {
        transport: Transport::Tcp,
        first: 8082,
        last: 8082,
    };
    let forward = ToNetpath::OpenPorts(HouseholdForward {
        ports,
        to: ForwardTarget::Host(Ipv4Addr::new(192, 168, 1, 50)),
        to_port: 80,
    });
    assert_eq!(manager.ask(&forward), FromNetpath::PortsOpened(ports));
    for url in ["http://203.0.113.50:8081/", "http://203.0.113.50:8082/"] {
        let got = fetch_from(&lab, Side::Wan, url, 5);
        assert!(matches!(got, Fetched::Page(_)), "{url}");
    }
    // and a socket of the gateway's own
    let socket = within(&lab.namespace_of(Side::Gateway), || {
        let socket = TcpListener::bind(("0.0.0.0", 7_777)).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    });

    // then a guest has the Internet, and an echo of its gateway
    let got = fetch_from(&lab, Side::Guest, "http://203.0.113.1/", 5);
    assert_eq!(got, page("files"));
    lab.until_pings(Side::Guest, "192.168.2.1");
    // and neither the home, nor a service, nor the gateway, whatever address it takes for it
    for url in [
        "http://192.168.1.50/",
        "http://192.168.1.1:8080/",
        "http://192.168.1.1:7777/",
        "http://192.168.2.1:8080/",
        "http://192.168.2.1:7777/",
        "http://10.213.0.1:7777/",
        "http://10.213.0.2/",
        "http://203.0.113.50:8081/",
        "http://203.0.113.50:8082/",
        "http://203.0.113.50:7777/",
    ] {
        let got = fetch_from(&lab, Side::Guest, url, 5);
        assert_eq!(got, Fetched::Refused, "{url}");
    }
    for to in ["192.168.1.50", "192.168.1.1", "10.213.0.2", "203.0.113.50"] {
        assert!(!pings(&lab, Side::Guest, to), "{to}");
    }
    let heard = socket.accept().map(|(_, from)| from);
    assert_eq!(heard.map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
    // and the home and services do not see guests
    let url = "http://192.168.2.50/";
    assert_eq!(fetch_from(&lab, Side::Lan, url, 5), Fetched::Refused);
    let curl = lab.in_service(0, &["curl", "-sS", url]);
    assert_eq!(fetch(curl, 5), Fetched::Refused);
    assert!(!pings(&lab, Side::Lan, "192.168.2.50"));
    assert!(!pings(&lab, Side::Lan, "192.168.2.1"));
    lab.until_counted(&[
        "guest_to_home_packets=4",
        "guest_to_gateway_packets=10",
        "to_guest_packets=4",
    ]);
    // and what lasts passes by the program, also from there
    let server = lab.spawn(Side::Wan, &["iperf3", "-s", "--logfile", "/dev/null"]);
    lab.keep(server);
    lab.until_listens(Side::Wan, "tcp", 5201);
    let [_, before, _] = lab.fast_path();
    lab.until("iperf3", || {
        let done = lab.run(Side::Guest, &["iperf3", "-c", "203.0.113.1", "-t", "1"]);
        done.status.success()
    });
    let [_, after, _] = lab.fast_path();
    assert!(after > before + 100, "{before} {after}");
    // and it comes back with its gateway
    lab.kill();
    lab.start();
    lab.until_pings(Side::Guest, "203.0.113.1");
}

#[test]
fn the_guests_resolver_is_a_host_among_them_alone() {
    // given two bridged services: one of the home, and one of the guests
    let mut lab = Lab::with_guest();
    let mut manager = Manager::connect(&lab);
    for (number, third) in [(0, 1), (1, 2)] {
        let link = Link::Bridged {
            address: Ipv4Addr::new(192, 168, third, 2),
            prefix: 24,
            policy: NetworkPolicy::Wan,
        };
        manager.attach(number, link);
    }
    let _homes = serve_page(&mut lab, 0, "of the home");
    let _guests = serve_page(&mut lab, 1, "of the guests");
    // then each side has its own, and not the other one
    for (side, own, other, said) in [
        (Side::Lan, "192.168.1.2", "192.168.2.2", "of the home"),
        (Side::Guest, "192.168.2.2", "192.168.1.2", "of the guests"),
    ] {
        let url = |host| format!("http://{host}/");
        assert_eq!(fetch_from(&lab, side, &url(own), 5), page(said));
        assert_eq!(fetch_from(&lab, side, &url(other), 5), Fetched::Refused);
    }
    // and both have the Internet, and not each other
    serve(&mut lab, Side::Wan, "of the home");
    for (number, other) in [(0, "http://192.168.2.2/"), (1, "http://192.168.1.2/")] {
        let curl = |url| fetch(lab.in_service(number, &["curl", "-sS", url]), 5);
        assert_eq!(curl("http://203.0.113.1/"), page("of the home"));
        assert_eq!(curl(other), Fetched::Refused);
    }
    // and the guests' bridge has their port and their resolver alone
    let words = ["ip", "-br", "link", "show", "master", "br-guest"];
    let shown = text(&lab.run(Side::Gateway, &words).stdout);
    let first = |line: &str| line.split(['@', ' ']).next().unwrap_or_default().to_owned();
    let mut names: Vec<String> = shown.lines().map(first).collect();
    names.sort();
    assert_eq!(names, ["eth2", "sv1"]);
}
