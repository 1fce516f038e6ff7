//! A [`Policy`] as a program for the kernel (seccomp(2)), for either word size.
//!
//! A foreign way into the kernel would make a call by another table of numbers, so it is killed, whatever
//! it calls. On x86_64 these are the gate of i386 (`int 0x80`, a 32-bit code segment), which the check of
//! the architecture word sees, and x32, which shows the same word and a bit in the number. For an i386
//! service on a 64-bit kernel it is the 64-bit gate (by a far jump), which the word shows. The gates that
//! hide many calls behind one number are in the policy files: `socketcall` and `ipc`, both of i386.

use super::abi::Abi;
use super::instruction::{Instruction, allow_when};
use super::policy::{Policy, PolicyError, Rule};
use super::tree::{INSTRUCTIONS_MAX, Verdicts};

pub use super::tree::ARCHITECTURE_KILL;

/// A filter.
pub type Program = Vec<Instruction>;

/// The filter for `policy` on `abi`.
///
/// # Errors
/// [`PolicyError::Compile`] where the policy is too large for a filter (4096 instructions).
pub fn compile(policy: &Policy, abi: Abi) -> Result<Program, PolicyError> {
    // A call that only the other word size has is left out.
    let mut pieces = Vec::new();
    for (number, name) in abi.calls() {
        if let Some(Rule::When(alternatives)) = policy.allowed.get(name) {
            for conditions in alternatives {
                let piece = allow_when(conditions).map_err(PolicyError::Compile)?;
                pieces.push((number, piece));
            }
        }
    }
    let mut verdicts = Verdicts::new(abi, abi.newest());
    for (number, piece) in &pieces {
        verdicts.allow_where(*number, piece);
    }
    for (number, name) in abi.calls() {
        if policy.allowed.get(name) == Some(&Rule::Always) {
            verdicts.allow(number);
        }
    }
    for number in policy.absent.iter().filter_map(|call| abi.number(call)) {
        verdicts.hide(number);
    }
    for number in policy.killed.iter().filter_map(|call| abi.number(call)) {
        verdicts.kill(number);
    }
    fitting(verdicts.filter())
}

/// A filter that the kernel takes.
pub(super) fn fitting(program: Program) -> Result<Program, PolicyError> {
    match program.len() {
        0..=INSTRUCTIONS_MAX => Ok(program),
        count => Err(PolicyError::Compile(format!(
            "{count} instructions, the kernel takes {INSTRUCTIONS_MAX}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::constants;
    use super::super::data::DIFFERENCES;
    use super::super::interpreter::{Answer, run};
    use super::*;
    use hearth_model::plan::SeccompPlan;

    fn filter(abi: Abi, policies: &[&str]) -> Program {
        let plan = SeccompPlan {
            policies: policies.iter().map(|&name| name.to_owned()).collect(),
            extra: vec![],
        };
        compile(&Policy::select(&plan).unwrap(), abi).unwrap()
    }

    fn ask(program: &Program, abi: Abi, call: &str, args: [u64; 6]) -> Answer {
        let number = abi.number(call).unwrap();
        run(program, abi.audit_arch(), number, args)
    }

    const NO_ARGS: [u64; 6] = [0; 6];

    #[test]
    fn both_word_sizes_allow_by_their_own_numbers() {
        for abi in Abi::ALL {
            let program = filter(abi, &[]);
            for call in ["read", "exit_group", "execve", "futex", "epoll_ctl"] {
                assert_eq!(ask(&program, abi, call, NO_ARGS), Answer::Allow, "{call}");
            }
            for call in ["mount", "keyctl", "io_uring_setup", "fork", "listen"] {
                assert_eq!(
                    ask(&program, abi, call, NO_ARGS),
                    Answer::Errno(1),
                    "{call}"
                );
            }
            for call in ["ptrace", "bpf", "reboot", "init_module", "setns"] {
                assert_eq!(ask(&program, abi, call, NO_ARGS), Answer::Kill, "{call}");
            }
        }
        let program = filter(Abi::I386, &[]);
        for call in [
            "mmap2",
            "_llseek",
            "fcntl64",
            "clock_gettime64",
            "ugetrlimit",
        ] {
            assert_eq!(
                ask(&program, Abi::I386, call, NO_ARGS),
                Answer::Allow,
                "{call}"
            );
        }
        for call in ["ipc", "socketcall"] {
            assert_eq!(
                ask(&program, Abi::I386, call, NO_ARGS),
                Answer::Errno(1),
                "{call}"
            );
        }
        assert_eq!(ask(&program, Abi::I386, "vm86", NO_ARGS), Answer::Kill);
    }

    #[test]
    fn a_foreign_way_into_the_kernel_is_killed() {
        for (ours, theirs) in [(Abi::I386, Abi::X86_64), (Abi::X86_64, Abi::I386)] {
            let program = filter(ours, &[]);
            let read = theirs.number("read").unwrap();
            assert_eq!(
                run(&program, theirs.audit_arch(), read, NO_ARGS),
                Answer::Kill
            );
        }
        let program = filter(Abi::X86_64, &[]);
        let x32_read = 0x4000_0000; // asm/unistd.h, __X32_SYSCALL_BIT
        assert_eq!(
            run(&program, Abi::X86_64.audit_arch(), x32_read, NO_ARGS),
            Answer::Kill
        );
    }

    #[test]
    fn what_is_newer_or_absent_does_not_exist() {
        for abi in Abi::ALL {
            let program = filter(abi, &["exec-children"]);
            assert_eq!(ask(&program, abi, "clone3", NO_ARGS), Answer::Errno(38));
            let newer = abi.newest() + 1;
            assert_eq!(
                run(&program, abi.audit_arch(), newer, NO_ARGS),
                Answer::Errno(38)
            );
        }
    }

    #[test]
    fn arguments_decide_where_a_policy_says_so() {
        const THREAD: u64 = 0x003d_0f00; // what a C library passes for a thread
        const NEWUSER: u64 = 0x1000_0000;
        for abi in Abi::ALL {
            let base = filter(abi, &[]);
            let children = filter(abi, &["exec-children"]);
            let client = filter(abi, &["network-client"]);
            let netlink = filter(abi, &["netlink"]);
            for (program, call, first, second, expected) in [
                (&base, "clone", THREAD, 0, Answer::Allow),
                (&base, "clone", THREAD | NEWUSER, 0, Answer::Errno(1)),
                (&base, "clone", 17, 0, Answer::Errno(1)),
                (&children, "clone", 17, 0, Answer::Allow),
                (&children, "clone", 17 | NEWUSER, 0, Answer::Errno(1)),
                (&base, "socket", 1, 1, Answer::Allow),
                (&base, "socket", 2, 1, Answer::Errno(1)),
                (&client, "socket", 2, 1 | 0x80000, Answer::Allow),
                (&client, "socket", 2, 3, Answer::Errno(1)),
                (&client, "socket", 17, 3, Answer::Errno(1)),
                (&client, "socket", 16, 3, Answer::Errno(1)),
                (&netlink, "socket", 16, 3, Answer::Allow),
                (&base, "ioctl", 0, 0x5401, Answer::Allow),
                (&base, "ioctl", 0, 0x5412, Answer::Errno(1)),
                // The kernel reads 32 bits of the request: a high bit must not help.
                (&base, "ioctl", 0, 0x1_0000_5412, Answer::Errno(1)),
                (&base, "prctl", 15, 0, Answer::Allow),
                (&base, "prctl", 8, 0, Answer::Errno(1)),
                (&base, "personality", 0xffff_ffff, 0, Answer::Allow),
                (&base, "personality", 0x0004_0000, 0, Answer::Errno(1)),
            ] {
                assert_eq!(
                    ask(program, abi, call, [first, second, 0, 0, 0, 0]),
                    expected,
                    "{abi:?} {call} {first:#x} {second:#x}"
                );
            }
        }
        let client = filter(Abi::I386, &["network-client"]);
        let server = filter(Abi::I386, &["network-server"]);
        let listen = [4, 0, 0, 0, 0, 0];
        assert_eq!(
            ask(&client, Abi::I386, "socketcall", listen),
            Answer::Errno(1)
        );
        assert_eq!(ask(&server, Abi::I386, "socketcall", listen), Answer::Allow);
    }

    /// What the data says of a call, without any filter.
    fn expected(policy: &Policy, call: &str, args: &[u64; 6]) -> Answer {
        let has = |calls: &[String]| calls.iter().any(|known| known == call);
        if policy.allows(call, args) {
            Answer::Allow
        } else if has(&policy.absent) {
            Answer::Errno(38)
        } else if has(&policy.killed) {
            Answer::Kill
        } else {
            Answer::Errno(1)
        }
    }

    #[test]
    fn the_filter_says_of_every_call_what_the_data_says() {
        // given each policy alone, all together, and one with a dangerous call that a manifest allowed
        let names: Vec<&str> = DIFFERENCES.iter().map(|&(name, _)| name).collect();
        let mut plans: Vec<(Vec<&str>, Vec<&str>)> =
            names.iter().map(|&name| (vec![name], vec![])).collect();
        plans.extend([(vec![], vec![]), (names, vec!["ptrace", "io_uring_setup"])]);
        // and arguments at and around every value that a condition names
        let near = |value: u32| [value, value ^ 1, value | 0x1000_0000];
        let mut samples: Vec<u64> = constants::values().flat_map(near).map(u64::from).collect();
        samples.extend([17, 0x003d_0f00, 0x1_0000_5412]);
        for (policies, extra) in plans {
            let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            let plan = SeccompPlan {
                policies: owned(&policies),
                extra: owned(&extra),
            };
            let policy = Policy::select(&plan).unwrap();
            for abi in Abi::ALL {
                let program = compile(&policy, abi).unwrap();
                for (number, call) in abi.calls() {
                    let values = match policy.allowed.get(call) {
                        Some(Rule::When(_)) => samples.as_slice(),
                        Some(Rule::Always) | None => &[17],
                    };
                    for &value in values {
                        for args in [
                            [value, 1, 0, 0, 0, 0],
                            [2, value, 0, 0, 0, 0],
                            [16, 3, value, 0, 0, 0],
                        ] {
                            // when the filter is asked, then it answers as the data
                            assert_eq!(
                                run(&program, abi.audit_arch(), number, args),
                                expected(&policy, call, &args),
                                "{abi:?} {policies:?} {call} {args:x?}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_policy_together_fits_a_filter() {
        for abi in Abi::ALL {
            let program = filter(
                abi,
                &[
                    "network-client",
                    "network-server",
                    "netlink",
                    "exec-children",
                ],
            );
            assert!(program.len() < 1024, "{}", program.len());
        }
    }
}
