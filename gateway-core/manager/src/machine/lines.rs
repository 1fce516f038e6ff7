//! A service's output as lines: whole, bounded in length, bounded in rate, every drop counted.

use crate::limits::{LOG_BURST, LOG_LINE_MAX, LOG_RATE};
use hearth_model::Tick;

/// What became of a piece of output.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Lines to keep, each with its newline.
    pub lines: Vec<Vec<u8>>,
    /// Whether something was dropped.
    pub flood: Flood,
}

/// Whether output came faster than it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flood {
    /// No.
    #[default]
    No,
    /// Yes: lines were dropped.
    Yes,
}

/// Cuts one service's output into lines.
#[derive(Debug)]
pub struct Lines {
    partial: Vec<u8>,
    /// Bytes that may be kept now, in thousandths, so that a millisecond's share is whole.
    credit: u64,
    filled: Tick,
    dropped_lines: u64,
    dropped_bytes: u64,
}

impl Lines {
    /// A service that has printed nothing yet.
    #[must_use]
    pub fn new(now: Tick) -> Lines {
        Lines {
            partial: Vec::new(),
            credit: LOG_BURST * 1000,
            filled: now,
            dropped_lines: 0,
            dropped_bytes: 0,
        }
    }

    /// Takes the next bytes of output.
    pub fn take(&mut self, bytes: &[u8], now: Tick) -> Taken {
        self.refill(now);
        let mut taken = Taken::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = LOG_LINE_MAX.saturating_sub(self.partial.len());
            let window = rest
                .split_at_checked(room)
                .map_or(rest, |(window, _)| window);
            match window.iter().position(|&b| b == b'\n') {
                Some(end) => {
                    let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
                    self.partial.extend_from_slice(line);
                    rest = after.get(1..).unwrap_or(&[]);
                    self.end_line(&mut taken);
                }
                None => {
                    self.partial.extend_from_slice(window);
                    rest = rest.get(window.len()..).unwrap_or(&[]);
                    if self.partial.len() >= LOG_LINE_MAX {
                        self.end_line(&mut taken);
                    }
                }
            }
        }
        taken
    }

    /// The service is silent or gone: what it left unfinished, and what was dropped.
    pub fn flush(&mut self, now: Tick) -> Vec<Vec<u8>> {
        self.refill(now);
        let mut taken = Taken::default();
        if !self.partial.is_empty() {
            self.end_line(&mut taken);
        }
        taken.lines.extend(self.notice());
        taken.lines
    }

    /// Whether lines were dropped that no kept line has told of.
    #[must_use]
    pub fn owes_notice(&self) -> bool {
        self.dropped_lines > 0
    }

    fn refill(&mut self, now: Tick) {
        let earned = now.since_ms(self.filled).saturating_mul(LOG_RATE);
        self.credit = self.credit.saturating_add(earned).min(LOG_BURST * 1000);
        self.filled = now;
    }

    fn end_line(&mut self, taken: &mut Taken) {
        let mut line = core::mem::take(&mut self.partial);
        line.push(b'\n');
        let length = line.len() as u64;
        match self.credit.checked_sub(length * 1000) {
            Some(left) => {
                self.credit = left;
                taken.lines.extend(self.notice());
                taken.lines.push(line);
            }
            None => {
                self.dropped_lines = self.dropped_lines.saturating_add(1);
                self.dropped_bytes = self.dropped_bytes.saturating_add(length);
                taken.flood = Flood::Yes;
            }
        }
    }

    fn notice(&mut self) -> Option<Vec<u8>> {
        let (lines, bytes) = (self.dropped_lines, self.dropped_bytes);
        (self.dropped_lines, self.dropped_bytes) = (0, 0);
        (lines > 0).then(|| {
            format!(
                "hearth: {lines} lines ({bytes} bytes) dropped: more than {} KiB a second\n",
                LOG_RATE / 1024
            )
            .into_bytes()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_pieces_comes_out_whole() {
        let mut lines = Lines::new(Tick(0));
        assert_eq!(lines.take(b"hel", Tick(1)).lines, Vec::<Vec<u8>>::new());
        assert_eq!(lines.take(b"lo\nwor", Tick(2)).lines, [b"hello\n".to_vec()]);
        assert_eq!(lines.flush(Tick(3)), [b"wor\n".to_vec()]);
        assert_eq!(lines.flush(Tick(4)), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_line_without_end_is_split() {
        let mut lines = Lines::new(Tick(0));
        let taken = lines.take(&vec![b'x'; LOG_LINE_MAX * 2 + 1], Tick(0));
        assert_eq!(taken.lines.len(), 2);
        assert_eq!(taken.lines[0].len(), LOG_LINE_MAX + 1);
        assert_eq!(lines.flush(Tick(0)), [b"x\n".to_vec()]);
    }

    #[test]
    fn kept_and_dropped_bytes_are_all_bytes() {
        // given a service that prints ten times its burst at once
        let mut lines = Lines::new(Tick(0));
        let line = [b'y'; 99];
        let (mut kept, count) = (0_u64, LOG_BURST * 10 / 100);
        for _ in 0..count {
            let taken = lines.take(&line, Tick(0));
            let taken_end = lines.take(b"\n", Tick(0));
            assert!(taken.lines.is_empty());
            kept += taken_end.lines.iter().map(|l| l.len() as u64).sum::<u64>();
        }
        // then only the burst is kept
        assert!(kept <= LOG_BURST && kept > LOG_BURST - 100, "{kept}");
        assert!(lines.owes_notice());
        // when it is quiet for a second
        let taken = lines.take(b"after\n", Tick(1000));
        // then the notice accounts for the rest, and new lines are kept
        let dropped = count * 100 - kept;
        let notice = String::from_utf8(taken.lines[0].clone()).unwrap();
        assert_eq!(
            notice,
            format!(
                "hearth: {} lines ({dropped} bytes) dropped: more than 32 KiB a second\n",
                dropped / 100
            )
        );
        assert_eq!(taken.lines[1], b"after\n");
    }

    #[test]
    fn the_steady_rate_is_the_named_one() {
        let mut lines = Lines::new(Tick(0));
        let mut kept = 0;
        for second in 1..=100 {
            let taken = lines.take(&b"0123456789abcde\n".repeat(64 * 1024), Tick(second * 1000));
            kept += taken.lines.iter().map(Vec::len).sum::<usize>() as u64;
        }
        assert!(kept < LOG_BURST + 101 * LOG_RATE, "{kept}");
        assert!(kept > 99 * LOG_RATE, "{kept}");
    }
}
