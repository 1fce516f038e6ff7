//! Processes, ports and cables that go and come back.

use super::support::lab::{Lab, PATIENCE, Path, Side, Wan};
use super::support::manager::{Manager, routed, tcp};
use super::support::peers::{Conversation, ECHO_SERVER, ping, serve_files};
use super::support::sniffer::{Note, Sniffer};
use hearth_model::protocol::{NetworkPolicy, Zone};
use std::fs;
use std::time::Duration;

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
    let taken = |line: &str| {
        let (_, tail) = line.split_once("fast path: ")?;
        let (number, _) = tail.split_once(" flows of an earlier run go on")?;
        number.parse::<u32>().ok()
    };
    lab.until("both flows again", || {
        lab.log().lines().filter_map(taken).sum::<u32>() == 2
    });
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
}

/// A host behind the Internet's router.
const FAR: &str = "198.51.100.7";

/// A conversation with an echo server behind the Internet's router, which has begun.
fn talk(lab: &mut Lab) -> Conversation {
    lab.plug_far();
    let echo = lab.spawn(Side::Far, &["python3", "-c", ECHO_SERVER, "7"]);
    lab.keep(echo);
    lab.until_listens(Side::Far, "tcp", 7);
    let mut talk = Conversation::open(lab, Side::Lan, FAR, "7");
    goes_on(lab, &mut talk, "begin");
    talk
}

/// A line is answered, and so is an echo of a new flow.
#[track_caller]
fn goes_on(lab: &Lab, talk: &mut Conversation, line: &str) {
    lab.until_pings(Side::Lan, FAR);
    talk.say(line);
    assert_eq!(talk.hear(PATIENCE), Some(line.to_owned()), "{}", lab.log());
}

/// No line of the log so far is an error's, and none tells of a panic.
#[track_caller]
fn no_error(lab: &Lab) {
    let log = lab.log();
    assert!(!log.contains("<3>") && !log.contains("panic"), "{log}");
}

#[test]
fn flows_live_through_links_that_go_down_and_up() {
    let labs: [fn() -> Lab; 3] = [
        || Lab::by(Path::Fast),
        || Lab::by(Path::Slow),
        || Lab::new(Wan::Dhcp),
    ];
    for lab in labs {
        // given a conversation
        let mut lab = lab();
        let mut talk = talk(&mut lab);
        // when one link after another goes down for a moment, at this end or the other, then it goes on
        for (side, link) in [
            (Side::Lan, "l0"),
            (Side::Wan, "w0"),
            (Side::Gateway, "eth0"),
            (Side::Gateway, "eth1"),
            (Side::Gateway, "br-lan"),
        ] {
            for moment in [Duration::ZERO, Duration::from_millis(300)] {
                lab.ip_batch(side, &format!("link set {link} down"));
                std::thread::sleep(moment);
                lab.ip_batch(side, &format!("link set {link} up"));
                // Hosts lose their own route, too.
                if let Side::Lan = side {
                    lab.ip_batch(side, "route replace default via 192.168.1.1");
                }
                goes_on(&lab, &mut talk, link);
            }
        }
        no_error(&lab);
    }
}

#[test]
fn flows_live_through_ports_that_are_taken_out_and_put_in() {
    for path in [Path::Fast, Path::Slow] {
        // given a conversation
        let mut lab = Lab::by(path);
        let mut talk = talk(&mut lab);
        // when the home's port is removed and another one put in, then it goes on
        lab.ip_batch(Side::Gateway, "link delete eth0");
        lab.until("loss", || {
            lab.log().contains("<4>hearth-netpath: lan: eth0 has gone")
        });
        lab.plug_lan();
        goes_on(&lab, &mut talk, "home");
        // when the same happens to the Internet's, so fast that nobody sees it missing
        lab.ip_batch(Side::Gateway, "link delete eth1");
        lab.plug_wan();
        goes_on(&lab, &mut talk, "Internet");
        lab.until("loss", || {
            lab.log().contains("<4>hearth-netpath: wan: eth1 has gone")
        });
        // when the home's port is taken from the bridge, or the bridge is removed, then both come back
        lab.ip_batch(Side::Gateway, "link set eth0 nomaster");
        goes_on(&lab, &mut talk, "port");
        lab.ip_batch(Side::Gateway, "link delete br-lan");
        goes_on(&lab, &mut talk, "bridge");
        no_error(&lab);
    }
}

#[test]
fn addresses_that_somebody_takes_away_come_back() {
    // given a conversation
    let mut lab = Lab::by(Path::Fast);
    let mut talk = talk(&mut lab);
    for (link, address) in [("br-lan", "192.168.1.1/24"), ("eth1", "203.0.113.50/24")] {
        // when all addresses of a link are taken away, and the routes with them, then they come back
        lab.ip_batch(Side::Gateway, &format!("address flush dev {link}"));
        lab.until("address", || lab.addresses(link) == address);
        goes_on(&lab, &mut talk, link);
        // when there is another one, too, then it is nobody's business
        lab.ip_batch(
            Side::Gateway,
            &format!("address add 10.77.0.1/24 dev {link}"),
        );
        goes_on(&lab, &mut talk, "beside another");
        let both = format!("{address} 10.77.0.1/24");
        assert_eq!(lab.addresses(link), both);
        lab.ip_batch(
            Side::Gateway,
            &format!("address delete 10.77.0.1/24 dev {link}"),
        );
    }
    no_error(&lab);
}

#[test]
fn a_device_of_its_own_that_is_removed_comes_back_with_the_next_run() {
    for device in ["hp-lan", "hp-wan", "hp-svc"] {
        // given a conversation
        let mut lab = Lab::by(Path::Fast);
        let mut talk = talk(&mut lab);
        talk.say("one more for the fast path");
        assert!(talk.hear(PATIENCE).is_some());
        lab.until("flow in the fast path", || lab.fast_path()[0] >= 1);
        // when the device is removed, then the program ends instead of spinning, and says why
        lab.ip_batch(Side::Gateway, &format!("link delete {device}"));
        lab.until("end", || lab.has_ended());
        let log = lab.log();
        let why = format!(
            "<3>hearth-netpath: {device}: removed by somebody; ending, the next run makes it anew"
        );
        assert!(log.contains(&why), "{log}");
        // when it is started again, as PID 1 does, then all goes on
        lab.start();
        goes_on(&lab, &mut talk, "after");
    }
}

#[test]
fn what_links_carry_at_most_is_learned_when_they_come_and_when_it_changes() {
    for path in [Path::Fast, Path::Slow] {
        // given a gateway without ports
        let mut lab = Lab::bare(Wan::Static);
        if let Path::Slow = path {
            lab.run(Side::Gateway, &["umount", "/sys/fs/bpf"]);
        }
        lab.start();
        for missing in ["lan: eth0", "wan: eth1"] {
            let warning =
                format!("<4>hearth-netpath: {missing}: No such device (os error 19); trying again");
            lab.until("warning", || lab.log().contains(&warning));
        }
        // when they come, the Internet's with less than usual, and then with even less
        lab.plug_lan();
        lab.plug_wan();
        for mtu in [1400, 1300] {
            for (side, link) in [(Side::Gateway, "eth1"), (Side::Wan, "w0")] {
                lab.ip_batch(side, &format!("link set {link} mtu {mtu}"));
            }
            // then a host that sends too much in one piece is told how much fits
            let told = format!("From 192.168.1.1 icmp_seq=1 Frag needed and DF set (mtu = {mtu})");
            lab.until(&told, || {
                lab.ip_batch(Side::Lan, "route flush cache");
                let large = ["-M", "do", "-s", "1450", "203.0.113.1"];
                ping(&lab, Side::Lan, &large).contains(&told)
            });
            // and what fits gets through
            let fits = (mtu - 28).to_string();
            let said = ping(&lab, Side::Lan, &["-M", "do", "-s", &fits, "203.0.113.1"]);
            assert!(said.contains(" 0% packet loss"), "{said}");
        }
        no_error(&lab);
    }
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
