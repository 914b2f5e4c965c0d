//! What a trial found is not forgotten when the store is closed, what a crash loses of it is told, and
//! nothing that a rule judged is left out without a word.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::ReplyTo;
use atomic_store::log::EventLog;
use atomic_store_core::{
    Append, AppendId, Digest, Gate, JointAppend, JointOutcome, Limits, Outcome, Part, Proposal,
    ScopeName, ScopePattern, Seq, TrialReport,
};
use atomic_store_tests::{Caller, Got, VersionsStore, append_to, scope};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn all() -> ScopePattern {
    ScopePattern::new("s/*").unwrap()
}

fn bind_and_try(caller: &Caller, first: &str, second: &str) -> Seq {
    caller.rule("s/*", first.as_bytes());
    let candidate = caller.engine.load(second.as_bytes()).unwrap().0.digest.to_string();
    let trial = caller.engine.start_trial(all(), &candidate.parse().unwrap(), None, None);
    trial.unwrap().candidate.seq
}

fn found(caller: &Caller) -> TrialReport {
    caller.engine.trials().pop().unwrap()
}

/// Waits until the candidate has judged so many.
fn compared(caller: &Caller, wanted: u64) -> TrialReport {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let found = found(caller);
        if found.compared >= wanted {
            return found;
        }
        assert!(Instant::now() < patience, "{found:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn close(caller: &Caller) {
    assert!(caller.engine.close(Duration::from_secs(30)));
}

#[test]
fn what_was_compared_counts_for_the_gate_after_the_store_was_closed_and_opened() {
    let mut store = VersionsStore::new(Limits::default());
    let caller = store.with_threads(2);
    bind_and_try(&caller, "r 1.0.0 min=5 fuel=10", "r 2.0.0 min=5 fuel=12");
    for round in 1..=3 {
        let caller = if round == 1 { &caller } else { &store.with_threads(2) };
        caller.store("s/1", &["7"]);
        assert!(matches!(caller.append("s/1", &["4"]), Outcome::Rejected(_)));
        // Nobody waits for the candidate: what waits is judged while the store closes.
        close(caller);
        store.crash();
    }
    let caller = store.with_threads(2);
    let report = found(&caller);
    assert_eq!((report.compared, report.same, report.interrupted), (6, 6, 0), "{report:?}");
    assert_eq!((report.live_fuel, report.fuel, report.waiting), (60, 72, 0));
    let gate = |compared| Gate { compared, ..Gate::default() };
    assert!(caller.engine.promote(&all(), gate(7), false).is_err());
    caller.engine.promote(&all(), gate(6), false).unwrap();
    close(&caller);
}

#[test]
fn what_differed_before_a_restart_still_speaks_against_a_candidate() {
    let mut store = VersionsStore::new(Limits::default());
    let caller = store.with_threads(2);
    bind_and_try(&caller, "r 1.0.0", "r 2.0.0 min=5");
    caller.store("s/1", &["4"]);
    close(&caller);
    store.crash();
    let caller = store.with_threads(2);
    caller.store("s/1", &["8"]);
    let report = compared(&caller, 2);
    assert_eq!((report.newly_rejected, report.same), (1, 1));
    assert_eq!(report.first.len(), 1, "{report:?}");
    assert!(caller.engine.promote(&all(), Gate::default(), false).is_err());
    close(&caller);
}

#[test]
fn a_crash_is_told_and_loses_what_was_compared_in_the_last_seconds_only() {
    let mut store = VersionsStore::new(Limits::default());
    let caller = store.with_threads(2);
    let trial = bind_and_try(&caller, "r 1.0.0", "r 2.0.0");
    caller.store("s/1", &["1"]);
    compared(&caller, 1);
    // Counts are not synced by themselves; the next event takes them along.
    let patience = Instant::now() + Duration::from_secs(30);
    while rows(&store, trial) == 0 {
        assert!(Instant::now() < patience, "nothing is kept");
        std::thread::sleep(Duration::from_millis(2));
    }
    caller.store("s/1", &["2"]);
    store.crash();
    let caller = store.with_threads(2);
    let report = found(&caller);
    assert_eq!((report.compared, report.interrupted), (1, 1), "{report:?}");
    close(&caller);
    store.crash();
    // An orderly end after it interrupts nothing.
    assert_eq!(found(&store.with_threads(2)).interrupted, 1);
}

/// How many rows the log holds of a trial.
fn rows(store: &VersionsStore, trial: Seq) -> usize {
    let system = store.log.scope(&ScopeName::system()).unwrap().unwrap();
    let rule = Digest::of(format!("what the candidate of trial {trial} said").as_bytes());
    store.log.snapshots(system.id, &rule).unwrap().len()
}

#[test]
fn nothing_is_kept_of_a_trial_that_has_ended() {
    let mut store = VersionsStore::new(Limits::default());
    let caller = store.with_threads(2);
    let trial = bind_and_try(&caller, "r 1.0.0", "r 2.0.0");
    caller.store("s/1", &["1"]);
    close(&caller);
    store.crash();
    let caller = store.with_threads(2);
    assert_eq!(rows(&store, trial), 1);
    caller.engine.end_trial(&all()).unwrap();
    close(&caller);
    assert_eq!(rows(&store, trial), 0);
}

/// The parts of a joint append; the verdict of the whole.
fn joint(store: &VersionsStore, caller: &Caller, id: u8, parts: &[(&str, &str)]) -> bool {
    let part =
        |(name, number): &(&str, &str)| Part::new(scope(name), vec![Proposal::json("n", *number)]);
    let parts = parts.iter().map(part).collect();
    let append = JointAppend { id: AppendId([id; 16]), repeated: false, dry_run: false, parts };
    let (to, call) = (Arc::clone(&caller.inbox) as Arc<dyn ReplyTo>, (1 << 40) + u64::from(id));
    caller.engine.append_joint(append, &to, call);
    store.hands().settle(&caller.engine);
    match caller.inbox.take(call) {
        Some(Got::Joint(answer)) => matches!(answer.outcome, JointOutcome::Committed(_)),
        other => panic!("{other:?}"),
    }
}

fn judged(caller: &Caller) -> TrialReport {
    while caller.engine.trial_turn() {}
    found(caller)
}

#[test]
fn each_part_of_a_joint_append_is_compared_whether_it_was_stored_or_not() {
    let store = VersionsStore::new(Limits::default());
    let caller = store.by_hand();
    bind_and_try(&caller, "r 1.0.0 min=5", "r 2.0.0 min=10");
    assert!(joint(&store, &caller, 1, &[("s/1", "20"), ("s/2", "7")]));
    let report = judged(&caller);
    assert_eq!((report.compared, report.same, report.newly_rejected), (2, 1, 1), "{report:?}");
    assert_eq!((&report.first[0].scope, report.first[0].after), (&scope("s/2"), Seq::ZERO));
    // The second refuses, so nothing is stored; the first was judged all the same.
    assert!(!joint(&store, &caller, 2, &[("s/1", "30"), ("s/2", "4")]));
    let report = judged(&caller);
    assert_eq!((report.compared, report.same, report.newly_rejected), (4, 3, 1), "{report:?}");
    assert!(!joint(&store, &caller, 3, &[("s/1", "6"), ("s/2", "4")]));
    let report = judged(&caller);
    assert_eq!((report.compared, report.same, report.newly_rejected), (6, 4, 2), "{report:?}");
    assert_eq!(report.first[1].live, "accepted: 1 event, refused by others");
    // What comes after stands on what was stored and on nothing else.
    caller.store("s/1", &["40"]);
    assert_eq!(judged(&caller).same, 5);
    assert_eq!(caller.payloads("s/1"), ["20", "40"]);
}

#[test]
fn a_part_that_a_candidate_would_store_otherwise_differs_though_nothing_was_stored() {
    let store = VersionsStore::new(Limits::default());
    let caller = store.by_hand();
    bind_and_try(&caller, "r 1.0.0 min=5", "r 2.0.0 min=5 twice");
    assert!(!joint(&store, &caller, 1, &[("s/1", "6"), ("s/2", "4")]));
    let report = judged(&caller);
    assert_eq!((report.compared, report.same, report.changed), (2, 1, 1), "{report:?}");
    assert_eq!(report.first[0].candidate, "accepted: 2 events, and not the same");
}

#[test]
fn dry_runs_and_appends_without_a_verdict_are_left_out_and_counted() {
    let store = VersionsStore::new(Limits::default());
    let caller = store.by_hand();
    bind_and_try(&caller, "r 1.0.0 trap=3", "r 2.0.0");
    for n in ["1", "2"] {
        let append = Append { dry_run: true, ..append_to("s/1", &[n]) };
        assert!(matches!(caller.ask(append).outcome, Outcome::Committed(_)));
    }
    assert!(matches!(caller.append("s/1", &["3"]), Outcome::Faulted(_)));
    caller.store("s/1", &["4"]);
    let report = judged(&caller);
    assert_eq!((report.compared, report.dry_runs, report.unjudged), (1, 2, 1), "{report:?}");
}

#[test]
fn counts_that_are_damaged_are_not_believed_and_the_report_does_not_hide_it() {
    let mut store = VersionsStore::new(Limits::default());
    let caller = store.with_threads(2);
    bind_and_try(&caller, "r 1.0.0", "r 2.0.0");
    caller.store("s/1", &["1"]);
    close(&caller);
    store.crash();
    assert!(store.log.cut_snapshot(&ScopeName::system()));
    let caller = store.with_threads(2);
    let report = found(&caller);
    assert_eq!((report.compared, report.interrupted), (0, 1), "{report:?}");
    caller.store("s/1", &["2"]);
    assert_eq!(compared(&caller, 1).same, 1);
    close(&caller);
}
