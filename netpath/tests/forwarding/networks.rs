//! RFC 4787 REQ-7 with real peers: the Internet's side has a network of our own, which gets out of its way.

use super::support::lab::{Lab, Side, Wan, text};
use super::support::manager::{Manager, routed, service, tcp};
use super::support::peers::{Fetched, fetch_from, page, serve_page};
use hearth_model::gateway::GatewayConfig;
use hearth_model::networks::{Net, Networks, Resolved};
use hearth_model::protocol::{
    Link, NetRefusal, NetworkPolicy, NetworkShare, ToNetpath, WanStatus, Zone,
};
use std::fs;

/// What the manager does: keeps what the rule says, and tells the program. Returns the configuration after it.
fn make_way(lab: &Lab, manager: &mut Manager, offered: &WanStatus) -> GatewayConfig {
    let text = fs::read_to_string(lab.path("gateway.toml")).unwrap();
    let configured = GatewayConfig::parse("gateway.toml", &text).unwrap();
    let Resolved::Move(networks) = Networks::default().resolve(&configured, offered) else {
        panic!("nothing is in the way of {offered:?}");
    };
    fs::write(lab.path("networks.toml"), networks.to_text()).unwrap();
    manager.send(&ToNetpath::Renumber);
    lab.until("end", || lab.has_ended());
    networks.applied_to(&configured)
}

/// How often the home's host has seen its link go.
fn losses(lab: &Lab) -> u32 {
    let path = "/sys/class/net/l0/carrier_down_count";
    let said = text(&lab.run(Side::Lan, &["cat", path]).stdout);
    said.trim().parse().unwrap()
}

/// Fetches the page of the service at a port of the gateway.
fn fetched(lab: &Lab, url: &str) -> Fetched {
    fetch_from(lab, Side::Lan, url, 5)
}

#[test]
fn the_home_makes_way_for_an_internet_that_has_its_network() {
    // given an Internet whose network is the home's, and a gateway with a service
    let mut lab = Lab::bare(Wan::Dhcp);
    lab.plug_lan();
    lab.plug_wan();
    lab.ip_batch(
        Side::Wan,
        "address del 203.0.113.1/24 dev w0\naddress add 192.168.1.1/24 dev w0",
    );
    let server = lab.address_server("192.168.1.100,192.168.1.120");
    lab.keep(server);
    lab.start();
    let mut manager = Manager::connect(&lab);
    manager.attach(0, routed(0, NetworkPolicy::Wan));
    let forward = tcp(0, Zone::Lan, 8080, 80);
    manager.forward(forward);
    let _inside = serve_page(&mut lab, 0, "from-inside");
    let namespace = lab.namespace(0);
    // then its offer is told, and not taken, and the home is as it was
    let offered = manager.until_overlap();
    let lease = offered.lease.unwrap();
    assert_eq!(
        Net::of(lease.address, lease.prefix).to_string(),
        "192.168.1.0/24"
    );
    assert!(manager.wan.lease.is_none());
    lab.until("page", || {
        fetched(&lab, "http://192.168.1.1:8080/") == page("from-inside")
    });
    let before = losses(&lab);

    // when the manager has moved the home's network, and the program starts again
    let moved = make_way(&lab, &mut manager, &offered);
    assert_eq!(moved.lan.address.to_string(), "192.168.44.1");
    lab.start();
    let mut manager = Manager::connect(&lab);
    assert_eq!(manager.networks, moved.own_networks());

    // then the home's hosts see their link go and come, and ask again: they get addresses of the new one
    lab.until("loss of the link", || losses(&lab) > before);
    lab.ip_batch(
        Side::Lan,
        "address flush dev l0\naddress add 192.168.44.50/24 dev l0",
    );
    assert_eq!(lab.addresses("br-lan"), "192.168.44.1/24");
    lab.until("link", || {
        let path = "/sys/class/net/l0/carrier";
        text(&lab.run(Side::Lan, &["cat", path]).stdout).trim() == "1"
    });
    lab.ip_batch(Side::Lan, "route add default via 192.168.44.1");
    // and the offer is taken, and the home reaches the Internet that has its old network
    manager.until_wan(true);
    assert_eq!(lab.addresses("eth1").split('.').next(), Some("192"));
    lab.until_pings(Side::Lan, "192.168.1.1");
    // and the service is where it was, and reached by the gateway's new address
    manager.attach(0, routed(0, NetworkPolicy::Wan));
    manager.forward(forward);
    assert_eq!(lab.namespace(0), namespace);
    lab.until("page", || {
        fetched(&lab, "http://192.168.44.1:8080/") == page("from-inside")
    });
}

#[test]
fn the_services_make_way_and_nothing_of_their_old_addresses_stays() {
    // given an Internet whose network is in the services'
    let mut lab = Lab::bare(Wan::Dhcp);
    lab.plug_lan();
    lab.plug_wan();
    lab.ip_batch(
        Side::Wan,
        "address del 203.0.113.1/24 dev w0\naddress add 10.213.0.2/24 dev w0",
    );
    let server = lab.address_server("10.213.0.100,10.213.0.120");
    lab.keep(server);
    lab.start();
    let mut manager = Manager::connect(&lab);
    manager.attach(0, routed(0, NetworkPolicy::Wan));
    let routes = |lab: &Lab| text(&lab.run(Side::Gateway, &["ip", "route"]).stdout);
    assert!(
        routes(&lab).contains("10.213.0.2 dev sv0"),
        "{}",
        routes(&lab)
    );
    let offered = manager.until_overlap();
    // when they have moved, and the program starts again
    let losses_before = losses(&lab);
    let moved = make_way(&lab, &mut manager, &offered);
    let address = moved.service_address(service(0));
    assert_eq!(address.to_string(), "192.168.44.2");
    lab.start();
    let mut manager = Manager::connect(&lab);
    let policy = NetworkPolicy::Wan;
    manager.attach(0, Link::Routed { address, policy });
    // then the address in the way is the Internet's, for the home and for the service
    manager.until_wan(true);
    assert!(
        !routes(&lab).contains("10.213.0.2 dev sv0"),
        "{}",
        routes(&lab)
    );
    lab.until_pings(Side::Lan, "10.213.0.2");
    lab.until("echo for the service", || {
        let ping = ["ping", "-n", "-c", "1", "-W", "1", "10.213.0.2"];
        lab.in_service(0, &ping).output().unwrap().status.success()
    });
    // and the home, which was in nobody's way, has not seen its link go
    assert_eq!(losses(&lab), losses_before);
    assert!(!lab.log().contains("until now"), "{}", lab.log());
    // and who asks for the old networks is told so
    let refused = manager.refusal(&ToNetpath::Attach {
        id: service(1),
        link: routed(1, policy),
        share: NetworkShare::default(),
    });
    assert_eq!(refused, NetRefusal::Malformed);
}
