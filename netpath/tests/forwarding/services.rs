//! Links, ports and policies of services, and what is refused.

use super::support::lab::{Lab, Side, Wan, text};
use super::support::manager::{Manager, routed, service, tcp};
use super::support::peers::{Fetched, fetch, fetch_from, page, serve, serve_page, udp_probe};
use hearth_model::protocol::{
    Forward, FromNetpath, Link, LinkStep, NetRefusal, NetworkPolicy, NetworkShare, ToNetpath,
    Transport, Zone,
};
use std::net::Ipv4Addr;

#[test]
fn a_service_is_reached_by_its_ports_and_by_no_other_way() {
    // given a service with a page, and its port in the home
    let mut lab = Lab::new(Wan::Static);
    let mut manager = Manager::connect(&lab);
    assert!(
        manager.refusal(&ToNetpath::Forward(tcp(0, Zone::Lan, 8080, 80)))
            == NetRefusal::NotAttached
    );
    manager.attach(0, routed(0, NetworkPolicy::None));
    manager.attach(1, routed(1, NetworkPolicy::Wan));
    let _page = serve_page(&mut lab, 0, "nginx");
    manager.forward(tcp(0, Zone::Lan, 8080, 80));

    // then the home gets it there, and not at the service's own address; the Internet gets silence
    assert_eq!(
        fetch_from(&lab, Side::Lan, "http://192.168.1.1:8080/", 5),
        page("nginx")
    );
    assert_eq!(
        fetch_from(&lab, Side::Lan, "http://10.213.0.2/", 5),
        Fetched::Refused
    );
    assert_eq!(
        fetch_from(&lab, Side::Wan, "http://203.0.113.50:8080/", 1),
        Fetched::Silence
    );

    // when its port is opened to the Internet, then both sides get it there, the home by a hairpin
    manager.forward(tcp(0, Zone::Wan, 8443, 80));
    assert_eq!(
        fetch_from(&lab, Side::Wan, "http://203.0.113.50:8443/", 5),
        page("nginx")
    );
    assert_eq!(
        fetch_from(&lab, Side::Lan, "http://203.0.113.50:8443/", 5),
        page("nginx")
    );

    // and an error that the service reports reaches the Internet as the gateway's
    manager.forward(Forward {
        transport: Transport::Udp,
        ..tcp(0, Zone::Wan, 9000, 9000)
    });
    let said = udp_probe(&lab, Side::Wan, "203.0.113.50", "9000");
    assert_eq!(said, "refused\n");

    // and a service opens connections as its policy says
    serve(&mut lab, Side::Wan, "nginx");
    let out = |number, to: &str| fetch(lab.in_service(number, &["curl", "-sS", to]), 5);
    assert_eq!(out(0, "http://203.0.113.1/"), Fetched::Refused);
    assert_eq!(out(1, "http://203.0.113.1/"), page("nginx"));
    assert_eq!(out(1, "http://10.213.0.2/"), Fetched::Refused);
    assert_eq!(out(1, "http://192.168.1.1:8080/"), Fetched::Refused);

    // when the policy changes, then the running service stays where it is
    let before = lab.namespace(0);
    manager.attach(0, routed(0, NetworkPolicy::Wan));
    assert_eq!(lab.namespace(0), before);
    assert_eq!(out(0, "http://203.0.113.1/"), page("nginx"));

    // when it leaves, then nothing of it stays
    manager.ask(&ToNetpath::Detach { id: service(0) });
    assert_ne!(
        fetch_from(&lab, Side::Lan, "http://192.168.1.1:8080/", 5),
        page("nginx")
    );
    assert!(!lab.path("netns/0").exists());
    assert!(
        !lab.run(Side::Gateway, &["ip", "link", "show", "sv0"])
            .status
            .success()
    );
}

#[test]
fn what_can_not_be_done_is_refused_by_name_and_changes_nothing() {
    // given two services, one with a port
    let lab = Lab::new(Wan::Static);
    let mut manager = Manager::connect(&lab);
    manager.attach(0, routed(0, NetworkPolicy::None));
    manager.attach(1, routed(1, NetworkPolicy::None));
    manager.forward(tcp(0, Zone::Lan, 8080, 80));
    // the same once more is the same
    manager.forward(tcp(0, Zone::Lan, 8080, 80));

    // when something wrong is asked for, then the answer says what
    let reserved = |port| NetRefusal::PortReserved { port };
    let taken = NetRefusal::PortTaken {
        port: 8080,
        by: service(0),
    };
    for (forward, reason) in [
        (tcp(1, Zone::Lan, 8080, 80), taken),
        (tcp(1, Zone::Lan, 0, 80), reserved(0)),
        (tcp(1, Zone::Lan, 80, 0), reserved(0)),
        (tcp(1, Zone::Wan, 61_000, 80), reserved(61_000)),
        (tcp(1, Zone::Service, 81, 80), NetRefusal::Malformed),
        (tcp(7, Zone::Lan, 81, 80), NetRefusal::NotAttached),
    ] {
        assert_eq!(
            manager.refusal(&ToNetpath::Forward(forward)),
            reason,
            "{forward:?}"
        );
    }
    let stranger = ToNetpath::Attach {
        id: service(1),
        link: routed(9, NetworkPolicy::None),
        share: NetworkShare::default(),
    };
    assert_eq!(manager.refusal(&stranger), NetRefusal::Malformed);
    assert!(
        lab.in_service(1, &["true"]).status().unwrap().success(),
        "its link is still there"
    );
    let version = manager.refusal(&ToNetpath::Hello { version: 999 });
    assert!(matches!(version, NetRefusal::Version { .. }));
    manager.send_bytes(&[250, 1, 2]);
    let answer = manager.hear();
    let malformed = FromNetpath::Refused {
        id: None,
        reason: NetRefusal::Malformed,
    };
    assert_eq!(answer, malformed);

    // when the kernel can not make a link, then the step and its errno are named, and nothing stays
    // (without its port to the home, the program does not make the bridge anew)
    lab.ip_batch(Side::Gateway, "link delete eth0");
    lab.until("loss", || lab.log().contains("lan: eth0 has gone"));
    lab.ip_batch(Side::Gateway, "link delete br-lan");
    let bridged = ToNetpath::Attach {
        id: service(2),
        link: Link::Bridged {
            address: Ipv4Addr::new(192, 168, 1, 2),
            prefix: 24,
            policy: NetworkPolicy::Wan,
        },
        share: NetworkShare::default(),
    };
    let no_bridge = NetRefusal::Link {
        step: LinkStep::Bridge,
        errno: libc::ENODEV,
    };
    assert_eq!(manager.refusal(&bridged), no_bridge);
    assert!(!lab.path("netns/2").exists());

    // when another manager comes, then it is served, and the old connection is closed
    let mut second = Manager::connect(&lab);
    assert_eq!(second.instance, manager.instance);
    assert!(manager.is_closed());
    second.attach(1, routed(1, NetworkPolicy::None));
}

#[test]
fn a_bridged_service_is_a_host_of_the_home() {
    // given the home's view of the gateway
    let mut lab = Lab::new(Wan::Static);
    let mut manager = Manager::connect(&lab);
    let hardware = |lab: &Lab| {
        let shown = lab.run(Side::Gateway, &["cat", "/sys/class/net/br-lan/address"]);
        text(&shown.stdout)
    };
    let before = hardware(&lab);
    // when services join the bridge
    for number in 0..4u8 {
        let link = Link::Bridged {
            address: Ipv4Addr::new(192, 168, 1, 2 + number),
            prefix: 24,
            policy: NetworkPolicy::Wan,
        };
        manager.attach(number.into(), link);
    }
    // then the gateway's hardware address stays, the home reaches them, and they the Internet
    assert_eq!(hardware(&lab), before);
    let _page = serve_page(&mut lab, 0, "resolver");
    assert_eq!(
        fetch_from(&lab, Side::Lan, "http://192.168.1.2/", 5),
        page("resolver")
    );
    lab.until_pings(Side::Lan, "192.168.1.5");
    serve(&mut lab, Side::Wan, "resolver");
    let out = fetch(
        lab.in_service(0, &["curl", "-sS", "http://203.0.113.1/"]),
        5,
    );
    assert_eq!(out, page("resolver"));
    // when the bridge is removed, then they are in the new one
    lab.ip_batch(Side::Gateway, "link delete br-lan");
    lab.until("services in the bridge", || {
        let back = |n| format!("service {n}: its link is back in br-lan\n");
        (0..4).all(|number| lab.log().contains(&back(number)))
    });
    assert_eq!(hardware(&lab), before);
    assert_eq!(
        fetch_from(&lab, Side::Lan, "http://192.168.1.2/", 5),
        page("resolver")
    );
}
