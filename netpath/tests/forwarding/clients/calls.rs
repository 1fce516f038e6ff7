//! Calls: two streams that cross on the same ports (symmetric RTP, RFC 4961), and hosts behind two NATs,
//! or behind the same, that open a way to each other (RFC 5128).

use super::super::support::lab::{Lab, Path, Side, text};
use super::{PYTHON, done, keep};
use std::process::Stdio;

/// One end of a call: `call HOST PORT` dials, `answer PORT` waits. Either sends 20 ms of voice every 20 ms
/// for three seconds, to where the other's voice comes from, and tells at the end: packets that it got,
/// how many are missing, how many came out of order, how many ends they came from, and the jitter in ms
/// (RFC 3550 6.4.1).
const CALL: &str = r#"
import select, socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer = None
if sys.argv[1] == "call":
    s.bind(("", 16384))
    peer = (sys.argv[2], int(sys.argv[3]))
else:
    s.bind(("", int(sys.argv[2])))
got, ends, late, jitter, last, transit = set(), set(), 0, 0.0, -1, None
def hear(until):
    global peer, late, jitter, last, transit
    while (left := until - time.monotonic()) > 0:
        if not select.select([s], [], [], left)[0]:
            return
        data, who = s.recvfrom(2000)
        version, _, number, stamp, source = struct.unpack("!BBHII", data[:12])
        assert version == 0x80 and len(data) == 172
        now = time.monotonic() * 8000
        if transit is not None:
            jitter += (abs(now - stamp - transit) - jitter) / 16
        transit = now - stamp
        peer = who
        ends.add(who)
        late += number < last
        last = max(last, number)
        got.add(number)
deadline = time.monotonic() + 20
while peer is None:
    hear(time.monotonic() + 0.01)
    assert time.monotonic() < deadline, "nobody calls"
start = time.monotonic()
for number in range(150):
    s.sendto(struct.pack("!BBHII", 0x80, 0, number, number * 160, 7) + bytes(160), peer)
    hear(start + (number + 1) * 0.02)
hear(time.monotonic() + 1)
print(len(got), 150 - len(got), late, len(ends), round(jitter / 8, 2))
"#;

#[test]
fn a_call_has_both_voices_whole() {
    for path in [Path::Fast, Path::Slow] {
        // given somebody in the Internet who waits for a call
        let lab = Lab::by(path);
        let piped = |side, words: &[&str]| {
            let mut command = lab.command(side, &[&[PYTHON, "-c", CALL], words].concat());
            command.stdout(Stdio::piped()).spawn().unwrap()
        };
        let answer = piped(Side::Wan, &["answer", "5004"]);
        lab.until_listens(Side::Wan, "udp", 5004);
        // when the home calls
        let call = piped(Side::Lan, &["call", "203.0.113.1", "5004"]);
        // then both hear the other, from one address and port, in order
        for end in [call, answer] {
            let said = end.wait_with_output().unwrap();
            assert!(said.status.success(), "{}", lab.log());
            let said = text(&said.stdout);
            let words: Vec<f64> = said
                .split_whitespace()
                .map(|w| w.parse().unwrap())
                .collect();
            let [got, missing, late, ends, jitter] = words.try_into().unwrap();
            // This machine's queue of packets for a CPU is one for all tests, and others fill it at times.
            assert!(missing <= 2.0 && got >= 148.0, "{said}");
            assert_eq!([late, ends], [0.0, 1.0], "{said}");
            // What a telephone makes up for.
            assert!(jitter < 60.0, "{said}");
        }
    }
}

/// Tells each of two who say hello, under a name that both use, where the other one is seen.
const MEETING: &str = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("203.0.113.1", 9999))
here = {}
while True:
    name, who = s.recvfrom(100)
    both = here.setdefault(name, [])
    if who not in both:
        both.append(who)
    if len(both) == 2:
        other = both[1 - both.index(who)]
        s.sendto(b"%s %d" % (other[0].encode(), other[1]), who)
"#;

/// `ADDRESS NAME`: meets the other one of this name, from this address, and talks to where it is seen;
/// tells what it hears.
const PUNCH: &str = r#"
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0))
s.settimeout(0.1)
meeting, name, peer = ("203.0.113.1", 9999), sys.argv[2].encode(), None
heard, end = 0, time.monotonic() + 20
# Goes on for a moment after it has heard all, for the other's sake.
while time.monotonic() < end:
    if peer is None:
        s.sendto(name, meeting)
    else:
        s.sendto(b"hello", peer)
    try:
        data, who = s.recvfrom(100)
    except socket.timeout:
        continue
    if who == meeting:
        host, port = data.decode().split()
        peer = (host, int(port))
    elif who == peer:
        heard += 1
        if heard == 10:
            end = time.monotonic() + 1
print(peer[0], heard >= 10)
"#;

#[test]
fn two_hosts_behind_nats_find_a_way_to_each_other() {
    for path in [Path::Fast, Path::Slow] {
        // given two hosts of the home, and one behind another router's NAT
        let mut lab = Lab::by(path);
        lab.ip_batch(Side::Lan, "address add 192.168.1.51/24 dev l0");
        lab.plug_far();
        lab.ip_batch(Side::Far, "address add 10.9.9.9/32 dev lo");
        let rules = "table ip other {\n\
             chain post { type nat hook postrouting priority 100; oifname f0 masquerade; }\n\
             chain in { type filter hook input priority 0; policy drop; iifname lo accept; \
             ct state established,related accept; }\n}\n";
        let file = lab.path("rules");
        std::fs::write(&file, rules).unwrap();
        done(&lab, Side::Far, &["nft", "-f", file.to_str().unwrap()]);
        keep(&mut lab, Side::Wan, &[PYTHON, "-c", MEETING]);
        lab.until_listens(Side::Wan, "udp", 9999);

        // when two meet, then each hears the other at the address that a third sees
        let neighbour = (Side::Far, "10.9.9.9", "198.51.100.7");
        let sister = (Side::Lan, "192.168.1.51", "203.0.113.50");
        for (side, inside, outside) in [neighbour, sister] {
            let ends = [(Side::Lan, "192.168.1.50"), (side, inside)].map(|(side, address)| {
                let mut command = lab.command(side, &[PYTHON, "-c", PUNCH, address, inside]);
                command.stdout(Stdio::piped()).spawn().unwrap()
            });
            let said = ends.map(|end| text(&end.wait_with_output().unwrap().stdout));
            let expected = [
                format!("{outside} True\n"),
                "203.0.113.50 True\n".to_owned(),
            ];
            assert_eq!(said, expected, "{}", lab.log());
        }
    }
}
