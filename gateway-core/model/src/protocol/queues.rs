//! The queues of the line to the Internet, as netpath reports them.

use crate::ids::ServiceId;
use crate::units::BitsPerSec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Most rows of one [`QueuePage`]: no record is much larger than the others, and a home has few queues.
pub const QUEUE_ROWS_MAX: usize = 3;

/// A direction of the line to the Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the Internet.
    Up,
    /// From the Internet.
    Down,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::Up, Direction::Down];

    /// The word in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }
}

/// What holds the packets of a class, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeafKind {
    /// tc-cake(8): fair between hosts and flows, and short.
    Cake,
    /// tc-fq_codel(8): fair between flows, and short.
    FqCodel,
    /// tc-pfifo(8): first come, first served.
    Pfifo,
}

impl LeafKind {
    /// The kernel's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LeafKind::Cake => "cake",
            LeafKind::FqCodel => "fq_codel",
            LeafKind::Pfifo => "pfifo",
        }
    }
}

/// A class of the line: packets of one go before those of the next, as far as nobody's reserve is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineClass {
    /// What keeps the line itself going: the gateway's own.
    Control,
    /// Services that must not wait.
    Guaranteed,
    /// Somebody waits for it.
    Interactive,
    /// Everything that says nothing else.
    Bulk,
    /// What gives way to all others (RFC 8622).
    Background,
}

impl LineClass {
    /// Every class, the first one first.
    pub const ALL: [LineClass; 5] = [
        LineClass::Control,
        LineClass::Guaranteed,
        LineClass::Interactive,
        LineClass::Bulk,
        LineClass::Background,
    ];

    /// The word in the data file and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LineClass::Control => "control",
            LineClass::Guaranteed => "guaranteed",
            LineClass::Interactive => "interactive",
            LineClass::Bulk => "bulk",
            LineClass::Background => "background",
        }
    }
}

/// Whose packets wait in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum QueueOwner {
    /// Those of the home and of the gateway itself, of this class.
    Class(LineClass),
    /// A service's.
    Service(ServiceId),
}

/// A queue: what it may send, and what it has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRow {
    /// Whose.
    pub owner: QueueOwner,
    /// Its class; a service's is that of its share.
    pub class: LineClass,
    /// Guaranteed.
    pub rate: BitsPerSec,
    /// Most that it gets.
    pub ceiling: BitsPerSec,
    /// Bytes that have left.
    pub bytes: u64,
    /// Packets that have left.
    pub packets: u32,
    /// Packets dropped: the line was full.
    pub drops: u32,
    /// Bytes that wait now.
    pub backlog: u32,
    /// Packets that wait now.
    pub waiting: u32,
}

/// A step of setting up a direction's queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueStep {
    /// Read the data file.
    Data,
    /// Load the programs that choose a packet's class.
    Programs,
    /// Make the pair of links on which downloads wait.
    Pair,
    /// Make the HTB and its classes.
    Classes,
    /// Give each class its leaf.
    Leaves,
}

impl QueueStep {
    /// What was tried, as an infinitive.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            QueueStep::Data => "read the queues' data file",
            QueueStep::Programs => "load the programs that choose classes",
            QueueStep::Pair => "make the links on which downloads wait",
            QueueStep::Classes => "set up HTB and its classes (kernel module sch_htb)",
            QueueStep::Leaves => "give the classes their leaves",
        }
    }
}

/// How a direction of the line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shaping {
    /// Nothing waits here: the household did not say what the line carries, or its port is not there.
    Off,
    /// Packets wait here, and not in the modem.
    On {
        /// What leaves at most: the line's rate less what the data file keeps free.
        rate: BitsPerSec,
        /// What holds the packets of a class.
        leaf: LeafKind,
    },
    /// Wanted, but not to be had: packets leave as they come.
    Failed {
        /// What failed.
        step: QueueStep,
        /// errno(3).
        errno: i32,
    },
}

impl fmt::Display for Shaping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shaping::Off => f.write_str("not shaped"),
            Shaping::On { rate, leaf } => write!(f, "shaped to {rate}, leaves {}", leaf.name()),
            Shaping::Failed { step, errno } => write!(
                f,
                "not shaped: could not {}: {}",
                step.what(),
                crate::step::errno_words(*errno)
            ),
        }
    }
}

/// Answer to [`super::ToNetpath::Queues`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePage {
    /// Which direction.
    pub direction: Direction,
    /// How it is.
    pub shaping: Shaping,
    /// Its queues from the place that was asked for on; none while it is not shaped.
    pub rows: heapless::Vec<QueueRow, QUEUE_ROWS_MAX>,
    /// Where to ask next; `None`: these were the last ones.
    pub next: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{RECORD_MAX, SERVICES_MAX};
    use crate::protocol::{FromNetpath, decode, encode};

    #[test]
    fn the_largest_page_fits_in_a_record() {
        let last = u16::try_from(SERVICES_MAX - 1).unwrap();
        let row = QueueRow {
            owner: QueueOwner::Service(ServiceId::new(last).unwrap()),
            class: LineClass::Background,
            rate: BitsPerSec(u64::MAX),
            ceiling: BitsPerSec(u64::MAX),
            bytes: u64::MAX,
            packets: u32::MAX,
            drops: u32::MAX,
            backlog: u32::MAX,
            waiting: u32::MAX,
        };
        let page = FromNetpath::Queues(QueuePage {
            direction: Direction::Down,
            shaping: Shaping::On {
                rate: BitsPerSec(u64::MAX),
                leaf: LeafKind::Pfifo,
            },
            rows: heapless::Vec::from_slice(&[row; QUEUE_ROWS_MAX]).unwrap(),
            next: Some(u16::MAX),
        });
        let mut buffer = [0; RECORD_MAX];
        let bytes = encode(&page, &mut buffer).unwrap();
        assert_eq!(decode(bytes), Ok(page));
    }

    #[test]
    fn a_failure_names_what_to_look_at() {
        let failed = Shaping::Failed {
            step: QueueStep::Classes,
            errno: 2,
        };
        assert!(failed.to_string().contains("sch_htb"), "{failed}");
    }
}
