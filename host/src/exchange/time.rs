//! Times as RFC 3339 writes them. A page of arithmetic, instead of a crate with a calendar in it.

/// The first millisecond of the year 10000, which four digits cannot write.
const YEAR_10000: u64 = 253_402_300_800_000;
const DAY_MS: u64 = 86_400_000;

/// Milliseconds since 1970-01-01 UTC as `2026-11-22T06:42:01.123Z`; nothing from the year 10000 on.
#[must_use]
pub fn rfc3339(ms: u64) -> Option<String> {
    if ms >= YEAR_10000 {
        return None;
    }
    let (days, rest) = (ms / DAY_MS, ms % DAY_MS);
    // Years are counted from March, so that the leap day comes last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1_000 % 60, rest % 1_000);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"))
}

/// Reads `2026-11-22T06:42:01.123456Z` or with an offset such as `+01:00`; digits beyond milliseconds
/// are cut off. Nothing for other text, and for times before 1970.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let punctuation = [(4, b"-"), (7, b"-"), (13, b":"), (16, b":")];
    if punctuation.iter().any(|(at, mark)| bytes.get(*at) != mark.first())
        || !matches!(bytes.get(10)?, b'T' | b't' | b' ')
    {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    // A leap second is the last moment of its minute.
    if !(1..=last).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (milli, rest) = fraction(text.get(19..)?)?;
    let offset = offset(rest)?;
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    let seconds = days * 86_400 + hour * 3_600 + (minute - offset) * 60 + second.min(59);
    u64::try_from(seconds * 1_000 + milli).ok()
}

/// Milliseconds of `.123456`, and what follows.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(digits) = text.strip_prefix('.') else { return Some((0, text)) };
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    if length == 0 {
        return None;
    }
    let (digits, rest) = digits.split_at(length);
    let milli =
        digits.bytes().chain(*b"00").take(3).fold(0, |sum, d| sum * 10 + i64::from(d - b'0'));
    Some((milli, rest))
}

/// Minutes east of UTC.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_328_521_123, "2026-11-22T06:22:01.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (YEAR_10000 - 1, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(ms).as_deref(), Some(text));
            assert_eq!(parse_rfc3339(text), Some(ms));
        }
        assert_eq!(rfc3339(YEAR_10000), None);
        for day in 0..60_000 {
            let ms = day * DAY_MS + 7;
            assert_eq!(parse_rfc3339(&rfc3339(ms).unwrap()), Some(ms));
        }
    }

    #[test]
    fn other_ways_of_writing_a_time_are_read_and_nonsense_is_not() {
        let same = 1_795_328_521_120;
        for text in [
            "2026-11-22T06:22:01.12Z",
            "2026-11-22T06:22:01.1209z",
            "2026-11-22t07:22:01.12+01:00",
            "2026-11-21 20:52:01.12-09:30",
        ] {
            assert_eq!(parse_rfc3339(text), Some(same), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-11-22",
            "2026-11-22T06:22:01",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T06:22:01.Z",
            "2026-11-22T06:22:01+1:00",
            "+026-11-22T06:22:01Z",
            "1969-12-31T23:59:59Z",
            "2026-11-22T06:22:01+\u{e9}1:00",
            "2026-11-22T06:22:01Zz",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
