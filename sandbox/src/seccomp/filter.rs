//! A [`Policy`] as a program for the kernel (seccomp(2)), for either word size.
//!
//! `seccompiler` makes the list of allowed calls, but knows no i386. Its program begins with a check
//! of one architecture word and then only compares numbers, so it serves i386 as well: our numbers go
//! in, and the word in the check becomes [`Abi::audit_arch`]. Behind the check come our own answers:
//! absent calls and calls newer than our tables get ENOSYS; behind the list, the dangerous calls kill.
//!
//! A foreign way into the kernel would make a call by another table of numbers, so it is killed, whatever
//! it calls. On x86_64 these are the gate of i386 (`int 0x80`, a 32-bit code segment), which the check of
//! the architecture word sees, and x32, which shows the same word and a bit in the number. For an i386
//! service on a 64-bit kernel it is the 64-bit gate (by a far jump), which the word shows. The gates that
//! hide many calls behind one number are in the policy files: `socketcall` and `ipc`, both of i386.

use super::abi::Abi;
use super::data::Condition;
use super::policy::{Policy, PolicyError, Rule};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};
use std::collections::BTreeMap;

/// The bit that marks an x32 call (asm/unistd.h).
const X32_BIT: u32 = 0x4000_0000;

// linux/filter.h, linux/bpf_common.h
const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const JUMP_GREATER_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Longest filter (linux/bpf_common.h, `BPF_MAXINSNS`).
const INSTRUCTIONS_MAX: usize = 4096;

/// Instructions before the list: load architecture, compare, kill, load number.
const CHECK_LENGTH: usize = 4;

/// Where among them the foreign architecture is killed.
pub const ARCHITECTURE_KILL: usize = 2;

/// The filter for `policy` on `abi`.
///
/// # Errors
/// [`PolicyError::Compile`] where the policy is too large for a filter (4096 instructions).
pub fn compile(policy: &Policy, abi: Abi) -> Result<BpfProgram, PolicyError> {
    let mut rules = BTreeMap::new();
    // A call that only the other word size has is left out.
    for (number, name) in abi.calls() {
        if let Some(rule) = policy.allowed.get(name) {
            rules.insert(i64::from(number), rule_list(rule)?);
        }
    }
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::EPERM as u32),
        SeccompAction::Allow,
        TargetArch::x86_64,
    );
    let mut program: BpfProgram = filter
        .and_then(TryInto::try_into)
        .map_err(|error: seccompiler::BackendError| PolicyError::Compile(error.to_string()))?;
    set_architecture(&mut program, abi)?;
    program.splice(CHECK_LENGTH..CHECK_LENGTH, answers(policy, abi));
    // Before the answer to all that is not listed, which comes last: whoever makes an allowed call does
    // not pass them.
    let last = program.len().saturating_sub(1);
    program.splice(last..last, kills(policy, abi));
    if program.len() > INSTRUCTIONS_MAX {
        return Err(PolicyError::Compile(format!(
            "{} instructions, the kernel takes {INSTRUCTIONS_MAX}",
            program.len()
        )));
    }
    Ok(program)
}

fn set_architecture(program: &mut BpfProgram, abi: Abi) -> Result<(), PolicyError> {
    match program.as_mut_slice() {
        [load, check, _, number, ..]
            if load.code == LOAD_WORD
                && check.code == JUMP_EQUAL
                && check.k == Abi::X86_64.audit_arch()
                && number.code == LOAD_WORD =>
        {
            check.k = abi.audit_arch();
            Ok(())
        }
        _ => Err(PolicyError::Compile(
            "the program does not begin with the expected check of the architecture".into(),
        )),
    }
}

/// What stands between the check and the list.
fn answers(policy: &Policy, abi: Abi) -> BpfProgram {
    let no_such_call = SeccompAction::Errno(libc::ENOSYS as u32);
    let mut program = BpfProgram::new();
    if abi == Abi::X86_64 {
        program.extend(answer(
            JUMP_GREATER_EQUAL,
            X32_BIT,
            SeccompAction::KillProcess,
        ));
    }
    for number in policy.absent.iter().filter_map(|call| abi.number(call)) {
        program.extend(answer(JUMP_EQUAL, number, no_such_call.clone()));
    }
    program.extend(answer(JUMP_GREATER, abi.newest(), no_such_call));
    program
}

/// What stands behind the list.
fn kills(policy: &Policy, abi: Abi) -> BpfProgram {
    let numbers = policy.killed.iter().filter_map(|call| abi.number(call));
    numbers
        .flat_map(|number| answer(JUMP_EQUAL, number, SeccompAction::KillProcess))
        .collect()
}

/// Returns `action` where the comparison holds, and goes on where not.
fn answer(comparison: u16, number: u32, action: SeccompAction) -> [sock_filter; 2] {
    [
        instruction(comparison, number, 0, 1),
        instruction(RETURN, action.into(), 0, 0),
    ]
}

fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// `seccompiler` allows a call when any of its rules holds, and always when it has none.
fn rule_list(rule: &Rule) -> Result<Vec<SeccompRule>, PolicyError> {
    let mut list = Vec::new();
    if let Rule::When(alternatives) = rule {
        for conditions in alternatives {
            for all in combinations(conditions)? {
                let rule = SeccompRule::new(all)
                    .map_err(|error| PolicyError::Compile(error.to_string()))?;
                list.push(rule);
            }
        }
    }
    Ok(list)
}

/// Each way to meet all conditions: the product of their alternatives.
fn combinations(conditions: &[Condition]) -> Result<Vec<Vec<SeccompCondition>>, PolicyError> {
    let mut ways = vec![Vec::new()];
    for condition in conditions {
        ways = match condition {
            Condition::NoneOf { arg, values } => {
                for value in values {
                    let other = compare(*arg, SeccompCmpOp::Ne, *value)?;
                    ways.iter_mut().for_each(|way| way.push(other.clone()));
                }
                ways
            }
            Condition::OneOf { arg, mask, values } => {
                let mut more = Vec::new();
                for value in values {
                    let same = SeccompCmpOp::MaskedEq(u64::from(*mask));
                    let same = compare(*arg, same, *value)?;
                    more.extend(ways.iter().map(|way| {
                        let mut way = way.clone();
                        way.push(same.clone());
                        way
                    }));
                }
                more
            }
        };
    }
    Ok(ways)
}

/// The low 32 bits only: of these arguments (`int`, `unsigned int`, flags) the kernel reads no more, so
/// a test of all 64 could be passed by with a high bit set.
fn compare(arg: u8, op: SeccompCmpOp, value: u32) -> Result<SeccompCondition, PolicyError> {
    SeccompCondition::new(arg, SeccompCmpArgLen::Dword, op, u64::from(value))
        .map_err(|error| PolicyError::Compile(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::constants;
    use super::super::data::DIFFERENCES;
    use super::super::interpreter::{Answer, run};
    use super::*;
    use hearth_model::plan::SeccompPlan;

    fn filter(abi: Abi, policies: &[&str]) -> BpfProgram {
        let plan = SeccompPlan {
            policies: policies.iter().map(|&name| name.to_owned()).collect(),
            extra: vec![],
        };
        compile(&Policy::select(&plan).unwrap(), abi).unwrap()
    }

    fn ask(program: &BpfProgram, abi: Abi, call: &str, args: [u64; 6]) -> Answer {
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
        let x32_read = X32_BIT;
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
            assert!(program.len() < 2048, "{}", program.len());
        }
    }
}
