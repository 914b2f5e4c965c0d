//! A guest that knows older events: what it makes of them, and that it folds nothing else.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod guests;

use atomic_store::plugin::WasmLoader;
use atomic_store::validator::{Loader, Rules, Validator};
use atomic_store_core::record::{BodyIn, KeyIn};
use atomic_store_core::{ContentType, FaultKind, Key, Limits, Seq};
use guests::{Events, Guest, assert_fault, event, guest, proposal, start};
use std::sync::Arc;

/// Answers for `$n` events: each whose kind begins with `n` is a `memo` of type `text/m` today, with its
/// payload and the key `k:v`. `$claimed` is how many answers it says there are.
fn upcasting(claimed: &str, kind_bytes: &str) -> Guest {
    let functions = format!(
        "(data (i32.const 1100) \"memotext/mkv\")
         (func (export \"atomic-store:validator/upcasting@1.0.0#upcast\")
             (param $at i32) (param $n i32) (result i32)
           (local $out i32) (local $i i32) (local $to i32) (local $key i32)
           (local.set $key (call $alloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 16)))
           (i32.store (local.get $key) (i32.const 1110))
           (i32.store offset=4 (local.get $key) (i32.const 1))
           (i32.store offset=8 (local.get $key) (i32.const 1111))
           (i32.store offset=12 (local.get $key) (i32.const 1))
           (local.set $out (call $alloc (i32.const 0) (i32.const 0) (i32.const 4)
             (i32.mul (i32.add (local.get $n) (i32.const 1)) (i32.const 44))))
           (memory.fill (local.get $out) (i32.const 0)
             (i32.mul (i32.add (local.get $n) (i32.const 1)) (i32.const 44)))
           (local.set $to (local.get $out))
           (block $done (loop $next
             (br_if $done (i32.eq (local.get $i) (local.get $n)))
             (if (i32.eq (i32.load8_u (i32.load offset=8 (local.get $at))) (i32.const 110)) (then
               (i32.store (local.get $to) (i32.const 1))
               (i32.store offset=4 (local.get $to) (i32.const 1100))
               (i32.store offset=8 (local.get $to) (i32.const {kind_bytes}))
               (i32.store offset=12 (local.get $to) (i32.const 1104))
               (i32.store offset=16 (local.get $to) (i32.const 6))
               (i32.store offset=20 (local.get $to) (i32.load offset=24 (local.get $at)))
               (i32.store offset=24 (local.get $to) (i32.load offset=28 (local.get $at)))
               (i32.store offset=28 (local.get $to) (local.get $key))
               (i32.store offset=32 (local.get $to) (i32.const 1))))
             (local.set $at (i32.add (local.get $at) (i32.const 72)))
             (local.set $to (i32.add (local.get $to) (i32.const 44)))
             (local.set $i (i32.add (local.get $i) (i32.const 1)))
             (br $next)))
           (i32.store (i32.const 260) (local.get $out))
           (i32.store (i32.const 264) {claimed})
           (i32.const 260))"
    );
    // It keeps the kind of the first event that it folds, and answers with it to queries.
    guest()
        .with("functions", &functions)
        .with(
            "apply",
            "(memory.copy (i32.const 60000) (i32.load offset=8 (local.get $at)) (i32.const 4))
             (call $reset)",
        )
        .with("query", "(call $list (i32.const 0) (i32.const 60000) (i32.const 4))")
}

fn load(guest: &Guest) -> Arc<dyn Rules> {
    WasmLoader::new(Limits::default()).unwrap().load(&guest.module()).unwrap()
}

fn kept(validator: &mut dyn Validator) -> Vec<u8> {
    validator.query("kept", b"").unwrap().unwrap()
}

#[test]
fn older_events_are_what_the_guest_says_and_others_are_as_they_were() {
    let rules = load(&upcasting("(local.get $n)", "4"));
    assert!(rules.upcasts());
    let mut validator = start(&*rules, Events::default()).unwrap();
    let mut first = event(1, b"one");
    first.triggers = vec![KeyIn { kind: "clock", id: "1" }];
    first.caller_ms = Some(9);
    let other = BodyIn { kind: "other", ..event(2, b"two") };
    let newer = validator.upcast(&[first, other, event(3, b"")]).unwrap();
    let [Some(one), None, Some(three)] = newer.as_slice() else { panic!("{newer:?}") };
    assert_eq!((one.kind.as_str(), one.payload.as_slice()), ("memo", &b"one"[..]));
    assert_eq!(one.content_type, ContentType::Other("text/m".to_owned()));
    assert_eq!(
        (&one.keys, &one.triggers),
        (&vec![Key::new("k", "v")], &vec![Key::new("clock", "1")])
    );
    assert_eq!((one.caller_ms, three.payload.is_empty()), (Some(9), true));
}

#[test]
fn what_is_folded_is_what_events_are_today_and_nothing_is_folded_at_once() {
    let rules = load(&upcasting("(local.get $n)", "4"));
    let mut validator = start(&*rules, Events::default()).unwrap();
    validator.apply(&[event(1, b"x")]).unwrap();
    assert_eq!(kept(&mut *validator), b"memo");
    validator.apply(&[BodyIn { kind: "plain", ..event(2, b"x") }]).unwrap();
    assert_eq!(kept(&mut *validator), b"plai");
    assert_eq!(validator.admit(&proposal(b"x"), Seq(3), 1), Ok(None));
}

#[test]
fn an_answer_beyond_the_contract_is_a_fault_and_ends_the_instance() {
    for (claimed, kind, why) in [
        ("(i32.const 0)", "4", "0 for 1 event; there must be one for each"),
        ("(i32.add (local.get $n) (i32.const 1))", "4", "2 for 1 event;"),
        ("(local.get $n)", "0", "kind"),
    ] {
        let rules = load(&upcasting(claimed, kind));
        let mut validator = start(&*rules, Events::default()).unwrap();
        assert_fault(validator.upcast(&[event(1, b"x")]), FaultKind::BadOutput, why);
        assert_fault(validator.apply(&[event(1, b"x")]), FaultKind::Trap, "lost");
    }
}

#[test]
fn a_guest_that_knows_no_older_events_leaves_all_as_they_were() {
    let mut validator = guest().start(&Limits::default());
    assert_eq!(validator.upcast(&[event(1, b"x"), event(2, b"y")]), Ok(vec![None, None]));
}
