//! The loop's clock: a timer of the kernel, which wakes this process once for each deadline. The runtime's own
//! timers stand in wheels and wake it two or three times on the way to one.

use crate::sys;
use core::time::Duration;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::unix::AsyncFd;

/// A timer.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// One that is not set.
    ///
    /// # Errors
    /// As timerfd_create(2) and epoll_ctl(2).
    pub fn new() -> io::Result<Alarm> {
        Ok(Alarm {
            timer: sys::fd::watched(sys::timer::create()?)?,
        })
    }

    /// Waits this long; for ever where there is nothing to wait for. Whoever stops waiting leaves nothing behind.
    ///
    /// # Errors
    /// As timerfd_settime(2) and read(2).
    pub async fn after(&self, wait: Option<Duration>) -> io::Result<()> {
        let Some(wait) = wait else {
            return core::future::pending().await;
        };
        if wait.is_zero() {
            return Ok(());
        }
        sys::timer::set(self.timer.as_fd(), wait)?;
        loop {
            let mut guard = self.timer.readable().await?;
            let mut times = [0; 8];
            let read = guard.try_io(|fd| File::from(fd.get_ref().try_clone()?).read(&mut times));
            // Not yet: it was readable for an earlier deadline.
            if let Ok(read) = read {
                return read.map(|_| ());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    #[tokio::test]
    async fn it_rings_once_for_the_last_time_that_was_set() {
        let alarm = Alarm::new().unwrap();
        let (soon, late) = (Duration::from_millis(5), Duration::from_secs(60));
        // given a deadline that passed while nobody waited
        assert!(
            timeout(Duration::ZERO, alarm.after(Some(soon)))
                .await
                .is_err()
        );
        std::thread::sleep(2 * soon);
        // then a later one is not reached by it
        assert!(timeout(4 * soon, alarm.after(Some(late))).await.is_err());
        // and the next one is
        for wait in [soon, Duration::ZERO, Duration::from_nanos(1)] {
            timeout(late, alarm.after(Some(wait)))
                .await
                .unwrap()
                .unwrap();
        }
        assert!(timeout(soon, alarm.after(None)).await.is_err());
    }
}
