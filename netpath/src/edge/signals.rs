//! What signals ask for: an end, or counters in the log.

use super::{Gateway, Next};
use crate::sys;
use hearth_netpath::counters::DropReason;
use std::os::fd::AsFd;

impl Gateway {
    /// Takes a signal, if one has come.
    pub(super) fn on_signal(&mut self) -> Next {
        let Some(signal) = sys::next_signal(self.signals.as_fd()) else {
            return Next::Go;
        };
        if i32::try_from(signal) == Ok(libc::SIGUSR1) {
            self.nat.look_at_all(sys::now());
            self.count_refused(sys::now());
            let (flows, (packets, bytes)) = (self.nat.carried(), self.nat.counters().carried);
            log::info!(
                "fast_path_flows={flows} fast_path_packets={packets} fast_path_bytes={bytes}"
            );
            let counters = self.nat.counters();
            for &reason in DropReason::ALL {
                let count = counters.refused(reason);
                if count > 0 {
                    log::info!("{}={count}", reason.name());
                }
            }
            self.tell_strays();
            return Next::Go;
        }
        log::info!("leaving; devices and links stay");
        Next::Leave
    }
}
