//! The status as Prometheus text (exposition format 0.0.4). Names: subsystem, noun, unit; counters
//! end in `_total`, and start again with the process that counts.

use hearth_client::words;
use hearth_model::api::{BudgetLine, Kind, NatJson, Net, Service, Status};
use hearth_model::state::UnitState;

mod network;

/// Type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics; `refused` are the console's own refused connections.
#[must_use]
pub fn text(status: &Status, network: Option<&Net>, refused: u64) -> String {
    let mut out = Text::default();
    let firmware = [("version", status.firmware.as_str())];
    out.family("firmware_info", GAUGE, "Version of the firmware");
    out.sample(&firmware, 1);
    out.one(
        "uptime_seconds",
        GAUGE,
        "Seconds since boot",
        status.uptime_seconds,
    );
    out.one(
        "wan_up",
        GAUGE,
        "1 where the Internet's side has an address",
        u64::from(status.wan.address.is_some()),
    );
    let problems = words::problems(status).len();
    out.one("problems", GAUGE, "Things that need a look", problems);
    out.family(
        "congestion",
        GAUGE,
        "1 for each resource that is short, and by whom",
    );
    for one in &status.congestion {
        let labels = [("resource", &*one.resource), ("culprit", &*one.culprit)];
        out.sample(&labels, 1);
    }
    if let Some(table) = &status.nat {
        nat(&mut out, table);
    }
    if let Some(network) = network {
        network::families(&mut out, network);
    }
    budget(&mut out, &status.budget);
    services(&mut out, &status.services);
    out.one(
        "web_connections_refused_total",
        COUNTER,
        "Connections to this console refused for want of a place",
        refused,
    );
    out.0
}

fn nat(out: &mut Text, table: &NatJson) {
    let NatJson {
        mappings,
        mappings_max,
        mappings_refused,
        received,
        forwarded,
        dropped,
        fast_path,
    } = table;
    out.one("nat_mappings", GAUGE, "NAT mappings now", mappings);
    out.one(
        "nat_mappings_max",
        GAUGE,
        "Places in the NAT table",
        mappings_max,
    );
    out.one(
        "nat_mappings_refused_total",
        COUNTER,
        "New flows refused for want of a place",
        mappings_refused,
    );
    let packets = [
        ("nat_packets_received_total", "Packets received", received),
        (
            "nat_packets_forwarded_total",
            "Packets passed on",
            forwarded,
        ),
        ("nat_packets_dropped_total", "Packets dropped", dropped),
    ];
    for (name, help, value) in packets {
        out.one(name, COUNTER, help, value);
    }
    if let Some(fast) = fast_path {
        out.one(
            "nat_packets_fast_path_total",
            COUNTER,
            "Packets passed on by the fast path in the kernel",
            fast,
        );
    }
}

fn budget(out: &mut Text, lines: &[BudgetLine]) {
    let families = [
        ("memory", "budget_memory_bytes", "Memory by who has it"),
        (
            "cpu",
            "budget_cpu_millicores",
            "Processor, thousandths of a core, by who has it",
        ),
        (
            "io",
            "budget_io_permille",
            "Time of the disk, thousandths, by who has it",
        ),
        (
            "storage",
            "budget_storage_bytes",
            "Data partition by who has it",
        ),
        (
            "pids",
            "budget_pids",
            "Processes and threads by who has them",
        ),
        (
            "upload",
            "budget_upload_bits_per_second",
            "The line towards the Internet by who has it",
        ),
        (
            "download",
            "budget_download_bits_per_second",
            "The line from the Internet by who has it",
        ),
    ];
    for (resource, name, help) in families {
        let Some(line) = lines.iter().find(|line| line.resource == resource) else {
            continue;
        };
        out.family(name, GAUGE, help);
        let parts = [
            ("system", line.system),
            ("reserved", line.reserved),
            ("free", line.free),
        ];
        for (part, value) in parts {
            out.sample(&[("part", part)], value);
        }
    }
}

/// A number of a service; `None` where it has none.
type Reading = fn(&Service) -> Option<String>;

fn services(out: &mut Text, services: &[Service]) {
    let families: [(&'static str, &'static str, &'static str, Reading); 8] = [
        ("service_up", GAUGE, "1 where it is active", |s| {
            let up = words::state(&s.state) == Some(UnitState::Active);
            Some(u8::from(up).to_string())
        }),
        ("service_wanted", GAUGE, "1 where it is to run", |s| {
            Some(u8::from(s.wanted).to_string())
        }),
        (
            "service_restarts_total",
            COUNTER,
            "Starts by itself since it was asked to start",
            |s| Some(s.restarts.to_string()),
        ),
        (
            "service_storage_bytes",
            GAUGE,
            "What its data takes (project quota)",
            |s| s.storage_bytes.map(|n| n.to_string()),
        ),
        (
            "service_memory_bytes",
            GAUGE,
            "Memory in use (cgroup v2 memory.current)",
            |s| s.memory_bytes.map(|n| n.to_string()),
        ),
        (
            "service_memory_max_bytes",
            GAUGE,
            "Hard limit of memory (cgroup v2 memory.max)",
            |s| s.memory_max_bytes.map(|n| n.to_string()),
        ),
        (
            "service_cpu_seconds_total",
            COUNTER,
            "Processor time used (cgroup v2 cpu.stat usage_usec)",
            |s| {
                s.cpu_usec
                    .map(|n| format!("{}.{:06}", n / 1_000_000, n % 1_000_000))
            },
        ),
        (
            "service_oom_kills_total",
            COUNTER,
            "Kills for memory (cgroup v2 memory.events oom_kill)",
            |s| s.oom_kills.map(|n| n.to_string()),
        ),
    ];
    for (name, kind, help, read) in families {
        out.family(name, kind, help);
        for service in services {
            let owner = match service.kind {
                Kind::System => "system",
                Kind::Service => "service",
            };
            if let Some(value) = read(service) {
                out.sample(&[("service", &service.name), ("kind", owner)], value);
            }
        }
    }
    out.family(
        "service_refused_total",
        COUNTER,
        "What its gates for devices and sockets refused, by reason",
    );
    for service in services {
        for (reason, count) in &service.refused {
            out.sample(&[("service", &service.name), ("reason", reason)], count);
        }
    }
}

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";

/// The text, and the name of the family that samples belong to.
#[derive(Default)]
struct Text(String, &'static str);

impl Text {
    fn family(&mut self, name: &'static str, kind: &'static str, help: &'static str) {
        self.0
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        self.1 = name;
    }

    fn sample(&mut self, labels: &[(&'static str, &str)], value: impl core::fmt::Display) {
        self.0.push_str(self.1);
        if !labels.is_empty() {
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, text)| format!("{name}=\"{}\"", label(text)))
                .collect();
            self.0.push_str(&format!("{{{}}}", labels.join(",")));
        }
        self.0.push_str(&format!(" {value}\n"));
    }

    fn one(
        &mut self,
        name: &'static str,
        kind: &'static str,
        help: &'static str,
        value: impl core::fmt::Display,
    ) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }
}

/// A label's value: backslash, quote and line feed are escaped, which is all that the format asks.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::{gateway, service};
    use std::collections::BTreeSet;

    #[test]
    fn a_gateway_is_told_in_numbers() {
        let text = text(&gateway(), None, 3);
        for line in [
            "firmware_info{version=\"0.1.0\"} 1",
            "wan_up 1",
            "nat_mappings 12",
            "# TYPE nat_mappings_refused_total counter",
            "nat_mappings_refused_total 2",
            "budget_memory_bytes{part=\"reserved\"} 20971520",
            "service_up{service=\"nginx\",kind=\"service\"} 1",
            "service_memory_bytes{service=\"nginx\",kind=\"service\"} 9961472",
            "service_restarts_total{service=\"nginx\",kind=\"service\"} 0",
            "service_cpu_seconds_total{service=\"nginx\",kind=\"service\"} 1.240000",
            "web_connections_refused_total 3",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out_and_not_told_as_zero() {
        // given netpath does not answer, and a unit without a cgroup
        let mut status = gateway();
        status.nat = None;
        status.services[0].memory_bytes = None;
        let text = text(&status, None, 0);
        assert!(!text.contains("nat_"), "{text}");
        assert!(!text.contains("service_memory_bytes{"), "{text}");
    }

    #[test]
    fn a_hostile_name_stays_one_label() {
        let mut status = gateway();
        status.services = vec![service("a\"} 1\nwan_up 0\n\\")];
        let text = text(&status, None, 0);
        assert!(
            text.contains(
                "service_up{service=\"a\\\"} 1\\nwan_up 0\\n\\\\\",kind=\"service\"} 1\n"
            ),
            "{text}"
        );
        assert_eq!(text.lines().filter(|l| l.starts_with("wan_up ")).count(), 1);
    }

    #[test]
    fn each_family_is_declared_once_before_its_samples() {
        let text = text(&gateway(), Some(&network::tests::home()), 0);
        let (mut seen, mut current) = (BTreeSet::new(), String::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                current = rest.split(' ').next().unwrap().to_owned();
                assert!(seen.insert(current.clone()), "{current} twice");
            } else if !line.starts_with('#') {
                assert_eq!(line.split(['{', ' ']).next().unwrap(), current, "{line}");
            }
        }
        assert!(seen.len() > 15, "{seen:?}");
    }
}
