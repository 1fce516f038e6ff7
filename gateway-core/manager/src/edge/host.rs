//! Facts of this machine: its memory, its cores, its firmware.

use super::paths::{Paths, could_not, read_text};
use crate::limits::{IO_SYSTEM, KERNEL_FILE_MAX, PIDS_DEFAULT, PIDS_SYSTEM, STORAGE_SYSTEM};
use crate::machine::admission::{Budget, Promise};
use hearth_model::gateway::{GatewayConfig, Wan};
use hearth_model::{BitsPerSec, Bytes, MilliCpu, PerMille};

/// What can be promised on this machine.
///
/// # Errors
/// A sentence, where the kernel does not tell how much memory there is.
pub fn budget(paths: &Paths, gateway: &GatewayConfig) -> Result<Budget, String> {
    let meminfo = paths.at("/proc/meminfo");
    let text = read_text(&meminfo, KERNEL_FILE_MAX).map_err(|e| could_not("read", &meminfo, &e))?;
    let memory_total = memory_total(&text)
        .ok_or_else(|| format!("{} has no line MemTotal in kB", meminfo.display()))?;
    // A kernel without hot-plug may not have the file: then there is one core.
    let cores = online(paths);
    let pid_max = read_text(&paths.at("/proc/sys/kernel/pid_max"), KERNEL_FILE_MAX);
    let pids = pid_max.ok().and_then(|text| text.trim().parse().ok());
    let mut budget = Budget {
        total: Promise {
            memory: memory_total,
            cpu: MilliCpu(cores.saturating_mul(1000)),
            io: PerMille(1000),
            // Known once it is clear where services' data is.
            storage: Bytes(0),
            pids: pids.unwrap_or(PIDS_DEFAULT),
            ..Promise::default()
        },
        system: Promise {
            memory: gateway.reserve.memory(),
            cpu: gateway.reserve.cpu(),
            io: PerMille(IO_SYSTEM),
            storage: Bytes(STORAGE_SYSTEM),
            pids: PIDS_SYSTEM,
            ..Promise::default()
        },
    };
    let (up, down) = line(paths, gateway);
    budget.line(up, down);
    Ok(budget)
}

/// What the line carries, up and down: what the household said, else what its port does, which is never
/// less; nothing where neither is known.
#[must_use]
pub fn line(paths: &Paths, gateway: &GatewayConfig) -> (BitsPerSec, BitsPerSec) {
    let Wan {
        interface,
        upload,
        download,
        ..
    } = &gateway.wan;
    let speed = paths.at("/sys/class/net").join(interface).join("speed");
    let port = || {
        // Mbit/s; an error, or -1, where there is no cable (ethtool(8)).
        let text = read_text(&speed, KERNEL_FILE_MAX).ok()?;
        let mbit: u64 = text.trim().parse().ok()?;
        Some(BitsPerSec::mbit(mbit).min(BitsPerSec::MAX))
    };
    let rate = |said: Option<BitsPerSec>| said.or_else(port).unwrap_or_default();
    (rate(*upload), rate(*download))
}

/// Version of the firmware, for people.
#[must_use]
pub fn firmware(paths: &Paths) -> String {
    let release = read_text(&paths.at("/etc/hearth/release"), KERNEL_FILE_MAX);
    let line = release
        .ok()
        .and_then(|text| text.lines().next().map(|line| line.trim().to_owned()));
    line.filter(|line| !line.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// `MemTotal` of proc_meminfo(5).
fn memory_total(meminfo: &str) -> Option<Bytes> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes(kib.checked_mul(1024)?))
}

/// Processors that are switched on.
#[must_use]
pub fn online(paths: &Paths) -> u32 {
    let list = paths.at("/sys/devices/system/cpu/online");
    read_text(&list, KERNEL_FILE_MAX).map_or(1, |text| cores(&text))
}

/// How many processors a list such as `0-1,4` names; at least 1, since we run on one.
fn cores(list: &str) -> u32 {
    let count = |part: &str| -> Option<u32> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.trim()
        .split(',')
        .filter_map(count)
        .fold(0_u32, u32::saturating_add)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_what_the_household_says_or_what_its_port_does() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path().into());
        let text = include_str!("../../../../board/common/gateway.toml");
        let mut gateway = GatewayConfig::parse("g", text).unwrap();
        let port = root
            .path()
            .join("sys/class/net")
            .join(&gateway.wan.interface);
        std::fs::create_dir_all(&port).unwrap();
        let said = |text: &str| std::fs::write(port.join("speed"), text).unwrap();
        // given neither, a port without a cable, and one that tells
        let none = (BitsPerSec(0), BitsPerSec(0));
        assert_eq!(line(&paths, &gateway), none);
        said("-1\n");
        assert_eq!(line(&paths, &gateway), none);
        said("1000\n");
        let full = BitsPerSec::mbit(1000);
        assert_eq!(line(&paths, &gateway), (full, full));
        // when the household says it for one way, then that counts
        gateway.wan.upload = Some(BitsPerSec::mbit(5));
        assert_eq!(line(&paths, &gateway), (BitsPerSec::mbit(5), full));
    }

    #[test]
    fn memory_and_cores_are_read_as_the_kernel_writes_them() {
        let meminfo = "MemTotal:        2060268 kB\nMemFree:         1890000 kB\n";
        assert_eq!(memory_total(meminfo), Some(Bytes(2_060_268 * 1024)));
        assert_eq!(memory_total("MemFree: 1 kB\n"), None);
        for (list, count) in [
            ("0\n", 1),
            ("0-3\n", 4),
            ("0-1,4,6-7", 5),
            ("", 1),
            ("9-2", 1),
        ] {
            assert_eq!(cores(list), count, "{list}");
        }
    }
}
