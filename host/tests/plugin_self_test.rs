//! What the self-test finds: for each promise of the contract a guest that breaks it, and only it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod guests;

use atomic_store::self_test::{
    ADMIT, FOLD, FUEL, NAMES, QUERY, RESTORE, SNAPSHOT, START, VALIDATE, VERDICT, run,
};
use atomic_store::validator::{Recorded, Trial};
use atomic_store_core::{
    AppendId, Check, CheckResult, ContentType, Digest, Event, Limits, Position, ScopeName, Seq,
};
use guests::{Guest, guest};
use std::time::{Duration, Instant};

/// A guest that counts the events it folds, and keeps every promise.
///
/// Its snapshot is the byte 83 and the count, 4 bytes.
fn honest() -> Guest {
    guest()
        .with("globals", "(global $count (mut i32) (i32.const 0))")
        .with(
            "apply",
            "(global.set $count (i32.add (global.get $count) (local.get $len))) (call $reset)",
        )
        .with(
            "snapshot",
            "(i32.store8 (i32.const 512) (i32.const 83))
             (i32.store (i32.const 513) (global.get $count))
             (call $list (i32.const 1) (i32.const 512) (i32.const 5))",
        )
        .with(
            "restore",
            &format!(
                "(if (i32.ne (local.get $snapshot_len) (i32.const 5)) (then (return {NO})))
                 (if (i32.ne (i32.load8_u (local.get $snapshot)) (i32.const 83))
                   (then (return {NO})))
                 (global.set $count (i32.load offset=1 (local.get $snapshot)))
                 (call $reset)
                 (call $list (i32.const 0) (i32.const 0) (i32.const 0))"
            ),
        )
}

/// The answer of a `restore` that declines.
const NO: &str = "(call $list (i32.const 1) (i32.const 24) (i32.const 2))";

/// The honest guest with something else in its `restore`.
fn altered(from: &str, to: &str) -> Guest {
    let restore = honest().part("restore");
    assert!(restore.contains(from), "{restore}");
    honest().with("restore", &restore.replace(from, to))
}

fn tested(guest: &Guest, limits: &Limits, trial: &Trial) -> Vec<Check> {
    run(&*guest.load(limits), trial, limits)
}

/// Asserts that one check fails and no other, and gives it.
fn only(guest: &Guest, name: &str) -> Check {
    let checks = tested(guest, &Limits::default(), &Trial::default());
    let failed: Vec<_> = checks.iter().filter(|check| check.failed()).collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0].name, name, "{failed:#?}");
    failed[0].clone()
}

#[test]
fn an_honest_guest_passes_everything() {
    let checks = tested(&honest(), &Limits::default(), &Trial::default());
    let names: Vec<_> = checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, NAMES);
    for check in &checks {
        // It is written without the optional interface.
        let there = check.name != ADMIT;
        let expected = if there { CheckResult::Passed } else { CheckResult::Skipped };
        assert_eq!(check.result, expected, "{check:?}");
    }
}

#[test]
fn without_snapshots_nothing_is_said_about_the_state() {
    let checks = tested(&guest(), &Limits::default(), &Trial::default());
    for check in checks {
        let about_state =
            [VALIDATE, QUERY, SNAPSHOT, RESTORE, ADMIT].contains(&check.name.as_str());
        let expected = if about_state { CheckResult::Skipped } else { CheckResult::Passed };
        assert_eq!(check.result, expected, "{check:?}");
    }
}

#[test]
fn a_validate_that_changes_the_state_is_found_with_its_input() {
    let leaky = honest().with(
        "validate",
        "(global.set $count (i32.add (global.get $count) (i32.const 1)))
         (call $accept (local.get $len))",
    );
    let checks = tested(&leaky, &Limits::default(), &Trial::default());
    let found = checks.iter().find(|check| check.name == VALIDATE).unwrap();
    assert!(found.failed() && found.input.is_some(), "{found:?}");
    // The count then tells how often it was asked, so that a fold comes to another state, too.
    let snapshot = checks.iter().find(|check| check.name == SNAPSHOT).unwrap();
    assert!(snapshot.failed(), "{snapshot:?}");
}

#[test]
fn a_query_that_changes_the_state_or_traps_is_found() {
    let leaky = honest().with(
        "query",
        "(global.set $count (i32.add (global.get $count) (i32.const 1)))
         (call $list (i32.const 0) (i32.const 0) (i32.const 0))",
    );
    let checks = tested(&leaky, &Limits::default(), &Trial::default());
    assert!(checks.iter().any(|check| check.name == QUERY && check.failed()), "{checks:#?}");
    let check = only(&honest().with("query", "(unreachable)"), QUERY);
    assert!(check.detail.contains("trap"), "{check:?}");
}

#[test]
fn a_trap_on_some_bytes_is_found_with_these_bytes() {
    // Traps if the first payload is empty: a proposal keeps its payload's length at 20.
    let picky = honest().with(
        "validate",
        "(if (i32.eqz (i32.load offset=20 (local.get $at))) (then unreachable))
         (call $accept (local.get $len))",
    );
    let check = only(&picky, VERDICT);
    assert!(check.detail.contains("trap"), "{check:?}");
    assert_eq!(check.input.unwrap().payload, b"");
}

#[test]
fn an_accepted_event_that_does_not_fold_is_found() {
    let check = only(&honest().with("apply", "(unreachable)"), FOLD);
    assert!(check.detail.contains("what it accepted") && check.input.is_some(), "{check:?}");
}

#[test]
fn a_snapshot_that_forgets_or_is_not_taken_back_is_found() {
    let forgetful = altered(
        "(global.set $count (i32.load offset=1 (local.get $snapshot)))",
        "(global.set $count (i32.const 0))",
    );
    let check = only(&forgetful, SNAPSHOT);
    assert!(check.detail.contains("another state"), "{check:?}");
    let stubborn = honest().with("restore", &format!("(return {NO})"));
    let check = only(&stubborn, SNAPSHOT);
    assert!(check.detail.contains("its own snapshot"), "{check:?}");
}

#[test]
fn a_fold_that_depends_on_how_events_come_is_found() {
    // Counts calls, not events.
    let lazy = honest().with(
        "apply",
        "(global.set $count (i32.add (global.get $count) (i32.const 1))) (call $reset)",
    );
    let check = only(&lazy, SNAPSHOT);
    assert!(check.detail.contains("at once"), "{check:?}");
}

#[test]
fn a_restore_that_takes_anything_or_traps_is_found_with_the_garbage() {
    let trusting = altered("(i32.ne (local.get $snapshot_len) (i32.const 5))", "(i32.const 0)");
    let check = only(&trusting, RESTORE);
    assert!(check.detail.contains("it was taken"), "{check:?}");
    assert!(check.input.is_some());
    let fragile = altered(&format!("(then (return {NO}))"), "(then unreachable)");
    let check = only(&fragile, RESTORE);
    assert!(check.detail.contains("a fault instead"), "{check:?}");
}

#[test]
fn fuel_that_grows_with_the_history_is_found() {
    let slow = honest().with(
        "validate",
        "(local $i i32)
         (local.set $i (i32.mul (global.get $count) (i32.const 2000)))
         (block $done (loop $next
           (br_if $done (i32.eqz (local.get $i)))
           (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br $next)))
         (call $accept (local.get $len))",
    );
    let check = only(&slow, FUEL);
    assert!(check.detail.contains("units after 8 events"), "{check:?}");
}

#[test]
fn a_start_that_traps_is_found_and_one_that_declines_is_not_held_against_it() {
    only(&honest().with("init", "(unreachable)"), START);
    let wants_config = honest().with("init", NO);
    for check in tested(&wants_config, &Limits::default(), &Trial::default()) {
        assert_eq!(check.result, CheckResult::Skipped, "{check:?}");
    }
}

fn recorded(payloads: &[&[u8]]) -> Trial {
    let event = |(seq, payload): (u64, &&[u8])| Event {
        seq: Seq(seq),
        position: Position(seq),
        kind: "note".to_owned(),
        content_type: ContentType::Bytes,
        payload: payload.to_vec(),
        keys: Vec::new(),
        triggers: Vec::new(),
        metadata: Vec::new(),
        caller_ms: None,
        host_ms: 1_000 + seq,
        append_id: AppendId::default(),
        validator: Digest::default(),
        binding: Seq(1),
        previous: Digest::default(),
        hash: Digest::default(),
    };
    let events = (1..).zip(payloads).map(event).collect();
    let scope = ScopeName::new("recorded/1").unwrap();
    Trial { config: None, recorded: vec![Recorded { scope, config: None, events }] }
}

#[test]
fn recorded_events_are_tried_and_their_faults_are_found() {
    // Traps on a payload that begins with a 7: an event keeps its payload at 24.
    let allergic = honest().with(
        "apply",
        "(if (i32.load offset=28 (local.get $at)) (then
           (if (i32.eq (i32.const 7) (i32.load8_u (i32.load offset=24 (local.get $at))))
             (then unreachable))))
         (global.set $count (i32.add (global.get $count) (local.get $len))) (call $reset)",
    );
    let fine = tested(&allergic, &Limits::default(), &recorded(&[b"1", b"2"]));
    assert!(fine.iter().all(|check| !check.failed()), "{fine:#?}");
    let checks = tested(&allergic, &Limits::default(), &recorded(&[b"1", b"\x07"]));
    let fold = checks.iter().find(|check| check.name == FOLD).unwrap();
    assert!(fold.failed() && fold.detail.contains("a recorded event"), "{fold:?}");
    assert_eq!(fold.input.as_ref().unwrap().payload, b"\x07");
}

#[test]
fn a_configuration_that_init_declines_fails_only_if_somebody_asked_for_it() {
    let declines = honest().with("init", NO);
    let start = |trial: &Trial| {
        let checks = tested(&declines, &Limits::default(), trial);
        checks.into_iter().find(|check| check.name == START).unwrap()
    };
    let asked = start(&Trial { config: Some(b"garbage".to_vec()), ..Trial::default() });
    assert!(asked.failed() && asked.detail.contains("no to the configuration"), "{asked:?}");
    // What is bound may be the configuration of something else.
    let mut bound = recorded(&[b"1"]);
    bound.recorded[0].config = Some(b"another's".to_vec());
    for trial in [Trial::default(), bound] {
        let start = start(&trial);
        assert_eq!(start.result, CheckResult::Skipped, "{start:?}");
        assert!(start.detail.contains("give it a configuration"), "{start:?}");
    }
}

#[test]
fn a_self_test_ends_in_its_time() {
    let slow = honest().with("validate", "(loop $l (br $l)) (unreachable)");
    let limits = Limits { self_test_ms_max: 0, ..Limits::default() };
    for check in tested(&slow, &limits, &Trial::default()) {
        assert!(!check.failed(), "nothing was proposed in no time: {check:?}");
    }
    let limits = Limits { call_ms_max: 100, ..Limits::default() };
    let begun = Instant::now();
    let checks = tested(&slow, &limits, &Trial::default());
    assert!(checks.iter().any(|check| check.name == VERDICT && check.failed()), "{checks:#?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
