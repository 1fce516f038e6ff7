//! Plans that nobody would write: each either runs or names the step or the field, and nothing of it stays.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_model::Bytes;
use hearth_model::limits::PLAN_BINDS_MAX;
use hearth_model::plan::{Bind, BindAccess, Identity, Plan, PlanError, Ports};
use hearth_model::step::{Step, StepFailure};
use hearth_sandbox::outside::StartError;
use hearth_sandbox::sys::process::Ended;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use std::fs;
use std::path::Path;
use support::{Programs, bind, both, failure, image, plan, start, start_bytes};

/// Starts for each word size and kind; each takes some hundredths of a second.
const CASES: u32 = 96;

/// Places that a plan may well name.
const USUAL: [&str; 4] = ["/data", "/run/granted", "/run/a/b/c/d", "/tmp/granted"];

/// Places that it had better not.
const STRANGE: [&str; 19] = [
    "/dev/granted",
    "/dev/null",
    "/dev/shm",
    "/proc",
    "/proc/1/root",
    "/proc/self/fd",
    "/proc/self/exe",
    "/sys",
    "/hostile",
    "/hostile/below",
    "/loop",
    "/out",
    "/missing",
    "//data//",
    "/data/.",
    "/run/\u{fffd}\u{1f3e0} name\nwith all",
    "relative",
    "/data/../..",
    "",
];

fn place() -> impl Strategy<Value = String> {
    prop_oneof![
        16 => select(&USUAL[..]).prop_map(str::to_owned),
        6 => select(&STRANGE[..]).prop_map(str::to_owned),
        1 => "/run/[a-z]{250,300}",
        1 => "/run(/x){100,2100}",
        1 => "\\PC{0,40}",
    ]
}

fn binds(image: String) -> impl Strategy<Value = Vec<Bind>> {
    let inside = image.clone();
    let source = prop_oneof![
        4 => Just(format!("{image}/data")),
        1 => Just(format!("{image}/hostile")),
        1 => place().prop_map(move |place| format!("{inside}{place}")),
        1 => place(),
    ];
    let access = prop_oneof![Just(BindAccess::ReadOnly), Just(BindAccess::ReadWrite)];
    let one = (source, place(), access).prop_map(|(source, target, access)| Bind {
        source,
        target,
        access,
    });
    vec(one, 0..4)
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(1000),
        Just(0),
        Just(65_534),
        Just(65_535),
        any::<u32>()
    ]
}

fn ports() -> impl Strategy<Value = Ports> {
    prop_oneof![
        Just(Ports::Any),
        vec(any::<u16>(), 0..300).prop_map(Ports::Only)
    ]
}

/// A good plan with some fields changed.
fn plans(root: String) -> impl Strategy<Value = Plan> {
    let good = plan(Path::new(&root), &["exit", "0"]);
    let roots = prop_oneof![
        8 => Just(root.clone()),
        1 => place().prop_map({ let root = root.clone(); move |place| root.clone() + &place }),
        1 => place(),
    ];
    let words = vec("\\PC{0,30}", 0..4);
    let policies = vec(
        prop_oneof![
            4 => select(&["exec-children", "network-server", "netlink", "dhcp-server"][..])
                .prop_map(str::to_owned),
            1 => "\\PC{0,20}",
        ],
        0..4,
    );
    let sizes = prop_oneof![Just(1_u64 << 24), Just(0), Just(1), any::<u64>()];
    let strange = (
        roots,
        binds(root),
        number(),
        number(),
        sizes,
        words,
        policies,
    );
    let more = (ports(), ports(), place(), number(), any::<[bool; 9]>());
    (strange, more).prop_map(move |(strange, more)| {
        let (root, binds, uid, gid, size, words, policies) = strange;
        let (bind, connect, folder, files, change) = more;
        let mut plan = Plan {
            root,
            binds,
            ..good.clone()
        };
        // Each field is strange in a part of the plans, so that most get far.
        let few = |at: usize| change[at] && change[8];
        if few(0) {
            plan.uid = uid;
        }
        if few(1) {
            plan.gid = gid;
        }
        if few(2) {
            plan.tmp_size = Bytes(size);
        }
        if few(3) {
            plan.env = words
                .iter()
                .map(|word| (word.clone(), word.clone()))
                .collect();
            plan.exec.extend(words);
        }
        if change[4] {
            plan.seccomp.policies = policies;
        }
        if few(5) {
            plan.working_folder = folder;
        }
        if few(6) {
            plan.open_files_max = files;
        }
        if few(7) {
            plan.identity = Identity::Caller;
            plan.empty_network = false;
        }
        plan.tcp.bind = bind;
        plan.tcp.connect = connect;
        plan
    })
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

/// An image with links that lead round and out.
fn odd_image(programs: &Programs) -> tempfile::TempDir {
    let image = image(programs);
    std::os::unix::fs::symlink("/loop", image.path().join("loop")).unwrap();
    std::os::unix::fs::symlink("/../../etc", image.path().join("out")).unwrap();
    image
}

/// What may come of a start.
fn good_end(end: Result<support::Started, StartError>) -> Result<(), String> {
    match end {
        Ok(started) => match started.finish().1 {
            Ended::Code(_) => Ok(()),
            // A program with too few descriptors or policies may be stopped, not the launcher.
            Ended::Signal(signal) => Err(format!("ended by signal {signal}")),
        },
        Err(StartError::Step(StepFailure { step, .. })) if step as u8 >= Step::ReadPlan as u8 => {
            Ok(())
        }
        Err(StartError::Plan(PlanError::Field { field, .. })) if !field.is_empty() => Ok(()),
        Err(StartError::Plan(PlanError::TooLarge)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn runner() -> TestRunner {
    let mut config = ProptestConfig::with_cases(CASES);
    config.failure_persistence = None;
    TestRunner::new(config)
}

#[test]
fn a_plan_of_any_fields_runs_or_names_what_is_wrong() {
    for programs in both() {
        let image = odd_image(programs);
        let root = image.path().to_str().unwrap().to_owned();
        let strategy = plans(root.clone());
        let done = runner().run(&strategy, |plan| {
            let end = start_or_error(programs, &plan);
            prop_assert_eq!(good_end(end), Ok(()), "{} {:?}", programs.word, plan);
            prop_assert!(!mounts().contains(&root));
            Ok(())
        });
        done.unwrap();
    }
}

/// As `start`, but a plan that can not be encoded is an outcome, too.
fn start_or_error(programs: &Programs, plan: &Plan) -> Result<support::Started, StartError> {
    let bytes = plan.encode().map_err(StartError::Plan)?;
    start_bytes(programs, &bytes, None, None)
}

#[test]
fn a_plan_of_changed_bytes_runs_or_names_what_is_wrong() {
    for programs in both() {
        let image = odd_image(programs);
        let root = image.path().to_str().unwrap().to_owned();
        let good = plan(image.path(), &["exit", "0"]).encode().unwrap();
        let changes = vec((any::<Index>(), any::<u8>()), 1..4);
        let done = runner().run(&changes, |changes| {
            let mut bytes = good.clone();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            let end = start_bytes(programs, &bytes, None, None);
            prop_assert_eq!(good_end(end), Ok(()), "{} {:?}", programs.word, bytes);
            prop_assert!(!mounts().contains(&root));
            Ok(())
        });
        done.unwrap();
    }
}

#[test]
fn as_many_mounts_as_a_plan_may_have_work_and_more_are_named() {
    for programs in both() {
        // given the most binds there may be, and ten thousand
        let image = image(programs);
        let data = image.path().join("data");
        let with = |count: usize| {
            let mut plan = plan(image.path(), &["exit", "0"]);
            let target = |n| format!("/run/granted/{n}");
            let all = (0..count).map(|n| bind(&data, &target(n), BindAccess::ReadOnly));
            plan.binds = all.collect();
            plan
        };
        // then the first runs, and the second is refused before anything is made
        let most = start(programs, &with(PLAN_BINDS_MAX)).unwrap();
        assert_eq!(most.finish().1, Ended::Code(0), "{}", programs.word);
        match with(10_000).encode() {
            Err(PlanError::Field { field: "binds", .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_machine_may_have_thousands_of_mounts_itself() {
    for programs in both() {
        // given a folder with two thousand mounts below it, in a namespace of this thread
        hearth_sandbox::sys::process::new_mount_namespace().unwrap();
        hearth_sandbox::sys::mount::make_tree_private().unwrap();
        let image = image(programs);
        let folder = image.path().join("data");
        let folder = std::ffi::CString::new(folder.to_str().unwrap()).unwrap();
        for _ in 0..2000 {
            // SAFETY: all strings are NUL-terminated and live through the call.
            let done = unsafe {
                libc::mount(
                    folder.as_ptr(),
                    folder.as_ptr(),
                    std::ptr::null(),
                    libc::MS_BIND,
                    std::ptr::null(),
                )
            };
            assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
        }
        // then a sandbox of that image runs
        let plan = plan(image.path(), &["exit", "0"]);
        let started = start(programs, &plan).unwrap();
        assert_eq!(started.finish().1, Ended::Code(0), "{}", programs.word);
        // and one that lacks a place names it
        let mut missing = plan.clone();
        missing.working_folder = "/home".into();
        assert_eq!(failure(programs, &missing).step, Step::WorkingFolder);
    }
}
