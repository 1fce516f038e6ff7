//! A program that tries to get out of its sandbox and says how far it came. The tests run it inside and
//! outside; the QEMU image runs it as the service `probe`. What each attempt must come to is in
//! `tests/data/attempts.toml`.
//!
//! `hostile once` prints one line `RESULT <name> <outcome>` an attempt, then `RESULT end`; an outcome is
//! `ok`, `errno=N`, `signal=N` or `value=...`. `hostile all` does the same, then sleeps. `hostile list`
//! prints the names alone.
//! `hostile secrets` leaves secrets wherever it can, prints `READY` and sleeps; `hostile forget` removes those
//! that outlive it without a sandbox. `hostile spy [PID]` looks for them, and at that process (its number is
//! in /data/target where it is not given). `hostile greed` takes all it can get of each resource and gives
//! it back, `hostile hold` keeps it and sleeps, `hostile need` takes a little of each.
//!
//! `hostile memory MIB` touches that much, `hostile fork N` starts N sleeping children, `hostile spin` burns
//! processor time, `hostile write FILE` and `list FOLDER` try that, `hostile exit N` ends with status N.
//!
//! Each attempt is harmless where it succeeds, in a mount and host name namespace of its own.

mod calls;
mod files;
mod gates;
mod greed;
mod numbers;
mod outcome;
mod power;
mod proc;
mod secrets;
mod seen;
mod sockets;
mod spaces;
mod spy;

use outcome::{Attempt, Outcome, call, report};
use std::fs;
use std::process::exit;
use std::sync::atomic::Ordering;

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

/// What all the words do that only try and report.
fn report_all(themes: &[&[Attempt]]) {
    themes.iter().for_each(|theme| report(theme));
    println!("RESULT end");
}

fn secrets() -> ! {
    let _kept = secrets::keep();
    println!("READY");
    sleep()
}

fn spy(target: u32) {
    spy::TARGET.store(target, Ordering::Relaxed);
    report_all(&[spy::ATTEMPTS]);
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
            report_all(THEMES);
            sleep()
        }
        ["once"] => report_all(THEMES),
        ["list"] => {
            let names = THEMES.iter().copied().flatten().map(|attempt| attempt.name);
            names.for_each(|name| println!("{name}"));
        }
        ["secrets"] => secrets(),
        ["forget"] => secrets::forget(),
        ["spy", process] => spy(number(process)),
        ["spy"] => {
            let text = fs::read_to_string("/data/target").unwrap_or_default();
            spy(number(text.trim()));
        }
        ["greed"] => report_all(&[greed::ALL]),
        ["need"] => report_all(&[greed::LITTLE]),
        ["hold"] => {
            greed::hold();
            sleep()
        }
        ["memory", mib] => memory(number(mib) as usize),
        ["fork", count] => fork(number(count)),
        ["spin"] => spin(),
        ["write", path] => println!("RESULT write {}", Outcome::from(fs::write(path, "x"))),
        ["list", folder] => println!("RESULT list {}", seen::listed(folder)),
        ["exit", status] => exit(number(status) as i32),
        _ => {
            eprintln!(
                "usage: hostile once | all | list [FOLDER] | secrets | forget | spy [PID] | greed | hold | need | memory MIB | fork N | spin | write FILE | exit N"
            );
            exit(2)
        }
    }
}
