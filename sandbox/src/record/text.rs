//! A recording as the lines of a manifest, ready to paste, and beside one.

use super::needs::{Asked, Comparison, Forbidden};
use std::fmt::Write as _;

/// The lines for `manifest.toml`. What no manifest can allow stands in comments.
#[must_use]
pub fn toml(asked: &Asked, command: &str) -> String {
    let mut text = format!(
        "# What {} calls beyond the base policy.\n",
        printable(command)
    );
    let result = write(asked, &mut text);
    // Writing to a String does not fail.
    debug_assert!(result.is_ok());
    text
}

fn write(asked: &Asked, text: &mut String) -> std::fmt::Result {
    if asked.policies.is_empty() && asked.calls.is_empty() {
        writeln!(text, "# Nothing: its manifest needs no [sandbox].")?;
    }
    if !asked.policies.is_empty() {
        writeln!(text, "[sandbox]\npolicies = [")?;
        for (name, calls) in &asked.policies {
            let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
            writeln!(text, "    \"{name}\", # {}", calls.join(", "))?;
        }
        writeln!(text, "]")?;
    }
    for call in &asked.calls {
        writeln!(
            text,
            "\n[[sandbox.syscall]]\nname = \"{call}\"\nreason = \"called when it was recorded; say here what for\""
        )?;
    }
    if !asked.forbidden.is_empty() {
        writeln!(text, "\n# Called, but no manifest can allow it; inside:")?;
    }
    for forbidden in &asked.forbidden {
        writeln!(text, "{}", comment(forbidden))?;
    }
    Ok(())
}

fn comment(forbidden: &Forbidden) -> String {
    let Forbidden { need, killed, why } = forbidden;
    let arguments: Vec<String> = need.args.iter().map(|arg| format!("{arg:#x}")).collect();
    let shown = if need.args.iter().any(|&arg| arg != 0) {
        let last = need.args.iter().rposition(|&arg| arg != 0).unwrap_or(0);
        format!(
            "({})",
            arguments.get(..=last).unwrap_or_default().join(", ")
        )
    } else {
        String::new()
    };
    let what = if *killed { "killed" } else { "fails" };
    format!("#   {}{shown}: {what}; {why}", need.call)
}

/// A command line on one line of ASCII: it may hold anything.
fn printable(command: &str) -> String {
    command.escape_debug().to_string()
}

/// One line for each fault of the manifest `file` against a recording.
#[must_use]
pub fn faults(comparison: &Comparison, file: &str) -> Vec<String> {
    let stale_policies = comparison.stale_policies.iter().map(|name| {
        format!("{file}: the policy {name:?} is stale: nothing that was recorded needs it")
    });
    let stale_calls = comparison
        .stale_calls
        .iter()
        .map(|name| format!("{file}: the system call {name:?} is stale: it was not called"));
    let missing = comparison
        .missing
        .iter()
        .map(|name| format!("{file}: the system call {name:?} was called and is not allowed"));
    stale_policies.chain(stale_calls).chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::needs::Need;
    use std::collections::BTreeSet;

    #[test]
    fn the_lines_can_be_pasted_into_a_manifest() {
        // given policies, single calls and what is forbidden
        let need = |call: &str, args| Need {
            call: call.into(),
            args,
        };
        let asked = Asked {
            policies: vec![(
                "exec-children",
                BTreeSet::from(["fork".into(), "wait4".into()]),
            )],
            calls: BTreeSet::from(["sync".to_owned()]),
            forbidden: vec![Forbidden {
                need: need("clone", [0x1000_0011, 0, 0, 0, 0, 0]),
                killed: false,
                why: "no policy allows it with these arguments".into(),
            }],
        };
        // when they are put behind a manifest
        let text = toml(&asked, "a\nb");
        let rest = "[service]\nname = \"a\"\nversion = \"1\"\nexec = [\"/a\"]\n[resources.memory]\nmax = \"8 MiB\"\n\
                    [resources.pids]\nmax = 4\n";
        let manifest =
            hearth_model::manifest::Manifest::parse("m", &format!("{rest}{text}")).unwrap();
        // then it says the same
        assert_eq!(manifest.policies(), ["exec-children"]);
        assert_eq!(manifest.extra_syscalls()[0].name, "sync");
        assert!(text.starts_with("# What a\\nb calls"), "{text}");
        assert!(text.contains("\"exec-children\", # fork, wait4"), "{text}");
        assert!(
            text.contains("#   clone(0x10000011): fails; no policy"),
            "{text}"
        );
    }
}
