//! What services used: sums over usage records, and whether the records are as the gateway wrote them.
//! Pure: lines in, texts out.

use crate::render::{Row, table};
use crate::words::{amount, ascii, count, cpu_seconds};
use core::fmt;
use hearth_model::api::OpenUsage;
use hearth_model::calendar;
use hearth_model::usage::{Broken, Chain, Figures, Head, PublicKey, Record, RecordEnd};
use std::collections::BTreeMap;

/// Longest line of records, bytes: a record has about 600.
pub const LINE_MAX: usize = 4096;

/// Why lines are not what a gateway wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A line, counted from 1.
    Line(u64, Broken),
    /// After the last line.
    End(Broken),
    /// There is no head at the end.
    NoHead,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Line(number, broken) => write!(f, "line {number}: {broken}"),
            Wrong::End(broken) => write!(f, "at the end: {broken}"),
            Wrong::NoHead => f.write_str(
                "the last line, which tells how many records there are, is missing; \
                 get the whole of 'hearth usage export'",
            ),
        }
    }
}

/// Checks every line, one after the other.
#[derive(Debug)]
pub struct Check {
    key: PublicKey,
    chain: Chain,
    head: Option<Head>,
    lines: u64,
    span: Option<(u64, u64)>,
    first: Option<u64>,
}

impl Check {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(key: PublicKey) -> Check {
        Check {
            key,
            chain: Chain::default(),
            head: None,
            lines: 0,
            span: None,
            first: None,
        }
    }

    /// One more line.
    ///
    /// # Errors
    /// [`Wrong::Line`].
    pub fn line(&mut self, line: &str) -> Result<(), Wrong> {
        self.lines += 1;
        let number = self.lines;
        if self.head.is_some() {
            let text = "it stands behind the line that ends the records";
            return Err(Wrong::Line(number, Broken::Malformed(text.to_owned())));
        }
        if is_record(line) {
            let followed = self.chain.follow(&self.key, line);
            let record = followed.map_err(|broken| Wrong::Line(number, broken))?;
            let (from, _) = *self.span.get_or_insert((record.from, record.until));
            self.span = Some((from, record.until));
            self.first.get_or_insert(record.sequence);
        } else {
            let opened = self.key.open::<Head>(line);
            self.head = Some(opened.map_err(|broken| Wrong::Line(number, broken))?.0);
        }
        Ok(())
    }

    /// What is certain after the last line.
    ///
    /// # Errors
    /// [`Wrong::End`], [`Wrong::NoHead`].
    pub fn verdict(&self) -> Result<String, Wrong> {
        let head = self.head.as_ref().ok_or(Wrong::NoHead)?;
        self.chain.ends_at(head).map_err(Wrong::End)?;
        let (Some((from, until)), Some(first)) = (self.span, self.first) else {
            return Ok("No record yet: the first one is written at the next full hour.".to_owned());
        };
        let records = usize::try_from(head.records - first).unwrap_or(usize::MAX);
        let mut text = format!(
            "{}, {} to {}: none is changed, removed or moved.",
            count(records, "record"),
            calendar::time(from),
            calendar::time(until)
        );
        if first > 0 {
            text.push_str(&format!(
                " The {first} before are gone: the gateway keeps the newest."
            ));
        }
        Ok(text)
    }
}

/// The head has no service.
fn is_record(line: &str) -> bool {
    line.starts_with("{\"sequence\":")
}

/// Sums by service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    rows: BTreeMap<String, Sum>,
}

/// One service's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    used: Figures,
    seconds: u64,
    interrupted: u32,
}

impl Sums {
    /// Adds a line's record, if it began in this month (`2026-11`).
    ///
    /// # Errors
    /// [`Broken::Malformed`]. The signature is not looked at: that is [`Check`]'s business.
    pub fn line(&mut self, line: &str, month: &str) -> Result<Option<Record>, Broken> {
        if !is_record(line) {
            return Ok(None);
        }
        let json = line.split_once('\t').map_or(line, |(json, _)| json);
        let record: Record =
            serde_json::from_str(json).map_err(|e| Broken::Malformed(e.to_string()))?;
        if calendar::month(record.from) != month {
            return Ok(None);
        }
        let interrupted = u32::from(record.end == RecordEnd::Interrupted);
        let seconds = record.until.saturating_sub(record.from);
        self.add(&record.service, record.used, seconds, interrupted);
        Ok(Some(record))
    }

    /// Adds the open hour, if it began in this month.
    pub fn open(&mut self, open: &OpenUsage, month: &str) {
        if calendar::month(open.from) == month {
            let seconds = open.until.saturating_sub(open.from);
            for row in &open.services {
                self.add(&row.service, row.used, seconds, 0);
            }
        }
    }

    fn add(&mut self, service: &str, used: Figures, seconds: u64, interrupted: u32) {
        let sum = self.rows.entry(service.to_owned()).or_default();
        sum.used = sum.used.and(used);
        sum.seconds = sum.seconds.saturating_add(seconds);
        sum.interrupted = sum.interrupted.saturating_add(interrupted);
    }

    /// The table for people.
    #[must_use]
    pub fn text(&self, month: &str, open: &OpenUsage) -> String {
        let header = [
            "NAME", "CPU(s)", "MEMORY", "STORAGE", "READ", "WRITTEN", "RECEIVED", "SENT", "HOURS",
        ];
        let mut rows = vec![Row {
            cells: header.map(str::to_owned),
            note: None,
        }];
        rows.extend(self.rows.iter().map(|(name, sum)| Row {
            cells: [
                ascii(name),
                cpu_seconds(sum.used.cpu_usec),
                amount(sum.used.memory_byte_seconds / sum.seconds.max(1)),
                amount(sum.used.storage_byte_seconds / sum.seconds.max(1)),
                amount(sum.used.read_bytes),
                amount(sum.used.written_bytes),
                amount(sum.used.received_bytes),
                amount(sum.used.sent_bytes),
                format!("{}.{}", sum.seconds / 3600, sum.seconds % 3600 / 360),
            ],
            note: (sum.interrupted > 0).then(|| {
                format!(
                    "the gateway went down {} unannounced: up to a minute each time is not in here",
                    count(
                        usize::try_from(sum.interrupted).unwrap_or(usize::MAX),
                        "time"
                    )
                )
            }),
        }));
        let mut text = format!("Used in {month} (UTC); memory and storage are the average.\n");
        text.push_str(&table(&rows));
        if self.rows.is_empty() {
            text.push_str("Nothing was used.\n");
        } else if calendar::month(open.from) == month {
            text.push_str(&format!(
                "What was used since {} is in no signed record yet.\n",
                calendar::time(open.from)
            ));
        }
        text
    }

    /// The sums for programs.
    #[must_use]
    pub fn json(&self, month: &str) -> serde_json::Value {
        let rows: Vec<serde_json::Value> = self
            .rows
            .iter()
            .map(|(name, sum)| {
                serde_json::json!({
                    "service": name,
                    "used": sum.used,
                    "seconds": sum.seconds,
                    "interrupted": sum.interrupted,
                })
            })
            .collect();
        serde_json::json!({ "month": month, "services": rows })
    }
}

/// Names of the columns of [`csv`].
pub const CSV_HEADER: &str = "sequence,service,from,until,end,cpu_usec,memory_byte_seconds,\
                              storage_byte_seconds,read_bytes,written_bytes,received_bytes,sent_bytes\n";

/// A record as a line of CSV (RFC 4180). A service's name has no comma and no quote.
#[must_use]
pub fn csv(record: &Record) -> String {
    let used = record.used;
    let end = match record.end {
        RecordEnd::Hour => "hour",
        RecordEnd::Shutdown => "shutdown",
        RecordEnd::Interrupted => "interrupted",
    };
    format!(
        "{},{},{},{},{end},{},{},{},{},{},{},{}\n",
        record.sequence,
        record.service,
        calendar::time(record.from),
        calendar::time(record.until),
        used.cpu_usec,
        used.memory_byte_seconds,
        used.storage_byte_seconds,
        used.read_bytes,
        used.written_bytes,
        used.received_bytes,
        used.sent_bytes
    )
}

/// Cuts bytes that come in pieces into lines.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Hands over every line that is complete with this piece.
    ///
    /// # Errors
    /// What `each` returns; [`Broken::Malformed`] for a line that is too long or no text.
    pub fn piece<E: From<Broken>>(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        self.rest.extend_from_slice(piece);
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let text = core::str::from_utf8(line.trim_ascii_end())
                .map_err(|_| Broken::Malformed("it is no text".to_owned()))?;
            each(text)?;
        }
        if self.rest.len() > LINE_MAX {
            let text = format!("a line is longer than {LINE_MAX} bytes");
            return Err(Broken::Malformed(text).into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_model::usage::Key;

    fn key() -> Key {
        Key::from_bytes(&[9; 32]).unwrap()
    }

    fn record(sequence: u64, previous: String, hours: u64) -> Record {
        Record {
            sequence,
            service: "web".into(),
            from: hours * 3600,
            until: (hours + 1) * 3600,
            end: RecordEnd::Hour,
            used: Figures {
                cpu_usec: 1_500_000,
                memory_byte_seconds: 3600 * 4096,
                storage_byte_seconds: 3600 * 2 * 4096,
                ..Figures::default()
            },
            previous,
        }
    }

    /// Two records and the head, as the gateway exports them.
    fn export() -> Vec<String> {
        let (a, first) = key().seal(&record(0, String::new(), 10)).unwrap();
        let (b, last) = key().seal(&record(1, first, 11)).unwrap();
        let (head, _) = key().seal(&Head { records: 2, last }).unwrap();
        vec![a, b, head]
    }

    fn verdict(lines: &[&String]) -> Result<String, Wrong> {
        let mut check = Check::new(key().public());
        for line in lines {
            check.line(line)?;
        }
        check.verdict()
    }

    #[test]
    fn an_export_is_whole_or_the_line_that_is_not_is_named() {
        let export = export();
        let [a, b, head] = &export[..] else { panic!() };
        let text = verdict(&[a, b, head]).unwrap();
        assert!(
            text.starts_with("2 records, 1970-01-01T10:00:00Z to"),
            "{text}"
        );
        let text = verdict(&[b, head]).unwrap();
        assert!(text.contains("The 1 before are gone"), "{text}");
        assert!(matches!(verdict(&[b, a, head]), Err(Wrong::Line(2, _))));
        assert!(matches!(verdict(&[a, head]), Err(Wrong::End(_))));
        assert_eq!(verdict(&[a, b]), Err(Wrong::NoHead));
        assert!(matches!(verdict(&[a, b, head, a]), Err(Wrong::Line(4, _))));
        let changed = a.replace("1500000", "1500001");
        let wrong = verdict(&[&changed, b, head]).unwrap_err();
        assert!(
            wrong.to_string().starts_with("line 1: the signature"),
            "{wrong}"
        );
    }

    #[test]
    fn a_month_is_summed_by_service_with_the_open_hour() {
        let mut sums = Sums::default();
        for line in export() {
            sums.line(&line, "1970-01").unwrap();
            assert_eq!(sums.line(&line, "1970-02"), Ok(None));
        }
        let open = OpenUsage {
            from: 12 * 3600,
            until: 12 * 3600 + 1800,
            services: vec![hearth_model::api::UsageRow {
                service: "web".into(),
                used: Figures {
                    cpu_usec: 500_000,
                    ..Figures::default()
                },
            }],
        };
        sums.open(&open, "1970-01");
        let text = sums.text("1970-01", &open);
        assert_eq!(
            text.lines().nth(2),
            Some("web   3.5     3.1K    6.3K     0B    0B       0B        0B    2.5"),
            "{text}"
        );
        assert!(text.contains("since 1970-01-01T12:00:00Z is in no signed record"));
        assert_eq!(
            sums.json("1970-01")["services"][0]["used"]["cpu_usec"],
            3_500_000
        );
        let row = csv(&record(0, String::new(), 10));
        assert_eq!(row.split(',').count(), CSV_HEADER.split(',').count());
    }

    #[test]
    fn pieces_become_lines_wherever_they_are_cut() {
        let bytes = b"one\ntwo\n\nthree\n";
        for cut in 0..bytes.len() {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            for piece in [&bytes[..cut], &bytes[cut..]] {
                let keep = |line: &str| {
                    seen.push(line.to_owned());
                    Ok::<_, Broken>(())
                };
                lines.piece(piece, keep).unwrap();
            }
            assert_eq!(seen, ["one", "two", "", "three"]);
        }
        let long = vec![b'x'; LINE_MAX + 1];
        let refused = Lines::default().piece(&long, |_| Ok::<_, Broken>(()));
        assert!(refused.is_err());
    }
}
