//! Facts of this machine: its memory, its cores, its firmware.

use super::paths::{Paths, could_not, read_text};
use crate::limits::{IO_SYSTEM, KERNEL_FILE_MAX, PIDS_DEFAULT, PIDS_SYSTEM, STORAGE_SYSTEM};
use crate::machine::admission::{Budget, Promise};
use hearth_model::gateway::GatewayConfig;
use hearth_model::{Bytes, MilliCpu, PerMille};

/// What can be promised on this machine.
///
/// # Errors
/// A sentence, where the kernel does not tell how much memory there is.
pub fn budget(paths: &Paths, gateway: &GatewayConfig) -> Result<Budget, String> {
    let meminfo = paths.at("/proc/meminfo");
    let text = read_text(&meminfo, KERNEL_FILE_MAX).map_err(|e| could_not("read", &meminfo, &e))?;
    let memory_total = memory_total(&text)
        .ok_or_else(|| format!("{} has no line MemTotal in kB", meminfo.display()))?;
    let online = paths.at("/sys/devices/system/cpu/online");
    // A kernel without hot-plug may not have the file: then there is one core.
    let cores = read_text(&online, KERNEL_FILE_MAX).map_or(1, |text| cores(&text));
    let pid_max = read_text(&paths.at("/proc/sys/kernel/pid_max"), KERNEL_FILE_MAX);
    let pids = pid_max.ok().and_then(|text| text.trim().parse().ok());
    Ok(Budget {
        total: Promise {
            memory: memory_total,
            cpu: MilliCpu(cores.saturating_mul(1000)),
            io: PerMille(1000),
            // Known once it is clear where services' data is.
            storage: Bytes(0),
            pids: pids.unwrap_or(PIDS_DEFAULT),
        },
        system: Promise {
            memory: gateway.reserve.memory(),
            cpu: gateway.reserve.cpu(),
            io: PerMille(IO_SYSTEM),
            storage: Bytes(STORAGE_SYSTEM),
            pids: PIDS_SYSTEM,
        },
    })
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
