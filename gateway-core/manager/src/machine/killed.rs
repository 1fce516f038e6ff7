//! Processes that the kernel killed for a system call: which service's, which call, and what its manifest
//! would have to say. The facts about calls are the policy's own files.

use super::{Action, Machine, Object};
use hearth_model::ServiceId;
use hearth_model::audit::{SeccompKill, Verdict, explanation};
use log::Level;
use serde::Deserialize;
use std::collections::BTreeSet;

const I386: u32 = 0x4000_0003; // linux/audit.h, AUDIT_ARCH_I386
const X86_64: u32 = 0xc000_003e; // linux/audit.h, AUDIT_ARCH_X86_64

const I386_CALLS: &str = include_str!("../../../../sandbox/policy/tables/i386.tbl");
const X86_64_CALLS: &str = include_str!("../../../../sandbox/policy/tables/x86_64.tbl");
const REFUSED: &str = include_str!("../../../../sandbox/policy/refused.toml");

/// A killed process of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Killed {
    /// Its number, as PID 1 sees it.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// The call.
    pub call: String,
    /// What it did and what can be done, behind "it".
    pub words: String,
    /// When.
    pub age: Age,
}

/// The end of a process whose system call its filter answers with death (signal(7), i386 and x86_64).
pub const SIGSYS: u8 = 31;

/// What is known of the killed processes of a service's run.
#[derive(Debug, Default)]
pub struct Kills {
    /// Its process, now or of the last run; 0 where this manager has not seen one.
    main: u32,
    /// What that process was killed for.
    main_for: Option<String>,
    /// Calls that a kill was told for.
    told: BTreeSet<String>,
}

impl Kills {
    /// PID 1 says that this is its process; 0 is none. Another one is another run.
    pub fn follow(&mut self, pid: u32) {
        if pid != 0 && pid != self.main {
            *self = Kills {
                main: pid,
                ..Kills::default()
            };
        }
    }

    /// How its process ended, by SIGSYS.
    #[must_use]
    pub fn end(&self) -> String {
        match &self.main_for {
            Some(words) => format!("it was killed: it {words}"),
            None => "it was killed for a system call that no policy allows; the kernel's log has not told which \
                     (`hearth-sandbox record` finds it)"
                .to_owned(),
        }
    }
}

/// Whether a kill was in the kernel's log before this manager was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// It was: an earlier manager has told of it.
    Old,
    /// It was not.
    New,
}

/// `refused.toml`, as far as it says what kills. Its own checks are the launcher's.
#[derive(Deserialize)]
struct Refused {
    killed: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    calls: Vec<String>,
    why: String,
    manifest: String,
}

impl Killed {
    /// The kernel's record in the policy's words.
    #[must_use]
    pub fn new(kill: &SeccompKill<'_>, age: Age) -> Killed {
        let table = match kill.arch {
            I386 => I386_CALLS,
            X86_64 => X86_64_CALLS,
            _ => "",
        };
        let named = table.lines().find_map(|line| {
            let (number, name) = line.split_once(' ')?;
            (number.parse() == Ok(kill.call)).then_some(name)
        });
        let call = named.map_or_else(|| format!("number {:#x}", kill.call), str::to_owned);
        let refused = toml::from_str::<Refused>(REFUSED);
        let groups = refused.map(|refused| refused.killed).unwrap_or_default();
        let group = groups.iter().find(|group| group.calls.contains(&call));
        let verdict = match group {
            Some(group) if group.manifest == "never" => Verdict::Never(&group.why),
            Some(group) => Verdict::ManifestMayAllow(&group.why),
            None => Verdict::ForeignGate,
        };
        Killed {
            pid: kill.pid,
            name: kill.name.to_owned(),
            words: explanation(&call, verdict),
            call,
            age,
        }
    }
}

impl Machine {
    /// The kernel killed a process of this service.
    pub(super) fn killed(&mut self, id: ServiceId, killed: Killed, out: &mut Vec<Action>) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        let Killed {
            pid,
            name,
            call,
            words,
            age,
        } = killed;
        let running = service.is_running();
        let kills = &mut service.kills;
        if pid == kills.main || (kills.main == 0 && !running) {
            kills.main_for = Some(words.clone());
        }
        // Once a run and call: whoever starts children that die so does not fill a log.
        if age == Age::Old || !kills.told.insert(call) {
            return;
        }
        let text = format!("process {pid} ({name}) was killed: it {words}");
        let note = format!("hearth: {text}");
        out.push(Action::Tell(
            Level::Warn,
            Object::Service(service.name.clone()),
            text,
        ));
        out.push(Action::Note(service.name.clone(), note));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(arch: u32, call: u32) -> (String, String) {
        let kill = SeccompKill {
            uid: 0,
            pid: 1,
            name: "a",
            arch,
            call,
        };
        let killed = Killed::new(&kill, Age::New);
        (killed.call, killed.words)
    }

    #[test]
    fn a_call_is_named_with_what_its_manifest_would_have_to_say() {
        // asm/unistd_32.h, asm/unistd_64.h
        for (arch, number, name, part) in [
            (
                I386,
                26,
                "ptrace",
                "needs [[sandbox.syscall]] with name = \"ptrace\" and a reason",
            ),
            (
                X86_64,
                101,
                "ptrace",
                "needs [[sandbox.syscall]] with name = \"ptrace\" and a reason",
            ),
            (
                I386,
                357,
                "bpf",
                "runs code in the kernel or replaces it; no manifest can allow it",
            ),
            (I386, 88, "reboot", "no manifest can allow it"),
            // the gate for 32-bit programs, used by another, and x32
            (
                I386,
                20,
                "getpid",
                "by a way into the kernel that is not its own",
            ),
            (
                X86_64,
                0x4000_0027,
                "number 0x40000027",
                "by a way into the kernel that is not",
            ),
            (
                7,
                1,
                "number 0x1",
                "by a way into the kernel that is not its own",
            ),
        ] {
            let (call, words) = words(arch, number);
            assert_eq!(call, name);
            assert!(words.contains(part), "{words}");
            assert!(
                words.contains(&format!("made the system call {name}")),
                "{words}"
            );
        }
    }

    #[test]
    fn the_policys_file_says_what_kills() {
        let refused: Refused = toml::from_str(REFUSED).unwrap();
        let calls: usize = refused.killed.iter().map(|group| group.calls.len()).sum();
        assert!(calls >= 20, "{calls}");
        for group in refused.killed {
            assert!(["never", "may-allow"].contains(&group.manifest.as_str()));
        }
    }
}
