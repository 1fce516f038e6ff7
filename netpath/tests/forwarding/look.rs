//! What people are told, beside what really passes.

use super::support::lab::{Lab, Side, Wan};
use super::support::manager::{Manager, routed, service, tcp};
use super::support::peers::{
    Conversation, ECHO_SERVER, Fetched, fetch, fetch_from, page, ping, serve, serve_page,
};
use hearth_model::drops::{DropReason, Stray};
use hearth_model::protocol::{
    Endpoint, Flow, FlowPath, FlowProtocol, FlowState, FromNetpath, GuardPlace, Look,
    NetworkPolicy, Seen, SessionRow, ToNetpath, TraceEnd, TraceReport, TraceStep, Zone,
};
use std::time::Duration;

fn look(manager: &mut Manager, look: Look) -> Seen {
    let ticket = 7;
    match manager.ask(&ToNetpath::Look { ticket, look }) {
        FromNetpath::Seen { ticket: 7, seen } => seen,
        other => panic!("{other:?}"),
    }
}

fn sessions(manager: &mut Manager) -> Vec<SessionRow> {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let question = Look::Sessions { from, host: None };
        let Seen::Sessions { rows, next } = look(manager, question) else {
            panic!("no sessions");
        };
        all.extend(rows);
        match next {
            Some(next) => from = next,
            None => return all,
        }
    }
}

fn dropped(manager: &mut Manager, reason: DropReason) -> u64 {
    let mut from = 0;
    loop {
        let Seen::Drops { rows, next } = look(manager, Look::Drops { from }) else {
            panic!("no drops");
        };
        if let Some(row) = rows.iter().find(|row| row.reason == reason) {
            return row.dropped + row.answered;
        }
        from = next.unwrap();
    }
}

fn end(address: &str, port: u16) -> Endpoint {
    let address = address.parse().unwrap();
    Endpoint { address, port }
}

fn trace(
    manager: &mut Manager,
    from: Zone,
    source: Endpoint,
    destination: Endpoint,
) -> TraceReport {
    let flow = Flow {
        from,
        protocol: FlowProtocol::Tcp,
        source,
        destination,
    };
    match look(manager, Look::Trace(flow)) {
        Seen::Trace(report) => report,
        other => panic!("{other:?}"),
    }
}

fn refused(report: &TraceReport) -> DropReason {
    match report.end {
        TraceEnd::Dropped { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_trace_says_what_then_happens_on_every_side() {
    // given a service that serves the Internet and may open nothing, and servers on both other sides
    let mut lab = Lab::new(Wan::Static);
    let mut manager = Manager::connect(&lab);
    manager.attach(0, routed(0, NetworkPolicy::None));
    let _page = serve_page(&mut lab, 0, "nginx");
    manager.forward(tcp(0, Zone::Wan, 8443, 80));
    serve(&mut lab, Side::Wan, "nginx");
    let (ann, far) = (end("192.168.1.50", 50_000), end("203.0.113.1", 80));
    let (web, external) = (end("10.213.0.2", 80), |port| end("203.0.113.50", port));
    let from_wan = end("203.0.113.1", 50_000);

    // a new flow of the home: told as open, and it is
    let report = trace(&mut manager, Zone::Lan, ann, far);
    assert_eq!(report.end, TraceEnd::Forwarded);
    let leaves = TraceStep::Leaves {
        to: Zone::Wan,
        source: external(50_000),
        destination: far,
    };
    assert!(report.steps.contains(&leaves), "{report:?}");
    assert!(report.steps.contains(&TraceStep::New));
    assert_eq!(
        fetch_from(&lab, Side::Lan, "http://203.0.113.1/", 5),
        page("nginx")
    );

    // a port that nobody opened: told as unsolicited, and it is silent and counted so
    let report = trace(&mut manager, Zone::Wan, from_wan, external(81));
    assert_eq!(refused(&report), DropReason::Unsolicited);
    let before = dropped(&mut manager, DropReason::Unsolicited);
    assert_eq!(
        fetch_from(&lab, Side::Wan, "http://203.0.113.50:81/", 1),
        Fetched::Silence
    );
    assert!(dropped(&mut manager, DropReason::Unsolicited) > before);

    // a port of a service: told as led there, and it is
    let report = trace(&mut manager, Zone::Wan, from_wan, external(8443));
    assert!(
        report.steps.contains(&TraceStep::Forward(web)),
        "{report:?}"
    );
    assert_eq!(
        fetch_from(&lab, Side::Wan, "http://203.0.113.50:8443/", 5),
        page("nginx")
    );

    // what the service's policy does not let out: told, and its sender is
    let report = trace(&mut manager, Zone::Service, end("10.213.0.2", 50_000), far);
    let told = TraceEnd::Dropped {
        reason: DropReason::ServicePolicy,
        told: true,
    };
    assert_eq!(report.end, told);
    assert_eq!(
        fetch(
            lab.in_service(0, &["curl", "-sS", "http://203.0.113.1/"]),
            5
        ),
        Fetched::Refused
    );

    // sources that are another's: told as the guard's or the machine's to drop, and they are
    let report = trace(&mut manager, Zone::Service, end("10.213.0.9", 1), far);
    assert_eq!(report.end, TraceEnd::Guarded(Stray::Source));
    let add = ["ip", "address", "add", "10.213.0.9/32", "dev", "eth0"];
    let spoof = [
        "ping",
        "-c",
        "1",
        "-W",
        "1",
        "-I",
        "10.213.0.9",
        "10.213.0.1",
    ];
    for words in [&add[..], &spoof[..]] {
        lab.in_service(0, words).output().unwrap();
    }
    let Seen::Guards { rows, .. } = look(&mut manager, Look::Guards { from: 0 }) else {
        panic!("no guards");
    };
    let own = GuardPlace::Link(service(0));
    let row = rows.iter().find(|row| row.place == own).unwrap();
    let (_, count) = Stray::ALL
        .iter()
        .zip(row.dropped)
        .find(|(reason, _)| **reason == Stray::Source)
        .unwrap();
    assert!(count > 0, "{rows:?}");
    let report = trace(&mut manager, Zone::Lan, end("172.16.0.9", 1), far);
    assert_eq!(refused(&report), DropReason::ReversePath);
    let before = dropped(&mut manager, DropReason::ReversePath);
    lab.ip_batch(Side::Lan, "address add 172.16.0.9/32 dev l0");
    lab.run(
        Side::Lan,
        &[
            "ping",
            "-c",
            "1",
            "-W",
            "1",
            "-I",
            "172.16.0.9",
            "203.0.113.1",
        ],
    );
    assert!(dropped(&mut manager, DropReason::ReversePath) > before);
}

#[test]
fn a_live_flow_is_listed_traced_and_counted() {
    // given a conversation of a home host with the Internet
    let mut lab = Lab::new(Wan::Static);
    let mut manager = Manager::connect(&lab);
    let server = lab.spawn(Side::Wan, &["python3", "-c", ECHO_SERVER, "9000"]);
    lab.keep(server);
    lab.until_listens(Side::Wan, "tcp", 9000);
    let mut talk = Conversation::open(&lab, Side::Lan, "203.0.113.1", "9000");
    for line in ["one", "two", "three", "four"] {
        talk.say(line);
        assert_eq!(talk.hear(Duration::from_secs(10)).as_deref(), Some(line));
    }
    // then it is listed with all three ends, and carried
    let all = sessions(&mut manager);
    let row = all
        .iter()
        .find(|row| row.remote == end("203.0.113.1", 9000));
    let row = *row.unwrap_or_else(|| panic!("{all:?}"));
    assert_eq!(row.inside.address, end("192.168.1.50", 0).address);
    assert_eq!(row.outside, end("203.0.113.50", row.inside.port));
    assert_eq!((row.state, row.carried), (FlowState::Established, true));
    // and a trace of its packets, from both ends, knows it
    for (zone, source, destination, answer) in [
        (Zone::Lan, row.inside, row.remote, false),
        (Zone::Wan, row.remote, row.outside, true),
    ] {
        let report = trace(&mut manager, zone, source, destination);
        let known = report.steps.iter().any(|step| {
            matches!(step, TraceStep::Known { answer: is, state: FlowState::Established, .. } if *is == answer)
        });
        assert!(known, "{report:?}");
        assert!(
            report.steps.contains(&TraceStep::Path(FlowPath::Carried)),
            "{report:?}"
        );
    }
    // and its host is told with what it sent and received, pings too, after netpath has looked
    let said = ping(&lab, Side::Lan, &["-c", "2", "-i", "0.2", "203.0.113.1"]);
    assert!(said.contains(" 0% packet loss"), "{said}");
    look(&mut manager, Look::Report);
    let Seen::Hosts { rows, .. } = look(&mut manager, Look::Hosts { from: 0 }) else {
        panic!("no hosts");
    };
    let host = rows.iter().find(|host| host.address == row.inside.address);
    let host = host.unwrap();
    assert!(
        host.sent.packets >= 8 && host.received.packets >= 8,
        "{host:?}"
    );
    assert!(host.sessions >= 2, "{host:?}");
}
