//! A service that takes all it can get of what the kernel counts, one that keeps it, and one that needs a
//! little of each.

use crate::outcome::{Arg, Attempt, Outcome, address, apart, call, number, place, tried, wait};
use std::fs::{self, File, OpenOptions};
use std::io::{PipeReader, Read, Write, pipe};

/// Takes until the kernel says no; in the order of the table of expected outcomes. Each ends at `ENOUGH`.
pub const ALL: &[Attempt] = &[
    apart("open_files", || {
        until_refused(|_| null().map(std::mem::forget))
    }),
    apart("bytes_tmp", || bytes("/tmp/hostile-bytes")),
    apart("bytes_run", || bytes("/run/hostile-bytes")),
    apart("bytes_shm", || bytes("/dev/shm/hostile-bytes")),
    apart("files_tmp", || files("/tmp")),
    apart("files_run", || files("/run")),
    apart("files_shm", || files("/dev/shm")),
    apart("files_dev", || files("/dev")),
    apart("watchers", || until_refused(|_| inotify())),
    apart("queues", || {
        let outcome = until_refused(queue);
        (0..ENOUGH).for_each(remove_queue);
        outcome
    }),
    apart("signals", || {
        block_signal();
        until_refused(|_| signal())
    }),
    apart("timers", || until_refused(|_| timer())),
    apart("locked_memory", locked_memory),
    apart("processes", || children(600)),
];

/// Takes a little; in the order of the table of expected outcomes.
pub const LITTLE: &[Attempt] = &[
    apart("some_open_files", || {
        times(20, |_| null().map(std::mem::forget))
    }),
    apart("some_bytes", || {
        let path = "/tmp/hostile-some";
        let written = fs::write(path, vec![1; 1 << 20]);
        let _ = fs::remove_file(path);
        written.into()
    }),
    apart("some_watchers", || times(8, |_| inotify())),
    apart("some_watches", some_watches),
    apart("some_signals", || {
        block_signal();
        times(16, |_| signal())
    }),
    apart("some_timers", || times(16, |_| timer())),
    apart("some_processes", || children(2)),
];

/// Far above every limit of the sandbox.
const ENOUGH: u32 = 100_000;

/// Takes all of what is counted for a user, in several processes, keeps it, and prints how much.
pub fn hold() {
    let helpers: Vec<PipeReader> = (0..HELPERS).filter_map(|_| hold_watchers()).collect();
    for mut helper in helpers {
        let mut taken = [0; 4];
        let _ = helper.read_exact(&mut taken);
        println!("HELD watchers {}", u32::from_le_bytes(taken));
    }
    println!("HELD queues {}", count(queue));
    println!("HELD timers {}", count(|_| timer()));
    block_signal();
    println!("HELD signals {}", count(|_| signal()));
    println!("HELD all");
}

/// A child that holds all inotify instances that it gets, and tells how many by a pipe.
fn hold_watchers() -> Option<PipeReader> {
    let (reader, mut writer) = pipe().ok()?;
    let Ok(0) = call(libc::SYS_fork, &[]) else {
        return Some(reader);
    };
    let taken = count(|_| inotify());
    let _ = writer.write_all(&taken.to_le_bytes());
    crate::sleep()
}

/// Processes that hold open files for `hold`: one has too few descriptors for all of a user's watchers.
const HELPERS: u32 = 4;

/// What was taken until the kernel refused.
fn count(mut take: impl FnMut(u32) -> Result<(), i32>) -> u32 {
    (0..ENOUGH).take_while(|&at| take(at).is_ok()).count() as u32
}

fn until_refused(mut take: impl FnMut(u32) -> Result<(), i32>) -> Outcome {
    let refused = (0..ENOUGH).find_map(|at| take(at).err());
    refused.map_or(Outcome::Ok, Outcome::Errno)
}

fn times(wanted: u32, mut take: impl FnMut(u32) -> Result<(), i32>) -> Outcome {
    let refused = (0..wanted).find_map(|at| take(at).err());
    refused.map_or(Outcome::Ok, Outcome::Errno)
}

fn errno(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(-1)
}

fn null() -> Result<File, i32> {
    File::open("/dev/null").map_err(|error| errno(&error))
}

/// 64 MiB in one file.
fn bytes(path: &str) -> Outcome {
    let chunk = vec![1; 1 << 20];
    let written =
        File::create(path).and_then(|mut file| (0..64).try_for_each(|_| file.write_all(&chunk)));
    let _ = fs::remove_file(path);
    written.into()
}

/// Empty files in a folder of its own.
fn files(folder: &str) -> Outcome {
    let own = format!("{folder}/hostile-files");
    if let Err(error) = fs::create_dir(&own) {
        return error.into();
    }
    let make = |at: u32| {
        let new = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(format!("{own}/{at}"));
        new.map(drop).map_err(|error| errno(&error))
    };
    let outcome = until_refused(make);
    let _ = fs::remove_dir_all(&own);
    outcome
}

fn inotify() -> Result<(), i32> {
    call(libc::SYS_inotify_init1, &[0]).map(|_| ())
}

fn some_watches() -> Outcome {
    let watcher = match call(libc::SYS_inotify_init1, &[0]) {
        Ok(watcher) => watcher as Arg,
        Err(errno) => return Outcome::Errno(errno),
    };
    let paths = [c"/", c"/tmp", c"/run", c"/dev", c"/dev/shm", c"/dev/null"];
    let watch = |path: &&std::ffi::CStr| {
        let change = 2; // IN_MODIFY
        call(
            libc::SYS_inotify_add_watch,
            &[watcher, address(*path), change],
        )
        .err()
    };
    let refused = paths.iter().find_map(watch);
    refused.map_or(Outcome::Ok, Outcome::Errno)
}

/// A message queue with the default attributes, made as a file (mq_overview(7)).
fn queue(at: u32) -> Result<(), i32> {
    let made = File::create(queue_name(at));
    made.map(drop).map_err(|error| errno(&error))
}

fn remove_queue(at: u32) {
    let _ = fs::remove_file(queue_name(at));
}

fn queue_name(at: u32) -> String {
    format!("/dev/mqueue/hostile-{at}")
}

/// The first real-time signal of the kernel.
const SIGNAL: libc::c_int = 34;

fn block_signal() {
    let (block, set) = (0, [1_u64 << (SIGNAL - 1)]); // SIG_BLOCK
    let _ = call(libc::SYS_rt_sigprocmask, &[block, address(&set), 0, 8]);
}

/// One more that waits for this process, which blocks it.
fn signal() -> Result<(), i32> {
    // `siginfo_t`, 128 bytes: signal, errno, code SI_QUEUE (sigaction(2)).
    let mut info = [0_i32; 32];
    let [signal, _, code, ..] = &mut info;
    (*signal, *code) = (SIGNAL, -1);
    let own = std::process::id() as Arg;
    call(
        libc::SYS_rt_sigqueueinfo,
        &[own, number(SIGNAL), address(&info)],
    )
    .map(|_| ())
}

fn timer() -> Result<(), i32> {
    let (monotonic, mut timer) = (1, [0_u64; 1]);
    call(libc::SYS_timer_create, &[monotonic, 0, place(&mut timer)]).map(|_| ())
}

/// 64 MiB that may not be swapped out.
fn locked_memory() -> Outcome {
    let size = 64 << 20;
    let memory = vec![0_u8; size];
    tried(libc::SYS_mlock, &[memory.as_ptr() as Arg, size as Arg])
}

/// Children that sleep, until one is refused; all end before this does.
fn children(wanted: u32) -> Outcome {
    let mut made = Vec::new();
    let mut refused = None;
    while refused.is_none() && made.len() < wanted as usize {
        match call(libc::SYS_fork, &[]) {
            Ok(0) => crate::sleep(),
            Ok(child) => made.push(child),
            Err(errno) => refused = Some(errno),
        }
    }
    for child in made {
        let _ = call(libc::SYS_kill, &[child as Arg, number(libc::SIGKILL)]);
        wait(child);
    }
    refused.map_or(Outcome::Ok, Outcome::Errno)
}
