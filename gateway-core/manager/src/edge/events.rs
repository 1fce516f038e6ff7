//! What happened on this gateway: one line of JSON each in a book below `/run`, so since the boot, and
//! whoever follows. The numbers go on over a restart of the manager.

use super::book::{Book, Follow};
use super::paths::{Paths, now, wall};
use crate::limits::{EVENT_FOLLOWERS_MAX, EVENT_TEXT_MAX};
use crate::machine::Object;
use hearth_model::api::Event;
use log::Level;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Semaphore;

/// The events of this boot.
#[derive(Debug)]
pub struct Events {
    book: Book,
    next: AtomicU64,
    followers: Arc<Semaphore>,
}

impl Events {
    /// Goes on in the book of the last manager.
    #[must_use]
    pub fn open(paths: &Paths) -> Events {
        let book = Book::new(&paths.at("/run/hearth"), "events");
        let last = parse(&book.read()).last().map_or(0, |event| event.id);
        Events {
            book,
            next: AtomicU64::new(last + 1),
            followers: Arc::new(Semaphore::new(EVENT_FOLLOWERS_MAX)),
        }
    }

    /// Keeps what happened now.
    pub fn keep(&self, level: Level, object: &Object, text: &str) {
        let event = Event {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            time: wall(),
            uptime_ms: now().0,
            level: word(level).to_owned(),
            object: object.to_string(),
            text: text.chars().take(EVENT_TEXT_MAX).collect(),
        };
        match serde_json::to_vec(&event) {
            Ok(mut line) => {
                line.push(b'\n');
                self.book.keep(vec![line]);
            }
            Err(e) => log::debug!("an event could not be kept: {e}"),
        }
    }

    /// Those that are kept with a number above `after`, oldest first.
    #[must_use]
    pub fn since(&self, after: u64) -> Vec<Event> {
        newer(&self.book.read(), after)
    }

    /// As [`Events::since`], and a place to get the ones to come. `None` where
    /// [`EVENT_FOLLOWERS_MAX`] follow already.
    #[must_use]
    pub fn follow(&self, after: u64) -> Option<(Vec<Event>, Follow)> {
        let (kept, follow) = self.book.follow(&self.followers)?;
        Some((newer(&kept, after), follow))
    }
}

fn newer(lines: &[u8], after: u64) -> Vec<Event> {
    let mut events = parse(lines);
    events.retain(|event| event.id > after);
    events
}

/// Lines as events. A line that is none (a cut one, after a full `/run`) is left out.
pub fn parse(lines: &[u8]) -> Vec<Event> {
    let lines = lines.split(|&byte| byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

/// A level as RFC 5424 has it.
fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "informational",
        Level::Debug | Level::Trace => "debug",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_after_a_restart_and_texts_are_bounded() {
        // given two events and a line that was cut by a full disk
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path().to_owned());
        let wan = Object::Part("wan");
        let events = Events::open(&paths);
        events.keep(Level::Info, &wan, "192.0.2.7/24");
        events.keep(Level::Error, &wan, &"x".repeat(EVENT_TEXT_MAX + 9));
        events.book.keep(vec![b"{\"id\":\n".to_vec()]);
        // when another manager goes on
        let events = Events::open(&paths);
        events.keep(Level::Warn, &wan, "no address");
        // then nothing is lost and nothing is numbered twice
        let all = events.since(0);
        let ids: Vec<u64> = all.iter().map(|event| event.id).collect();
        assert_eq!(ids, [1, 2, 3]);
        assert_eq!(all[0].level, "informational");
        assert_eq!(all[1].text.len(), EVENT_TEXT_MAX);
        assert_eq!(events.since(2), all[2..]);
    }

    #[tokio::test]
    async fn followers_are_few_and_miss_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let events = Events::open(&Paths::new(folder.path().to_owned()));
        let object = Object::Part("lan");
        events.keep(Level::Info, &object, "one");
        let (kept, mut follow) = events.follow(0).unwrap();
        events.keep(Level::Info, &object, "two");
        assert_eq!(kept.len(), 1);
        let next = parse(&follow.lines.recv().await.unwrap());
        assert_eq!(next[0].text, "two");
        let others: Vec<_> = (1..EVENT_FOLLOWERS_MAX)
            .map(|_| events.follow(0).unwrap())
            .collect();
        assert!(events.follow(0).is_none());
        drop(others);
        assert!(events.follow(0).is_some());
    }
}
