//! A program that tries to get out of its sandbox and says how far it came. The tests run it inside and
//! outside; the QEMU image runs it as the service `probe`. What each attempt must come to is in
//! `tests/data/attempts.toml`.
//!
//! `hostile once` prints one line `RESULT <name> <outcome>` an attempt, then `RESULT end`; an outcome is
//! `ok`, `errno=N`, `signal=N` or `value=...`. `hostile all` does the same, then sleeps. `hostile list`
//! prints the names alone.
//! `hostile memory MIB` touches that much, `hostile fork N` starts N sleeping children, `hostile spin` burns
//! processor time, `hostile write FILE` and `list FOLDER` try that, `hostile exit N` ends with status N.
//!
//! Each attempt is harmless where it succeeds, in a mount and host name namespace of its own.

mod calls;
mod files;
mod gates;
mod numbers;
mod outcome;
mod power;
mod proc;
mod seen;
mod sockets;
mod spaces;

use outcome::{Attempt, Outcome, call, report};
use std::fs;
use std::process::exit;

/// By theme; what it sees comes first, before any child is made.
const THEMES: &[&[Attempt]] = &[
    seen::ATTEMPTS,
    files::ATTEMPTS,
    proc::ATTEMPTS,
    spaces::ATTEMPTS,
    power::ATTEMPTS,
    calls::ATTEMPTS,
    gates::ATTEMPTS,
    sockets::ATTEMPTS,
];

fn everything() {
    THEMES.iter().for_each(|theme| report(theme));
    println!("RESULT end");
}

fn sleep() -> ! {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}

fn memory(mib: usize) -> ! {
    let mut held = Vec::new();
    for done in 1..=mib {
        held.push(vec![1_u8; 1024 * 1024]);
        println!("MEMORY {done}");
    }
    sleep()
}

fn fork(wanted: u32) -> ! {
    for done in 0..wanted {
        match call(libc::SYS_fork, &[]) {
            Ok(0) => sleep(),
            Ok(_) => {}
            Err(errno) => {
                println!("FORK failed after={done} errno={errno}");
                sleep()
            }
        }
    }
    println!("FORK done={wanted}");
    sleep()
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().unwrap_or(0_u32);
    match words.as_slice() {
        ["all"] => {
            everything();
            sleep()
        }
        ["once"] => everything(),
        ["list"] => {
            let names = THEMES.iter().copied().flatten().map(|attempt| attempt.name);
            names.for_each(|name| println!("{name}"));
        }
        ["memory", mib] => memory(number(mib) as usize),
        ["fork", count] => fork(number(count)),
        ["spin"] => spin(),
        ["write", path] => println!("RESULT write {}", Outcome::from(fs::write(path, "x"))),
        ["list", folder] => println!("RESULT list {}", seen::listed(folder)),
        ["exit", status] => exit(number(status) as i32),
        _ => {
            eprintln!(
                "usage: hostile once | all | list [FOLDER] | memory MIB | fork N | spin | write FILE | exit N"
            );
            exit(2)
        }
    }
}
