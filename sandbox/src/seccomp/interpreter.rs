//! The part of classic BPF that our filters use, for tests: what the kernel would answer.

use super::instruction::Instruction;

/// What a filter returns.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Allow,
    Errno(u32),
    Kill,
    Tell,
}

/// Runs `program` over one `struct seccomp_data` (linux/seccomp.h).
pub fn run(program: &[Instruction], arch: u32, number: u32, args: [u64; 6]) -> Answer {
    let load = |offset: u32| match offset {
        0 => number,
        4 => arch,
        16.. => {
            let arg = args[(offset as usize - 16) / 8];
            if offset.is_multiple_of(8) {
                arg as u32
            } else {
                (arg >> 32) as u32
            }
        }
        other => panic!("load from {other}"),
    };
    let (mut accumulator, mut at) = (0_u32, 0_usize);
    loop {
        let step = &program[at];
        let mut jump = |taken: bool| at += usize::from(if taken { step.jt } else { step.jf });
        match step.code {
            0x20 => accumulator = load(step.k),
            0x54 => accumulator &= step.k,
            0x05 => at += step.k as usize,
            0x15 => jump(accumulator == step.k),
            0x25 => jump(accumulator > step.k),
            0x35 => jump(accumulator >= step.k),
            0x06 => break,
            other => panic!("instruction {other:#x}"),
        }
        at += 1;
    }
    match program[at].k {
        0x7fff_0000 => Answer::Allow,
        0x8000_0000 => Answer::Kill,
        0x7fc0_0000 => Answer::Tell,
        errno if errno >> 16 == 5 => Answer::Errno(errno & 0xffff),
        other => panic!("return {other:#x}"),
    }
}
