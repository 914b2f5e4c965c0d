//! A store that is closed under load keeps its word: what it acknowledged is there afterwards, whether
//! it ended in time or not, and nobody is left without an answer.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::store::{Store, StoreOptions};
use atomic_store_core::{Append, Committed, Limits, Outcome, Seq};
use atomic_store_tests::{Caller, Disk, append_to, wat_rules};
use std::sync::Barrier;
use std::time::Duration;

const CLIENTS: usize = 3;

fn open(disk: &Disk) -> (Store, Caller) {
    let store = disk.open();
    let caller = Caller::new(store.engine().clone());
    (store, caller)
}

/// Sends until the store takes no more; gives every append with its answer.
fn load(caller: &Caller, client: usize, started: &Barrier) -> Vec<(Append, Outcome)> {
    let mut answers = Vec::new();
    for round in 0.. {
        let calls: Vec<_> = (0..16)
            .map(|n| {
                let append = append_to(&format!("s/{}", (client + n) % 5), &["a 1", "a 2"]);
                (append.clone(), caller.send(append))
            })
            .collect();
        for (append, call) in calls {
            answers.push((append, caller.wait(call).outcome));
        }
        if round == 20 {
            started.wait();
        }
        if answers.iter().any(|(_, outcome)| matches!(outcome, Outcome::ReadOnly { .. })) {
            break;
        }
    }
    answers
}

fn assert_kept(caller: &Caller, append: &Append, committed: &Committed) {
    let events = caller.events(append.scope.as_str());
    let at = |seq: Seq| &events[usize::try_from(seq.0).unwrap() - 1];
    assert_eq!(at(committed.first.seq).append_id, append.id);
    assert_eq!(at(committed.last.seq).hash, committed.hash);
}

#[test]
fn a_close_under_load_answers_everybody_and_keeps_what_it_acknowledged() {
    let disk = Disk::new(Limits { snapshot_events: 7, ..Limits::default() });
    let (store, caller) = open(&disk);
    caller.rule("*", &wat_rules("1.0.0"));
    let started = Barrier::new(CLIENTS + 1);
    let mut answers = Vec::new();
    std::thread::scope(|threads| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                threads.spawn({
                    let (c, s) = (&caller, &started);
                    move || load(c, client, s)
                })
            })
            .collect();
        started.wait();
        assert!(store.close(Duration::from_secs(60)), "there was time enough");
        clients.into_iter().for_each(|client| answers.extend(client.join().unwrap()));
    });
    drop(caller);

    let (store, caller) = open(&disk);
    assert!(store.report().clean, "it was closed, not killed");
    let (mut kept, mut refused) = (0, 0);
    for (append, outcome) in &answers {
        match outcome {
            Outcome::Committed(committed) => {
                kept += 1;
                assert_kept(&caller, append, committed);
            }
            Outcome::ReadOnly { why } => {
                refused += 1;
                assert!(why.contains("shutting down"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    let stored: usize = (0..5).map(|n| caller.events(&format!("s/{n}")).len()).sum();
    assert_eq!(stored, 2 * kept, "what was refused is not stored");
    assert!(refused > 0, "the close met no load");
    caller.verify();
}

#[test]
fn a_close_that_a_stuck_validator_outlasts_says_so_and_loses_nothing() {
    let limits = Limits { call_ms_max: 5_000, call_fuel_max: u64::MAX / 4, ..Limits::default() };
    let disk = Disk::new(limits);
    let (store, caller) = open(&disk);
    caller.rule("*", &wat_rules("1.0.0"));
    let mut acknowledged = Vec::new();
    for n in 0..50 {
        let append = append_to(&format!("s/{}", n % 5), &["a"]);
        let Outcome::Committed(committed) = caller.ask(append.clone()).outcome else { panic!() };
        acknowledged.push((append, committed));
    }
    let stuck = caller.send(append_to("s/0", &["l"]));
    let behind = append_to("s/0", &["a behind"]);
    let waiting = caller.send(behind.clone());
    assert!(!store.close(Duration::from_millis(200)), "the validator is stuck for five seconds");
    assert!(caller.inbox.answer(stuck).is_none(), "the close waited until it let go");
    let refused = caller.append("s/1", &["a"]);
    assert!(matches!(refused, Outcome::ReadOnly { .. }), "{refused:?}");

    // Also those who were cut off get their answer, once the validator lets go.
    let cut_off = [caller.wait(stuck).outcome, caller.wait(waiting).outcome];
    drop(caller);
    let (store, caller) = open(&disk);
    assert!(!store.report().clean);
    for (append, committed) in &acknowledged {
        assert_kept(&caller, append, committed);
    }
    let is_stored = caller.payloads("s/0").contains(&"a behind".to_owned());
    match &cut_off[1] {
        Outcome::Committed(_) => assert!(is_stored),
        Outcome::Unknown { .. } => {}
        other => panic!("{other:?}"),
    }
    let answer = caller.ask_again(&behind);
    assert!(matches!(answer.outcome, Outcome::Committed(_)), "{:?}", answer.outcome);
    assert_eq!(answer.duplicate, is_stored);
    assert_eq!(caller.payloads("s/0").len(), 11);
    caller.verify();
}

/// Also while its thread in the background folds a long scope, to prove a snapshot.
#[test]
fn a_store_that_was_closed_is_opened_again_at_once_by_the_same_process() {
    let disk = Disk::new(Limits { scrub_ms: 1, ..Limits::default() });
    let (store, caller) = open(&disk);
    caller.rule("*", &wat_rules("1.0.0"));
    for _ in 0..20 {
        caller.store("s/long", &["a"; 1_000]);
    }
    drop(caller);
    assert!(store.close(Duration::from_secs(60)));
    for round in 0..10 {
        let options =
            StoreOptions { limits: disk.limits.clone(), ..StoreOptions::new(disk.path()) };
        let store = Store::open(options).map_err(|error| format!("round {round}: {error}"));
        let store = store.unwrap();
        std::thread::sleep(Duration::from_millis(5 + round));
        assert!(store.close(Duration::from_secs(60)));
    }
}
