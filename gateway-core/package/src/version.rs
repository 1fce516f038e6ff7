//! Which of two versions is the older one. A version is any text; what counts are its numbers and words, in
//! order: numbers by value, words by letter, a number above a word, and what goes on above what has ended.
//! Everything else only separates: `1.0-2` and `1.0.2` are equal. So `1.9` < `1.10`, `1.0` < `1.0.1`, and also
//! `1.0` < `1.0-rc1`: name a candidate `0.99.1`.

use core::cmp::Ordering;

/// Compares two versions.
#[must_use]
pub fn compare(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (parts(one), parts(other));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match part(a, b) {
                Ordering::Equal => {}
                unequal @ (Ordering::Less | Ordering::Greater) => return unequal,
            },
        }
    }
}

fn is_number(part: &str) -> bool {
    part.bytes().all(|b| b.is_ascii_digit())
}

/// Runs of digits and runs of other letters.
fn parts(version: &str) -> impl Iterator<Item = &str> {
    version
        .split(|c: char| !c.is_alphanumeric())
        .flat_map(|word| {
            let mut rest = word;
            core::iter::from_fn(move || {
                let first = rest.chars().next()?;
                let kind = first.is_ascii_digit();
                let end = rest.find(|c: char| c.is_ascii_digit() != kind);
                let (part, left) = rest.split_at(end.unwrap_or(rest.len()));
                rest = left;
                Some(part)
            })
        })
}

fn part(a: &str, b: &str) -> Ordering {
    match (is_number(a), is_number(b)) {
        (true, true) => {
            // By value, however long: without leading zeroes the longer one is the larger.
            let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        }
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_stand_in_the_order_people_expect() {
        let rising = [
            "",
            "a",
            "b",
            "0",
            "0.9",
            "1.2",
            "1.2.1",
            "1.10",
            "1.22.1",
            "1.22.1-9",
            "1.22.1-9+deb12u3",
            "2",
            "99999999999999999999999",
        ];
        for (n, older) in rising.iter().enumerate() {
            for newer in rising.iter().skip(n + 1) {
                assert_eq!(compare(older, newer), Ordering::Less, "{older} {newer}");
                assert_eq!(compare(newer, older), Ordering::Greater, "{newer} {older}");
            }
        }
        for (same, too) in [("1.0", "1.0"), ("1.0", "1-0"), ("01", "1"), ("v1", "v.1")] {
            assert_eq!(compare(same, too), Ordering::Equal);
        }
    }

    proptest! {
        #[test]
        fn it_is_an_order(a in "[0-9a-c.+]{0,6}", b in "[0-9a-c.+]{0,6}", c in "[0-9a-c.+]{0,6}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b) != Ordering::Greater && compare(&b, &c) != Ordering::Greater {
                prop_assert!(compare(&a, &c) != Ordering::Greater);
            }
        }
    }
}
