//! The bytes on disk and on the wire, held against `tests/golden/format.txt`, so that no change of a
//! format goes unnoticed: old stores and old clients must still be understood.
//!
//! A line is a name and the bytes in hexadecimal digits. If a format is meant to change, its version
//! changes with it; `GOLDEN=write` then writes the file anew.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod golden_samples;

use atomic_store::log::{ConflictRow, Decision, Snapshot};
use atomic_store_core::protocol::{ClientFrame, Reply, Request, ServerFrame};
use atomic_store_core::record::RecordView;
use atomic_store_core::{ContentType, Digest, Key, Limits, Outcome, Position, Seq};
use atomic_store_core::{chain, codec, frame};
use golden_samples::{append, outcomes, proposal, record, replies, requests, scope};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

/// Collects encodings by name, each of which must decode to its value again.
#[derive(Default)]
struct Golden(BTreeMap<String, Vec<u8>>);

impl Golden {
    fn bytes(&mut self, name: &str, bytes: Vec<u8>) {
        assert!(self.0.insert(name.to_owned(), bytes).is_none(), "{name} twice");
    }
}

/// Adds a value under a name, after it was decoded again.
macro_rules! add {
    ($golden:expr, $name:expr, $value:expr, $type:ty) => {{
        let bytes = codec::encode(&$value).unwrap();
        assert_eq!(codec::decode::<$type>(&bytes), Ok($value), "{}", $name);
        $golden.bytes($name.as_ref(), bytes);
    }};
}

fn all() -> Golden {
    let mut golden = Golden::default();
    golden.bytes("hello", frame::HELLO.to_vec());
    golden.bytes("genesis of auction/lot-7", chain::genesis(&scope()).0.to_vec());
    golden.bytes("record", record());
    for (name, outcome) in outcomes() {
        add!(golden, format!("outcome {name}"), outcome, Outcome);
    }
    for (name, request) in requests() {
        add!(golden, format!("request {name}"), request, Request);
    }
    for (name, reply) in replies() {
        add!(golden, format!("reply {name}"), reply, Reply);
    }
    let (first, last, reason, meta) = (Seq(7), Seq(300), Some("fine".into()), Some(vec![1]));
    let committed = Decision::Committed { first, last, reason, meta };
    add!(golden, "decision Committed", committed, Decision);
    let nothing = Decision::Nothing(Box::new(Outcome::TimedOut { after_ms: 1_000 }));
    add!(golden, "decision Nothing", nothing, Decision);
    let rows = vec![ConflictRow {
        index: Some(1),
        ours: Seq(302),
        key: Key::new("book", "Emma"),
        trigger: None,
        theirs: Seq(301),
    }];
    let conflict = Decision::Conflict { accepted: 1, rows };
    add!(golden, "decision Conflict", conflict, Decision);
    let snapshot = Snapshot {
        rule: Digest::of(b"rule"),
        seq: Seq(300),
        hash: Digest::of(b"hash"),
        host_ms: 1_700_000_000_456,
        state: vec![1, 2, 3],
    };
    add!(golden, "snapshot", snapshot, Snapshot);
    for content_type in [
        ContentType::Json,
        ContentType::Postcard,
        ContentType::Bytes,
        ContentType::Text,
        ContentType::Other("image/png".into()),
    ] {
        let name = format!("content type {content_type}");
        add!(golden, name, content_type, ContentType);
    }
    let call = ClientFrame { call: 300, request: Request::Append(append()) };
    golden.bytes("frame of a client", frame::put(Vec::new(), &call).unwrap());
    let reply = ServerFrame { call: 300, reply: Reply::Done };
    golden.bytes("frame of a server", frame::put(Vec::new(), &reply).unwrap());
    golden
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/format.txt")
}

fn stored() -> BTreeMap<String, Vec<u8>> {
    let text = std::fs::read_to_string(file()).unwrap();
    let line = |line: &str| {
        let (name, digits) = line.split_once(": ").unwrap();
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (name.to_owned(), (0..digits.len()).step_by(2).map(byte).collect())
    };
    text.lines().map(line).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn every_format_has_the_bytes_it_had() {
    let golden = all().0;
    if std::env::var("GOLDEN").is_ok_and(|what| what == "write") {
        let lines = golden.iter().map(|(name, bytes)| format!("{name}: {}\n", hex(bytes)));
        std::fs::write(file(), lines.collect::<String>()).unwrap();
        panic!("the golden file was written; look at the difference and run again without GOLDEN");
    }
    let stored = stored();
    for (name, bytes) in &golden {
        let before = stored.get(name).unwrap_or_else(|| panic!("{name} is not in the golden file"));
        assert_eq!(hex(bytes), hex(before), "the bytes of {name:?} changed");
    }
    let names = |map: &BTreeMap<String, Vec<u8>>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&golden), names(&stored));
}

#[test]
fn what_was_written_then_is_understood_now() {
    let stored = stored();
    let view = RecordView::parse(&stored["record"]).unwrap();
    let mut walk = chain::Walk::from(Seq(300), Digest::of(b"previous"));
    assert_eq!(walk.step(&stored["record"]).unwrap().seq(), Seq(301));
    let event = view.to_event().unwrap();
    assert_eq!((event.position, event.host_ms), (Position(0x0102_0304), 1_700_000_000_456));
    assert_eq!((event.kind, event.payload), (proposal().kind, proposal().payload));
    let bytes = &stored["frame of a client"];
    let (length, body) = bytes.split_at(frame::LENGTH_BYTES);
    let length = frame::length(length.try_into().unwrap(), Limits::default().frame_bytes_max);
    assert_eq!(length, Ok(body.len()));
    let call: ClientFrame = codec::decode(body).unwrap();
    assert_eq!(call, ClientFrame { call: 300, request: Request::Append(append()) });
    assert_eq!(frame::check_hello(stored["hello"][..].try_into().unwrap()), Ok(()));
}

/// The variants of an enum, read from its source.
fn variants(source: &str, name: &str) -> Vec<String> {
    let start = format!("pub enum {name} {{");
    let body = source.split_once(&start).unwrap().1.split_once("\n}").unwrap().0;
    let line = |line: &str| {
        let word = line.strip_prefix("    ")?;
        let word = word.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
        word.starts_with(|c: char| c.is_ascii_uppercase()).then(|| word.to_owned())
    };
    body.lines().filter_map(line).collect()
}

#[test]
fn every_variant_has_golden_bytes_under_its_number() {
    let protocol = include_str!("../../core/src/protocol.rs");
    let outcome = include_str!("../../core/src/outcome.rs");
    let stored = stored();
    for (source, name, count) in
        [(protocol, "Request", 39), (protocol, "Reply", 33), (outcome, "Outcome", 12)]
    {
        let variants = variants(source, name);
        assert!(variants.len() >= count, "{name}: only {variants:?}");
        for (number, variant) in variants.iter().enumerate() {
            let name = format!("{} {variant}", name.to_lowercase());
            let mut found = stored.iter().filter(|(key, _)| {
                **key == name || key.strip_prefix(&name).is_some_and(|rest| rest.starts_with(' '))
            });
            let (_, bytes) = found.next().unwrap_or_else(|| panic!("no golden bytes of {name}"));
            assert_eq!(usize::from(bytes[0]), number, "{name} has another number");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_of_arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
        drop(codec::decode::<Decision>(&bytes));
        drop(codec::decode::<Snapshot>(&bytes));
        drop(codec::decode_versioned::<Decision>(1, &bytes));
    }
}
