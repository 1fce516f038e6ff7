//! Goldens of the network's texts.

use super::*;
use hearth_model::api::{NatJson, NetQueue, TraceStep};

fn link(kind: LinkKind, name: &str) -> NetLink {
    NetLink {
        name: name.into(),
        kind,
        service: None,
        up: true,
        speed_mbit: None,
        address: None,
        sent_bytes: 0,
        received_bytes: 0,
        sent_packets: 0,
        received_packets: 0,
        sent_bits_per_second: Some(0),
        received_bits_per_second: Some(1_250),
        packets_per_second: Some(1),
    }
}

fn home() -> Net {
    let mut wan = link(LinkKind::Wan, "eth1");
    (wan.speed_mbit, wan.address) = (Some(1_000), Some("203.0.113.7/24".into()));
    let mut lan = link(LinkKind::Lan, "eth0");
    lan.up = false;
    let mut web = link(LinkKind::Service, "sv2");
    (web.service, web.address) = (Some("nginx".into()), Some("10.213.0.4".into()));
    let talker = Talker {
        address: "192.168.1.20".into(),
        service: None,
        sessions: 12,
        sent_bytes: 10_240,
        received_bytes: 3 << 20,
        packets: 4_000,
        sent_bits_per_second: Some(12_000),
        received_bits_per_second: Some(9_600_000),
        packets_per_second: Some(900),
    };
    let service = Talker {
        service: Some("nginx".into()),
        address: "10.213.0.4".into(),
        ..talker.clone()
    };
    let reason = hearth_model::drops::DropReason::Unsolicited;
    Net {
        links: vec![wan, lan, link(LinkKind::Bridge, "br-lan"), web],
        line: NetLine {
            upload_bits_per_second: Some(20_000_000),
            download_bits_per_second: None,
        },
        queues: vec![
            NetQueues {
                direction: "up".into(),
                shaped: true,
                state: "shaped to 19 Mbit/s, leaves cake".into(),
                queues: vec![NetQueue {
                    service: Some("nginx".into()),
                    class: "interactive".into(),
                    rate_bits_per_second: 1_000_000,
                    ceiling_bits_per_second: 19_000_000,
                    bytes: 1,
                    packets: 1,
                    dropped_packets: 3,
                    backlog_bytes: 2_048,
                    bits_per_second: Some(800_000),
                }],
            },
            NetQueues {
                direction: "down".into(),
                shaped: false,
                state: "not shaped".into(),
                queues: Vec::new(),
            },
        ],
        nat: Some(NatJson {
            mappings: 12,
            mappings_max: 32_768,
            mappings_refused: 0,
            received: 100,
            forwarded: 93,
            dropped: 7,
            fast_path: Some(50),
        }),
        talkers: vec![talker, service],
        talkers_window_seconds: 10,
        drops: vec![Drop {
            reason: reason.name().into(),
            place: "netpath".into(),
            packets: 7,
            answered: 0,
            what: reason.what().into(),
            remedy: reason.remedy().into(),
        }],
    }
}

#[test]
fn the_network_on_one_page() {
    assert_eq!(
        net(&home()),
        "\
LINK           OF      STATE  SPEED  ADDRESS         OUT  IN
Internet       eth1    up     1G     203.0.113.7/24  0    1.2k
home           eth0    down   -      -               0    1.2k
home's bridge  br-lan  up     -      -               0    1.2k
nginx          sv2     up     -      10.213.0.4      0    1.2k

Line  up 20M, down - bit/s, by gateway.toml
NAT   12 of 32768 mappings, 0 refused; packets: 100 in, 93 passed on (50 by the
      fast path), 7 dropped
Up    shaped to 19 Mbit/s, leaves cake
Down  not shaped

QUEUE           OF     RATE  MOST  NOW   WAITS  DROPPED
up interactive  nginx  1M    19M   800k  2K     3

TALKER              SESSIONS  OUT  IN    PKT/S  SENT  RECEIVED
192.168.1.20        12        12k  9.6M  900    10K   3M
nginx (10.213.0.4)  12        12k  9.6M  900    10K   3M
(OUT and IN in bit/s: what it sends and gets; hosts' rates are those of 10 s)

Dropped, and what to do:
       7  packets from the Internet that nobody here asked for: scans, mostly
          (wan_unsolicited_packets): nothing to do; to offer something to the
          Internet, a service has to listen on wan
"
    );
}

#[test]
fn a_quiet_gateway_and_a_dead_netpath_are_told() {
    let mut quiet = home();
    (quiet.talkers, quiet.drops, quiet.line) = (Vec::new(), Vec::new(), NetLine::default());
    let text = net(&quiet);
    for part in [
        "Nobody talks.",
        "Nothing was dropped.",
        "rates not told: set upload",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    quiet.nat = None;
    let text = net(&quiet);
    assert!(text.contains("hearth-netpath does not answer"), "{text}");
    assert!(!text.contains("Nobody talks."), "{text}");
}

#[test]
fn many_reasons_are_cut_short() {
    let mut busy = home();
    let one = busy.drops[0].clone();
    busy.drops = vec![one; 14];
    assert!(net(&busy).ends_with("(2 more reasons in --json)\n"));
}

#[test]
fn sessions_are_a_table_of_a_consoles_width() {
    let out = Session {
        protocol: "tcp".into(),
        inside: "192.168.1.150:50123".into(),
        service: None,
        outside: "203.0.113.7:50123".into(),
        remote: "198.51.100.200:443".into(),
        incoming: false,
        state: "established".into(),
        idle_seconds: 7,
        left_seconds: 7_433,
        fast_path: true,
    };
    let into = Session {
        inside: "10.213.0.4:80".into(),
        service: Some("nginx".into()),
        outside: "203.0.113.7:8443".into(),
        incoming: true,
        state: "opening".into(),
        fast_path: false,
        ..out.clone()
    };
    let direct = Session {
        outside: out.inside.clone(),
        ..out.clone()
    };
    let text = sessions(&Sessions {
        sessions: vec![out, into, direct],
        more: true,
    });
    assert_eq!(
        text,
        "\
INSIDE               PROTO  OUTSIDE  REMOTE               STATE    IDLE  VIA
192.168.1.150:50123  tcp    :50123   198.51.100.200:443   open     7s    fast
nginx:80             tcp    :8443    <198.51.100.200:443  opening  7s    slow
192.168.1.150:50123  tcp    -        198.51.100.200:443   open     7s    fast
3 sessions, and there are more: ask for a --host (<: opened from there; fast: by
the kernel's fast path)
"
    );
    assert!(text.lines().take(4).all(|line| line.len() <= 80));
    let none = Sessions {
        sessions: Vec::new(),
        more: false,
    };
    assert_eq!(sessions(&none), "There is no session.\n");
}

#[test]
fn a_trace_is_a_numbered_list_with_its_end() {
    let step = |step: &str, text: &str| TraceStep {
        step: step.into(),
        text: text.into(),
    };
    let told = Trace {
        from: "wan".into(),
        protocol: "tcp".into(),
        source: "198.51.100.9:50000".into(),
        destination: "203.0.113.7:22".into(),
        verdict: "dropped".into(),
        reason: Some("wan_unsolicited_packets".into()),
        told: false,
        leaves_from: None,
        leaves_to: None,
        steps: vec![
            step("guard", "the guard of the ports lets it pass"),
            step(
                "zone",
                "it goes to the gateway's own address in the Internet\u{1b}[2J",
            ),
        ],
        summary: "It is dropped, silently: x (wan_unsolicited_packets). What to do: nothing."
            .into(),
    };
    assert_eq!(
        trace(&told),
        "\
tcp from 198.51.100.9:50000 to 203.0.113.7:22, as it comes from wan:
  1  guard     the guard of the ports lets it pass
  2  zone      it goes to the gateway's own address in the Internet?[2J
It is dropped, silently: x (wan_unsolicited_packets). What to do: nothing.
"
    );
}
