//! A service that takes all it can get: each resource has an end inside, and another service still gets its
//! own. What each attempt must come to is in tests/data/attempts.toml. Memory, processor time and processes
//! are limited by control groups: the board tests try those.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_sandbox::sys::process::Ended;
use std::collections::BTreeSet;
use support::attempts::{of_theme, results, wrong_inside};
use support::{both, image, plan, run, start};

#[test]
fn everything_has_an_end() {
    for programs in both() {
        let image = image(programs);
        let (text, ended) = run(programs, &plan(image.path(), &["greed"]));
        assert_eq!(ended, Ended::Code(0), "{}: {text}", programs.word);
        let wrong = wrong_inside(&of_theme(programs.word, "exhaustion"), &text, &[]);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", programs.word);
    }
}

#[test]
fn who_takes_all_leaves_the_others_theirs() {
    for programs in both() {
        // given a service that holds all it can get of what the kernel counts
        let image = image(programs);
        let mut greedy = start(programs, &plan(image.path(), &["hold"])).unwrap();
        let held = greedy.read_until("HELD all");
        // when another needs a little of each
        let (text, _) = run(programs, &plan(image.path(), &["need"]));
        // then it gets it
        let outcomes: BTreeSet<&str> = results(&text).into_values().collect();
        let good = BTreeSet::from(["", "ok"]); // the first is the end's
        assert_eq!(outcomes, good, "{}: {text} while {held}", programs.word);
        greedy.running.signal(libc::SIGKILL).unwrap();
        greedy.finish();
    }
}
