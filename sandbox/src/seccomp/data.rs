//! The policy files of `sandbox/policy/`, read and checked. They are part of this program: nothing on a
//! disk can widen them.

use super::constants;
use super::error::PolicyError;
use serde::Deserialize;

/// What a plan may name, with the files' text.
pub const DIFFERENCES: &[(&str, &str)] = &[
    (
        "network-client",
        include_str!("../../policy/network-client.toml"),
    ),
    (
        "network-server",
        include_str!("../../policy/network-server.toml"),
    ),
    ("netlink", include_str!("../../policy/netlink.toml")),
    ("dhcp-server", include_str!("../../policy/dhcp-server.toml")),
    (
        "exec-children",
        include_str!("../../policy/exec-children.toml"),
    ),
];

const BASE: &str = include_str!("../../policy/base.toml");
const REFUSED: &str = include_str!("../../policy/refused.toml");

/// One policy file.
#[derive(Debug, Default)]
pub struct PolicyFile {
    /// Calls that it allows.
    pub allow: Vec<Entry>,
    /// Calls that the service is told its kernel lacks (ENOSYS).
    pub absent: Vec<Group>,
    /// Calls that end whoever makes them.
    pub killed: Vec<Decided>,
    /// Calls that fail with EPERM.
    pub refused: Vec<Decided>,
    /// Numbers of the capabilities that it keeps (linux/capability.h).
    pub capabilities: Vec<u8>,
}

/// Calls that are allowed.
#[derive(Debug)]
pub struct Entry {
    /// Their names.
    pub calls: Vec<String>,
    /// What for.
    pub why: String,
    /// What must hold, all of it; nothing is always.
    pub when: Vec<Condition>,
}

/// Calls that share a reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Their names.
    pub calls: Vec<String>,
    /// The reason.
    pub why: String,
}

/// Calls that no policy allows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// Their names.
    pub calls: Vec<String>,
    /// Why none does.
    pub why: String,
    /// Whether a manifest may.
    pub manifest: Manifest,
}

/// Whether a manifest may ask for a call that no policy allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manifest {
    /// Yes, with a reason.
    MayAllow,
    /// No.
    Never,
}

/// What the low 32 bits of an argument must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// One of these values, after the mask.
    OneOf {
        /// Which argument, 0 to 5.
        arg: u8,
        /// Bits that count.
        mask: u32,
        /// The values.
        values: Vec<u32>,
    },
    /// None of these values.
    NoneOf {
        /// Which argument, 0 to 5.
        arg: u8,
        /// The values.
        values: Vec<u32>,
    },
}

impl Condition {
    /// The argument it looks at.
    #[must_use]
    pub fn arg(&self) -> u8 {
        match self {
            Condition::OneOf { arg, .. } | Condition::NoneOf { arg, .. } => *arg,
        }
    }

    /// Whether it holds for these arguments, as the kernel's filter decides it.
    #[must_use]
    pub fn holds(&self, args: &[u64; 6]) -> bool {
        // The low half only, see `filter::compare`. A file that names a seventh argument does not parse.
        let low = |arg: u8| args.get(usize::from(arg)).map_or(0, |&value| value as u32);
        match self {
            Condition::OneOf { arg, mask, values } => values.contains(&(low(*arg) & mask)),
            Condition::NoneOf { arg, values } => !values.contains(&low(*arg)),
        }
    }
}

/// The file that every service gets.
///
/// # Errors
/// [`PolicyError::File`].
pub fn base() -> Result<PolicyFile, PolicyError> {
    parse("base", BASE)
}

/// The file of what no policy allows.
///
/// # Errors
/// [`PolicyError::File`].
pub fn refused() -> Result<PolicyFile, PolicyError> {
    parse("refused", REFUSED)
}

/// The difference with this name.
///
/// # Errors
/// [`PolicyError::UnknownPolicy`], [`PolicyError::File`].
pub fn difference(name: &str) -> Result<PolicyFile, PolicyError> {
    let known = DIFFERENCES.iter().find(|(known, _)| *known == name);
    let (file, text) = known.ok_or_else(|| PolicyError::UnknownPolicy(name.to_owned()))?;
    parse(file, text)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    allow: Vec<RawEntry>,
    #[serde(default)]
    absent: Vec<Group>,
    #[serde(default)]
    killed: Vec<Decided>,
    #[serde(default)]
    refused: Vec<Decided>,
    #[serde(default)]
    capability: Vec<RawCapability>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCapability {
    name: String,
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    calls: Vec<String>,
    why: String,
    #[serde(default)]
    when: Vec<RawCondition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawCondition {
    arg: u8,
    #[serde(default)]
    mask: Vec<String>,
    #[serde(default)]
    one_of: Vec<String>,
    #[serde(default)]
    none_of: Vec<String>,
}

/// A file as it is written: known keys, known values, a reason for each entry.
///
/// # Errors
/// [`PolicyError::File`].
pub fn parse(file: &'static str, text: &str) -> Result<PolicyFile, PolicyError> {
    let wrong = |reason: String| PolicyError::File { file, reason };
    let raw: RawFile = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    reasons(&raw).map_err(wrong)?;
    let entries = raw.allow.into_iter().map(|entry| {
        let when = entry.when.iter().map(convert).collect::<Result<_, _>>()?;
        let RawEntry { calls, why, .. } = entry;
        Ok(Entry { calls, why, when })
    });
    let capabilities = raw.capability.iter().map(|RawCapability { name, .. }| {
        constants::capability(name)
            .ok_or_else(|| format!("{name} is not a capability that a policy may grant"))
    });
    Ok(PolicyFile {
        allow: entries.collect::<Result<_, String>>().map_err(wrong)?,
        absent: raw.absent,
        killed: raw.killed,
        refused: raw.refused,
        capabilities: capabilities.collect::<Result<_, String>>().map_err(wrong)?,
    })
}

/// Every line says why.
fn reasons(raw: &RawFile) -> Result<(), String> {
    let allowed = raw.allow.iter().map(|entry| (&entry.calls, &entry.why));
    let absent = raw.absent.iter().map(|group| (&group.calls, &group.why));
    let decided = raw.killed.iter().chain(&raw.refused);
    let decided = decided.map(|group| (&group.calls, &group.why));
    for (calls, why) in allowed.chain(absent).chain(decided) {
        if why.is_empty() {
            return Err(format!("{calls:?} has no reason"));
        }
    }
    match raw.capability.iter().find(|one| one.why.is_empty()) {
        Some(silent) => Err(format!("{} has no reason", silent.name)),
        None => Ok(()),
    }
}

fn convert(raw: &RawCondition) -> Result<Condition, String> {
    let number =
        |name: &String| constants::value(name).ok_or_else(|| format!("unknown value {name:?}"));
    let numbers = |names: &[String]| names.iter().map(number).collect::<Result<Vec<u32>, _>>();
    let arg = raw.arg;
    if arg > 5 {
        return Err(format!("a system call has arguments 0 to 5, not {arg}"));
    }
    match (raw.one_of.as_slice(), raw.none_of.as_slice()) {
        ([], []) | ([_, ..], [_, ..]) => Err("a condition has either one-of or none-of".into()),
        (values, []) => Ok(Condition::OneOf {
            arg,
            mask: numbers(&raw.mask)?
                .into_iter()
                .reduce(|a, b| a | b)
                .unwrap_or(u32::MAX),
            values: numbers(values)?,
        }),
        ([], _) if !raw.mask.is_empty() => Err("none-of takes no mask".into()),
        ([], values) => Ok(Condition::NoneOf {
            arg,
            values: numbers(values)?,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shipped_file_stands_in_the_folder_and_the_folder_holds_no_other() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/policy");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
            .collect();
        names.sort();
        let mut known: Vec<&str> = DIFFERENCES.iter().map(|&(name, _)| name).collect();
        known.extend(["base", "refused"]);
        known.sort_unstable();
        assert_eq!(names, known);
    }

    #[test]
    fn a_bad_file_is_an_error() {
        for (text, part) in [
            ("[[allow]]\ncalls = ['read']\nwhy = ''", "no reason"),
            ("[[alow]]\ncalls = ['read']\nwhy = 'x'", "unknown field"),
            (
                "[[allow]]\ncalls = ['read']\nwhy = 'x'\nwhen = [{ arg = 0 }]",
                "either",
            ),
            (
                "[[allow]]\ncalls = ['read']\nwhy = 'x'\nwhen = [{ arg = 0, one-of = ['X'] }]",
                "unknown value",
            ),
            (
                "[[allow]]\ncalls = ['a']\nwhy = 'x'\nwhen = [{ arg = 6, one-of = ['NOTHING'] }]",
                "not 6",
            ),
            (
                "[[capability]]\nname = 'CAP_SYS_ADMIN'\nwhy = 'x'",
                "not a capability",
            ),
            (
                "[[killed]]\ncalls = ['bpf']\nwhy = 'x'",
                "missing field `manifest`",
            ),
            (
                "[[killed]]\ncalls = ['bpf']\nwhy = 'x'\nmanifest = 'maybe'",
                "unknown variant",
            ),
        ] {
            match parse("test", text) {
                Err(PolicyError::File { reason, .. }) => {
                    assert!(reason.contains(part), "{reason}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
