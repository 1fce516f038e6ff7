//! The names that policy files use for argument values. i386 and x86_64 share all of these numbers.

/// Every flag that makes a new namespace (clone(2), linux/sched.h), as one mask.
const CLONE_NEW: u32 = 0x0002_0000 // CLONE_NEWNS
    | 0x0200_0000 // CLONE_NEWCGROUP
    | 0x0400_0000 // CLONE_NEWUTS
    | 0x0800_0000 // CLONE_NEWIPC
    | 0x1000_0000 // CLONE_NEWUSER
    | 0x2000_0000 // CLONE_NEWPID
    | 0x4000_0000 // CLONE_NEWNET
    | 0x0000_0080; // CLONE_NEWTIME: in clone(2) a part of the exit signal, so nothing is lost

/// Name and value, and the header that says so.
const NAMES: &[(&str, u32)] = &[
    ("NOTHING", 0),
    ("CLONE_NEW", CLONE_NEW),
    ("CLONE_THREAD", 0x0001_0000),
    // sys/socket.h, linux/netlink.h
    ("AF_UNIX", 1),
    ("AF_INET", 2),
    ("AF_INET6", 10),
    ("AF_NETLINK", 16),
    ("NETLINK_ROUTE", 0),
    ("SOCK_TYPE_MASK", 0xf),
    ("SOCK_STREAM", 1),
    ("SOCK_DGRAM", 2),
    // linux/in.h; the first is the family's own choice
    ("IPPROTO_IP", 0),
    ("IPPROTO_TCP", 6),
    ("IPPROTO_UDP", 17),
    // linux/net.h: the first argument of socketcall(2)
    ("SYS_LISTEN", 4),
    ("SYS_ACCEPT", 5),
    ("SYS_ACCEPT4", 18),
    // asm-generic/ioctls.h
    ("TIOCSTI", 0x5412),
    ("TIOCLINUX", 0x541c),
    ("TIOCCONS", 0x541d),
    ("TIOCSETD", 0x5423),
    // linux/prctl.h
    ("PR_SET_PDEATHSIG", 1),
    ("PR_GET_PDEATHSIG", 2),
    ("PR_GET_DUMPABLE", 3),
    ("PR_SET_DUMPABLE", 4),
    ("PR_SET_NAME", 15),
    ("PR_GET_NAME", 16),
    ("PR_GET_SECCOMP", 21),
    ("PR_CAPBSET_READ", 23),
    ("PR_SET_TIMERSLACK", 29),
    ("PR_GET_TIMERSLACK", 30),
    ("PR_SET_NO_NEW_PRIVS", 38),
    ("PR_GET_NO_NEW_PRIVS", 39),
    ("PR_SET_THP_DISABLE", 41),
    ("PR_GET_THP_DISABLE", 42),
    ("PR_SET_VMA", 0x5356_4d41),
    // sys/personality.h; the query is personality(2)'s 0xffffffff
    ("PER_LINUX", 0),
    ("PER_QUERY", 0xffff_ffff),
];

/// The capabilities that a policy may grant (linux/capability.h): name and number.
const CAPABILITIES: &[(&str, u8)] = &[("CAP_NET_BIND_SERVICE", 10), ("CAP_NET_ADMIN", 12)];

/// The number of the capability with this name, where a policy may grant it.
#[must_use]
pub fn capability(name: &str) -> Option<u8> {
    CAPABILITIES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|&(_, number)| number)
}

/// The value with this name.
#[must_use]
pub fn value(name: &str) -> Option<u32> {
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|&(_, value)| value)
}

/// Every value, for tests that try all of them.
#[cfg(test)]
pub fn values() -> impl Iterator<Item = u32> {
    NAMES.iter().map(|&(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_c_library() {
        for (name, theirs) in [
            ("CLONE_THREAD", libc::CLONE_THREAD as u32),
            ("AF_NETLINK", libc::AF_NETLINK as u32),
            ("AF_INET6", libc::AF_INET6 as u32),
            ("TIOCSTI", libc::TIOCSTI as u32),
            ("TIOCLINUX", libc::TIOCLINUX as u32),
            ("TIOCCONS", libc::TIOCCONS as u32),
            ("PR_SET_NAME", libc::PR_SET_NAME as u32),
            ("PR_SET_VMA", libc::PR_SET_VMA as u32),
            ("PR_SET_THP_DISABLE", libc::PR_SET_THP_DISABLE as u32),
        ] {
            assert_eq!(value(name), Some(theirs), "{name}");
        }
        let all = libc::CLONE_NEWNS
            | libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET;
        assert_eq!(CLONE_NEW & all as u32, all as u32);
    }
}
