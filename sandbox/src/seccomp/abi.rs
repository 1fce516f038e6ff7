//! The two ways into the kernel that services use, and the numbers of their system calls.

/// A system-call interface of x86.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// 32 bits.
    I386,
    /// 64 bits, without x32.
    X86_64,
}

impl Abi {
    /// Both.
    pub const ALL: [Abi; 2] = [Abi::I386, Abi::X86_64];

    /// The one this program was built for: the filter of the service is for the same one, and kills
    /// whoever enters by another.
    pub const NATIVE: Abi = if cfg!(target_arch = "x86") {
        Abi::I386
    } else {
        Abi::X86_64
    };

    /// The architecture word that the kernel shows to a filter (linux/audit.h).
    #[must_use]
    pub fn audit_arch(self) -> u32 {
        match self {
            Abi::I386 => 0x4000_0003,
            Abi::X86_64 => 0xc000_003e,
        }
    }

    fn table(self) -> &'static str {
        match self {
            Abi::I386 => include_str!("../../policy/tables/i386.tbl"),
            Abi::X86_64 => include_str!("../../policy/tables/x86_64.tbl"),
        }
    }

    /// Number and name of every call, in order of numbers.
    pub fn calls(self) -> impl Iterator<Item = (u32, &'static str)> {
        self.table().lines().filter_map(|line| {
            let (number, name) = line.split_once(' ')?;
            Some((number.parse().ok()?, name))
        })
    }

    /// The number of the call with this name.
    #[must_use]
    pub fn number(self, name: &str) -> Option<u32> {
        self.calls()
            .find(|&(_, known)| known == name)
            .map(|(number, _)| number)
    }

    /// The highest number in the table: a call above it is newer than these policies.
    #[must_use]
    pub fn newest(self) -> u32 {
        self.calls().map(|(number, _)| number).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_table_is_a_call() {
        for abi in Abi::ALL {
            assert_eq!(abi.calls().count(), abi.table().lines().count());
            assert!(abi.calls().is_sorted_by_key(|(number, _)| number));
        }
    }

    #[test]
    fn numbers_are_those_of_the_c_library() {
        for (name, number) in [
            ("read", libc::SYS_read),
            ("execve", libc::SYS_execve),
            ("mount_setattr", libc::SYS_mount_setattr),
            ("seccomp", libc::SYS_seccomp),
        ] {
            assert_eq!(
                Abi::NATIVE.number(name).map(|known| known as libc::c_long),
                Some(number),
                "{name}"
            );
        }
        // asm/unistd_32.h
        assert_eq!(Abi::I386.number("_llseek"), Some(140));
        assert_eq!(Abi::I386.number("mmap2"), Some(192));
        assert_eq!(Abi::I386.number("futex_time64"), Some(422));
        assert_eq!(Abi::I386.newest(), 450);
        assert_eq!(Abi::X86_64.newest(), 450);
    }
}
