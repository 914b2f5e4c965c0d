//! Deleted and restored scopes, held against each log: what is gone stays gone, what comes from
//! elsewhere appears as a whole, and a crash at any point leaves one or the other.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod log_support;

use atomic_store::log::{
    Change, CommitFault, EventLog, Floor, MemoryLog, ScopeRow, Snapshot, Unit,
};
use atomic_store_core::chain::Walk;
use atomic_store_core::protocol::StoreId;
use atomic_store_core::record::{Record, RecordView};
use atomic_store_core::{Digest, Limits, Position, Seq};
use log_support::{Log, NOW, Writer, append_id, data, name, open, order, payloads};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Stops without closing and opens what is durable.
fn crash(log: Log) -> Log {
    match log {
        Log::Fjall(log, path) => {
            drop(log);
            let (log, report) = open(&path);
            assert!(report.damaged.is_empty(), "{report:?}");
            Log::Fjall(Box::new(log), path)
        }
        Log::Memory(log) => Log::Memory(Box::new(log.crash(1))),
    }
}

fn memory() -> MemoryLog {
    MemoryLog::new(StoreId([3; 16]), Limits::default())
}

fn for_each_log(test: impl Fn(&str, Log)) {
    let (_dir, path) = data();
    test("fjall", Log::Fjall(Box::new(open(&path).0), path));
    test("memory", Log::Memory(Box::new(memory())));
}

fn row(log: &dyn EventLog, scope: &str) -> ScopeRow {
    log.scope(&name(scope)).unwrap().unwrap()
}

/// Deletes a scope with an event of another one, as the engine does.
fn delete(log: &dyn EventLog, by: &mut Writer, scope: &str) {
    let mut unit = by.unit(900, &[b"deleted"]);
    unit.change = Some(Box::new(Change::Delete(row(log, scope))));
    log.commit(&mut [unit]).unwrap();
}

/// The records of a scope, as an export would hold them, and its row.
fn records(log: &dyn EventLog, scope: &str) -> (ScopeRow, Vec<Vec<u8>>) {
    let row = row(log, scope);
    let mut found = Vec::new();
    log.read(&row, &mut row.walk_after(Seq::ZERO), Seq::MAX, &mut |view| {
        found.push(view.as_bytes().to_vec());
        ControlFlow::Continue(())
    })
    .unwrap();
    (row, found)
}

/// Units that stage these records, in parts of `part`, and the row to publish.
fn stage(log: &dyn EventLog, from: &ScopeRow, records: &[Vec<u8>], part: usize) -> Vec<Unit> {
    let row = ScopeRow { id: log.new_scope_id(), ..from.clone() };
    let row = Arc::new(row);
    let mut at = row.floor.seq;
    let units = records.chunks(part).map(|part| {
        let records: Vec<_> = part.iter().map(|r| Record::from_bytes(r).unwrap()).collect();
        let (change, bare) = (Some(Box::new(Change::Stage)), Unit::bare(Arc::clone(&row)));
        let unit = Unit { at, records, change, host_ms: NOW, ..bare };
        at = at.plus(part.len() as u64);
        unit
    });
    units.collect()
}

fn publish(by: &mut Writer, row: &ScopeRow) -> Unit {
    let mut unit = by.unit(901, &[b"restored"]);
    unit.change = Some(Box::new(Change::Publish(row.clone())));
    unit
}

#[test]
fn a_deleted_scope_goes_on_where_it_was() {
    for_each_log(|which, log| {
        let (mut system, mut a, mut b) =
            (Writer::new(&*log, "sys"), Writer::new(&*log, "a"), Writer::new(&*log, "b"));
        let twenty = vec![&b"old"[..]; 20];
        log.commit(&mut [a.unit(1, &twenty), b.unit(2, &[b"b1"])]).unwrap();
        log.commit(&mut [a.unit(3, &[b"last"])]).unwrap();
        let mut with_snapshot = a.empty(4, decision());
        let rule = Digest([1; 32]);
        let state = Snapshot { rule, seq: a.head, hash: a.hash, host_ms: NOW, state: vec![1] };
        with_snapshot.snapshot = Some(Box::new(state.clone()));
        log.commit(&mut [with_snapshot]).unwrap();
        let bytes = row(&*log, "a").bytes;
        assert_eq!(bytes, a.bytes, "{which}");
        delete(&*log, &mut system, "a");
        let mut log = log;
        for round in 0..3 {
            let now = row(&*log, "a");
            let floor = Floor { seq: Seq(21), hash: a.hash };
            assert_eq!((now.head, now.hash, now.floor, now.bytes), (Seq(21), a.hash, floor, 0));
            assert_eq!(now.events(), 0, "{which}");
            assert!(payloads(&*log, "a").is_empty(), "{which} {round}");
            assert_eq!(log.snapshot(now.id, &rule, Seq::MAX).unwrap(), None, "{which} {round}");
            let seen = order(&*log, 0);
            let names: Vec<_> = seen.iter().map(|(scope, _, at)| (&scope[..], *at)).collect();
            assert_eq!(names, [("b", 21), ("sys", 23)], "{which} {round}");
            assert_eq!(log.position(), Position(23), "{which}");
            // What is gone is removed; a crash in between changes nothing that can be seen.
            log.sweep().unwrap();
            log = crash(log);
        }
        a.bytes = 0;
        log.commit(&mut [a.unit(5, &[b"new"])]).unwrap();
        while log.sweep().unwrap() {}
        let log = crash(log);
        assert_eq!(payloads(&*log, "a"), [b"new"], "{which}");
        let (now, found) = records(&*log, "a");
        let first = RecordView::parse(&found[0]).unwrap();
        assert_eq!((first.seq(), first.previous()), (Seq(22), now.floor.hash), "{which}");
        assert_eq!(now.bytes, found[0].len() as u64, "{which}");
        // A reader that stood before the floor goes on behind it.
        for after in [Seq(0), Seq(5), Seq(21)] {
            let mut walk = Walk::after(&now.name, after);
            let mut seqs = Vec::new();
            log.read(&now, &mut walk, Seq::MAX, &mut |view| {
                seqs.push(view.seq().0);
                ControlFlow::Continue(())
            })
            .unwrap();
            assert_eq!(seqs, [22], "{which} after {after}");
        }
        log.read(&now, &mut Walk::after(&now.name, Seq(3)), Seq(9), &mut |_| panic!("{which}"))
            .unwrap();
    });
}

fn decision() -> atomic_store::log::Decision {
    let reason = None;
    atomic_store::log::Decision::Nothing(Box::new(atomic_store_core::Outcome::Noop { reason }))
}

#[test]
fn a_scope_is_made_and_deleted_in_one_group() {
    for_each_log(|which, log| {
        let (mut system, mut a) = (Writer::new(&*log, "sys"), Writer::new(&*log, "a"));
        let made = a.unit(1, &[b"a1", b"a2"]);
        let now = ScopeRow { head: a.head, hash: a.hash, ..ScopeRow::clone(&a.row) };
        let mut deleting = system.unit(900, &[b"deleted"]);
        deleting.change = Some(Box::new(Change::Delete(now)));
        log.commit(&mut [made, deleting]).unwrap();
        let log = crash(log);
        let now = row(&*log, "a");
        assert_eq!((now.head, now.events(), now.bytes), (Seq(2), 0, 0), "{which}");
        assert_eq!(log.scope_count(), 2, "{which}");
        a.bytes = 0;
        log.commit(&mut [a.unit(2, &[b"a3"])]).unwrap();
        assert_eq!(payloads(&*log, "a"), [b"a3"], "{which}");
        assert_eq!(order(&*log, 0).len(), 2, "{which}");
    });
}

#[test]
fn bytes_of_a_scope_are_counted_and_found_again() {
    for_each_log(|which, log| {
        let mut w = Writer::new(&*log, "w");
        for n in 0..40_u64 {
            log.commit(&mut [w.unit(n, &[&vec![7; usize::try_from(n).unwrap() * 100]])]).unwrap();
            assert_eq!(row(&*log, "w").bytes, w.bytes, "{which} {n}");
        }
        let log = crash(log);
        let (now, found) = records(&*log, "w");
        assert_eq!(now.bytes, found.iter().map(|r| r.len() as u64).sum::<u64>(), "{which}");
    });
}

#[test]
fn a_restored_scope_appears_as_a_whole_and_has_its_places() {
    let source = memory();
    let mut w = Writer::new(&source, "moved");
    for n in 0..30_u64 {
        source.commit(&mut [w.unit(n, &[b"x", b"yy"])]).unwrap();
    }
    let (from, expected) = records(&source, "moved");
    for_each_log(|which, log| {
        let (mut system, mut other) = (Writer::new(&*log, "sys"), Writer::new(&*log, "other"));
        let units = stage(&*log, &from, &expected, 7);
        let staged = units[0].scope.clone();
        for unit in units {
            log.commit(&mut [unit]).unwrap();
            log.commit(&mut [other.unit(1, &[b"between"])]).unwrap();
            assert_eq!(log.scope(&name("moved")).unwrap(), None, "{which}");
            assert!(log.scopes("m", "", 9).unwrap().is_empty(), "{which}");
        }
        let before = log.position();
        log.commit(&mut [publish(&mut system, &staged)]).unwrap();
        log.commit(&mut [other.unit(1, &[b"after"])]).unwrap();
        let mut log = log;
        for _ in 0..2 {
            let (now, found) = records(&*log, "moved");
            assert_eq!((now.head, now.hash, now.bytes), (from.head, from.hash, from.bytes));
            assert_eq!(found.len(), expected.len(), "{which}");
            for (n, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let found = RecordView::parse(found).unwrap();
                let expected = RecordView::parse(expected).unwrap();
                assert_eq!((found.body(), found.hash()), (expected.body(), expected.hash()));
                assert_eq!(found.position(), Position(before.0 + 2 + n as u64), "{which}");
            }
            let seen: Vec<_> =
                order(&*log, before.0).into_iter().map(|(s, _, at)| (s, at)).collect();
            let at = |scope: &str, n: u64| (scope.to_owned(), before.0 + n);
            let mut all = vec![at("sys", 1)];
            all.extend((2..62).map(|n| at("moved", n)));
            all.push(at("other", 62));
            assert_eq!(seen, all, "{which}");
            assert_eq!(order(&*log, before.0 + 40).len(), 22, "{which}");
            log = crash(log);
        }
        let mut goes_on = Writer::resume(&*log, "moved");
        log.commit(&mut [goes_on.unit(70, &[b"next"])]).unwrap();
        assert_eq!(records(&*log, "moved").1.len(), 61, "{which}");
        delete(&*log, &mut system, "moved");
        while log.sweep().unwrap() {}
        let log = crash(log);
        assert!(payloads(&*log, "moved").is_empty(), "{which}");
        assert!(order(&*log, 0).iter().all(|(scope, _, _)| scope != "moved"), "{which}");
    });
}

#[test]
fn what_was_staged_and_never_published_leaves_nothing() {
    let source = memory();
    let mut w = Writer::new(&source, "moved");
    source.commit(&mut [w.unit(1, &[b"1", b"2", b"3"])]).unwrap();
    let (from, expected) = records(&source, "moved");
    for_each_log(|which, log| {
        let mut other = Writer::new(&*log, "other");
        for unit in stage(&*log, &from, &expected, 2) {
            log.commit(&mut [unit]).unwrap();
        }
        log.commit(&mut [other.unit(1, &[b"o"])]).unwrap();
        let log = crash(log);
        while log.sweep().unwrap() {}
        assert!(!log.sweep().unwrap(), "{which}: nothing is left to remove");
        assert_eq!(log.scope(&name("moved")).unwrap(), None, "{which}");
        // The name is free, and what was left under another number does not show.
        let mut again = Writer::new(&*log, "moved");
        log.commit(&mut [again.unit(2, &[b"other"])]).unwrap();
        assert_eq!(payloads(&*log, "moved"), [b"other"], "{which}");
        // Discarded on purpose, without a crash.
        let renamed = ScopeRow { name: name("third"), ..from.clone() };
        let units = stage(&*log, &renamed, &expected, 9);
        let id = units[0].scope.id;
        for unit in units {
            log.commit(&mut [unit]).unwrap();
        }
        let mut discard = other.empty(5, decision());
        discard.change = Some(Box::new(Change::Discard(id)));
        log.commit(&mut [discard]).unwrap();
        while log.sweep().unwrap() {}
        let log = crash(log);
        assert_eq!(log.scope(&name("third")).unwrap(), None, "{which}");
        assert_eq!(order(&*log, 0).len(), 2, "{which}");
    });
}

#[test]
fn every_failed_commit_of_a_deletion_or_a_restore_leaves_all_or_nothing() {
    let source = memory();
    let mut w = Writer::new(&source, "moved");
    source.commit(&mut [w.unit(1, &[b"1", b"2", b"3"])]).unwrap();
    let (from, expected) = records(&source, "moved");
    for how in [CommitFault::Before, CommitFault::After] {
        for nth in 2..=6_u64 {
            let log = memory();
            let (mut system, mut a) = (Writer::new(&log, "sys"), Writer::new(&log, "a"));
            log.commit(&mut [a.unit(1, &[b"a1", b"a2"])]).unwrap();
            log.fail_commit(nth, how);
            let mut steps = stage(&log, &from, &expected, 1);
            let staged = steps[0].scope.clone();
            steps.push(publish(&mut system, &staged));
            let mut unit = system.unit(900, &[b"deleted"]);
            unit.change = Some(Box::new(Change::Delete(row(&log, "a"))));
            steps.push(unit);
            let mut done = 1;
            for unit in steps {
                match log.commit(&mut [unit]) {
                    Ok(()) => done += 1,
                    Err(_) => break,
                }
            }
            assert_eq!(done, nth - 1, "{how:?}");
            let durable = nth - u64::from(how == CommitFault::Before);
            let after = log.crash(nth);
            assert_eq!(after.staged(), 0);
            let restored = durable >= 5;
            assert_eq!(
                payloads(&after, "moved").len(),
                if restored { 3 } else { 0 },
                "{how:?} {nth}"
            );
            let deleted = durable >= 6;
            assert_eq!(payloads(&after, "a").len(), if deleted { 0 } else { 2 }, "{how:?} {nth}");
            let told = u64::from(restored) + u64::from(deleted);
            assert_eq!(payloads(&after, "sys").len() as u64, told, "{how:?} {nth}");
            let mut goes_on = Writer::resume(&after, "a");
            after.commit(&mut [goes_on.unit(9, &[b"a3"])]).unwrap();
            assert_eq!(row(&after, "a").head, Seq(3), "no number twice");
        }
    }
}

#[test]
fn a_large_deletion_is_removed_part_by_part_and_goes_on_after_a_restart() {
    let (_dir, path) = data();
    let log = open(&path).0;
    let (mut system, mut a) = (Writer::new(&log, "sys"), Writer::new(&log, "a"));
    let many = vec![&b"payload"[..]; 3_000];
    for n in 0..4 {
        log.commit(&mut [a.unit(n, &many)]).unwrap();
    }
    delete(&log, &mut system, "a");
    assert!(log.sweep().unwrap(), "the first part of three");
    drop(log);
    let log = open(&path).0;
    let mut parts = 0;
    while log.sweep().unwrap() {
        parts += 1;
        assert_eq!(order(&log, 0).len(), 1);
    }
    assert!((2..=4).contains(&parts), "{parts} parts after the restart");
    a.bytes = 0;
    let id = append_id(7);
    log.commit(&mut [a.unit(7, &[b"new"])]).unwrap();
    assert_eq!(row(&log, "a").head, Seq(12_001));
    assert!(log.decision(&name("a"), id, NOW).unwrap().is_some());
}
