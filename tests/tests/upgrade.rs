//! Rules change while scopes are in use: no append fails, order holds, whoever admitted an event stands
//! in it, and the way back is as safe as the way there.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Digest, Limits, Outcome, Ruled, ScopePattern, Seq, Share};
use atomic_store_tests::{Caller, VersionsStore, append_to, scope};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const ONE: &[u8] = b"rules 1.0.0";
const TWO: &[u8] = b"rules 2.0.0 min=10";

fn pattern(text: &str) -> ScopePattern {
    ScopePattern::new(text).unwrap()
}

fn load(caller: &Caller, component: &[u8]) -> Digest {
    caller.engine.load(component).unwrap().0.digest
}

/// Which of two validators admitted each event.
fn admitted(caller: &Caller, name: &str) -> Vec<Digest> {
    caller.events(name).into_iter().map(|event| event.validator).collect()
}

#[test]
fn appends_that_run_while_rules_change_are_all_stored_in_order_and_name_who_admitted_them() {
    let store = VersionsStore::new(Limits { snapshot_events: 50, ..Limits::default() });
    let caller = store.with_threads(4);
    let (one, two) = (load(&caller, ONE), load(&caller, TWO));
    let mut bound = vec![caller.bind("s/*", &one.to_string())];
    let (stop, stored) = (AtomicBool::new(false), <[AtomicU64; 3]>::default());
    std::thread::scope(|threads| {
        for (client, stored) in stored.iter().enumerate() {
            let (caller, stop) = (&caller, &stop);
            threads.spawn(move || {
                let name = format!("s/{client}");
                let mut next = 100;
                while !stop.load(Ordering::SeqCst) {
                    // Several in flight, so that a change meets appends at every stage.
                    let calls: Vec<_> = (0..8)
                        .map(|n| caller.send(append_to(&name, &[&(next + n).to_string()])))
                        .collect();
                    for call in calls {
                        let outcome = caller.wait(call).outcome;
                        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
                        stored.fetch_add(1, Ordering::SeqCst);
                    }
                    next += 8;
                }
            });
        }
        for round in 0..20 {
            // The second eight of each client, at least, are sent after the last change.
            for stored in &stored {
                let before = stored.load(Ordering::SeqCst);
                while stored.load(Ordering::SeqCst) < before + 16 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            bound.push(match round % 4 {
                3 => caller.engine.rollback(&pattern("s/*")).unwrap(),
                n => caller.bind("s/*", &if n == 0 { two } else { one }.to_string()),
            });
        }
        stop.store(true, Ordering::SeqCst);
    });
    caller.verify();
    for client in 0..3 {
        let name = format!("s/{client}");
        let events = caller.events(&name);
        let mut last = Seq::ZERO;
        for (n, event) in (100..).zip(&events) {
            assert_eq!(event.payload, n.to_string().into_bytes(), "out of order");
            // Bindings follow each other in the events as they did in `$system`.
            assert!(event.binding >= last, "{} after {last}", event.binding);
            last = event.binding;
            let binding = bound.iter().find(|binding| binding.seq == event.binding).unwrap();
            assert_eq!(event.validator, binding.validator);
        }
        let seen: std::collections::BTreeSet<_> = events.iter().map(|e| e.binding).collect();
        assert!(seen.len() >= 20, "{name} met only {} of the bindings", seen.len());
    }
}

#[test]
fn a_long_scope_is_folded_before_the_change_and_its_appends_hardly_wait() {
    let store = VersionsStore::new(Limits::default());
    let caller = store.by_hand();
    let (one, two) = (load(&caller, ONE), load(&caller, TWO));
    caller.bind("s/*", &one.to_string());
    let thousand = ["20"; 1_000];
    for _ in 0..30 {
        caller.store("s/long", &thousand);
    }
    caller.store("s/short", &thousand);
    store.seen.folded_before_use.store(0, Ordering::SeqCst);
    caller.bind("s/*", &two.to_string());
    caller.store("s/long", &["20"]);
    caller.store("s/short", &["20"]);
    let folded = store.seen.folded_before_use.load(Ordering::SeqCst);
    assert_eq!(folded, 1_000, "the long scope began with the state that was prepared");
    assert_eq!(caller.query("s/long", "count"), (Seq(30_001), Ok(b"30001".to_vec())));
    // A rule that gives no state cannot be prepared; it works all the same.
    let plain = load(&caller, b"rules 3.0.0 plain");
    caller.bind("s/*", &plain.to_string());
    assert_eq!(caller.store("s/long", &["1"]), Seq(30_002));
    assert_eq!(store.seen.folded_before_use.load(Ordering::SeqCst), 30_001);
}

#[test]
fn the_longest_wait_of_an_append_across_a_change_is_a_small_part_of_a_full_fold() {
    let store = VersionsStore::new(Limits::default());
    let caller = store.with_threads(4);
    let (one, two) = (load(&caller, ONE), load(&caller, TWO));
    caller.bind("s/*", &one.to_string());
    let thousand = ["20"; 1_000];
    for _ in 0..200 {
        caller.store("s/1", &thousand);
    }
    store.seen.folded_before_use.store(0, Ordering::SeqCst);
    let stop = AtomicBool::new(false);
    let longest = std::thread::scope(|threads| {
        let client = threads.spawn(|| {
            let mut longest = Duration::ZERO;
            while !stop.load(Ordering::SeqCst) {
                let start = Instant::now();
                caller.store("s/1", &["20"]);
                longest = longest.max(start.elapsed());
            }
            longest
        });
        for validator in [two, one, two] {
            std::thread::sleep(Duration::from_millis(20));
            caller.bind("s/*", &validator.to_string());
        }
        stop.store(true, Ordering::SeqCst);
        client.join().unwrap()
    });
    // The clock would say it only if nothing else ran: an append waits for what its loop folds.
    let folded = store.seen.folded_before_use.load(Ordering::SeqCst);
    assert!(folded < 100_000, "a loop folded {folded} events for an append");
    // What the wait would be if it had to fold all of them.
    let plain = load(&caller, b"rules 3.0.0 plain");
    caller.bind("s/*", &plain.to_string());
    let start = Instant::now();
    caller.store("s/1", &["20"]);
    let full = start.elapsed();
    println!("longest wait across three changes {longest:?}; with a full fold {full:?}");
    assert!(store.seen.folded_before_use.load(Ordering::SeqCst) > 200_000);
}

#[test]
fn the_way_back_goes_back_one_binding_at_a_time_and_survives_a_restart() {
    let mut store = VersionsStore::new(Limits::default());
    let caller = store.by_hand();
    let (one, two) = (load(&caller, ONE), load(&caller, TWO));
    let all = pattern("s/*");
    let nothing = caller.engine.rollback(&all);
    assert!(matches!(nothing, Err(RequestError::NotFound(_))), "{nothing:?}");
    let config = Some(b"{\"a\":1}".to_vec());
    caller.engine.bind(all.clone(), &one.to_string().parse().unwrap(), config.clone()).unwrap();
    caller.bind("s/*", &two.to_string());
    caller.store("s/1", &["10"]);
    assert!(matches!(caller.append("s/1", &["1"]), Outcome::Rejected(_)));
    store.crash();
    let caller = store.by_hand();
    let back = caller.engine.rollback(&all).unwrap();
    assert_eq!((back.validator, &back.config), (one, &config));
    assert_eq!(caller.store("s/1", &["1"]), Seq(2));
    assert_eq!(admitted(&caller, "s/1"), [two, one]);
    let nothing = caller.engine.rollback(&all);
    assert!(matches!(nothing, Err(RequestError::NotFound(_))), "{nothing:?}");
    // What was unbound can be had back, too.
    caller.engine.unbind(&all).unwrap();
    assert!(matches!(caller.append("s/1", &["1"]), Outcome::Invalid { .. }));
    assert_eq!(caller.engine.rollback(&all).unwrap().validator, one);
    assert_eq!(caller.store("s/1", &["1"]), Seq(3));
}

#[test]
fn a_canary_judges_its_share_of_the_scopes_and_always_the_same_ones() {
    let mut store = VersionsStore::new(Limits::default());
    let caller = store.by_hand();
    let (one, two) = (load(&caller, ONE), load(&caller, TWO));
    caller.bind("s/*", &one.to_string());
    caller.bind("s/own", &one.to_string());
    let share = Share::percent(25).unwrap();
    let which = two.to_string().parse().unwrap();
    let start = |pattern_text, share| {
        caller.engine.start_trial(pattern(pattern_text), &which, None, Some(share))
    };
    assert!(matches!(start("t/*", share), Err(RequestError::NotFound(_))));
    let trial = start("s/*", share).unwrap();
    assert!(matches!(start("s/*", share), Err(RequestError::Invalid { .. })), "one at a time");
    let names: Vec<_> = (0..400).map(|n| format!("s/{n}")).collect();
    let judged = |caller: &Caller| {
        let by = |name: &String| {
            caller.store(name, &["10"]);
            caller.events(name).last().unwrap().validator == two
        };
        names.iter().filter(|name| by(name)).cloned().collect::<Vec<_>>()
    };
    let first = judged(&caller);
    assert!((60..140).contains(&first.len()), "{} of 400 for 25 %", first.len());
    assert_eq!(first, names.iter().filter(|n| share.has(&scope(n))).cloned().collect::<Vec<_>>());
    caller.store("s/own", &["1"]);
    // The candidate's events name the event of `$system` that began the canary.
    let event = caller.events(&first[0]).pop().unwrap();
    assert_eq!(event.binding, trial.candidate.seq);
    store.crash();
    let caller = store.by_hand();
    assert_eq!(judged(&caller), first, "the same after a restart");
    let bound = caller.engine.rollback(&pattern("s/*")).unwrap();
    assert_eq!(bound.validator, one);
    assert_eq!(judged(&caller), Vec::<String>::new());
    let wider = Share::percent(60).unwrap();
    assert!(first.iter().all(|name| wider.has(&scope(name))), "a larger share keeps its scopes");
}

#[test]
fn a_bind_to_the_whole_pattern_ends_its_canary() {
    let store = VersionsStore::new(Limits::default());
    let caller = store.by_hand();
    let (one, two) = (load(&caller, ONE), load(&caller, TWO));
    caller.bind("s/*", &one.to_string());
    let share = Share::percent(99).unwrap();
    let which = two.to_string().parse().unwrap();
    caller.engine.start_trial(pattern("s/*"), &which, None, Some(share)).unwrap();
    let forced = caller.engine.promote(&pattern("s/*"), Default::default(), false);
    assert!(matches!(forced, Err(RequestError::Invalid { field, .. }) if field == "gate"));
    let bound = caller.engine.promote(&pattern("s/*"), Default::default(), true).unwrap();
    assert_eq!(bound.validator, two);
    assert!(caller.engine.trials().is_empty());
    let system = caller.payloads("$system").pop().unwrap();
    assert!(system.contains("forced") && system.contains("shown nothing"), "{system}");
    // The way back leads to the binding, not to the canary.
    assert_eq!(caller.engine.rollback(&pattern("s/*")).unwrap().validator, one);
}

#[test]
fn a_scope_tells_from_which_event_each_rule_admitted() {
    let store = VersionsStore::new(Limits::default());
    let caller = store.by_hand();
    let (one, two) = (load(&caller, ONE), load(&caller, TWO));
    let first = caller.bind("s/*", &one.to_string()).seq;
    caller.store("s/1", &["1", "2", "3"]);
    let second = caller.bind("s/*", &two.to_string()).seq;
    caller.store("s/1", &["10"]);
    let third = caller.engine.rollback(&pattern("s/*")).unwrap().seq;
    caller.store("s/1", &["1", "2"]);
    let ruled = |first, last, validator, binding| Ruled {
        first: Seq(first),
        last: Seq(last),
        validator,
        binding,
    };
    let expected = [ruled(1, 3, one, first), ruled(4, 4, two, second), ruled(5, 6, one, third)];
    assert_eq!(caller.engine.ruled(&scope("s/1")).unwrap(), expected);
    assert_eq!(caller.engine.ruled(&scope("s/none")).unwrap(), []);
    let kinds: Vec<_> = caller.events("$system").into_iter().map(|event| event.kind).collect();
    let bound = "scope-bound";
    assert_eq!(kinds, ["validator-loaded", "validator-loaded", bound, bound, bound]);
    assert!(caller.payloads("$system").pop().unwrap().contains("rollback"));
}
