//! What a command was killed for, when its filter ended it: from the kernel's log, which a developer's machine
//! may let us read or not.

use crate::limits::KERNEL_LOG_WAIT_MS;
use crate::seccomp::abi::Abi;
use crate::seccomp::data::{self, Manifest};
use crate::seccomp::error::PolicyError;
use crate::sys::process;
use hearth_model::audit::{SeccompKill, Verdict, explanation};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// Longest record of the kernel's log, bytes (kernel/printk, `PRINTK_MESSAGE_MAX` and its prefix).
const RECORD_MAX: usize = 8 * 1024;

/// The kernel's log from now on, where it can be read.
#[derive(Debug)]
pub struct KernelLog(Option<File>);

impl KernelLog {
    /// Opens it; what it holds so far is passed over.
    #[must_use]
    pub fn from_now_on() -> KernelLog {
        let mut options = OpenOptions::new();
        let open = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg");
        let at_its_end = |mut file: File| file.seek(SeekFrom::End(0)).map(|_| file);
        KernelLog(open.and_then(at_its_end).ok())
    }

    /// What to tell a person of a command with this process number that SIGSYS ended.
    #[must_use]
    pub fn tell(self, pid: u32) -> String {
        let found = self.0.and_then(|file| find(file, pid));
        found.unwrap_or_else(|| {
            "the command, or a child of it, was killed for a system call that no policy allows (SIGSYS); the \
             kernel's log does not tell which, `hearth-sandbox record -- COMMAND` does"
                .to_owned()
        })
    }
}

/// The record of this process. The kernel writes it a moment after the death.
fn find(mut log: File, pid: u32) -> Option<String> {
    let end = Instant::now() + Duration::from_millis(KERNEL_LOG_WAIT_MS.into());
    let mut record = [0; RECORD_MAX];
    loop {
        while let Ok(count) = log.read(&mut record) {
            let text = String::from_utf8_lossy(record.get(..count)?).into_owned();
            let line = text
                .split_once(';')
                .and_then(|(_, line)| line.lines().next());
            match line.and_then(SeccompKill::parse) {
                Some(kill) if kill.pid == pid => return Some(sentence(&kill)),
                Some(_) | None => {}
            }
        }
        let left = end.saturating_duration_since(Instant::now()).as_millis();
        let left = u32::try_from(left).unwrap_or(0);
        if left == 0 || !process::readable_within(log.as_fd(), left).unwrap_or(false) {
            return None;
        }
    }
}

fn sentence(kill: &SeccompKill<'_>) -> String {
    let name = Abi::ALL
        .into_iter()
        .filter(|abi| abi.audit_arch() == kill.arch)
        .find_map(|abi| abi.calls().find(|&(number, _)| number == kill.call));
    let call = name.map_or_else(
        || format!("number {:#x}", kill.call),
        |(_, name)| name.to_owned(),
    );
    let group = group(&call).unwrap_or_default();
    let (verdict, hint) = match &group {
        Some((why, Manifest::Never)) => (Verdict::Never(why), String::new()),
        Some((why, Manifest::MayAllow)) => (
            Verdict::ManifestMayAllow(why),
            format!(" (here: --allow {call})"),
        ),
        None => (Verdict::ForeignGate, String::new()),
    };
    format!(
        "the command was killed: it {}{hint}",
        explanation(&call, verdict)
    )
}

/// Why this call kills, and whether a manifest can change that; none where it does not kill.
fn group(call: &str) -> Result<Option<(String, Manifest)>, PolicyError> {
    let mut groups = data::refused()?.killed.into_iter();
    let group = groups.find(|group| group.calls.iter().any(|known| known == call));
    Ok(group.map(|group| (group.why, group.manifest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(arch: u32, call: u32) -> String {
        let kill = SeccompKill {
            uid: 0,
            pid: 1,
            name: "a",
            arch,
            call,
        };
        sentence(&kill)
    }

    #[test]
    fn a_kill_is_told_with_what_would_allow_it() {
        for abi in Abi::ALL {
            let number = |call| abi.number(call).unwrap();
            let text = told(abi.audit_arch(), number("ptrace"));
            assert!(text.contains("made the system call ptrace"), "{text}");
            assert!(
                text.ends_with("name = \"ptrace\" and a reason (here: --allow ptrace)"),
                "{text}"
            );
            let text = told(abi.audit_arch(), number("bpf"));
            assert!(text.ends_with("no manifest can allow it"), "{text}");
            let text = told(abi.audit_arch(), number("getpid"));
            assert!(
                text.contains("getpid by a way into the kernel that is not its own"),
                "{text}"
            );
        }
        assert!(told(0xc000_003e, 0x4000_0027).contains("number 0x40000027"));
    }
}
