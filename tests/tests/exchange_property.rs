//! Any event leaves as a line and comes back as the same record, in both formats.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::exchange::{Extent, Format, read};
use atomic_store_core::protocol::StoreId;
use atomic_store_core::{AppendId, ContentType, Digest, Event, Key, Position, ScopeName, Seq};
use proptest::collection::vec;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z:/]{1,8}",
        any::<String>(),
        vec(any::<char>(), 0..6).prop_map(|chars| chars.into_iter().collect()),
        Just("\u{7f}\u{9b}\u{85}\u{2028}\"\\\r\n\t\0".to_owned()),
    ]
}

fn keys() -> impl Strategy<Value = Vec<Key>> {
    vec((text(), text()).prop_map(|(kind, id)| Key { kind, id }), 0..4)
}

fn content_type() -> impl Strategy<Value = ContentType> {
    prop_oneof![
        4 => Just(ContentType::Json),
        1 => Just(ContentType::Text),
        1 => Just(ContentType::Bytes),
        1 => Just(ContentType::Postcard),
        1 => Just(ContentType::Other("application/json".to_owned())),
        1 => Just(ContentType::Other("application/vnd.x+json; v=1".to_owned())),
        1 => Just(ContentType::Other("text/xml".to_owned())),
        1 => text().prop_map(ContentType::Other),
    ]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        text().prop_map(String::into_bytes),
        text().prop_map(|text| serde_json::to_vec(&text).unwrap()),
        prop::sample::select(vec![
            "null",
            "true",
            "{}",
            "{ }",
            " 1",
            "1 ",
            "{\"a\":1.50,\"a\":2}",
            "[1,\n2]",
            "1e400",
            "\"\u{9b}\"",
            "-0",
            "123456789012345678901234567890",
            "\"\\u0000\"",
            "{\"\\ud83d\\ude00\":[]}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

prop_compose! {
    fn event()(
        (kind, content_type, payload) in (text(), content_type(), payload()),
        (keys, triggers) in (keys(), keys()),
        metadata in vec((text(), text()), 0..4),
        (caller_ms, host_ms) in (any::<Option<u64>>(), any::<u64>()),
        (append_id, validator, previous) in (any::<[u8; 16]>(), any::<[u8; 32]>(), any::<[u8; 32]>()),
        (seq, position, binding) in (1..u64::MAX, any::<u64>(), any::<u64>()),
    ) -> Event {
        let mut event = Event {
            seq: Seq(seq),
            position: Position(position),
            kind,
            content_type,
            payload,
            keys,
            triggers,
            metadata,
            caller_ms,
            host_ms,
            append_id: AppendId(append_id),
            validator: Digest(validator),
            binding: Seq(binding),
            previous: Digest(previous),
            hash: Digest::default(),
        };
        event.hash = event.to_record().unwrap().hash();
        event
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_line_gives_the_record_back_byte_for_byte(event in event(), first in any::<bool>()) {
        let scope = ScopeName::new("auction/lot-7@x").unwrap();
        let extent = first.then_some(Extent { after: Seq(event.seq.0 - 1), head: Seq::MAX });
        for format in [Format::Ndjson, Format::CloudEvents] {
            let line = format.line(StoreId([7; 16]), &scope, &event, extent);
            prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            let back = read(&line).map_err(|why| TestCaseError::fail(format!("{why}: {line}")))?;
            prop_assert_eq!(&back.scope, &scope);
            prop_assert_eq!(back.extent, extent);
            let (here, there) = (event.to_record().unwrap(), back.event.to_record().unwrap());
            prop_assert_eq!(here.as_bytes(), there.as_bytes());
            prop_assert_eq!(back.event.hash, event.hash);
        }
    }

    #[test]
    fn no_line_panics(line in any::<String>(), cut in 0_usize..400, event in event()) {
        drop(read(&line));
        let scope = ScopeName::new("a").unwrap();
        for format in [Format::Ndjson, Format::CloudEvents] {
            let line = format.line(StoreId([7; 16]), &scope, &event, None);
            let cut: String = line.chars().take(cut).collect();
            prop_assert!(cut.len() == line.len() || read(&cut).is_err());
        }
    }
}
