//! The words of a request: those in its path, and its options.

use super::Operation;

/// What a word of a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordKind {
    /// Any text; what it means is the operation's to say.
    Text,
    /// A whole number, not below 0.
    Number,
    /// `true` or `false`.
    Flag,
    /// One of these.
    OneOf(&'static [&'static str]),
}

/// A word of a request: in its path, as `{name}`, or an option after the `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: WordKind,
    /// Whether a request without it is refused; always so in a path.
    pub required: bool,
    /// What it means, for a person.
    pub about: &'static str,
}

const fn option(name: &'static str, kind: WordKind, about: &'static str) -> Word {
    Word {
        name,
        kind,
        required: false,
        about,
    }
}

const fn required(name: &'static str, kind: WordKind, about: &'static str) -> Word {
    Word {
        required: true,
        ..option(name, kind, about)
    }
}

const NAME: Word = required(
    "name",
    WordKind::Text,
    "Name of a service or of a part of the gateway.",
);
const PORTS: Word = required(
    "ports",
    WordKind::Text,
    "A port, or a range as `8000-8010`.",
);
const TRANSPORT: Word = required(
    "transport",
    WordKind::OneOf(&["tcp", "udp"]),
    "Transport protocol.",
);
const FOLLOW: Word = option(
    "follow",
    WordKind::Flag,
    "Go on with what comes from now on.",
);

impl Operation {
    /// The words of its path, in their order.
    #[must_use]
    pub fn path_words(self) -> &'static [Word] {
        const ACT: Word = required(
            "verb",
            WordKind::OneOf(&["start", "stop", "restart"]),
            "What to do.",
        );
        const DOWN: Word = required(
            "verb",
            WordKind::OneOf(&["poweroff", "reboot"]),
            "How to go down.",
        );
        match self {
            Operation::Service | Operation::Logs => &[NAME],
            Operation::Act => &[NAME, ACT],
            Operation::AddForward | Operation::RemoveForward => &[TRANSPORT, PORTS],
            Operation::System => &[DOWN],
            Operation::Status
            | Operation::Services
            | Operation::Ranking
            | Operation::Rank
            | Operation::Top
            | Operation::Doctor
            | Operation::Events
            | Operation::Forwards
            | Operation::Usage
            | Operation::OpenUsage
            | Operation::UsageKey
            | Operation::Net
            | Operation::Sessions
            | Operation::Trace
            | Operation::OpenApi => &[],
        }
    }

    /// Its options.
    #[must_use]
    pub fn options(self) -> &'static [Word] {
        match self {
            Operation::Logs => const { &[FOLLOW] },
            Operation::Act => {
                const {
                    &[
                        option(
                            "make_room",
                            WordKind::Flag,
                            "End the fewest lower-ranked services that have to end for a start.",
                        ),
                        option(
                            "dry_run",
                            WordKind::Flag,
                            "Only say what a start would come to; the answer is a StartPlan.",
                        ),
                    ]
                }
            }
            Operation::Rank => {
                const {
                    &[required(
                        "order",
                        WordKind::Text,
                        "Names with commas between them, the most important first; empty: nobody is ranked. \
                 Who is not named follows in the order so far.",
                    )]
                }
            }
            Operation::Events => {
                const {
                    &[
                        FOLLOW,
                        option(
                            "after",
                            WordKind::Number,
                            "Only those with a higher number.",
                        ),
                    ]
                }
            }
            Operation::AddForward => {
                const {
                    &[
                        required(
                            "to",
                            WordKind::Text,
                            "A host's address, or a service's name.",
                        ),
                        option(
                            "port",
                            WordKind::Number,
                            "The first of its ports; the same where none is given.",
                        ),
                    ]
                }
            }
            Operation::Net => {
                const {
                    &[option(
                        "rates",
                        WordKind::Flag,
                        "Measure rates, which takes half a second; so where nothing is said.",
                    )]
                }
            }
            Operation::Sessions => {
                const {
                    &[
                        option(
                            "host",
                            WordKind::Text,
                            "Only those of this address of the home.",
                        ),
                        option("service", WordKind::Text, "Only those of this service."),
                    ]
                }
            }
            Operation::Trace => {
                const {
                    &[
                        required(
                            "source",
                            WordKind::Text,
                            "An address, with `:port` that of a live flow, or a service's name.",
                        ),
                        required(
                            "destination",
                            WordKind::Text,
                            "An address, a service's name, `gateway` or `wan`.",
                        ),
                        option(
                            "port",
                            WordKind::Number,
                            "The destination's port; not for icmp.",
                        ),
                        option(
                            "protocol",
                            WordKind::OneOf(&["tcp", "udp", "icmp"]),
                            "tcp where none is given.",
                        ),
                        option(
                            "from",
                            WordKind::OneOf(&["lan", "wan", "service"]),
                            "The side it comes from, where its source does not say so.",
                        ),
                    ]
                }
            }
            Operation::Status
            | Operation::Services
            | Operation::Service
            | Operation::Ranking
            | Operation::Top
            | Operation::Doctor
            | Operation::Forwards
            | Operation::RemoveForward
            | Operation::Usage
            | Operation::OpenUsage
            | Operation::UsageKey
            | Operation::System
            | Operation::OpenApi => &[],
        }
    }
}
