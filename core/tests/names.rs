//! Texts from outside that become names, patterns, references and ids: which ones do, and which do
//! not, whether they are constructed, parsed or decoded.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(unreachable_pub, reason = "modules of a test have no public face")]

mod support;

use atomic_store_core::codec;
use atomic_store_core::{
    AppendId, AppendIdError, Digest, HexError, Limits, NameError, ScopeName, ScopePattern,
    ValidatorName, ValidatorRef,
};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::{Debug, Display};
use std::str::FromStr;
use support::{config, pattern, scope, validator_ref};

/// Texts that no name may be, whatever it names.
fn hostile() -> Vec<String> {
    let texts = [
        "",
        " ",
        "a b",
        "a\0",
        "\0",
        "a\nb",
        "a\tb",
        "a\u{7f}",
        "a\\b",
        "a\"b",
        "a'b",
        "a;b",
        "a|b",
        "a%2e",
        "%2e%2e%2f",
        "a&b",
        "a?b",
        "a#b",
        "a=b",
        "a,b",
        "(a)",
        "<a>",
        "{a}",
        "[a]",
        "a!",
        "a`b",
        "a^b",
        "**",
        "a**",
        "a*b",
        "*a",
        "$",
        "$$",
        "a$",
        "$a$",
        "\u{e4}",
        "\u{202e}abc",
        "a\u{202e}",
        "\u{200b}",
        "a\u{301}",
        "\u{feff}a",
        "\u{663}",
        "\u{ff11}",
        "\u{1d7d8}",
        "\u{430}dmin",
        "\u{1f600}",
        "\u{2024}\u{2024}/",
    ];
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Refused by every way in.
fn refused<T>(text: &str)
where
    T: FromStr<Err = NameError> + DeserializeOwned + Debug,
{
    assert!(T::from_str(text).is_err(), "{text:?} is parsed");
    let bytes = codec::encode(text).unwrap();
    assert!(codec::decode::<T>(&bytes).is_err(), "{text:?} is decoded");
}

/// Taken by every way in, and shown as it came.
fn taken<T>(text: &str)
where
    T: FromStr<Err = NameError> + DeserializeOwned + Serialize + Display + Debug + PartialEq,
{
    let name = T::from_str(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(name.to_string(), text);
    let bytes = codec::encode(&name).unwrap();
    assert_eq!(bytes, codec::encode(text).unwrap(), "a name is its text");
    assert_eq!(codec::decode::<T>(&bytes).unwrap(), name);
}

#[test]
fn scope_names_are_plain_text_of_at_most_200_bytes() {
    let max = Limits::SCOPE_NAME_BYTES_MAX;
    assert_eq!(max, 200);
    let long = "x".repeat(max);
    // Dots and slashes are harmless: a name never becomes a path.
    for text in [
        "a",
        "A",
        "0",
        "..",
        "../",
        "../../etc/passwd",
        "/",
        "//",
        "-",
        "--help",
        "~",
        ".",
        "a/b",
        "auction/lot-7",
        "user@host:1",
        "a+b",
        "$system",
        "$a",
        "_",
        &long,
    ] {
        taken::<ScopeName>(text);
    }
    for text in hostile() {
        refused::<ScopeName>(&text);
    }
    for len in [max + 1, 10_240, 1 << 20] {
        let text = "x".repeat(len);
        refused::<ScopeName>(&text);
        assert_eq!(ScopeName::new(&text), Err(NameError::TooLong { found: len, max }));
    }
    // The leading $ counts, and case matters.
    refused::<ScopeName>(&format!("${long}"));
    assert_ne!(ScopeName::new("a"), ScopeName::new("A"));
    refused::<ScopeName>("*");
    refused::<ScopeName>("a*");
}

#[test]
fn every_character_is_either_allowed_or_named() {
    let allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/@+~-";
    for c in (0..=0x0002_ffff).filter_map(char::from_u32) {
        let text = format!("a{c}");
        let expected = if allowed.contains(c) { None } else { Some(NameError::Character(c)) };
        assert_eq!(ScopeName::new(&text).err(), expected, "{c:?}");
        let lower = allowed.contains(c) && (c.is_ascii_lowercase() || c.is_ascii_digit());
        let expected =
            if lower || c == '-' { None } else { Some(NameError::ValidatorCharacter(c)) };
        assert_eq!(ValidatorName::new(&text).err(), expected, "{c:?}");
    }
}

#[test]
fn only_the_store_appends_to_names_with_a_dollar() {
    for (text, reserved) in [("$system", true), ("$a", true), ("a", false), ("system", false)] {
        assert_eq!(ScopeName::new(text).unwrap().is_reserved(), reserved, "{text}");
    }
    assert_eq!(ScopeName::system(), ScopeName::new("$system").unwrap());
}

#[test]
fn patterns_are_names_or_beginnings_of_names() {
    let max = Limits::SCOPE_NAME_BYTES_MAX;
    let long = "x".repeat(max);
    let long_star = format!("{long}*");
    for text in ["*", "a", "a*", "a/*", "..*", "$system", "$a*", &long, &long_star] {
        taken::<ScopePattern>(text);
    }
    for text in hostile() {
        refused::<ScopePattern>(&text);
    }
    let table = [
        ("a*b", NameError::Star),
        ("**", NameError::Star),
        ("*a", NameError::Star),
        ("*/*", NameError::Star),
        ("", NameError::Empty),
        ("$*", NameError::Empty),
        ("a b*", NameError::Character(' ')),
    ];
    for (text, error) in table {
        assert_eq!(ScopePattern::new(text), Err(error), "{text:?}");
    }
    let found = max + 1;
    assert_eq!(ScopePattern::new(&"x".repeat(found)), Err(NameError::TooLong { found, max }));
    let longer = format!("{}*", "x".repeat(found));
    assert_eq!(ScopePattern::new(&longer), Err(NameError::TooLong { found, max }));
    refused::<ScopePattern>(&"x".repeat(10_240));
}

#[test]
fn a_pattern_matches_by_text_alone() {
    let table = [
        ("a", "a", true),
        ("a", "A", false),
        ("a", "ab", false),
        ("a*", "a", true),
        ("a*", "ab", true),
        ("a*", "b", false),
        ("a/*", "a", false),
        ("a/*", "a/", true),
        ("a/*", "a/b/c", true),
        ("a/*", "a/../b", true),
        ("*", "a", true),
        ("*", "$system", false),
        ("$system", "$system", true),
        ("$s*", "$system", false),
    ];
    for (pattern, name, matches) in table {
        let (pattern, name) = (ScopePattern::new(pattern).unwrap(), ScopeName::new(name).unwrap());
        assert_eq!(pattern.matches(&name), matches, "{pattern} {name}");
    }
}

#[test]
fn the_most_specific_pattern_is_the_greatest() {
    let order = ["*", "a*", "a/*", "a/b*", "a/b/*", "a/b/c*", "a/b/c"];
    let name = ScopeName::new("a/b/c").unwrap();
    let patterns: Vec<_> = order.iter().map(|text| ScopePattern::new(text).unwrap()).collect();
    assert!(patterns.iter().all(|pattern| pattern.matches(&name)));
    assert!(patterns.is_sorted_by(|a, b| a.specificity() < b.specificity()));
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn no_two_patterns_of_one_name_are_equally_specific(
        name in scope(), one in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(),
        stars in any::<(bool, bool)>(),
    ) {
        prop_assume!(!name.is_reserved());
        let text = name.as_str();
        let make = |at: prop::sample::Index, star: bool| {
            let stem = &text[..at.index(text.len() + 1)];
            ScopePattern::new(&if star { format!("{stem}*") } else { text.to_owned() }).unwrap()
        };
        let (one, other) = (make(one, stars.0), make(other, stars.1));
        prop_assert!(one.matches(&name) && other.matches(&name));
        prop_assert_eq!(one == other, one.specificity() == other.specificity());
    }

    #[test]
    fn names_and_patterns_are_their_text(name in scope(), pattern in pattern()) {
        taken::<ScopeName>(name.as_str());
        taken::<ScopePattern>(pattern.as_str());
    }

    #[test]
    fn any_text_is_refused_or_taken_by_all_ways_in(text in "\\PC{0,30}|[a-z$*./@-]{0,12}") {
        prop_assert_eq!(ScopeName::new(&text).is_ok(), decodes::<ScopeName>(&text));
        prop_assert_eq!(ScopePattern::new(&text).is_ok(), decodes::<ScopePattern>(&text));
        prop_assert_eq!(ValidatorName::new(&text).is_ok(), decodes::<ValidatorName>(&text));
    }

    #[test]
    fn references_survive_decoding(which in validator_ref()) {
        let bytes = codec::encode(&which).unwrap();
        prop_assert_eq!(codec::decode::<ValidatorRef>(&bytes), Ok(which));
    }
}

fn decodes<T: DeserializeOwned>(text: &str) -> bool {
    codec::decode::<T>(&codec::encode(text).unwrap()).is_ok()
}

#[test]
fn validator_names_are_short_and_lower_case() {
    let long = "x".repeat(64);
    for text in ["a", "0", "-", "auction", "my-rule-2", &long] {
        taken::<ValidatorName>(text);
    }
    for text in hostile().iter().map(String::as_str).chain(["A", "a.b", "a/b", "a_b", "a@1"]) {
        refused::<ValidatorName>(text);
    }
    for len in [65, 10_240] {
        let text = "x".repeat(len);
        refused::<ValidatorName>(&text);
        let error = ValidatorName::new(&text).unwrap_err();
        assert_eq!(error, NameError::TooLong { found: len, max: 64 });
        assert!(error.to_string().contains("at most 64 bytes"), "{error}");
    }
}

#[test]
fn references_name_a_validator_or_the_beginning_of_a_digest() {
    let named = |name: &str, version: Option<&str>| ValidatorRef::Named {
        name: ValidatorName::new(name).unwrap(),
        version: version.map(str::to_owned),
    };
    let twelve = "0123456789ab";
    let long = "f".repeat(64);
    let table = [
        ("auction", named("auction", None)),
        ("auction@1", named("auction", Some("1"))),
        ("auction@1.2.0-beta.1+b7", named("auction", Some("1.2.0-beta.1+b7"))),
        ("0123456789a", named("0123456789a", None)),
        (twelve, ValidatorRef::Digest(twelve.to_owned())),
        ("0123456789AB", ValidatorRef::Digest(twelve.to_owned())),
        (&long, ValidatorRef::Digest(long.clone())),
    ];
    for (text, expected) in table {
        assert_eq!(ValidatorRef::from_str(text), Ok(expected), "{text}");
    }
    let too_long = "f".repeat(65);
    let long_version = format!("a@{}", "1".repeat(65));
    let huge_version = format!("a@{}", "1".repeat(10_240));
    let bad = [
        "A",
        "a@",
        "@1",
        "a@1@2",
        "a@1 2",
        "a@\u{663}",
        "a@1\0",
        "a@../",
        "a@\u{202e}1",
        &too_long,
        &long_version,
        &huge_version,
    ];
    for text in hostile().iter().map(String::as_str).chain(bad) {
        assert!(ValidatorRef::from_str(text).is_err(), "{text:?}");
    }
    assert!(ValidatorRef::from_str(&format!("a@{}", "1".repeat(64))).is_ok());
}

#[test]
fn references_that_could_not_be_parsed_are_not_decoded() {
    // An empty or short run of digits would mean any validator at all.
    for digits in ["", "0", "0123456789a", "0123456789AB", "xyzxyzxyzxyz", &"f".repeat(65)] {
        let bytes = codec::encode(&ValidatorRef::Digest(digits.to_owned())).unwrap();
        assert!(codec::decode::<ValidatorRef>(&bytes).is_err(), "{digits:?}");
    }
    let name = ValidatorName::new("a").unwrap();
    for version in ["", " ", "1 2", "\0", "1@2", "\u{663}", &"1".repeat(65)] {
        let version = Some(version.to_owned());
        let which = ValidatorRef::Named { name: name.clone(), version };
        let bytes = codec::encode(&which).unwrap();
        assert!(codec::decode::<ValidatorRef>(&bytes).is_err(), "{which:?}");
    }
}

#[test]
fn append_ids_are_digits_or_the_hash_of_a_text() {
    let uuid = "0190c1b2-7f3e-7abc-8def-0123456789ab";
    let plain = uuid.replace('-', "");
    let id = AppendId::from_text(uuid).unwrap();
    assert_eq!(id.to_string(), plain);
    for same in [plain.clone(), plain.to_uppercase()] {
        assert_eq!(AppendId::from_text(&same), Ok(id), "{same}");
        assert_eq!(same.parse(), Ok(id), "{same}");
    }
    let hashed = |text: &str| {
        let mut id = [0; 16];
        id.copy_from_slice(&Digest::of(text.as_bytes()).0[..16]);
        AppendId(id)
    };
    let (short, long) = (&plain[1..], format!("{plain}0"));
    let (other, wide) = (plain.replace('0', "g"), plain.replace('1', "\u{ff11}"));
    let most = "x".repeat(200);
    for text in [short, &long, &other, &wide, "a", "-", "../", "\0", "\u{202e}", " ", &most] {
        assert_eq!(AppendId::from_text(text), Ok(hashed(text)), "{text:?}");
    }
    for text in ["", &"x".repeat(201), &"x".repeat(10_240), &"-".repeat(10_240)] {
        assert_eq!(AppendId::from_text(text), Err(AppendIdError), "{} bytes", text.len());
    }
}

#[test]
fn digests_are_64_digits() {
    let text = "0123456789abcdef".repeat(4);
    assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
    assert_eq!(text.to_uppercase().parse::<Digest>().unwrap().to_string(), text);
    assert_eq!(text.parse::<Digest>().unwrap().short(), "0123456789ab");
    for bad in ["", &text[1..], &format!("{text}0"), &text.replace('0', "g"), &"f".repeat(10_240)] {
        assert_eq!(bad.parse::<Digest>(), Err(HexError), "{bad:?}");
    }
}
