//! A well-behaved guest: what it is given, and what becomes of its answers.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod guests;

use atomic_store::validator::{Acceptance, Verdict};
use atomic_store_core::{Digest, Limits};
use guests::{Events, event, guest, proposal, start};

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
