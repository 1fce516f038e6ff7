//! What is wrong with this gateway: checks in the order in which a packet needs things, one cause, one advice. Pure: facts in,
//! a report out.

use super::congestion::Scarce;
use crate::limits::{CLOCK_EARLIEST, NAT_FULL_PERCENT, STORAGE_FULL_PERCENT};
use hearth_model::api::{Check, Doctor, Kind, Outcome, Service, Status};
use hearth_model::calendar;
use hearth_model::state::{Fault, UnitState};

/// A network port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// There is no such interface.
    Missing,
    /// It is there without a cable, or switched off.
    Down,
    /// It has a carrier.
    Up,
}

/// What came back from somebody who was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An answer.
    Good,
    /// An answer that it will not or can not.
    Bad,
    /// Nothing in time.
    Silent,
    /// Nobody was there to be asked.
    NotAsked,
}

/// Everything that is known.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What the manager knows.
    pub status: Status,
    /// The home's port, and its name.
    pub lan: (String, Port),
    /// The Internet's port, and its name.
    pub wan: (String, Port),
    /// Whether the next hop has told its hardware address.
    pub router: Answer,
    /// The operator's resolvers, in the order in which they are used.
    pub resolvers: Vec<(String, Answer)>,
    /// The home's resolver.
    pub home: (String, Answer),
    /// The data partition: used and all, bytes.
    pub data: Option<(u64, u64)>,
    /// Seconds since 1970.
    pub clock: u64,
}

/// A check that has failed: what is wrong and what to do.
type Wrong = (String, String);

/// Looks at everything. The cause is the first failure of those that others follow from.
#[must_use]
pub fn diagnose(facts: &Facts) -> Doctor {
    let checks = [
        ("link", link(facts)),
        ("address", address(facts)),
        ("dns", dns(facts)),
        ("wan", wan(facts)),
        ("nat", nat(facts)),
        ("services", services(facts)),
        ("congestion", congestion(facts)),
        ("storage", storage(facts)),
        ("time", time(facts)),
    ];
    // Without a next hop no name is resolved: the line comes before its names.
    let [link, address, dns, wan, rest @ ..] = &checks;
    let mut by_cause = [link, address, wan, dns].into_iter().chain(rest);
    let cause = by_cause.find_map(|(_, check)| check.as_ref().err());
    Doctor {
        well: cause.is_none(),
        cause: cause.map(|(what, _)| what.clone()),
        advice: cause.map(|(_, advice)| advice.clone()),
        checks: checks
            .iter()
            .map(|(name, check)| Check {
                name: (*name).to_owned(),
                outcome: match check {
                    Ok(_) => Outcome::Good,
                    Err(_) => Outcome::Failed,
                },
                text: match check {
                    Ok(text) => text.clone(),
                    Err((text, _)) => text.clone(),
                },
            })
            .collect(),
    }
}

fn link(facts: &Facts) -> Result<String, Wrong> {
    for ((name, port), side) in [(&facts.wan, "Internet"), (&facts.lan, "home")] {
        match port {
            Port::Missing => {
                let what = format!("there is no port {name} for the {side}'s side");
                let advice = format!(
                    "see `dmesg` for its driver, or name another in [{}] of gateway.toml",
                    if side == "home" { "lan" } else { "wan" }
                );
                return Err((what, advice));
            }
            Port::Down => {
                let what = format!("port {name} to the {side} has no cable, or is switched off");
                let advice = format!("check the cable in {name} and the device at its other end");
                return Err((what, advice));
            }
            Port::Up => {}
        }
    }
    Ok(format!("{} and {} are up", facts.lan.0, facts.wan.0))
}

fn address(facts: &Facts) -> Result<String, Wrong> {
    match &facts.status.wan.address {
        Some(address) => Ok(format!("the Internet's side has {address}")),
        None => Err((
            "the operator has given no address".to_owned(),
            "switch the modem off and on and wait two minutes; if it stays, call the operator"
                .to_owned(),
        )),
    }
}

fn dns(facts: &Facts) -> Result<String, Wrong> {
    let (home, answer) = &facts.home;
    let own = service_at(&facts.status, home);
    if *answer != Answer::Good
        && let Some(service) = own.filter(|service| !is_active(service))
    {
        let name = &service.name;
        let what = format!("no names in the home: service {name} is {}", service.state);
        return Err((
            what,
            format!("hearth start {name}; if it fails, hearth logs {name}"),
        ));
    }
    let answered = facts
        .resolvers
        .iter()
        .any(|(_, answer)| *answer == Answer::Good);
    if facts.resolvers.is_empty() {
        return Err((
            "the operator has named no resolver".to_owned(),
            "set wan.resolvers in gateway.toml (mode static), or call the operator".to_owned(),
        ));
    }
    if !answered {
        let names: Vec<&str> = facts
            .resolvers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let what = format!(
            "the operator's resolvers do not answer: {}",
            names.join(", ")
        );
        return Err((
            what,
            "wait ten minutes; if it stays, call the operator".to_owned(),
        ));
    }
    if *answer != Answer::Good {
        let what = format!("the home's resolver {home} does not answer, the operator's do");
        let advice = own.map_or_else(
            || "no service has this address: install dnsmasq".to_owned(),
            |service| {
                format!(
                    "hearth restart {0}; if it stays, hearth logs {0}",
                    service.name
                )
            },
        );
        return Err((what, advice));
    }
    Ok(format!("{home} and the operator's resolvers answer"))
}

fn wan(facts: &Facts) -> Result<String, Wrong> {
    let Some(router) = &facts.status.wan.router else {
        return match facts.status.wan.address {
            Some(_) => Err((
                "there is no next hop to the Internet".to_owned(),
                "set wan.router in gateway.toml (mode static), or call the operator".to_owned(),
            )),
            None => Err((
                "not reachable without an address".to_owned(),
                "see the check of the address".to_owned(),
            )),
        };
    };
    match facts.router {
        Answer::Good => Ok(format!("the next hop {router} answers")),
        Answer::Bad | Answer::Silent | Answer::NotAsked => Err((
            format!("the next hop {router} does not answer"),
            "switch the modem off and on; if it stays, call the operator".to_owned(),
        )),
    }
}

fn nat(facts: &Facts) -> Result<String, Wrong> {
    let Some(nat) = &facts.status.nat else {
        return Err((
            "hearth-netpath does not answer: nothing new is forwarded".to_owned(),
            "hearth restart hearth-netpath; if it stays, see `dmesg`".to_owned(),
        ));
    };
    let text = format!(
        "{} of {} mappings are in use",
        nat.mappings, nat.mappings_max
    );
    let used = u64::from(nat.mappings) * 100;
    if used >= u64::from(nat.mappings_max) * NAT_FULL_PERCENT {
        return Err((
            format!("the NAT table is full: {text}"),
            "find the host that opens so many connections and switch it off".to_owned(),
        ));
    }
    Ok(text)
}

fn services(facts: &Facts) -> Result<String, Wrong> {
    let rows = &facts.status.services;
    if let Some(row) = rows.iter().find(|row| row.wanted && is_faulty(row)) {
        let (name, state) = (&row.name, &row.state);
        let why = match row.message.as_str() {
            "" => String::new(),
            text => format!(": {text}"),
        };
        let advice = match row.kind {
            Kind::Service => format!("hearth logs {name}; then hearth restart {name}"),
            Kind::System => "it is started again by itself; if it stays, see `dmesg`".to_owned(),
        };
        return Err((format!("{name} is {state}{why}"), advice));
    }
    if let Some(problem) = facts.status.problems.first() {
        return Err((problem.clone(), "see hearth status".to_owned()));
    }
    let wanted = rows
        .iter()
        .filter(|row| row.wanted && row.kind == Kind::Service);
    Ok(format!("{} run as asked", wanted.count()))
}

/// Who waits for whom. A full data partition is the next check's.
fn congestion(facts: &Facts) -> Result<String, Wrong> {
    let mut short = facts.status.congestion.iter();
    match short.find(|one| one.resource != Scarce::Storage.name()) {
        Some(one) => {
            let advice = one.advice.clone();
            let cause = one.text.strip_suffix(&format!("; {advice}"));
            Err((cause.unwrap_or(&one.text).to_owned(), advice))
        }
        None => Ok("nobody waits for another".to_owned()),
    }
}

fn storage(facts: &Facts) -> Result<String, Wrong> {
    let Some((used, all)) = facts.data else {
        return Err((
            "the data partition can not be read".to_owned(),
            "see `dmesg` for the disk; what services keep is lost at a restart".to_owned(),
        ));
    };
    let is_full = |used: u64, all: u64| {
        u128::from(used) * 100 >= u128::from(all) * u128::from(STORAGE_FULL_PERCENT)
    };
    let percent = u128::from(used) * 100 / u128::from(all.max(1));
    if is_full(used, all) {
        let rows = facts.status.services.iter();
        let largest = rows.max_by_key(|row| row.storage_bytes);
        let advice = largest
            .filter(|row| row.storage_bytes > Some(0))
            .map_or_else(
                || "remove packages or files in /data".to_owned(),
                |row| format!("{} has the most; delete some of its data", row.name),
            );
        return Err((
            format!("the data partition is full: {percent} % used"),
            advice,
        ));
    }
    let rows = facts.status.services.iter();
    let full = rows
        .filter_map(|row| Some((row, row.storage_bytes?, row.storage_max_bytes?)))
        .find(|&(_, used, max)| is_full(used, max));
    if let Some((row, _, _)) = full {
        let name = &row.name;
        let what = format!("service {name} has used up its storage");
        let advice = format!("delete some of its data, or raise resources.storage.max of {name}");
        return Err((what, advice));
    }
    Ok(format!("{percent} % of the data partition is used"))
}

fn time(facts: &Facts) -> Result<String, Wrong> {
    let text = calendar::time(facts.clock);
    if facts.clock < CLOCK_EARLIEST {
        return Err((
            format!("the clock is wrong: {text}"),
            "set it: date -u -s '2026-11-25 09:00'; usage records need it".to_owned(),
        ));
    }
    Ok(text)
}

fn service_at<'a>(status: &'a Status, address: &str) -> Option<&'a Service> {
    let mut rows = status.services.iter();
    rows.find(|row| row.address.as_deref() == Some(address))
}

fn is_active(row: &Service) -> bool {
    row.state == UnitState::Active.to_string()
}

fn is_faulty(row: &Service) -> bool {
    let starts = row.state == UnitState::Starting.to_string() && row.message.is_empty();
    !(starts || is_active(row)) || row.fault != Fault::NoFault.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_model::api::{Congestion, NatJson, WanJson};

    fn row(name: &str, address: Option<&str>) -> Service {
        let row = serde_json::json!({
            "name": name, "kind": "service", "version": "1", "title": "", "state": "Active",
            "fault": "NoFault", "message": "", "wanted": true, "pid": 7, "restarts": 0,
            "since_seconds": 9, "address": address, "listens": [],
            "storage_bytes": 10, "storage_max_bytes": 100,
        });
        serde_json::from_value(row).unwrap()
    }

    fn uplink() -> Congestion {
        Congestion {
            resource: "uplink".into(),
            culprit: "backup".into(),
            victims: vec!["video".into()],
            since_seconds: 9,
            text: "backup takes so much of the line to the Internet that video waits; hearth rank \
                   video backup: video then comes before backup"
                .into(),
            advice: "hearth rank video backup: video then comes before backup".into(),
        }
    }

    fn good() -> Facts {
        let nat = serde_json::json!({
            "mappings": 5, "mappings_max": 100, "mappings_refused": 0, "received": 9,
            "forwarded": 9, "dropped": 0, "fast_path": null,
        });
        Facts {
            status: Status {
                firmware: "1".into(),
                uptime_seconds: 60,
                wan: WanJson {
                    address: Some("203.0.113.7/24".into()),
                    router: Some("203.0.113.1".into()),
                    resolvers: vec!["9.9.9.9".into()],
                },
                lan: "192.168.1.1/24".into(),
                guest: None,
                console_url: String::new(),
                budget: Vec::new(),
                nat: Some(serde_json::from_value::<NatJson>(nat).unwrap()),
                services: vec![row("dnsmasq", Some("192.168.1.2")), row("web", None)],
                forwarding: hearth_model::api::ForwardingJson::default(),
                sandbox: hearth_model::api::SandboxJson::default(),
                congestion: Vec::new(),
                notes: Vec::new(),
                problems: Vec::new(),
            },
            lan: ("eth0".into(), Port::Up),
            wan: ("eth1".into(), Port::Up),
            router: Answer::Good,
            resolvers: vec![("9.9.9.9".into(), Answer::Good)],
            home: ("192.168.1.2".into(), Answer::Good),
            data: Some((10, 100)),
            clock: CLOCK_EARLIEST,
        }
    }

    #[test]
    fn all_is_well_where_nothing_is_wrong() {
        let report = diagnose(&good());
        assert!(report.well, "{report:#?}");
        let names: Vec<&str> = report.checks.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "link",
                "address",
                "dns",
                "wan",
                "nat",
                "services",
                "congestion",
                "storage",
                "time"
            ]
        );
    }

    #[test]
    fn each_fault_is_the_cause_with_its_advice_also_where_others_follow_from_it() {
        /// What is broken, which check says so, and words of cause and advice.
        type Case = (fn(&mut Facts), &'static str, &'static str, &'static str);
        let no_line = |facts: &mut Facts| {
            (facts.status.wan.address, facts.status.wan.router) = (None, None);
            facts.router = Answer::NotAsked;
            facts.resolvers.clear();
        };
        let cases: [Case; 15] = [
            (
                |f| {
                    f.wan.1 = Port::Down;
                    (f.status.wan.address, f.status.wan.router) = (None, None);
                    f.resolvers.clear();
                },
                "link",
                "eth1 to the Internet has no cable",
                "cable in eth1",
            ),
            (|f| f.lan.1 = Port::Missing, "link", "no port eth0", "[lan]"),
            (no_line, "address", "given no address", "modem"),
            (
                |f| {
                    f.router = Answer::Silent;
                    f.resolvers[0].1 = Answer::Silent;
                    f.home.1 = Answer::Silent;
                },
                "wan",
                "next hop 203.0.113.1 does not",
                "modem",
            ),
            (
                |f| f.status.wan.router = None,
                "wan",
                "no next hop",
                "wan.router",
            ),
            (
                |f| f.resolvers[0].1 = Answer::Bad,
                "dns",
                "9.9.9.9",
                "operator",
            ),
            (
                |f| f.resolvers.clear(),
                "dns",
                "named no resolver",
                "wan.resolvers",
            ),
            (
                |f| {
                    f.home.1 = Answer::Silent;
                    f.status.services[0].state = "Idle".into();
                    f.status.services[0].wanted = false;
                },
                "dns",
                "dnsmasq is Idle",
                "hearth start dnsmasq",
            ),
            (
                |f| f.home.1 = Answer::Silent,
                "dns",
                "192.168.1.2 does not",
                "hearth restart dnsmasq",
            ),
            (
                |f| f.status.nat = None,
                "nat",
                "netpath does not",
                "hearth restart hearth-netpath",
            ),
            (
                |f| f.status.nat.as_mut().unwrap().mappings = 99,
                "nat",
                "99 of 100",
                "host",
            ),
            (
                |f| {
                    f.status.services[1].state = "Restarting".into();
                    f.status.services[1].message = "exit status 1".into();
                },
                "services",
                "web is Restarting: exit status 1",
                "hearth logs web",
            ),
            (
                |f| f.status.congestion = vec![uplink()],
                "congestion",
                "backup takes so much of the line to the Internet that video waits",
                "hearth rank video backup: video then comes before backup",
            ),
            (
                |f| f.data = Some((99, 100)),
                "storage",
                "99 % used",
                "has the most",
            ),
            (|f| f.clock = 0, "time", "1970-01-01", "date -u -s"),
        ];
        for (broken, check, cause, advice) in cases {
            let mut facts = good();
            broken(&mut facts);
            let report = diagnose(&facts);
            let told = report.cause.clone().unwrap_or_default();
            assert!(told.contains(cause), "{check}: {report:#?}");
            let given = report.advice.clone().unwrap_or_default();
            assert!(given.contains(advice), "{check}: {report:#?}");
            let failed = report.checks.iter().find(|c| c.name == check).unwrap();
            assert_eq!((failed.outcome, &failed.text), (Outcome::Failed, &told));
            assert!(!report.well);
        }
    }
}
