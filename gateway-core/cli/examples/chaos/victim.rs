//! A service that is there to be killed.

use super::sys;
use std::process::{Child, Command, exit};
use std::time::Duration;

const MIB: usize = 1024 * 1024;

fn child(words: &[&str]) -> Option<Child> {
    Command::new("/proc/self/exe").args(words).spawn().ok()
}

/// The service itself (`children` of 0: a child, which has one of its own).
pub fn run(children: u64) -> ! {
    if children == 0 {
        let _grandchild = child(&["victim", "sleep"]);
        sleep();
    }
    let _children: Vec<Option<Child>> = (0..children).map(|_| child(&["victim", "0"])).collect();
    println!("victim: here");
    if sys::wait_for(&[libc::SIGUSR1, libc::SIGTERM]) == libc::SIGTERM {
        exit(0);
    }
    let mut held = Vec::new();
    loop {
        held.push(vec![7_u8; MIB]);
    }
}

/// For ever.
pub fn sleep() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
