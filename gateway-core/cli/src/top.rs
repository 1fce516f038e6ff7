//! `hearth top`: what each service uses now, made of two answers of `GET /v1/top`, and the screen that shows it.

use crate::limits::SCREEN_LINES;
use crate::render::{Row, table};
use crate::words::{amount, ascii, bits, span};
use hearth_model::api::{Kind, Top, TopRow};
use serde::Serialize;

/// By what the rows are ordered; whoever has most is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Processor time.
    Cpu,
    /// Memory in use.
    Memory,
    /// Bytes read and written a second.
    Disk,
    /// Bits sent and received a second.
    Network,
    /// Processes and threads.
    Pids,
    /// Share of the time in which it waits.
    Waits,
    /// The household's ranking, the most important first.
    Rank,
}

impl Sort {
    /// Each of them.
    pub const ALL: [Sort; 7] = [
        Sort::Cpu,
        Sort::Memory,
        Sort::Disk,
        Sort::Network,
        Sort::Pids,
        Sort::Waits,
        Sort::Rank,
    ];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Sort::Cpu => "cpu",
            Sort::Memory => "memory",
            Sort::Disk => "disk",
            Sort::Network => "network",
            Sort::Pids => "pids",
            Sort::Waits => "waits",
            Sort::Rank => "rank",
        }
    }
}

/// What a service, or a group of the gateway's own processes, uses now. `null` where the kernel does not count,
/// or where it began between the two answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Use {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub kind: Kind,
    /// Its place among the services.
    pub rank: Option<u32>,
    /// Its state.
    pub state: String,
    /// Processor time, thousandths of one core.
    pub cpu_permille: Option<u64>,
    /// Memory in use, bytes.
    pub memory_bytes: Option<u64>,
    /// Hard limit of memory, bytes.
    pub memory_max_bytes: Option<u64>,
    /// Read from disks.
    pub read_bytes_per_second: Option<u64>,
    /// Written to disks.
    pub written_bytes_per_second: Option<u64>,
    /// Sent over its link.
    pub sent_bits_per_second: Option<u64>,
    /// Received over its link.
    pub received_bits_per_second: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Share of the time in which some of its tasks waited for a processor, thousandths.
    pub cpu_waits_permille: Option<u64>,
    /// The same for memory.
    pub memory_waits_permille: Option<u64>,
    /// The same for the disk.
    pub io_waits_permille: Option<u64>,
}

/// What everybody used between two answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uses {
    /// Seconds since the boot.
    pub uptime_seconds: u64,
    /// Milliseconds between the answers.
    pub span_ms: u64,
    /// Processors of this machine.
    pub cores: u32,
    /// Everybody, in the order that was asked for.
    pub rows: Vec<Use>,
}

/// Works out what was used between two answers.
#[must_use]
pub fn uses(before: &Top, after: &Top, sort: Sort) -> Uses {
    let span_ms = after.uptime_ms.saturating_sub(before.uptime_ms);
    let row = |row: &TopRow| {
        let old = before.rows.iter().find(|old| old.name == row.name);
        used(old, row, span_ms)
    };
    let mut rows: Vec<Use> = after.rows.iter().map(row).collect();
    // Equal ones stay in the order of their ranks.
    rows.sort_by_key(|row| core::cmp::Reverse(weight(row, sort)));
    Uses {
        uptime_seconds: after.uptime_ms / 1000,
        span_ms,
        cores: after.cores,
        rows,
    }
}

fn used(old: Option<&TopRow>, row: &TopRow, span_ms: u64) -> Use {
    // So many a second; a counter that began anew has counted less.
    let rate = |count: fn(&TopRow) -> Option<u64>| {
        let grown = count(row)?.checked_sub(count(old?)?)?;
        grown.saturating_mul(1000).checked_div(span_ms)
    };
    // Microseconds a second are a thousand times thousandths.
    let share = |count| rate(count).map(|rate| rate / 1000);
    let waits = |count| share(count).map(|share| share.min(1000));
    let bits = |count| rate(count).map(|rate| rate.saturating_mul(8));
    Use {
        name: row.name.clone(),
        kind: row.kind,
        rank: row.rank,
        state: row.state.clone(),
        cpu_permille: share(|row| row.cpu_usec),
        memory_bytes: row.memory_bytes,
        memory_max_bytes: row.memory_max_bytes,
        read_bytes_per_second: rate(|row| row.read_bytes),
        written_bytes_per_second: rate(|row| row.written_bytes),
        sent_bits_per_second: bits(|row| row.sent_bytes),
        received_bits_per_second: bits(|row| row.received_bytes),
        pids: row.pids,
        cpu_waits_permille: waits(|row| row.cpu_waited_usec),
        memory_waits_permille: waits(|row| row.memory_waited_usec),
        io_waits_permille: waits(|row| row.io_waited_usec),
    }
}

fn weight(row: &Use, sort: Sort) -> u64 {
    let sum = |parts: &[Option<u64>]| {
        let parts = parts.iter().flatten();
        parts.fold(0, |all: u64, part| all.saturating_add(*part))
    };
    match sort {
        Sort::Cpu => sum(&[row.cpu_permille]),
        Sort::Memory => sum(&[row.memory_bytes]),
        Sort::Disk => sum(&[row.read_bytes_per_second, row.written_bytes_per_second]),
        Sort::Network => sum(&[row.sent_bits_per_second, row.received_bits_per_second]),
        Sort::Pids => sum(&[row.pids]),
        Sort::Waits => longest_wait(row).map_or(0, |(_, share)| share),
        Sort::Rank => row.rank.map_or(0, |rank| u64::from(u32::MAX - rank)),
    }
}

/// What it waits for most, and how much of the time, thousandths.
fn longest_wait(row: &Use) -> Option<(&'static str, u64)> {
    let waits = [
        ("cpu", row.cpu_waits_permille),
        ("mem", row.memory_waits_permille),
        ("io", row.io_waits_permille),
    ];
    let told = waits
        .into_iter()
        .filter_map(|(what, share)| Some((what, share?)));
    told.max_by_key(|(_, share)| *share)
}

const HEADER: [&str; 10] = [
    "NAME", "RANK", "CPU %", "MEMORY", "READ/s", "WRITE/s", "SENT", "RECV", "PIDS", "WAITS",
];

/// The screen: at most [`SCREEN_LINES`] lines; who is not on it is counted.
#[must_use]
pub fn screen(uses: &Uses, sort: Sort) -> String {
    let cores = crate::words::count(uses.cores as usize, "core");
    let mut out = format!(
        "Up {}, {cores}; most {} first; CPU is of one core, SENT and RECV are bits/s\n\n",
        span(uses.uptime_seconds),
        if sort == Sort::Rank {
            "important"
        } else {
            sort.name()
        }
    );
    let mut rows = vec![Row {
        cells: HEADER.map(str::to_owned),
        note: None,
    }];
    rows.extend(uses.rows.iter().map(|row| Row {
        cells: cells(row),
        note: None,
    }));
    // A long name takes two lines: rows leave until all of it fits.
    let mut hidden = 0;
    loop {
        let text = table(&rows);
        let more = match hidden {
            0 => String::new(),
            n => format!("... and {n} more; see them with --once or another --sort\n"),
        };
        if out.lines().count() + text.lines().count() + more.lines().count() <= SCREEN_LINES
            || rows.len() < 2
        {
            out.push_str(&text);
            out.push_str(&more);
            return out;
        }
        rows.pop();
        hidden += 1;
    }
}

/// All rows, however many, for a printer or a file.
#[must_use]
pub fn list(uses: &Uses) -> String {
    let rows = core::iter::once(HEADER.map(str::to_owned)).chain(uses.rows.iter().map(cells));
    let rows: Vec<Row<10>> = rows.map(|cells| Row { cells, note: None }).collect();
    table(&rows)
}

fn cells(row: &Use) -> [String; 10] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let waits = longest_wait(row).map(|(what, share)| match share {
        // Less than a hundredth of the time is nothing.
        ..10 => "0%".to_owned(),
        share => format!("{what} {}%", share / 10),
    });
    [
        ascii(&row.name),
        or_dash(row.rank.map(|rank| rank.to_string())),
        or_dash(
            row.cpu_permille
                .map(|share| format!("{}.{}", share / 10, share % 10)),
        ),
        or_dash(row.memory_bytes.map(amount)),
        or_dash(row.read_bytes_per_second.map(amount)),
        or_dash(row.written_bytes_per_second.map(amount)),
        or_dash(row.sent_bits_per_second.map(bits)),
        or_dash(row.received_bits_per_second.map(bits)),
        or_dash(row.pids.map(|pids| pids.to_string())),
        or_dash(waits),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::COLUMNS;

    fn row(name: &str, rank: u32, cpu_usec: u64) -> TopRow {
        TopRow {
            name: name.to_owned(),
            kind: Kind::Service,
            rank: Some(rank),
            state: "Active".to_owned(),
            cpu_usec: Some(cpu_usec),
            memory_bytes: Some(u64::from(rank) << 20),
            memory_max_bytes: Some(64 << 20),
            read_bytes: Some(0),
            written_bytes: Some(cpu_usec),
            sent_bytes: Some(2 * cpu_usec),
            received_bytes: None,
            pids: Some(3),
            cpu_waited_usec: Some(cpu_usec / 2),
            memory_waited_usec: Some(0),
            io_waited_usec: None,
        }
    }

    fn top(uptime_ms: u64, rows: Vec<TopRow>) -> Top {
        Top {
            uptime_ms,
            cores: 1,
            rows,
        }
    }

    #[test]
    fn two_answers_make_what_is_used_a_second() {
        // given a service that used half a core for two seconds, and one that began anew in between
        let before = top(1_000, vec![row("web", 1, 0), row("mail", 2, 9_000_000)]);
        let after = top(3_000, vec![row("web", 1, 1_000_000), row("mail", 2, 10)]);
        // when both are laid beside each other
        let uses = uses(&before, &after, Sort::Cpu);
        // then each rate is of one second, and what can not be known is not
        let web = &uses.rows[0];
        assert_eq!((web.name.as_str(), web.cpu_permille), ("web", Some(500)));
        assert_eq!(web.written_bytes_per_second, Some(500_000));
        assert_eq!(web.sent_bits_per_second, Some(8_000_000));
        assert_eq!(web.cpu_waits_permille, Some(250));
        assert_eq!(
            (web.received_bits_per_second, web.io_waits_permille),
            (None, None)
        );
        assert_eq!(uses.rows[1].cpu_permille, None);
        assert!(screen(&uses, Sort::Cpu).contains("cpu 25%"));
        // and two answers of the same moment are no reason to divide by nothing
        assert_eq!(
            super::uses(&after, &after, Sort::Cpu).rows[0].cpu_permille,
            None
        );
    }

    #[test]
    fn every_order_is_by_what_it_says() {
        let before = top(0, vec![row("a", 1, 0), row("b", 2, 0)]);
        let after = top(1_000, vec![row("a", 1, 10), row("b", 2, 1_000_000)]);
        for sort in Sort::ALL {
            let first = uses(&before, &after, sort).rows[0].name.clone();
            let expected = match sort {
                Sort::Cpu | Sort::Memory | Sort::Disk | Sort::Network | Sort::Waits => "b",
                // as many of each
                Sort::Pids | Sort::Rank => "a",
            };
            assert_eq!(first, expected, "{sort:?}");
        }
    }

    #[test]
    fn a_screen_is_a_screen_however_many_and_however_large() {
        let many = |cpu: u64| {
            (0..200)
                .map(|n| {
                    row(
                        &format!("{}-{n}", "long-name".repeat(1 + n as usize % 4)),
                        n,
                        cpu,
                    )
                })
                .collect::<Vec<TopRow>>()
        };
        let uses = uses(&top(0, many(0)), &top(1, many(u64::MAX / 16)), Sort::Cpu);
        let text = screen(&uses, Sort::Cpu);
        assert!(text.lines().count() <= SCREEN_LINES, "{text}");
        assert!(text.contains(" more; see them"), "{text}");
        assert!(list(&uses).lines().count() > 200);
        // a usual one is as wide as the console
        let usual = super::uses(
            &top(0, vec![row("web", 1, 0)]),
            &top(9, vec![row("web", 1, 9_999)]),
            Sort::Cpu,
        );
        assert!(
            screen(&usual, Sort::Cpu)
                .lines()
                .all(|line| line.len() <= COLUMNS)
        );
    }
}
