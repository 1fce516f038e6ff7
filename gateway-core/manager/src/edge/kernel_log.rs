//! The kernel's log as far as it tells of services: processes that were killed for a system call. The
//! manager reads it like any other descriptor; no process stands between.
//!
//! The kernel keeps at most 10 such records in 5 s (`printk_ratelimit`), so a service that starts children
//! which die so costs no more than that to read, and a record may be missing.

use super::paths::reason;
use crate::limits::KERNEL_RECORD_MAX;
use crate::machine::killed::{Age, Killed};
use crate::sys;
use hearth_model::ServiceId;
use hearth_model::audit::SeccompKill;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tokio::io::unix::AsyncFd;

/// `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg): each read is one record, from the oldest on.
#[derive(Debug)]
pub struct KernelLog {
    /// `None` where it can not be read: nothing is ever heard.
    records: Option<AsyncFd<OwnedFd>>,
    /// Records before this time are from before this manager, microseconds since boot.
    start: u64,
}

impl KernelLog {
    /// Opens it; where that fails, the second value says why, and nothing is ever heard.
    #[must_use]
    pub fn open(path: &Path) -> (KernelLog, Option<String>) {
        let open = || {
            let mut options = OpenOptions::new();
            let file = options
                .read(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(path)?;
            sys::fd::watched(OwnedFd::from(file))
        };
        let start = sys::machine::running_clock_us().unwrap_or(0);
        match open() {
            Ok(records) => (
                KernelLog {
                    records: Some(records),
                    start,
                },
                None,
            ),
            Err(error) => {
                let why = reason(&error);
                let path = path.display();
                let text = format!(
                    "{path}: {why}; a service that is killed for a system call is told without the call"
                );
                (
                    KernelLog {
                        records: None,
                        start,
                    },
                    Some(text),
                )
            }
        }
    }

    /// The next killed process of a service. Nothing is lost where the caller stops waiting.
    pub async fn next(&mut self) -> (ServiceId, Killed) {
        loop {
            let Some(records) = &self.records else {
                return core::future::pending().await;
            };
            match one(records).await {
                Ok(record) => {
                    if let Some(found) = killed(&record, self.start) {
                        return found;
                    }
                }
                // Records were overwritten before they were read; the next read is the oldest that is left.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) => {
                    log::warn!(
                        "the kernel's log can not be read any more: {}",
                        reason(&error)
                    );
                    self.records = None;
                }
            }
        }
    }
}

/// One record.
async fn one(records: &AsyncFd<OwnedFd>) -> io::Result<String> {
    loop {
        let mut guard = records.readable().await?;
        let mut buffer = [0; KERNEL_RECORD_MAX];
        let read = guard.try_io(|fd| File::from(fd.get_ref().try_clone()?).read(&mut buffer));
        if let Ok(count) = read {
            let bytes = match buffer.get(..count?) {
                None | Some([]) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                Some(bytes) => bytes,
            };
            return Ok(String::from_utf8_lossy(bytes).into_owned());
        }
    }
}

/// The killed process of a service in `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,...];TEXT`.
fn killed(record: &str, start: u64) -> Option<(ServiceId, Killed)> {
    const KERNEL: u32 = 0; // syslog(3), the facility that no program can write with
    let (head, text) = record.split_once(';')?;
    let mut head = head.split(',');
    let priority: u32 = head.next()?.parse().ok()?;
    if priority >> 3 != KERNEL {
        return None;
    }
    let time: u64 = head.nth(1)?.parse().ok()?;
    let kill = SeccompKill::parse(text.lines().next()?)?;
    let age = if time < start { Age::Old } else { Age::New };
    Some((ServiceId::of_uid(kill.uid)?, Killed::new(&kill, age)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "5,1001,19097908929,-;audit: type=1326 audit(1795597220.431:585): auid=4294967295 uid=1115112 \
                          gid=1115112 ses=4294967295 pid=308 comm=\"k\" exe=\"/k\" sig=31 arch=40000003 syscall=26 \
                          compat=0 ip=0x7fd5 code=0x80000000\n SUBSYSTEM=x\n";

    #[test]
    fn a_record_names_the_service_by_its_range_of_users() {
        let (id, kill) = killed(RECORD, 0).unwrap();
        assert_eq!(id, ServiceId::new(1).unwrap());
        assert_eq!(
            (kill.pid, &*kill.name, &*kill.call, kill.age),
            (308, "k", "ptrace", Age::New)
        );
        // what was there before this manager is old
        let (_, kill) = killed(RECORD, 19_097_908_930).unwrap();
        assert_eq!(kill.age, Age::Old);
    }

    #[test]
    fn a_record_that_a_program_wrote_or_of_somebody_else_is_none() {
        for other in [
            RECORD.replace("5,1001", "13,1001"),
            RECORD.replace("uid=1115112", "uid=0"),
            RECORD.replace("audit: type=1326", "audit: type=1300"),
            "6,1,2,-;e1000: link is up\n".to_owned(),
            "garbage".to_owned(),
            String::new(),
        ] {
            assert_eq!(killed(&other, 0), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_log_that_is_not_there_is_told_once_and_never_heard() {
        let (mut log, problem) = KernelLog::open(Path::new("/nonexistent/kmsg"));
        assert!(problem.unwrap().contains("/nonexistent/kmsg: "));
        let wait = core::time::Duration::from_millis(10);
        assert!(tokio::time::timeout(wait, log.next()).await.is_err());
    }
}
