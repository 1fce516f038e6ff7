//! Sizes and times of the console, each with unit and reason. Memory: 32 conversations of an 8 KiB
//! head and a page of at most a few 100 KiB, and one status, stay within the package's 16 MiB.

use core::time::Duration;

/// Port where the console listens unless told otherwise (RFC 9110, 4.2.1).
pub const PORT: u16 = 80;

/// Conversations at once; one request each.
pub const CONNECTIONS_MAX: usize = 32;

/// Conversations of one address of the home: no device takes the others' places. A browser opens
/// up to six.
pub const CONNECTIONS_CLIENT_MAX: usize = 8;

/// Longest wait for the head of a request: a slow phone needs one second, a slow attacker gets ten.
pub const HEAD_WAIT: Duration = Duration::from_secs(10);

/// Longest conversation: the head, the API's answer and the way of a page over a bad Wi-Fi.
pub const CONVERSATION_MAX: Duration = Duration::from_secs(30);

/// Largest head of a request, bytes (hyper's smallest buffer is 8 KiB).
pub const HEAD_MAX: usize = 8 * 1024;

/// Most header lines of a request; browsers send about 15.
pub const HEADERS_MAX: usize = 48;

/// Longest wait for the manager: shorter than a person's patience and than `CONVERSATION_MAX`.
pub const API_WAIT: Duration = Duration::from_secs(8);

/// How long an answer of the manager is shown to others: a crowd costs it one question a second.
pub const ANSWER_KEPT: Duration = Duration::from_secs(1);

/// Pause after a connection that could not be taken: others give descriptors back meanwhile.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
