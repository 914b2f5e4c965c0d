//! Crashes, a failing disk and damaged scopes: whoever asks again gets the truth, exactly once, and
//! harm stays where it is.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::log::{CommitFault, ReadError};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Append, Limits, Outcome, Seq};
use atomic_store_tests::{Caller, Memory, append_to, scope};
use std::ops::ControlFlow;

/// How far an append gets before the process ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Until {
    Sent,
    Decided,
    Durable,
}

fn assert_stored_once(caller: &Caller, append: &Append) {
    let name = append.scope.as_str();
    let events = caller.events(name);
    let mine: Vec<_> = events.iter().filter(|event| event.append_id == append.id).collect();
    assert_eq!(mine.len(), append.proposals.len());
    caller.verify();
}

#[test]
fn a_crash_with_an_append_in_flight_is_resolved_by_asking_again() {
    for until in [Until::Sent, Until::Decided, Until::Durable] {
        for seed in 0..4 {
            let (mut memory, caller) = Memory::ruled(Limits::default());
            caller.store("s/1", &["add 10"]);
            let append = append_to("s/1", &["add 20", "add 30"]);
            let call = caller.send(append.clone());
            if until != Until::Sent {
                memory.hands.decide();
            }
            if until == Until::Durable {
                caller.engine.commit_turn();
            } else {
                assert_eq!(caller.inbox.answer(call), None, "{until:?}: answered too early");
                assert_eq!(caller.payloads("s/1"), ["add 10"], "{until:?}: shown too early");
            }
            memory.crash(seed);
            let caller = memory.by_hand();
            let stored = caller.events("s/1").len();
            assert_eq!(stored, if until == Until::Durable { 3 } else { 1 }, "{until:?}");
            let answer = caller.ask_again(&append);
            assert_eq!(answer.duplicate, until == Until::Durable);
            let Outcome::Committed(committed) = answer.outcome else { panic!("{until:?}") };
            assert_eq!((committed.first.seq, committed.last.seq), (Seq(2), Seq(3)));
            assert_eq!(caller.payloads("s/1"), ["add 10", "add 20", "add 30"]);
            assert_stored_once(&caller, &append);
        }
    }
}

#[test]
fn a_failed_commit_is_unknown_then_read_only_and_asking_again_after_a_restart_resolves_it() {
    for fault in [CommitFault::Before, CommitFault::After] {
        let (mut memory, caller) = Memory::ruled(Limits::default());
        caller.store("s/1", &["add 10"]);
        memory.log.fail_commit(memory.log.commit_calls() + 1, fault);
        let appends = ["s/1", "s/2", "s/1"].map(|name| append_to(name, &["add 20"]));
        let calls: Vec<_> = appends.iter().map(|append| caller.send(append.clone())).collect();
        let query = caller.send_query("s/1", "sum");
        for call in calls {
            let outcome = caller.wait(call).outcome;
            assert!(matches!(outcome, Outcome::Unknown { .. }), "{fault:?}: {outcome:?}");
        }
        let state = caller.wait_state(query);
        assert!(matches!(state, Err(RequestError::Failed(_))), "it would show what may be lost");
        assert!(caller.engine.failed().borrow().is_some());
        assert!(caller.engine.status().read_only.is_some());
        let outcome = caller.append("s/3", &["add 10"]);
        assert!(matches!(outcome, Outcome::ReadOnly { .. }), "{outcome:?}");
        let bind = caller.engine.bind("x/*".parse().unwrap(), &"scripted".parse().unwrap(), None);
        assert!(bind.is_err());
        assert_eq!(caller.payloads("s/1"), ["add 10"], "reads go on");

        memory.crash(1);
        let caller = memory.by_hand();
        for append in &appends {
            let answer = caller.ask_again(append);
            assert!(matches!(answer.outcome, Outcome::Committed(_)), "{:?}", answer.outcome);
            assert_eq!(answer.duplicate, fault == CommitFault::After, "{fault:?}");
            assert_stored_once(&caller, append);
        }
        assert_eq!(caller.payloads("s/1"), ["add 10", "add 20", "add 20"]);
        assert_eq!(caller.query("s/1", "sum").1.unwrap(), b"50");
    }
}

#[test]
fn a_failed_read_decides_nothing() {
    let (mut memory, caller) = Memory::ruled(Limits::default());
    caller.store("s/1", &["add 10"]);
    drop(caller);
    // The head, the snapshot, the events: whichever read of the first append fails.
    for nth in 1..20 {
        memory.crash(nth);
        let caller = memory.by_hand();
        let before = memory.log.read_calls();
        memory.log.fail_read(before + nth);
        let append = append_to("s/1", &["add 20"]);
        let first = caller.ask(append.clone()).outcome;
        let reads = memory.log.read_calls() - before;
        if let Outcome::Committed(_) = first {
            assert!(reads < nth, "read {nth} failed and nobody noticed");
            assert!(nth > 2, "only {nth} reads");
            return;
        }
        assert!(!first.is_decided() || matches!(first, Outcome::Faulted(_)), "{nth}: {first:?}");
        if !first.is_decided() {
            let again = caller.ask_again(&append);
            assert!(matches!(again.outcome, Outcome::Committed(_)), "{nth}: {:?}", again.outcome);
            assert_stored_once(&caller, &append);
        }
    }
    panic!("reads without end");
}

type Harm = fn(&Memory) -> bool;

#[test]
fn a_damaged_scope_takes_no_appends_and_the_others_go_on() {
    let harms: [(&str, Harm); 4] = [
        ("the first of three changed", |memory| memory.log.damage(&scope("s/1"), Seq(1))),
        ("the last of three changed", |memory| memory.log.damage(&scope("s/1"), Seq(3))),
        ("the end lost", |memory| memory.log.lose(&scope("s/1"), Seq(2))),
        ("all lost", |memory| memory.log.lose(&scope("s/1"), Seq(1))),
    ];
    for (harm, strike) in harms {
        let (mut memory, caller) = Memory::ruled(Limits::default());
        for name in ["s/1", "s/2"] {
            caller.store(name, &["add 10", "add 20", "add 30"]);
        }
        memory.crash(1);
        let caller = memory.by_hand();
        assert!(strike(&memory), "{harm}");
        for _ in 0..2 {
            let outcome = caller.append("s/1", &["add 90"]);
            assert!(matches!(outcome, Outcome::ReadOnly { .. }), "{harm}: {outcome:?}");
        }
        let read = caller
            .engine
            .read(&scope("s/1"), Seq::ZERO, Seq::MAX, &mut |_| ControlFlow::Continue(()));
        assert!(matches!(read, Err(ReadError::Damaged { .. })), "{harm}: {read:?}");
        let query = caller.wait_state(caller.send_query("s/1", "sum"));
        assert!(query.is_err(), "{harm}: {query:?}");
        assert_eq!(caller.store("s/2", &["add 40"]), Seq(4), "{harm}");
        assert_eq!(caller.store("s/3", &["add 10"]), Seq(1), "{harm}");
        assert!(caller.engine.show_scope(&scope("s/2")).unwrap().unwrap().sealed.is_none());
        assert_eq!(caller.engine.status().read_only, None, "{harm}: the store as a whole goes on");
        let report = caller.engine.verify(None, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
        assert!(!report.damage.is_empty(), "{harm}");
        for line in &report.damage {
            assert!(line.contains("s/1"), "{harm}: {line}");
        }
    }
}

#[test]
fn damage_that_a_reader_finds_seals_a_scope_that_is_live() {
    let (memory, caller) = Memory::ruled(Limits::default());
    caller.store("s/1", &["add 10", "add 20"]);
    caller.store("s/2", &["add 10"]);
    assert!(memory.log.damage(&scope("s/1"), Seq(1)));
    let read =
        caller.engine.read(&scope("s/1"), Seq::ZERO, Seq::MAX, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(read, Err(ReadError::Damaged { seq: Seq(1), .. })), "{read:?}");
    let outcome = caller.append("s/1", &["add 90"]);
    assert!(matches!(&outcome, Outcome::ReadOnly { why } if why.contains("s/1")), "{outcome:?}");
    let info = caller.engine.show_scope(&scope("s/1")).unwrap().unwrap();
    assert!(info.sealed.is_some());
    assert_eq!(caller.store("s/2", &["add 20"]), Seq(2));
}

#[test]
fn damage_that_a_validator_meets_while_looking_back_seals_its_scope() {
    let (memory, caller) = Memory::ruled(Limits::default());
    caller.store("s/1", &["add 10", "add 20"]);
    assert!(memory.log.damage(&scope("s/1"), Seq(1)));
    let append = append_to("s/1", &["add 90"]);
    let first = caller.ask(append.clone()).outcome;
    assert!(!matches!(first, Outcome::Committed(_)), "judged on damaged events: {first:?}");
    let outcome = caller.append("s/1", &["add 90"]);
    assert!(matches!(outcome, Outcome::ReadOnly { .. }), "{outcome:?}");
    assert_eq!(caller.store("s/2", &["add 20"]), Seq(1));
}

/// A receiver whose answers make it panic, as a bug in an embedding program would.
struct Panicking;

impl atomic_store::engine::ReplyTo for Panicking {
    fn answer(&self, _: u64, answer: atomic_store_core::Answer) {
        panic!("cannot take {answer:?}");
    }

    fn joint(&self, _: u64, answer: atomic_store_core::JointAnswer) {
        panic!("cannot take {answer:?}");
    }

    fn state(&self, _: u64, state: Result<atomic_store::engine::State, RequestError>) {
        panic!("cannot take {state:?}");
    }
}

// The committer's thread once died of it without a word, and every later append waited for ever.
#[test]
fn a_receiver_that_panics_stops_the_store_loudly() {
    use atomic_store::engine::{Drive, Engine, ReplyTo};
    use atomic_store_core::{ScopePattern, protocol::StoreId};
    use std::sync::Arc;
    let log = Arc::new(atomic_store::log::MemoryLog::new(StoreId([1; 16]), Limits::default()));
    let (loader, clock) = (Arc::new(atomic_store_tests::ScriptedLoader), Arc::default());
    let clock: Arc<atomic_store_tests::JumpingClock> = clock;
    let engine = Engine::open(log, loader, clock, Limits::default(), Drive::Threads(2)).unwrap();
    let every = ScopePattern::new("*").unwrap();
    engine.bind(every, &"accept-all".parse().unwrap(), None).unwrap();
    let to: Arc<dyn ReplyTo> = Arc::new(Panicking);
    let mut failed = engine.failed();
    engine.append(append_to("s/1", &["add 10"]), &to, 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let told = runtime.block_on(async {
        let patience = std::time::Duration::from_secs(30);
        let why = tokio::time::timeout(patience, failed.wait_for(Option::is_some)).await;
        why.expect("the store went silent").unwrap().clone().unwrap()
    });
    assert!(told.contains("committer"), "{told}");
    let inbox = Arc::new(atomic_store_tests::Inbox::default());
    let to: Arc<dyn ReplyTo> = Arc::clone(&inbox) as _;
    engine.append(append_to("s/1", &["add 20"]), &to, 2);
    assert!(matches!(inbox.wait(2).outcome, Outcome::ReadOnly { .. }));
}
