//! Who may wait for this process: each host and each service has its share of the queue (`netpath/bpf`).

use super::abi;
use super::entry::{self, Clock};
use super::{COUNTS, FastPath, HOSTS, missing};
use core::net::Ipv4Addr;
use hearth_bpf::LoadError;
use hearth_bpf::map::When;
use hearth_model::drops::DropReason;
use hearth_model::protocol::Zone;

/// What has not come here: from which side, why, and how many packets.
pub type Refused = [(Zone, DropReason, u64); 5];

/// Others than those of an earlier process, whose counts are still there.
pub(super) fn first_rounds(clock: &Clock) -> [u32; 4] {
    [u32::try_from(clock.nanoseconds >> abi::STRANGER_SHIFT & u64::from(u32::MAX)).unwrap_or(0); 4]
}

impl FastPath {
    /// All that waited on a side when its last round began has been taken: its hosts have their whole shares
    /// again. Returns how many packets have been let here from that side, ever.
    ///
    /// # Errors
    /// [`LoadError`]: the kernel refuses to write, or to read.
    pub fn next_round(&mut self, zone: Zone) -> Result<u64, LoadError> {
        if let Some(round) = self.config.rounds.get_mut(usize::from(entry::side(zone))) {
            *round = round.wrapping_add(1);
        }
        self.configure()?;
        match zone {
            Zone::Lan => self.count(abi::LET),
            Zone::Service => self.count(abi::SERVICE_LET),
            Zone::Guest => self.count(abi::GUEST_LET),
            Zone::Wan => Ok(0),
        }
    }

    /// These hosts of a side (the home, the guests) are known at these hardware addresses, and those of
    /// earlier calls; whoever else sends there is a stranger from now on.
    ///
    /// # Errors
    /// [`LoadError`]: the kernel refuses to write.
    pub fn know_hosts(
        &mut self,
        zone: Zone,
        hosts: impl Iterator<Item = (Ipv4Addr, [u8; 6])>,
    ) -> Result<(), LoadError> {
        let map = self.maps.get(HOSTS).ok_or(missing(HOSTS))?;
        for (host, hardware) in hosts {
            let (number, value) = entry::host_bytes(zone, host, hardware);
            map.update(&number.to_ne_bytes(), &value, When::Any)?;
        }
        let side = 1 << entry::side(zone);
        if self.config.knows_hosts & side == 0 {
            self.config.knows_hosts |= side;
            self.configure()?;
        }
        Ok(())
    }

    /// Packets that the program has kept from coming here, since its maps were made.
    ///
    /// # Errors
    /// [`LoadError`]: the kernel refuses to read.
    pub fn refused(&self) -> Result<Refused, LoadError> {
        let (busy, unknown) = (DropReason::HostBusy, DropReason::HostUnknown);
        Ok([
            (Zone::Lan, busy, self.count(abi::BUSY)?),
            (Zone::Service, busy, self.count(abi::SERVICE_BUSY)?),
            (Zone::Lan, unknown, self.count(abi::STRANGER)?),
            (Zone::Guest, busy, self.count(abi::GUEST_BUSY)?),
            (Zone::Guest, unknown, self.count(abi::GUEST_STRANGER)?),
        ])
    }

    fn count(&self, number: u32) -> Result<u64, LoadError> {
        let map = self.maps.get(COUNTS).ok_or(missing(COUNTS))?;
        let mut value = vec![0; map.value_length()];
        map.lookup(&number.to_ne_bytes(), &mut value)?;
        let (each, _) = value.as_chunks::<8>();
        Ok(each.iter().map(|bytes| u64::from_ne_bytes(*bytes)).sum())
    }
}
