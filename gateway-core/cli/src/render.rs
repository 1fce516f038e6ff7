//! The text of `hearth ps` and `hearth status`: aligned, at most [`COLUMNS`] wide, ASCII, no colour.

pub mod net;

mod guard;
pub mod service;

use crate::limits::{COLUMNS, LANDLOCK_LEVELS};
use crate::words::{amount, ascii, cpu_seconds, problems, refused, span, trouble, waits};
use hearth_model::api::{
    BudgetLine, Doctor, Event, Kind, NatJson, Outcome, PortForward, SandboxJson, Service, Status,
    WanJson,
};
use hearth_model::calendar;
use hearth_model::{BitsPerSec, MilliCpu};

/// Spaces between two columns.
const GAP: usize = 2;

/// The table of `hearth ps`: the services by rank, then the gateway's own processes; below each unhealthy
/// row a line that says what is wrong, or what its gates have refused.
#[must_use]
pub fn ps(services: &[Service]) -> String {
    let header = [
        "NAME", "RANK", "STATE", "PID", "RESTARTS", "MEMORY", "CPU(s)", "SINCE",
    ];
    let of = |kind| services.iter().filter(move |s| s.kind == kind);
    let ordered: Vec<&Service> = of(Kind::Service).chain(of(Kind::System)).collect();
    let mut rows = vec![Row {
        cells: header.map(str::to_owned),
        note: None,
    }];
    rows.extend(ordered.iter().map(|s| Row {
        cells: cells(s),
        note: trouble(s).or_else(|| waits(s)).or_else(|| refused(s)),
    }));
    let mut out = table(&rows);
    if services.is_empty() {
        out.push_str("No service is installed.\n");
    }
    out
}

/// The text of `hearth doctor`: each check, then the one cause and the one advice.
#[must_use]
pub fn doctor(report: &Doctor) -> String {
    let width = report
        .checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for check in &report.checks {
        let outcome = match check.outcome {
            Outcome::Good => "good  ",
            Outcome::Failed => "FAILED",
        };
        let label = format!("{:width$}  {outcome}  ", ascii(&check.name));
        out.push_str(&wrap(&label, &check.text));
    }
    out.push('\n');
    match (&report.cause, &report.advice) {
        (Some(cause), advice) => {
            out.push_str(&wrap("Cause:   ", cause));
            out.push_str(&wrap("To do:   ", advice.as_deref().unwrap_or("-")));
        }
        (None, _) => out.push_str("All is well.\n"),
    }
    out
}

/// The text of `hearth why`.
#[must_use]
pub fn why(name: &str, reasons: &[String]) -> String {
    if reasons.is_empty() {
        return wrap("", &format!("{name} runs, and waits for nothing."));
    }
    reasons.iter().map(|reason| wrap("- ", reason)).collect()
}

/// A line of `hearth events`. What is as it should be says nothing of its level.
#[must_use]
pub fn event(event: &Event) -> String {
    let level = match event.level.as_str() {
        "informational" => String::new(),
        level => format!("{}: ", ascii(level)),
    };
    let (time, object) = (calendar::time(event.time), ascii(&event.object));
    format!("{time} {level}{object}: {}\n", ascii(&event.text))
}

/// One row of a table.
pub(crate) struct Row<const N: usize> {
    /// Its cells.
    pub(crate) cells: [String; N],
    /// A line below it.
    pub(crate) note: Option<String>,
}

fn cells(s: &Service) -> [String; 8] {
    let memory = match (s.memory_bytes, s.memory_max_bytes) {
        (Some(now), Some(max)) => format!("{}/{}", amount(now), amount(max)),
        (Some(now), None) => amount(now),
        (None, _) => "-".to_owned(),
    };
    [
        ascii(&s.name),
        s.rank
            .map_or_else(|| "-".to_owned(), |rank| rank.to_string()),
        ascii(&s.state),
        if s.pid == 0 {
            "-".to_owned()
        } else {
            s.pid.to_string()
        },
        s.restarts.to_string(),
        memory,
        s.cpu_usec.map_or_else(|| "-".to_owned(), cpu_seconds),
        span(s.since_seconds),
    ]
}

/// Lays rows out: the first column takes what the others leave of [`COLUMNS`]; a name that is
/// longer has a line of its own, since a cut name could not be typed.
pub(crate) fn table<const N: usize>(rows: &[Row<N>]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = (*width).max(cell.len());
        }
    }
    let others: usize = widths.iter().skip(1).map(|w| w + GAP).sum();
    if let Some(first) = widths.first_mut() {
        *first = (*first).min(COLUMNS.saturating_sub(others));
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        let mut indent = 0;
        for (width, cell) in widths.iter().zip(&row.cells) {
            indent += width + GAP;
            line.push_str(cell);
            if cell.len() > *width {
                line.push('\n');
                line.push_str(&" ".repeat(indent));
            } else {
                line.push_str(&" ".repeat(width + GAP - cell.len()));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
        if let Some(note) = &row.note {
            out.push_str(&wrap("  ! ", note));
        }
    }
    out
}

/// The text of `hearth status`.
#[must_use]
pub fn status(s: &Status) -> String {
    let mut out = format!(
        "Hearth {}, up {}\n",
        ascii(&s.firmware),
        span(s.uptime_seconds)
    );
    let wrong = problems(s);
    if wrong.is_empty() {
        out.push_str("All is well.\n");
    } else {
        out.push_str("Problems:\n");
        wrong.iter().for_each(|p| out.push_str(&wrap("  - ", p)));
    }
    if !s.notes.is_empty() {
        out.push_str("To know:\n");
        s.notes.iter().for_each(|n| out.push_str(&wrap("  - ", n)));
    }
    out.push('\n');
    for (label, text) in [
        ("WAN      ", Some(wan(&s.wan))),
        ("LAN      ", Some(s.lan.clone())),
        ("Guests   ", s.guest.clone()),
        ("Console  ", Some(s.console_url.clone())),
        ("NAT      ", Some(nat(s.nat.as_ref()))),
        ("Guard    ", Some(guard::forwarding(&s.forwarding))),
        ("Sandbox  ", Some(sandbox(&s.sandbox))),
    ] {
        if let Some(text) = text {
            out.push_str(&wrap(label, &text));
        }
    }
    out.push('\n');
    out.push_str(&budget(&s.budget));
    out.push('\n');
    out.push_str(&ps(&s.services));
    out
}

/// The table of `hearth forward list`; below each that is not open, why.
#[must_use]
pub fn forwards(forwards: &[PortForward]) -> String {
    if forwards.is_empty() {
        return "No port is forwarded.\n".to_owned();
    }
    let mut rows = vec![Row {
        cells: ["PROTOCOL", "PORT", "TARGET", "ITS PORT", "STATE"].map(str::to_owned),
        note: None,
    }];
    rows.extend(forwards.iter().map(|forward| Row {
        cells: [
            forward.transport.to_string(),
            range(forward.first, forward.last.saturating_sub(forward.first)),
            target(forward),
            range(forward.to_port, forward.last.saturating_sub(forward.first)),
            ascii(&forward.state),
        ],
        note: Some(forward.message.clone()).filter(|text| !text.is_empty()),
    }));
    table(&rows)
}

/// One forward in a sentence.
#[must_use]
pub fn forward(forward: &PortForward) -> String {
    let more = forward.last.saturating_sub(forward.first);
    let mut text = format!(
        "{} port {} leads to {} port {}",
        forward.transport,
        range(forward.first, more),
        target(forward),
        range(forward.to_port, more)
    );
    if !forward.message.is_empty() {
        text.push_str(&format!(": {}", ascii(&forward.message)));
    }
    text.push('\n');
    text
}

fn target(forward: &PortForward) -> String {
    match (&forward.host, &forward.service) {
        (Some(host), _) => host.to_string(),
        (None, Some(name)) => ascii(name),
        (None, None) => "-".to_owned(),
    }
}

fn range(first: u16, more: u16) -> String {
    match more {
        0 => first.to_string(),
        more => format!("{first}-{}", first.saturating_add(more)),
    }
}

/// What the kernel has for sandboxes in one line.
fn sandbox(sandbox: &SandboxJson) -> String {
    let landlock = match sandbox.landlock_level {
        0 => "no Landlock in this kernel".to_owned(),
        level => format!(
            "Landlock level {} of {LANDLOCK_LEVELS}",
            level.min(LANDLOCK_LEVELS)
        ),
    };
    let clocks = match sandbox.time_namespaces {
        true => "clocks of its own",
        false => "the gateway's clocks",
    };
    format!("{landlock}; {clocks}")
}

/// The Internet's side in one line.
#[must_use]
pub fn wan(wan: &WanJson) -> String {
    let Some(address) = &wan.address else {
        return "no address yet; check the cable to the Internet side and [wan] in gateway.toml"
            .to_owned();
    };
    let mut text = address.clone();
    if let Some(router) = &wan.router {
        text.push_str(&format!(" via {router}"));
    }
    if !wan.resolvers.is_empty() {
        text.push_str(&format!(", DNS {}", wan.resolvers.join(" ")));
    }
    text
}

fn nat(nat: Option<&NatJson>) -> String {
    let Some(n) = nat else {
        return "hearth-netpath does not answer; it is started again by itself, see 'hearth ps'"
            .to_owned();
    };
    let fast = n.fast_path.map_or(
        "none by the fast path, which is off, see 'dmesg'".to_owned(),
        |fast| format!("{fast} by the fast path"),
    );
    format!(
        "{} of {} mappings, {} refused; packets: {} in, {} passed on ({fast}), {} dropped",
        n.mappings, n.mappings_max, n.mappings_refused, n.received, n.forwarded, n.dropped
    )
}

fn budget(lines: &[BudgetLine]) -> String {
    let header = ["BUDGET", "TOTAL", "SYSTEM", "RESERVED", "FREE"];
    let mut rows = vec![Row {
        cells: header.map(str::to_owned),
        note: None,
    }];
    rows.extend(lines.iter().map(|line| Row {
        cells: [
            ascii(&line.resource),
            total(line),
            share(&line.resource, line.system),
            share(&line.resource, line.reserved),
            share(&line.resource, line.free),
        ],
        note: None,
    }));
    table(&rows)
}

/// The total of a budget line; a line to the Internet of nothing is one that nobody measured.
#[must_use]
pub fn total(line: &BudgetLine) -> String {
    match (line.resource.as_str(), line.total) {
        ("upload" | "download", 0) => "unknown".to_owned(),
        (resource, total) => share(resource, total),
    }
}

/// An amount of a budget line's resource: percent of a core for `cpu` and of the disk's time for `io`,
/// a number for `pids`, bits a second for the line, bytes for the others.
#[must_use]
pub fn share(resource: &str, value: u64) -> String {
    match resource {
        "upload" | "download" => BitsPerSec(value).to_string(),
        "pids" => value.to_string(),
        "cpu" | "io" => MilliCpu(u32::try_from(value).unwrap_or(u32::MAX)).to_string(),
        _ => amount(value),
    }
}

/// `text` as ASCII in lines of at most [`COLUMNS`], broken at spaces, the first after `label` and
/// the others indented as far.
#[must_use]
pub fn wrap(label: &str, text: &str) -> String {
    let room = COLUMNS.saturating_sub(label.len()).max(1);
    let mut lines = vec![String::new()];
    for word in ascii(text).split(' ').filter(|w| !w.is_empty()) {
        let mut word = word;
        loop {
            let used = lines.last().map_or(0, String::len);
            let need = word.len() + usize::from(used > 0);
            if used + need <= room {
                if let Some(line) = lines.last_mut() {
                    if used > 0 {
                        line.push(' ');
                    }
                    line.push_str(word);
                }
                break;
            }
            if used > 0 {
                lines.push(String::new());
                continue;
            }
            // A word longer than a line; ASCII, so any byte is a boundary.
            let (head, rest) = word.split_at(room.min(word.len()));
            lines.pop();
            lines.push(head.to_owned());
            lines.push(String::new());
            word = rest;
        }
    }
    let mut out = String::new();
    for (n, line) in lines.iter().enumerate() {
        let start = if n == 0 {
            label.to_owned()
        } else {
            " ".repeat(label.len())
        };
        out.push_str(format!("{start}{line}").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
pub(crate) mod tests;
