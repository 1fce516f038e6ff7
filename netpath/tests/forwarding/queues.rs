//! The line to the Internet while it is full, with real traffic.

use super::support::lab::{Lab, PATIENCE, Running, Side, Wan, text};
use super::support::manager::{Manager, routed, service};
use hearth_model::BitsPerSec;
use hearth_model::protocol::{
    Direction, FromNetpath, LineClass, LineShare, NetworkPolicy, NetworkShare, QueueOwner,
    QueueRow, QueueStep, Shaping, ToNetpath, TrafficClass,
};
use std::fs;
use std::process::Command;
use std::time::Instant;

/// Says the code points of six datagrams a port that it gets, a line each.
const MARKS: &str = r#"
import select, socket
ports = {}
for port in (7001, 7002, 7003, 7004):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    s.bind(("", port))
    ports[s] = port
print("ready", flush=True)
while True:
    for s in select.select(list(ports), [], [])[0]:
        data, extra, flags, who = s.recvmsg(100, 100)
        print(ports[s], extra[0][2][0] >> 2, flush=True)
"#;

/// Sends six datagrams with a code point: the first ones come to the program in user space, the others do not.
const MARKED: &str = r#"
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, int(sys.argv[2]) << 2)
for _ in range(6):
    s.sendto(b"x", ("203.0.113.1", int(sys.argv[1])))
    time.sleep(0.05)
"#;

const ECHO: &str = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7000))
while True:
    data, who = s.recvfrom(100)
    s.sendto(data, who)
"#;

/// Asks a hundred times with a code point, and tells how many answers did not come.
const ASK: &str = r#"
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, int(sys.argv[1]) << 2)
s.connect(("203.0.113.1", 7000))
for number in range(100):
    s.send(b"x")
    time.sleep(0.02)
s.settimeout(1)
came = 0
try:
    while s.recv(100):
        came += 1
except TimeoutError:
    print(100 - came)
"#;

/// A lab with a line of these rates, in which peers send what a wire would carry: no large segments.
fn lab(upload: &str, download: &str) -> Lab {
    let mut lab = Lab::bare(Wan::Static);
    lab.plug_lan();
    lab.plug_wan();
    lab.set_line(upload, download);
    lab.ip_batch(Side::Lan, "link set l0 gso_max_segs 1");
    lab.ip_batch(Side::Wan, "link set w0 gso_max_segs 1");
    lab.start();
    lab.until_pings(Side::Lan, "203.0.113.1");
    let server = lab.spawn(Side::Wan, &["iperf3", "-s", "--logfile", "/dev/null"]);
    lab.keep(server);
    lab.until_listens(Side::Wan, "tcp", 5201);
    lab
}

const CLIENT: [&str; 6] = ["iperf3", "-c", "203.0.113.1", "--json", "-t", "3"];
/// Four times what the line carries, without a care: at home it sends, or asks to be sent to, in the Internet
/// it takes, or sends. By four sockets: in one kernel, a sender feels the queue.
const FLOOD: &str = r#"
import select, socket, sys, time
def sends(s, to, rate):
    while True:
        start = time.monotonic()
        for _ in range(10):
            try:
                s.sendto(bytes(1400), socket.MSG_DONTWAIT, to)
            except BlockingIOError:
                pass
        yield start + 10 * 1400 * 8 / rate
home, way = sys.argv[1] == "home", sys.argv[2]
sockets, due = [], {}
for number in range(4):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if home:
        s.sendto(b"x", ("203.0.113.1", 7100 + number))
        if way == "up":
            due[s] = (0, sends(s, ("203.0.113.1", 7100 + number), 8e6))
    else:
        s.bind(("", 7100 + number))
    sockets.append(s)
while True:
    now = time.monotonic()
    for s, (at, sender) in list(due.items()):
        if at <= now:
            due[s] = (next(sender), sender)
    for s in select.select(sockets, [], [], 0.002)[0]:
        data, who = s.recvfrom(2000)
        if not home and way == "down" and s not in due:
            due[s] = (0, sends(s, who, 8e6))
"#;

/// A number in a part of what iperf3 says.
fn said(report: &str, part: &str, name: &str) -> f64 {
    let part = report.rsplit(&format!("\"{part}\"")).next().unwrap();
    let number = part
        .split(&format!("\"{name}\":"))
        .nth(1)
        .unwrap_or_else(|| panic!("{report}"));
    number
        .split([',', '\n', '}'])
        .next()
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// What a transfer has brought, bits a second.
fn rate(mut command: Command) -> f64 {
    let report = text(&command.output().unwrap().stdout);
    said(&report, "sum_received", "bits_per_second")
}

/// What share of datagrams a stream has lost, percent.
fn lost(mut command: Command) -> f64 {
    let report = text(&command.output().unwrap().stdout);
    said(&report, "sum", "lost_percent")
}

/// A flood under way.
fn flood(lab: &Lab, direction: Direction) -> [Running; 2] {
    let word = direction.name();
    let there = lab.spawn(Side::Wan, &["python3", "-c", FLOOD, "there", word]);
    lab.until_listens(Side::Wan, "udp", 7103);
    let home = lab.spawn(Side::Lan, &["python3", "-c", FLOOD, "home", word]);
    let mut manager = Manager::connect(lab);
    let mut dropped = || {
        let (_, rows) = queues(&mut manager, direction);
        let is_bulk = |row: &&QueueRow| row.owner == QueueOwner::Class(LineClass::Bulk);
        rows.iter().find(is_bulk).map_or(0, |row| row.drops)
    };
    let before = dropped();
    lab.until("full queue", || dropped() > before);
    [there, home]
}

/// All pages of a direction.
fn queues(manager: &mut Manager, direction: Direction) -> (Shaping, Vec<QueueRow>) {
    let (mut from, mut rows) = (0, Vec::new());
    loop {
        match manager.ask(&ToNetpath::Queues { direction, from }) {
            FromNetpath::Queues(page) => {
                rows.extend(page.rows);
                match page.next {
                    Some(next) => from = next,
                    None => return (page.shaping, rows),
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn attach(manager: &mut Manager, number: u16, share: NetworkShare) {
    let (id, link) = (service(number), routed(number, NetworkPolicy::Wan));
    let answer = manager.ask(&ToNetpath::Attach { id, link, share });
    assert!(matches!(answer, FromNetpath::Attached { id: of, .. } if of == id));
}

fn share(reserve: u64, max: Option<u64>, class: TrafficClass) -> NetworkShare {
    let part = LineShare {
        reserve: BitsPerSec::mbit(reserve),
        max: max.map(BitsPerSec::mbit),
    };
    NetworkShare {
        up: part,
        down: part,
        class,
        ..NetworkShare::default()
    }
}

#[test]
fn no_more_leaves_than_the_line_carries_in_both_directions() {
    let lab = lab("8 Mbit/s", "12 Mbit/s");
    for (direction, line) in [(&[][..], 8e6), (&["-R"][..], 12e6)] {
        let rate = rate(lab.command(Side::Lan, &[&CLIENT, direction].concat()));
        assert!(rate < line * 0.96, "{rate} of {line}\n{}", lab.log());
        assert!(rate > line * 0.7, "{rate} of {line}\n{}", lab.log());
    }
}

#[test]
fn a_service_gets_what_it_reserved_beside_a_flood_and_borrows_when_there_is_none() {
    // given a service with half of the line, and at most three quarters, and a home that floods it
    let lab = lab("8 Mbit/s", "8 Mbit/s");
    let mut manager = Manager::connect(&lab);
    attach(&mut manager, 0, share(4, Some(6), TrafficClass::Bulk));
    drop(manager);
    lab.until("way out of the service", || {
        let ping = ["ping", "-n", "-c", "1", "-W", "1", "203.0.113.1"];
        lab.in_service(0, &ping).output().unwrap().status.success()
    });
    for (way, direction) in [(Direction::Up, &[][..]), (Direction::Down, &["-R"])] {
        let hog = flood(&lab, way);
        // when it sends, or gets, what it reserved, less what the line adds to each packet
        let stream = [&CLIENT, &["-u", "-b", "3.6M"][..], direction].concat();
        let lost = lost(lab.in_service(0, &stream));
        // then all of it arrives
        assert!(lost < 2.0, "{lost} % {direction:?}\n{}", lab.log());
        drop(hog);
        // and when the home sends nothing, then it gets more, up to its ceiling
        let rate = rate(lab.in_service(0, &[&CLIENT, direction].concat()));
        assert!(
            rate > 4.4e6 && rate < 6.0e6,
            "{rate} {direction:?}\n{}",
            lab.log()
        );
    }
}

#[test]
fn who_waits_for_an_answer_goes_before_a_flood_as_the_home_says() {
    // given somebody in the Internet who answers, and who claims nothing for himself
    let mut lab = lab("8 Mbit/s", "8 Mbit/s");
    let echo = lab.spawn(Side::Wan, &["python3", "-c", ECHO]);
    lab.keep(echo);
    lab.until_listens(Side::Wan, "udp", 7000);
    for direction in Direction::ALL {
        // when the line is full in one direction, and the home asks with a code point or without
        let _hog = flood(&lab, direction);
        let lost = |mark| {
            let done = lab.run(Side::Lan, &["python3", "-c", ASK, mark]);
            text(&done.stdout).trim().parse::<u32>().unwrap()
        };
        // then the flood does not touch the one, whichever way it goes, and the other has to bear it
        let (claimed, plain) = (lost("46"), lost("0"));
        let said = format!("{direction:?}: {claimed} and {plain} lost\n{}", lab.log());
        assert!(claimed <= 1 && plain >= 3, "{said}");
    }
}

#[test]
fn a_packet_leaves_with_what_its_class_may_claim() {
    // given services of two classes, and a peer that tells what it gets
    let lab = lab("8 Mbit/s", "8 Mbit/s");
    let mut manager = Manager::connect(&lab);
    attach(&mut manager, 0, share(1, None, TrafficClass::Bulk));
    attach(&mut manager, 1, share(1, None, TrafficClass::Interactive));
    let output = lab.path("marks");
    let mut command = lab.command(Side::Wan, &["python3", "-c", MARKS]);
    command.stdout(fs::File::create(&output).unwrap());
    let _peer = super::support::lab::spawn(&mut command);
    let read = || fs::read_to_string(&output).unwrap();
    lab.until("peer", || read().starts_with("ready"));
    // when each claims something
    let words = |port, mark| ["python3", "-c", MARKED, port, mark];
    for (mut command, name) in [
        (lab.command(Side::Lan, &words("7001", "56")), "home, CS7"),
        (lab.command(Side::Lan, &words("7002", "46")), "home, EF"),
        (lab.in_service(0, &words("7003", "46")), "bulk, EF"),
        (lab.in_service(1, &words("7004", "46")), "interactive, EF"),
    ] {
        assert!(command.status().unwrap().success(), "{name}");
    }
    // then by either way the network's own is nobody's, and nobody passes for more than he is
    for line in ["7001 0", "7002 46", "7003 0", "7004 46"] {
        lab.until(line, || {
            read().lines().filter(|seen| *seen == line).count() == 6
        });
    }
    assert_eq!(read().lines().count(), 1 + 4 * 6, "{}", read());
}

#[test]
fn queues_outlive_the_program_and_a_port_that_comes_back_gets_new_ones() {
    // given queues through which something has gone
    let mut lab = lab("8 Mbit/s", "8 Mbit/s");
    let mut manager = Manager::connect(&lab);
    attach(&mut manager, 3, share(2, None, TrafficClass::Guaranteed));
    let report = |lab: &Lab| {
        let mut manager = Manager::connect(lab);
        attach(&mut manager, 3, share(2, None, TrafficClass::Guaranteed));
        Direction::ALL.map(|direction| queues(&mut manager, direction))
    };
    let [(up, rows), _] = report(&lab);
    assert!(
        matches!(
            up,
            Shaping::On {
                rate: BitsPerSec(7_600_000),
                ..
            }
        ),
        "{up}"
    );
    let owners: Vec<_> = rows.iter().map(|row| row.owner).collect();
    assert_eq!(owners.last(), Some(&QueueOwner::Service(service(3))));
    assert_eq!(owners.len(), 5, "{owners:?}");
    assert_eq!(rows[4].rate, BitsPerSec::mbit(2));
    assert_eq!(rows[4].class, LineClass::Guaranteed);
    let sent = |rows: &[QueueRow]| rows.iter().map(|row| row.packets).sum::<u32>();
    let shown = |lab: &Lab, link: &str| {
        text(
            &lab.run(Side::Gateway, &["tc", "qdisc", "show", "dev", link])
                .stdout,
        )
    };
    let before = ["eth1", "hp-down"].map(|link| shown(&lab, link));
    assert!(
        before.iter().all(|text| text.contains("htb 1: root")),
        "{before:?}"
    );
    // when the program is killed, then they stay, and when it is back, then they are the same ones
    lab.kill();
    let without = ["eth1", "hp-down"].map(|link| shown(&lab, link));
    assert_eq!(without, before);
    lab.start();
    lab.until_pings(Side::Lan, "203.0.113.1");
    let [(again, after), (down, _)] = report(&lab);
    assert_eq!(again, up);
    assert!(matches!(down, Shaping::On { .. }), "{down}");
    assert!(sent(&after) > sent(&rows), "{rows:?} {after:?}");
    assert_eq!(["eth1", "hp-down"].map(|link| shown(&lab, link)), before);
    // and when the port goes and comes back, then what leaves by it waits there again
    lab.ip_batch(Side::Wan, "link del w0");
    let gone = Instant::now();
    lab.until("report without the port", || {
        matches!(report(&lab)[0].0, Shaping::Off)
    });
    lab.plug_wan();
    lab.until_pings(Side::Lan, "203.0.113.1");
    assert!(shown(&lab, "eth1").contains("htb 1: root"));
    assert!(gone.elapsed() < PATIENCE * 2);
    assert_eq!(report(&lab)[0].0, up);
}

#[test]
fn without_a_good_data_file_packets_leave_as_they_come_and_that_is_told() {
    // given a data file with a fault, and a line that is to be shaped
    let mut lab = Lab::bare(Wan::Static);
    lab.plug_lan();
    lab.plug_wan();
    lab.set_line("8 Mbit/s", "8 Mbit/s");
    let good = fs::read_to_string(&lab.queues).unwrap();
    lab.queues = lab.path("queues.toml");
    fs::write(&lab.queues, good.replace("order = [", "ordre = [")).unwrap();
    lab.start();
    // then the home reaches the Internet all the same
    lab.until_pings(Side::Lan, "203.0.113.1");
    // and both the log and the report say what is wrong
    let log = lab.log();
    assert!(
        log.contains("ordre") && log.contains("queues.toml:"),
        "{log}"
    );
    let mut manager = Manager::connect(&lab);
    for direction in Direction::ALL {
        let (shaping, rows) = queues(&mut manager, direction);
        let step = QueueStep::Data;
        assert!(
            matches!(shaping, Shaping::Failed { step: s, .. } if s == step),
            "{shaping}"
        );
        assert!(rows.is_empty());
    }
    // and when it is mended and no rate is said, then nothing is shaped, and no pair is there
    drop(lab);
    let lab = Lab::new(Wan::Static);
    let mut manager = Manager::connect(&lab);
    assert_eq!(
        queues(&mut manager, Direction::Down),
        (Shaping::Off, Vec::new())
    );
    let links = text(&lab.run(Side::Gateway, &["ip", "-br", "link"]).stdout);
    assert!(!links.contains("hp-down"), "{links}");
}
