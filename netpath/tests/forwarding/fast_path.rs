//! What passes by the program in the kernel, with the real program and without it.

use super::support::lab::{Lab, PATIENCE, Side, Wan, text};
use super::support::peers::{UDP_ECHO, ping};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// So long the program is away.
const AWAY: Duration = Duration::from_secs(10);

/// Sends numbered datagrams, 50 a second, until its input ends; tells how many, and which did not come back.
const NUMBERS: &str = r#"
import select, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 7))
sent, back, end = 0, set(), None
while end is None or time.monotonic() < end:
    if end is None:
        s.send(str(sent).encode())
        sent += 1
    until = time.monotonic() + 0.02
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select([s] if end else [s, sys.stdin], [], [], left)
        if s in ready:
            back.add(int(s.recv(100)))
        elif ready:
            end = time.monotonic() + 2
print(sent, *sorted(set(range(sent)) - back), flush=True)
"#;

/// Bytes and packets that a peer's link has received.
fn received(lab: &Lab, side: Side, link: &str) -> [u64; 2] {
    ["rx_bytes", "rx_packets"].map(|what| {
        let path = format!("/sys/class/net/{link}/statistics/{what}");
        let said = text(&lab.run(side, &["cat", &path]).stdout);
        said.trim().parse().unwrap()
    })
}

#[test]
fn a_transfer_passes_by_the_program_in_large_segments() {
    // given a server in the Internet
    let mut lab = Lab::new(Wan::Static);
    assert!(lab.log().contains("fast path: on"), "{}", lab.log());
    let server = lab.spawn(Side::Wan, &["iperf3", "-s", "--logfile", "/dev/null"]);
    lab.keep(server);
    lab.until_listens(Side::Wan, "tcp", 5201);
    for (side, link, direction) in [(Side::Wan, "w0", &[][..]), (Side::Lan, "l0", &["-R"])] {
        // when the home sends, or fetches, as much as it can
        let (before, [_, _, fast_before]) = (received(&lab, side, link), lab.fast_path());
        let client = ["iperf3", "-c", "203.0.113.1", "-t", "2"];
        lab.until("iperf3", || {
            let done = lab.run(Side::Lan, &[&client, direction].concat());
            done.status.success()
        });
        // then hardly anything of it came to the program in user space
        let after = received(&lab, side, link);
        let [_, _, fast] = lab.fast_path();
        let (bytes, packets) = (after[0] - before[0], after[1] - before[1]);
        assert!(bytes > 10_000_000, "{bytes} bytes\n{}", lab.log());
        let share = (fast - fast_before) as f64 / bytes as f64;
        assert!(share > 0.95, "{share} of {bytes} bytes");
        // and the kernel's large segments have crossed the gateway whole
        let mean = bytes / packets;
        assert!(
            mean > 5_000,
            "{bytes} bytes in {packets} packets: {mean} each"
        );
    }
}

#[test]
fn nothing_of_live_flows_is_lost_while_the_program_is_away_for_ten_seconds() {
    // given a stream and numbered datagrams under way
    let mut lab = Lab::new(Wan::Static);
    let echo = lab.spawn(Side::Wan, &["python3", "-c", UDP_ECHO]);
    lab.keep(echo);
    let server = lab.spawn(Side::Wan, &["iperf3", "-s", "--logfile", "/dev/null"]);
    lab.keep(server);
    lab.until_listens(Side::Wan, "udp", 7);
    lab.until_listens(Side::Wan, "tcp", 5201);
    let piped = |words: &[&str]| {
        let mut command = lab.command(Side::Lan, words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut numbers = piped(&["python3", "-c", NUMBERS, "203.0.113.1"]);
    let stream = piped(&[
        "iperf3",
        "-c",
        "203.0.113.1",
        "-t",
        "16",
        "-b",
        "40M",
        "-i",
        "1",
    ]);
    // iperf3 has a second connection, which controls the first
    lab.until("flows in the fast path", || lab.fast_path()[0] >= 3);

    // when the program is killed and away
    let begun = Instant::now();
    lab.kill();
    let said = ping(
        &lab,
        Side::Lan,
        &["-c", "2", "-i", "0.2", "-W", "1", "203.0.113.1"],
    );
    assert!(said.contains("100% packet loss"), "new flows wait: {said}");
    std::thread::sleep(AWAY.saturating_sub(begun.elapsed()));
    lab.start();
    // and is back
    lab.until_pings(Side::Lan, "203.0.113.1");
    let log = lab.log();
    assert!(
        log.contains("flows of an earlier run go on"),
        "it takes them over: {log}"
    );

    // then each second of the stream has its bytes
    let said = text(&stream.wait_with_output().unwrap().stdout);
    let seconds: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("-") && line.contains(" sec ") && !line.ends_with("er"))
        .collect();
    assert!(seconds.len() >= 16, "{said}");
    let still = |line: &&str| line.contains(" 0.00 Bytes ");
    assert!(!seconds.iter().any(still), "{said}");
    // and the datagrams came back
    drop(numbers.stdin.take());
    let end = Instant::now() + PATIENCE;
    while numbers.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "the datagrams do not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    let said = text(&numbers.wait_with_output().unwrap().stdout);
    let numbers: Vec<u64> = said
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    let (sent, lost) = numbers.split_first().unwrap();
    assert!(*sent > 300, "{said}");
    // This machine's queue of packets for a CPU is one for all tests, and others fill it at times: a single
    // datagram can be lost there, but no two in a row.
    let in_a_row = lost.windows(2).any(|pair| pair[1] - pair[0] < 3);
    assert!(lost.len() <= 5 && !in_a_row, "sent, and lost: {said}");
}

#[test]
fn without_a_fast_path_every_packet_takes_the_slow_one_and_the_log_says_why() {
    // given a gateway without a bpf file system
    let mut lab = Lab::bare(Wan::Static);
    let done = lab.run(Side::Gateway, &["umount", "/sys/fs/bpf"]);
    assert!(done.status.success());
    lab.plug_lan();
    lab.plug_wan();
    // when it starts, then it says so
    lab.start();
    lab.until_pings(Side::Lan, "203.0.113.1");
    let log = lab.log();
    let why = "<4>hearth-netpath: fast path: off, every packet takes the slow one: /sys/fs/bpf";
    assert!(log.contains(why), "{log}");
    // and the home has the Internet
    let server = lab.spawn(Side::Wan, &["iperf3", "-s", "--logfile", "/dev/null"]);
    lab.keep(server);
    lab.until_listens(Side::Wan, "tcp", 5201);
    lab.until("iperf3", || {
        let done = lab.run(Side::Lan, &["iperf3", "-c", "203.0.113.1", "-t", "1"]);
        done.status.success()
    });
    assert_eq!(lab.fast_path(), [0; 3]);
}
