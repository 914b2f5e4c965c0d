//! The faster calls of a guest: what they do, and that they do what the plain ones do.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod guests;

use atomic_store::plugin::WasmLoader;
use atomic_store::validator::{Admission, AdmitError, Loader, Rules, Validator, Verdict};
use atomic_store_core::record::{BodyIn, KeyIn};
use atomic_store_core::{ContentType, FaultKind, Key, Limits, Proposal, Seq};
use guests::{Events, Guest, assert_fault, event, guest, proposal, start};
use std::sync::Arc;

/// Keeps what it is given, at 60000, and answers with it to queries.
const KEEP: &str = "(memory.copy (i32.const 60000) (local.get $at) (local.get $len))
    (global.set $kept (local.get $len)) (call $reset)";

/// A guest with both faster calls.
fn packed(admit: &str) -> Guest {
    let functions = format!(
        "(global $kept (mut i32) (i32.const 0))
         (func (export \"atomic-store:validator/packed@1.0.0#apply\") (param $at i32) (param $len i32)
           {KEEP})
         (func (export \"atomic-store:validator/packed@1.0.0#admit\")
             (param $at i32) (param $len i32) (result i32)
           {KEEP}
           {admit})"
    );
    guest()
        .with("functions", &functions)
        .with("query", "(call $list (i32.const 0) (i32.const 60000) (global.get $kept))")
}

/// Accepts as proposed.
const YES: &str =
    "(i32.store (i32.const 256) (i32.const 0)) (i32.store (i32.const 260) (i32.const 0))
    (i32.const 256)";

fn load(guest: &Guest) -> Arc<dyn Rules> {
    WasmLoader::new(Limits::default()).unwrap().load(&guest.module()).unwrap()
}

fn kept(validator: &mut dyn Validator) -> Vec<u8> {
    validator.query("kept", b"").unwrap().unwrap()
}

/// The bytes of an event, as the contract has them.
fn bytes(numbers: [u64; 3], parts: [&[u8]; 3], keys: &[[&str; 2]], pairs: &[[&str; 2]]) -> Vec<u8> {
    let mut bytes: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
    let mut piece = |piece: &[u8]| {
        bytes.extend(u32::try_from(piece.len()).unwrap().to_le_bytes());
        bytes.extend(piece);
    };
    parts.into_iter().for_each(&mut piece);
    for list in [keys, pairs] {
        bytes.extend(u32::try_from(list.len()).unwrap().to_le_bytes());
        for part in list.iter().flatten() {
            bytes.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
            bytes.extend(part.as_bytes());
        }
    }
    bytes
}

#[test]
fn events_are_folded_as_bytes_one_behind_the_other() {
    let rules = load(&packed(YES));
    let mut validator = start(&*rules, Events::default()).unwrap();
    let mut second = event(2, b"");
    second.caller_ms = Some(9);
    second.keys = vec![KeyIn { kind: "book", id: "\u{e4}" }];
    second.metadata = vec![("from", "here"), ("", "")];
    validator.apply(&[event(1, b"one"), second]).unwrap();
    let media = ContentType::Bytes.as_str().as_bytes();
    let first = bytes([1, 1_001, u64::MAX], [b"note", media, b"one"], &[], &[]);
    let second = bytes(
        [2, 1_002, 9],
        [b"note", media, b""],
        &[["book", "\u{e4}"]],
        &[["from", "here"], ["", ""]],
    );
    assert_eq!(kept(&mut *validator), [first, second].concat());
}

#[test]
fn a_proposal_comes_as_the_event_that_it_would_become() {
    let rules = load(&packed(YES));
    let mut validator = start(&*rules, Events::default()).unwrap();
    let proposal = Proposal {
        keys: vec![Key { kind: "book".to_owned(), id: "1".to_owned() }],
        metadata: vec![("from".to_owned(), "here".to_owned())],
        caller_ms: Some(0),
        ..proposal(b"x")
    };
    assert_eq!(validator.admit(&proposal, Seq(7), 50), Ok(Some(Admission::Folded)));
    let media = ContentType::Bytes.as_str().as_bytes();
    let wanted = bytes([7, 50, 0], [b"note", media, b"x"], &[["book", "1"]], &[["from", "here"]]);
    assert_eq!(kept(&mut *validator), wanted);
}

#[test]
fn a_guest_without_the_faster_calls_says_so_and_is_asked_the_plain_way() {
    let mut validator = guest().start(&Limits::default());
    assert_eq!(validator.admit(&proposal(b"x"), Seq(1), 1), Ok(None));
    assert!(matches!(validator.validate(&[proposal(b"x")], 1).unwrap(), Verdict::Accepted(_)));
}

#[test]
fn a_trap_in_a_faster_call_is_a_fault_and_ends_the_instance() {
    let rules = load(&packed("unreachable"));
    let mut validator = start(&*rules, Events::default()).unwrap();
    assert_fault(validator.admit(&proposal(b"x"), Seq(1), 1), FaultKind::Trap, "unreachable");
    assert_fault(validator.apply(&[event(1, b"x")]), FaultKind::Trap, "lost");
}

#[test]
fn an_answer_beyond_the_contract_is_a_fault() {
    // A refusal of the second of one proposals.
    let no = "(call $refuse (i32.const 1) (i32.const 1))";
    let rules = load(&packed(no));
    let mut validator = start(&*rules, Events::default()).unwrap();
    let answer = validator.admit(&proposal(b"x"), Seq(1), 1);
    assert_fault(answer, FaultKind::BadOutput, "refusal index");
}

#[test]
fn half_of_the_faster_calls_is_refused_with_the_one_that_is_missing() {
    let half = packed(YES)
        .with(
            "functions",
            "(func (export \"atomic-store:validator/packed@1.0.0#apply\") \
            (param i32) (param i32))",
        )
        .with("query", "(call $list (i32.const 0) (i32.const 0) (i32.const 0))");
    let loader = WasmLoader::new(Limits::default()).unwrap();
    let error = loader.load(&half.module()).err().unwrap();
    let AdmitError::Contract(why) = &error else { panic!("{error}") };
    assert!(why.contains("packed@1.0.0 has no function `admit`"), "{why}");
}

/// A bid of the auction's, good and bad.
fn bid(n: u64) -> Proposal {
    let payload = match n % 7 {
        3 => "nonsense".to_owned(),
        4 => format!(r#"{{"bidder":"b{n}","amount":1}}"#),
        _ => format!(r#"{{"bidder":"b{n}","amount":"{n}.50"}}"#),
    };
    let kind = if n % 11 == 10 { "unknown" } else { "bid" };
    let (kind, content_type) = (kind.to_owned(), ContentType::Json);
    Proposal { kind, content_type, payload: payload.into_bytes(), ..Proposal::default() }
}

#[test]
fn the_auction_answers_and_folds_the_same_both_ways() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests/auction.wasm");
    let component = std::fs::read(file).expect("`make guests` builds the example validators");
    let rules = WasmLoader::new(Limits::default()).unwrap().load(&component).unwrap();
    let mut fast = start(&*rules, Events::default()).unwrap();
    let mut plain = start(&*rules, Events::default()).unwrap();
    let (mut head, mut refused) = (0, 0);
    for n in 1..=200 {
        let proposal = bid(n);
        let found = fast.admit(&proposal, Seq(head + 1), n).unwrap();
        match plain.validate(std::slice::from_ref(&proposal), n).unwrap() {
            Verdict::Accepted(_) => {
                assert_eq!(found, Some(Admission::Folded), "{n}");
                head += 1;
                let content_type = ContentType::Json;
                let (kind, payload) = (proposal.kind.as_str(), proposal.payload.as_slice());
                let folded = BodyIn { kind, content_type, host_ms: n, ..event(head, payload) };
                plain.apply(&[folded]).unwrap();
            }
            verdict => {
                assert_eq!(found, Some(Admission::Judged(verdict)), "{n}");
                refused += 1;
            }
        }
        assert_eq!(fast.snapshot().unwrap(), plain.snapshot().unwrap(), "{n}");
    }
    assert!(head > 100 && refused > 50, "{head} accepted, {refused} refused");
}
