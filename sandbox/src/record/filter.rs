//! The filter of a recording: it tells us of every call that the base policy does not allow, in both word
//! sizes, and answers as a service's filter where no manifest changes the answer.

use crate::seccomp::abi::Abi;
use crate::seccomp::filter::{ARCHITECTURE_KILL, Program, compile};
use crate::seccomp::instruction::Instruction;
use crate::seccomp::policy::{Policy, PolicyError};

// linux/seccomp.h
const REFUSE: u32 = 0x0005_0000 | libc::EPERM as u32; // SECCOMP_RET_ERRNO
const TELL: u32 = 0x7fc0_0000; // SECCOMP_RET_USER_NOTIF

// linux/filter.h, linux/bpf_common.h
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// The filter of a recording over `base`, for the kernel and for programs of both word sizes.
///
/// # Errors
/// [`PolicyError::Compile`] where it is too long.
pub fn telling(base: &Policy) -> Result<Program, PolicyError> {
    let mut policy = base.clone();
    // A dangerous call is told like every other that is not allowed.
    policy.killed.clear();
    let mut first = compile(&policy, Abi::X86_64)?;
    let mut second = compile(&policy, Abi::I386)?;
    for step in first.iter_mut().chain(&mut second) {
        if step.code == RETURN && step.k == REFUSE {
            step.k = TELL;
        }
    }
    // Another architecture word than the first one's: see whether it is the second one's.
    let rest = first.len().saturating_sub(ARCHITECTURE_KILL + 1);
    let distance = u32::try_from(rest).unwrap_or(u32::MAX);
    match first.get_mut(ARCHITECTURE_KILL) {
        Some(kill) if kill.code == RETURN => *kill = Instruction::skip(distance),
        Some(_) | None => {
            return Err(PolicyError::Compile(
                "the program does not begin with the expected check of the architecture".into(),
            ));
        }
    }
    first.extend(second);
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::interpreter::{Answer, run};
    use hearth_model::plan::SeccompPlan;

    #[test]
    fn it_tells_of_what_base_does_not_allow_in_both_word_sizes() {
        let plan = SeccompPlan {
            policies: vec![],
            extra: vec![],
        };
        let program = telling(&Policy::select(&plan).unwrap()).unwrap();
        assert!(program.len() <= 4096, "{}", program.len());
        for abi in Abi::ALL {
            let ask = |call, first| {
                let number = abi.number(call).unwrap();
                run(&program, abi.audit_arch(), number, [first, 0, 0, 0, 0, 0])
            };
            for (call, first, expected) in [
                ("read", 0, Answer::Allow),
                ("execve", 0, Answer::Allow),
                ("clone3", 0, Answer::Errno(38)),
                ("fork", 0, Answer::Tell),
                ("bpf", 0, Answer::Tell),
                ("mount", 0, Answer::Tell),
                ("clone", 17, Answer::Tell),
                ("clone", 0x003d_0f00, Answer::Allow),
                ("socket", 1, Answer::Allow),
                ("socket", 2, Answer::Tell),
            ] {
                assert_eq!(ask(call, first), expected, "{abi:?} {call} {first:#x}");
            }
        }
        // no third way in
        assert_eq!(run(&program, 0xc000_00b7, 0, [0; 6]), Answer::Kill);
    }
}
