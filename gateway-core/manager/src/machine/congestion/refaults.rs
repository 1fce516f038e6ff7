//! Who waits for memory while the kernel says that it waits for the disk.
//!
//! A page that was taken from a service and comes back from the disk counts in its `memory.pressure` only where it had been in
//! use more than once before it was taken; what comes back for the first time is a wait for the disk. But the kernel counts such
//! pages (`workingset_activate_file` and `_anon` of `memory.stat`: they came back so soon that the service would still have them, had
//! it a little more memory). The same share of the waiting for the disk as of what was read is a wait for memory.

/// What a service has waited for memory, by both ways of counting.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refaults {
    last: Option<Counted>,
    waited: u64,
}

/// What the kernel has counted of a service since it began; none of it shrinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Waits for memory, microseconds.
    pub memory_waited: u64,
    /// Waits for the disk, microseconds.
    pub io_waited: u64,
    /// Bytes that came back soon.
    pub returned: u64,
    /// Bytes read.
    pub read: u64,
}

impl Refaults {
    /// What has been waited for memory since the service began, microseconds, at the least.
    pub fn waited(&mut self, now: Counted) -> u64 {
        let last = self.last.replace(now).unwrap_or(now);
        let memory = now.memory_waited.saturating_sub(last.memory_waited);
        let io = now.io_waited.saturating_sub(last.io_waited);
        let read = now.read.saturating_sub(last.read);
        let returned = now.returned.saturating_sub(last.returned).min(read);
        let of_memory = u128::from(io) * u128::from(returned) / u128::from(read.max(1));
        // The kernel counts some of them in both.
        let more = memory.max(u64::try_from(of_memory).unwrap_or(u64::MAX));
        self.waited = self.waited.saturating_add(more);
        self.waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: Counted = Counted {
        memory_waited: 5_000,
        io_waited: 90_000,
        returned: 4096,
        read: 1 << 20,
    };

    fn waited(after: Counted) -> u64 {
        let mut refaults = Refaults::default();
        // what was before the first look is not known to be a wait for memory
        assert_eq!(refaults.waited(BEGIN), 0);
        assert_eq!(refaults.waited(BEGIN), 0);
        refaults.waited(after)
    }

    #[test]
    fn a_wait_for_what_was_taken_is_a_wait_for_memory() {
        let after = Counted {
            io_waited: BEGIN.io_waited + 800_000,
            read: BEGIN.read + 8 * 4096,
            ..BEGIN
        };
        // given somebody who reads what he never had, then he waits for the disk alone
        assert_eq!(waited(after), 0);
        // given one who reads a quarter of it again, then for memory a quarter of the time
        let returned = BEGIN.returned + 2 * 4096;
        assert_eq!(waited(Counted { returned, ..after }), 200_000);
        // and never for longer than for the disk, whatever is counted
        let returned = BEGIN.returned + 100 * 4096;
        assert_eq!(waited(Counted { returned, ..after }), 800_000);
    }

    #[test]
    fn what_the_kernel_counts_as_both_is_one_wait() {
        let after = Counted {
            memory_waited: BEGIN.memory_waited + 300_000,
            io_waited: BEGIN.io_waited + 800_000,
            returned: BEGIN.returned + 2 * 4096,
            read: BEGIN.read + 8 * 4096,
        };
        assert_eq!(waited(after), 300_000);
    }

    #[test]
    fn a_new_run_begins_anew() {
        let mut refaults = Refaults::default();
        refaults.waited(BEGIN);
        assert_eq!(refaults.waited(Counted::default()), 0);
        let after = Counted {
            memory_waited: 7,
            ..Counted::default()
        };
        assert_eq!(refaults.waited(after), 7);
    }
}
