//! The kernel's record of a process that it ended for a system call (seccomp(2), `SECCOMP_RET_KILL_PROCESS`).
//! Where no audit daemon listens it is a line of the kernel's log (linux/audit.h, `AUDIT_SECCOMP`):
//!
//! `audit: type=1326 audit(1.2:3): auid=4294967295 uid=1115112 gid=1115112 ses=4294967295 pid=17271
//! comm="hostile" exe="/hostile" sig=31 arch=40000003 syscall=20 compat=1 ip=0x7f47455c9a1e code=0x80000000`
//!
//! The kernel lets no program's text pass for a field: a name with a blank, a quote or a control character
//! is in hexadecimal (`audit_log_untrustedstring`), so every field is one word.

/// One such record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeccompKill<'a> {
    /// The user, seen from the first user namespace.
    pub uid: u32,
    /// The process, seen from the first process namespace.
    pub pid: u32,
    /// Name of the thread that made the call, as the kernel wrote it, at most 32 characters of ASCII.
    pub name: &'a str,
    /// The way into the kernel: its architecture word (linux/audit.h).
    pub arch: u32,
    /// The number of the call there.
    pub call: u32,
}

impl<'a> SeccompKill<'a> {
    /// The record in one line of the kernel's log, without its prefix (level, time). `None` for any other
    /// line.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<SeccompKill<'a>> {
        let rest = line.strip_prefix("audit: type=1326 ")?;
        let field = |name: &str| {
            rest.split_ascii_whitespace()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let number = |name: &str| field(name)?.parse().ok();
        // SIGSYS: what is only logged (SECCOMP_RET_LOG) has 0.
        if field("sig")? != "31" {
            return None;
        }
        Some(SeccompKill {
            uid: number("uid")?,
            pid: number("pid")?,
            name: field("comm")?.trim_matches('"'),
            arch: u32::from_str_radix(field("arch")?, 16).ok()?,
            call: number("syscall")?,
        })
    }
}

/// What a policy says of the call that a process was killed for.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// No policy allows it, for this reason, but a manifest may.
    ManifestMayAllow(&'a str),
    /// No service gets it, for this reason.
    Never(&'a str),
    /// The call itself is harmless, or has no name: it came by a way into the kernel that is not the
    /// service's own.
    ForeignGate,
}

/// What somebody who `call`ed was killed for and what can be done, behind the word "it" or a process's name.
#[cfg(feature = "std")]
#[must_use]
pub fn explanation(call: &str, verdict: Verdict<'_>) -> String {
    // A reason's first clause; the rest is for whoever reads the file.
    let short = |why: &str| why.split(';').next().unwrap_or_default().to_owned();
    match verdict {
        Verdict::ManifestMayAllow(why) => format!(
            "made the system call {call}, which {}; to allow it, its manifest needs [[sandbox.syscall]] with \
             name = \"{call}\" and a reason",
            short(why)
        ),
        Verdict::Never(why) => format!(
            "made the system call {call}, which {}; no manifest can allow it",
            short(why)
        ),
        Verdict::ForeignGate => format!(
            "made the system call {call} by a way into the kernel that is not its own; no manifest can allow it"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "audit: type=1326 audit(1795594827.891:461): auid=4294967295 uid=17826792 gid=17826793 \
                        ses=4294967295 pid=17271 comm=\"hostile\" exe=\"/hostile\" sig=31 arch=40000003 syscall=26 \
                        compat=1 ip=0x7f47455c9a1e code=0x80000000";

    #[test]
    fn a_record_of_the_kernel_is_read() {
        let expected = SeccompKill {
            uid: 17_826_792,
            pid: 17271,
            name: "hostile",
            arch: 0x4000_0003,
            call: 26,
        };
        assert_eq!(SeccompKill::parse(LINE), Some(expected));
    }

    #[test]
    fn a_name_can_not_forge_a_field() {
        // given names as the kernel writes them: quoted where plain, else in hexadecimal
        for (comm, name) in [
            ("\"sig=0\"", "sig=0"),
            ("\"pid=1\"", "pid=1"),
            ("61200A62", "61200A62"),
        ] {
            let line = LINE.replace("\"hostile\"", comm);
            let kill = SeccompKill::parse(&line).unwrap();
            // then every field is the kernel's
            assert_eq!((kill.uid, kill.pid, kill.name), (17_826_792, 17271, name));
        }
    }

    #[test]
    fn every_other_line_is_none() {
        for line in [
            "",
            "audit: type=1326 ",
            "audit: type=1327 audit(1.2:3): uid=1 pid=1 comm=\"a\" sig=31 arch=40000003 syscall=1",
            "e1000: eth0 NIC Link is Up",
            &LINE.replace("sig=31", "sig=0"),
            &LINE.replace("pid=17271", "pid=x"),
            &LINE.replace("arch=40000003", "arch="),
        ] {
            assert_eq!(SeccompKill::parse(line), None, "{line}");
        }
    }
}
