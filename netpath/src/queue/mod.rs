//! The queues of the line to the Internet: which class a packet belongs to, and what the classes get.
//!
//! [`plan`] makes the classes of a direction from the data file, the line's rate and the services' shares;
//! [`programs`] loads what chooses a packet's class in the kernel (`netpath/bpf/queues.rs`); here is whose
//! packet belongs where. What this refuses to do: hold a packet, or look at a clock.

#[path = "../../bpf/classes.rs"]
pub mod classes;
pub mod plan;
pub mod programs;

use crate::nat::Tuple;
use classes::{HOME, Row};
use core::net::Ipv4Addr;
use hearth_bpf::qdisc::class_id;
use hearth_model::ServiceId;
use hearth_model::protocol::{LineClass, Zone};
use hearth_model::queues::{Classes, CodePoint};
use std::collections::BTreeMap;

/// Whose an inside address is, and what its packets' classes follow from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Services by their addresses.
    services: BTreeMap<Ipv4Addr, ServiceId>,
    /// Downloads of the home by the code point of what the home sends in the same flow; empty: nothing is
    /// classed.
    home: Vec<u32>,
}

impl Members {
    /// No service yet.
    #[must_use]
    pub fn new(classes: &Classes) -> Members {
        let home = CodePoint::all().map(|mark| class_id(plan::minor_of(classes.of_home(mark))));
        Members {
            services: BTreeMap::new(),
            home: home.collect(),
        }
    }

    /// A service's address; `None`: it has gone.
    pub fn set(&mut self, id: ServiceId, address: Option<Ipv4Addr>) {
        self.services.retain(|_, other| *other != id);
        if let Some(address) = address {
            self.services.insert(address, id);
        }
    }

    /// The service whose queue packets of an inside address wait in; `None`: the home's.
    #[must_use]
    pub fn service(&self, inside: Ipv4Addr) -> Option<ServiceId> {
        self.services.get(&inside).copied()
    }

    /// Whether packets are told apart.
    #[must_use]
    pub fn is_classed(&self) -> bool {
        !self.home.is_empty()
    }

    fn of_service(&self, inside: Ipv4Addr) -> Option<u32> {
        let id = self.services.get(&inside)?;
        Some(class_id(plan::minor_of_service(*id)))
    }

    /// The class of what `inside` sends to the Internet; 0: none.
    #[must_use]
    pub fn up(&self, inside: Ipv4Addr) -> u32 {
        if self.home.is_empty() {
            return 0;
        }
        self.of_service(inside).unwrap_or(HOME)
    }

    /// The class of what `inside` gets from the Internet in a flow in which it sends with `mark`: what the
    /// Internet's packets say for themselves is anybody's.
    #[must_use]
    pub fn down(&self, inside: Ipv4Addr, mark: CodePoint) -> u32 {
        let by_mark = self.home.get(usize::from(mark.number()));
        self.of_service(inside)
            .filter(|_| !self.home.is_empty())
            .or(by_mark.copied())
            .unwrap_or(0)
    }

    /// The class of packets that arrive as `from` and whose answers arrive as `to`.
    #[must_use]
    pub fn class(&self, from: &Tuple, to: &Tuple, mark: CodePoint) -> u32 {
        match (from.zone, to.zone) {
            (_, Zone::Wan) => self.up(from.source),
            (Zone::Wan, _) => self.down(to.source, mark),
            (Zone::Lan | Zone::Service | Zone::Guest, Zone::Lan | Zone::Service | Zone::Guest) => 0,
        }
    }
}

fn row(of: impl Fn(CodePoint) -> (u32, CodePoint)) -> Row {
    let mut by_mark = [0; CodePoint::COUNT];
    for (place, mark) in by_mark.iter_mut().zip(CodePoint::all()) {
        let (priority, leaves_with) = of(mark);
        *place = priority << 8 | u32::from(leaves_with.number());
    }
    Row { by_mark }
}

fn claimed(classes: &Classes, class: LineClass, mark: CodePoint) -> (u32, CodePoint) {
    let priority = class_id(plan::minor_of(class));
    (priority, classes.of(class).leaves_with(mark))
}

/// What becomes of packets of the home's hosts.
#[must_use]
pub fn home_row(classes: &Classes) -> Row {
    row(|mark| claimed(classes, classes.of_home(mark), mark))
}

/// What becomes of the gateway's own packets.
#[must_use]
pub fn gateway_row(classes: &Classes) -> Row {
    row(|mark| claimed(classes, classes.of_gateway(mark), mark))
}

/// What becomes of a service's packets, whatever they say; `priority`: where they wait.
#[must_use]
pub fn service_row(classes: &Classes, class: LineClass, priority: u32) -> Row {
    row(|mark| (priority, classes.of(class).leaves_with(mark)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use classes::{MAJOR, MAJOR_MASK};
    use hearth_model::limits::SERVICES_MAX;
    use hearth_model::queues::QueueData;

    const DATA: &str = include_str!("../../../board/common/queues.toml");

    fn classes() -> Classes {
        QueueData::parse("queues.toml", DATA).unwrap().class
    }

    fn point(name: &str) -> CodePoint {
        name.parse().unwrap()
    }

    #[test]
    fn a_packet_belongs_to_its_service_whatever_it_says_and_to_the_home_by_what_it_says() {
        // given a service, and a host of the home
        let id = ServiceId::new(7).unwrap();
        let (service, host) = (Ipv4Addr::new(10, 213, 0, 9), Ipv4Addr::new(192, 168, 1, 50));
        let mut members = Members::new(&classes());
        members.set(id, Some(service));
        // then the service's packets are its own, in both directions
        let own = class_id(plan::minor_of_service(id));
        for mark in ["CS0", "EF", "CS7"] {
            assert_eq!(members.down(service, point(mark)), own);
        }
        assert_eq!(members.up(service), own);
        // and the host's are what its own packets claim
        let class = |rank| class_id(plan::minor_of(rank));
        assert_eq!(members.up(host), HOME);
        assert_eq!(
            members.down(host, point("EF")),
            class(LineClass::Interactive)
        );
        assert_eq!(members.down(host, point("CS7")), class(LineClass::Bulk));
        // and when the service has gone, then its address is anybody's
        members.set(id, None);
        assert_eq!(members.up(service), HOME);
        // and without queues nothing is classed
        assert_eq!(Members::default().up(host), 0);
        assert_eq!(Members::default().down(host, point("EF")), 0);
    }

    #[test]
    fn no_service_reaches_another_class_by_what_its_packets_say() {
        let classes = classes();
        let own = class_id(0x1070);
        for rank in LineClass::ALL {
            let row = service_row(&classes, rank, own);
            assert!(row.by_mark.iter().all(|word| word >> 8 == own));
            // network control is nobody's but the network's (RFC 4594 3.2)
            for mark in ["CS6", "CS7"] {
                let word = row.by_mark[usize::from(point(mark).number())];
                let left = word & 63;
                assert!(
                    rank == LineClass::Control || left < 48,
                    "{rank:?} {mark} {left}"
                );
            }
        }
        assert!(home_row(&classes).by_mark.iter().all(|word| word & 63 < 48));
    }

    #[test]
    fn every_class_has_its_own_number_and_its_band_on_a_bare_nic() {
        let ids = (0..SERVICES_MAX).map(|n| ServiceId::new(u16::try_from(n).unwrap()).unwrap());
        let minors = ids.map(plan::minor_of_service);
        let home = LineClass::ALL.map(plan::minor_of);
        let mut all: Vec<u16> = minors.chain(home).chain([plan::LINE]).collect();
        assert!(
            all.iter()
                .all(|minor| class_id(*minor) & MAJOR_MASK == MAJOR)
        );
        assert!(all.iter().all(|minor| class_id(*minor) != HOME));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        // pfifo_fast's prio2band, linux/net/sched/sch_generic.c
        let bands = [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];
        let band = |class| bands[usize::from(plan::minor_of(class) & 15)];
        assert_eq!(LineClass::ALL.map(band), [0, 1, 0, 1, 2]);
    }
}
