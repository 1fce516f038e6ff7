//! Programs as data, and loading one (bpf(2)).

use crate::error::{KernelError, LoadError};
use crate::limits::{MAPS_MAX, PACKET_MAX};
use crate::map::Maps;
use crate::object::Object;
use crate::sys::bpf::programs;
use std::net::Ipv4Addr;
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
pub(crate) const MOVE_CONSTANT: u8 = 0xb7;
/// `BPF_ALU64 | BPF_MOV | BPF_X`
pub(crate) const MOVE: u8 = 0xbf;
/// `BPF_ALU | BPF_AND | BPF_K`
const AND: u8 = 0x54;
/// `BPF_ALU | BPF_LSH | BPF_K`
const SHIFT_LEFT: u8 = 0x64;
/// `BPF_JMP32 | BPF_JEQ | BPF_K`: 32 bits, so that an address is not taken for a negative number.
pub(crate) const JUMP_EQUAL: u8 = 0x16;
/// `BPF_JMP32 | BPF_JNE | BPF_K`
pub(crate) const JUMP_NOT_EQUAL: u8 = 0x56;
/// `BPF_JMP32 | BPF_JGE | BPF_K`
pub(crate) const JUMP_AT_LEAST: u8 = 0x36;
/// `BPF_LDX | BPF_MEM | BPF_W`: a word of the context.
pub(crate) const LOAD_CONTEXT: u8 = 0x61;
/// `BPF_LD | BPF_IMM | BPF_DW`: two instructions; here the address of a map's value.
pub(crate) const LOAD_ADDRESS: u8 = 0x18;
/// `BPF_LDX | BPF_MEM | BPF_DW`
pub(crate) const LOAD_DOUBLE: u8 = 0x79;
/// `BPF_STX | BPF_MEM | BPF_DW`
pub(crate) const STORE_DOUBLE: u8 = 0x7b;
/// `BPF_ALU64 | BPF_ADD | BPF_K`
pub(crate) const ADD: u8 = 0x07;
/// `BPF_LD | BPF_ABS`: from the frame, at a constant, into register 0; beyond the frame's end, the
/// program ends with 0. Register 6 holds the context, registers 1 to 5 are lost.
pub(crate) const LOAD: u8 = 0x20;
/// `BPF_LD | BPF_IND`: the same at a constant after a register.
const LOAD_AFTER: u8 = 0x40;
/// `BPF_H` and `BPF_B`, the sizes of a load; a word has none.
pub(crate) const HALF: u8 = 0x08;
const BYTE: u8 = 0x10;
/// `BPF_JMP | BPF_CALL`
const CALL: u8 = 0x85;
/// `BPF_JMP | BPF_EXIT`
pub(crate) const EXIT: u8 = 0x95;
/// `BPF_FUNC_redirect` (bpf-helpers(7)): returns `TC_ACT_REDIRECT`.
const HELPER_REDIRECT: i32 = 23;
/// `TC_ACT_OK`
const PASS: i32 = 0;
/// `TC_ACT_SHOT`
pub(crate) const DROP: i32 = 2;

pub(crate) fn instruction(code: u8, destination: u8, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: destination,
        offset: 0,
        immediate,
    }
}

/// Goes on `by` instructions after the next one, where register 0 compares so with `immediate`.
pub(crate) fn jump(code: u8, immediate: i32, by: i16) -> Instruction {
    Instruction {
        offset: by,
        ..instruction(code, 0, immediate)
    }
}

pub(crate) fn move_register(to: u8, from: u8) -> Instruction {
    instruction(MOVE, from << 4 | to, 0)
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

/// The program that has no say in any packet.
#[must_use]
pub fn let_pass() -> [Instruction; 2] {
    [instruction(MOVE_CONSTANT, 0, PASS), instruction(EXIT, 0, 0)]
}

/// The program that drops an IPv4 packet on its way out of an Ethernet port unless its source is
/// `address` (or 0.0.0.0, a DHCP client's), and an ICMP error unless what it quotes was sent to
/// `address`: one that the kernel makes about a translated packet quotes an inside address. `refuse` ends
/// the program.
pub(crate) fn leave_as(address: Ipv4Addr, refuse: &[Instruction]) -> Vec<Instruction> {
    let address = u32::from(address).cast_signed();
    let after = |size, at| instruction(LOAD_AFTER | size, 7 << 4, at);
    // Offsets in an Ethernet frame: IPv4 begins at 14 (RFC 791, RFC 792).
    let checks = [
        move_register(6, 1),
        // source
        instruction(LOAD, 0, 14 + 12),
        jump(JUMP_EQUAL, 0, 16),
        jump(JUMP_NOT_EQUAL, address, 17),
        // an ICMP message, or the first part of one?
        instruction(LOAD | BYTE, 0, 14 + 9),
        jump(JUMP_NOT_EQUAL, 1, 13),
        instruction(LOAD | HALF, 0, 14 + 6),
        instruction(AND, 0, 0x1fff),
        jump(JUMP_NOT_EQUAL, 0, 10),
        // register 7: length of the IPv4 header
        instruction(LOAD | BYTE, 0, 14),
        instruction(AND, 0, 0x0f),
        instruction(SHIFT_LEFT, 0, 2),
        move_register(7, 0),
        // unreachable, time exceeded, parameter problem?
        after(BYTE, 14),
        jump(JUMP_EQUAL, 3, 2),
        jump(JUMP_EQUAL, 11, 1),
        jump(JUMP_NOT_EQUAL, 12, 2),
        // destination of the quoted packet
        after(0, 14 + 8 + 16),
        jump(JUMP_NOT_EQUAL, address, 2),
        instruction(MOVE_CONSTANT, 0, PASS),
        instruction(EXIT, 0, 0),
    ];
    [&checks, refuse].concat()
}

/// What a program is for, `enum bpf_prog_type` and, where the kernel wants it, `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A packet at an interface, by tc.
    Classifier,
    /// What a process of a cgroup does.
    Cgroup(Hook),
}

/// Where a program stands at a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A device is opened or made.
    Device,
    /// A socket of the Internet family is made.
    Socket,
    /// bind(2) over IPv4.
    Bind4,
    /// bind(2) over IPv6.
    Bind6,
    /// connect(2) over IPv4.
    Connect4,
    /// connect(2) over IPv6.
    Connect6,
    /// A datagram of an unconnected socket over IPv4.
    Send4,
    /// A datagram of an unconnected socket over IPv6.
    Send6,
}

impl Hook {
    /// Its number, `enum bpf_attach_type`.
    pub(crate) fn number(self) -> u32 {
        match self {
            Hook::Device => 6,
            Hook::Socket => 2,
            Hook::Bind4 => 8,
            Hook::Bind6 => 9,
            Hook::Connect4 => 10,
            Hook::Connect6 => 11,
            Hook::Send4 => 14,
            Hook::Send6 => 15,
        }
    }

    /// What the kernel's man pages call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Hook::Device => "device",
            Hook::Socket => "socket",
            Hook::Bind4 => "bind4",
            Hook::Bind6 => "bind6",
            Hook::Connect4 => "connect4",
            Hook::Connect6 => "connect6",
            Hook::Send4 => "sendmsg4",
            Hook::Send6 => "sendmsg6",
        }
    }
}

impl Kind {
    /// The kernel's numbers of it: type, expected attachment.
    pub(crate) fn numbers(self) -> (u32, u32) {
        match self {
            Kind::Classifier => (3, 0),
            Kind::Cgroup(hook) => match hook {
                Hook::Device => (15, hook.number()),
                Hook::Socket => (9, hook.number()),
                Hook::Bind4
                | Hook::Bind6
                | Hook::Connect4
                | Hook::Connect6
                | Hook::Send4
                | Hook::Send6 => (18, hook.number()),
            },
        }
    }
}

/// What the kernel tells about a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its number.
    pub id: u32,
    /// Bytes of machine code; 0 where the kernel interprets it.
    pub machine_bytes: u32,
    /// Bytes of its instructions after the verifier.
    pub verified_bytes: u32,
    /// Numbers of its maps.
    pub maps: Vec<u32>,
}

/// What a test run said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The program's value.
    pub value: u32,
    /// The packet after it.
    pub packet: Vec<u8>,
    /// Nanoseconds a run, as the kernel measured them.
    pub nanoseconds: u32,
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
        programs::load(Kind::Classifier, "hearth", c"MIT", instructions).map(Program)
    }

    /// Loads a function of an object with its maps. A program that the kernel would interpret is
    /// refused: it is several times slower, and nobody would see why.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load_function(
        kind: Kind,
        object: &Object,
        function: &str,
        maps: &Maps,
    ) -> Result<Program, LoadError> {
        let missing = || LoadError::Missing(function.to_owned());
        let found = object.function(function).ok_or_else(missing)?;
        let code = found.link(&maps.descriptors()).ok_or_else(missing)?;
        let program = programs::load(kind, function, object.license(), &code).map(Program)?;
        if program.info()?.machine_bytes == 0 {
            return Err(LoadError::Interpreted(function.to_owned()));
        }
        Ok(program)
    }

    /// The first program that is attached to a cgroup; none where there is none.
    ///
    /// # Errors
    /// [`KernelError::Refused`]: the folder is no cgroup, or the kernel knows no such hook.
    pub fn attached(cgroup: BorrowedFd<'_>, hook: Hook) -> Result<Option<Program>, KernelError> {
        match programs::attached(cgroup, hook.number())? {
            0 => Ok(None),
            id => programs::by_id(id).map(|fd| Some(Program(fd))),
        }
    }

    /// Attaches it to a cgroup: it then judges every process in it and below, and stays until the
    /// cgroup is removed, whoever ends meanwhile. What was attached there is replaced in one step, and
    /// nobody can attach another one below.
    ///
    /// # Errors
    /// [`KernelError::Refused`]: the folder is no cgroup v2, or the kernel knows no such hook.
    pub fn attach(&self, cgroup: BorrowedFd<'_>, hook: Hook) -> Result<(), KernelError> {
        programs::attach(cgroup, self.0.as_fd(), hook.number())
    }

    /// Asks the kernel about it (`BPF_OBJ_GET_INFO_BY_FD`).
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    pub fn info(&self) -> Result<Info, KernelError> {
        let mut maps = vec![0; MAPS_MAX];
        let info = programs::info(self.0.as_fd(), &mut maps)?;
        maps.truncate(info.nr_map_ids as usize);
        Ok(Info {
            id: info.id,
            machine_bytes: info.jited_prog_len,
            verified_bytes: info.xlated_prog_len,
            maps,
        })
    }

    /// Runs it `repeat` times on a packet (`BPF_PROG_TEST_RUN`). `context` is its `struct __sk_buff`,
    /// read before and written after the run; empty: the kernel's own.
    ///
    /// # Errors
    /// [`KernelError::Refused`]: `ENOSPC` where the packet grows beyond [`PACKET_MAX`], or the
    /// kernel can not test programs of this kind.
    pub fn test_run(
        &self,
        packet: &[u8],
        context: &mut [u8],
        repeat: u32,
    ) -> Result<Run, KernelError> {
        let mut out = vec![0; PACKET_MAX];
        let ran = programs::test_run(self.0.as_fd(), packet, &mut out, context, repeat)?;
        out.truncate(ran.written);
        Ok(Run {
            value: ran.value,
            packet: out,
            nanoseconds: ran.nanoseconds,
        })
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
    fn what_may_leave_is_what_shows_the_address_alone() {
        // given frames with a source, a first byte of ICMP, and the destination of what it quotes
        let own = Ipv4Addr::new(203, 0, 113, 50);
        let inside = Ipv4Addr::new(192, 168, 1, 50);
        let drop = [instruction(MOVE_CONSTANT, 0, DROP), instruction(EXIT, 0, 0)];
        let frame = |source: Ipv4Addr, protocol, offset, kind, quoted: Ipv4Addr| {
            // five words of header and one of options, so that its length counts
            let mut bytes = vec![0; 14 + 24 + 8 + 28];
            (bytes[14], bytes[14 + 7], bytes[14 + 9]) = (0x46, offset, protocol);
            bytes[14 + 12..14 + 16].copy_from_slice(&source.octets());
            bytes[14 + 24] = kind;
            bytes[14 + 24 + 8 + 16..14 + 24 + 8 + 20].copy_from_slice(&quoted.octets());
            bytes
        };
        for (name, bytes, verdict) in [
            ("translated", frame(own, 17, 0, 0, inside), PASS),
            ("DHCP", frame(Ipv4Addr::UNSPECIFIED, 17, 0, 0, own), PASS),
            ("untranslated", frame(inside, 17, 0, 0, own), DROP),
            ("echo", frame(own, 1, 0, 8, inside), PASS),
            ("quotes us: unreachable", frame(own, 1, 0, 3, own), PASS),
            (
                "quotes another: unreachable",
                frame(own, 1, 0, 3, inside),
                DROP,
            ),
            ("quotes another: time", frame(own, 1, 0, 11, inside), DROP),
            (
                "quotes another: parameter",
                frame(own, 1, 0, 12, inside),
                DROP,
            ),
            ("later fragment", frame(own, 1, 9, 3, inside), PASS),
        ] {
            // when the program sees it, then it passes or not
            assert_eq!(run(&leave_as(own, &drop), &bytes), verdict, "{name}");
        }
        let nobody = Ipv4Addr::UNSPECIFIED;
        let old = frame(own, 6, 0, 0, own);
        assert_eq!(
            run(&leave_as(nobody, &drop), &old),
            DROP,
            "no address any more"
        );
        // and the kernel takes it (needs root)
        Program::load(&leave_as(own, &drop)).unwrap();
    }

    /// What a program without calls returns for a frame, register by register.
    fn run(program: &[Instruction], frame: &[u8]) -> i32 {
        let mut registers = [0u32; 8];
        let mut at = 0;
        loop {
            let Instruction {
                code,
                registers: names,
                offset,
                immediate,
            } = program[at];
            let (to, from) = (usize::from(names & 15), usize::from(names >> 4));
            at += 1;
            let goes = match code {
                MOVE_CONSTANT => {
                    registers[to] = immediate.cast_unsigned();
                    false
                }
                MOVE => {
                    registers[to] = registers[from];
                    false
                }
                AND => {
                    registers[to] &= immediate.cast_unsigned();
                    false
                }
                SHIFT_LEFT => {
                    registers[to] <<= immediate;
                    false
                }
                JUMP_EQUAL => registers[to] == immediate.cast_unsigned(),
                JUMP_NOT_EQUAL => registers[to] != immediate.cast_unsigned(),
                EXIT => return registers[0].cast_signed(),
                _ => {
                    let base = if code & LOAD_AFTER != 0 {
                        registers[from]
                    } else {
                        0
                    };
                    let start = (base + immediate.cast_unsigned()) as usize;
                    let size = match code & (HALF | BYTE) {
                        BYTE => 1,
                        HALF => 2,
                        _ => 4,
                    };
                    let bytes = &frame[start..start + size];
                    registers[0] = bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b));
                    false
                }
            };
            if goes {
                at = at.checked_add_signed(offset.into()).unwrap();
            }
        }
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
