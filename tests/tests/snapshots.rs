//! Snapshots only save time: a damaged one, a wrong one or one of other rules never changes a state.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Limits, Scrubbed, Seq};
use atomic_store_tests::{Caller, VersionsStore, scope};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn ruled(limits: Limits) -> (VersionsStore, Caller) {
    let store = VersionsStore::new(limits);
    let caller = store.by_hand();
    caller.rule("s/*", b"r 1.0.0");
    (store, caller)
}

/// A store that came back with snapshots of `s/1` at events 2 and 3 of 3.
fn with_two_snapshots() -> VersionsStore {
    let (mut store, caller) = ruled(Limits::default());
    for events in [&["1", "2"][..], &["3"]] {
        caller.store("s/1", events);
        caller.engine.take_snapshot(&scope("s/1")).unwrap();
    }
    store.crash();
    store
}

fn sum(caller: &Caller, name: &str) -> u64 {
    let (_, answer) = caller.query(name, "sum");
    String::from_utf8(answer.unwrap()).unwrap().parse().unwrap()
}

fn scrub(caller: &Caller) -> Scrubbed {
    caller.engine.scrub("", "").unwrap()
}

#[test]
fn a_snapshot_on_request_is_kept_at_the_head_and_used_after_a_restart() {
    let (mut store, caller) = ruled(Limits::default());
    let none = caller.engine.take_snapshot(&scope("s/1"));
    assert!(matches!(none, Err(RequestError::NotFound(_))), "{none:?}");
    caller.store("s/1", &["1", "2", "3"]);
    let taken = caller.engine.take_snapshot(&scope("s/1")).unwrap().unwrap();
    assert_eq!((taken.seq, taken.bytes), (Seq(3), 16));
    caller.store("s/1", &["4"]);
    store.crash();
    let caller = store.by_hand();
    assert_eq!(sum(&caller, "s/1"), 10);
    assert_eq!(store.seen.restored.load(Ordering::SeqCst), 1);
    let reserved = caller.engine.take_snapshot(&scope("$system"));
    assert!(matches!(reserved, Err(RequestError::Invalid { .. })), "{reserved:?}");
    caller.rule("s/plain", b"r 1.1.0 plain");
    caller.store("s/plain", &["1"]);
    assert_eq!(caller.engine.take_snapshot(&scope("s/plain")).unwrap(), None);
}

#[test]
fn what_is_decided_but_not_durable_is_in_a_snapshot_only_once_it_is() {
    let (store, caller) = ruled(Limits::default());
    caller.store("s/1", &["1"]);
    let call = caller.send(atomic_store_tests::append_to("s/1", &["2"]));
    store.hands().decide();
    let taken = caller.engine.take_snapshot(&scope("s/1")).unwrap().unwrap();
    assert_eq!(taken.seq, Seq(2));
    let _answer = caller.wait(call);
    assert_eq!(scrub(&caller).proven, 1);
}

#[test]
fn the_last_two_are_kept_and_both_are_proven() {
    let (_store, caller) = ruled(Limits::default());
    for n in 1..=4 {
        caller.store("s/1", &["5"]);
        assert_eq!(caller.engine.take_snapshot(&scope("s/1")).unwrap().unwrap().seq, Seq(n));
    }
    caller.store("s/1", &["5"]);
    let found = scrub(&caller);
    assert_eq!((found.scopes, found.proven, found.skipped), (2, 2, 0));
    assert_eq!(found.dropped, []);
    assert_eq!(found.last, Some(scope("s/1")));
    assert_eq!(caller.engine.scrub("", "s/1").unwrap(), Scrubbed::default());
    assert_eq!(caller.engine.scrub("t/", "").unwrap(), Scrubbed::default());
}

#[test]
fn a_wrong_snapshot_is_dropped_loudly_and_the_loop_that_began_with_it_folds_again() {
    let store = with_two_snapshots();
    assert!(store.log.spoil_snapshot(&scope("s/1")));
    let caller = store.by_hand();
    // Nobody can know yet.
    assert_eq!(sum(&caller, "s/1"), 7, "the spoiled state is used");
    let found = scrub(&caller);
    assert_eq!((found.proven, found.dropped.len()), (1, 1));
    let dropped = &found.dropped[0];
    assert_eq!((&dropped.scope, dropped.seq), (&scope("s/1"), Seq(3)));
    assert_eq!(sum(&caller, "s/1"), 6, "the loop folds again, from the older one");
    let said = caller.events("$system").pop().unwrap();
    assert_eq!(said.kind, "snapshot-dropped");
    assert!(String::from_utf8(said.payload).unwrap().contains("\"seq\":3"));
    let found = scrub(&caller);
    assert_eq!((found.proven, found.dropped.len()), (1, 0));
}

#[test]
fn a_scrub_in_the_background_finds_a_wrong_snapshot_by_itself() {
    let mut store = VersionsStore::new(Limits { scrub_ms: 5, ..Limits::default() });
    let caller = store.by_hand();
    caller.rule("s/*", b"r 1.0.0");
    for name in ["s/1", "s/2", "s/3"] {
        caller.store(name, &["1", "2"]);
        caller.engine.take_snapshot(&scope(name)).unwrap();
    }
    store.crash();
    assert!(store.log.spoil_snapshot(&scope("s/2")));
    let caller = store.with_threads(2);
    let patience = Instant::now() + Duration::from_secs(30);
    while !caller.events("$system").iter().any(|event| event.kind == "snapshot-dropped") {
        assert!(Instant::now() < patience, "it was not found");
        std::thread::sleep(Duration::from_millis(5));
    }
    // It is said first, and dropped then.
    while sum(&caller, "s/2") != 3 {
        assert!(Instant::now() < patience, "it was not dropped");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(caller.engine.close(Duration::from_secs(10)));
}

#[test]
fn without_a_scrub_nothing_is_looked_at() {
    let mut store = VersionsStore::new(Limits { scrub_ms: 0, ..Limits::default() });
    let caller = store.by_hand();
    caller.rule("s/*", b"r 1.0.0");
    caller.store("s/1", &["1", "2"]);
    caller.engine.take_snapshot(&scope("s/1")).unwrap();
    store.crash();
    assert!(store.log.spoil_snapshot(&scope("s/1")));
    let caller = store.with_threads(2);
    std::thread::sleep(Duration::from_millis(100));
    assert!(!caller.events("$system").iter().any(|event| event.kind == "snapshot-dropped"));
}

#[test]
fn a_snapshot_that_the_rule_refuses_is_passed_over_for_the_one_before_it() {
    let store = with_two_snapshots();
    assert!(store.log.cut_snapshot(&scope("s/1")));
    let caller = store.by_hand();
    caller.store("s/1", &["4"]);
    assert_eq!(sum(&caller, "s/1"), 10);
    assert_eq!(store.seen.restored.load(Ordering::SeqCst), 1, "the older one was used");
    assert_eq!(store.seen.folded_before_use.load(Ordering::SeqCst), 1, "and only event 3 folded");
    let found = scrub(&caller);
    assert_eq!((found.proven, found.dropped.len()), (1, 1));
    assert!(found.dropped[0].why.contains("not a snapshot"), "{:?}", found.dropped);
}
