//! The chaos test's hands on the gateway, and its victims. `board/tests/test_72_chaos.py` runs it.
//!
//! `chaos rounds SEED FIRST LAST`, as root outside of every service: in each round one fault, chosen by the
//! seed and the round's number alone, then a wait until the gateway is whole again ([`world`] says what that
//! is). One line a round; the first that does not come to its end is told with all that is wrong, and is the
//! last.
//! `chaos victim COUNT`, inside: a service with so many children, each with one of its own, that takes
//! memory without end at SIGUSR1.

mod accounts;
mod faults;
mod random;
mod sys;
mod victim;
mod world;

use accounts::Accounts;
use faults::Hand;
use hearth_client::client::Api;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Longest wait until the gateway is whole again: the longest wait of a restart is 30 s.
const SETTLE_MAX: Duration = Duration::from_secs(75);

/// What is wrong for so long is told with its round.
const SLOW: Duration = Duration::from_secs(2);

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// The gateway without a fault, after a while; what is wrong with it, else.
async fn settle(api: &Api, home: &world::Home, accounts: &mut Accounts) -> Result<String, String> {
    let (begin, mut seen, mut slow) = (Instant::now(), Instant::now(), String::new());
    let mut last = String::new();
    loop {
        let wrong = match world::look(api, home).await {
            Ok(()) => match accounts.follow(api).await {
                Ok(()) => return Ok(slow),
                Err(accounts::Trouble::Wrong(text)) => return Err(text),
                Err(accounts::Trouble::Later(text)) => text,
            },
            Err(text) => text,
        };
        if begin.elapsed() > SETTLE_MAX {
            return Err(wrong);
        }
        if wrong != last {
            (seen, last) = (Instant::now(), wrong);
        } else if seen.elapsed() > SLOW {
            slow = format!(", waited for: {last}");
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn rounds(seed: u64, first: u64, last: u64) -> Result<(), String> {
    let api = Api::from_env();
    let mut accounts = Accounts::default();
    let home = world::Home::now();
    settle(&api, &home, &mut accounts)
        .await
        .map_err(|wrong| format!("before round {first}: {wrong}"))?;
    let mut hand = Hand::new(seed);
    for round in first..=last {
        let begin = Instant::now();
        let done = hand.act(&api, round).await?;
        let acted = begin.elapsed().as_millis();
        let settled = settle(&api, &home, &mut accounts).await;
        let took = begin.elapsed().as_millis();
        match settled {
            Ok(slow) => println!("ROUND {round} ok {acted} {took} ms: {done}{slow}"),
            Err(wrong) => return Err(format!("round {round}: {done}: {wrong}")),
        }
    }
    hand.leave();
    println!("ACCOUNTS {} records", accounts.records());
    Ok(())
}

fn on_one_thread(work: impl Future<Output = Result<(), String>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Err(error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            println!("FAILED {text}");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse::<u64>().unwrap_or_default();
    match words.as_slice() {
        ["victim", "sleep"] => victim::sleep(),
        ["victim", children] => victim::run(number(children)),
        ["rounds", seed, first, last] => {
            on_one_thread(rounds(number(seed), number(first), number(last)))
        }
        _ => {
            eprintln!("usage: chaos rounds SEED FIRST LAST | victim COUNT");
            ExitCode::from(2)
        }
    }
}
