//! Programs as data, and loading one (bpf(2)).

use crate::error::KernelError;
use crate::sys;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// One eBPF instruction, `struct bpf_insn` of linux/bpf.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Source register in the upper four bits, destination in the lower four.
    pub registers: u8,
    /// Signed offset.
    pub offset: i16,
    /// Signed constant.
    pub immediate: i32,
}

const _: () = assert!(size_of::<Instruction>() == 8);

/// `BPF_ALU64 | BPF_MOV | BPF_K`
const MOVE_CONSTANT: u8 = 0xb7;
/// `BPF_JMP | BPF_CALL`
const CALL: u8 = 0x85;
/// `BPF_JMP | BPF_EXIT`
const EXIT: u8 = 0x95;
/// `BPF_FUNC_redirect` (bpf-helpers(7)): returns `TC_ACT_REDIRECT`.
const HELPER_REDIRECT: i32 = 23;

fn instruction(code: u8, destination: u8, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: destination,
        offset: 0,
        immediate,
    }
}

/// The program that sends every packet out through the interface `index`, as it is.
#[must_use]
pub fn redirect_to(index: u32) -> [Instruction; 4] {
    [
        instruction(MOVE_CONSTANT, 1, index.cast_signed()),
        instruction(MOVE_CONSTANT, 2, 0),
        instruction(CALL, 0, HELPER_REDIRECT),
        instruction(EXIT, 0, 0),
    ]
}

/// A program that the kernel has verified; it lives while this or an attachment lives.
#[derive(Debug)]
pub struct Program(OwnedFd);

impl Program {
    /// Loads a program for tc (`BPF_PROG_TYPE_SCHED_CLS`).
    ///
    /// # Errors
    /// [`KernelError::Verifier`] with the kernel's reason.
    pub fn load(instructions: &[Instruction]) -> Result<Program, KernelError> {
        sys::load_classifier(instructions).map(Program)
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_the_redirect_program() {
        // given the program for an interface that need not exist
        // when it is loaded, then the verifier takes it (needs root)
        Program::load(&redirect_to(1)).unwrap();
    }

    #[test]
    fn a_program_without_an_exit_is_refused_with_the_verifiers_words() {
        let [first, ..] = redirect_to(1);
        match Program::load(&[first]) {
            Err(KernelError::Verifier { log, .. }) => assert!(!log.is_empty()),
            other => panic!("{other:?}"),
        }
    }
}
