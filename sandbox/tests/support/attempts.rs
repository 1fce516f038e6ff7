//! The table of expected outcomes, `tests/data/attempts.toml`, and its comparison with what the hostile
//! program prints.

use serde::Deserialize;
use std::collections::BTreeMap;

/// One row.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Row {
    /// The outcome inside; without a sandbox it succeeds.
    Plain(String),
    /// One with exceptions.
    Table(Exceptions),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exceptions {
    inside: String,
    x86_64: Option<String>,
    /// For the board tests.
    #[allow(dead_code)]
    guest: Option<String>,
    #[serde(default)]
    or: Vec<String>,
    #[serde(default)]
    outside: Vec<String>,
    why: String,
}

/// What one attempt must come to.
#[derive(Debug)]
pub struct Expected {
    /// Its name.
    pub name: String,
    /// The outcome inside on this word size.
    pub inside: String,
    or: Vec<String>,
    outside: Vec<String>,
}

/// Themes that are run in another way than by `hostile once`.
const OTHER_RUNS: [&str; 2] = ["spying", "exhaustion"];

/// The rows of `hostile once` for a word size.
pub fn of_once(word: &str) -> Vec<Expected> {
    let other = if word == "i686" {
        "gates-x86_64"
    } else {
        "gates-i686"
    };
    let wanted = |theme: &str| theme != other && !OTHER_RUNS.contains(&theme);
    of(word, wanted)
}

/// The rows of one theme for a word size.
pub fn of_theme(word: &str, theme: &str) -> Vec<Expected> {
    of(word, |known| known == theme)
}

fn of(word: &str, wanted: impl Fn(&str) -> bool) -> Vec<Expected> {
    let table: BTreeMap<String, BTreeMap<String, Row>> =
        toml::from_str(include_str!("../data/attempts.toml")).unwrap();
    let themes = table.into_iter().filter(|(theme, _)| wanted(theme));
    let rows = themes.flat_map(|(_, rows)| rows);
    rows.map(|(name, row)| expected(word, name, row)).collect()
}

fn expected(word: &str, name: String, row: Row) -> Expected {
    let row = match row {
        Row::Plain(inside) => Exceptions {
            inside,
            ..Exceptions::default()
        },
        Row::Table(row) => {
            assert!(!row.why.is_empty(), "{name}: an exception has no reason");
            row
        }
    };
    let of_word = row.x86_64.filter(|_| word == "x86_64");
    Expected {
        name,
        inside: of_word.unwrap_or(row.inside),
        or: row.or,
        outside: row.outside,
    }
}

impl Expected {
    /// Whether this outcome is as it must be inside.
    pub fn holds_inside(&self, outcome: &str) -> bool {
        outcome == self.inside || self.or.iter().any(|other| other == outcome)
    }

    /// Whether this outcome shows that the attempt is worth trying: without a sandbox it comes further.
    pub fn holds_outside(&self, outcome: &str) -> bool {
        let succeeded = outcome == "ok" || outcome.starts_with("value=");
        let further = succeeded && !self.holds_inside(outcome);
        further || self.outside.iter().any(|known| known == outcome)
    }
}

/// Name and outcome of each line `RESULT`.
pub fn results(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("RESULT "));
    lines
        .map(|line| line.split_once(' ').unwrap_or((line, "")))
        .collect()
}

/// What is not as it must be inside, but for what `opened` expects instead; and names without a row.
pub fn wrong_inside(expected: &[Expected], text: &str, opened: &[(&str, &str)]) -> Vec<String> {
    let mut found = results(text);
    found.remove("end");
    let mut wrong = Vec::new();
    for row in expected {
        let instead = opened.iter().find(|(name, _)| *name == row.name);
        let outcome = found.remove(row.name.as_str());
        let good = outcome.is_some_and(|outcome| match instead {
            Some((_, instead)) => outcome == *instead,
            None => row.holds_inside(outcome),
        });
        if !good {
            let inside = instead.map_or(row.inside.as_str(), |(_, instead)| instead);
            wrong.push(format!("{}: {outcome:?}, not {inside:?}", row.name));
        }
    }
    let unlisted = found.into_iter();
    wrong.extend(unlisted.map(|(name, outcome)| format!("{name}: {outcome:?} has no row")));
    wrong
}

/// What comes no further without a sandbox than inside.
pub fn vacuous(expected: &[Expected], outside: &str) -> Vec<String> {
    let found = results(outside);
    let outcome = |row: &Expected| found.get(row.name.as_str()).copied().unwrap_or("missing");
    let rows = expected
        .iter()
        .filter(|row| !row.holds_outside(outcome(row)));
    rows.map(|row| format!("{}: {:?} outside", row.name, outcome(row)))
        .collect()
}
