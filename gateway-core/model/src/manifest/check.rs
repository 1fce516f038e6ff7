//! `RawManifest` → `Manifest`: every value read, every rule between values checked, every fault kept.

use super::checked::{Access, Manifest, Service};
use super::fault::{Faults, shown};
use super::raw::{At, RawManifest, Section};
use super::{
    ExtraSyscall, LIST_MAX, LinkKind, Listen, ManifestErrors, NEEDS_MAX, Network, USER_DEFAULT,
    health, placeholder, resources, sealed, value,
};
use crate::ServiceName;
use core::ops::Range;
use toml::de::DeValue;

/// Variables that the gateway sets (sd_notify(3), sd_watchdog_enabled(3)).
const OWN_VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// The whole check: see [`RawManifest::check`].
pub(super) fn check(raw: RawManifest<'_>) -> Result<Manifest, ManifestErrors> {
    let RawManifest { root, mut faults } = raw;
    let all = &mut faults;
    let mut file = Section::root(&root);
    // The network decides what a placeholder may be, so [access] is read first.
    let access = access(file.section(all, "access"), all);
    let service = service(file.section(all, "service"), &access, all);
    let resources = resources::check(file.section(all, "resources"), access.network, all);
    let health = health::check(file.section(all, "health"), &access, all);
    let (policies, extra_syscalls) = sandbox(file.section(all, "sandbox"), all);
    let sealed = sealed::sealed(file.section(all, "package"), all);
    file.finish(all);
    faults.finish()?;
    match (service, resources) {
        (Some(service), Some(resources)) => Ok(Manifest {
            service,
            resources,
            access,
            health,
            policies,
            extra_syscalls,
            sealed,
        }),
        // A part that could not be built said why, or the file was malformed: `finish` has left.
        (Some(_) | None, _) => unreachable!("a part without a value and without a fault"),
    }
}

fn service(mut table: Section<'_>, access: &Access, faults: &mut Faults) -> Option<Service> {
    let name = table.required(faults, "name", "\"my-service\"", value::name);
    let version = table.required(faults, "version", "\"1.0\"", value::words);
    let title = table.optional(faults, "title", value::words);
    let vendor = table.optional(faults, "vendor", value::words);
    let exec = exec(&mut table, access, faults);
    let user = table.optional(faults, "user", |v| value::number(v, 1, 65_534));
    let env = env(table.section(faults, "env"), access, faults);
    let autostart = table.optional(faults, "autostart", value::boolean);
    let needs = needs(&mut table, name.as_ref().map(|(name, _)| name), faults);
    table.finish(faults);
    let (name, _) = name?;
    Some(Service {
        needs,
        title: title.map_or_else(|| name.as_str().to_owned(), |(title, _)| title),
        name,
        version: version?.0,
        vendor: vendor.map(|(vendor, _)| vendor).unwrap_or_default(),
        exec: exec?,
        user: user.map_or(USER_DEFAULT, |(user, _)| user),
        env,
        autostart: autostart.is_none_or(|(autostart, _)| autostart),
    })
}

/// Services that it needs: others than itself, each once.
fn needs(
    table: &mut Section<'_>,
    own: Option<&ServiceName>,
    faults: &mut Faults,
) -> Vec<ServiceName> {
    let needs = table.list(faults, "needs", value::name);
    let key = table.key("needs");
    for at in repeated(&needs) {
        faults.say(at, &key, "this stands here twice; remove one");
    }
    if let Some((_, at)) = needs.iter().find(|(name, _)| Some(name) == own) {
        faults.say(at, &key, "a service can not need itself; remove it");
    }
    if let Some((_, at)) = needs.get(NEEDS_MAX) {
        let text = format!("{} services are too many; at most {NEEDS_MAX}", needs.len());
        faults.say(at, &key, &text);
    }
    needs.into_iter().map(|(name, _)| name).collect()
}

fn exec(table: &mut Section<'_>, access: &Access, faults: &mut Faults) -> Option<Vec<String>> {
    let count = |v: &DeValue<'_>| Ok(v.as_array().map(|list| list.len()));
    let (count, place) = table.required(faults, "exec", "[\"/usr/bin/program\"]", count)?;
    let list = table.list(faults, "exec", |v| value::text(v).map(str::to_owned));
    let key = table.key("exec");
    if count == Some(0) {
        faults.say(
            &place,
            &key,
            "names no program; write [\"/usr/bin/program\"]",
        );
    }
    // Where an element was faulty, the first one left need not be the program.
    if let Some((program, at)) = list.first()
        && count == Some(list.len())
        && (!program.starts_with('/') || program.split('/').any(|part| part == ".."))
    {
        let text = format!(
            "the program {} is not absolute; write its whole path inside the image, without \"..\"",
            shown(program)
        );
        faults.say(at, &key, &text);
    }
    for (word, at) in &list {
        for text in placeholder::faults(word, access) {
            faults.say(at, &key, &text);
        }
    }
    Some(list.into_iter().map(|(word, _)| word).collect())
}

fn env(table: Section<'_>, access: &Access, faults: &mut Faults) -> Vec<(String, String)> {
    let entries = table.entries();
    if entries.len() > LIST_MAX {
        let text = format!(
            "{} variables are too many; at most {LIST_MAX}",
            entries.len()
        );
        faults.say(table.place(), &table.key(""), &text);
    }
    let mut good = Vec::new();
    for ((name, at), content) in entries.into_iter().take(LIST_MAX) {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if !name.bytes().all(legal) || name.bytes().next().is_none_or(|b| b.is_ascii_digit()) {
            let text = format!("{} is no variable name; use A-Z, 0-9 and '_'", shown(name));
            faults.say(&at, &table.key(""), &text);
            continue;
        }
        let key = table.key(name);
        if name.starts_with("HEARTH_") || OWN_VARIABLES.contains(&name) {
            faults.say(
                &at,
                &key,
                "HEARTH_ names, NOTIFY_SOCKET and WATCHDOG_ names are the gateway's own; choose another one",
            );
        }
        match value::text(content.get_ref()) {
            Ok(text) => {
                for fault in placeholder::faults(text, access) {
                    faults.say(&content.span(), &key, &fault);
                }
                good.push((name.to_owned(), text.to_owned()));
            }
            Err(fault) => faults.say(&content.span(), &key, &fault),
        }
    }
    good
}

fn access(mut table: Section<'_>, faults: &mut Faults) -> Access {
    let network = table.optional(faults, "network", value::network);
    let link = table.optional(faults, "link", value::link);
    let listen = table.list(faults, "listen", value::listen);
    let grants = table.list(faults, "grants", value::grant);
    let serves = table.list(faults, "serves", value::served);
    let devices = table.list(faults, "devices", value::device);
    let (link_key, listen_key) = (table.key("link"), table.key("listen"));
    for (key, twice) in [
        ("grants", repeated(&grants)),
        ("serves", repeated(&serves)),
        ("devices", repeated(&devices)),
    ] {
        for at in twice {
            faults.say(at, &table.key(key), "this stands here twice; remove one");
        }
    }
    let serves_key = table.key("serves");
    table.finish(faults);

    let network = network.map_or(Network::None, |(network, _)| network);
    let kind = link.as_ref().map_or(LinkKind::Routed, |(link, _)| *link);
    if let (Network::None, Some((_, at))) = (network, &link) {
        faults.say(
            at,
            &link_key,
            "there is no link without a network; set access.network",
        );
    }
    if let Some((_, at)) = listen.first() {
        match (network, kind) {
            (Network::None, _) => faults.say(
                at,
                &listen_key,
                "a port needs a network; set access.network to \"lan\" or \"wan\"",
            ),
            (Network::Lan | Network::Wan, LinkKind::Bridged | LinkKind::Guest) => faults.say(
                at,
                &listen_key,
                "a bridged service has an address of its own and needs no port of the gateway; remove listen",
            ),
            (Network::Lan | Network::Wan, LinkKind::Routed) => {}
        }
    }
    for (n, (line, at)) in listen.iter().enumerate() {
        let same = |other: &Listen| {
            (other.from, other.transport, other.port) == (line.from, line.transport, line.port)
        };
        if listen.iter().take(n).any(|(other, _)| same(other)) {
            let text = format!("\"{line}\" takes a port that this list has already; remove one");
            faults.say(at, &listen_key, &text);
        }
    }
    if let (Some((_, at)), LinkKind::Routed) = (serves.first(), kind) {
        faults.say(
            at,
            &serves_key,
            "only a bridged service has ports at its own address; use listen",
        );
    }
    Access {
        network,
        link: kind,
        listen: listen.into_iter().map(|(line, _)| line).collect(),
        grants: grants.into_iter().map(|(grant, _)| grant).collect(),
        serves: serves.into_iter().map(|(port, _)| port).collect(),
        devices: devices.into_iter().map(|(device, _)| device).collect(),
    }
}

/// Places of the elements that stand in a list before already.
fn repeated<T: PartialEq>(list: &[At<T>]) -> Vec<&Range<usize>> {
    let all = list.iter().enumerate();
    let twice = all.filter(|(n, (this, _))| list.iter().take(*n).any(|(other, _)| other == this));
    twice.map(|(_, (_, at))| at).collect()
}

fn sandbox(mut table: Section<'_>, faults: &mut Faults) -> (Vec<String>, Vec<ExtraSyscall>) {
    let policies = table.list(faults, "policies", value::identifier);
    let key = table.key("policies");
    for (n, (policy, at)) in policies.iter().enumerate() {
        if policies.iter().take(n).any(|(other, _)| other == policy) {
            let text = format!("\"{policy}\" stands here twice; remove one");
            faults.say(at, &key, &text);
        }
    }
    let mut extra = Vec::new();
    for mut call in table.sections(faults, "syscall") {
        let name = call.required(faults, "name", "\"sched_setaffinity\"", value::identifier);
        let reason = call.required(faults, "reason", "\"why it is needed\"", value::words);
        call.finish(faults);
        if let (Some((name, _)), Some((reason, _))) = (name, reason) {
            extra.push(ExtraSyscall { name, reason });
        }
    }
    table.finish(faults);
    (
        policies.into_iter().map(|(policy, _)| policy).collect(),
        extra,
    )
}
