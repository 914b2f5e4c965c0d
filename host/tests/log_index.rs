//! The index: what is written in one commit with its events, and found by topic from both ends.
#![allow(clippy::unwrap_used, reason = "a test")]

mod log_support;

use atomic_store::log::{EventLog, MemoryLog, ReadError, ScopeRow, Topic, Unit};
use atomic_store::log::{check_indexed, index_rows};
use atomic_store_core::chain::{Broken, Walk};
use atomic_store_core::protocol::StoreId;
use atomic_store_core::record::{Body, Record};
use atomic_store_core::{ContentType, Digest, Key, Limits, Seq};
use log_support::{NOW, Writer, append_id, data, name, open};
use std::ops::ControlFlow;

fn key(id: &str) -> Key {
    Key::new("k", id)
}

/// One event with these keys and triggers.
fn event(log: &dyn EventLog, writer: &mut Writer, keys: &[Key], triggers: &[Key]) -> Unit {
    let mut unit = writer.unit(1, &[]);
    let seq = writer.head.next();
    let body = Body {
        seq,
        kind: "test",
        content_type: ContentType::Bytes,
        payload: b"x",
        keys,
        triggers,
        metadata: &[][..],
        caller_ms: None,
        host_ms: NOW,
        append_id: append_id(seq.0),
        validator: Digest::default(),
        binding: Seq(1),
    };
    let record = Record::encode(&writer.hash, &body).unwrap();
    (writer.head, writer.hash) = (seq, record.hash());
    unit.index = index_rows(log, writer.row.id, seq, keys, triggers);
    unit.records = vec![record];
    unit.decision = None;
    unit
}

fn found(
    log: &dyn EventLog,
    row: &ScopeRow,
    topic: Topic<'_>,
    after: u64,
    through: u64,
) -> Vec<u64> {
    let mut seqs = Vec::new();
    let mut each = |seq: Seq| {
        seqs.push(seq.0);
        ControlFlow::Continue(())
    };
    log.indexed(row, topic, Seq(after), Seq(through), &mut each).unwrap();
    let mut back = Vec::new();
    let mut each = |seq: Seq| {
        back.push(seq.0);
        ControlFlow::Continue(())
    };
    log.indexed_back(row, topic, Seq(after), Seq(through), &mut each).unwrap();
    back.reverse();
    assert_eq!(seqs, back);
    seqs
}

/// 1 about a; 2 about a and b, links t; 3 an effect of t and u; 4 nothing; 5 about b.
fn fill(log: &dyn EventLog) -> ScopeRow {
    let mut writer = Writer::new(log, "s");
    let mut other = Writer::new(log, "other");
    let (a, b, t, u) = (&[key("a")], &[key("b")], &[key("t")], key("u"));
    let mut units = vec![
        event(log, &mut writer, a, &[]),
        event(log, &mut writer, &[key("a"), key("b")], t),
        event(log, &mut other, a, t),
        event(log, &mut writer, &[], &[key("t"), u]),
    ];
    log.commit(&mut units).unwrap();
    let mut units = vec![event(log, &mut writer, &[], &[]), event(log, &mut writer, b, &[])];
    log.commit(&mut units).unwrap();
    log.scope(&name("s")).unwrap().unwrap()
}

fn check(log: &dyn EventLog) {
    let row = log.scope(&name("s")).unwrap().unwrap();
    let (a, b, t, u) = (key("a"), key("b"), key("t"), key("u"));
    let all = |topic| found(log, &row, topic, 0, u64::MAX);
    assert_eq!(all(Topic::Key(&a)), [1, 2]);
    assert_eq!(all(Topic::Key(&b)), [2, 5]);
    assert_eq!(all(Topic::Links(&a)), [2]);
    assert_eq!(all(Topic::Links(&b)), [2]);
    assert_eq!(all(Topic::Linked(&t)), [2]);
    assert_eq!(all(Topic::Effects(&t)), [3]);
    assert_eq!(all(Topic::Effects(&u)), [3]);
    assert_eq!(all(Topic::AnyEffect), [3]);
    // A key that is a trigger elsewhere, and halves that only together look alike.
    assert!(all(Topic::Key(&t)).is_empty());
    for (kind, id) in [("ka", ""), ("", "ka")] {
        assert!(found(log, &row, Topic::Key(&Key::new(kind, id)), 0, 9).is_empty());
    }
    assert_eq!(found(log, &row, Topic::Key(&b), 2, 5), [5]);
    assert_eq!(found(log, &row, Topic::Key(&b), 1, 4), [2]);
    assert!(found(log, &row, Topic::Key(&b), 5, 5).is_empty());
    assert!(found(log, &row, Topic::Key(&b), 9, 3).is_empty());
    let mut walk = Walk::from_start(&row.name);
    let mut problems = Vec::new();
    log.read(&row, &mut walk, Seq::MAX, &mut |view| {
        problems.extend(check_indexed(log, &row, view).err());
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn the_index_on_disk_finds_events_by_topic_and_outlives_the_process() {
    let (_guard, path) = data();
    {
        let (log, _) = open(&path);
        fill(&log);
        check(&log);
    }
    check(&open(&path).0);
}

#[test]
fn the_index_in_memory_finds_events_by_topic_and_outlives_a_crash() {
    let log = MemoryLog::new(StoreId::default(), Limits::default());
    fill(&log);
    check(&log);
    check(&log.crash(1));
}

#[test]
fn an_event_without_its_rows_is_damage() {
    let log = MemoryLog::new(StoreId::default(), Limits::default());
    let row = fill(&log);
    assert!(!log.forget_index(&name("s"), Seq(4)));
    assert!(log.forget_index(&name("s"), Seq(3)));
    let mut walk = Walk::from_start(&row.name);
    let mut problems = Vec::new();
    log.read(&row, &mut walk, Seq::MAX, &mut |view| {
        problems.extend(check_indexed(&log, &row, view).err());
        ControlFlow::Continue(())
    })
    .unwrap();
    let found = Broken::Unindexed(Seq(3));
    assert_eq!(problems, [ReadError::Damaged { scope: name("s"), seq: Seq(3), found }]);
}
