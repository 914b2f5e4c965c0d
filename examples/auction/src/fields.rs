//! The fields of a bid as people and spreadsheets write them: amounts as `95`, `95.5` or `"95.50"`,
//! names as text or as a number.
//!
//! Invariant: an amount is a whole number of cents from the moment it is read. One that is not
//! (three decimals, a sign, an exponent) is an error, never rounded.

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// The fields of a JSON object; nothing if the payload is anything else. An array is not taken for a
/// list of fields, which serde would do and other languages would not.
pub(crate) fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Option<T> {
    if payload.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(payload).ok()
}

/// An amount of money in cents, from 0 to [`Cents::MAX`]. Written to JSON as `"95.50"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cents(u64);

/// Who bids: text, or a whole number that every language reads exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a>(pub(crate) Cow<'a, str>);

/// 2^53 - 1: larger numbers are not exact in every language.
const NUMBER_MAX: u64 = (1 << 53) - 1;

impl Cents {
    /// 10 billion less a cent: far below 2^53 cents, up to which a JSON number is exact.
    pub(crate) const MAX: Cents = Cents(999_999_999_999);
    /// The smallest step.
    pub(crate) const ONE: Cents = Cents(1);

    /// The sum, which may exceed [`Cents::MAX`]; sums of two never overflow.
    #[must_use]
    pub(crate) fn plus(self, other: Cents) -> Cents {
        Cents(self.0 + other.0)
    }

    /// Reads up to ten digits, and up to two more behind a point.
    fn parse(text: &str) -> Option<Cents> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !(1..=10).contains(&whole.len()) || !(1..=2).contains(&part.len()) {
            return None;
        }
        if !digits(whole) || !digits(part) {
            return None;
        }
        let tens = if part.len() == 1 { 10 } else { 1 };
        Some(Cents(whole.parse::<u64>().ok()? * 100 + part.parse::<u64>().ok()? * tens))
    }

    fn from_number(number: f64) -> Option<Cents> {
        let cents = (number * 100.0).round();
        // Division rounds correctly, so exactly the numbers written with two decimals come back.
        let exact = cents / 100.0 == number && (0.0..=Cents::MAX.0 as f64).contains(&cents);
        exact.then_some(Cents(cents as u64))
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl Serialize for Cents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Cents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cents, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(CentsVisitor)
        } else {
            u64::deserialize(deserializer).map(Cents)
        }
    }
}

struct CentsVisitor;

impl Visitor<'_> for CentsVisitor {
    type Value = Cents;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount from 0 to 9999999999.99 with at most two decimals")
    }

    fn visit_u64<E: Error>(self, whole: u64) -> Result<Cents, E> {
        whole
            .checked_mul(100)
            .map(Cents)
            .filter(|cents| *cents <= Cents::MAX)
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(whole), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Cents, E> {
        Cents::from_number(number).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cents, E> {
        Cents::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name<'a>, D::Error> {
        deserializer.deserialize_any(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Name<'de>, E> {
        if number > NUMBER_MAX {
            return Err(E::invalid_value(Unexpected::Unsigned(number), &self));
        }
        Ok(Name(Cow::Owned(number.to_string())))
    }

    // Many readers of JSON do not tell 7.0 from 7.
    fn visit_f64<E: Error>(self, number: f64) -> Result<Name<'de>, E> {
        if number.fract() != 0.0 || !(0.0..=NUMBER_MAX as f64).contains(&number) {
            return Err(E::invalid_value(Unexpected::Float(number), &self));
        }
        self.visit_u64(number as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atomic_store_guest::testing::proposal;

    fn cents(json: &str) -> Option<u64> {
        proposal("amount", json).json::<Cents>().ok().map(|cents| cents.0)
    }

    #[test]
    fn amounts_are_exact_in_every_notation() {
        for (json, expected) in [
            ("95", 9500),
            ("95.00", 9500),
            ("95.5", 9550),
            ("0.29", 29),
            ("1.15", 115),
            ("\"95\"", 9500),
            ("\"95.5\"", 9550),
            ("\"0.01\"", 1),
            ("0", 0),
            ("9999999999.99", 999_999_999_999),
            ("\"9999999999.99\"", 999_999_999_999),
        ] {
            assert_eq!(cents(json), Some(expected), "{json}");
        }
    }

    #[test]
    fn every_amount_of_cents_reads_back_as_a_number_and_as_text() {
        let step = 99_999_959; // A prime, so that the cents vary.
        for value in (0..200_000).chain((0..=Cents::MAX.0).step_by(step)).map(Cents) {
            assert_eq!(cents(&value.to_string()), Some(value.0));
            assert_eq!(cents(&format!("\"{value}\"")), Some(value.0));
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for json in [
            "-1",
            "-0.5",
            "0.001",
            "1.005",
            "10000000000",
            "10000000000.00",
            "1e400",
            "null",
            "true",
            "[]",
            "\"\"",
            "\".5\"",
            "\"5.\"",
            "\"1.234\"",
            "\"+1\"",
            "\"-1\"",
            "\"1e3\"",
            "\" 1\"",
            "\"1,5\"",
            "\"12345678901\"",
            "18446744073709551615",
        ] {
            assert_eq!(cents(json), None, "{json}");
        }
    }

    #[test]
    fn names_are_text_or_numbers() {
        for (json, expected) in
            [("\"jake\"", "jake"), ("11860256", "11860256"), (r#""\u00e4""#, "\u{e4}")]
        {
            let payload = proposal("name", json);
            assert_eq!(payload.json::<Name<'_>>().expect("a name").0, expected);
        }
        for json in ["7.0", "7e0", "9007199254740991"] {
            assert!(proposal("name", json).json::<Name<'_>>().is_ok(), "{json}");
        }
        for json in ["null", "7.5", "-7", "9007199254740992", "18446744073709551615", "1e400"] {
            assert!(proposal("name", json).json::<Name<'_>>().is_err(), "{json}");
        }
    }
}
