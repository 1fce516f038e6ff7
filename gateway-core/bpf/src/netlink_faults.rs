//! A kernel that lies: answers that are torn, or not meant, or not to be. None of them is taken for a good
//! one, none is waited for without end, and the next request is answered for itself.

use super::*;
use proptest::prelude::*;
use std::os::unix::net::UnixDatagram;

/// A socket whose other end is the test's; the first request has number 1.
fn liar() -> (Netlink, UnixDatagram) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let netlink = Netlink {
        fd: ours.into(),
        sequence: 0,
        patience_ms: 10,
    };
    (netlink, theirs)
}

fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    Message::new(kind, 0, body).finish(sequence)
}

fn verdict(sequence: u32, error: i32) -> Vec<u8> {
    message(NLMSG_ERROR, sequence, &error.to_ne_bytes())
}

/// What comes of a request whose answers are these, one datagram each.
fn asked(answers: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, KernelError> {
    let (mut netlink, kernel) = liar();
    for answer in answers {
        kernel.send(answer).unwrap();
    }
    netlink.dump("ask", Message::new(18, 0, &[]))
}

fn refused(errno: i32) -> Result<Vec<Vec<u8>>, KernelError> {
    Err(KernelError::Refused { what: "ask", errno })
}

#[test]
fn an_error_that_is_none_is_no_answer() {
    // given the largest errno, when it is more, or positive, or has no positive counterpart
    assert_eq!(asked(&[verdict(1, -ERRNO_MAX)]), refused(ERRNO_MAX));
    for error in [-ERRNO_MAX - 1, 17, i32::MIN, i32::MAX] {
        // then it is no answer
        assert_eq!(
            asked(&[verdict(1, error)]),
            Err(KernelError::Answer),
            "{error}"
        );
    }
}

#[test]
fn a_lost_part_makes_the_whole_no_answer_and_idle_talk_does_not() {
    let part = message(NLMSG_MIN_TYPE, 1, &[1, 2, 3, 4]);
    let (nothing, lost) = (message(1, 1, &[]), message(NLMSG_OVERRUN, 1, &[]));
    let end = message(NLMSG_DONE, 1, &0i32.to_ne_bytes());
    let said = Ok(vec![vec![1, 2, 3, 4]]);
    assert_eq!(asked(&[part.clone(), nothing, end.clone()]), said);
    assert_eq!(asked(&[part, lost, end]), Err(KernelError::Answer));
}

#[test]
fn silence_and_a_closed_socket_end_the_wait() {
    // given a kernel that says nothing, or only what is meant for another
    assert_eq!(asked(&[]), refused(libc::ETIMEDOUT));
    assert_eq!(asked(&[verdict(7, 0)]), refused(libc::ETIMEDOUT));
    assert_eq!(
        asked(&[Vec::new(), verdict(1, 0)]),
        Err(KernelError::Answer)
    );
    // and one that never stops
    let (mut netlink, kernel) = liar();
    let talk = std::thread::spawn(move || while kernel.send(&verdict(7, 0)).is_ok() {});
    let said = netlink.dump("ask", Message::new(18, 0, &[]));
    assert_eq!(said, Err(KernelError::Answer));
    drop(netlink);
    talk.join().unwrap();
}

#[test]
fn the_next_request_is_answered_for_itself() {
    // given an answer that is torn, and the rest of it, which comes late
    let (mut netlink, kernel) = liar();
    kernel.send(&[9; 20]).unwrap();
    let ask = || Message::new(18, 0, &[]);
    assert_eq!(netlink.request("ask", ask()), Err(KernelError::Answer));
    kernel.send(&message(NLMSG_MIN_TYPE, 1, b"old!")).unwrap();
    kernel.send(&verdict(1, -libc::EPERM)).unwrap();
    // when another request is made, then it gets its own answer
    kernel.send(&message(NLMSG_MIN_TYPE, 2, b"new!")).unwrap();
    kernel.send(&verdict(2, 0)).unwrap();
    assert_eq!(netlink.query("ask", ask()), Ok(b"new!".to_vec()));
}

/// How an answer is damaged.
#[derive(Clone, Debug)]
enum Damage {
    Cut(prop::sample::Index),
    Byte(prop::sample::Index, u8),
    Length(u32),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        any::<(prop::sample::Index, u8)>().prop_map(|(at, byte)| Damage::Byte(at, byte)),
        any::<u32>().prop_map(Damage::Length),
        (0u32..64).prop_map(Damage::Length),
    ]
}

fn damaged(mut bytes: Vec<u8>, damage: &Damage) -> Vec<u8> {
    match damage {
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Damage::Byte(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Damage::Length(length) => bytes[..4].copy_from_slice(&length.to_ne_bytes()),
    }
    bytes
}

fn bodies() -> impl Strategy<Value = Vec<(u32, u16, Vec<u8>)>> {
    let body = prop::collection::vec(any::<u8>(), 0..40);
    prop::collection::vec((0u32..4, 0u16..24, body), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_whole_answer_is_what_was_said_under_its_number(parts in bodies(), error in -40i32..=0) {
        // given messages of all kinds but those that end an answer, all in one datagram
        let ends = [NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN];
        let parts: Vec<_> = parts.into_iter().filter(|(_, kind, _)| !ends.contains(kind)).collect();
        let mut datagram: Vec<u8> = Vec::new();
        for (sequence, kind, body) in &parts {
            datagram.extend(message(*kind, *sequence, body));
            datagram.resize(datagram.len().next_multiple_of(4), 0);
        }
        datagram.extend(verdict(1, error));
        // then exactly those of this number and of rtnetlink's kinds are the answer
        let ours = parts.into_iter().filter(|(s, kind, _)| *s == 1 && *kind >= NLMSG_MIN_TYPE);
        let expected = match error {
            0 => Ok(ours.map(|(_, _, body)| body).collect()),
            error => refused(-error),
        };
        prop_assert_eq!(asked(&[datagram]), expected);
    }

    #[test]
    fn a_damaged_answer_says_nothing_that_was_not_sent(
        parts in bodies(),
        damages in prop::collection::vec((any::<prop::sample::Index>(), damage()), 1..4),
    ) {
        // given an answer of some datagrams, and damage to some of them
        let mut sent: Vec<Vec<u8>> = parts.iter().map(|(s, kind, body)| message(*kind, *s, body)).collect();
        sent.push(verdict(1, 0));
        for (at, damage) in &damages {
            let at = at.index(sent.len());
            if !sent[at].is_empty() && sent[at].len() >= 4 {
                sent[at] = damaged(std::mem::take(&mut sent[at]), damage);
            }
        }
        sent.retain(|datagram| !datagram.is_empty());
        // then it ends, and what is taken from it was in it
        if let Ok(said) = asked(&sent) {
            for part in said {
                let was_sent = |datagram: &Vec<u8>| part.is_empty() || datagram.windows(part.len()).any(|w| w == part);
                prop_assert!(sent.iter().any(was_sent));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), sequence in 0u32..3) {
        let mut said = Vec::new();
        let _ = acknowledgement(&bytes, sequence, &mut said);
        prop_assert!(said.concat().len() <= bytes.len());
        let read: usize = attributes(&bytes).map(|(_, value)| value.len() + 4).sum();
        prop_assert!(read <= bytes.len() + 3);
    }
}
