//! Decimal numbers as sort keys, compared exactly: two prices or two times that differ in their
//! last digit are not the same.

/// Digits after the point that are compared.
const FRACTION: usize = 18;

/// The number times 10^18; nothing if it is no plain decimal number, or has more than 18 digits
/// after the point or about 20 before it.
pub(super) fn key(text: &str) -> Option<i128> {
    let (negative, digits) = match text.trim().strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.trim()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let fraction = fraction.trim_end_matches('0');
    if whole.len() + fraction.len() == 0 && !digits.contains('0') {
        return None;
    }
    if !plain(whole) || !plain(fraction) || fraction.len() > FRACTION {
        return None;
    }
    let scaled: i128 = format!("0{whole}{fraction:0<FRACTION$}").parse().ok()?;
    Some(if negative { -scaled } else { scaled })
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn neighbours_are_told_apart() {
        assert!(key("2.927373") < key("2.9273731"));
        assert!(key("1700000000000000001") < key("1700000000000000002"));
        assert!(key("-2") < key("-1.5") && key("-0.1") < key("0"));
        assert_eq!(key("1.50"), key("01.5"));
        assert_eq!(key("0.000"), key("0"));
    }

    #[test]
    fn what_is_no_plain_number_has_no_place() {
        for text in ["", "-", ".", "1e3", "abc", "1.2.3", "+1", "0.1234567890123456789"] {
            assert_eq!(key(text), None, "{text}");
        }
    }
}
