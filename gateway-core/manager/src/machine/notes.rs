//! What a service says at its notify socket: the lines of sd_notify(3) that mean something here. The bytes
//! are a stranger's: whatever they are, they become known words or nothing.

use crate::limits::STATUS_TEXT_MAX;

/// One thing that a service said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// `READY=1`: it does its work.
    Ready,
    /// `STOPPING=1`: it ends by itself now, and gives no further sign of life.
    Stopping,
    /// `WATCHDOG=1`: it lives.
    Alive,
    /// `WATCHDOG=trigger`: it has found itself in a state that only a new start mends.
    Hung,
    /// `STATUS=...`: how it is, for people.
    Status(String),
}

/// The known lines of a message, in their order. Others are ignored, as the protocol wants it: what is
/// asked for by them (`MAINPID=`, `FDSTORE=1`, `EXTEND_TIMEOUT_USEC=` ...) a service does not get here.
#[must_use]
pub fn parse(message: &[u8]) -> Vec<Note> {
    let lines = message.split(|&byte| byte == b'\n');
    lines.filter_map(note).collect()
}

fn note(line: &[u8]) -> Option<Note> {
    match line {
        b"READY=1" => Some(Note::Ready),
        b"STOPPING=1" => Some(Note::Stopping),
        b"WATCHDOG=1" => Some(Note::Alive),
        b"WATCHDOG=trigger" => Some(Note::Hung),
        other => other.strip_prefix(b"STATUS=").map(status),
    }
}

/// The text as a console can show it: no control characters, not too long.
fn status(text: &[u8]) -> Note {
    let text = String::from_utf8_lossy(text);
    let shown = text.trim().chars().map(|c| match c {
        c if c.is_control() => '?',
        c => c,
    });
    Note::Status(shown.take(STATUS_TEXT_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_lines_are_read_and_others_are_ignored() {
        let message =
            b"READY=1\nMAINPID=7\nSTATUS=42 torrents\nWATCHDOG=1\nREADY=0\nready=1\n\nREADY=1 \n\
                        STOPPING=1\nWATCHDOG=trigger";
        assert_eq!(
            parse(message),
            [
                Note::Ready,
                Note::Status("42 torrents".into()),
                Note::Alive,
                Note::Stopping,
                Note::Hung
            ]
        );
    }

    #[test]
    fn a_status_can_not_write_on_the_console() {
        let parsed = parse(b"STATUS= \x1b[2Jgone\xff ");
        assert_eq!(parsed, [Note::Status("?[2Jgone\u{fffd}".into())]);
        let Note::Status(text) = status(&[b'x'; 5000]) else {
            panic!()
        };
        assert_eq!(text.len(), STATUS_TEXT_MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_are_words_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            for note in parse(&bytes) {
                if let Note::Status(text) = note {
                    prop_assert!(!text.chars().any(char::is_control));
                    prop_assert!(text.chars().count() <= STATUS_TEXT_MAX);
                }
            }
        }
    }
}
