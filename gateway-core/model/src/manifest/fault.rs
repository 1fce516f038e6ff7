//! What is wrong with a manifest: collected, never thrown, and printed as `file:line: key: text`.

use super::FAULTS_MAX;
use core::fmt;
use core::ops::Range;

/// Everything wrong with a manifest, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestErrors {
    lines: Vec<String>,
}

impl ManifestErrors {
    /// One finished line a fault: `file:line: section.key: what is wrong; what to do`.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for ManifestErrors {}

/// Collects faults while a file is read.
#[derive(Debug)]
pub(super) struct Faults {
    file: String,
    /// Offset of each line's first byte.
    starts: Vec<usize>,
    found: Vec<(usize, String)>,
    left_out: usize,
    syntax_lines: Vec<usize>,
}

impl Faults {
    pub(super) fn new(file: &str, text: &str) -> Faults {
        let after = text.bytes().enumerate().filter(|&(_, b)| b == b'\n');
        Faults {
            file: file.to_owned(),
            starts: core::iter::once(0)
                .chain(after.map(|(n, _)| n + 1))
                .collect(),
            found: Vec::new(),
            left_out: 0,
            syntax_lines: Vec::new(),
        }
    }

    /// Line number, from 1, of a byte of the file.
    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset).max(1)
    }

    /// A fault of form. Faults of content on the same line are its echo and are left out.
    pub(super) fn syntax(&mut self, span: Option<Range<usize>>, message: &str) {
        let line = self.line(span.map_or(0, |span| span.start));
        if self.syntax_lines.contains(&line) {
            return;
        }
        self.syntax_lines.push(line);
        let message = message.replace('\n', ", ");
        self.keep(
            line,
            format!("not TOML: {message}; correct this line (https://toml.io)"),
        );
    }

    /// Whether a fault of form was found: then what seems to be missing may stand in the bad line.
    pub(super) fn is_malformed(&self) -> bool {
        !self.syntax_lines.is_empty()
    }

    /// A fault of content at `key`. What the parser filled in for a malformed value has no place
    /// (an empty range) and is no fault of the author's.
    pub(super) fn say(&mut self, at: &Range<usize>, key: &str, text: &str) {
        let line = self.line(at.start);
        let filled_in = self.is_malformed() && at.is_empty();
        if !filled_in && !self.syntax_lines.contains(&line) {
            self.keep(line, format!("{key}: {text}"));
        }
    }

    fn keep(&mut self, line: usize, text: String) {
        if self.found.len() < FAULTS_MAX {
            self.found.push((line, text));
        } else {
            self.left_out += 1;
        }
    }

    /// `Ok` where nothing was found.
    pub(super) fn finish(mut self) -> Result<(), ManifestErrors> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort_by_key(|&(line, _)| line);
        let file = &self.file;
        let mut lines: Vec<String> = self
            .found
            .iter()
            .map(|(line, text)| format!("{file}:{line}: {text}"))
            .collect();
        if self.left_out > 0 {
            lines.push(format!(
                "{file}: {} more faults are not shown",
                self.left_out
            ));
        }
        Err(ManifestErrors { lines })
    }
}

/// A word of the file as it may be printed: quoted, escaped, cut where it is long.
pub(super) fn shown(word: &str) -> String {
    const SHOWN_MAX: usize = 40;
    let short: String = word.chars().take(SHOWN_MAX).collect();
    let dots = if short.len() < word.len() { "..." } else { "" };
    format!("\"{}{dots}\"", short.escape_debug())
}

/// `; did you mean "x"?` where one of the candidates is close, else the list of them.
pub(super) fn hint(word: &str, candidates: &[&str]) -> String {
    match nearest(word, candidates.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("use one of: {}", candidates.join(", ")),
    }
}

/// The candidate that a person most likely meant by `word`: at most two letters (in a short word
/// one) were added, lost, changed or swapped. `None` where none is that close.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    const WORD_MAX: usize = 48;
    if word.len() > WORD_MAX {
        return None;
    }
    let allowed = if word.chars().count() < 5 { 1 } else { 2 };
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|&(far, _)| far <= allowed)
        .min_by_key(|&(far, _)| far)
        .map(|(_, candidate)| candidate)
}

/// Edits between two words, a swap of neighbours counting as one (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &ca) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, &cb) in b.iter().enumerate() {
            let at = |row: &[usize], n: usize| row.get(n).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&row, j) + usize::from(ca != cb))
                .min(at(&row, j + 1) + 1)
                .min(at(&next, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(&cb) && b.get(j - 1) == Some(&ca);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = core::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let words = ["memory", "cpu", "pids"];
        for (slip, meant) in [
            ("memroy", Some("memory")),
            ("memori", Some("memory")),
            ("cpus", Some("cpu")),
            ("pid", Some("pids")),
            ("storage", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, words), meant, "{slip}");
        }
    }
}
