//! Scopes as a whole: listed, sealed, deleted, restored; by hand, by threads, and through crashes.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::log::CommitFault;
use atomic_store_core::protocol::{Origin, RequestError};
use atomic_store_core::{Append, ExpectedHead, Limits, Outcome, Position, Seq};
use atomic_store_tests::{Caller, Memory, append_to, scope};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

fn records(caller: &Caller, name: &str) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let read = caller.engine.read(&scope(name), Seq::ZERO, Seq::MAX, &mut |view| {
        records.push(view.as_bytes().to_vec());
        ControlFlow::Continue(())
    });
    read.unwrap();
    records
}

fn restore(caller: &Caller, name: &str, records: &[Vec<u8>]) -> Result<(), RequestError> {
    let mut restore = caller.engine.restore_scope(&scope(name))?;
    for part in records.chunks(2) {
        restore.add(part.iter().map(Vec::as_slice))?;
    }
    restore.finish(None).map(drop)
}

fn system(caller: &Caller, kind: &str) -> usize {
    caller.events("$system").iter().filter(|event| event.kind == kind).count()
}

fn order(caller: &Caller) -> Vec<(String, u64)> {
    let mut seen = Vec::new();
    let read = caller.engine.read_order(Position(0), &mut |scope, view| {
        if !scope.is_reserved() {
            seen.push((scope.to_string(), view.seq().0));
        }
        ControlFlow::Continue(())
    });
    read.unwrap();
    seen
}

#[test]
fn a_sealed_scope_is_read_and_asked_and_takes_nothing() {
    let (mut memory, caller) = Memory::ruled(Limits::default());
    caller.store("s/1", &["add 10"]);
    let stored = append_to("s/1", &["add 20"]);
    assert!(matches!(caller.ask(stored.clone()).outcome, Outcome::Committed(_)));
    caller.engine.seal_scope(&scope("s/1"), "the auction is over").unwrap();
    caller.engine.seal_scope(&scope("s/new"), "reserved").unwrap();
    let check = |caller: &Caller| {
        for name in ["s/1", "s/new"] {
            let Outcome::ReadOnly { why } = caller.append(name, &["add 30"]) else { panic!() };
            assert!(why.contains(&format!("atomic-store scope unseal {name}")), "{why}");
        }
        assert_eq!(caller.payloads("s/1"), ["add 10", "add 20"]);
        assert_eq!(caller.query("s/1", "sum"), (Seq(2), Ok(b"30".to_vec())));
        let again = caller.ask_again(&stored);
        assert!(again.duplicate && matches!(again.outcome, Outcome::Committed(_)));
        let info = caller.engine.show_scope(&scope("s/1")).unwrap().unwrap();
        assert_eq!((info.sealed.as_deref(), info.damaged), (Some("the auction is over"), false));
    };
    check(&caller);
    memory.crash(1);
    let caller = memory.by_hand();
    check(&caller);
    caller.engine.unseal_scope(&scope("s/1")).unwrap();
    assert_eq!(caller.store("s/1", &["add 30"]), Seq(3));
    let unsealed = caller.engine.unseal_scope(&scope("s/1"));
    assert!(matches!(unsealed, Err(RequestError::NotFound(_))), "{unsealed:?}");
    let reserved = caller.engine.seal_scope(&scope("$system"), "mine");
    assert!(matches!(reserved, Err(RequestError::Invalid { field, .. }) if field == "scope"));
}

#[test]
fn what_was_accepted_before_a_seal_stays_and_what_comes_after_is_refused() {
    let (memory, caller) = Memory::ruled(Limits::default());
    let before = caller.send(append_to("s/1", &["add 10"]));
    memory.hands.decide();
    let waiting = caller.send(append_to("s/1", &["add 20"]));
    caller.engine.seal_scope(&scope("s/1"), "closed").unwrap();
    assert!(matches!(caller.wait(before).outcome, Outcome::Committed(_)));
    assert!(matches!(caller.wait(waiting).outcome, Outcome::ReadOnly { .. }));
}

#[test]
fn damage_cannot_be_unsealed() {
    let (memory, caller) = Memory::ruled(Limits::default());
    caller.store("s/1", &["add 10"]);
    memory.log.damage(&scope("s/1"), Seq(1));
    assert!(
        caller
            .engine
            .read(&scope("s/1"), Seq(0), Seq::MAX, &mut |_| ControlFlow::Break(()))
            .is_err()
    );
    let refused = caller.engine.unseal_scope(&scope("s/1"));
    assert!(matches!(refused, Err(RequestError::Damaged(_))), "{refused:?}");
    let refused = caller.engine.delete_scope(&scope("s/1"), None);
    assert!(matches!(refused, Err(RequestError::Damaged(_))), "{refused:?}");
}

#[test]
fn a_deleted_scope_goes_on_with_its_numbers_and_its_chain_and_a_fresh_state() {
    let limits = Limits { snapshot_events: 2, ..Limits::default() };
    let (mut memory, caller) = Memory::ruled(limits);
    let gone = append_to("s/1", &["add 10", "add 20"]);
    caller.ask(gone.clone());
    caller.store("s/1", &["add 30", "add 40"]);
    caller.store("s/2", &["add 1"]);
    let last = caller.events("s/1").pop().unwrap();
    for wrong in [3, 5] {
        let refused = caller.engine.delete_scope(&scope("s/1"), Some(Seq(wrong)));
        assert!(matches!(refused, Err(RequestError::Invalid { field, .. }) if field == "head"));
    }
    assert_eq!(caller.engine.delete_scope(&scope("s/1"), Some(Seq(4))), Ok(4));
    let check = |caller: &Caller| {
        assert!(caller.events("s/1").is_empty());
        assert_eq!(order(caller), [("s/2".to_owned(), 1)]);
        assert_eq!(caller.query("s/1", "count"), (Seq(4), Ok(b"0".to_vec())));
        let info = caller.engine.show_scope(&scope("s/1")).unwrap().unwrap();
        assert_eq!((info.head, info.floor, info.events(), info.bytes), (Seq(4), Seq(4), 0, 0));
        assert_eq!(info.hash, last.hash);
        let again = caller.ask_again(&gone);
        let Outcome::Invalid { field, why } = again.outcome else { panic!("{again:?}") };
        assert!(field == "id" && why.contains("deleted"), "{why}");
        caller.verify();
    };
    check(&caller);
    memory.crash(3);
    let caller = memory.by_hand();
    check(&caller);
    // "add 3" is too low for the old state and fine for a fresh one.
    assert_eq!(caller.store("s/1", &["add 3"]), Seq(5));
    let first = caller.events("s/1").remove(0);
    assert_eq!((first.seq, first.previous), (Seq(5), last.hash));
    assert_eq!(caller.query("s/1", "sum"), (Seq(5), Ok(b"3".to_vec())));
    let exact = |head| Append {
        expected_head: ExpectedHead::Exactly(head),
        ..append_to("s/1", &["add 9"])
    };
    assert!(matches!(
        caller.ask(exact(Seq(0))).outcome,
        Outcome::HeadMismatch { actual: Seq(5), .. }
    ));
    assert!(matches!(caller.ask(exact(Seq(5))).outcome, Outcome::Committed(_)));
    assert_eq!(caller.engine.delete_scope(&scope("s/1"), None), Ok(2));
    let empty = caller.engine.delete_scope(&scope("s/1"), None);
    assert!(matches!(empty, Err(RequestError::NotFound(_))), "{empty:?}");
    let unknown = caller.engine.delete_scope(&scope("s/never"), None);
    assert!(matches!(unknown, Err(RequestError::NotFound(_))), "{unknown:?}");
    assert_eq!(system(&caller, "scope-deleted"), 2);
    caller.verify();
}

#[test]
fn appends_on_their_way_come_before_or_after_a_deletion_and_none_between() {
    let (memory, caller) = Memory::ruled(Limits::default());
    caller.store("s/1", &["add 9"]);
    let decided = caller.send(append_to("s/1", &["add 9"]));
    memory.hands.decide();
    let waiting = caller.send(append_to("s/1", &["add 1"]));
    assert_eq!(caller.engine.delete_scope(&scope("s/1"), None), Ok(2), "the decided one included");
    let Outcome::Committed(before) = caller.wait(decided).outcome else { panic!() };
    // Too low before the deletion, fine after it.
    let Outcome::Committed(after) = caller.wait(waiting).outcome else { panic!() };
    assert_eq!((before.last.seq, after.first.seq), (Seq(2), Seq(3)));
    assert_eq!(caller.payloads("s/1"), ["add 1"]);
    caller.verify();
}

#[test]
fn a_deletion_under_load_loses_no_number_and_no_answer() {
    let (mut memory, caller) = Memory::ruled(Limits::default());
    drop(caller);
    memory.crash(0);
    let caller = memory.with_threads(4);
    let done = AtomicBool::new(false);
    let (mut appended, mut deleted) = (0, 0);
    std::thread::scope(|threads| {
        let deleting = threads.spawn(|| {
            let mut events = 0;
            while !done.load(Ordering::Relaxed) {
                match caller.engine.delete_scope(&scope("s/1"), None) {
                    Ok(more) => events += more,
                    Err(RequestError::NotFound(_) | RequestError::Overloaded(_)) => {}
                    Err(other) => panic!("{other:?}"),
                }
                std::thread::yield_now();
            }
            events
        });
        for _ in 0..300 {
            let calls: Vec<_> =
                (0..8).map(|_| caller.send(append_to("s/1", &["ones 1"]))).collect();
            for call in calls {
                let Outcome::Committed(_) = caller.inbox.wait(call).outcome else { panic!() };
                appended += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
        deleted = deleting.join().unwrap();
    });
    let left = caller.events("s/1");
    assert_eq!(deleted + left.len() as u64, appended);
    let head = caller.engine.show_scope(&scope("s/1")).unwrap().unwrap().head;
    assert_eq!(head, Seq(appended), "numbers go on without a gap");
    caller.verify();
}

#[test]
fn every_failed_commit_of_a_deletion_leaves_all_or_nothing() {
    for how in [CommitFault::Before, CommitFault::After] {
        let (mut memory, caller) = Memory::ruled(Limits::default());
        caller.store("s/1", &["add 10"]);
        memory.log.fail_commit(memory.log.commit_calls() + 1, how);
        let failed = caller.engine.delete_scope(&scope("s/1"), None);
        assert!(matches!(failed, Err(RequestError::Failed(_))), "{failed:?}");
        memory.crash(0);
        let caller = memory.by_hand();
        let gone = how == CommitFault::After;
        assert_eq!(caller.events("s/1").len(), usize::from(!gone), "{how:?}");
        assert_eq!(system(&caller, "scope-deleted"), usize::from(gone));
        assert_eq!(caller.store("s/1", &["add 10"]), Seq(2));
        caller.verify();
    }
}

#[test]
fn a_made_up_beginning_leaves_room_for_what_follows() {
    let (_memory, caller) = Memory::ruled(Limits::default());
    for (seq, fits) in [(1_u64 << 53, true), ((1 << 53) + 1, false), (u64::MAX, false), (0, false)]
    {
        let mut event = source().0.events("s/1").remove(0);
        event.seq = Seq(seq);
        let record = event.to_record().unwrap().as_bytes().to_vec();
        let name = format!("s/{seq}");
        assert_eq!(restore(&caller, &name, &[record]).is_ok(), fits, "{seq}");
        if fits {
            assert_eq!(caller.store(&name, &["add 99"]), Seq(seq + 1));
        }
    }
    caller.verify();
}

/// A store with a scope of ten events, and its records.
fn source() -> (Caller, Vec<Vec<u8>>) {
    let (_, caller) = Memory::ruled(Limits::default());
    for n in 0..5 {
        caller.store("s/1", &[&format!("add {}", 90 + n), "ones 1"]);
    }
    let records = records(&caller, "s/1");
    assert_eq!(records.len(), 10);
    (caller, records)
}

#[test]
fn a_restored_scope_is_the_same_and_goes_on() {
    let (source, all) = source();
    let (mut memory, caller) = Memory::ruled(Limits::default());
    caller.store("s/0", &["add 1"]);
    restore(&caller, "s/1", &all).unwrap();
    let same = |caller: &Caller| {
        let (mut here, there) = (caller.events("s/1"), source.events("s/1"));
        for (here, there) in here.iter_mut().zip(&there) {
            here.position = there.position;
        }
        assert_eq!(here, there);
        let sum = source.query("s/1", "sum");
        assert_eq!(caller.query("s/1", "sum"), sum);
        let told = caller.events("$system").pop().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&told.payload).unwrap();
        assert_eq!((&told["what"], &told["events"]), (&"scope-restored".into(), &10.into()));
        assert_eq!(told["hash"], there[9].hash.to_string());
        caller.verify();
    };
    same(&caller);
    memory.crash(2);
    let caller = memory.by_hand();
    same(&caller);
    assert_eq!(caller.store("s/1", &["add 99"]), Seq(11));
    caller.verify();
    let again = restore(&caller, "s/1", &all);
    assert!(matches!(again, Err(RequestError::Invalid { field, .. }) if field == "scope"));
}

#[test]
fn a_broken_restore_leaves_nothing_and_says_where_it_broke() {
    let (_, all) = source();
    let (memory, caller) = Memory::ruled(Limits::default());
    let refused = |records: &[Vec<u8>], expected: &str| {
        let Err(RequestError::Invalid { field, why }) = restore(&caller, "s/1", records) else {
            panic!("{expected}")
        };
        assert!(field == "records" && why.contains(expected), "{why}");
        memory.hands.settle(&caller.engine);
        assert_eq!(memory.log.staged(), 0, "{expected}");
        assert!(caller.engine.show_scope(&scope("s/1")).unwrap().is_none());
    };
    let mut changed = all.clone();
    *changed[6].last_mut().unwrap() ^= 1;
    refused(&changed, "event 7");
    refused(&[&all[..3], &all[4..]].concat(), "expected event 4, found event 5");
    refused(&[], "there are none");
    refused(&[vec![1, 2, 3]], "too few for an event");
    let wrong_name = restore(&caller, "s/2", &all);
    let Err(RequestError::Invalid { why, .. }) = wrong_name else { panic!() };
    assert!(why.contains("does not begin the chain of s/2"), "{why}");
    // Given up in the middle.
    let mut half = caller.engine.restore_scope(&scope("s/1")).unwrap();
    half.add([all[0].as_slice()]).unwrap();
    assert_eq!(memory.log.staged(), 1);
    assert!(caller.engine.show_scope(&scope("s/1")).unwrap().is_none());
    drop(half);
    memory.hands.settle(&caller.engine);
    assert_eq!(memory.log.staged(), 0);
    // Written in the meantime.
    let mut late = caller.engine.restore_scope(&scope("s/1")).unwrap();
    late.add(all.iter().map(Vec::as_slice)).unwrap();
    caller.store("s/1", &["add 5"]);
    let late = late.finish(None);
    assert!(matches!(late, Err(RequestError::Invalid { field, .. }) if field == "scope"));
    assert_eq!(caller.payloads("s/1"), ["add 5"]);
    assert_eq!(system(&caller, "scope-restored"), 0);
    caller.verify();
}

#[test]
fn every_failed_commit_of_a_restore_leaves_all_or_nothing() {
    let (_, all) = source();
    for how in [CommitFault::Before, CommitFault::After] {
        // Five parts and the end.
        for nth in 1..=6 {
            let (mut memory, caller) = Memory::ruled(Limits::default());
            memory.log.fail_commit(memory.log.commit_calls() + nth, how);
            assert!(restore(&caller, "s/1", &all).is_err());
            memory.crash(nth);
            let caller = memory.by_hand();
            let whole = nth == 6 && how == CommitFault::After;
            assert_eq!(caller.events("s/1").len(), if whole { 10 } else { 0 }, "{how:?} {nth}");
            assert_eq!(system(&caller, "scope-restored"), usize::from(whole));
            assert_eq!(memory.log.staged(), 0);
            if !whole {
                restore(&caller, "s/1", &all).unwrap();
            }
            assert_eq!(caller.store("s/1", &["add 99"]), Seq(11));
            caller.verify();
        }
    }
}

#[test]
fn a_scope_that_was_deleted_where_it_comes_from_begins_behind_that() {
    let (source, _) = source();
    source.engine.delete_scope(&scope("s/1"), None).unwrap();
    source.store("s/1", &["add 1", "add 2"]);
    let left = records(&source, "s/1");
    let (mut memory, caller) = Memory::ruled(Limits::default());
    restore(&caller, "s/1", &left).unwrap();
    memory.crash(0);
    let caller = memory.by_hand();
    let info = caller.engine.show_scope(&scope("s/1")).unwrap().unwrap();
    assert_eq!((info.floor, info.head, info.events()), (Seq(10), Seq(12), 2));
    assert_eq!(caller.store("s/1", &["add 3"]), Seq(13));
    caller.verify();
}

#[test]
fn where_a_renamed_scope_comes_from_is_told() {
    let (source, all) = source();
    let (_memory, caller) = Memory::ruled(Limits::default());
    let mut restore = caller.engine.restore_scope(&scope("s/1")).unwrap();
    restore.add(all.iter().map(Vec::as_slice)).unwrap();
    let hash = source.events("s/1")[9].hash;
    let from = Origin { scope: scope("old/1"), hash };
    restore.finish(Some(from)).unwrap();
    let told = caller.payloads("$system").pop().unwrap();
    assert!(told.contains(&format!(r#""from":{{"scope":"old/1","hash":"{hash}"}}"#)), "{told}");
}

#[test]
fn scopes_in_memory_are_listed_whether_they_have_events_or_not() {
    let (memory, caller) = Memory::ruled(Limits::default());
    for name in ["s/b", "s/a", "s/c"] {
        caller.store(name, &["add 1"]);
    }
    caller.append("s/refused", &["refuse"]);
    memory.hands.settle(&caller.engine);
    let live = |prefix: &str, after: &str, limit| -> Vec<String> {
        let listed = caller.engine.list_live(prefix, after, limit);
        assert!(listed.iter().all(|info| info.live));
        listed.into_iter().map(|info| info.name.to_string()).collect()
    };
    assert_eq!(live("s/", "", 9), ["s/a", "s/b", "s/c", "s/refused"]);
    assert_eq!(live("s/", "s/a", 2), ["s/b", "s/c"]);
    assert!(live("x", "", 9).is_empty());
    let refused = caller.engine.list_live("s/r", "", 9).remove(0);
    assert_eq!((refused.head, refused.events(), refused.bytes), (Seq(0), 0, 0));
    assert_eq!(caller.engine.list_scopes("s/", "", 9).unwrap().len(), 3, "stored ones");
}

#[test]
fn sealed_scopes_have_their_number() {
    let (_memory, caller) = Memory::ruled(Limits { sealed_scopes_max: 2, ..Limits::default() });
    let seal = |name| caller.engine.seal_scope(&scope(name), "why");
    seal("s/1").unwrap();
    seal("s/2").unwrap();
    let Err(RequestError::Invalid { field, .. }) = seal("s/3") else { panic!("no refusal") };
    assert_eq!(field, "sealed scopes");
    // One that is sealed may get another reason, and one that is opened makes room.
    seal("s/2").unwrap();
    caller.engine.unseal_scope(&scope("s/1")).unwrap();
    seal("s/3").unwrap();
    let long = "x".repeat(Limits::default().reason_message_bytes_max);
    caller.engine.seal_scope(&scope("s/3"), &long).unwrap();
    let longer = caller.engine.seal_scope(&scope("s/3"), &(long + "x"));
    assert!(matches!(longer, Err(RequestError::Invalid { field, .. }) if field == "why"));
}

#[test]
fn a_part_of_a_restore_has_its_caps() {
    let (_, all) = source();
    let bytes = all.iter().map(Vec::len).sum::<usize>();
    let exact = Limits { restore_records_max: 10, restore_bytes_max: bytes, ..Limits::default() };
    let fewer = Limits { restore_records_max: 9, ..exact.clone() };
    let smaller = Limits { restore_bytes_max: bytes - 1, ..exact.clone() };
    for (limits, fits) in [(exact, true), (fewer, false), (smaller, false)] {
        let (_memory, caller) = Memory::ruled(limits);
        let mut restore = caller.engine.restore_scope(&scope("s/1")).unwrap();
        let added = restore.add(all.iter().map(Vec::as_slice));
        assert_eq!(added.is_ok(), fits, "{added:?}");
        if let Err(refused) = added {
            assert!(matches!(&refused, RequestError::Invalid { field, .. } if field == "records"));
            assert!(restore.finish(None).is_err(), "nothing is taken after a refusal");
        }
    }
}
