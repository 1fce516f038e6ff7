//! What a manifest means, in the words of a household: what the service may do, what it asks for beyond the
//! usual, and what no service can do. Everything here is enforced; nothing is a promise of the vendor's.

use crate::ServiceName;
use crate::manifest::{Grant, LinkKind, Listen, Manifest, Network, Ready};
use crate::protocol::{LineShare, NetworkShare, TrafficClass, Zone};
use crate::units::{BitsPerSec, Bytes, MilliCpu};
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A manifest in plain words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Name.
    pub name: String,
    /// Title, version and vendor, as one line.
    pub about: String,
    /// What it may do, by area.
    pub may: Vec<Area>,
    /// System calls beyond every policy.
    pub extra_calls: Vec<ExtraCall>,
    /// What it can not do, whatever its manifest says.
    pub never: Vec<String>,
}

/// What it may do in one area.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// Files, network, ports, devices, limits, system.
    pub area: String,
    /// Sentences.
    pub says: Vec<String>,
}

/// A system call that a manifest adds, with its author's reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraCall {
    /// Its name, as the kernel has it.
    pub call: String,
    /// Why the author needs it.
    pub reason: String,
}

/// What each shipped policy lets a service do. A test of the launcher's holds this against its files.
const POLICIES: [(&str, &str); 5] = [
    (
        "network-client",
        "It may open connections of its own (TCP and UDP).",
    ),
    (
        "network-server",
        "It may wait for connections of others (TCP and UDP).",
    ),
    (
        "netlink",
        "It may look at the addresses and routes of its own network; not change them.",
    ),
    ("dhcp-server", "It may hand out addresses in your home."),
    (
        "exec-children",
        "It may start further programs of its own; each has the same limits.",
    ),
];

/// True of every service: namespaces, mounts, ids, filter and gates see to it.
const NEVER: [&str; 6] = [
    "see or change your files, the gateway's files, or those of another service",
    "see, stop or look into any program but its own",
    "read or change what others send over the network",
    "become the gateway's administrator, or change its settings, time or software",
    "use a device of the gateway that is not listed above",
    "use more memory, processes or storage than is listed above",
];

/// The words for a policy of the launcher's; `None` for one that is not known here.
#[must_use]
pub fn policy_words(name: &str) -> Option<&'static str> {
    let known = POLICIES.iter().find(|(known, _)| *known == name);
    known.map(|(_, words)| *words)
}

impl Explanation {
    /// What `manifest` means.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Explanation {
        let area = |area: &str, says| Area {
            area: area.to_owned(),
            says,
        };
        let by = match manifest.vendor() {
            "" => String::new(),
            vendor => format!(", by {vendor}"),
        };
        let (title, version) = (manifest.title(), manifest.version());
        let calls = manifest.extra_syscalls().iter();
        Explanation {
            name: manifest.name().as_str().to_owned(),
            about: format!("{title}, version {version}{by}"),
            may: [
                area("files", files(manifest)),
                area("network", network(manifest)),
                area("ports", ports(manifest)),
                area("devices", devices(manifest)),
                area("limits", limits(manifest)),
                area("system", system(manifest)),
            ]
            .into(),
            extra_calls: calls
                .map(|call| ExtraCall {
                    call: call.name.clone(),
                    reason: call.reason.clone(),
                })
                .collect(),
            never: NEVER.map(str::to_owned).into(),
        }
    }
}

fn files(manifest: &Manifest) -> Vec<String> {
    let mut says = vec![
        "It sees the files that it came with, and can not change them.".to_owned(),
        format!(
            "It keeps data of its own, at most {}; no other service can read it.",
            manifest.storage_max()
        ),
        "Its temporary files are gone when it stops.".to_owned(),
    ];
    if manifest.grants(Grant::Api) {
        says.push(
            "It can read how the gateway and its services are doing; it can not change anything."
                .to_owned(),
        );
    }
    if manifest.grants(Grant::Resolvers) {
        says.push("It can read which name servers your Internet provider uses.".to_owned());
    }
    says
}

fn network(manifest: &Manifest) -> Vec<String> {
    let whose = match manifest.link() {
        LinkKind::Routed | LinkKind::Bridged => "the devices in your home",
        LinkKind::Guest => "your guests' devices",
    };
    let mut says = vec![match manifest.network() {
        Network::None => return vec!["It has no network.".to_owned()],
        Network::Lan => format!("It can talk to {whose}, and not to the Internet."),
        Network::Wan => format!("It can talk to the Internet and to {whose}."),
    }];
    match manifest.link() {
        LinkKind::Routed => {}
        LinkKind::Bridged => {
            says.push("In your home it appears as a device with an address of its own.".to_owned());
        }
        LinkKind::Guest => {
            says.push("It is not in your home, but among your guests.".to_owned());
        }
    }
    says.push(
        "It can not talk to other services, and not to the gateway but for what is listed here."
            .to_owned(),
    );
    says
}

fn ports(manifest: &Manifest) -> Vec<String> {
    let mut says: Vec<String> = manifest.listen().iter().map(port).collect();
    if manifest.link().is_bridged() {
        let own: BTreeSet<String> = manifest
            .served()
            .iter()
            .map(|served| format!("{} {}", served.transport, served.port))
            .collect();
        let own: Vec<String> = own.into_iter().collect();
        if !own.is_empty() {
            let own = own.join(", ");
            let whose = match manifest.link() {
                LinkKind::Routed | LinkKind::Bridged => "Devices in your home",
                LinkKind::Guest => "Guests' devices",
            };
            says.push(format!("{whose} reach it at its own address: {own}."));
        }
    }
    if says.is_empty() {
        says.push("Nobody can open a connection to it.".to_owned());
    }
    says
}

fn port(listen: &Listen) -> String {
    let Listen {
        from,
        transport,
        port,
        ..
    } = listen;
    match from {
        Zone::Wan => format!("ANYBODY ON THE INTERNET reaches it at port {port} ({transport})."),
        Zone::Lan | Zone::Service | Zone::Guest => {
            format!("Devices in your home reach it at port {port} ({transport}) of the gateway.")
        }
    }
}

fn devices(manifest: &Manifest) -> Vec<String> {
    let granted = manifest.devices().iter();
    let mut says: Vec<String> = granted
        .map(|device| format!("It uses {} ({}).", device.words(), device.path()))
        .collect();
    if says.is_empty() {
        says.push("It uses no device of the gateway.".to_owned());
    }
    says
}

fn limits(manifest: &Manifest) -> Vec<String> {
    let limits = manifest.limits();
    let reserved = |text: String, is_zero: bool| match is_zero {
        true => String::new(),
        false => format!("; {text} is kept for it"),
    };
    let memory = limits.memory_reserve;
    let mut says = vec![format!(
        "Memory: at most {}{}.",
        limits.memory_max,
        reserved(memory.to_string(), memory == Bytes(0))
    )];
    let processor = limits.cpu_reserve;
    let kept = reserved(processor.to_string(), processor == MilliCpu(0));
    says.push(match limits.cpu_max {
        Some(max) => format!("Processor: at most {max} of one core{kept}."),
        None => format!("Processor: what others leave over{kept}."),
    });
    says.push(match limits.io_max {
        Some(max) => format!("Disk: at most {max} read, and as much written."),
        None => "Disk: as fast as others leave it.".to_owned(),
    });
    says.push(format!(
        "Processes: at most {} at a time.",
        manifest.pids_max()
    ));
    says.extend(match manifest.network() {
        Network::None => None,
        Network::Lan | Network::Wan => Some(line(manifest.network_share())),
    });
    says
}

/// What it gets of the line to the Internet.
fn line(share: NetworkShare) -> String {
    let way = |share: LineShare, way: &str| {
        let most = match share.max {
            Some(max) => format!("at most {max}"),
            None => "what others leave over".to_owned(),
        };
        match share.reserve {
            BitsPerSec(0) => format!("{way} {most}"),
            reserve => format!("{way} {most}, and {reserve} is kept for it"),
        }
    };
    let class = match share.class {
        TrafficClass::Bulk => "",
        TrafficClass::Interactive | TrafficClass::Guaranteed => {
            " Where the line is full, it goes before others."
        }
    };
    let (up, down) = (way(share.up, "up"), way(share.down, "down"));
    format!("Internet line: {up}; {down}.{class}")
}

fn system(manifest: &Manifest) -> Vec<String> {
    let words = |name: &String| match policy_words(name) {
        Some(words) => words.to_owned(),
        None => format!("It asks for the policy {name}, which this version can not explain."),
    };
    let mut says: Vec<String> = manifest.policies().iter().map(words).collect();
    if says.is_empty() {
        says.push("It runs as one program, and asks the system for nothing special.".to_owned());
    }
    says.extend(life(manifest));
    says
}

/// What its start waits for, and what ends it.
fn life(manifest: &Manifest) -> Vec<String> {
    let mut says = Vec::new();
    let needs: Vec<&str> = manifest.needs().iter().map(ServiceName::as_str).collect();
    if !needs.is_empty() {
        let needs = needs.join(", ");
        says.push(format!(
            "It runs only while these services run, and is started after them: {needs}."
        ));
    }
    let within = f64::from(manifest.ready_within_ms()) / 1000.0;
    match manifest.ready() {
        Ready::Executed => {}
        ready @ (Ready::Notify | Ready::Port(_) | Ready::Exec(_)) => says.push(format!(
            "Its start waits {ready}, at most {within} s; then it has failed."
        )),
    }
    if let Some(ms) = manifest.watchdog_ms() {
        let seconds = f64::from(ms) / 1000.0;
        says.push(format!(
            "Where it gives no sign of life for {seconds} s, it is killed and started again."
        ));
    }
    says
}

/// Columns of a serial console.
const COLUMNS: usize = 80;
/// Columns of the areas' names.
const INDENT: usize = 11;

/// A sentence behind the name of its area, in lines that a console holds.
fn wrapped(f: &mut fmt::Formatter<'_>, heading: &str, text: &str) -> fmt::Result {
    let mut line = format!("  {heading:<9}");
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            writeln!(f, "{line}")?;
            line = " ".repeat(INDENT);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    writeln!(f, "{line}")
}

/// For people at a console.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, self.about)?;
        for area in &self.may {
            let mut heading = area.area.as_str();
            for text in &area.says {
                wrapped(f, heading, text)?;
                heading = "";
            }
        }
        for ExtraCall { call, reason } in &self.extra_calls {
            let text = format!("It may also use the system call {call}: \"{reason}\"");
            wrapped(f, "extra", &text)?;
        }
        writeln!(f, "Whatever it is, it can not:")?;
        self.never
            .iter()
            .try_for_each(|text| writeln!(f, "  - {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(access: &str) -> String {
        let text = format!(
            "[service]\nname = \"radio\"\nversion = \"2\"\nexec = [\"/a\"]\ntitle = \"Radio\"\nvendor = \"Acme\"\n\
             [resources.memory]\nmax = \"8 MiB\"\nreserve = \"2 MiB\"\n[resources.pids]\nmax = 4\n{access}"
        );
        let manifest = Manifest::parse("m", &text).unwrap();
        Explanation::of(&manifest).to_string()
    }

    fn assert_says(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_service_that_asks_for_nothing_gets_nothing() {
        let text = explain("");
        assert_says(
            &text,
            &[
                "radio: Radio, version 2, by Acme\n",
                "network  It has no network.",
                "ports    Nobody can open a connection to it.",
                "devices  It uses no device of the gateway.",
                "Memory: at most 8 MiB; 2 MiB is kept for it.",
                "Processor: what others leave over.",
                "Processes: at most 4 at a time.",
                "asks the system for nothing special",
                "can not:\n  - see or change your files",
            ],
        );
        assert!(!text.contains("system call"));
    }

    #[test]
    fn what_is_open_to_the_internet_can_not_be_overlooked() {
        let text = explain(
            "[access]\nnetwork = \"wan\"\nlisten = [\"wan tcp 2222 -> 22\", \"lan udp 53 -> 53\"]\n\
             devices = [\"/dev/ttyUSB0\"]\ngrants = [\"api\"]\n",
        );
        assert_says(
            &text,
            &[
                "It can talk to the Internet and to the devices in your home.",
                "It can not talk to other services, and not to the gateway but for\n           what is listed here.",
                "ANYBODY ON THE INTERNET reaches it at port 2222 (tcp).",
                "Devices in your home reach it at port 53 (udp) of the gateway.",
                "It uses a USB serial adapter or radio stick (/dev/ttyUSB0).",
                "It can read how the gateway and its services are doing;",
            ],
        );
    }

    #[test]
    fn its_part_of_the_line_is_told() {
        let text = explain(
            "[access]\nnetwork = \"wan\"\n[resources.network]\nreserve-up = \"2 Mbit/s\"\n\
             max-down = \"8 Mbit/s\"\nclass = \"interactive\"\n",
        );
        assert_says(
            &text,
            &[
                "Internet line: up what others leave over, and 2 Mbit/s is kept for\n           it; \
                 down at most 8 Mbit/s. Where the line is full, it goes before\n           others.",
            ],
        );
    }

    #[test]
    fn an_extra_call_comes_with_its_authors_reason() {
        let text = explain(
            "[sandbox]\npolicies = [\"exec-children\"]\n[[sandbox.syscall]]\nname = \"sched_setaffinity\"\n\
             reason = \"pins its workers\"\n",
        );
        assert_says(
            &text,
            &[
                "It may start further programs of its own",
                "system call sched_setaffinity: \"pins its workers\"",
            ],
        );
    }
}
