//! The Internet's side gives another address while connections live.

use super::support::lab::{Lab, PATIENCE, Running, Side, Wan, text};
use super::support::manager::{Manager, routed, tcp};
use super::support::peers::{Conversation, ECHO_SERVER, ping, waiting_client};
use super::support::sniffer::{Note, Sniffer};
use hearth_model::protocol::{NetworkPolicy, WanEvent, Zone};
use std::fs;

/// An echo server in the Internet, until the lab ends.
fn serve_echo(lab: &mut Lab) {
    let server = lab.spawn(Side::Wan, &["python3", "-c", ECHO_SERVER, "7"]);
    lab.keep(server);
    lab.until_listens(Side::Wan, "tcp", 7);
}

/// A home with a leased address, an echo server in the Internet, and who gives the lease.
fn leased_home() -> (Lab, Running) {
    let mut lab = Lab::bare(Wan::Dhcp);
    lab.plug_lan();
    lab.plug_wan();
    let server = lab.address_server("203.0.113.100,203.0.113.109");
    lab.start();
    lab.until_pings(Side::Lan, "203.0.113.1");
    serve_echo(&mut lab);
    (lab, server)
}

/// Checks that a client was reset by nobody's doing but the gateway's, and has connected anew at once.
#[track_caller]
fn is_reset_and_connects_anew(lab: &Lab, client: &Conversation) {
    for expected in ["reset", "connected again"] {
        assert_eq!(
            client.hear(PATIENCE).as_deref(),
            Some(expected),
            "{}",
            lab.log()
        );
    }
}

#[test]
fn another_lease_ends_the_connections_of_the_old_one_at_once() {
    // given connections by a leased address: two of the home, one that talks and one that waits, and one of the
    // Internet to a service
    let (mut lab, first) = leased_home();
    let mut manager = Manager::connect(&lab);
    manager.attach(0, routed(0, NetworkPolicy::None));
    manager.forward(tcp(0, Zone::Wan, 8443, 7));
    let _inside =
        super::support::lab::spawn(&mut lab.in_service(0, &["python3", "-c", ECHO_SERVER, "7"]));
    lab.until("echo server inside", || {
        let words = ["ss", "-Hlnt"];
        !lab.in_service(0, &words)
            .output()
            .unwrap()
            .stdout
            .is_empty()
    });
    manager.until_wan(true);
    let old = manager.wan.lease.unwrap().address;
    let mut talking = Conversation::open(&lab, Side::Lan, "203.0.113.1", "7");
    let waiting = waiting_client(&lab, Side::Lan, "203.0.113.1", "7");
    let mut visitor = Conversation::open(&lab, Side::Wan, &old.to_string(), "8443");
    for talk in [&mut talking, &mut visitor] {
        talk.say("before");
        assert_eq!(talk.hear(PATIENCE).as_deref(), Some("before"));
    }
    assert!(lab.fast_path()[0] > 0, "flows are carried");

    // when the server is another one, which gives other addresses and refuses to prolong the old one
    let mut all = Sniffer::start(&lab, Note::All);
    drop(first);
    let second = lab.address_server("203.0.113.130,203.0.113.139");
    lab.keep(second);
    let event = manager.next_event();
    // then it is told: from where to where, and what has ended
    let WanEvent::Readdressed {
        from,
        to,
        connections,
        others: _,
    } = event;
    assert_eq!((from, connections), (old, 3));
    assert_eq!(manager.wan.lease.unwrap().address, to);
    assert_eq!(to.octets()[..3], [203, 0, 113]);
    assert!((130..140).contains(&to.octets()[3]), "{to}");
    // and who waited in silence was reset, and is connected again by the new address
    is_reset_and_connects_anew(&lab, &waiting);
    // and so is everybody who says something
    talking.say("after");
    assert_eq!(talking.hear(PATIENCE), None);
    // and nothing left by the old address any more
    let lines = all.lines();
    let first_new = lines
        .iter()
        .position(|line| line.starts_with(&format!("{to} ")));
    let by_old = format!("{old} ");
    let later = &lines[first_new.unwrap()..];
    assert!(
        !later.iter().any(|line| line.starts_with(&by_old)),
        "{later:#?}"
    );
    // and a new connection goes by the new one
    let mut again = Conversation::open(&lab, Side::Lan, "203.0.113.1", "7");
    again.say("again");
    assert_eq!(again.hear(PATIENCE).as_deref(), Some("again"));
    assert_eq!(lab.addresses("eth1"), format!("{to}/24"));
}

#[test]
fn another_configured_address_ends_the_connections_of_the_run_before() {
    // given connections by a configured address, one of them carried by the fast path
    let mut lab = Lab::new(Wan::Static);
    serve_echo(&mut lab);
    let mut talking = Conversation::open(&lab, Side::Lan, "203.0.113.1", "7");
    for word in ["one", "two", "three"] {
        talking.say(word);
        assert_eq!(talking.hear(PATIENCE).as_deref(), Some(word));
    }
    let waiting = waiting_client(&lab, Side::Lan, "203.0.113.1", "7");
    assert_eq!(lab.fast_path()[0], 2);
    // when the household changes it, and the program starts again
    lab.kill();
    let path = lab.path("gateway.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(".113.50", ".113.51")).unwrap();
    lab.start();
    // then both are reset, and nothing is carried by the old address
    is_reset_and_connects_anew(&lab, &waiting);
    talking.say("four");
    assert_eq!(talking.hear(PATIENCE), None);
    assert_eq!(lab.addresses("eth1"), "203.0.113.51/24");
    let log = lab.log();
    let told = "wan: the address was 203.0.113.50 and is 203.0.113.51; 2 connections and 0 other flows end";
    assert!(log.contains(told), "{log}");
}

#[test]
fn behind_the_cable_may_be_another_network() {
    // given a connection, and a home that is served by one provider
    let (mut lab, first) = leased_home();
    let mut manager = Manager::connect(&lab);
    manager.until_wan(true);
    let waiting = waiting_client(&lab, Side::Lan, "203.0.113.1", "7");
    // when the cable is out, then the connection waits
    lab.ip_batch(Side::Wan, "link set w0 down");
    manager.until_wan(false);
    drop(first);
    // when it is in again, and another provider is there, whose hosts are reached by its router
    lab.ip_batch(
        Side::Wan,
        "address del 203.0.113.1/24 dev w0\naddress add 198.51.100.1/24 dev w0\n\
         address add 203.0.113.1/32 dev lo\nlink set w0 up",
    );
    let second = lab.address_server("198.51.100.100,198.51.100.109");
    lab.keep(second);
    manager.until_wan(true);
    // then it is told, and the connection is reset and made anew
    let event = manager.next_event();
    let WanEvent::Readdressed {
        to, connections, ..
    } = event;
    assert_eq!(
        (to.octets()[..3].to_vec(), connections),
        (vec![198, 51, 100], 1)
    );
    is_reset_and_connects_anew(&lab, &waiting);
    // and the route is the new router's
    let routes = text(&lab.run(Side::Gateway, &["ip", "route"]).stdout);
    assert!(
        routes.contains("default via 198.51.100.1 dev eth1"),
        "{routes}"
    );
    assert!(!routes.contains("203.0.113"), "{routes}");
    let said = ping(&lab, Side::Lan, &["203.0.113.1"]);
    assert!(said.contains("1 received"), "{said}");
}

#[test]
fn a_new_address_is_announced_to_the_link() {
    // given a router that knows another device by the address, and nobody who talks
    let mut lab = Lab::bare(Wan::Static);
    lab.plug_lan();
    lab.plug_wan();
    lab.ip_batch(
        Side::Wan,
        "neigh replace 203.0.113.50 lladdr 02:00:00:00:00:99 dev w0 nud stale",
    );
    // when the gateway takes the address, then the router knows its port
    lab.start();
    lab.until("announcement", || {
        let known = text(
            &lab.run(Side::Wan, &["ip", "neigh", "show", "203.0.113.50"])
                .stdout,
        );
        known.contains("fe:ff:ff:ff:ff:ff")
    });
}
