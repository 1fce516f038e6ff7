//! One thousand starts in a row leave nothing behind: no mount, loop device, descriptor, process, folder,
//! control group or namespace, and no memory of the kernel's.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_sandbox::outside::{FIRST_ID, image as images};
use hearth_sandbox::sys::mount::make_tree_private;
use hearth_sandbox::sys::process::{Ended, new_mount_namespace};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use support::{Programs, both, image, open_folder, plan, start};
use tempfile::TempDir;

/// Starts of each test.
const STARTS: usize = 1000;

/// Starts before the first look: what is kept for the next time is there then.
const FIRST_STARTS: usize = 8;

/// What other programs of this machine may take or give back of something meanwhile. A start that leaves one
/// behind leaves three times as many.
const NOISE: i64 = 300;

/// The kernel frees namespaces and mounts a while later, in its own time.
const PATIENCE: Duration = Duration::from_secs(30);

/// User of the programs, which nobody else on this machine has: what runs as it is ours.
const USER: u32 = 31_337;

/// Descriptors are counted for the whole process, so one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The image as packages have it, in a file, for each word size; and the folder of all of them.
fn images() -> (TempDir, [std::path::PathBuf; 2]) {
    let folder = open_folder();
    let files = both().each_ref().map(|programs| {
        let file = folder.path().join(format!("{}.squashfs", programs.word));
        let done = Command::new("mksquashfs")
            .args([image(programs).path(), &file])
            .args(["-quiet", "-no-progress", "-noI", "-noD", "-noF"])
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        file
    });
    (folder, files)
}

/// What is ours alone, so that it can be compared to the last one.
#[derive(Debug, PartialEq, Eq)]
struct Ours {
    mounts: Vec<String>,
    descriptors: Vec<String>,
    loop_devices: usize,
    processes: usize,
    folders: usize,
    groups: Vec<String>,
}

fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn ours(images: &Path) -> Ours {
    let images = images.to_str().unwrap();
    let shows_ours = |device: &String| {
        let file = fs::read_to_string(format!("/sys/block/{device}/loop/backing_file"));
        file.is_ok_and(|file| file.contains(images))
    };
    let is_ours = |process: &String| {
        let owner = fs::metadata(format!("/proc/{process}")).map(|data| data.uid());
        owner.is_ok_and(|owner| owner == FIRST_ID + USER)
    };
    let mut groups = names("/sys/fs/cgroup/unified");
    groups.extend(names("/sys/fs/cgroup"));
    groups.retain(|name| name.starts_with(&group_prefix()));
    Ours {
        mounts: mount_points(),
        descriptors: names("/proc/self/fd"),
        loop_devices: names("/sys/block")
            .iter()
            .filter(|name| shows_ours(name))
            .count(),
        processes: names("/proc").iter().filter(|name| is_ours(name)).count(),
        folders: names(images).len(),
        groups,
    }
}

/// What is mounted in the namespace of this thread, without the numbers that a new namespace gives anew, and
/// without others' network namespaces: whoever removes such a file takes it from every mount namespace.
fn mount_points() -> Vec<String> {
    let text = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let point = |line: &str| line.split(' ').nth(4).unwrap().to_owned();
    let points = text.lines().map(point);
    points
        .filter(|point| !point.starts_with("/run/netns/"))
        .collect()
}

/// Groups that `run` makes are called after its process; none may stay, whosever.
fn group_prefix() -> String {
    format!("hearth-sandbox-{}", std::process::id())
}

/// Objects of a kind that the whole machine has.
fn machine() -> BTreeMap<String, i64> {
    let number = |text: &str| text.parse::<i64>().unwrap();
    let files = fs::read_to_string("/proc/sys/fs/file-nr").unwrap();
    let mut count = BTreeMap::from([(
        "open files".to_owned(),
        number(files.split_whitespace().next().unwrap()),
    )]);
    let caches = fs::read_to_string("/proc/slabinfo").unwrap();
    for line in caches.lines() {
        let mut words = line.split_whitespace();
        let (name, objects) = (words.next().unwrap(), words.next().unwrap());
        if CACHES.contains(&name) {
            count.insert(format!("objects of {name}"), number(objects));
        }
    }
    count.insert("namespaces".into(), namespaces());
    count
}

/// Caches of which each start takes one object at least. Where the kernel merges two of one size it has one
/// of the names.
const CACHES: [&str; 8] = [
    "net_namespace",
    "user_namespace",
    "uts_namespace",
    "pid_namespace",
    "nsproxy",
    "mnt_cache",
    "task_struct",
    "shmem_inode_cache",
];

/// Namespaces that any process is in.
fn namespaces() -> i64 {
    let mut found = Vec::new();
    for process in names("/proc") {
        for kind in names(format!("/proc/{process}/ns")) {
            found.extend(fs::read_link(format!("/proc/{process}/ns/{kind}")));
        }
    }
    found.sort();
    found.dedup();
    i64::try_from(found.len()).unwrap()
}

/// Runs `start` a thousand times, and compares what there is before and after.
fn nothing_is_left(images: &Path, mut start: impl FnMut(usize)) {
    (0..FIRST_STARTS).for_each(&mut start);
    let (before, machine_before) = (settled(images), machine());
    (0..STARTS).for_each(&mut start);
    assert_eq!(settled(images), before);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let after = machine();
        let grown = after.iter().filter(|(what, count)| {
            let before = machine_before.get(*what).copied().unwrap_or(0);
            **count - before > NOISE
        });
        let grown: Vec<_> = grown.collect();
        if grown.is_empty() {
            return;
        }
        let late = Instant::now() > deadline;
        assert!(
            !late,
            "{grown:?} after {STARTS} starts, before {machine_before:?}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What is ours, as soon as the kernel has freed the last loop device.
fn settled(images: &Path) -> Ours {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = ours(images);
        let gone = found.loop_devices == 0 && found.processes == 0;
        if gone || Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_thousand_commands_leave_nothing_behind() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    new_mount_namespace().unwrap();
    make_tree_private().unwrap();
    // given an image in a file, and a folder for what the command makes meanwhile
    let (folder, files) = images();
    let user = USER.to_string();
    let once = |at: usize| {
        let programs: &Programs = &both()[at % 2];
        let done = Command::new(&programs.launcher)
            .args(["run", "--without-limits", "--uid", &user, "--root"])
            .arg(&files[at % 2])
            .args(["--", "/hostile", "exit", "7"])
            .env("TMPDIR", folder.path())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(done.code(), Some(7), "{} {at}", programs.word);
    };
    // when it is run a thousand times, then nothing is left
    nothing_is_left(folder.path(), once);
}

#[test]
fn a_thousand_services_leave_nothing_behind() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    new_mount_namespace().unwrap();
    make_tree_private().unwrap();
    // given an image in a file, and a program that starts it as PID 1 does
    let (folder, files) = images();
    let once = |at: usize| {
        let programs: &Programs = &both()[at % 2];
        let mounted = images::mount_image(&files[at % 2]).unwrap();
        let mut plan = plan(mounted.folder(), &["exit", "7"]);
        (plan.uid, plan.gid) = (USER, USER);
        let started = start(programs, &plan).unwrap();
        assert_eq!(started.finish(), (String::new(), Ended::Code(7)));
    };
    // when it is started a thousand times, then nothing is left
    nothing_is_left(folder.path(), once);
    // and the way it is looked for can find something
    let file = fs::File::open(&files[0]).unwrap();
    let number = file.as_raw_fd().to_string();
    assert!(ours(folder.path()).descriptors.contains(&number));
}
