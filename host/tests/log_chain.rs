//! Damage inside the tree: found when it is read, in the scope where it is and nowhere else.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod log_support;

use atomic_store::log::{EventLog, FjallLog, OpenError, ReadError, Unit};
use atomic_store_core::chain::{Broken, Walk};
use atomic_store_core::{Position, Seq};
use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use log_support::{Writer, data, name, open, order, try_open};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const SCOPES: [&str; 3] = ["a", "b", "c"];

/// Writes into the tree of a store that is not open.
fn meddle(path: &Path, change: impl FnOnce(&Database)) {
    let db = Database::builder(path.join("tree")).open().unwrap();
    change(&db);
    db.persist(PersistMode::SyncAll).unwrap();
}

fn event_key(scope: u64, seq: u64) -> Vec<u8> {
    [scope.to_be_bytes(), seq.to_be_bytes()].concat()
}

/// A closed store with scopes 1 `a`, 2 `b` and 3 `c` of 40 events each; the last commit is of `c`.
fn three_scopes() -> (tempfile::TempDir, PathBuf) {
    let (dir, path) = data();
    let log = open(&path).0;
    for scope in SCOPES {
        let mut writer = Writer::new(&log, scope);
        for n in 0..40 {
            log.commit(&mut [writer.unit(n, &[scope.as_bytes()])]).unwrap();
        }
    }
    log.close().unwrap();
    (dir, path)
}

fn read_all(log: &FjallLog, scope: &str) -> Result<u64, ReadError> {
    let row = log.scope(&name(scope))?.unwrap();
    let mut walk = Walk::from_start(&row.name);
    let mut count = 0;
    log.read(&row, &mut walk, Seq::MAX, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

#[test]
fn damage_in_one_scope_is_found_and_leaves_the_others_alone() {
    type Change<'a> = &'a dyn Fn(&Database);
    type Expected = fn(&Broken) -> bool;
    let events = |db: &Database| db.keyspace("events", KeyspaceCreateOptions::default).unwrap();
    let cases: [(&str, Change<'_>, Expected); 5] = [
        (
            "a changed payload",
            &|db| {
                let mut record = events(db).get(event_key(1, 5)).unwrap().unwrap().to_vec();
                *record.last_mut().unwrap() ^= 1;
                events(db).insert(event_key(1, 5), record).unwrap();
            },
            |found| *found == Broken::Content(Seq(5)),
        ),
        ("a missing event", &|db| events(db).remove(event_key(1, 7)).unwrap(), |found| {
            matches!(found, Broken::Gap { expected: Seq(7), found: Seq(8) })
        }),
        (
            "an event of another scope",
            &|db| {
                let record = events(db).get(event_key(2, 9)).unwrap().unwrap();
                events(db).insert(event_key(1, 9), record).unwrap();
            },
            |found| *found == Broken::Link(Seq(9)),
        ),
        (
            "bytes that are no event",
            &|db| events(db).insert(event_key(1, 3), "x").unwrap(),
            |found| matches!(found, Broken::Record { seq: Seq(3), .. }),
        ),
        (
            "a lost tail",
            &|db| (20..=40).for_each(|seq| events(db).remove(event_key(1, seq)).unwrap()),
            |found| matches!(found, Broken::Short { expected: Seq(32), found: Seq(19) }),
        ),
    ];
    for (case, change, expected) in cases {
        let (_dir, path) = three_scopes();
        meddle(&path, change);
        let log = open(&path).0;
        match read_all(&log, "a") {
            Err(ReadError::Damaged { scope, found, .. }) => {
                assert!(scope == name("a") && expected(&found), "{case}: {scope} {found}");
            }
            other => panic!("{case}: {other:?}"),
        }
        let whole = log.read_order(Position(0), &mut |_, _| ControlFlow::Continue(()));
        assert!(whole.is_err(), "{case}: the order over it");
        assert_eq!(order(&log, 40).len(), 80, "{case}: the order behind it");
        for scope in ["b", "c"] {
            assert_eq!(read_all(&log, scope).unwrap(), 40, "{case}");
            let mut writer = Writer::resume(&log, scope);
            log.commit(&mut [writer.unit(99, &[b"on"])]).unwrap();
        }
        assert_eq!(log.scopes("", "", 9).unwrap().len(), 3, "{case}: all are listed");
    }
}

#[test]
fn damage_behind_the_mark_is_reported_at_open() {
    let (_dir, path) = three_scopes();
    meddle(&path, |db| {
        let events = db.keyspace("events", KeyspaceCreateOptions::default).unwrap();
        events.remove(event_key(3, 40)).unwrap();
    });
    let (log, report) = open(&path);
    let short = Broken::Short { expected: Seq(40), found: Seq(39) };
    assert_eq!(report.damaged, [(name("c"), short)]);
    assert_eq!(read_all(&log, "a").unwrap(), 40);
}

#[test]
fn a_hole_in_the_order_is_found() {
    let (_dir, path) = three_scopes();
    meddle(&path, |db| {
        let rows = db.keyspace("order", KeyspaceCreateOptions::default).unwrap();
        rows.remove(30_u64.to_be_bytes()).unwrap();
    });
    let log = open(&path).0;
    let mut seen = 0;
    let result = log.read_order(Position(10), &mut |_, _| {
        seen += 1;
        ControlFlow::Continue(())
    });
    assert!(matches!(result, Err(ReadError::DamagedIndex(_))), "{result:?}");
    assert_eq!(seen, 19);
}

#[test]
fn lost_rows_of_scopes_are_refused() {
    for keyspace in ["scopes", "names"] {
        let (_dir, path) = three_scopes();
        meddle(&path, |db| {
            let rows = db.keyspace(keyspace, KeyspaceCreateOptions::default).unwrap();
            let first = rows.iter().next().unwrap().key().unwrap();
            rows.remove(first).unwrap();
        });
        let error = try_open(&path, false).map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{keyspace}: {error}");
    }
}

#[test]
fn a_damaged_snapshot_is_skipped_and_a_damaged_module_is_not() {
    use atomic_store_core::Digest;
    let (_dir, path) = data();
    let log = open(&path).0;
    let mut writer = Writer::new(&log, "a");
    let rule = Digest([8; 32]);
    let component: std::sync::Arc<[u8]> = vec![1; 9_000].into();
    let digest = Digest::of(&component);
    for n in 1..=2 {
        let mut unit: Unit = writer.unit(n, &[b"e"]);
        unit.snapshot = Some(Box::new(atomic_store::log::Snapshot {
            rule,
            seq: writer.head,
            hash: writer.hash,
            host_ms: 0,
            state: vec![n as u8; 50],
        }));
        unit.module = Some(Box::new((digest, std::sync::Arc::clone(&component))));
        log.commit(&mut [unit]).unwrap();
    }
    log.close().unwrap();
    drop(log);
    meddle(&path, |db| {
        for keyspace in ["snapshots", "modules"] {
            let rows = db.keyspace(keyspace, KeyspaceCreateOptions::default).unwrap();
            let (key, value) = rows.iter().next_back().unwrap().into_inner().unwrap();
            let mut value = value.to_vec();
            *value.last_mut().unwrap() ^= 1;
            rows.insert(key, value).unwrap();
        }
    });
    let log = open(&path).0;
    let found = log.snapshot(writer.row.id, &rule, Seq::MAX).unwrap().unwrap();
    assert_eq!((found.seq, found.state[0]), (Seq(1), 1));
    assert!(matches!(log.module(&digest), Err(ReadError::DamagedIndex(_))));
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (_dir, path) = three_scopes();
    meddle(&path, |db| {
        let meta = db.keyspace("meta", KeyspaceCreateOptions::default).unwrap();
        meta.insert("format", 7_u32.to_be_bytes()).unwrap();
    });
    let error = try_open(&path, true).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 7, supported: 1 }), "{error}");

    let (_dir, path) = three_scopes();
    let mut mark = fs::read(path.join("mark")).unwrap();
    let body = mark.len() - 32;
    mark[0] = 9;
    let sum = atomic_store_core::Digest::of(&mark[..body]);
    mark[body..].copy_from_slice(&sum.0);
    fs::write(path.join("mark"), mark).unwrap();
    let error = try_open(&path, true).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains('9') && error.to_string().contains('1'), "{error}");
}
