//! The man page and the completion for bash, from the command's definition.

use crate::args::Args;
use clap::{Command, CommandFactory};
use clap_complete::aot::{Bash, generate};
use clap_mangen::Man;
use std::io;

/// The completion, as bash reads it.
pub(crate) fn bash() -> Vec<u8> {
    let mut text = Vec::new();
    generate(Bash, &mut Args::command(), "hearth", &mut text);
    text
}

/// The page, as man(7) reads it: one for all, a section for each thing to do.
pub(crate) fn page() -> io::Result<Vec<u8>> {
    let mut all = Args::command();
    all.build();
    let man = Man::new(all.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    page.extend_from_slice(
        b".SH SYNOPSIS\n\\fBhearth\\fR <\\fIsubcommand\\fR> [\\fIargument\\fR ...]\n.SH DESCRIPTION\n\
          Asks the manager of this gateway, over the Unix socket that \\fBHEARTH_API\\fR names, else \
          /run/hearth/api.sock.\n.SH EXIT STATUS\n0 done, 1 refused or failed, 2 wrong usage, 3 the gateway \
          does not answer\n.SH COMMANDS\n",
    );
    for command in all.get_subcommands() {
        section(&mut page, "hearth", command)?;
    }
    Ok(page)
}

/// What a command and those below it are, how they are written, and their options.
fn section(page: &mut Vec<u8>, parent: &str, command: &Command) -> io::Result<()> {
    let name = format!("{parent} {}", command.get_name());
    let man = Man::new(command.clone());
    let mut parts = Vec::new();
    man.render_synopsis_section(&mut parts)?;
    man.render_description_section(&mut parts)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut parts)?;
    }
    // Each piece comes as a page of its own would have it: with its title, and the preamble of roff.
    let text = String::from_utf8_lossy(&parts);
    let lines = text.lines().filter(|line| {
        !line.starts_with(".SH") && !line.starts_with(".ie") && !line.starts_with(".el")
    });
    page.extend_from_slice(format!(".SS {name}\n").as_bytes());
    let mut first = true;
    for line in lines {
        page.extend_from_slice(line.as_bytes());
        page.push(b'\n');
        // The synopsis is one line; what it means is below it.
        if core::mem::take(&mut first) {
            page.extend_from_slice(b".PP\n");
        }
    }
    for below in command.get_subcommands() {
        section(page, &name, below)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command as Process;

    /// Every command with those below it, as they are typed.
    fn all(parent: &str, command: &Command, found: &mut Vec<String>) {
        for below in command.get_subcommands() {
            let name = format!("{parent} {}", below.get_name());
            all(&name, below, found);
            found.push(name);
        }
    }

    #[test]
    fn the_written_ones_are_made_from_what_there_is() {
        let stale = "is stale: cargo run -p hearth --example manual";
        assert!(
            bash() == include_bytes!("../manual/hearth.bash"),
            "hearth.bash {stale}"
        );
        assert!(
            page().unwrap() == include_bytes!("../manual/hearth.1"),
            "hearth.1 {stale}"
        );
    }

    #[test]
    fn the_page_the_help_and_the_completion_name_every_command() {
        let mut names = Vec::new();
        all("hearth", &Args::command(), &mut names);
        let (page, bash) = (page().unwrap(), bash());
        let (page, bash) = (
            String::from_utf8(page).unwrap(),
            String::from_utf8(bash).unwrap(),
        );
        assert!(names.len() > 25, "{names:?}");
        for name in names {
            assert!(page.contains(&format!(".SS {name}\n")), "{name}");
            let last = name.rsplit(' ').next().unwrap();
            assert!(bash.contains(last), "{name}");
            assert!(
                crate::args::HELP.contains(&name) || name == "hearth help",
                "{name}"
            );
        }
        assert!(!page.contains(".SH hearth"));
    }

    #[test]
    fn bash_completes_by_it() {
        // given a bash that has read it, when words are begun
        for (words, at, expected) in [
            ("hearth st", 1, &["start", "status", "stop"][..]),
            ("hearth net se", 2, &["sessions"]),
            ("hearth top --so", 2, &["--sort"]),
            ("hearth top --sort m", 3, &["memory"]),
            ("hearth usage ver", 2, &["verify"]),
        ] {
            let last = words.rsplit(' ').next().unwrap();
            let script = format!(
                "source '{}/manual/hearth.bash'\ncomplete -p hearth >/dev/null || exit 9\n\
                 COMP_WORDS=({words}); COMP_CWORD={at}; COMP_LINE='{words}'; COMP_POINT=${{#COMP_LINE}}\n\
                 _hearth hearth '{last}' \"${{COMP_WORDS[{}]}}\" && printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
                env!("CARGO_MANIFEST_DIR"),
                at - 1
            );
            let done = Process::new("bash")
                .args(["--norc", "-c", &script])
                .output()
                .unwrap();
            let text = String::from_utf8(done.stdout).unwrap();
            let errors = String::from_utf8_lossy(&done.stderr).into_owned();
            // then it finishes them
            let mut told: Vec<&str> = text.lines().collect();
            told.sort_unstable();
            assert_eq!(told, expected, "{words}: {errors}");
            assert!(
                done.status.success() && errors.is_empty(),
                "{words}: {errors}"
            );
        }
    }
}
