//! Other ways into the kernel than the one that the filter was written for, and arguments whose upper half
//! only one of both looks at.

use crate::outcome::{Attempt, apart};

#[cfg(target_arch = "x86_64")]
pub use of_x86_64::ATTEMPTS;

#[cfg(target_arch = "x86")]
pub use of_i686::ATTEMPTS;

#[cfg(target_arch = "x86_64")]
mod of_x86_64 {
    use super::{Attempt, apart};
    use crate::outcome::{Arg, Outcome, address, call, number, tried, wait};
    use std::process::exit;

    /// In the order of the table of expected outcomes.
    pub const ATTEMPTS: &[Attempt] = &[
        apart("int_80", int_80),
        apart("x32", || tried(X32 + libc::SYS_getpid, &[])),
        apart("x32_execve", || tried(X32 + 520, &[0, 0, 0])),
        apart("x32_ioctl", || {
            tried(X32 + 514, &[0, 0x5412, address(c"x")])
        }),
        apart("number_upper_half", || {
            // The kernel takes 32 bits of the number: this is mount(2) to it.
            tried(UPPER + libc::SYS_mount, &[0, 0, 0, 0, 0])
        }),
        apart("terminal_upper_half", || {
            let request = UPPER | libc::TIOCSTI as Arg;
            tried(libc::SYS_ioctl, &[0, request, address(c"x")])
        }),
        apart("family_upper_half", || {
            tried(libc::SYS_socket, &[UPPER | 17, 3, 0])
        }),
        apart("clone_upper_half", || {
            let flags = UPPER | number(libc::CLONE_NEWUSER | libc::SIGCHLD);
            match call(libc::SYS_clone, &[flags]) {
                Ok(0) => exit(0),
                Ok(child) => {
                    wait(child);
                    Outcome::Ok
                }
                Err(errno) => Outcome::Errno(errno),
            }
        }),
        apart("kexec_file_load", || {
            tried(libc::SYS_kexec_file_load, &[-1, -1, 0, 0, 0])
        }),
    ];

    /// `__X32_SYSCALL_BIT`, asm/unistd.h.
    const X32: libc::c_long = 0x4000_0000;

    /// A bit that a call with 32-bit arguments does not see.
    const UPPER: Arg = 1 << 32;

    /// Enters the kernel by the gate for 32-bit programs (getpid is 20 there).
    fn int_80() -> Outcome {
        let mut number = 20_i64;
        // SAFETY: getpid(2) touches no memory; the gate changes no register but rax, and r8 to r11.
        unsafe {
            std::arch::asm!("int 0x80", inout("rax") number, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
        }
        if number > 0 {
            Outcome::Ok
        } else {
            Outcome::Errno(libc::ENOSYS)
        }
    }
}

/// The calls that hide others behind a number, and a jump into 64-bit code.
#[cfg(target_arch = "x86")]
mod of_i686 {
    use super::{Attempt, apart};
    use crate::outcome::{Arg, Outcome, address, call, tried};

    /// In the order of the table of expected outcomes.
    pub const ATTEMPTS: &[Attempt] = &[
        apart("ipc", || tried(libc::SYS_ipc, &[23, 0, 4096, 0o600])), // shmget
        apart("ipc_semget", || tried(libc::SYS_ipc, &[2, 0, 1, 0o600])),
        apart("ipc_msgget", || tried(libc::SYS_ipc, &[13, 0, 0o600])),
        apart("socketcall_raw", || socketcall([2, 3, 1])),
        apart("socketcall_packet", || socketcall([17, 3, 0])),
        apart("socketcall_netlink", || socketcall([16, 3, 0])),
        apart("socketcall_unix", || socketcall([1, 1, 0])),
        apart("far_jump", far_jump),
        apart("vm86", || tried(libc::SYS_vm86, &[0, 0])), // VM86_PLUS_INSTALL_CHECK
        apart("vm86old", || tried(libc::SYS_vm86old, &[0])),
        apart("stime", || tried(libc::SYS_stime, &[0])),
        apart("nice", || tried(libc::SYS_nice, &[-20])),
        apart("become_root_16", || tried(libc::SYS_setresuid, &[0, 0, 0])),
        apart("umount_old", || {
            let place = address(c"/tmp");
            let _ = call(libc::SYS_mount, &[place, place, 0, libc::MS_BIND as Arg]);
            tried(libc::SYS_umount, &[place])
        }),
    ];

    fn socketcall(arguments: [libc::c_ulong; 3]) -> Outcome {
        tried(libc::SYS_socketcall, &[1, address(&arguments)])
    }

    /// Into the code segment for 64-bit programs, getpid(2) there (39), and back. A 32-bit kernel has no
    /// such segment.
    fn far_jump() -> Outcome {
        let number: i32;
        // SAFETY: the stack is as before at the end; `syscall` changes rcx and r11 of which the first is
        // declared and the other does not exist here. getpid(2) touches no memory.
        unsafe {
            std::arch::asm!(
                "push 0x33",                           // __USER_CS, asm/segment.h
                "call 2f",
                "2: add dword ptr [esp], 5",           // to behind the next instruction
                "retf",
                ".byte 0xb8, 39, 0, 0, 0",             // mov eax, 39
                ".byte 0x0f, 0x05",                    // syscall
                ".byte 0x6a, 0x23",                    // push 0x23: __USER32_CS
                ".byte 0xe8, 0, 0, 0, 0",              // call to the next instruction
                ".byte 0x48, 0x83, 0x04, 0x24, 0x07",  // add qword ptr [rsp], 7
                ".byte 0x48, 0xcb",                    // retfq
                out("eax") number,
                out("ecx") _,
                out("edx") _,
            );
        }
        if number > 0 {
            Outcome::Ok
        } else {
            Outcome::Errno(libc::ENOSYS)
        }
    }
}
