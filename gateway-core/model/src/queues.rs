//! The queues' data file, `queues.toml`: how the line to the Internet is shared while it is full. The
//! firmware's copy is `/etc/hearth/queues.toml`; a household's `/data/hearth/queues.toml` replaces it.

mod code_point;

pub use code_point::CodePoint;

use crate::gateway::GatewayErrors;
use crate::protocol::{LeafKind, LineClass};
use serde::Deserialize;
use toml::Spanned;

/// The whole file. Unknown keys are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueData {
    /// The line.
    pub line: LineData,
    /// What holds the packets of a class.
    pub leaf: LeafData,
    /// The classes.
    pub class: Classes,
}

/// `[line]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineData {
    /// Percent of the line's rate that is used.
    pub share: u8,
    /// Bytes that the line adds to a frame.
    pub overhead: u16,
    /// How long the line may be used at once, ms.
    pub burst: u32,
    /// How much a first-come queue holds, ms of the line's rate.
    pub hold: u32,
}

/// `[leaf]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeafData {
    /// Which kinds to try, best first.
    pub order: Vec<LeafKind>,
    /// How long a packet may wait in the long run, ms.
    pub target: u32,
    /// In which time that is looked at, ms.
    pub interval: u32,
}

/// `[class.*]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    control: ClassData,
    guaranteed: ClassData,
    interactive: ClassData,
    bulk: ClassData,
    background: ClassData,
}

/// One class.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassData {
    /// Its percentage of what nobody has reserved; none of the services' class.
    #[serde(default)]
    pub share: u8,
    /// Code points by which packets of the home's hosts are in it.
    #[serde(default)]
    home: Vec<Spanned<CodePoint>>,
    /// Code points by which the gateway's own packets are in it.
    #[serde(default)]
    gateway: Vec<Spanned<CodePoint>>,
    /// Code points with which its packets may leave.
    keeps: Vec<CodePoint>,
    /// What the others are replaced by.
    mark: CodePoint,
}

impl Classes {
    /// The data of a class.
    #[must_use]
    pub fn of(&self, class: LineClass) -> &ClassData {
        match class {
            LineClass::Control => &self.control,
            LineClass::Guaranteed => &self.guaranteed,
            LineClass::Interactive => &self.interactive,
            LineClass::Bulk => &self.bulk,
            LineClass::Background => &self.background,
        }
    }

    /// Where a packet of a home's host belongs.
    #[must_use]
    pub fn of_home(&self, mark: CodePoint) -> LineClass {
        self.claimed(mark, |class| &class.home)
    }

    /// Where a packet of the gateway itself belongs.
    #[must_use]
    pub fn of_gateway(&self, mark: CodePoint) -> LineClass {
        self.claimed(mark, |class| &class.gateway)
    }

    fn claimed(
        &self,
        mark: CodePoint,
        claims: fn(&ClassData) -> &Vec<Spanned<CodePoint>>,
    ) -> LineClass {
        let lists = |class: &LineClass| {
            let list = claims(self.of(*class));
            list.iter().any(|listed| *listed.get_ref() == mark)
        };
        let found = LineClass::ALL.into_iter().find(lists);
        found.unwrap_or(LineClass::Bulk)
    }
}

impl ClassData {
    /// What a packet leaves with that came with `mark`.
    #[must_use]
    pub fn leaves_with(&self, mark: CodePoint) -> CodePoint {
        if self.keeps.contains(&mark) {
            mark
        } else {
            self.mark
        }
    }
}

impl QueueData {
    /// Reads a file; `file` is its name for errors.
    ///
    /// # Errors
    /// Every fault, each with file and line.
    pub fn parse(file: &str, text: &str) -> Result<QueueData, GatewayErrors> {
        let line_of = |at: usize| text.bytes().take(at).filter(|&b| b == b'\n').count() + 1;
        let data: QueueData = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| line_of(span.start));
            GatewayErrors(vec![format!("{file}:{line}: {}", e.message())])
        })?;
        let mut errors = Vec::new();
        data.check(&mut |section, key, at, reason| {
            let line = at.map_or_else(|| line_of_key(text, section, key), line_of);
            errors.push(format!("{file}:{line}: {section}.{key}: {reason}"));
        });
        if errors.is_empty() {
            Ok(data)
        } else {
            Err(GatewayErrors(errors))
        }
    }

    fn check(&self, say: &mut impl FnMut(&str, &str, Option<usize>, String)) {
        let (line, leaf) = (&self.line, &self.leaf);
        for (section, key, value, least, most) in [
            ("line", "share", u32::from(line.share), 10, 100),
            ("line", "overhead", u32::from(line.overhead), 0, 256),
            ("line", "burst", line.burst, 1, 100),
            ("line", "hold", line.hold, 1, 5_000),
            ("leaf", "target", leaf.target, 1, 1_000),
            ("leaf", "interval", leaf.interval, 1, 10_000),
        ] {
            if !(least..=most).contains(&value) {
                say(
                    section,
                    key,
                    None,
                    format!("{value} is not in {least}..={most}"),
                );
            }
        }
        if leaf.order.is_empty() {
            let reason = "names no kind; \"pfifo\" is always there".to_owned();
            say("leaf", "order", None, reason);
        }
        self.check_shares(say);
        for (key, claims) in [
            (
                "home",
                (|class| &class.home) as fn(&ClassData) -> &Vec<Spanned<CodePoint>>,
            ),
            ("gateway", |class| &class.gateway),
        ] {
            let mut taken: Vec<(CodePoint, LineClass)> = Vec::new();
            for class in LineClass::ALL {
                for mark in claims(self.class.of(class)) {
                    let (at, mark) = (mark.span().start, *mark.get_ref());
                    if let Some((_, first)) = taken.iter().find(|(seen, _)| *seen == mark) {
                        let reason = format!("{mark} is claimed by {} already", first.name());
                        say(&section(class), key, Some(at), reason);
                    }
                    taken.push((mark, class));
                }
            }
        }
        for mark in &self.class.control.home {
            let reason = "the gateway's own class can not be claimed by the home".to_owned();
            say("class.control", "home", Some(mark.span().start), reason);
        }
    }

    fn check_shares(&self, say: &mut impl FnMut(&str, &str, Option<usize>, String)) {
        let mut sum = 0;
        for class in LineClass::ALL {
            let share = u32::from(self.class.of(class).share);
            sum += share;
            let reason = match (class, share) {
                (LineClass::Guaranteed, 1..) => "services have their own reserves; remove it",
                (LineClass::Guaranteed, 0) | (_, 1..) => continue,
                (_, 0) => "must be given, at least 1",
            };
            say(&section(class), "share", None, reason.to_owned());
        }
        if sum > 100 {
            let reason = format!("all shares together are {sum} percent; at most 100");
            say("class.bulk", "share", None, reason);
        }
    }
}

fn section(class: LineClass) -> String {
    format!("class.{}", class.name())
}

/// The line of a key in a section, or of the section, or 1.
fn line_of_key(text: &str, section: &str, key: &str) -> usize {
    let head = format!("[{section}]");
    let lines = || {
        text.lines()
            .zip(1..)
            .map(|(line, number)| (line.trim(), number))
    };
    let Some((_, start)) = lines().find(|(line, _)| line.starts_with(&head)) else {
        return 1;
    };
    let inside = lines()
        .skip(start)
        .take_while(|(line, _)| !line.starts_with('['));
    let mut keys =
        inside.filter(|(line, _)| line.split('=').next().is_some_and(|k| k.trim() == key));
    keys.next().map_or(start, |(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../../board/common/queues.toml");

    fn named(name: &str) -> CodePoint {
        name.parse().unwrap()
    }

    #[test]
    fn the_shipped_file_is_valid_and_says_what_the_standards_say() {
        let classes = QueueData::parse("queues.toml", GOOD).unwrap().class;
        for (mark, home, gateway) in [
            ("EF", LineClass::Interactive, LineClass::Interactive),
            ("AF41", LineClass::Interactive, LineClass::Bulk),
            // RFC 8622
            ("LE", LineClass::Background, LineClass::Background),
            ("CS0", LineClass::Bulk, LineClass::Bulk),
            // RFC 4594 3.2: of the network itself, not of its users
            ("CS6", LineClass::Bulk, LineClass::Control),
            ("CS7", LineClass::Bulk, LineClass::Control),
            ("63", LineClass::Bulk, LineClass::Bulk),
        ] {
            assert_eq!(classes.of_home(named(mark)), home, "{mark}");
            assert_eq!(classes.of_gateway(named(mark)), gateway, "{mark}");
        }
        // and what a class may not claim does not leave
        let leaves = |class, mark| classes.of(class).leaves_with(named(mark));
        assert_eq!(leaves(LineClass::Bulk, "EF"), named("CS0"));
        assert_eq!(leaves(LineClass::Bulk, "CS7"), named("CS0"));
        assert_eq!(leaves(LineClass::Interactive, "EF"), named("EF"));
        assert_eq!(leaves(LineClass::Background, "LE"), named("LE"));
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_line() {
        let text = GOOD
            .replace("share = 95 ", "share = 5 ")
            .replace("share = 55", "share = 90")
            .replace(
                "home = [\"LE\", \"CS1\"]",
                "home = [\n    \"LE\",\n    \"EF\",\n]",
            )
            .replace("order = [\"cake\", \"fq_codel\", \"pfifo\"]", "order = []")
            .replace("gateway = [\"CS6\", \"CS7\"]", "home = [\"CS7\"]");
        let errors = QueueData::parse("q.toml", &text).unwrap_err().0;
        let line = |part: &str| text.lines().position(|l| l.contains(part)).unwrap() + 1;
        let expected = [
            (line("share = 5 "), "line.share"),
            (line("order = []"), "leaf.order"),
            (line("share = 90"), "class.bulk.share"),
            (line("    \"EF\","), "class.background.home"),
            (line("home = [\"CS7\"]"), "class.control.home"),
        ];
        assert_eq!(errors.len(), expected.len(), "{errors:#?}");
        for (number, key) in expected {
            let start = format!("q.toml:{number}: {key}: ");
            assert!(
                errors.iter().any(|e| e.starts_with(&start)),
                "{start} {errors:#?}"
            );
        }
    }

    #[test]
    fn an_unknown_key_or_code_point_is_an_error_with_its_line() {
        for (from, to, word) in [
            ("burst = 2 ", "bursts = 2 ", "bursts"),
            ("mark = \"LE\"", "mark = \"LF\"", "LF"),
            ("\"fq_codel\"", "\"sfq\"", "sfq"),
        ] {
            let text = GOOD.replace(from, to);
            let errors = QueueData::parse("q.toml", &text).unwrap_err().0;
            let line = text.lines().position(|l| l.contains(to)).unwrap() + 1;
            assert!(
                errors[0].starts_with(&format!("q.toml:{line}: ")),
                "{errors:?}"
            );
            assert!(errors[0].contains(word), "{errors:?}");
        }
    }
}
