//! Limits of a group of processes as files of cgroup v2 (kernel document cgroup-v2): what is written,
//! what the kernel keeps of it, and where a manifest names it. Pure; who writes them is
//! `hearth-manager` for a service and `hearth-sandbox run` for a command.
//!
//! Every file is written at every start, also where there is no limit: a group that an earlier start
//! left keeps nothing of it.

use crate::gateway::Reserve;
use crate::units::{Bytes, BytesPerSec, MilliCpu, PerMille};
use core::fmt;

/// Page size of i386 and x86_64, bytes: the kernel rounds amounts of memory down to whole pages.
pub const PAGE: u64 = 4096;

/// Period of `cpu.max`, microseconds: the kernel's own default.
pub const CPU_PERIOD_USEC: u64 = 100_000;

/// Largest `cpu.weight` (1 to 10000); the smallest is 1.
pub const CPU_WEIGHT_MAX: u32 = 10_000;

/// Largest `io.bfq.weight` (1 to 1000); `io.weight` goes further, and gets the same.
pub const IO_WEIGHT_MAX: u32 = 1000;

/// Processor cores by number, 0 to 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores(pub u64);

impl fmt::Display for Cores {
    /// As the kernel writes a list: `0-1,4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |core: u32| core < u64::BITS && self.0 >> core & 1 == 1;
        let mut comma = "";
        for first in (0..u64::BITS).filter(|&core| has(core) && (core == 0 || !has(core - 1))) {
            let length = (first..).take_while(|&core| has(core)).count();
            match length {
                1 => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{}", first as usize + length - 1)?,
            }
            comma = ",";
        }
        Ok(())
    }
}

/// A disk by its numbers, as `io.max` names it. A partition has no limits of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// What a group may use, and what is guaranteed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory that is never taken away.
    pub memory_reserve: Bytes,
    /// Memory it may use; more ends it, all its processes at once.
    pub memory_max: Bytes,
    /// Share of a core where everyone wants everything.
    pub cpu_reserve: MilliCpu,
    /// Processor time it may use; `None`: all there is.
    pub cpu_max: Option<MilliCpu>,
    /// Cores it may run on; `None`: every one.
    pub cores: Option<Cores>,
    /// Share of the disk's time where everyone wants everything.
    pub io_reserve: PerMille,
    /// Bytes a second, read and written each; `None`: all there is.
    pub io_max: Option<BytesPerSec>,
    /// Processes and threads it may have.
    pub pids_max: u32,
}

/// What a group gets where others want the same: by its reserves alone, or by its rank as well. No rank
/// weakens a reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Its part of processor time, 1 to [`CPU_WEIGHT_MAX`].
    pub cpu: u32,
    /// Its part of the disk's time, 1 to [`IO_WEIGHT_MAX`].
    pub io: u32,
    /// Memory that is taken away last.
    pub memory_low: Bytes,
}

impl Weights {
    /// The files that change these, in the order in which they are written. A kernel without a file has
    /// nothing to weigh, or said so when the group was made.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        const KEY: &str = "its rank";
        let low = self.memory_low.0 / PAGE * PAGE;
        let mut list = vec![
            Setting::new("cpu.weight", self.cpu.clamp(1, CPU_WEIGHT_MAX), KEY).if_there(),
            Setting::new("memory.low", low, KEY).if_there(),
        ];
        list.extend(self.disk(KEY));
        list
    }

    /// The scheduler BFQ is what shares a disk out; `io.weight` alone belongs to a cost model.
    fn disk(&self, key: &'static str) -> [Setting; 2] {
        let weight = self.io.clamp(1, IO_WEIGHT_MAX);
        ["io.bfq.weight", "io.weight"].map(|file| {
            Setting::new(file, weight, key)
                .shown(Shown::Default)
                .if_there()
        })
    }
}

/// What a setting needs of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The file must be there.
    Always,
    /// Without the file there is nothing to limit (no swap accounting, no huge pages, one core), or
    /// nothing was asked for.
    IfThere,
}

/// How the kernel shows what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// As it was written.
    Same,
    /// As the first line, after `default `; lines for single disks may follow.
    Default,
    /// As one line among those of other disks; a disk without any limit has none.
    Line,
}

/// One file of a group and what is written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// File name.
    pub file: String,
    /// What is written.
    pub value: String,
    /// Controller that has the file.
    pub controller: &'static str,
    /// Key of a manifest that asks for it.
    pub key: &'static str,
    /// What it needs of the kernel.
    pub need: Need,
    shown: Shown,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.file, self.value)
    }
}

impl Setting {
    fn new(file: &str, value: impl fmt::Display, key: &'static str) -> Setting {
        const CONTROLLERS: [&str; 6] = ["memory", "cpuset", "cpu", "io", "pids", "hugetlb"];
        let has = |controller: &&&str| {
            let rest = file.strip_prefix(**controller);
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        Setting {
            controller: CONTROLLERS.iter().find(has).copied().unwrap_or_default(),
            file: file.to_owned(),
            value: value.to_string(),
            key,
            need: Need::Always,
            shown: Shown::Same,
        }
    }

    fn if_there(self) -> Setting {
        let need = Need::IfThere;
        Setting { need, ..self }
    }

    fn shown(self, shown: Shown) -> Setting {
        Setting { shown, ..self }
    }

    /// Whether the file, as read back, says that the kernel keeps what was written.
    #[must_use]
    pub fn is_kept(&self, read: &str) -> bool {
        match self.shown {
            Shown::Same => read.trim_end() == self.value,
            Shown::Default => {
                let first = read.lines().next().unwrap_or_default();
                first.strip_prefix("default ") == Some(&self.value)
            }
            Shown::Line => {
                let disk = self.value.split(' ').next();
                let line = read.lines().find(|line| line.split(' ').next() == disk);
                // Each `key=value` of the line; a disk without a line has no limit.
                line.map_or(
                    self.value
                        .split(' ')
                        .skip(1)
                        .all(|word| word.ends_with("=max")),
                    |line| line.trim_end() == self.value,
                )
            }
        }
    }
}

impl Limits {
    /// Limits of memory and processes, nothing guaranteed, the rest without limits.
    #[must_use]
    pub fn only(memory_max: Bytes, pids_max: u32) -> Limits {
        Limits {
            memory_reserve: Bytes(0),
            memory_max,
            cpu_reserve: MilliCpu(0),
            cpu_max: None,
            cores: None,
            io_reserve: PerMille(0),
            io_max: None,
            pids_max,
        }
    }

    /// The files that make these limits, in the order in which they are written. `disk` is where the
    /// data is; without one (data in memory) there is no input and output to limit.
    #[must_use]
    pub fn settings(&self, disk: Option<Disk>) -> Vec<Setting> {
        let mut list = self.memory();
        list.extend(self.cpu());
        list.extend(disk.map(|disk| self.io(disk)).into_iter().flatten());
        list.push(Setting::new(
            "pids.max",
            self.pids_max,
            "resources.pids.max",
        ));
        list
    }

    fn memory(&self) -> Vec<Setting> {
        let (reserve, max) = ("resources.memory.reserve", "resources.memory.max");
        let pages = |bytes: Bytes| bytes.0 / PAGE * PAGE;
        let guaranteed = pages(self.memory_reserve);
        vec![
            Setting::new("memory.max", pages(self.memory_max), max),
            // Nobody is slowed down below the limit: without swap that would only delay the end.
            Setting::new("memory.high", "max", max),
            Setting::new("memory.swap.max", 0, max).if_there(),
            Setting::new("memory.oom.group", 1, max),
            Setting::new("memory.min", guaranteed, reserve),
            // No more than is promised; who ranks services raises it.
            Setting::new("memory.low", guaranteed, reserve),
        ]
    }

    fn cpu(&self) -> Vec<Setting> {
        // One unit of weight for each thousandth: where everyone wants everything, each gets in
        // proportion to what it reserved, and who reserved nothing the least there is.
        let weight = self.cpu_reserve.0.clamp(1, CPU_WEIGHT_MAX);
        let quota = self.cpu_max.map_or_else(
            || "max".to_owned(),
            |max| (u64::from(max.0) * CPU_PERIOD_USEC / 1000).to_string(),
        );
        let bandwidth = format!("{quota} {CPU_PERIOD_USEC}");
        // An empty list is every core of the group above.
        let cores = self.cores.map(|cores| cores.to_string());
        let cpuset = Setting::new(
            "cpuset.cpus",
            cores.clone().unwrap_or_default(),
            "resources.cpu.cores",
        );
        vec![
            Setting::new("cpu.weight", weight, "resources.cpu.reserve"),
            Setting::new("cpu.max", bandwidth, "resources.cpu.max"),
            match cores {
                Some(_) => cpuset,
                None => cpuset.if_there(),
            },
        ]
    }

    fn io(&self, disk: Disk) -> Vec<Setting> {
        let weights = Weights {
            cpu: 1,
            io: self.io_reserve.0,
            memory_low: Bytes(0),
        };
        let [bfq, cost_model] = weights.disk("resources.io.reserve");
        let Disk { major, minor } = disk;
        let rate = |max: BytesPerSec| max.0.to_string();
        let rate = self.io_max.map_or_else(|| "max".to_owned(), rate);
        let line = format!("{major}:{minor} rbps={rate} wbps={rate} riops=max wiops=max");
        let ceiling = Setting::new("io.max", line, "resources.io.max").shown(Shown::Line);
        vec![
            match self.io_reserve {
                PerMille(0) => bfq,
                PerMille(_) => Setting {
                    need: Need::Always,
                    ..bfq
                },
            },
            cost_model,
            match self.io_max {
                Some(_) => ceiling,
                None => ceiling.if_there(),
            },
        ]
    }
}

/// `cpu.weight` of the three groups that share the machine's processor time: one unit a thousandth of a
/// core, as in the services' own groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Packets of the home, and `hearth-netpath`.
    pub forwarding: u16,
    /// The manager and the console.
    pub system: u16,
    /// All services together.
    pub services: u16,
}

impl Shares {
    /// The weights on a machine with this much processor time.
    #[must_use]
    pub fn of(reserve: &Reserve, machine: MilliCpu) -> Shares {
        // CPU_WEIGHT_MAX fits.
        let weight = |milli: u32| u16::try_from(milli.clamp(1, CPU_WEIGHT_MAX)).unwrap_or(u16::MAX);
        let (kept, forwarding) = (reserve.cpu().0, reserve.forwarding().0);
        Shares {
            forwarding: weight(forwarding),
            system: weight(kept.saturating_sub(forwarding)),
            services: weight(machine.0.saturating_sub(kept)),
        }
    }
}

/// No huge pages: they are a pool of the whole machine that no manifest has a word for. `files` are
/// the names in the group's folder.
pub fn no_huge_pages<'f>(files: impl Iterator<Item = &'f str>) -> impl Iterator<Item = Setting> {
    let is_limit = |file: &&str| file.starts_with("hugetlb.") && file.ends_with(".max");
    files
        .filter(is_limit)
        .map(|file| Setting::new(file, 0, "resources.memory.max"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: Limits = Limits {
        memory_reserve: Bytes(5000),
        memory_max: Bytes(10_000_000),
        cpu_reserve: MilliCpu(50),
        cpu_max: Some(MilliCpu(250)),
        cores: Some(Cores(0b1_0011)),
        io_reserve: PerMille(100),
        io_max: Some(BytesPerSec(1_048_576)),
        pids_max: 16,
    };
    const DISK: Disk = Disk {
        major: 254,
        minor: 0,
    };

    #[test]
    fn limits_become_the_kernels_words() {
        let text: Vec<String> = EVERYTHING
            .settings(Some(DISK))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            text,
            [
                "memory.max = 9998336", // whole pages
                "memory.high = max",
                "memory.swap.max = 0",
                "memory.oom.group = 1",
                "memory.min = 4096",
                "memory.low = 4096",
                "cpu.weight = 50",
                "cpu.max = 25000 100000",
                "cpuset.cpus = 0-1,4",
                "io.bfq.weight = 100",
                "io.weight = 100",
                "io.max = 254:0 rbps=1048576 wbps=1048576 riops=max wiops=max",
                "pids.max = 16",
            ]
        );
    }

    #[test]
    fn weights_become_the_kernels_words() {
        let weights = Weights {
            cpu: 20_000,
            io: 0,
            memory_low: Bytes(5000),
        };
        let settings = weights.settings();
        let text: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let expected = [
            "cpu.weight = 10000",
            "memory.low = 4096",
            "io.bfq.weight = 1",
            "io.weight = 1",
        ];
        assert_eq!(text, expected);
        assert!(settings.iter().all(|one| one.need == Need::IfThere));
    }

    #[test]
    fn what_was_not_asked_for_is_set_back_and_may_be_missing() {
        // given limits of memory and processes only
        let settings = Limits::only(Bytes::mib(1), 4).settings(Some(DISK));
        let named = |file: &str| settings.iter().find(|s| s.file == file).unwrap();
        // then the others are written all the same, where the kernel has them
        for (file, value, need) in [
            ("memory.min", "0", Need::Always),
            ("memory.swap.max", "0", Need::IfThere),
            ("cpu.weight", "1", Need::Always),
            ("cpu.max", "max 100000", Need::Always),
            ("cpuset.cpus", "", Need::IfThere),
            ("io.bfq.weight", "1", Need::IfThere),
            (
                "io.max",
                "254:0 rbps=max wbps=max riops=max wiops=max",
                Need::IfThere,
            ),
        ] {
            let setting = named(file);
            assert_eq!(
                (setting.value.as_str(), setting.need),
                (value, need),
                "{file}"
            );
        }
        // and data in memory has no disk
        let settings = EVERYTHING.settings(None);
        assert!(settings.iter().all(|s| s.controller != "io"));
    }

    #[test]
    fn what_was_asked_for_must_be_there() {
        let settings = EVERYTHING.settings(Some(DISK));
        let optional = settings.iter().filter(|s| s.need == Need::IfThere);
        let optional: Vec<&str> = optional.map(|s| s.file.as_str()).collect();
        assert_eq!(optional, ["memory.swap.max", "io.weight"]);
    }

    #[test]
    fn each_file_is_read_back_as_the_kernel_documents_it() {
        let settings = EVERYTHING.settings(Some(DISK));
        let named = |file: &str| settings.iter().find(|s| s.file == file).unwrap();
        for (file, read, kept) in [
            ("memory.max", "9998336\n", true),
            ("memory.max", "9994240\n", false),
            ("memory.max", "max\n", false),
            ("cpuset.cpus", "0-1,4\n", true),
            ("cpuset.cpus", "\n", false),
            ("io.weight", "default 100\n", true),
            ("io.weight", "default 100\n8:0 50\n", true),
            ("io.weight", "default 10\n", false),
            ("io.weight", "100\n", false),
            (
                "io.max",
                "8:0 rbps=9 wbps=max riops=max wiops=max\n254:0 rbps=1048576 wbps=1048576 riops=max wiops=max\n",
                true,
            ),
            (
                "io.max",
                "254:0 rbps=1048576 wbps=max riops=max wiops=max\n",
                false,
            ),
            ("io.max", "", false),
        ] {
            assert_eq!(named(file).is_kept(read), kept, "{file} {read:?}");
        }
        // without a limit there is no line, and an old one must be gone
        let settings = Limits::only(Bytes::mib(1), 4).settings(Some(DISK));
        let ceiling = settings.iter().find(|s| s.file == "io.max").unwrap();
        assert!(ceiling.is_kept("") && ceiling.is_kept("8:0 rbps=9 wbps=9 riops=max wiops=max\n"));
        assert!(!ceiling.is_kept("254:0 rbps=9 wbps=max riops=max wiops=max\n"));
    }

    #[test]
    fn three_groups_share_the_machine_by_thousandths_of_a_core() {
        let reserve = Reserve {
            memory_mib: 192,
            cpu_milli: 300,
            forwarding_milli: Some(200),
        };
        for (cores, services) in [(0, 1), (1, 700), (2, 1700), (64, 10_000)] {
            let shares = Shares::of(&reserve, MilliCpu(cores * 1000));
            let expected = Shares {
                forwarding: 200,
                system: 100,
                services,
            };
            assert_eq!(shares, expected, "{cores} cores");
        }
    }

    #[test]
    fn cores_are_listed_as_the_kernel_does() {
        for (cores, text) in [
            (0, ""),
            (1, "0"),
            (0b110, "1-2"),
            (0b1011, "0-1,3"),
            (u64::MAX, "0-63"),
        ] {
            assert_eq!(Cores(cores).to_string(), text);
        }
    }

    #[test]
    fn huge_pages_are_forbidden_by_every_file_that_limits_them() {
        let files = [
            "hugetlb.4MB.max",
            "hugetlb.4MB.rsvd.max",
            "hugetlb.4MB.current",
            "memory.max",
        ];
        let list: Vec<String> = no_huge_pages(files.into_iter())
            .map(|s| s.to_string())
            .collect();
        assert_eq!(list, ["hugetlb.4MB.max = 0", "hugetlb.4MB.rsvd.max = 0"]);
    }
}
