//! Snapshots on disk: the two newest of a rule are kept, one that was dropped stays away, and a damaged one
//! is passed over, through closing, kills and damage to the files.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod log_support;

use atomic_store::log::{Decision, EventLog, FjallLog, Snapshot, Unit};
use atomic_store_core::{Digest, Outcome, ScopeId, Seq};
use fjall::Database;
use log_support::{NOW, Writer, data, open};
use std::path::Path;

const RULE: Digest = Digest([1; 32]);

/// An event, and the state after it as a snapshot.
fn unit(writer: &mut Writer, rule: Digest, n: u64) -> Unit {
    let mut unit = writer.unit(n, &[&n.to_be_bytes()]);
    let (seq, hash, state) = (writer.head, writer.hash, n.to_be_bytes().to_vec());
    unit.snapshot = Some(Box::new(Snapshot { rule, seq, hash, host_ms: NOW, state }));
    unit
}

/// A unit that stores no events, and so is not synced by itself.
fn bare(writer: &Writer) -> Unit {
    let noop = Decision::Nothing(Box::new(Outcome::Noop { reason: None }));
    Unit { decision: None, ..writer.empty(0, noop) }
}

/// The events of a rule's snapshots, the newest first; nothing in place of a state that is damaged.
fn kept(log: &FjallLog, scope: ScopeId, rule: Digest) -> Vec<(u64, Option<u64>)> {
    let state = |snapshot: Snapshot| u64::from_be_bytes(snapshot.state.try_into().unwrap());
    let kept = log.snapshots(scope, &rule).unwrap().into_iter();
    kept.map(|(seq, snapshot)| (seq.0, snapshot.ok().map(state))).collect()
}

/// Which snapshot a loop would begin with, at or before an event.
fn newest(log: &FjallLog, scope: ScopeId, through: u64) -> Option<u64> {
    log.snapshot(scope, &RULE, Seq(through)).unwrap().map(|snapshot| snapshot.seq.0)
}

/// Ends the log as a kill does, or cleanly, and opens it again.
fn again(log: FjallLog, path: &Path, close: bool) -> FjallLog {
    if close {
        log.close().unwrap();
    }
    drop(log);
    let (log, report) = open(path);
    assert_eq!((report.clean, report.damaged.len()), (close, 0));
    log
}

#[test]
fn the_two_newest_of_each_rule_and_scope_are_kept_over_restarts() {
    for close in [true, false] {
        let (_dir, path) = data();
        let mut log = open(&path).0;
        let (mut a, mut b) = (Writer::new(&log, "a"), Writer::new(&log, "b"));
        let other = Digest([2; 32]);
        for n in 1..=5 {
            log.commit(&mut [unit(&mut a, RULE, n)]).unwrap();
            log = again(log, &path, close);
        }
        log.commit(&mut [unit(&mut a, other, 6), unit(&mut b, RULE, 1)]).unwrap();
        log = again(log, &path, close);
        let (a, b) = (a.row.id, b.row.id);
        assert_eq!(kept(&log, a, RULE), [(5, Some(5)), (4, Some(4))], "closed: {close}");
        assert_eq!(kept(&log, a, other), [(6, Some(6))]);
        assert_eq!(kept(&log, b, RULE), [(1, Some(1))]);
        assert_eq!(
            (newest(&log, a, 9), newest(&log, a, 4), newest(&log, a, 3)),
            (Some(5), Some(4), None)
        );
    }
}

#[test]
fn a_snapshot_that_was_dropped_is_gone_after_a_restart_and_makes_room_for_the_next() {
    for close in [true, false] {
        let (_dir, path) = data();
        let log = open(&path).0;
        let mut a = Writer::new(&log, "a");
        for n in 1..=3 {
            log.commit(&mut [unit(&mut a, RULE, n)]).unwrap();
        }
        let mut drop_it = bare(&a);
        drop_it.dropped = Some(Box::new((RULE, Seq(3))));
        log.commit(&mut [drop_it]).unwrap();
        let id = a.row.id;
        assert_eq!(kept(&log, id, RULE), [(2, Some(2))]);
        let log = again(log, &path, close);
        assert_eq!(kept(&log, id, RULE), [(2, Some(2))], "closed: {close}");
        assert_eq!(newest(&log, id, 9), Some(2));
        // One that is not there is dropped without harm.
        let mut drop_it = bare(&a);
        drop_it.dropped = Some(Box::new((RULE, Seq(3))));
        log.commit(&mut [drop_it, unit(&mut a, RULE, 4)]).unwrap();
        let log = again(log, &path, close);
        assert_eq!(kept(&log, id, RULE), [(4, Some(4)), (2, Some(2))]);
    }
}

#[test]
fn a_snapshot_taken_anew_at_the_same_event_takes_the_place_of_the_old_one() {
    let (_dir, path) = data();
    let log = open(&path).0;
    let mut a = Writer::new(&log, "a");
    log.commit(&mut [unit(&mut a, RULE, 1)]).unwrap();
    log.commit(&mut [unit(&mut a, RULE, 2)]).unwrap();
    let mut anew = bare(&a);
    let (seq, hash, state) = (a.head, a.hash, 7_u64.to_be_bytes().to_vec());
    anew.snapshot = Some(Box::new(Snapshot { rule: RULE, seq, hash, host_ms: NOW, state }));
    log.commit(&mut [anew]).unwrap();
    let log = again(log, &path, false);
    assert_eq!(kept(&log, a.row.id, RULE), [(2, Some(7)), (1, Some(1))]);
}

/// Changes a row of the tree as a failing disk would: the key stays, the bytes do not.
fn damage(path: &Path, which: usize, how: impl Fn(&mut Vec<u8>)) {
    let db = Database::builder(path.join("tree")).open().unwrap();
    let snapshots = db.keyspace("snapshots", fjall::KeyspaceCreateOptions::default).unwrap();
    let rows = snapshots.iter().map(|row| row.into_inner().unwrap());
    let (key, bytes) = rows.collect::<Vec<_>>().swap_remove(which);
    let mut bytes = bytes.to_vec();
    how(&mut bytes);
    snapshots.insert(key, bytes).unwrap();
    db.persist(fjall::PersistMode::SyncAll).unwrap();
}

#[test]
fn a_damaged_snapshot_is_passed_over_for_the_older_one_and_told() {
    type How = fn(&mut Vec<u8>);
    let ways: [(&str, How); 4] = [
        ("a bit", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("the sum", |bytes| bytes[5] ^= 1),
        ("the end", |bytes| bytes.truncate(20)),
        ("all of it", Vec::clear),
    ];
    for (what, how) in ways {
        let (_dir, path) = data();
        let log = open(&path).0;
        let mut a = Writer::new(&log, "a");
        for n in 1..=2 {
            log.commit(&mut [unit(&mut a, RULE, n)]).unwrap();
        }
        let id = a.row.id;
        log.close().unwrap();
        drop(log);
        damage(&path, 1, how);
        let log = open(&path).0;
        assert_eq!(kept(&log, id, RULE), [(2, None), (1, Some(1))], "{what}");
        assert_eq!(newest(&log, id, 9), Some(1), "{what}");
        // Both damaged: none is served.
        drop(log);
        damage(&path, 0, how);
        let log = open(&path).0;
        assert_eq!((newest(&log, id, 9), kept(&log, id, RULE).len()), (None, 2), "{what}");
        // What comes next takes the place of the older one.
        log.commit(&mut [unit(&mut a, RULE, 3)]).unwrap();
        let log = again(log, &path, true);
        assert_eq!(kept(&log, id, RULE), [(3, Some(3)), (2, None)], "{what}");
    }
}

#[test]
fn a_snapshot_under_the_wrong_event_is_not_served() {
    let (_dir, path) = data();
    let log = open(&path).0;
    let mut a = Writer::new(&log, "a");
    for n in 1..=2 {
        log.commit(&mut [unit(&mut a, RULE, n)]).unwrap();
    }
    log.close().unwrap();
    drop(log);
    let db = Database::builder(path.join("tree")).open().unwrap();
    let snapshots = db.keyspace("snapshots", fjall::KeyspaceCreateOptions::default).unwrap();
    let rows: Vec<_> = snapshots.iter().map(|row| row.into_inner().unwrap()).collect();
    snapshots.insert(rows[1].0.clone(), rows[0].1.clone()).unwrap();
    db.persist(fjall::PersistMode::SyncAll).unwrap();
    drop((snapshots, db));
    let log = open(&path).0;
    assert_eq!(kept(&log, a.row.id, RULE), [(2, None), (1, Some(1))]);
    assert_eq!(newest(&log, a.row.id, 9), Some(1));
}
