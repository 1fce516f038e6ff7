//! Goldens of the tables, and the properties that hold for any text a service may choose.

use super::guard::forwarding;
use super::*;
use hearth_model::api::ForwardingJson;
use proptest::prelude::*;

/// A healthy service.
pub(crate) fn service(name: &str) -> Service {
    Service {
        name: name.into(),
        kind: Kind::Service,
        version: "1.0".into(),
        title: "Web server".into(),
        state: "Active".into(),
        fault: "NoFault".into(),
        message: String::new(),
        life: hearth_model::api::LifeJson::default(),
        wanted: true,
        rank: Some(1),
        pid: 214,
        restarts: 0,
        since_seconds: 185,
        memory_bytes: Some(9_961_472),
        memory_max_bytes: Some(64 << 20),
        cpu_usec: Some(1_240_000),
        oom_kills: Some(0),
        refused: std::collections::BTreeMap::new(),
        storage_bytes: None,
        storage_max_bytes: None,
        address: None,
        listens: vec!["lan tcp 8080 -> 80".into()],
    }
}

/// A gateway with one healthy service, one that is stopped for good, and one process of its own.
pub(crate) fn gateway() -> Status {
    let mut broken = service("dnsmasq");
    broken.state = "Restarting".into();
    broken.fault = "FailureWhileActive".into();
    broken.message = "it ended with exit status 2 (5 times); read 'hearth logs dnsmasq' and check \
                      its manifest"
        .into();
    (broken.pid, broken.restarts, broken.memory_bytes) = (0, 5, None);
    let mut system = service("hearth-netpath");
    (system.kind, system.memory_bytes, system.memory_max_bytes) = (Kind::System, None, None);
    (system.cpu_usec, system.rank, broken.rank) = (None, None, Some(2));
    Status {
        firmware: "0.1.0".into(),
        uptime_seconds: 7999,
        wan: WanJson {
            address: Some("203.0.113.7/24".into()),
            router: Some("203.0.113.1".into()),
            resolvers: vec!["9.9.9.9".into()],
        },
        lan: "192.168.1.1/24".into(),
        guest: None,
        console_url: "http://192.168.1.1/".into(),
        sandbox: SandboxJson {
            landlock_level: 2,
            time_namespaces: true,
        },
        congestion: Vec::new(),
        budget: vec![
            BudgetLine {
                resource: "memory".into(),
                total: 2 << 30,
                system: 256 << 20,
                reserved: 20 << 20,
                free: (2 << 30) - (276 << 20),
            },
            BudgetLine {
                resource: "cpu".into(),
                total: 1000,
                system: 300,
                reserved: 75,
                free: 625,
            },
        ],
        nat: Some(NatJson {
            mappings: 12,
            mappings_max: 4096,
            mappings_refused: 0,
            received: 1234,
            forwarded: 1230,
            dropped: 4,
            fast_path: Some(1200),
        }),
        forwarding: ForwardingJson {
            weight: Some(200),
            charged: vec!["nginx".into()],
            lacking: Vec::new(),
        },
        services: vec![system, service("nginx"), broken],
        notes: Vec::new(),
        problems: vec!["package radio: image.squashfs is damaged; install it again".into()],
    }
}

#[test]
fn ps_shows_services_first_and_explains_the_unhealthy() {
    assert_eq!(
        ps(&gateway().services),
        "\
NAME            RANK  STATE       PID  RESTARTS  MEMORY    CPU(s)  SINCE
nginx           1     Active      214  0         9.5M/64M  1.2     3m05s
dnsmasq         2     Restarting  -    5         -         1.2     3m05s
  ! it ended with exit status 2 (5 times); read 'hearth logs dnsmasq' and check
    its manifest
hearth-netpath  -     Active      214  0         -         -       3m05s
"
    );
}

#[test]
fn forwards_are_a_table_with_what_is_wrong_below() {
    // given two forwards, of which one is closed
    let open = PortForward {
        transport: hearth_model::protocol::Transport::Tcp,
        first: 8_022,
        last: 8_022,
        host: Some([192, 168, 1, 50].into()),
        service: None,
        to_port: 22,
        state: "open".into(),
        message: String::new(),
    };
    let refused = PortForward {
        first: 8_000,
        last: 8_010,
        host: None,
        service: Some("nginx".into()),
        to_port: 80,
        state: "refused".into(),
        message: "there is no service nginx".into(),
        ..open.clone()
    };
    assert_eq!(
        forward(&open),
        "tcp port 8022 leads to 192.168.1.50 port 22\n"
    );
    assert_eq!(
        forwards(&[open, refused]),
        "\
PROTOCOL  PORT       TARGET        ITS PORT  STATE
tcp       8022       192.168.1.50  22        open
tcp       8000-8010  nginx         80-90     refused
  ! there is no service nginx
"
    );
    assert_eq!(forwards(&[]), "No port is forwarded.\n");
}

#[test]
fn ps_tells_what_gates_have_refused() {
    let mut curious = service("radio");
    let counts = [
        ("gateway", 4),
        ("ipv6", 9),
        ("outside-home", 1),
        ("port", 0),
    ];
    curious.refused = counts
        .map(|(reason, count)| (reason.to_owned(), count))
        .into();
    let text = ps(&[curious]);
    assert!(
        text.ends_with("  ! its gates have refused: 4 gateway, 1 outside-home\n"),
        "{text}"
    );
}

#[test]
fn status_names_every_problem_first() {
    let text = status(&gateway());
    assert_eq!(
        text.split("\nNAME").next().unwrap(),
        "\
Hearth 0.1.0, up 2h13m
Problems:
  - package radio: image.squashfs is damaged; install it again
  - dnsmasq: it ended with exit status 2 (5 times); read 'hearth logs dnsmasq'
    and check its manifest

WAN      203.0.113.7/24 via 203.0.113.1, DNS 9.9.9.9
LAN      192.168.1.1/24
Console  http://192.168.1.1/
NAT      12 of 4096 mappings, 0 refused; packets: 1234 in, 1230 passed on (1200
         by the fast path), 4 dropped
Guard    forwarding keeps 20 % of a core; these pay for their own packets: nginx
Sandbox  Landlock level 2 of 6; clocks of its own

BUDGET  TOTAL  SYSTEM  RESERVED  FREE
memory  2G     256M    20M       1.7G
cpu     100 %  30 %    7.5 %     62.5 %
"
    );
}

#[test]
fn a_dead_netpath_and_a_missing_address_are_told_with_a_remedy() {
    // given a gateway without netpath, address and services
    let mut bare = gateway();
    (bare.nat, bare.wan) = (None, WanJson::default());
    (bare.services, bare.problems) = (Vec::new(), Vec::new());
    // when it is told
    let text = status(&bare);
    // then each absence is named
    for part in [
        "All is well.",
        "no address yet; check the cable",
        "hearth-netpath does not answer",
        "No service is installed.",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn the_longest_row_fits_a_serial_console() {
    // given the longest name, state, pid, amounts and times that can be
    let mut long = service("abcdefghijabcdefghijabcdefghijab");
    (long.state, long.pid, long.restarts) = ("Restarting".into(), 4_194_303, 4_294_967_295);
    long.rank = Some(256);
    (long.memory_bytes, long.memory_max_bytes) = (Some(999 << 20), Some(999 << 20));
    (long.cpu_usec, long.since_seconds) = (Some(31_536_000_000_000), 86_400 * 99);
    // when it is shown
    let text = ps(&[long]);
    // then no line is too wide and the name is whole
    assert!(text.lines().all(|l| l.len() <= COLUMNS), "{text}");
    assert!(
        text.contains("abcdefghijabcdefghijabcdefghijab\n"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn any_text_is_wrapped_without_loss(words in prop::collection::vec("[!-~]{1,120}", 0..20)) {
        // given words, some longer than a line
        let told = wrap("  ! ", &words.join(" "));
        // then every line fits and every character is there in order
        prop_assert!(told.lines().all(|line| line.len() <= COLUMNS));
        let strip = |s: &str| s.replace([' ', '\n'], "");
        prop_assert_eq!(strip(&told), format!("!{}", strip(&words.join(" "))));
    }

    #[test]
    fn hostile_text_stays_printable_and_narrow(name in ".{0,32}", message in ".{0,200}") {
        let mut hostile = service(&name);
        hostile.message = message;
        for line in ps(&[hostile]).lines() {
            prop_assert!(line.len() <= COLUMNS);
            prop_assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)));
        }
    }
}

#[test]
fn an_event_is_one_line_with_its_level_where_something_is_wrong() {
    let mut one = Event {
        id: 7,
        time: 1_764_064_800,
        uptime_ms: 9000,
        level: "informational".into(),
        object: "service nginx".into(),
        text: "Active pid=99".into(),
    };
    assert_eq!(
        event(&one),
        "2025-11-25T10:00:00Z service nginx: Active pid=99\n"
    );
    // A text that a service has chosen does not reach the terminal.
    (one.level, one.text) = ("warning".into(), "ended\x1b[2J\n".into());
    assert_eq!(
        event(&one),
        "2025-11-25T10:00:00Z warning: service nginx: ended?[2J?\n"
    );
}

#[test]
fn a_doctor_ends_with_the_cause_and_the_advice() {
    let check = |name: &str, outcome, text: &str| hearth_model::api::Check {
        name: name.into(),
        outcome,
        text: text.into(),
    };
    let mut report = Doctor {
        well: false,
        cause: Some("port eth1 to the Internet has no cable".into()),
        advice: Some("check the cable in eth1".into()),
        checks: vec![
            check(
                "link",
                Outcome::Failed,
                "port eth1 to the Internet has no cable",
            ),
            check("services", Outcome::Good, "3 run as asked"),
        ],
    };
    assert_eq!(
        doctor(&report),
        "link      FAILED  port eth1 to the Internet has no cable\n\
         services  good    3 run as asked\n\n\
         Cause:   port eth1 to the Internet has no cable\n\
         To do:   check the cable in eth1\n"
    );
    (report.well, report.cause, report.advice) = (true, None, None);
    assert!(doctor(&report).ends_with("\n\nAll is well.\n"));
}

#[test]
fn status_says_who_is_charged_for_packets_and_why_not() {
    let nothing = ForwardingJson {
        weight: None,
        charged: Vec::new(),
        lacking: vec!["forwarding is charged to whoever runs: no port is up yet".into()],
    };
    assert_eq!(
        forwarding(&nothing),
        "forwarding has no share of the processor of its own; forwarding is charged to whoever runs: no \
         port is up yet"
    );
}
