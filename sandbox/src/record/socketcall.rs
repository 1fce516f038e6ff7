//! What hides behind `socketcall`, the one call that some C libraries of i386 make for all of sockets: the
//! call itself is in the program's memory. A filter can not look there, a recorder can: so the manifest gets
//! the policies that the same program needs with a C library that calls directly.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Most arguments of a call.
const ARGUMENTS_MAX: usize = 6;

/// By the first argument, from 1 on (linux/net.h); `send` and `recv` are the kernel's sendto and recvfrom.
const CALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "sendto",
    "recvfrom",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// The call that `process` makes by `socketcall(which, place)`, with its first arguments. None where it has no
/// name, or where the process has died or lets nobody look.
#[must_use]
pub fn behind(process: u32, which: u64, place: u64) -> Option<(&'static str, [u64; 6])> {
    let index = usize::try_from(which).ok()?.checked_sub(1)?;
    let call = CALLS.get(index)?;
    let memory = File::open(format!("/proc/{process}/mem")).ok()?;
    let mut bytes = [0; ARGUMENTS_MAX * 4];
    // There may be less memory behind the last argument.
    let count = memory.read_at(&mut bytes, place).ok()?;
    let (words, _) = bytes.get(..count)?.as_chunks::<4>();
    let mut args = [0; ARGUMENTS_MAX];
    for (arg, word) in args.iter_mut().zip(words) {
        *arg = u64::from(u32::from_ne_bytes(*word));
    }
    Some((call, args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_is_read_from_the_programs_memory() {
        // given the arguments of a socket in this program's memory
        let words: [u32; 6] = [16, 3, 0, 7, 8, 9];
        let place = words.as_ptr() as usize as u64;
        let own = std::process::id();
        // when somebody looks
        assert_eq!(behind(own, 1, place), Some(("socket", [16, 3, 0, 7, 8, 9])));
        assert_eq!(
            behind(own, 18, place).map(|(call, _)| call),
            Some("accept4")
        );
        // then a wrong number or place is none
        assert_eq!(behind(own, 0, place), None);
        assert_eq!(behind(own, 21, place), None);
        assert_eq!(behind(own, 1, 1), None);
    }
}
