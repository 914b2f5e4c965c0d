//! The bytes on disk and on the wire, held against `tests/golden/format.txt`, so that no change of a
//! format goes unnoticed: old stores and old clients must still be understood.
//!
//! A line is a name and the bytes in hexadecimal digits. If a format is meant to change, its version
//! changes with it; `GOLDEN=write` then writes the file anew.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::log::{Decision, Snapshot};
use atomic_store_core::protocol::{
    At, ClientFrame, Ended, Entry, Replay, Reply, Request, RequestError, ScopeInfo, ServerFrame,
    StoreId, StoreStatus, VerifyReport,
};
use atomic_store_core::record::{Body, Record, RecordView};
use atomic_store_core::{
    Answer, Append, AppendId, Binding, Committed, Condition, ContentType, Description, Digest,
    ExpectedHead, Fault, FaultKind, Filter, Key, Limits, Outcome, Overload, Place, Position,
    Proposal, Reason, Refusal, RuleInfo, ScopeName, Seq, Span, chain, codec, frame,
};
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

fn scope() -> ScopeName {
    ScopeName::new("auction/lot-7").unwrap()
}

fn proposal() -> Proposal {
    Proposal {
        kind: "bid".to_owned(),
        content_type: ContentType::Json,
        payload: b"{\"amount\":5}".to_vec(),
        keys: vec![Key { kind: "book".to_owned(), id: "Emma".to_owned() }],
        triggers: vec![Key { kind: "clock".to_owned(), id: "1".to_owned() }],
        metadata: vec![("trace".to_owned(), "abc".to_owned())],
        caller_ms: Some(1_700_000_000_123),
    }
}

fn filter() -> Filter {
    Filter {
        keys: vec![Key::new("book", "Emma")],
        key_kinds: vec!["book".into()],
        kinds: vec!["bid".into()],
        triggers: vec![Key::new("key", "1")],
        caller_ms: Span { from: Some(1), until: None },
        host_ms: Span { from: None, until: Some(2) },
    }
}

fn append() -> Append {
    Append {
        scope: scope(),
        id: AppendId(*b"0123456789abcdef"),
        repeated: true,
        expected_head: ExpectedHead::Exactly(Seq(300)),
        condition: Some(Condition {
            since: Seq(299),
            resolved: vec![Seq(301)],
            keys: vec![Key::new("book", "Emma")],
            all: true,
        }),
        dry_run: true,
        known: Seq(7),
        proposals: vec![proposal(), Proposal::default()],
    }
}

fn record() -> Record {
    let proposal = proposal();
    let body = Body {
        seq: Seq(301),
        kind: &proposal.kind,
        content_type: proposal.content_type.clone(),
        payload: &proposal.payload,
        keys: &proposal.keys[..],
        triggers: &proposal.triggers[..],
        metadata: &proposal.metadata[..],
        caller_ms: proposal.caller_ms,
        host_ms: 1_700_000_000_456,
        append_id: AppendId(*b"0123456789abcdef"),
        validator: Digest::of(b"validator"),
        binding: Seq(2),
    };
    let mut record = Record::encode(&Digest::of(b"previous"), &body).unwrap();
    record.set_position(Position(0x0102_0304));
    record
}

fn place(seq: u64) -> Place {
    Place { seq: Seq(seq), position: Position(seq + 1_000) }
}

fn outcomes() -> Vec<(&'static str, Outcome)> {
    let (data, meta) = (Some(b"{}".to_vec()), Some(vec![0xff]));
    let reason = Reason {
        code: "too-low".to_owned(),
        message: "bid more".to_owned(),
        data,
        seqs: vec![Seq(7), Seq(300)],
    };
    let (first, last, hash) = (place(301), place(302), Digest::of(b"hash"));
    let committed =
        Committed { first, last, hash, reason: Some("fine".into()), meta: meta.clone() };
    let mut all = vec![
        ("Committed", Outcome::Committed(committed)),
        ("Noop", Outcome::Noop { reason: Some("known".into()) }),
        ("Rejected", Outcome::Rejected(Refusal { index: 1, reasons: vec![reason], meta })),
        ("HeadMismatch", Outcome::HeadMismatch { expected: ExpectedHead::Any, actual: Seq(9) }),
        ("TimedOut", Outcome::TimedOut { after_ms: 1_000 }),
        ("ReadOnly", Outcome::ReadOnly { why: "damaged".into() }),
        ("Invalid", Outcome::Invalid { field: "kind".into(), why: "empty".into() }),
        ("Unknown", Outcome::Unknown { why: "disk".into() }),
    ];
    for (name, kind) in [
        ("Faulted Trap", FaultKind::Trap),
        ("Faulted OutOfFuel", FaultKind::OutOfFuel),
        ("Faulted OutOfMemory", FaultKind::OutOfMemory),
        ("Faulted Timeout", FaultKind::Timeout),
        ("Faulted BadOutput", FaultKind::BadOutput),
    ] {
        all.push((name, Outcome::Faulted(Fault { kind, detail: "x".into() })));
    }
    for (name, what) in [
        ("Overloaded Mailbox", Overload::Mailbox),
        ("Overloaded InFlight", Overload::InFlight),
        ("Overloaded Disk", Overload::Disk),
        ("Overloaded Instances", Overload::Instances),
    ] {
        all.push((name, Outcome::Overloaded(what)));
    }
    all
}

fn requests() -> Vec<(&'static str, Request)> {
    let (after, limit) = (Seq(7), 500);
    let scope = scope();
    vec![
        ("Append", Request::Append(append())),
        (
            "Read",
            Request::Read {
                scope: scope.clone(),
                after,
                through: Seq::MAX,
                limit,
                backwards: true,
                filter: filter(),
                replay: Replay::Touched,
            },
        ),
        (
            "ReadOrder",
            Request::ReadOrder {
                after: Position(7),
                through: Position(9),
                limit,
                backwards: true,
                filter: filter(),
            },
        ),
        (
            "Subscribe",
            Request::Subscribe {
                scope: scope.clone(),
                after,
                filter: filter(),
                replay: Replay::TouchedAndEffects,
            },
        ),
        ("SubscribeOrder", Request::SubscribeOrder { after: Position(7), filter: filter() }),
        ("Cancel", Request::Cancel { call: 300 }),
        ("ShowScope", Request::ShowScope { scope: scope.clone() }),
        (
            "ListScopes",
            Request::ListScopes { live: true, prefix: "a".into(), after: "ab".into(), limit },
        ),
        ("LoadValidator", Request::LoadValidator { part: vec![0, b'a', b's'], last: true }),
        ("ListValidators", Request::ListValidators),
        ("ShowValidator named", Request::ShowValidator { validator: "a@1".parse().unwrap() }),
        (
            "ShowValidator digest",
            Request::ShowValidator { validator: "0123456789ab".parse().unwrap() },
        ),
        (
            "Bind",
            Request::Bind {
                pattern: "auction/*".parse().unwrap(),
                validator: "auction".parse().unwrap(),
                config: Some(b"{}".to_vec()),
            },
        ),
        ("Unbind", Request::Unbind { pattern: "auction/*".parse().unwrap() }),
        (
            "Query",
            Request::Query {
                scope: scope.clone(),
                name: "top".into(),
                args: vec![1, 2],
                at: At::Seq(Seq(4)),
            },
        ),
        ("Verify", Request::Verify { scope: Some(scope) }),
        ("Status", Request::Status),
    ]
}

fn binding() -> Binding {
    Binding {
        pattern: "auction/*".parse().unwrap(),
        validator: Digest::of(b"validator"),
        config: Some(b"{}".to_vec()),
        seq: Seq(2),
    }
}

fn rule() -> RuleInfo {
    RuleInfo {
        digest: Digest::of(b"validator"),
        description: Description {
            name: "auction".parse().unwrap(),
            version: "1.2.3".into(),
            kinds: vec![("bid".into(), Some("{}".into())), ("close".into(), None)],
        },
        bytes: 70_000,
        built_in: false,
    }
}

fn scope_info() -> ScopeInfo {
    ScopeInfo {
        name: scope(),
        head: Seq(301),
        hash: Digest::of(b"hash"),
        binding: Some(binding()),
        live: true,
        sealed: Some("damaged".into()),
        damaged: true,
        floor: Seq(2),
        bytes: 700,
    }
}

fn replies() -> Vec<(&'static str, Reply)> {
    let store = StoreId(*b"fedcba9876543210");
    let entry = Entry { scope: Some(scope()), replayed: true, record: vec![1, 2, 3] };
    let outcome = Outcome::TimedOut { after_ms: 1_000 };
    let (resume_after, resume_position) = (Seq(7), Position(9));
    let report = VerifyReport { scopes: 1, events: 2, bytes: 300, damage: vec!["x".into()] };
    let status = StoreStatus {
        store,
        version: "0.1.0".into(),
        position: Position(1_000),
        commits: 7,
        scopes: 6,
        live: 5,
        in_flight: 4,
        read_only: Some("closing".into()),
    };
    let mut all = vec![
        ("Welcome", Reply::Welcome { store, limits: Box::new(Limits::default()) }),
        ("Answer", Reply::Answer(Answer { outcome, duplicate: true })),
        (
            "Events",
            Reply::Events(vec![entry, Entry { scope: None, replayed: false, record: Vec::new() }]),
        ),
        ("Done", Reply::Done),
        ("Ended SlowReader", Reply::Ended(Ended::SlowReader { resume_after, resume_position })),
        ("Ended Shutdown", Reply::Ended(Ended::Shutdown)),
        ("Ended Damaged", Reply::Ended(Ended::Damaged { what: "x".into() })),
        ("Scope", Reply::Scope(Some(scope_info()))),
        ("Scopes", Reply::Scopes(vec![scope_info()])),
        ("Validator", Reply::Validator { info: rule(), new: true, bindings: vec![binding()] }),
        ("Validators", Reply::Validators { loaded: vec![rule()], bindings: vec![binding()] }),
        ("Bound", Reply::Bound(binding())),
        ("State ok", Reply::State { head: Seq(7), answer: Ok(vec![1].into()) }),
        ("State err", Reply::State { head: Seq(7), answer: Err("no".into()) }),
        ("Progress", Reply::Progress { scopes: 1, of_scopes: 2, events: 300 }),
        ("Verified", Reply::Verified(report)),
        ("Status", Reply::Status(Box::new(status))),
    ];
    let text = || "x".to_owned();
    for (name, error) in [
        ("Error Invalid", RequestError::Invalid { field: "y".into(), why: text() }),
        ("Error NotFound", RequestError::NotFound(text())),
        ("Error NotAdmitted", RequestError::NotAdmitted(text())),
        ("Error Overloaded", RequestError::Overloaded(text())),
        ("Error Damaged", RequestError::Damaged(text())),
        ("Error Failed", RequestError::Failed(text())),
        ("Error Goodbye", RequestError::Goodbye(text())),
    ] {
        all.push((name, Reply::Error(error)));
    }
    all
}

fn all() -> Golden {
    let mut golden = Golden::default();
    golden.bytes("hello", frame::HELLO.to_vec());
    golden.bytes("genesis of auction/lot-7", chain::genesis(&scope()).0.to_vec());
    golden.bytes("record", record().into_bytes());
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
    let nothing = Decision::Nothing(Outcome::TimedOut { after_ms: 1_000 });
    add!(golden, "decision Nothing", nothing, Decision);
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
        [(protocol, "Request", 16), (protocol, "Reply", 15), (outcome, "Outcome", 10)]
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
