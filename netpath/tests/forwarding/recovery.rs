//! Processes, ports and cables that go and come back.

use super::support::lab::{Lab, PATIENCE, Side, Wan};
use super::support::manager::{Manager, routed, tcp};
use super::support::peers::{Conversation, ECHO_SERVER, ping, serve_files};
use super::support::sniffer::{Note, Sniffer};
use hearth_model::protocol::{NetworkPolicy, Zone};
use std::fs;

#[test]
fn killed_and_started_again_it_goes_on_and_nothing_new_left_in_between() {
    // given a connection from the home, and one from the Internet to a service
    let mut lab = Lab::new(Wan::Dhcp);
    let mut manager = Manager::connect(&lab);
    let (link, forward) = (routed(0, NetworkPolicy::None), tcp(0, Zone::Wan, 8443, 7));
    manager.attach(0, link);
    manager.forward(forward);
    let echo = ["python3", "-c", ECHO_SERVER, "7"];
    let (inside, outside) = (
        serve_files(lab.in_service(0, &echo)),
        lab.spawn(Side::Wan, &echo),
    );
    lab.until_listens(Side::Wan, "tcp", 7);
    lab.until("echo server inside", || {
        !lab.in_service(0, &["ss", "-Hlnt"])
            .output()
            .unwrap()
            .stdout
            .is_empty()
    });
    let (address, namespace) = (lab.wan_address(), lab.namespace(0));
    let searches = lab.searches();
    let mut up = Conversation::open(&lab, Side::Lan, "203.0.113.1", "7");
    let mut down = Conversation::open(&lab, Side::Wan, &address, "8443");
    for talk in [&mut up, &mut down] {
        talk.say("before");
        assert_eq!(talk.hear(PATIENCE), Some("before".to_owned()));
    }

    // when the program is killed, then what it had decided goes on
    lab.kill();
    for talk in [&mut up, &mut down] {
        talk.say("meanwhile");
        assert_eq!(talk.hear(PATIENCE), Some("meanwhile".to_owned()));
    }
    // and not one other packet leaves, whoever wants to send
    let mut all = Sniffer::start(&lab, Note::All);
    let said = ping(
        &lab,
        Side::Lan,
        &["-c", "5", "-i", "0.1", "-W", "1", "203.0.113.1"],
    );
    assert!(said.contains("100% packet loss"), "{said}");
    assert_eq!(all.lines(), Vec::<String>::new());

    // when it runs again and the manager has told it what it told the first one
    let first = manager.instance;
    lab.start();
    let mut manager = Manager::connect(&lab);
    assert_ne!(manager.instance, first);
    manager.attach(0, link);
    manager.forward(forward);

    // then the service is still in its namespace, the address the same, and both connections go on
    assert_eq!(lab.namespace(0), namespace);
    for talk in [&mut up, &mut down] {
        talk.say("after");
        assert_eq!(
            talk.hear(PATIENCE),
            Some("after".to_owned()),
            "{}",
            lab.log()
        );
    }
    // and it has taken over both
    let log = lab.log();
    let taken = log.lines().filter_map(|line| {
        let (_, tail) = line.split_once("fast path: ")?;
        let (number, _) = tail.split_once(" flows of an earlier run go on")?;
        number.parse::<u32>().ok()
    });
    assert_eq!(taken.sum::<u32>(), 2, "{log}");
    assert_eq!(lab.wan_address(), address);
    assert_eq!(lab.searches(), searches, "it asked for its own address");
    drop((inside, outside));
}

#[test]
fn ports_and_cables_may_come_and_go() {
    // given a gateway without its port to the Internet
    let mut lab = Lab::bare(Wan::Dhcp);
    lab.plug_lan();
    lab.start();
    lab.until("warning", || {
        lab.log()
            .contains("<4>hearth-netpath: wan: eth1: No such device")
    });
    let mut manager = Manager::connect(&lab);
    lab.until_pings(Side::Lan, "192.168.1.1");
    let said = ping(&lab, Side::Lan, &["203.0.113.1"]);
    assert!(said.contains("Destination Net Unreachable"), "{said}");

    // when it appears, then it is taken, and the manager hears of the address
    lab.plug_wan();
    lab.serve_addresses();
    manager.until_wan(true);
    lab.until_pings(Side::Lan, "203.0.113.1");
    let (address, searches) = (lab.wan_address(), lab.searches());

    // when the cable is out, then the address goes; when it is back, then it is asked for again
    lab.ip_batch(Side::Wan, "link set w0 down");
    manager.until_wan(false);
    assert_eq!(lab.addresses("eth1"), "");
    lab.ip_batch(Side::Wan, "link set w0 up");
    manager.until_wan(true);
    assert_eq!(lab.wan_address(), address);
    assert_eq!(lab.searches(), searches);
    lab.until_pings(Side::Lan, "203.0.113.1");

    // when the home's port goes and comes, then the home is served again
    lab.ip_batch(Side::Gateway, "link delete eth0");
    lab.until("loss", || lab.log().contains("lan: eth0 has gone"));
    lab.plug_lan();
    lab.until_pings(Side::Lan, "203.0.113.1");

    // when the port to the Internet goes, then the manager hears that too
    lab.ip_batch(Side::Gateway, "link delete eth1");
    manager.until_wan(false);

    // when a device of its own is removed, then the program ends instead of spinning
    lab.ip_batch(Side::Gateway, "link delete hp-lan");
    lab.until("end", || lab.has_ended());
}

#[test]
fn an_address_of_an_earlier_configuration_goes() {
    // given a gateway that ran, and a household that changed its address
    let mut lab = Lab::new(Wan::Static);
    lab.kill();
    let path = lab.path("gateway.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text
        .replace("\"192.168.1.1\"", "\"192.168.1.9\"")
        .replace(".113.50", ".113.51");
    fs::write(&path, text).unwrap();
    // when it starts again, then it has the new addresses and no other
    lab.start();
    lab.until("new addresses", || {
        lab.addresses("br-lan") == "192.168.1.9/24" && lab.addresses("eth1") == "203.0.113.51/24"
    });
}
