//! /proc: what it tells of the machine, and what it would change.

use crate::outcome::{Attempt, Outcome, apart};
use crate::seen::{bytes_in, listed};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

/// In the order of the table of expected outcomes.
pub const ATTEMPTS: &[Attempt] = &[
    // What tells of the machine.
    apart("kernel_memory", || bytes_in("/proc/kcore")),
    apart("kernel_messages", kernel_messages),
    apart("interrupts", || bytes_in("/proc/interrupts")),
    apart("soft_interrupts", || bytes_in("/proc/softirqs")),
    apart("keys", || bytes_in("/proc/keys")),
    apart("key_users", || bytes_in("/proc/key-users")),
    apart("timer_list", || bytes_in("/proc/timer_list")),
    apart("scheduler_debug", || bytes_in("/proc/sched_debug")),
    apart("latency_stats", || bytes_in("/proc/latency_stats")),
    apart("kernel_stacks", || bytes_in("/proc/self/stack")),
    apart("kernel_caches", || bytes_in("/proc/slabinfo")),
    apart("kernel_mappings", || bytes_in("/proc/vmallocinfo")),
    apart("kernel_pages", || bytes_in("/proc/kpageflags")),
    apart("page_kinds", || bytes_in("/proc/pagetypeinfo")),
    apart("kernel_addresses", kernel_addresses),
    apart("physical_addresses", physical_addresses),
    apart("folder_acpi", || listed("/proc/acpi")),
    apart("folder_asound", || listed("/proc/asound")),
    apart("folder_scsi", || listed("/proc/scsi")),
    // What changes the machine.
    apart("sysrq_trigger", sysrq_trigger),
    apart("write_sysctl", || {
        fs::write("/proc/sys/vm/overcommit_ratio", "50").into()
    }),
    apart("write_core_pattern", || sysctl("kernel/core_pattern")),
    apart("write_power_off_command", || sysctl("kernel/poweroff_cmd")),
    apart("write_panic", || sysctl("kernel/panic")),
    apart("write_randomisation", || {
        sysctl("kernel/randomize_va_space")
    }),
    apart("write_process_numbers", || sysctl("kernel/pid_max")),
    apart("write_forwarding", || sysctl("net/ipv4/ip_forward")),
    apart("write_namespaces_max", || {
        sysctl("user/max_user_namespaces")
    }),
    apart("write_drop_caches", || sysctl("vm/drop_caches")),
    apart("write_host_name", || sysctl("kernel/hostname")),
    apart("write_irq_affinity", || {
        truncate("/proc/irq/default_smp_affinity")
    }),
    apart("write_memory_types", || truncate("/proc/mtrr")),
    // What changes the process.
    apart("write_uid_map", || write_to("/proc/self/uid_map", "0 0 1")),
    apart("write_gid_map", || write_to("/proc/self/gid_map", "0 0 1")),
    apart("write_setgroups", || {
        write_to("/proc/self/setgroups", "allow")
    }),
    apart("write_login_id", || write_to("/proc/self/loginuid", "0")),
    apart("write_time_offsets", || {
        write_to("/proc/self/timens_offsets", "monotonic 1000 0")
    }),
    apart("lower_oom_score", || {
        write_to("/proc/self/oom_score_adj", "-1000")
    }),
    apart("memory_of_first_process", memory_of_first_process),
];

/// Kernel messages as syslogd reads them; what blocks would be empty.
fn kernel_messages() -> Outcome {
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(libc::O_NONBLOCK);
    let mut buffer = [0; 64];
    match options
        .open("/proc/kmsg")
        .and_then(|mut file| file.read(&mut buffer))
    {
        Ok(0) => Outcome::value("nothing"),
        Ok(_) => Outcome::value("messages"),
        Err(error) => error.into(),
    }
}

/// Where the kernel's code lies, which address randomisation hides.
fn kernel_addresses() -> Outcome {
    match fs::read_to_string("/proc/kallsyms") {
        Ok(text) => {
            let shown = text.lines().any(|line| !line.starts_with("00000000"));
            Outcome::value(if shown { "shown" } else { "hidden" })
        }
        Err(error) => error.into(),
    }
}

/// Where a page of its own lies in the machine's memory, for attacks by its neighbours.
fn physical_addresses() -> Outcome {
    const PAGE: u64 = 4096;
    let own = [1_u8; 1];
    let at = own.as_ptr() as usize as u64 / PAGE * 8;
    let mut entry = [0_u8; 8];
    match File::open("/proc/self/pagemap").and_then(|file| file.read_exact_at(&mut entry, at)) {
        Ok(()) => {
            let frame = u64::from_le_bytes(entry) & ((1 << 55) - 1); // proc_pid_pagemap(5)
            Outcome::value(if frame == 0 { "hidden" } else { "shown" })
        }
        Err(error) => error.into(),
    }
}

/// Whether what would restart the machine can be written, and is the real thing. Writes nothing.
fn sysrq_trigger() -> Outcome {
    let path = "/proc/sysrq-trigger";
    match OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| file.metadata())
    {
        Ok(data) if data.rdev() != 0 => Outcome::value("covered"),
        Ok(_) => Outcome::value("real"),
        Err(error) => error.into(),
    }
}

/// Opens a setting as `fs::write` does, and writes nothing.
fn sysctl(name: &str) -> Outcome {
    truncate(&format!("/proc/sys/{name}"))
}

fn truncate(path: &str) -> Outcome {
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .into()
}

fn write_to(path: &str, text: &str) -> Outcome {
    let file = OpenOptions::new().write(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .into()
}

/// Whether the memory of process 1 is that of one's own program.
fn memory_of_first_process() -> Outcome {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/proc/1/mem");
    match (
        opened,
        fs::read_link("/proc/1/exe"),
        fs::read_link("/proc/self/exe"),
    ) {
        (Ok(_), Ok(first), Ok(own)) if first == own => Outcome::value("own"),
        (Ok(_), ..) => Outcome::value("foreign"),
        (Err(error), ..) => error.into(),
    }
}
