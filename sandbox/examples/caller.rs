//! A program that makes the system calls it is told to, for the tests of `record` and of the report on killed
//! services; in the QEMU image it is the service `caller`.
//!
//! Each word is an act: `thread`, `fork` and `spawn` start one and wait for it, `new-user` asks clone(2) for a
//! user namespace, `client` and `server` use TCP on loopback, `netlink` makes
//! a netlink socket, on i386 by socketcall(2), `orphan` leaves a child behind that makes the
//! next act after its parent's end, `sleep` stays for ever, `exec` becomes this program once more, with the
//! rest of the words; any other word is the name of a call that is made with senseless arguments. Each prints
//! `CALLED <word> ok`, or `errno=N`.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

/// Calls by name; senseless arguments make each harmless.
const CALLS: &[(&str, libc::c_long)] = &[
    ("bpf", libc::SYS_bpf),
    ("clone3", libc::SYS_clone3),
    ("init_module", libc::SYS_init_module),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("mount", libc::SYS_mount),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("ptrace", libc::SYS_ptrace),
    ("sched_setaffinity", libc::SYS_sched_setaffinity),
    ("setns", libc::SYS_setns),
];

fn call(number: libc::c_long, first: libc::c_long) -> std::io::Result<libc::c_long> {
    // SAFETY: every address is -1 or 0, where nothing is mapped: the kernel reads and writes nothing.
    // Calls that start a process copy memory like fork(2).
    let returned = unsafe { libc::syscall(number, first, -1, -1, -1, -1, -1) };
    if returned < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(returned)
}

/// Starts a child by `number` and waits for it.
fn child(number: libc::c_long, flags: libc::c_long) -> std::io::Result<()> {
    // SAFETY: a null stack and null places for numbers: memory is copied like fork(2).
    let child = unsafe { libc::syscall(number, flags, 0, 0, 0, 0) };
    match child {
        0 => exit(0),
        -1 => Err(std::io::Error::last_os_error()),
        child => {
            // SAFETY: a null status is not written.
            unsafe { libc::waitpid(child as libc::pid_t, std::ptr::null_mut(), 0) };
            Ok(())
        }
    }
}

#[cfg(target_arch = "x86")]
fn netlink() -> std::io::Result<()> {
    let arguments: [libc::c_long; 3] = [16, 3, 0];
    // SAFETY: socket (1) reads three numbers from a live local.
    let made = unsafe { libc::syscall(libc::SYS_socketcall, 1, arguments.as_ptr()) };
    if made < 0 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(not(target_arch = "x86"))]
fn netlink() -> std::io::Result<()> {
    // SAFETY: takes no pointer.
    let made = unsafe { libc::socket(16, 3, 0) };
    if made < 0 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Leaves a child behind, which goes on where its parent ends.
fn orphan() -> std::io::Result<()> {
    // SAFETY: this program has one thread here.
    match unsafe { libc::fork() } {
        0 => {
            std::thread::sleep(std::time::Duration::from_millis(300));
            Ok(())
        }
        -1 => Err(std::io::Error::last_os_error()),
        _ => exit(0),
    }
}

fn act(word: &str, rest: &[String]) -> std::io::Result<()> {
    let this = "/proc/self/exe";
    match word {
        "thread" => std::thread::Builder::new()
            .spawn(|| {})?
            .join()
            .map_err(|_| std::io::Error::other("panic")),
        "fork" => child(libc::SYS_fork, 0),
        "new-user" => child(
            libc::SYS_clone,
            (libc::CLONE_NEWUSER | libc::SIGCHLD) as libc::c_long,
        ),
        "spawn" => Command::new(this).status().map(drop),
        "client" => TcpStream::connect("127.0.0.1:9").map(drop),
        "server" => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            listener.accept().map(drop)
        }
        "netlink" => netlink(),
        "orphan" => orphan(),
        "sleep" => loop {
            std::thread::sleep(std::time::Duration::from_secs(3600));
        },
        "exec" => Err(Command::new(this).args(rest).exec()),
        name => match CALLS.iter().find(|(known, _)| *known == name) {
            Some(&(_, number)) => call(number, -1).map(drop),
            None => {
                eprintln!("caller: there is no act {name:?}");
                exit(2)
            }
        },
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    for (n, word) in words.iter().enumerate() {
        let rest = words.get(n + 1..).unwrap_or_default();
        match act(word, rest) {
            Ok(()) => println!("CALLED {word} ok"),
            Err(error) => println!("CALLED {word} errno={}", error.raw_os_error().unwrap_or(-1)),
        }
    }
}
