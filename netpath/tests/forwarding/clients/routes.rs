//! ping and traceroute: what lies on the way, how much fits through, and whole packets from pieces.

use super::super::support::lab::{Lab, Path, Side};
use super::{done, keep};

const FAR: &str = "198.51.100.7";

/// The hosts that traceroute names, in order.
fn hops(said: &str) -> Vec<&str> {
    let lines = said.lines().skip(1);
    lines
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect()
}

#[test]
fn traceroute_names_every_router_whatever_it_sends() {
    for path in [Path::Fast, Path::Slow] {
        // given a web server two routers away
        let mut lab = Lab::by(path);
        lab.plug_far();
        keep(&mut lab, Side::Far, &["busybox", "httpd", "-f", "-p", "80"]);
        lab.until_listens(Side::Far, "tcp", 80);
        // when its way is asked for by UDP, ICMP and TCP, then each names the same
        for how in [&["-U"][..], &["-I"], &["-T", "-p", "80"]] {
            let words = [&["traceroute", "-n", "-q", "1", "-w", "5"], how, &[FAR]].concat();
            let said = done(&lab, Side::Lan, &words);
            assert_eq!(
                hops(&said),
                ["192.168.1.1", "203.0.113.1", FAR],
                "{how:?}: {said}"
            );
        }
        // and the default of UDP with many probes at once, which this machine's own queue, shared by all
        // tests, may lose together
        let is_whole = (0..3).any(|_| {
            let said = done(&lab, Side::Lan, &["traceroute", "-n", FAR]);
            hops(&said) == ["192.168.1.1", "203.0.113.1", FAR]
        });
        assert!(is_whole, "the default of UDP");
    }
}

#[test]
fn ping_gets_every_echo_in_one_packet_or_many() {
    for path in [Path::Fast, Path::Slow] {
        // given a home
        let lab = Lab::by(path);
        // when it pings with packets of one piece, three, and as many as one packet can be in
        for size in ["56", "3000", "20000", "65000"] {
            let said = done(
                &lab,
                Side::Lan,
                &[
                    "ping",
                    "-n",
                    "-c",
                    "3",
                    "-i",
                    "0.2",
                    "-s",
                    size,
                    "203.0.113.1",
                ],
            );
            // then every echo comes
            assert!(
                said.contains("3 packets transmitted, 3 received"),
                "{size}: {said}"
            );
        }
        // and what just fits does, when it may not be in pieces
        done(
            &lab,
            Side::Lan,
            &[
                "ping",
                "-n",
                "-c",
                "1",
                "-M",
                "do",
                "-s",
                "1472",
                "203.0.113.1",
            ],
        );
    }
}

#[test]
fn ping_learns_how_much_fits_through() {
    for path in [Path::Fast, Path::Slow] {
        // given a host behind a link that takes less than the home's
        let lab = Lab::by(path);
        lab.plug_far();
        lab.ip_batch(Side::Wan, "link set w1 mtu 1300");
        lab.ip_batch(Side::Far, "link set f0 mtu 1300");
        let ping = |size: &str| {
            let words = [
                "ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", size, FAR,
            ];
            lab.run(Side::Lan, &words)
        };
        // when more is sent in one piece, then the router there says how much fits
        let said = super::text(&ping("1400").stdout);
        assert!(
            said.contains("From 203.0.113.1 icmp_seq=1 Frag needed and DF set (mtu = 1300)"),
            "{said}"
        );
        // and the sender has learned it
        let route = done(&lab, Side::Lan, &["ip", "route", "get", FAR]);
        assert!(route.contains("mtu 1300"), "{route}");
        assert!(!ping("1400").status.success());
        // when just that is sent, then it arrives
        assert!(ping("1272").status.success());
    }
}
