//! Moments as people write them: RFC 3339, such as `2026-11-22T06:42:01.5Z` or `2026-11-22`, or
//! milliseconds since 1970-01-01 UTC.

/// The moment in milliseconds since 1970-01-01 UTC. Digits below the millisecond are dropped.
pub(crate) fn moment(text: &str) -> Result<u64, String> {
    if !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) {
        return text.parse().map_err(|_| "so many milliseconds cannot be counted".to_owned());
    }
    rfc3339(text).ok_or_else(|| {
        "expected a time as in 2026-11-22T06:42:01Z or 2026-11-22T08:42:01.5+02:00, a day as in \
         2026-11-22 (UTC), or milliseconds since 1970"
            .to_owned()
    })
}

fn rfc3339(text: &str) -> Option<u64> {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let days = days(date)?;
    let (of_day, offset) = time.map_or(Some((0, 0)), clock)?;
    let ms = days * 86_400_000 + of_day - offset;
    u64::try_from(ms).ok()
}

/// Days from 1970-01-01 to a date in the Gregorian calendar.
fn days(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || !(1..=length).contains(&day) {
        return None;
    }
    // Years are counted from March, so that the leap day comes last.
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
            - 719_468,
    )
}

/// Milliseconds of a time of day, and of its distance from UTC.
fn clock(time: &str) -> Option<(i64, i64)> {
    let (time, offset) = match time.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => {
            let at = time.rfind(['+', '-'])?;
            let (hours, minutes) = time[at + 1..].split_once(':')?;
            let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let sign = if time[at..].starts_with('-') { -1 } else { 1 };
            (&time[..at], sign * (hours * 60 + minutes) * 60_000)
        }
    };
    let (time, fraction) = match time.split_once('.') {
        Some((time, fraction)) => (time, millis(fraction)?),
        None => (time, 0),
    };
    let mut parts = time.split(':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let second = number(parts.next()?, 2)?;
    // A leap second is the last one of its minute: the clocks of computers do not know it.
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some((((hour * 60 + minute) * 60 + second.min(59)) * 1_000 + fraction, offset))
}

fn millis(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain("00".bytes()).take(3);
    Some(digits.fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0')))
}

fn number(digits: &str, length: usize) -> Option<i64> {
    let plain = digits.len() == length && digits.bytes().all(|c| c.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_understood_as_people_write_them() {
        for (text, ms) in [
            ("0", 0),
            ("1795328521123", 1_795_328_521_123),
            ("1970-01-01", 0),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("2026-11-22T06:22:01.123Z", 1_795_328_521_123),
            ("2026-11-22T08:22:01.1239+02:00", 1_795_328_521_123),
            ("2026-11-22 01:22:01.1-05:00", 1_795_328_521_100),
            ("2100-03-01t00:00:00z", 4_107_542_400_000),
            ("2016-12-31T23:59:60Z", 1_483_228_799_000),
        ] {
            assert_eq!(moment(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "now",
            "-1",
            "2026-02-29",
            "2026-13-01",
            "2026-11-22T06:22",
            "2026-11-22T06:22:01",
            "2026-11-22T24:00:00Z",
            "2026-11-22T06:22:01.Z",
            "2026-11-22T06:22:01+2:00",
            "1969-12-31",
            "99999999999999999999",
            "2026-11-22T06:22:01\u{e9}",
            "+026-11-22",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
