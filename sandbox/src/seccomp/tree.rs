//! A filter that finds a call by halves. The kernel runs a filter once for every call number when it is
//! installed, to learn which calls need not ask it, and then at each call that does: a list of comparisons of
//! the same policy took half a millisecond at each start, this takes a tenth of that.

use super::abi::Abi;
use super::instruction::{ALLOW, FAIL, Instruction, KILL};

/// The bit that marks an x32 call (asm/unistd.h).
const X32_BIT: u32 = 0x4000_0000;

/// Longest filter (linux/bpf_common.h, `BPF_MAXINSNS`).
pub const INSTRUCTIONS_MAX: usize = 4096;

/// Where the foreign architecture is killed.
pub const ARCHITECTURE_KILL: usize = 2;

// struct seccomp_data, linux/seccomp.h
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// The answer to a call that nothing allows.
pub const REFUSE: u32 = FAIL | libc::EPERM as u32;
/// The answer to a call that the service is told its kernel lacks.
const NO_SUCH_CALL: u32 = FAIL | libc::ENOSYS as u32;

/// What is done with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// This answer.
    Answer(u32),
    /// Its pieces decide.
    Look,
}

/// What is done with each call, by number.
#[derive(Debug)]
pub struct Verdicts<'a> {
    abi: Abi,
    by_number: Vec<Verdict>,
    pieces: Vec<(u32, &'a [Instruction])>,
}

impl<'a> Verdicts<'a> {
    /// All are refused.
    #[must_use]
    pub fn new(abi: Abi, newest: u32) -> Verdicts<'a> {
        Verdicts {
            abi,
            by_number: vec![Verdict::Answer(REFUSE); newest as usize + 1],
            pieces: Vec::new(),
        }
    }

    fn set(&mut self, number: u32, verdict: Verdict) {
        if let Some(place) = self.by_number.get_mut(number as usize) {
            *place = verdict;
        }
    }

    /// Allows a call, whatever its arguments.
    pub fn allow(&mut self, number: u32) {
        self.set(number, Verdict::Answer(ALLOW));
    }

    /// Allows a call where `piece` does; see [`super::instruction::allow_when`].
    pub fn allow_where(&mut self, number: u32, piece: &'a [Instruction]) {
        if self.by_number.get(number as usize) != Some(&Verdict::Answer(ALLOW)) {
            self.set(number, Verdict::Look);
            self.pieces.push((number, piece));
        }
    }

    /// Says of a call that there is none.
    pub fn hide(&mut self, number: u32) {
        self.set(number, Verdict::Answer(NO_SUCH_CALL));
    }

    /// Kills whoever makes a call that was not decided otherwise.
    pub fn kill(&mut self, number: u32) {
        if self.by_number.get(number as usize) == Some(&Verdict::Answer(REFUSE)) {
            self.set(number, Verdict::Answer(KILL));
        }
    }

    /// The filter. Calls behind the table are newer than it: the service is told that there are none. x32
    /// shows the architecture of x86_64 and a bit in the number, and is killed like the other foreign ways.
    #[must_use]
    pub fn filter(&self) -> Vec<Instruction> {
        let mut program = vec![
            Instruction::load(ARCHITECTURE),
            Instruction::if_equal(self.abi.audit_arch(), 1, 0),
            Instruction::answer(KILL),
            Instruction::load(NUMBER),
        ];
        let behind = self.by_number.len() as u32;
        let mut ranges: Vec<(u32, Verdict)> = Vec::new();
        for (number, &verdict) in (0..).zip(&self.by_number) {
            match ranges.last() {
                Some(&(_, same)) if same == verdict && verdict != Verdict::Look => {}
                Some(_) | None => ranges.push((number, verdict)),
            }
        }
        ranges.push((behind, Verdict::Answer(NO_SUCH_CALL)));
        if self.abi == Abi::X86_64 {
            ranges.push((X32_BIT, Verdict::Answer(KILL)));
        }
        self.branch(&ranges, &mut program);
        program
    }

    /// Finds the range that the number is in.
    fn branch(&self, ranges: &[(u32, Verdict)], program: &mut Vec<Instruction>) {
        let (low, high) = ranges.split_at(ranges.len() / 2);
        let Some(&(start, verdict)) = high.first() else {
            return;
        };
        if low.is_empty() {
            return self.leaf(start, verdict, program);
        }
        let at = program.len();
        program.push(Instruction::if_at_least(start, 0, 0));
        self.branch(low, program);
        let distance = program.len() - at - 1;
        let jump = match u8::try_from(distance) {
            Ok(jt) => Instruction::if_at_least(start, jt, 0),
            Err(_) => {
                // Too far for a comparison: it stands before a jump, which knows no such limit.
                program.insert(at + 1, Instruction::skip(distance as u32));
                Instruction::if_at_least(start, 0, 1)
            }
        };
        if let Some(place) = program.get_mut(at) {
            *place = jump;
        }
        self.branch(high, program);
    }

    fn leaf(&self, number: u32, verdict: Verdict, program: &mut Vec<Instruction>) {
        match verdict {
            Verdict::Answer(answer) => program.push(Instruction::answer(answer)),
            Verdict::Look => {
                let own = self.pieces.iter().filter(|(of, _)| *of == number);
                program.extend(own.flat_map(|(_, piece)| piece.iter()));
                program.push(Instruction::answer(REFUSE));
            }
        }
    }
}
