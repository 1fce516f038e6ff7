//! Instructions of a filter (classic BPF, linux/filter.h), and the piece of a filter that looks at a call's
//! arguments.

use super::data::Condition;

// linux/bpf_common.h
const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// What a filter answers (linux/seccomp.h): the kernel makes the call.
pub const ALLOW: u32 = 0x7fff_0000;
/// It ends the program with SIGSYS.
pub const KILL: u32 = 0x8000_0000;
/// It fails the call; the errno is in the low half.
pub const FAIL: u32 = 0x0005_0000;

/// Where the first argument is in `struct seccomp_data`, bytes (linux/seccomp.h).
const FIRST_ARGUMENT: u32 = 16;
/// Size of an argument there, bytes.
const ARGUMENT_SIZE: u32 = 8;

/// One instruction: `struct sock_filter`, linux/filter.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What is done.
    pub code: u16,
    /// How many instructions are left out where a comparison holds.
    pub jt: u8,
    /// And where it does not.
    pub jf: u8,
    /// Its operand.
    pub k: u32,
}
const _: () = assert!(size_of::<Instruction>() == 8);

impl Instruction {
    const fn new(code: u16, k: u32) -> Instruction {
        let (jt, jf) = (0, 0);
        Instruction { code, jt, jf, k }
    }

    /// Loads the word at this offset of `struct seccomp_data`.
    #[must_use]
    pub const fn load(offset: u32) -> Instruction {
        Instruction::new(LOAD_WORD, offset)
    }

    /// Answers.
    #[must_use]
    pub const fn answer(answer: u32) -> Instruction {
        Instruction::new(RETURN, answer)
    }

    /// Leaves so many out.
    #[must_use]
    pub const fn skip(distance: u32) -> Instruction {
        Instruction::new(JUMP, distance)
    }

    /// Leaves out `jt` where the word is `k`, and `jf` where not.
    #[must_use]
    pub const fn if_equal(k: u32, jt: u8, jf: u8) -> Instruction {
        let code = JUMP_EQUAL;
        Instruction { code, jt, jf, k }
    }

    /// Leaves out `jt` where the word is at least `k`, and `jf` where not.
    #[must_use]
    pub const fn if_at_least(k: u32, jt: u8, jf: u8) -> Instruction {
        let code = JUMP_GREATER_EQUAL;
        Instruction { code, jt, jf, k }
    }
}

/// Allows the call where all `conditions` hold, and falls off its end where not. It looks at the low 32 bits
/// of an argument only: of these (`int`, `unsigned int`, flags) the kernel reads no more, so a test of all 64
/// could be passed by with a high bit set.
///
/// # Errors
/// A condition with more values than a jump reaches over.
pub fn allow_when(conditions: &[Condition]) -> Result<Vec<Instruction>, String> {
    let mut code = Vec::new();
    // Where to go where a condition fails is known at the end.
    let mut to_the_end = Vec::new();
    for condition in conditions {
        let arg = u32::from(condition.arg());
        code.push(Instruction::load(FIRST_ARGUMENT + ARGUMENT_SIZE * arg));
        let (values, holds) = match condition {
            Condition::OneOf { mask, values, .. } => {
                if *mask != u32::MAX {
                    code.push(Instruction::new(AND, *mask));
                }
                (values, true)
            }
            Condition::NoneOf { values, .. } => (values, false),
        };
        let count = u8::try_from(values.len())
            .ok()
            .filter(|&count| count < u8::MAX);
        let count = count.ok_or_else(|| format!("{} values in one condition", values.len()))?;
        // Behind the comparisons stands the way to the end: a value that is found leaves it out, or is
        // led to it.
        for (value, left) in values.iter().zip((0..count).rev()) {
            let last_jf = u8::from(left == 0 && !holds);
            code.push(Instruction::if_equal(
                *value,
                left + u8::from(holds),
                last_jf,
            ));
        }
        to_the_end.push(code.len());
        code.push(Instruction::skip(0));
    }
    code.push(Instruction::answer(ALLOW));
    let end = code.len();
    for at in to_the_end {
        let distance = u32::try_from(end - at - 1).map_err(|error| error.to_string())?;
        if let Some(jump) = code.get_mut(at) {
            *jump = Instruction::skip(distance);
        }
    }
    Ok(code)
}
