//! Points on the calendar, UTC, for texts that people read. RFC 3339 spellings.

const DAY: u64 = 86_400;

/// Year, month (1 to 12) and day (1 to 31) of a second since 1970 in the proleptic Gregorian calendar: days
/// are counted from 1 March of year 0, so that a leap day is the last day of its year.
#[must_use]
pub fn date(seconds: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468;
    const DAYS_400_YEARS: u64 = 146_097;
    let days = seconds / DAY + DAYS_TO_1970;
    let (era, day) = (days / DAYS_400_YEARS, days % DAYS_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March on have 31, 30, 31, 30, 31 days, again and again: 153 in five.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..10 => (era * 400 + year, month + 3),
        _ => (era * 400 + year + 1, month - 9),
    };
    (year, month, day)
}

/// Days since 1970 of a day as `2026-11-25`; `None` for any other text, and for a day that no calendar has.
#[must_use]
pub fn day(text: &str) -> Option<u64> {
    let digits = |part: &str, count: usize| {
        let whole = part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u64>().ok().filter(|_| whole)
    };
    let mut parts = text.splitn(3, '-');
    let year = digits(parts.next()?, 4).filter(|year| *year >= 1970)?;
    let month = digits(parts.next()?, 2)?;
    let wanted = (year, month, digits(parts.next()?, 2)?);
    // At most a year and a month from the year's first day, so the search is short.
    let first = (year - 1970) * 365;
    (first..first + 366 + (year - 1970) / 4 + 1).find(|days| date(days * DAY) == wanted)
}

/// `2026-11-25`, of days since 1970.
#[must_use]
pub fn day_text(days: u64) -> String {
    let (year, month, day) = date(days.saturating_mul(DAY));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2026-11`
#[must_use]
pub fn month(seconds: u64) -> String {
    let (year, month, _) = date(seconds);
    format!("{year:04}-{month:02}")
}

/// `2026-11-25T09:14:00Z`
#[must_use]
pub fn time(seconds: u64) -> String {
    let (year, month, day) = date(seconds);
    let (hour, minute, second) = (seconds % DAY / 3600, seconds % 3600 / 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points_are_right() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_598_040, "2026-11-25T09:14:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(time(seconds), text);
        }
        assert_eq!(month(1_795_598_040), "2026-11");
    }

    #[test]
    fn a_day_is_read_as_it_is_written() {
        for days in (0..2_000_000).step_by(97) {
            assert_eq!(day(&day_text(days)), Some(days).filter(|d| *d < 2_932_897));
        }
        for text in [
            "",
            "2026-11",
            "2026-02-29",
            "2026-13-01",
            "2026-1-01",
            "+026-01-01",
            "1969-12-31",
            "2026-11-25Z",
        ] {
            assert_eq!(day(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = date(0);
        for day in 1..200_000 {
            let next = date(day * DAY);
            let (year, month, first) = next;
            match first {
                1 => assert!((28..=31).contains(&last.2), "{last:?} {next:?}"),
                _ => assert_eq!(next, (last.0, last.1, last.2 + 1)),
            }
            assert!((1..=12).contains(&month) && year >= last.0);
            last = next;
        }
    }
}
