//! The text of `hearth start --dry-run` and `hearth rank`.

use crate::render::{Row, share, table, total, wrap};
use crate::words::{amount, ascii};
use hearth_model::api::{RankRow, StartPlan};

/// What a start would come to, with the budget before and after.
#[must_use]
pub fn plan(plan: &StartPlan) -> String {
    let name = &plan.service;
    let mut out = match (plan.fits, plan.stops.is_empty()) {
        (true, _) => wrap("", &format!("{name} fits.")),
        (false, true) => wrap("", &format!("{name} does not fit.")),
        (false, false) => {
            let stops = plan.stops.join(", ");
            wrap("", &format!("{name} fits only after the end of: {stops}."))
        }
    };
    if !plan.message.is_empty() {
        out.push_str(&wrap("  - ", &plan.message));
    }
    out.push('\n');
    let header = [
        "BUDGET", "TOTAL", "SYSTEM", "RESERVED", "AFTER", "FREE", "AFTER",
    ];
    let mut rows = vec![Row {
        cells: header.map(str::to_owned),
        note: None,
    }];
    rows.extend(plan.before.iter().zip(&plan.after).map(|(before, after)| {
        let share = |value| share(&before.resource, value);
        Row {
            cells: [
                ascii(&before.resource),
                total(before),
                share(before.system),
                share(before.reserved),
                share(after.reserved),
                share(before.free),
                share(after.free),
            ],
            note: None,
        }
    }));
    out.push_str(&table(&rows));
    out
}

/// The ranking; `=` behind the number of those that the household did not rank, which are equal.
#[must_use]
pub fn ranks(rows: &[RankRow]) -> String {
    let header = [
        "NAME", "RANK", "STATE", "CPU", "DISK", "MEMORY", "OOM", "LINE",
    ];
    let mut lines = vec![Row {
        cells: header.map(str::to_owned),
        note: None,
    }];
    let none = || "-".to_owned();
    let number = |value: Option<u32>| value.map_or_else(none, |value| value.to_string());
    lines.extend(rows.iter().map(|row| Row {
        cells: [
            ascii(&row.service),
            format!("{}{}", row.rank, if row.ranked { "" } else { "=" }),
            ascii(&row.state),
            number(row.cpu_weight),
            number(row.io_weight),
            row.memory_low_bytes.map_or_else(none, amount),
            number(row.oom_score_adj.map(u32::from)),
            match (&row.traffic_class, row.line_weight) {
                (Some(class), Some(weight)) => format!("{} {weight}", ascii(class)),
                (_, _) => none(),
            },
        ],
        note: None,
    }));
    let mut out = table(&lines);
    if rows.is_empty() {
        out.push_str("No service is installed.\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_model::api::BudgetLine;

    fn line(resource: &str, reserved: u64) -> BudgetLine {
        BudgetLine {
            resource: resource.into(),
            total: 1000,
            system: 300,
            reserved,
            free: 700 - reserved,
        }
    }

    #[test]
    fn a_plan_shows_the_budget_before_and_after() {
        let unknown = BudgetLine {
            resource: "download".into(),
            total: 0,
            system: 0,
            reserved: 0,
            free: 0,
        };
        let mut one = StartPlan {
            service: "video".into(),
            fits: false,
            stops: vec!["backup".into(), "news".into()],
            message:
                "service video reserves 50 % of a core, 40 % free, 10 % short; stop backup and news"
                    .into(),
            refusal: None,
            before: vec![line("cpu", 300), line("upload", 0), unknown.clone()],
            after: vec![line("cpu", 500), line("upload", 0), unknown],
        };
        assert_eq!(
            plan(&one),
            "\
video fits only after the end of: backup, news.
  - service video reserves 50 % of a core, 40 % free, 10 % short; stop backup
    and news

BUDGET    TOTAL     SYSTEM     RESERVED  AFTER    FREE       AFTER
cpu       100 %     30 %       30 %      50 %     40 %       20 %
upload    1 kbit/s  300 bit/s  0 bit/s   0 bit/s  700 bit/s  700 bit/s
download  unknown   0 bit/s    0 bit/s   0 bit/s  0 bit/s    0 bit/s
"
        );
        one.fits = true;
        assert!(plan(&one).starts_with("video fits.\n"));
        (one.fits, one.stops) = (false, vec![]);
        assert!(plan(&one).starts_with("video does not fit.\n"));
    }

    #[test]
    fn ranks_are_numbers_and_what_they_mean() {
        let mut one = RankRow {
            service: "video".into(),
            rank: 1,
            ranked: true,
            state: "Active".into(),
            cpu_weight: Some(4100),
            io_weight: Some(533),
            memory_low_bytes: Some(64 << 20),
            oom_score_adj: Some(100),
            traffic_class: Some("interactive".into()),
            line_weight: Some(1000),
        };
        let mut other = one.clone();
        (other.service, other.rank, other.ranked) = ("news".into(), 2, false);
        (other.cpu_weight, other.io_weight, other.memory_low_bytes) = (None, None, None);
        (other.oom_score_adj, other.traffic_class, other.state) = (None, None, "Idle".into());
        assert_eq!(
            ranks(&[one.clone(), other]),
            "\
NAME   RANK  STATE   CPU   DISK  MEMORY  OOM  LINE
video  1     Active  4100  533   64M     100  interactive 1000
news   2=    Idle    -     -     -       -    -
"
        );
        // the longest name fits a serial console
        one.service = "a".repeat(32);
        let text = ranks(&[one]);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(ranks(&[]).ends_with("No service is installed.\n"));
    }
}
