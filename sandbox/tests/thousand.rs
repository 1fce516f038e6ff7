//! A thousand starts in a row leave nothing behind: no descriptor, process, mount or memory of ours, and no
//! namespace of the kernel's.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_sandbox::sys::process::Ended;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::{both, image, plan, start};

const STARTS: usize = 1000;

/// Other tests start sandboxes at the same time; what each of a thousand starts left would be far above.
const OTHERS: usize = STARTS / 4;

/// How long the kernel may take to put ended namespaces away: it does that in the background.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a sandbox has of its own in the kernel (slabinfo(5)).
const KINDS: [&str; 5] = [
    "net_namespace",
    "pid_namespace",
    "user_namespace",
    "uts_namespace",
    "mnt_cache",
];

/// How many objects of each of these kinds the kernel holds; a kind that it does not count is left out.
fn kernel_objects() -> Vec<(&'static str, usize)> {
    let text = fs::read_to_string("/proc/slabinfo").unwrap();
    let count = |kind| {
        let mut lines = text.lines().map(str::split_whitespace);
        let mut line = lines.find(|line| line.clone().next() == Some(kind))?;
        Some((kind, line.nth(1)?.parse().unwrap()))
    };
    KINDS.into_iter().filter_map(count).collect()
}

fn lines(path: &str) -> usize {
    fs::read_to_string(path).unwrap().lines().count()
}

fn entries(path: &str) -> usize {
    fs::read_dir(path).unwrap().count()
}

/// Own memory, pages.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_thousand_starts_leave_nothing() {
    // given a machine where a start has been made before
    let [_, programs] = both();
    let image = image(programs);
    let plan = plan(image.path(), &["exit", "0"]);
    let once = || {
        let (_, ended) = start(programs, &plan).unwrap().finish();
        assert_eq!(ended, Ended::Code(0));
    };
    once();
    let state = || (entries("/proc/self/fd"), lines("/proc/self/mountinfo"));
    let (before, objects, memory) = (state(), kernel_objects(), resident());
    assert!(objects.iter().any(|(kind, _)| *kind == "mnt_cache"));
    // when a thousand more follow
    (0..STARTS).for_each(|_| once());
    // then this process is as it was
    assert_eq!(state(), before);
    assert!(
        resident() < memory + 256,
        "{memory} pages became {}",
        resident()
    );
    let children = fs::read_to_string("/proc/thread-self/children").unwrap();
    assert_eq!(children, "");
    // and the kernel holds nothing of them, as soon as it has cleaned up
    let deadline = Instant::now() + PATIENCE;
    let more = |before: &[(&'static str, usize)]| -> Vec<(&'static str, usize)> {
        let now = kernel_objects().into_iter().zip(before);
        let grown = now.map(|((kind, now), (_, before))| (kind, now.saturating_sub(*before)));
        grown.filter(|(_, more)| *more > OTHERS).collect()
    };
    while !more(&objects).is_empty() {
        assert!(Instant::now() < deadline, "left: {:?}", more(&objects));
        sleep(Duration::from_secs(1));
    }
}
