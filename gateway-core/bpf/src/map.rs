//! Maps: the tables that a program and a process share (bpf(2)).
//!
//! Keys and values are bytes in the layout of the object's own types; their lengths are checked here,
//! so that the kernel never reads or writes beyond them. A map lives while a descriptor, a program or a
//! pin in a bpf file system holds it.

use crate::error::KernelError;
use crate::object::{MapSpec, Object};
use crate::program::Program;
use crate::sys::bpf::{self, maps};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// `BPF_MAP_TYPE_PERCPU_HASH`, `_PERCPU_ARRAY`, `_LRU_PERCPU_HASH`: a value for each possible CPU.
const PER_CPU: [u32; 3] = [5, 6, 10];

/// Whether an update may meet an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Makes it or replaces it (`BPF_ANY`).
    Any,
    /// Fails with `EEXIST` where it is there (`BPF_NOEXIST`).
    New,
    /// Fails with `ENOENT` where it is not there (`BPF_EXIST`).
    Existing,
}

/// A map of the kernel.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    spec: MapSpec,
    value_length: usize,
}

impl Map {
    /// Makes one.
    ///
    /// # Errors
    /// [`KernelError::Refused`]: the kernel lacks its kind, or the memory.
    pub fn create(spec: MapSpec) -> Result<Map, KernelError> {
        let fd = maps::create(&spec)?;
        Map::new(fd, spec)
    }

    fn new(fd: OwnedFd, spec: MapSpec) -> Result<Map, KernelError> {
        let size = spec.value_size as usize;
        let value_length = if PER_CPU.contains(&spec.kind) {
            size.next_multiple_of(8).saturating_mul(possible_cpus()?)
        } else {
            size
        };
        Ok(Map {
            fd,
            spec,
            value_length,
        })
    }

    /// Opens a pinned one, which must be as `spec` says.
    ///
    /// # Errors
    /// [`KernelError::Refused`] with `ENOENT` where nothing is pinned, with `EEXIST` where something
    /// else is.
    pub fn open(path: &Path, spec: MapSpec) -> Result<Map, KernelError> {
        Map::from_fd(bpf::object_get(path)?, spec)
    }

    /// Opens the map `spec` of a loaded program, by its name's first 15 bytes, as the kernel keeps it.
    ///
    /// # Errors
    /// [`KernelError::Refused`] with `ENOENT` where the program has none of that name; as [`Map::open`].
    pub fn of(program: &Program, spec: MapSpec) -> Result<Map, KernelError> {
        let kept = |name: [u8; 16]| {
            let wanted = spec.name.bytes().take(15).chain([0]);
            wanted.zip(name).all(|(wanted, kept)| wanted == kept)
        };
        for id in program.info()?.maps {
            let fd = maps::by_id(id)?;
            if kept(maps::info(fd.as_fd())?.name) {
                return Map::from_fd(fd, spec);
            }
        }
        let (what, errno) = ("find a program's map", libc::ENOENT);
        Err(KernelError::Refused { what, errno })
    }

    fn from_fd(fd: OwnedFd, spec: MapSpec) -> Result<Map, KernelError> {
        let is = maps::info(fd.as_fd())?;
        let wanted = (spec.kind, spec.key_size, spec.value_size, spec.max_entries);
        if (is.kind, is.key_size, is.value_size, is.max_entries) != wanted {
            let what = "open a map: what is there has another shape";
            return Err(KernelError::Refused {
                what,
                errno: libc::EEXIST,
            });
        }
        Map::new(fd, spec)
    }

    /// Pins it to a path in a mounted bpf file system; it then outlives the process.
    ///
    /// # Errors
    /// [`KernelError::Refused`]: `EEXIST`, or no bpf file system is there.
    pub fn pin(&self, path: &Path) -> Result<(), KernelError> {
        bpf::object_pin(self.fd.as_fd(), path)
    }

    /// Its name and shape.
    #[must_use]
    pub fn spec(&self) -> &MapSpec {
        &self.spec
    }

    /// Bytes of a value as this process sees it: per CPU, as many as the machine can have.
    #[must_use]
    pub fn value_length(&self) -> usize {
        self.value_length
    }

    fn check(&self, key: &[u8], value: Option<usize>) -> Result<(), KernelError> {
        let fits = key.len() == self.spec.key_size as usize
            && value.is_none_or(|length| length == self.value_length);
        let what = "use a map: key or value has another size";
        if fits {
            Ok(())
        } else {
            Err(KernelError::Refused {
                what,
                errno: libc::EINVAL,
            })
        }
    }

    /// Copies the value at `key` to `value` ([`Map::value_length`] bytes); false where there is none.
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> Result<bool, KernelError> {
        self.check(key, Some(value.len()))?;
        found(maps::lookup(self.fd.as_fd(), key, value))
    }

    /// Puts a value.
    ///
    /// # Errors
    /// [`KernelError::Refused`]: `E2BIG` where the map is full, and as [`When`] says.
    pub fn update(&self, key: &[u8], value: &[u8], when: When) -> Result<(), KernelError> {
        self.check(key, Some(value.len()))?;
        let flags = match when {
            When::Any => 0,
            When::New => 1,
            When::Existing => 2,
        };
        maps::update(self.fd.as_fd(), key, value, flags)
    }

    /// Removes the entry at `key` and copies its value, as it was at the end, to `value`; false where
    /// there was none.
    ///
    /// # Errors
    /// [`KernelError::Refused`]: an array's entries can not be removed.
    pub fn take(&self, key: &[u8], value: &mut [u8]) -> Result<bool, KernelError> {
        self.check(key, Some(value.len()))?;
        found(maps::take(self.fd.as_fd(), key, value))
    }

    /// Removes the entry at `key`; false where there was none.
    ///
    /// # Errors
    /// [`KernelError::Refused`]: an array's entries can not be removed.
    pub fn delete(&self, key: &[u8]) -> Result<bool, KernelError> {
        self.check(key, None)?;
        found(maps::delete(self.fd.as_fd(), key))
    }

    /// The key after `key`, or the first one, into `next`; false at the end. Where `key` is not there
    /// (any more), the first one.
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    pub fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool, KernelError> {
        self.check(next, None)?;
        if let Some(key) = key {
            self.check(key, None)?;
        }
        found(maps::next_key(self.fd.as_fd(), key, next))
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `ENOENT` as an answer.
fn found(result: Result<(), KernelError>) -> Result<bool, KernelError> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.errno() == libc::ENOENT => Ok(false),
        Err(e) => Err(e),
    }
}

/// CPUs that the machine can have, which is what the kernel copies values for.
fn possible_cpus() -> Result<usize, KernelError> {
    let what = "read /sys/devices/system/cpu/possible";
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").map_err(|e| {
        KernelError::Refused {
            what,
            errno: e.raw_os_error().unwrap_or(libc::EIO),
        }
    })?;
    last_cpu(text.trim())
        .and_then(|last| last.checked_add(1))
        .ok_or(KernelError::Refused {
            what,
            errno: libc::EPROTO,
        })
}

/// The last number of a list such as `0-3` or `0,2-5`.
fn last_cpu(list: &str) -> Option<usize> {
    list.rsplit([',', '-']).next()?.parse().ok()
}

/// The maps of an object, each made once, in the object's order.
#[derive(Debug)]
pub struct Maps(Vec<Map>);

impl Maps {
    /// Makes each map of an object but those that are in `existing` by name and shape.
    ///
    /// # Errors
    /// As [`Map::create`].
    pub fn create(object: &Object, existing: Vec<Map>) -> Result<Maps, KernelError> {
        let mut existing = existing;
        let maps = object.maps().iter().map(|spec| {
            match existing.iter().position(|map| map.spec == *spec) {
                Some(at) => Ok(existing.swap_remove(at)),
                None => Map::create(spec.clone()),
            }
        });
        maps.collect::<Result<_, _>>().map(Maps)
    }

    /// The map of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Map> {
        self.0.iter().find(|map| map.spec.name == name)
    }

    /// Descriptors in the object's order, for [`crate::object::Function::link`].
    #[must_use]
    pub(crate) fn descriptors(&self) -> Vec<i32> {
        self.0.iter().map(|map| map.fd.as_raw_fd()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: u32) -> MapSpec {
        MapSpec {
            name: "test".into(),
            kind,
            key_size: 4,
            value_size: 12,
            max_entries: 2,
            flags: 0,
        }
    }

    #[test]
    fn entries_come_go_and_are_refused_when_full() {
        // given a hash map of two entries (needs root)
        let map = Map::create(spec(1)).unwrap();
        let mut value = [0; 12];
        assert_eq!(map.lookup(&[1; 4], &mut value), Ok(false));
        // when it is filled
        map.update(&[1; 4], &[7; 12], When::New).unwrap();
        map.update(&[2; 4], &[8; 12], When::Any).unwrap();
        // then a third, a second "new" one and a missing "existing" one are refused by their reason
        let errno = |result: Result<(), KernelError>| result.unwrap_err().errno();
        assert_eq!(errno(map.update(&[3; 4], &[9; 12], When::Any)), libc::E2BIG);
        assert_eq!(
            errno(map.update(&[1; 4], &[9; 12], When::New)),
            libc::EEXIST
        );
        assert_eq!(
            errno(map.update(&[3; 4], &[9; 12], When::Existing)),
            libc::ENOENT
        );
        assert_eq!(map.lookup(&[1; 4], &mut value), Ok(true));
        assert_eq!(value, [7; 12]);
        // and a walk meets both
        let (mut first, mut second) = ([0; 4], [0; 4]);
        assert_eq!(map.next_key(None, &mut first), Ok(true));
        assert_eq!(map.next_key(Some(&first), &mut second), Ok(true));
        assert_ne!(first, second);
        assert_eq!(map.next_key(Some(&second), &mut first), Ok(false));
        assert_eq!(map.delete(&[1; 4]), Ok(true));
        assert_eq!(map.delete(&[1; 4]), Ok(false));
    }

    #[test]
    fn a_wrong_length_never_reaches_the_kernel() {
        let map = Map::create(spec(1)).unwrap();
        let error = map.lookup(&[1; 4], &mut [0; 11]).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
        assert!(map.update(&[1; 5], &[0; 12], When::Any).is_err());
        assert!(map.delete(&[]).is_err());
        assert!(map.next_key(Some(&[1]), &mut [0; 4]).is_err());
        // and a per-CPU value has room for every CPU that the machine can have
        let map = Map::create(spec(6)).unwrap();
        assert_eq!(map.value_length() % 16, 0);
        let mut values = vec![1; map.value_length()];
        assert_eq!(map.lookup(&[0; 4], &mut values), Ok(true));
        assert!(values.iter().all(|byte| *byte == 0));
        assert!(map.lookup(&[0; 4], &mut [0; 12]).is_err());
    }

    #[test]
    fn the_number_of_cpus_is_the_last_of_the_list() {
        for (list, last) in [("0", 0), ("0-3", 3), ("0,2-5", 5), ("0-1,7", 7)] {
            assert_eq!(last_cpu(list), Some(last), "{list}");
        }
        assert_eq!(last_cpu(""), None);
    }
}
