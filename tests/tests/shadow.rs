//! A candidate runs beside the binding: it judges what the binding's rule judges, decides nothing, and
//! what differs is told.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Gate, Limits, Outcome, ScopePattern, Seq, TrialReport};
use atomic_store_tests::{Caller, VersionsStore, append_to, scope};
use std::time::{Duration, Instant};

fn all() -> ScopePattern {
    ScopePattern::new("s/*").unwrap()
}

/// A store in which the first version is bound and the second on trial.
fn tried(limits: Limits, first: &str, second: &str) -> (VersionsStore, Caller) {
    let store = VersionsStore::new(limits);
    let caller = store.by_hand();
    caller.rule("s/*", first.as_bytes());
    let candidate = caller.engine.load(second.as_bytes()).unwrap().0.digest;
    caller.engine.start_trial(all(), &candidate.to_string().parse().unwrap(), None, None).unwrap();
    (store, caller)
}

/// What the trial found once everything that waits was compared.
fn report(caller: &Caller) -> TrialReport {
    while caller.engine.trial_turn() {}
    caller.engine.trials().pop().unwrap()
}

#[test]
fn a_candidate_that_agrees_is_promoted_and_the_store_says_so() {
    let (_store, caller) =
        tried(Limits::default(), "r 1.0.0 min=5 fuel=100", "r 2.0.0 min=5 fuel=150");
    for name in ["s/1", "s/2"] {
        caller.store(name, &["5", "6"]);
        assert!(matches!(caller.append(name, &["4"]), Outcome::Rejected(_)));
        caller.store(name, &["7"]);
    }
    let found = report(&caller);
    assert_eq!((found.compared, found.same, found.divergences(), found.faults), (6, 6, 0, 0));
    assert_eq!((found.live_fuel, found.fuel, found.waiting, found.dropped), (600, 900, 0, 0));
    let strict = |gate: Gate| match caller.engine.promote(&all(), gate, false) {
        Err(RequestError::Invalid { field, why }) if field == "gate" => why,
        other => panic!("{other:?}"),
    };
    assert!(strict(Gate { compared: 7, ..Gate::default() }).contains("at least 7"));
    assert!(strict(Gate { fuel_percent: 149, ..Gate::default() }).contains("149 %"));
    let bound = caller.engine.promote(&all(), Gate { compared: 6, fuel_percent: 150 }, false);
    assert_eq!(bound.unwrap().validator, found.trial.candidate.validator);
    let said = caller.payloads("$system").pop().unwrap();
    assert!(said.contains("\"promoted\":{\"compared\":6}"), "{said}");
    assert!(caller.engine.trials().is_empty());
}

#[test]
fn a_candidate_beside_a_binding_has_its_configuration_unless_it_is_given_another() {
    let store = VersionsStore::new(Limits::default());
    let caller = store.by_hand();
    let which = |rules: &str| {
        let digest = caller.engine.load(rules.as_bytes()).unwrap().0.digest;
        digest.to_string().parse().unwrap()
    };
    let (first, second) = (which("r 1.0.0 min=5"), which("r 2.0.0 min=5"));
    caller.engine.bind(all(), &first, Some(b"{}".to_vec())).unwrap();
    for (given, found) in [(None, &b"{}"[..]), (Some(b"[]".to_vec()), b"[]")] {
        let trial = caller.engine.start_trial(all(), &second, given, None).unwrap();
        assert_eq!(trial.candidate.config.as_deref(), Some(found));
        caller.engine.end_trial(&all()).unwrap();
    }
}

#[test]
fn what_differs_is_counted_by_kind_and_the_first_are_told_with_both_verdicts() {
    let (_store, caller) = tried(Limits::default(), "r 1.0.0 min=5", "r 2.0.0 min=10");
    caller.store("s/1", &["20"]);
    caller.store("s/1", &["7"]);
    assert!(matches!(caller.append("s/1", &["4"]), Outcome::Rejected(_)));
    caller.store("s/1", &["8"]);
    let found = report(&caller);
    assert_eq!((found.compared, found.same), (4, 2));
    assert_eq!((found.newly_rejected, found.newly_accepted, found.changed), (2, 0, 0));
    let first = &found.first[0];
    assert_eq!((&first.scope, first.after), (&scope("s/1"), Seq(1)));
    assert_eq!(
        (first.live.as_str(), first.candidate.as_str()),
        ("accepted: 1 event", "refused: too-low: below 10")
    );
    assert_eq!(found.first[1].after, Seq(2));
    // It decided nothing: all that the binding accepted is there.
    assert_eq!(caller.payloads("s/1"), ["20", "7", "8"]);
    let refused = caller.engine.promote(&all(), Gate::default(), false);
    assert!(matches!(refused, Err(RequestError::Invalid { why, .. }) if why.contains("2 of 4")));
    let forced = caller.engine.promote(&all(), Gate::default(), true).unwrap();
    assert_eq!(forced.validator, found.trial.candidate.validator);
    let said = caller.payloads("$system").pop().unwrap();
    assert!(said.contains("forced") && said.contains("2 of 4 verdicts differ"), "{said}");

    let (_store, caller) = tried(Limits::default(), "r 1.0.0 min=5", "r 2.0.0 twice");
    caller.store("s/1", &["7"]);
    assert!(matches!(caller.append("s/1", &["4"]), Outcome::Rejected(_)));
    let found = report(&caller);
    assert_eq!((found.newly_rejected, found.newly_accepted, found.changed), (0, 1, 1));
}

#[test]
fn a_candidate_folds_what_was_stored_and_not_what_it_would_have_stored() {
    let (_store, caller) = tried(Limits::default(), "r 1.0.0", "r 2.0.0 min=10");
    for n in 0..50_u64 {
        caller.store("s/1", &[&n.to_string()]);
    }
    let found = report(&caller);
    assert_eq!((found.compared, found.newly_rejected, found.same), (50, 10, 40));
}

#[test]
fn a_candidate_folds_a_long_scope_in_many_turns_before_it_judges_there() {
    let (_store, caller) = tried(Limits::default(), "r 1.0.0", "r 2.0.0 min=10");
    caller.engine.end_trial(&all()).unwrap();
    let events: Vec<_> = (0..5_000_u64).map(|n| n.to_string()).collect();
    for part in events.chunks(100) {
        caller.store("s/1", &part.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let candidate = caller.engine.load(b"r 2.0.0 min=10").unwrap().0.digest.to_string();
    caller.engine.start_trial(all(), &candidate.parse().unwrap(), None, None).unwrap();
    for late in ["9", "10"] {
        caller.store("s/1", &[late]);
    }
    let mut turns = 0;
    while caller.engine.trials().pop().unwrap().compared == 0 {
        assert!(caller.engine.trial_turn(), "it goes on");
        turns += 1;
    }
    assert!((15..50).contains(&turns), "5,000 events were folded in {turns} turns");
    let found = report(&caller);
    assert_eq!((found.compared, found.newly_rejected, found.same, found.dropped), (2, 1, 1, 0));
}

#[test]
fn a_candidate_that_traps_or_does_not_start_is_told_and_harms_nobody() {
    let (_store, caller) = tried(Limits::default(), "r 1.0.0", "r 2.0.0 trap=3");
    for n in ["1", "3", "2", "3", "4"] {
        caller.store("s/1", &[n]);
    }
    let found = report(&caller);
    assert_eq!((found.compared, found.same, found.faults), (3, 3, 2));
    assert_eq!(found.first[0].candidate, "trap: as told");
    let refused = caller.engine.promote(&all(), Gate::default(), false);
    assert!(matches!(refused, Err(RequestError::Invalid { why, .. }) if why.contains("2 times")));

    let (_store, caller) = tried(Limits::default(), "r 1.0.0", "r 2.0.0 decline");
    caller.store("s/1", &["1"]);
    caller.store("s/1", &["2"]);
    let found = report(&caller);
    assert_eq!((found.compared, found.faults), (0, 2));
    assert_eq!(caller.payloads("s/1"), ["1", "2"]);
}

#[test]
fn what_waits_for_a_candidate_has_its_bytes_and_more_is_not_compared() {
    // Each takes 1 byte and 512 for itself.
    let limits = Limits { trial_bytes_max: 3 * 513, ..Limits::default() };
    let (_store, caller) = tried(limits, "r 1.0.0", "r 2.0.0");
    let size = append_to("s/1", &["1"]).size() + 512;
    let fits = (3 * 513 / size) as u64;
    assert!(fits >= 1, "an append has {size} bytes");
    for _ in 0..fits + 2 {
        caller.store("s/1", &["1"]);
    }
    let found = caller.engine.trials().pop().unwrap();
    assert_eq!((found.waiting, found.dropped), (fits, 2));
    let found = report(&caller);
    assert_eq!((found.compared, found.same, found.dropped), (fits, fits, 2));
    // There is room again, and what was missed is folded all the same.
    caller.store("s/1", &["1"]);
    assert_eq!(report(&caller).same, fits + 1);
}

#[test]
fn nothing_is_compared_before_it_is_durable_nor_after_its_trial() {
    let store = VersionsStore::new(Limits::default());
    let caller = store.by_hand();
    caller.rule("s/*", b"r 1.0.0");
    let candidate = caller.engine.load(b"r 2.0.0").unwrap().0.digest.to_string();
    caller.store("s/1", &["1"]);
    caller.engine.start_trial(all(), &candidate.parse().unwrap(), None, None).unwrap();
    assert!(!caller.engine.trial_turn(), "what was before is not compared");
    let call = caller.send(append_to("s/1", &["2"]));
    store.hands().decide();
    assert!(!caller.engine.trial_turn(), "not durable yet");
    let _answer = caller.wait(call);
    assert!(caller.engine.trial_turn());
    caller.store("s/1", &["3"]);
    caller.engine.end_trial(&all()).unwrap();
    assert!(caller.engine.trial_turn(), "given up");
    assert!(!caller.engine.trial_turn());
    assert!(caller.engine.trials().is_empty());
    let none = caller.engine.end_trial(&all());
    assert!(matches!(none, Err(RequestError::NotFound(_))));
}

#[test]
fn a_trial_goes_on_after_a_restart_and_survives_deleted_events() {
    let (mut store, caller) = tried(Limits::default(), "r 1.0.0", "r 2.0.0");
    caller.store("s/1", &["1", "2"]);
    assert_eq!(report(&caller).compared, 1);
    store.crash();
    let caller = store.by_hand();
    caller.store("s/1", &["3"]);
    caller.engine.delete_scope(&scope("s/1"), None).unwrap();
    caller.store("s/1", &["4"]);
    let found = report(&caller);
    assert_eq!((found.compared, found.same, found.dropped, found.faults), (1, 1, 1, 0));
}

#[test]
fn with_threads_of_its_own_a_candidate_catches_up_by_itself() {
    let store = VersionsStore::new(Limits::default());
    let caller = store.with_threads(4);
    caller.rule("s/*", b"r 1.0.0 min=5");
    let candidate = caller.engine.load(b"r 2.0.0 min=6").unwrap().0.digest.to_string();
    caller.engine.start_trial(all(), &candidate.parse().unwrap(), None, None).unwrap();
    let calls: Vec<_> = (0..600_u64)
        .map(|n| caller.send(append_to(&format!("s/{}", n % 3), &[&(n % 10).to_string()])))
        .collect();
    let stored = calls.into_iter().map(|call| caller.wait(call).outcome);
    let stored = stored.filter(|outcome| matches!(outcome, Outcome::Committed(_))).count();
    assert_eq!(stored, 300);
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let found = caller.engine.trials().pop().unwrap();
        if found.compared == 600 {
            assert_eq!((found.newly_rejected, found.same, found.dropped), (60, 540, 0));
            return;
        }
        assert!(Instant::now() < patience, "{found:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
