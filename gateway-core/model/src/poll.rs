//! Kernel threads that take packets from a network device ("threaded NAPI"), as `/proc/PID/stat` shows
//! them. Pure; netpath finds them, the manager moves those of services.

/// The parent of every kernel thread, and of nothing else (kthreadd).
const KTHREADD: &str = "2";

/// A kernel thread. A number alone may be another one's later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PollThread {
    /// Its number.
    pub id: u32,
    /// When it began, ticks since boot (proc(5), field 22).
    pub began: u64,
}

impl PollThread {
    /// The thread of a line of `/proc/PID/stat`, and the device that it takes packets from: the one that
    /// has this name in its own network namespace. `None` for any other process, whatever it calls itself.
    #[must_use]
    pub fn of_line(line: &str) -> Option<(PollThread, &str)> {
        let (id, rest) = line.split_once(" (")?;
        // The name may have a parenthesis of its own.
        let (name, rest) = rest.rsplit_once(") ")?;
        let (device, number) = name.strip_prefix("napi/")?.rsplit_once('-')?;
        let mut fields = rest.split(' ');
        // Field 3 is the state, 4 the parent.
        let is_kernels = fields.nth(1)? == KTHREADD;
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        (is_kernels && is_number).then_some(())?;
        let thread = PollThread {
            id: id.parse().ok()?,
            began: fields.nth(17)?.parse().ok()?,
        };
        Some((thread, device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "1697 (napi/eth0-258) S 2 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3776884 0 0 \
                        18446744073709551615 0 0 0 0 0 0 0 2147483647 0 1 0 0 17 0 0 0 0 0 0 0 0 0 0";

    #[test]
    fn a_thread_is_known_by_its_name_and_its_parent() {
        // given the line of a kernel thread, then it is read
        let thread = PollThread {
            id: 1697,
            began: 3_776_884,
        };
        assert_eq!(PollThread::of_line(LINE), Some((thread, "eth0")));
        let dashes = LINE.replace("eth0", "br-lan");
        assert_eq!(PollThread::of_line(&dashes), Some((thread, "br-lan")));
        // and a process that only calls itself so is none, nor is what can not be read
        for line in [
            LINE.replace("S 2 0", "S 3 0"),
            LINE.replace("258)", "25x)"),
            LINE.replace("-258)", "-)"),
            LINE.replace("napi/", "nap1/"),
            LINE.replace("(napi/eth0-258)", "((napi/eth0-258) )"),
            LINE.split(" 20 0").next().unwrap_or_default().to_owned(),
            String::new(),
        ] {
            assert_eq!(PollThread::of_line(&line), None, "{line}");
        }
    }
}
