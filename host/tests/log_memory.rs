//! The log in memory fails as a disk does: told when, and the same way each time.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod log_support;

use atomic_store::log::{CommitFault, Decision, EventLog, MemoryLog, ReadError};
use atomic_store_core::protocol::StoreId;
use atomic_store_core::{Limits, Outcome, Position, Seq};
use log_support::{NOW, Writer, append_id, name, order, payloads};

fn empty() -> MemoryLog {
    MemoryLog::new(StoreId([1; 16]), Limits::default())
}

#[test]
fn a_failed_commit_is_unknown_until_the_crash() {
    for (how, survivors) in [(CommitFault::Before, 2), (CommitFault::After, 3)] {
        for seed in 0..20 {
            let log = empty();
            log.fail_commit(3, how);
            let mut writer = Writer::new(&log, "a");
            for n in 1..=2 {
                log.commit(&mut [writer.unit(n, &[b"x"])]).unwrap();
            }
            assert!(log.commit(&mut [writer.unit(3, &[b"x"])]).is_err());
            assert_eq!(log.position(), Position(2), "{how:?}: what failed is not shown");
            assert!(log.commit(&mut [writer.unit(4, &[b"x"])]).is_err(), "{how:?}: it has stopped");
            assert_eq!(payloads(&log, "a").len(), 2);
            let after = log.crash(seed);
            assert_eq!(payloads(&after, "a").len(), survivors, "{how:?}");
            let decided = after.decision(&name("a"), append_id(3), NOW).unwrap();
            assert_eq!(decided.is_some(), survivors == 3, "{how:?}: events and decision together");
            let mut writer = Writer::resume(&after, "a");
            after.commit(&mut [writer.unit(5, &[b"x"])]).unwrap();
        }
    }
}

#[test]
fn a_crash_takes_only_what_was_not_synced() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..64 {
        let log = empty();
        let mut writer = Writer::new(&log, "a");
        let refused = Decision::Nothing(Box::new(Outcome::Unknown { why: String::new() }));
        log.commit(&mut [writer.empty(1, refused.clone())]).unwrap();
        log.commit(&mut [writer.unit(2, &[b"x"])]).unwrap();
        log.commit(&mut [writer.empty(3, refused.clone())]).unwrap();
        log.commit(&mut [writer.empty(4, refused.clone())]).unwrap();
        let after = log.crash(seed);
        let known = |id| after.decision(&name("a"), append_id(id), NOW).unwrap().is_some();
        assert!(known(1) && known(2), "seed {seed}: synced, and before what was synced");
        assert!(known(3) || !known(4), "seed {seed}: what survives is a beginning");
        if known(4) {
            kept += 1
        } else {
            lost += 1
        }
        assert_eq!(order(&after, 0), order(&log.crash(seed), 0), "seed {seed}: repeatable");
    }
    assert!(lost > 10 && kept > 10, "lost {lost}, kept {kept}: the seed decides");
}

#[test]
fn reads_fail_when_told() {
    let log = empty();
    let mut writer = Writer::new(&log, "a");
    log.commit(&mut [writer.unit(1, &[b"x"])]).unwrap();
    log.fail_read(log.read_calls() + 2);
    assert!(log.scope(&name("a")).is_ok());
    assert!(matches!(log.scope(&name("a")), Err(ReadError::Storage(_))));
    assert!(log.scope(&name("a")).is_ok(), "once");
    assert_eq!((log.read_calls(), log.commit_calls()), (4 - 1, 1));
}

#[test]
fn damage_is_seen() {
    let log = empty();
    let mut writer = Writer::new(&log, "a");
    log.commit(&mut [writer.unit(1, &[b"1", b"2", b"3"])]).unwrap();
    assert!(!log.damage(&name("a"), Seq(4)) && !log.damage(&name("b"), Seq(1)));
    assert!(log.damage(&name("a"), Seq(2)));
    let row = log.scope(&name("a")).unwrap().unwrap();
    let mut walk = atomic_store_core::chain::Walk::from_start(&row.name);
    let mut seen = 0;
    let result = log.read(&row, &mut walk, Seq::MAX, &mut |_| {
        seen += 1;
        std::ops::ControlFlow::Continue(())
    });
    assert!(matches!(result, Err(ReadError::Damaged { seq: Seq(2), .. })), "{result:?}");
    assert_eq!(seen, 1);
    assert!(log.lose(&name("a"), Seq(3)));
    assert!(matches!(log.scope(&name("a")), Err(ReadError::Damaged { .. })));
}

#[test]
fn a_unit_that_does_not_continue_its_chain_is_an_error() {
    let log = empty();
    let mut writer = Writer::new(&log, "a");
    let stale = writer.clone();
    log.commit(&mut [writer.unit(1, &[b"1"])]).unwrap();
    assert!(log.commit(&mut [stale.clone().unit(2, &[b"2"])]).is_err());
}

#[test]
fn room_is_as_told() {
    let log = empty();
    assert!(log.has_room());
    log.set_room(false);
    assert!(!log.has_room() && !log.crash(0).has_room());
}
