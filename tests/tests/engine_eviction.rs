//! Scopes leave memory and come back: their state goes on, snapshots save the folding, and their time
//! never falls.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_core::{Limits, Outcome, Seq};
use atomic_store_tests::{Caller, Disk, Memory, append_to, wat_rules};
use std::time::Duration;

fn number(caller: &Caller, name: &str, query: &str) -> u64 {
    let (_, answer) = caller.query(name, query);
    u64::from_le_bytes(answer.unwrap().try_into().unwrap())
}

#[test]
fn thousands_of_scopes_pass_through_a_few_instances_and_keep_their_state() {
    let disk = Disk::new(Limits { instances_max: 50, ..Limits::default() });
    let caller = disk.caller();
    caller.rule("*", &wat_rules("1.0.0"));
    let scopes = 2_000;
    for round in 0..3_u64 {
        let mut calls = std::collections::VecDeque::new();
        for n in 0..scopes {
            // The rule takes nothing but the number of events before.
            let text = round.to_string();
            calls.push_back((n, caller.send(append_to(&format!("s/{n}"), &[&text]))));
            if calls.len() > 100 {
                expect_stored(&caller, calls.pop_front().unwrap(), round);
            }
        }
        calls.into_iter().for_each(|call| expect_stored(&caller, call, round));
        let live = caller.engine.status().live;
        assert!(live < 400, "{live} of {scopes} scopes are live");
    }
    for n in (0..scopes).step_by(97) {
        assert_eq!(number(&caller, &format!("s/{n}"), "count"), 3);
        assert!(number(&caller, &format!("s/{n}"), "folded") < 3, "not from a snapshot");
    }
    caller.verify();
}

fn expect_stored(caller: &Caller, (n, call): (u64, u64), round: u64) {
    match caller.wait(call).outcome {
        Outcome::Committed(committed) => assert_eq!(committed.last.seq, Seq(round + 1), "s/{n}"),
        other => panic!("s/{n}: {other:?}"),
    }
}

#[test]
fn an_evicted_scope_is_restored_from_its_snapshot_and_folds_nothing_twice() {
    let (memory, caller) = Memory::ruled(Limits { instances_max: 1, ..Limits::default() });
    let ten = ["add 10"; 10];
    caller.store("s/1", &ten);
    assert_eq!((memory.probe.applied(), memory.probe.restored()), (10, 0));
    caller.store("s/2", &["add 10"]);
    assert_eq!(caller.query("s/1", "sum"), (Seq(10), Ok(b"100".to_vec())));
    assert_eq!((memory.probe.applied(), memory.probe.restored()), (11, 1));
    assert_eq!(caller.store("s/1", &["add 10"]), Seq(11));
}

#[test]
fn a_reopened_scope_folds_only_what_came_after_its_last_snapshot() {
    // Events of 10 before each snapshot, appended one by one, and how the store ends.
    for (events, close, folded) in [(25, false, 5), (30, false, 0), (25, true, 0), (9, false, 9)] {
        let mut memory = Memory::new(Limits { snapshot_events: 10, ..Limits::default() });
        let caller = memory.with_threads(2);
        caller.rule("s/*", atomic_store_tests::SCRIPTED);
        for _ in 0..events {
            caller.store("s/1", &["add 10"]);
        }
        if close {
            assert!(caller.engine.close(Duration::from_secs(30)));
        } else {
            // Snapshots are synced with the next event of any scope.
            caller.store("s/2", &["add 10"]);
        }
        drop(caller);
        memory.crash(0);
        let caller = memory.by_hand();
        let sum = (events * 10).to_string().into_bytes();
        assert_eq!(caller.query("s/1", "sum"), (Seq(events), Ok(sum)));
        assert_eq!(memory.probe.applied(), folded, "{events} events, closed: {close}");
        assert_eq!(memory.probe.restored(), u64::from(folded < events));
        assert_eq!(memory.probe.started(), 1);
    }
}

#[test]
fn on_disk_a_reopened_scope_folds_only_what_came_after_its_last_snapshot() {
    let disk = Disk::new(Limits { snapshot_events: 100, ..Limits::default() });
    let caller = disk.caller();
    caller.rule("*", &wat_rules("1.0.0"));
    for _ in 0..25 {
        caller.store("s/1", &["a"; 10]);
    }
    caller.store("s/2", &["a"]);
    drop(caller);
    let store = disk.open();
    let caller = Caller::new(store.engine().clone());
    assert_eq!((number(&caller, "s/1", "count"), number(&caller, "s/1", "folded")), (250, 50));
    assert!(store.close(Duration::from_secs(30)));
    drop(caller);
    let caller = disk.caller();
    assert_eq!((number(&caller, "s/1", "count"), number(&caller, "s/1", "folded")), (250, 0));
    // Another configuration or validator is another rule, and takes no snapshot of this one.
    caller.rule("*", &wat_rules("2.0.0"));
    assert_eq!((number(&caller, "s/1", "count"), number(&caller, "s/1", "folded")), (250, 250));
}

#[test]
fn a_query_shows_the_state_at_the_head_and_waits_until_that_is_durable() {
    let (memory, caller) = Memory::ruled(Limits::default());
    caller.store("s/1", &["add 10"]);
    let append = caller.send(append_to("s/1", &["add 20"]));
    let query = caller.send_query("s/1", "sum");
    memory.hands.decide();
    assert!(caller.inbox.take(query).is_none(), "it would show what is not durable");
    let state = caller.wait_state(query).unwrap();
    assert_eq!((state.head, state.answer), (Seq(2), Ok(b"30".to_vec())));
    assert!(matches!(caller.wait(append).outcome, Outcome::Committed(_)));
    assert_eq!(caller.query("s/1", "what"), (Seq(2), Err("no query what".to_owned())));
    assert_eq!(caller.query("s/unknown", "sum"), (Seq::ZERO, Ok(b"0".to_vec())));
}

#[test]
fn the_time_of_a_scope_never_falls_although_the_clock_does() {
    for reopened in [false, true] {
        for pattern in ["s/*", "free/*"] {
            let (mut memory, mut caller) =
                Memory::ruled(Limits { snapshot_events: 2, ..Limits::default() });
            caller.bind("free/*", atomic_store::engine::ACCEPT_ALL);
            let name = pattern.replace('*', "1");
            for (clock, host) in
                [(5_000, 5_000), (4_000, 5_000), (6_000, 6_000), (10, 6_000), (7_000, 7_000)]
            {
                memory.clock.set(clock);
                if reopened {
                    memory.crash(clock);
                    caller = memory.by_hand();
                }
                caller.store(&name, &["add 10"]);
                let last = caller.events(&name).pop().unwrap();
                assert_eq!(last.host_ms, host, "{name} at {clock}, reopened: {reopened}");
            }
        }
    }
}
