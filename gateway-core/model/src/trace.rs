//! What netpath finds about a packet, in words for people: steps in, sentences out.

use crate::drops::Stray;
use crate::gateway::GatewayConfig;
use crate::ids::ServiceId;
use crate::protocol::{
    Direction, FlowPath, GuardPlace, NetworkPolicy, Place, QueueOwner, TraceEnd, TraceReport,
    TraceStep, Zone,
};
use core::net::Ipv4Addr;

/// Who is who, for sentences.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Services: number, name and address.
    pub services: Vec<(ServiceId, String, Option<Ipv4Addr>)>,
}

impl Names {
    /// The service with this address.
    #[must_use]
    pub fn at(&self, address: Ipv4Addr) -> Option<&str> {
        let mut all = self.services.iter();
        let found = all.find(|(_, _, own)| *own == Some(address));
        found.map(|(_, name, _)| name.as_str())
    }

    /// The service with this number.
    #[must_use]
    pub fn of(&self, id: ServiceId) -> String {
        let mut all = self.services.iter();
        let found = all.find(|(number, ..)| *number == id);
        found.map_or_else(
            || format!("service number {id}"),
            |(_, name, _)| name.clone(),
        )
    }

    /// An address, with the name of the service that has it.
    fn tell(&self, address: Ipv4Addr) -> String {
        match self.at(address) {
            Some(name) => format!("{address} ({name})"),
            None => address.to_string(),
        }
    }
}

/// A side, in words.
#[must_use]
pub fn side(zone: Zone) -> &'static str {
    match zone {
        Zone::Lan => "the home (LAN)",
        Zone::Wan => "the Internet (WAN)",
        Zone::Service => "the services",
        Zone::Guest => "the guests",
    }
}

/// A step as one word and one sentence.
#[must_use]
pub fn step(step: &TraceStep, config: &GatewayConfig, names: &Names) -> (&'static str, String) {
    match *step {
        TraceStep::Guard(place, stray) => ("guard", guard(place, stray, names)),
        TraceStep::Arrives(zone) => (
            "source",
            format!("it comes from {}, where its source belongs", side(zone)),
        ),
        TraceStep::Goes(place) => ("zone", format!("it goes to {}", whereto(place))),
        TraceStep::Known {
            answer,
            state,
            left_s,
        } => {
            let end = if answer {
                "from the end that was called"
            } else {
                "from the end that opened it"
            };
            let state = state.name();
            (
                "flow",
                format!(
                    "it belongs to a flow that is there ({state}), {end}; that ends {left_s} s after its last packet at the latest"
                ),
            )
        }
        TraceStep::Anew => (
            "flow",
            "it begins another connection in the place of one that has ended".to_owned(),
        ),
        TraceStep::New => ("flow", "it belongs to no flow that is there".to_owned()),
        TraceStep::Policy(policy) => ("policy", policy_words(policy).to_owned()),
        TraceStep::Forward(to) => {
            let port = to.port;
            let who = names.tell(to.address);
            (
                "forward",
                format!("that port of the gateway leads to {who}, port {port}"),
            )
        }
        TraceStep::Hairpin(to) => (
            "hairpin",
            format!("that port of the gateway is the mapping of {to}: it goes back into the home"),
        ),
        TraceStep::Filter(left) => (
            "filter",
            format!(
                "the mapping's filter lets it in, for another {left} s: the inside has sent there"
            ),
        ),
        TraceStep::Share(used) => (
            "share",
            format!("its host has {used} flows of its share so far: there is room"),
        ),
        TraceStep::Mapping { external, there } => {
            let text = if there {
                format!("its mapping is there: {external} stands for it")
            } else {
                format!("a mapping would be made: {external} would stand for it")
            };
            ("mapping", text)
        }
        TraceStep::Leaves {
            to,
            source,
            destination,
        } => (
            "rewrite",
            format!("it leaves to {} from {source} to {destination}", side(to)),
        ),
        TraceStep::Queue {
            direction,
            owner,
            class,
            shaped,
        } => {
            let way = match direction {
                Direction::Up => "to the Internet",
                Direction::Down => "from the Internet",
            };
            let class = class.name();
            let whose = match owner {
                QueueOwner::Service(id) => format!("{}'s own, class {class}", names.of(id)),
                QueueOwner::Class(_) => format!("the home's {class} queue, if its code point is 0"),
            };
            let text = match shaped {
                true => format!("its queue {way}: {whose}"),
                false => format!(
                    "its queue {way}: {whose}; nothing waits there, since the line's rate is not told"
                ),
            };
            ("queue", text)
        }
        TraceStep::Hop(next) => {
            let text = match next {
                Some(next) => format!("next, {} gets it", names.tell(next)),
                None => format!(
                    "nobody gets it: there is no router behind {}",
                    config.wan.interface
                ),
            };
            ("next hop", text)
        }
        TraceStep::Path(path) => ("path", path_words(path)),
    }
}

fn guard(place: Option<GuardPlace>, stray: Option<Stray>, names: &Names) -> String {
    let place = match place {
        Some(GuardPlace::Ports) => "the guard of the ports".to_owned(),
        Some(GuardPlace::Link(id)) => format!("the guard at the link of {}", names.of(id)),
        None => "the guard at any service's link".to_owned(),
    };
    match stray {
        Some(stray) => format!("{place} drops {}", stray.what()),
        None => format!("{place} lets it pass"),
    }
}

fn whereto(place: Place) -> &'static str {
    match place {
        Place::LanAddress => "the gateway's own address in the home",
        Place::ServiceRouter => "the gateway's end of the services' links",
        Place::WanAddress => "the gateway's own address in the Internet",
        Place::Lan => "a host of the home",
        Place::GuestAddress => "the gateway's own address among the guests",
        Place::Guest => "a guest",
        Place::Services => "a service's own address",
        Place::Wan => "the Internet",
    }
}

fn policy_words(policy: NetworkPolicy) -> &'static str {
    match policy {
        NetworkPolicy::None => "the service may open nothing, but answers what came by its ports",
        NetworkPolicy::Lan => "the service may talk to hosts of the home",
        NetworkPolicy::Wan => "the service may talk to the Internet and to hosts of the home",
    }
}

fn path_words(path: FlowPath) -> String {
    match path {
        FlowPath::Carried => {
            "the fast path in the kernel carries the flow's plain packets".to_owned()
        }
        FlowPath::After(packets) => format!(
            "netpath handles it itself; the fast path takes over a flow that lasts, from packet {packets} on"
        ),
        FlowPath::Never => "netpath handles it itself, as all ICMP".to_owned(),
        FlowPath::Off => {
            "netpath handles it itself: the fast path is off ('dmesg' says why)".to_owned()
        }
    }
}

/// What becomes of the packet, in one sentence.
#[must_use]
pub fn summary(report: &TraceReport) -> String {
    let told = |told| match told {
        true => "its sender is told",
        false => "silently",
    };
    match report.end {
        TraceEnd::Forwarded => {
            let lost = report.steps.contains(&TraceStep::Hop(None));
            match lost {
                true => "It is translated, and then lost for want of a router.".to_owned(),
                false => "It is passed on.".to_owned(),
            }
        }
        TraceEnd::Local => {
            "It is for the gateway itself: its own programs take it, or the kernel refuses it."
                .to_owned()
        }
        TraceEnd::Dhcp => {
            "It is an answer to the gateway's DHCP client, which reads it.".to_owned()
        }
        TraceEnd::Dropped { reason, told: is } => format!(
            "It is dropped, {}: {} ({}). What to do: {}.",
            told(is),
            reason.what(),
            reason.name(),
            reason.remedy()
        ),
        TraceEnd::Guarded(stray) => format!(
            "It is dropped by the guard, silently: {} ({}). What to do: {}.",
            stray.what(),
            stray.name(),
            stray.remedy()
        ),
    }
}
