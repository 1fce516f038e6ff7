//! `hearth-stage1`, the initramfs: finds the disk, boots the slot that the kernel command line asks
//! for, falls back to the other, and, where neither boots, leaves a technician a shell.
//!
//! It is PID 1 and never ends: what can not be done is said on the console.
#![deny(unsafe_code)]

mod edge;
mod limits;
mod machine;
mod sys;

fn main() {
    let reason = edge::boot();
    println!("hearth-stage1: {reason}");
    let reason = edge::recover();
    println!("hearth-stage1: no recovery shell: {reason}; pull the plug");
    loop {
        std::thread::park();
    }
}
