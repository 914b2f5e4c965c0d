//! A well-behaved guest: what it is given, and what becomes of its answers.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod guests;

use atomic_store::validator::{Acceptance, Start, StartError, Verdict};
use atomic_store_core::{ContentType, Digest, Key, Limits, ScopeName};
use guests::{Events, Written, event, guest, proposal, start};
use std::sync::Arc;

#[test]
fn a_component_is_known_by_its_bytes_and_its_description() {
    let rules = guest().load(&Limits::default());
    assert_eq!(rules.digest(), Digest::of(&guest().component()));
    assert_eq!(rules.description().name.as_str(), "guest");
    assert_eq!(rules.description().version, "1.0.0");
    assert!(rules.description().kinds.is_empty());
}

#[test]
fn accepting_all_gives_an_acceptance_for_each_proposal() {
    let mut validator = guest().start(&Limits::default());
    for count in [1, 2, 1_000] {
        let verdict = validator.validate(&vec![proposal(b"x"); count], 1).unwrap();
        assert_eq!(verdict, Verdict::Accepted(vec![Acceptance::default(); count]));
    }
}

#[test]
fn a_refusal_carries_its_index_and_reason() {
    let refuse = guest().with("validate", "(call $refuse (i32.const 1) (i32.const 1))");
    let mut validator = refuse.start(&Limits::default());
    let verdict = validator.validate(&[proposal(b"x"), proposal(b"y")], 1).unwrap();
    let Verdict::Refused(refusal) = verdict else { panic!("{verdict:?}") };
    assert_eq!(refusal.index, 1);
    assert_eq!((refusal.reasons[0].code.as_str(), refusal.reasons.len()), ("no", 1));
}

#[test]
fn applied_events_change_the_state_of_one_instance_only() {
    // Accepts while the number of applied events is even.
    let counter = guest()
        .with("globals", "(global $count (mut i32) (i32.const 0))")
        .with(
            "apply",
            "(global.set $count (i32.add (global.get $count) (local.get $len))) (call $reset)",
        )
        .with(
            "validate",
            "(if (result i32) (i32.and (global.get $count) (i32.const 1))
               (then (call $refuse (i32.const 0) (i32.const 1)))
               (else (call $accept (local.get $len))))",
        );
    let rules = counter.load(&Limits::default());
    let mut one = start(&*rules, Events::default()).unwrap();
    let mut two = start(&*rules, Events::default()).unwrap();
    one.apply(&[event(1, b"a"), event(2, b"b"), event(3, b"c")]).unwrap();
    assert!(matches!(one.validate(&[proposal(b"x")], 1).unwrap(), Verdict::Refused(_)));
    assert!(matches!(two.validate(&[proposal(b"x")], 1).unwrap(), Verdict::Accepted(_)));
    one.apply(&[event(4, b"d")]).unwrap();
    assert!(matches!(one.validate(&[proposal(b"x")], 1).unwrap(), Verdict::Accepted(_)));
}

/// A guest that gives back, to a query, the bytes at an address that a part of it noted.
fn echo() -> guests::Guest {
    guest()
        .with(
            "globals",
            "(global $at (mut i32) (i32.const 0)) (global $len (mut i32) (i32.const 0))",
        )
        .with("query", "(call $list (i32.const 0) (global.get $at) (global.get $len))")
}

/// Keeps a list of bytes: copies it behind the constants, where nothing else is written.
fn keep(at: &str, len: &str) -> String {
    format!(
        "(memory.copy (i32.const 60000) {at} {len})
         (global.set $at (i32.const 60000)) (global.set $len {len})"
    )
}

#[test]
fn a_guest_gets_every_field_of_a_proposal() {
    // Offsets in the proposal of the canonical ABI; keys and pairs hold two texts each.
    let first_key = "(i32.load offset=24 (local.get $p))";
    let first_pair = "(i32.load offset=32 (local.get $p))";
    let fields = [
        ("(i32.load (local.get $p))", "(i32.load offset=4 (local.get $p))", "bid"),
        ("(i32.load offset=8 (local.get $p))", "(i32.load offset=12 (local.get $p))", "image/png"),
        ("(i32.load offset=16 (local.get $p))", "(i32.load offset=20 (local.get $p))", "payload"),
        (&format!("(i32.load {first_key})"), &format!("(i32.load offset=4 {first_key})"), "lot"),
        (
            &format!("(i32.load offset=8 {first_key})"),
            &format!("(i32.load offset=12 {first_key})"),
            "0042",
        ),
        (
            &format!("(i32.load {first_pair})"),
            &format!("(i32.load offset=4 {first_pair})"),
            "trace",
        ),
        ("(i32.add (local.get $p) (i32.const 48))", "(i32.const 8)", "caller-t"),
        ("(i32.add (local.get $p) (i32.const 56))", "(i32.const 8)", "host-tim"),
    ];
    let mut proposal = proposal(b"payload");
    proposal.kind = "bid".to_owned();
    proposal.content_type = ContentType::from("image/png");
    proposal.keys = vec![Key { kind: "lot".to_owned(), id: "0042".to_owned() }];
    proposal.metadata = vec![("trace".to_owned(), "abc".to_owned())];
    proposal.caller_ms = Some(u64::from_le_bytes(*b"caller-t"));
    let host_ms = u64::from_le_bytes(*b"host-tim");
    for (at, len, expected) in fields {
        let code = format!(
            "(local $p i32) (local.set $p (i32.add (local.get $at) (i32.const 64)))
             {} (call $accept (local.get $len))",
            keep(at, len)
        );
        let mut validator = echo().with("validate", &code).start(&Limits::default());
        let proposals = [guests::proposal(b"another"), proposal.clone()];
        validator.validate(&proposals, host_ms).unwrap();
        let found = validator.query("", b"").unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&found), expected);
    }
}

#[test]
fn a_guest_gets_scope_configuration_and_snapshot() {
    let parts = [
        ("init", "(local.get $scope)", "(local.get $scope_len)", "lot/7"),
        ("init", "(local.get $at)", "(local.get $len)", "config"),
        ("restore", "(local.get $at)", "(local.get $len)", "config"),
        ("restore", "(local.get $snapshot)", "(local.get $snapshot_len)", "state"),
    ];
    let scope = ScopeName::new("lot/7").unwrap();
    for (part, at, len, expected) in parts {
        let code = keep(at, len) + "(call $list (i32.const 0) (i32.const 0) (i32.const 0))";
        let rules = echo().with(part, &code).load(&Limits::default());
        let start = Start {
            scope: &scope,
            config: Some(b"config"),
            snapshot: (part == "restore").then_some(b"state".as_slice()),
            history: Arc::new(Events::default()),
        };
        let found = rules.start(start).unwrap().query("", b"").unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&found), expected);
    }
}

#[test]
fn a_start_that_the_guest_declines_gives_its_reason() {
    let decline = guest().with("init", "(call $list (i32.const 1) (i32.const 24) (i32.const 2))");
    let error = start(&*decline.load(&Limits::default()), Events::default()).err().unwrap();
    assert_eq!(error, StartError::Declined("no".to_owned()));
}

#[test]
fn a_query_may_fail_without_harm() {
    let shy = guest().with("query", "(call $list (i32.const 1) (i32.const 24) (i32.const 2))");
    let mut validator = shy.start(&Limits::default());
    for _ in 0..2 {
        assert_eq!(validator.query("q", b"").unwrap(), Err("no".to_owned()));
    }
}

#[test]
fn a_replacement_keeps_what_the_contract_does_not_carry() {
    // One event of kind "no" in place of the proposal.
    let replace = guest().with(
        "validate",
        "(local $got i32) (drop (call $accept (local.get $len)))
         (local.set $got (i32.load (i32.const 260)))
         (i32.store8 (local.get $got) (i32.const 1))
         (i32.store offset=4 (local.get $got) (i32.const 512))
         (i32.store offset=8 (local.get $got) (i32.const 1))
         (i32.store (i32.const 512) (i32.const 24)) (i32.store (i32.const 516) (i32.const 2))
         (i32.const 256)",
    );
    let mut proposal = proposal(b"command");
    proposal.caller_ms = Some(5);
    proposal.triggers = vec![Key { kind: "lot".to_owned(), id: "1".to_owned() }];
    let verdict = replace.start(&Limits::default()).validate(&[proposal.clone()], 1).unwrap();
    let Verdict::Accepted(acceptances) = verdict else { panic!("{verdict:?}") };
    let events = acceptances[0].instead.as_deref().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].kind.as_str(), events[0].payload.len()), ("no", 0));
    assert_eq!((events[0].caller_ms, &events[0].triggers), (Some(5), &proposal.triggers));
}

#[test]
fn history_is_read_page_by_page() {
    // Answers a query with the number of events in one page after the one named by the first byte
    // of the arguments, at most as many as the second says, and with the number of the last.
    let reader = guest().with(
        "query",
        "(local $n i32)
         (call $read (i64.load8_u (local.get $at)) (i32.load8_u offset=1 (local.get $at))
           (i32.const 512))
         (local.set $n (i32.load (i32.const 516)))
         (i32.store8 (i32.const 600) (local.get $n))
         (i32.store8 (i32.const 601) (i32.const 0))
         (if (local.get $n) (then (i32.store8 (i32.const 601) (i32.load (i32.add
           (i32.load (i32.const 512))
           (i32.mul (i32.sub (local.get $n) (i32.const 1)) (i32.const 72)))))))
         (i32.store8 (i32.const 602) (i32.wrap_i64 (call $head)))
         (call $list (i32.const 0) (i32.const 600) (i32.const 3))",
    );
    let limits = Limits { page_events_max: 90, page_bytes_max: 10_000, ..Limits::default() };
    let rules = reader.load(&limits);
    // A hundred events, of which 41 to 50 are large.
    let events = (1..=100).map(|seq| vec![7; if (41..=50).contains(&seq) { 4_000 } else { 10 }]);
    let mut validator = start(&*rules, Events(events.collect())).unwrap();
    let mut page = |after: u8, limit: u8| {
        let found = validator.query("", &[after, limit]).unwrap().unwrap();
        assert_eq!(found[2], 100, "head");
        (found[0], found[1])
    };
    assert_eq!(page(0, 5), (5, 5));
    assert_eq!(page(0, 0), (0, 0));
    assert_eq!(page(50, 40), (40, 90));
    assert_eq!(page(98, 40), (2, 100), "to the end");
    assert_eq!(page(100, 40), (0, 0), "beyond the end");
    assert_eq!(page(200, 40), (0, 0), "far beyond the end");
    assert_eq!(page(40, 40), (2, 42), "a page of large events ends early");
    let (count, last) = page(0, 255);
    assert!((41..=42).contains(&last) && count == last, "{count} {last}");
}

#[test]
fn log_lines_are_capped_escaped_and_say_whose_they_are() {
    // Writes the payload 40 times.
    let chatty = guest().with(
        "validate",
        "(local $i i32)
         (loop $again
           (call $line (i32.const 2) (i32.load offset=16 (local.get $at))
             (i32.load offset=20 (local.get $at)))
           (br_if $again (i32.lt_u
             (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 40))))
         (call $accept (local.get $len))",
    );
    let mut validator = chatty.start(&Limits::default());
    let written = Written::default();
    let target = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || target.clone())
        .finish();
    let long = format!("\u{1b}[31mred\n{}", "x".repeat(2_000));
    tracing::subscriber::with_default(subscriber, || {
        validator.validate(&[proposal(long.as_bytes())], 1).unwrap();
    });
    let text = written.text();
    assert!(!text.contains('\u{1b}'), "a terminal would obey");
    assert!(text.contains("8 more lines"), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("31mred")).collect();
    assert_eq!(lines.len(), 32);
    assert!(
        lines[0].contains("scope=test") && lines[0].contains("call=\"validate\""),
        "{}",
        lines[0]
    );
    assert_eq!(lines[0].matches('x').count(), 1_024 - "\u{1b}[31mred\n".len());
}
