//! The cases of the suite of coherence that are about appending, CT01 to CT39, by meaning; and those that
//! it left out. There one log was a store of its own, and its base was the first event not seen; here
//! a scope is the log, and `since` is the last event seen.
//!
//! CT11, CT13, CT18, CT38 and CT39 are about two writers that compute the same number. Here the loop of the
//! scope gives out numbers, so they become one: many writers, and no conflict among them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod library;

use atomic_store_core::{
    Answer, Append, Conflict, ExpectedHead, Key, Limits, Outcome, Position, Proposal, Seq,
};
use atomic_store_tests::{Caller, Memory, scope};
use library::*;
use std::time::Duration;

/// CT01 to CT04: what is an action and what is an effect.
#[test]
fn ct01_an_event_about_keys_is_no_effect_and_one_that_only_fires_triggers_is() {
    assert!(!about(&["Emma"]).is_effect());
    assert!(!linking(&["Emma"], &["Ann"]).is_effect());
    assert!(!about(&[]).is_effect());
    assert!(effect("Ann").is_effect());
    let (_memory, caller) = store();
    put(&caller, vec![about(&["Emma"]), linking(&["Emma"], &["Ann"]), effect("Ann"), about(&[])]);
    let events = caller.events(SCOPE);
    let effects: Vec<_> = events.iter().map(atomic_store_core::Event::is_effect).collect();
    assert_eq!(effects, [false, false, true, false]);
    assert_eq!(events[1].triggers, [person("Ann")]);
}

/// CT05 to CT08: garbage is no event, no identity, no condition.
#[test]
fn ct05_bad_input_is_a_typed_error_and_stores_nothing() {
    let (_memory, caller) = store();
    put(&caller, vec![about(&["Emma"])]);
    let with = |keys: Vec<Key>, triggers| Proposal { keys, triggers, ..Proposal::json("a", "{}") };
    let empty = |key: fn() -> Key| vec![key()];
    for bad in [|| Key::new("", "1"), || Key::new("book", "")] {
        invalid(&caller, append(vec![with(empty(bad), Vec::new())]), "keys");
        invalid(&caller, append(vec![with(Vec::new(), empty(bad))]), "triggers");
        let watching = append(vec![about(&["Emma"])]).since(Seq(1)).watch([bad()]);
        invalid(&caller, watching, "condition keys");
    }
    invalid(&caller, append(Vec::new()).since(Seq(1)), "proposals");
    invalid(&caller, append(vec![Proposal::default()]).since(Seq(1)), "kind");
    invalid(&caller, append(vec![about(&["Emma"])]).resolved([Seq(1), Seq(0)]), "resolved");
}

#[test]
fn ct09_a_base_beyond_the_head_is_unknown() {
    let (_memory, caller) = store();
    let ask = |since| caller.ask(append(vec![about(&["Emma"])]).since(Seq(since))).outcome;
    assert_eq!(ask(1), Outcome::UnknownBase { next: Seq(1) });
    put(&caller, vec![about(&["Emma"]), about(&["Persuasion"])]);
    assert_eq!(ask(3), Outcome::UnknownBase { next: Seq(3) });
    assert_eq!(ask(u64::MAX), Outcome::UnknownBase { next: Seq(3) });
    assert_eq!(head(&caller), 2);
    let append = append(vec![about(&["Emma"])]).since(Seq(3));
    assert_eq!(caller.ask(append.clone()).outcome, Outcome::UnknownBase { next: Seq(3) });
    put(&caller, vec![about(&[])]);
    let again = caller.ask_again(&append);
    assert_eq!(again.outcome, Outcome::UnknownBase { next: Seq(3) }, "decided once");
    assert!(again.duplicate);
}

#[test]
fn ct10_a_base_at_the_head_never_conflicts() {
    let (_memory, caller) = store();
    let ask = |since| caller.ask(append(vec![about(&["Emma"])]).since(Seq(since))).outcome;
    assert_eq!(numbers(&ask(0)), (1, 1));
    assert_eq!(numbers(&ask(1)), (2, 2));
    put(&caller, vec![linking(&["Emma"], &["Ann"]), effect("Ann")]);
    assert_eq!(numbers(&ask(4)), (5, 5));
}

#[test]
fn ct11_writers_at_the_same_time_get_numbers_of_their_own_and_never_a_conflict_of_numbers() {
    let memory = Memory::new(Limits::default());
    let caller = memory.with_threads(2);
    caller.bind("*", "accept-all");
    let engine = &caller.engine;
    std::thread::scope(|threads| {
        for writer in 0..4 {
            threads.spawn(move || {
                let mine = Caller::new(engine.clone());
                let name = format!("book-{writer}");
                for _ in 0..50 {
                    // Each has seen nothing of the others, and of its own key everything.
                    let seen: Vec<_> = mine.events(SCOPE);
                    let mut own = seen.iter().filter(|event| event.keys[0] == book(&name));
                    let since = own.next_back().map_or(Seq::ZERO, |event| event.seq);
                    let append = append(vec![about(&[&name])]).since(since);
                    numbers(&mine.ask(append).outcome);
                }
            });
        }
    });
    assert_eq!(head(&caller), 200);
    assert!(caller.engine.close(Duration::from_secs(30)));
}

#[test]
fn ct12_an_older_base_without_a_conflict_is_committed_with_the_next_number() {
    let (_memory, caller) = store();
    put(&caller, vec![about(&["Emma"]), about(&["Persuasion"])]);
    let outcome = caller.ask(append(vec![about(&["Emma"])]).since(Seq(1))).outcome;
    assert_eq!(numbers(&outcome), (3, 3));
}

#[test]
fn ct14_a_conflict_tells_ours_theirs_and_the_key_and_stores_nothing() {
    let (_memory, caller) = store();
    put(&caller, vec![about(&["Persuasion"]), about(&["Emma"]), about(&["Emma"])]);
    let outcome = caller.ask(append(vec![about(&["Emma"])]).since(Seq(1))).outcome;
    let Outcome::Conflict { accepted: 0, conflicts } = outcome else { panic!("{outcome:?}") };
    let theirs = Box::new(caller.events(SCOPE)[1].clone());
    let (index, ours, key, trigger) = (Some(0), Seq(4), book("Emma"), None);
    assert_eq!(conflicts, [Conflict { index, ours, key, trigger, theirs }]);
    assert_eq!(head(&caller), 3);
}

#[test]
fn ct15_a_conflict_that_is_resolved_is_committed() {
    let (_memory, caller) = store();
    put(&caller, vec![about(&["Emma"]), about(&["Emma"]), about(&["Persuasion"])]);
    let ask = |resolved: &[u64]| {
        let append = append(vec![about(&["Emma"])]).since(Seq::ZERO);
        caller.ask(append.resolved(resolved.iter().map(|seq| Seq(*seq)))).outcome
    };
    assert_eq!(conflicts(&ask(&[])).1, [(Some(0), 4, 1)]);
    assert_eq!(conflicts(&ask(&[1])).1, [(Some(0), 4, 2)]);
    // In any order, with numbers that are unknown, of other keys, or there twice.
    assert_eq!(numbers(&ask(&[77, 2, 3, 1, 2])), (4, 4));
}

#[test]
fn ct16_several_events_are_numbered_in_order() {
    let (_memory, caller) = store();
    let outcome = caller.ask(append(vec![about(&["Emma"]), about(&["Emma"])]).since(Seq(0)));
    // Two events of one append about one key do not conflict with each other (C13).
    assert_eq!(numbers(&outcome.outcome), (1, 2));
}

#[test]
fn ct17_a_conflict_of_the_third_leaves_a_prefix_of_two_that_is_not_stored() {
    let (_memory, caller) = store();
    put(&caller, vec![about(&["Emma"])]);
    let proposals = ["Persuasion", "Sanditon", "Emma", "Emma"].map(|id| about(&[id])).to_vec();
    let outcome = caller.ask(append(proposals).since(Seq::ZERO)).outcome;
    assert_eq!(conflicts(&outcome), (2, vec![(Some(2), 4, 1)]));
    assert_eq!(head(&caller), 1);
}

#[test]
fn ct19_a_dry_run_gives_the_same_answer_and_keeps_nothing() {
    let (mut memory, caller) = store();
    put(&caller, vec![about(&["Emma"])]);
    let twice = |since| append(vec![about(&["Emma"]), effect("Ann")]).since(Seq(since));
    let dry = twice(1).dry_run();
    let told = caller.ask(dry.clone()).outcome;
    let Outcome::Committed(would) = told.clone() else { panic!("{told:?}") };
    assert_eq!((would.first.position, would.last.position), (Position(0), Position(0)));
    assert_eq!((head(&caller), caller.query(SCOPE, "x").0), (1, Seq(1)));
    // Not remembered: asked again it is judged again, and the same id may be stored.
    let again = caller.ask_again(&dry);
    assert_eq!((again.outcome, again.duplicate), (told, false));
    let real = Append { dry_run: false, repeated: true, ..dry };
    let Answer { outcome, duplicate: false } = caller.ask(real) else { panic!() };
    let Outcome::Committed(is) = outcome else { panic!("{outcome:?}") };
    assert_eq!((is.first.seq, is.last.seq, is.hash), (would.first.seq, would.last.seq, would.hash));
    // And refusals likewise.
    let ask = |append: Append| caller.ask(append).outcome;
    assert_eq!(conflicts(&ask(twice(0).dry_run())), (0, vec![(Some(0), 4, 1)]));
    assert_eq!(ask(twice(9).dry_run()), Outcome::UnknownBase { next: Seq(4) });
    let elsewhere = ExpectedHead::Exactly(Seq(1));
    let mismatch = ask(Append { expected_head: elsewhere, ..twice(3).dry_run() });
    assert_eq!(mismatch, Outcome::HeadMismatch { expected: elsewhere, actual: Seq(3) });
    memory.crash(1);
    assert_eq!(head(&memory.by_hand()), 3);
}

#[test]
fn ct20_the_number_of_a_scope_is_that_of_its_last_event() {
    let (_memory, caller) = store();
    assert!(caller.engine.show_scope(&scope(SCOPE)).unwrap().is_none());
    put(&caller, vec![about(&["Emma"]), effect("Ann")]);
    assert_eq!(caller.engine.show_scope(&scope(SCOPE)).unwrap().unwrap().head, Seq(2));
}

/// CT21, CT22 and the case of several conflicts, which is not in that suite.
#[test]
fn ct21_all_conflicts_of_a_key_are_listed_in_order() {
    let (_memory, caller) = store();
    let list = |since: u64, key: &str| {
        let append = append(vec![about(&[key])]).since(Seq(since)).all_conflicts().dry_run();
        match caller.ask(append).outcome {
            Outcome::Committed(_) => Vec::new(),
            outcome => conflicts(&outcome).1.iter().map(|(_, _, theirs)| *theirs).collect(),
        }
    };
    put(&caller, vec![linking(&["Emma"], &["Ann"]), effect("Ann"), about(&["Persuasion"])]);
    put(&caller, vec![effect("Bob"), about(&["Emma"]), effect("Ann")]);
    assert_eq!(list(0, "Emma"), [1, 2, 5, 6]);
    assert_eq!(list(1, "Emma"), [2, 5, 6]);
    assert_eq!(list(5, "Emma"), [6]);
    assert_eq!(list(0, "Persuasion"), [3]);
    assert_eq!(list(3, "Persuasion"), [0; 0]);
    assert_eq!(list(0, "Sanditon"), [0; 0]);
}

#[test]
fn all_conflicts_are_told_proposal_by_proposal_and_watched_keys_come_first() {
    let (_memory, caller) = store();
    put(&caller, vec![about(&["Emma", "Sanditon"]), about(&["Persuasion"]), about(&["Emma"])]);
    let all = append(vec![about(&["Sanditon"]), about(&["x"]), about(&["Persuasion", "Emma"])])
        .since(Seq::ZERO)
        .watch([book("Persuasion")])
        .all_conflicts();
    let told = caller.ask(all.clone()).outcome;
    let expected =
        vec![(None, 4, 2), (Some(0), 4, 1), (Some(2), 6, 1), (Some(2), 6, 2), (Some(2), 6, 3)];
    assert_eq!(conflicts(&told), (0, expected.clone()));
    // The first of all is the one that is told otherwise.
    let mut first = append(all.proposals.clone()).since(Seq::ZERO).watch([book("Persuasion")]);
    assert_eq!(conflicts(&caller.ask(first.clone()).outcome), (0, expected[..1].to_vec()));
    first.condition.as_mut().unwrap().keys.clear();
    first.id = append(Vec::new()).id;
    assert_eq!(conflicts(&caller.ask(first).outcome), (0, expected[1..2].to_vec()));
}

#[test]
fn a_key_that_nobody_wrote_can_be_watched_without_writing_it() {
    let (_memory, caller) = store();
    let ask = |since| {
        let append = append(vec![about(&["Emma"])]).since(Seq(since)).watch([book("Sanditon")]);
        caller.ask(append).outcome
    };
    assert_eq!(numbers(&ask(0)), (1, 1));
    put(&caller, vec![about(&["Sanditon"])]);
    assert_eq!(conflicts(&ask(1)), (0, vec![(None, 3, 2)]));
    assert_eq!(numbers(&ask(2)), (3, 3));
}

#[test]
fn ct28_a_closed_store_takes_nothing() {
    let (_memory, caller) = store();
    put(&caller, vec![about(&["Emma"])]);
    assert!(!caller.engine.close(Duration::ZERO), "loops still have to save");
    for append in [append(vec![about(&["Emma"])]), append(vec![effect("Ann")]).dry_run()] {
        assert!(matches!(caller.ask(append).outcome, Outcome::ReadOnly { .. }));
    }
}

/// CT30 and CT31, CT33 and CT34: what was committed is there, what was not leaves no trace.
#[test]
fn ct30_what_is_committed_counts_after_a_restart_and_what_is_refused_never_does() {
    let (mut memory, caller) = store();
    put(&caller, vec![about(&["Emma"])]);
    assert!(matches!(
        caller.ask(append(vec![about(&["Sanditon"]), about(&["Emma"])]).since(Seq(0))).outcome,
        Outcome::Conflict { .. }
    ));
    numbers(&caller.ask(append(vec![about(&["Sanditon"])]).since(Seq(1)).dry_run()).outcome);
    for restarted in [false, true] {
        let caller = if restarted {
            memory.crash(1);
            memory.by_hand()
        } else {
            Caller::by_hand(caller.engine.clone(), &memory.hands)
        };
        let ask = |key: &str| caller.ask(append(vec![about(&[key])]).since(Seq(0)).dry_run());
        assert_eq!(numbers(&ask("Sanditon").outcome), (2, 2));
        assert_eq!(conflicts(&ask("Emma").outcome).1, [(Some(0), 2, 1)]);
    }
}

/// CT32: the next number counts what is on its way.
#[test]
fn ct32_the_next_number_is_one_more_than_what_is_accepted_and_not_durable() {
    let (memory, caller) = store();
    let first = caller.send(append(vec![about(&["Emma"])]));
    let second = caller.send(append(vec![about(&["Sanditon"])]).since(Seq(0)));
    let third = caller.send(append(vec![about(&["Emma"])]).since(Seq(0)));
    let ahead = caller.send(append(vec![about(&["Emma"])]).since(Seq(3)));
    memory.hands.decide();
    for call in [first, second, third, ahead] {
        assert_eq!(caller.inbox.answer(call), None, "told before it is durable");
    }
    assert_eq!(numbers(&caller.wait(first).outcome), (1, 1));
    assert_eq!(numbers(&caller.wait(second).outcome), (2, 2));
    let told = caller.wait(third).outcome;
    assert_eq!(conflicts(&told), (0, vec![(Some(0), 3, 1)]));
    let Outcome::Conflict { conflicts, .. } = told else { panic!() };
    assert_eq!(*conflicts[0].theirs, caller.events(SCOPE)[0], "with its position");
    assert_eq!(caller.wait(ahead).outcome, Outcome::UnknownBase { next: Seq(3) });
}

/// CT35 to CT37: which events and effects are found.
#[test]
fn ct35_later_events_and_effects_are_found_unless_resolved_seen_or_of_other_keys() {
    let (mut memory, mut caller) = store();
    put(&caller, vec![linking(&["Emma"], &["Ann", "Bob"]), linking(&["Sanditon"], &["Cid"])]);
    put(&caller, vec![about(&["Emma"]), effect("Cid"), effect("Bob"), about(&["Sanditon"])]);
    // Since, resolved, and what is found.
    let cases: [(u64, &[u64], Option<u64>); 8] = [
        (0, &[], Some(1)),
        (1, &[], Some(3)),
        (1, &[3], Some(5)),
        (3, &[], Some(5)),
        (0, &[1], Some(3)),
        (0, &[1, 3, 5], None),
        (5, &[], None),
        (4, &[5], None),
    ];
    for restarted in [false, true] {
        for (since, resolved, found) in cases {
            let append = append(vec![about(&["Emma"])]).since(Seq(since)).dry_run();
            let append = append.resolved(resolved.iter().map(|seq| Seq(*seq)));
            match (caller.ask(append).outcome, found) {
                (Outcome::Committed(_), None) => {}
                (told, Some(theirs)) => {
                    let case = format!("{since} {resolved:?} {restarted}");
                    assert_eq!(conflicts(&told).1, [(Some(0), 7, theirs)], "{case}");
                    let Outcome::Conflict { conflicts, .. } = told else { panic!() };
                    let trigger = (theirs == 5).then(|| person("Bob"));
                    assert_eq!(
                        (&conflicts[0].key, &conflicts[0].trigger),
                        (&book("Emma"), &trigger)
                    );
                }
                (told, None) => panic!("{since} {resolved:?}: {told:?}"),
            }
        }
        memory.crash(1);
        caller = memory.by_hand();
    }
}

/// Not in that suite: a trigger that is linked after the effect.
#[test]
fn an_effect_concerns_a_key_that_is_linked_before_since_and_one_that_is_linked_after_the_effect() {
    for settled in [false, true] {
        let (memory, caller) = store();
        let send = |proposals| {
            caller.send(append(proposals));
            if settled { memory.hands.settle(&caller.engine) } else { memory.hands.decide() }
        };
        send(vec![linking(&["Emma"], &["Ann"])]);
        send(vec![effect("Ann")]);
        send(vec![about(&["Sanditon"])]);
        send(vec![linking(&["Sanditon"], &["Ann"])]);
        let ask = |key: &str, since| {
            caller.ask(append(vec![about(&[key])]).since(Seq(since)).all_conflicts().dry_run())
        };
        let theirs = |key: &str, since: u64| -> Vec<u64> {
            conflicts(&ask(key, since).outcome).1.iter().map(|row| row.2).collect()
        };
        assert_eq!(theirs("Emma", 1), [2]);
        assert_eq!(theirs("Sanditon", 0), [2, 3, 4]);
        assert_eq!(theirs("Sanditon", 1), [2, 3, 4]);
        assert_eq!(theirs("Sanditon", 3), [4]);
        assert_eq!(numbers(&ask("Persuasion", 0).outcome), (5, 5));
        // The links of a key that are at hand are added to.
        send(vec![linking(&["Persuasion"], &["Ann"])]);
        assert_eq!(theirs("Persuasion", 1), [2, 5]);
    }
}

/// Not in that suite: effects among the proposals.
#[test]
fn effects_in_an_append_are_never_checked_but_count_afterwards() {
    let (_memory, caller) = store();
    put(&caller, vec![linking(&["Emma"], &["Ann"])]);
    put(&caller, vec![effect("Ann")]);
    let only_effects = append(vec![effect("Ann"), effect("Bob")]).since(Seq(0));
    assert_eq!(numbers(&caller.ask(only_effects).outcome), (3, 4));
    let mixed = append(vec![effect("Ann"), about(&["Sanditon"])]).since(Seq(0));
    assert_eq!(numbers(&caller.ask(mixed).outcome), (5, 6));
    let outcome = caller.ask(append(vec![about(&["Emma"])]).since(Seq(4))).outcome;
    assert_eq!(conflicts(&outcome).1, [(Some(0), 7, 5)]);
}

/// Not in that suite, whose store kept whole seconds.
#[test]
fn times_keep_their_milliseconds() {
    let (_memory, caller) = store();
    let at = |caller_ms| Proposal { caller_ms: Some(caller_ms), ..about(&["Emma"]) };
    put(&caller, vec![at(1_700_000_000_123), at(1_700_000_000_124)]);
    let outcome = caller.ask(append(vec![about(&["Emma"])]).since(Seq(1))).outcome;
    let Outcome::Conflict { conflicts, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(conflicts[0].theirs.caller_ms, Some(1_700_000_000_124));
}

/// Trap 30: ids are typed and compare as they are.
#[test]
fn keys_compare_byte_by_byte_with_their_kind() {
    let (_memory, caller) = store();
    put(&caller, vec![about(&["1"])]);
    for other in [book("01"), book("1 "), Key::new("Book", "1"), Key::new("boo", "k1")] {
        let proposal = Proposal { keys: vec![other.clone()], ..about(&[]) };
        let told = caller.ask(append(vec![proposal]).since(Seq(0)).dry_run()).outcome;
        assert_eq!(numbers(&told), (2, 2), "{other}");
    }
    // A trigger of the same text is another thing.
    let effect = Proposal::effect("e", book("1"), "{}");
    put(&caller, vec![effect]);
    let told = caller.ask(append(vec![about(&["1"])]).since(Seq(1))).outcome;
    assert_eq!(numbers(&told), (3, 3));
}
