//! When the gateway's own networks get out of the way of the Internet's side (RFC 4787 REQ-7). Where they go is
//! [`Networks::resolve`]'s; here is when: once what is in the way has stood for [`OVERLAP_STANDS_MS`], and not
//! more often than every [`MOVE_AGAIN_MS`]. A move counts only once it is on disk.

use crate::limits::{MOVE_AGAIN_MS, OVERLAP_STANDS_MS};
use hearth_model::Tick;
use hearth_model::gateway::GatewayConfig;
use hearth_model::networks::{Net, Networks, Resolved, overlap};
use hearth_model::protocol::{NetworkRole, WanStatus};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// netpath tells what it can not take, or that this is over.
    Overlap(Option<WanStatus>),
    /// [`Action::Keep`] is done: these are on disk.
    Kept(Networks),
    /// [`Action::Keep`] failed; the text says why.
    NotKept(String),
    /// The household's configuration, and what has moved, were read again.
    Configured(Box<GatewayConfig>, Networks),
    /// [`Mover::next_deadline`] has come.
    Deadline,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put these on disk; answer with [`Event::Kept`] or [`Event::NotKept`].
    Keep(Networks),
    /// From now on the gateway has this configuration: services, netpath and the home have to follow.
    Move(GatewayConfig),
    /// Nothing can be done; for the log.
    Tell(String),
}

/// What is in the way, and when that is acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    offer: WanStatus,
    due: Tick,
}

/// The gateway's own networks.
#[derive(Debug)]
pub struct Mover {
    configured: GatewayConfig,
    networks: Networks,
    standing: Option<Standing>,
    moved_at: Option<Tick>,
    /// Why the Internet's side can not be used, if so.
    stuck: Option<String>,
}

impl Mover {
    /// The networks of `gateway.toml`, and what has moved before.
    #[must_use]
    pub fn new(configured: GatewayConfig, networks: Networks) -> Mover {
        Mover {
            configured,
            networks,
            standing: None,
            moved_at: None,
            stuck: None,
        }
    }

    /// The configuration that is in force.
    #[must_use]
    pub fn in_force(&self) -> GatewayConfig {
        self.networks.applied_to(&self.configured)
    }

    /// One sentence for each network that has moved.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let rows = self.networks.in_force(&self.configured);
        rows.into_iter().map(|row| row.sentence()).collect()
    }

    /// Why the Internet's side can not be used, if it overlaps a network of ours that does not move.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.stuck.as_deref()
    }

    /// When to send [`Event::Deadline`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.standing.map(|standing| standing.due)
    }

    /// The one way in.
    pub fn step(&mut self, event: Event, now: Tick) -> Option<Action> {
        match event {
            Event::Overlap(None) => {
                (self.standing, self.stuck) = (None, None);
                None
            }
            Event::Overlap(Some(offer)) => {
                self.stands(offer, now);
                None
            }
            Event::Configured(configured, networks) => {
                let before = self.in_force();
                (self.configured, self.networks) = (*configured, networks);
                (self.standing, self.stuck) = (None, None);
                let after = self.in_force();
                (before != after).then_some(Action::Move(after))
            }
            Event::Kept(networks) => {
                self.networks = networks;
                (self.standing, self.stuck) = (None, None);
                self.moved_at = Some(now);
                Some(Action::Move(self.in_force()))
            }
            Event::NotKept(text) => {
                if let Some(standing) = &mut self.standing {
                    standing.due = now.after_ms(MOVE_AGAIN_MS);
                }
                let text = format!(
                    "the Internet side overlaps a network of this gateway, which does not move because {text}; the \
                     gateway tries again"
                );
                self.tell(text)
            }
            Event::Deadline => self.decide(now),
        }
    }

    /// An offer that overlaps the networks of now; an earlier netpath's word about earlier ones does not count.
    fn stands(&mut self, offer: WanStatus, now: Tick) {
        if overlap(&self.in_force().own_networks(), &offer).is_none() {
            return;
        }
        let since = now.after_ms(OVERLAP_STANDS_MS);
        let again = self.moved_at.map(|at| at.after_ms(MOVE_AGAIN_MS));
        let due = again.map_or(since, |again| again.max(since));
        // A server that offers one thing and then another stands in the way all the time.
        let due = self.standing.map_or(due, |standing| standing.due);
        self.standing = Some(Standing { offer, due });
    }

    fn decide(&mut self, now: Tick) -> Option<Action> {
        let standing = self.standing.filter(|standing| standing.due <= now)?;
        match self.networks.resolve(&self.configured, &standing.offer) {
            Resolved::Clear => {
                self.standing = None;
                None
            }
            Resolved::Move(networks) => Some(Action::Keep(networks)),
            Resolved::NoRoom(role, theirs) => {
                self.standing = None;
                self.tell(no_room(role, theirs))
            }
        }
    }

    fn tell(&mut self, text: String) -> Option<Action> {
        if self.stuck.as_ref() == Some(&text) {
            return None;
        }
        self.stuck = Some(text.clone());
        Some(Action::Tell(text))
    }
}

fn no_room(role: NetworkRole, theirs: Net) -> String {
    let (section, name) = match role {
        NetworkRole::Lan => ("lan", "the home's network"),
        NetworkRole::Services => ("services", "the services' network"),
        NetworkRole::Guest => ("guest", "the guests' network"),
    };
    format!(
        "the Internet side has {theirs}, which overlaps {name}, and every network to move to was in the way \
         before; choose one in [{section}] of /data/hearth/gateway.toml and type: hearth restart hearth-netpath"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_model::protocol::WanLease;

    fn configured() -> GatewayConfig {
        let text = include_str!("../../../../board/common/gateway.toml");
        GatewayConfig::parse("gateway.toml", text).unwrap()
    }

    fn offer(address: [u8; 4]) -> WanStatus {
        WanStatus {
            lease: Some(WanLease {
                address: address.into(),
                prefix: 24,
                router: None,
            }),
            ..WanStatus::default()
        }
    }

    fn mover() -> Mover {
        Mover::new(configured(), Networks::default())
    }

    /// Lets the time come, with a disk that works; what the gateway then has.
    #[track_caller]
    fn moves(mover: &mut Mover) -> (Tick, GatewayConfig) {
        let due = mover.next_deadline().unwrap();
        let Some(Action::Keep(networks)) = mover.step(Event::Deadline, due) else {
            panic!("nothing is kept");
        };
        let before = mover.in_force();
        let Some(Action::Move(after)) = mover.step(Event::Kept(networks), due) else {
            panic!("nothing moves");
        };
        assert_ne!(before, after);
        assert_eq!(mover.in_force(), after);
        (due, after)
    }

    #[test]
    fn what_stands_in_the_way_for_a_while_makes_the_home_move_once_it_is_on_disk() {
        // given an offer that overlaps
        let mut mover = mover();
        assert_eq!(mover.next_deadline(), None);
        assert_eq!(
            mover.step(Event::Overlap(Some(offer([192, 168, 1, 7]))), Tick(0)),
            None
        );
        // when it stands, then networks are kept first, and only then does anything move
        assert_eq!(
            mover.step(Event::Deadline, Tick(OVERLAP_STANDS_MS - 1)),
            None
        );
        let (due, after) = moves(&mut mover);
        assert_eq!(due, Tick(OVERLAP_STANDS_MS));
        assert_eq!(after.lan.address.to_string(), "192.168.44.1");
        // and one sentence tells, and nothing more is due
        assert_eq!(mover.notes().len(), 1);
        assert_eq!((mover.next_deadline(), mover.problem()), (None, None));
        // and the same word from the netpath of before changes nothing
        mover.step(Event::Overlap(Some(offer([192, 168, 1, 7]))), due);
        assert_eq!(mover.next_deadline(), None);
    }

    #[test]
    fn what_is_over_soon_moves_nothing() {
        let mut mover = mover();
        mover.step(Event::Overlap(Some(offer([192, 168, 1, 7]))), Tick(0));
        mover.step(Event::Overlap(None), Tick(OVERLAP_STANDS_MS / 2));
        assert_eq!(mover.next_deadline(), None);
        assert_eq!(mover.step(Event::Deadline, Tick(OVERLAP_STANDS_MS)), None);
        assert_eq!(mover.in_force(), configured());
    }

    #[test]
    fn a_second_move_waits_and_a_server_that_changes_its_mind_does_not_put_it_off() {
        // given a home that has moved
        let mut mover = mover();
        mover.step(Event::Overlap(Some(offer([192, 168, 1, 7]))), Tick(0));
        let (first, _) = moves(&mut mover);
        // when the next offer is in its way again, and again another one
        mover.step(
            Event::Overlap(Some(offer([192, 168, 44, 7]))),
            first.after_ms(100),
        );
        mover.step(
            Event::Overlap(Some(offer([10, 213, 0, 7]))),
            first.after_ms(900),
        );
        // then it moves for the last of them, after a while
        let (second, after) = moves(&mut mover);
        assert_eq!(second, first.after_ms(MOVE_AGAIN_MS));
        assert_eq!(after.lan.address.to_string(), "192.168.44.1");
        assert_eq!(after.services.subnet.to_string(), "192.168.180.0");
    }

    #[test]
    fn what_can_not_be_kept_moves_nothing_and_is_tried_again() {
        // given a disk that is full
        let mut mover = mover();
        mover.step(Event::Overlap(Some(offer([192, 168, 1, 7]))), Tick(0));
        let due = mover.next_deadline().unwrap();
        assert!(matches!(
            mover.step(Event::Deadline, due),
            Some(Action::Keep(_))
        ));
        // when that is told, then it is a problem, told once
        let full = Event::NotKept("could not write networks.toml: no space left".to_owned());
        let Some(Action::Tell(text)) = mover.step(full.clone(), due) else {
            panic!("nothing is told");
        };
        assert!(text.contains("no space left"), "{text}");
        assert_eq!(mover.problem(), Some(&*text));
        assert_eq!(mover.in_force(), configured());
        // and it is tried again, and then over
        let again = mover.next_deadline().unwrap();
        assert_eq!(again, due.after_ms(MOVE_AGAIN_MS));
        assert!(matches!(
            mover.step(Event::Deadline, again),
            Some(Action::Keep(_))
        ));
        assert_eq!(mover.step(full, again), None);
        moves(&mut mover);
        assert_eq!(mover.problem(), None);
    }

    #[test]
    fn a_server_that_is_everywhere_is_told_once_and_moves_nothing() {
        // given a server that offers all of 10/8, 172.16/12 and 192.168/16 in turn
        let wide = |address: [u8; 4], prefix| {
            let mut offer = offer(address);
            offer.lease.as_mut().unwrap().prefix = prefix;
            Event::Overlap(Some(offer))
        };
        let mut mover = mover();
        mover.step(wide([192, 168, 0, 7], 16), Tick(0));
        moves(&mut mover);
        mover.step(wide([172, 16, 0, 7], 12), Tick(0));
        moves(&mut mover);
        mover.step(wide([10, 0, 0, 7], 8), Tick(0));
        // when there is nowhere left, then it is told, and how to choose
        let due = mover.next_deadline().unwrap();
        let Some(Action::Tell(text)) = mover.step(Event::Deadline, due) else {
            panic!("nothing is told");
        };
        assert!(
            text.contains("10.0.0.0/8") && text.contains("gateway.toml"),
            "{text}"
        );
        assert_eq!(mover.next_deadline(), None);
        // and the same once more is not told again, and its end is heard
        mover.step(wide([10, 0, 0, 7], 8), due);
        let due = mover.next_deadline().unwrap();
        assert_eq!(mover.step(Event::Deadline, due), None);
        mover.step(Event::Overlap(None), due);
        assert_eq!(mover.problem(), None);
    }

    #[test]
    fn what_the_household_configures_counts_at_once() {
        // given a home that has moved
        let mut mover = mover();
        mover.step(Event::Overlap(Some(offer([192, 168, 1, 7]))), Tick(0));
        let (at, after) = moves(&mut mover);
        // when nothing new is configured, then nothing moves
        let moved = mover.networks.clone();
        let read =
            |config: &GatewayConfig| Event::Configured(Box::new(config.clone()), moved.clone());
        assert_eq!(mover.step(read(&configured()), at), None);
        assert_eq!(mover.in_force(), after);
        // when another network is, then that is the home's
        let text = include_str!("../../../../board/common/gateway.toml");
        let text = text.replace("192.168.1.", "192.168.60.");
        let chosen = GatewayConfig::parse("gateway.toml", &text).unwrap();
        let done = mover.step(read(&chosen), at);
        assert_eq!(done, Some(Action::Move(chosen)));
        assert!(mover.notes().is_empty());
        // when it removes what the gateway has written, then the home is back where it was
        assert_eq!(
            mover.step(read(&configured()), at),
            Some(Action::Move(after))
        );
        let back = Event::Configured(Box::new(configured()), Networks::default());
        assert_eq!(mover.step(back, at), Some(Action::Move(configured())));
    }
}
