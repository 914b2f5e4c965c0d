//! What an append may ask for, and what decides it: the expected head, all or nothing, one decision
//! per id, and the validator that the most specific pattern names.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::{ACCEPT_ALL, accept_all_digest};
use atomic_store_core::{Answer, Append, ExpectedHead, Limits, Outcome, ScopePattern, Seq};
use atomic_store_tests::{Caller, Disk, Memory, SCRIPTED, append_to, guest, scope, wat_rules};

const EXACTLY: fn(u64) -> ExpectedHead = |n| ExpectedHead::Exactly(Seq(n));

fn committed_at(answer: &Answer) -> (Seq, Seq) {
    match &answer.outcome {
        Outcome::Committed(committed) => (committed.first.seq, committed.last.seq),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_append_is_taken_at_the_head_it_expects_and_at_no_other() {
    // The head, what is expected, and whether that fits.
    let cases = [
        (0, ExpectedHead::Any, true),
        (0, EXACTLY(0), true),
        (0, EXACTLY(1), false),
        (2, ExpectedHead::Any, true),
        (2, EXACTLY(0), false),
        (2, EXACTLY(1), false),
        (2, EXACTLY(2), true),
        (2, EXACTLY(3), false),
        (2, EXACTLY(u64::MAX), false),
    ];
    for reopened in [false, true] {
        for (head, expected_head, fits) in cases {
            let (mut memory, mut caller) = Memory::ruled(Limits::default());
            for _ in 0..head {
                caller.store("s/1", &["add 10"]);
            }
            if reopened {
                memory.crash(1);
                caller = memory.by_hand();
            }
            let append = Append { expected_head, ..append_to("s/1", &["add 20"]) };
            let outcome = caller.ask(append).outcome;
            if fits {
                assert!(matches!(outcome, Outcome::Committed(_)), "{expected_head:?} at {head}");
            } else {
                let (expected, actual) = (expected_head, Seq(head));
                assert_eq!(outcome, Outcome::HeadMismatch { expected, actual });
                assert_eq!(caller.events("s/1").len() as u64, head);
            }
        }
    }
}

#[test]
fn of_two_appends_that_expect_the_same_head_one_is_taken() {
    let (_memory, caller) = Memory::ruled(Limits::default());
    let append = || Append { expected_head: EXACTLY(0), ..append_to("s/1", &["add 10"]) };
    // The first is not durable yet when the second is judged.
    let (first, second) = (caller.send(append()), caller.send(append()));
    assert_eq!(committed_at(&caller.wait(first)), (Seq(1), Seq(1)));
    let (expected, actual) = (EXACTLY(0), Seq(1));
    assert_eq!(caller.wait(second).outcome, Outcome::HeadMismatch { expected, actual });
}

#[test]
fn a_batch_is_judged_member_by_member_and_stored_whole_or_not_at_all() {
    let disk = Disk::new(Limits::default());
    let caller = disk.caller();
    caller.rule("auction/*", &guest("auction"));
    let bid = |amount: u64| format!(r#"{{"bidder":"ann","amount":{amount}}}"#);
    let bids = |amounts: &[u64]| {
        let payloads: Vec<_> = amounts.iter().map(|amount| bid(*amount)).collect();
        let payloads: Vec<_> = payloads.iter().map(String::as_str).collect();
        let mut append = append_to("auction/1", &payloads);
        append.proposals.iter_mut().for_each(|proposal| proposal.kind = "bid".to_owned());
        append
    };
    assert_eq!(committed_at(&caller.ask(bids(&[10, 20, 30]))), (Seq(1), Seq(3)));
    // Each alone would do after 30; the third is too low after the second.
    match caller.ask(bids(&[40, 60, 50, 70])).outcome {
        Outcome::Rejected(refusal) => {
            assert_eq!((refusal.index, &*refusal.reasons[0].code), (2, "too-low"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(caller.events("auction/1").len(), 3);
    assert_eq!(committed_at(&caller.ask(bids(&[40]))), (Seq(4), Seq(4)), "40 was not kept either");
    assert_eq!(committed_at(&caller.ask(bids(&[50, 60]))), (Seq(5), Seq(6)));
    let events = caller.events("auction/1");
    assert_eq!(events[4].append_id, events[5].append_id);
    assert_ne!(events[3].append_id, events[4].append_id);
}

#[test]
fn an_id_is_decided_once_in_flight_after_the_commit_and_after_a_restart() {
    // What is asked for, and its outcome.
    let cases = [
        ("add 20", "committed"),
        ("ones 2", "committed"),
        ("refuse", "rejected"),
        ("trap", "faulted"),
        ("slow", "timed-out"),
        ("noop", "noop"),
    ];
    for (payload, word) in cases {
        let (mut memory, caller) = Memory::ruled(Limits::default());
        caller.store("s/1", &["add 10"]);
        let append = append_to("s/1", &[payload]);
        let first = caller.send(append.clone());
        memory.hands.decide();
        let in_flight = caller.send(Append { repeated: true, ..append.clone() });
        memory.hands.decide();
        assert_eq!(
            caller.inbox.answer(in_flight),
            None,
            "{payload}: answered before it is durable"
        );
        let first = caller.wait(first);
        assert_eq!((first.outcome.word(), first.duplicate), (word, false), "{payload}");
        let again = Answer { duplicate: true, ..first };
        assert_eq!(caller.wait(in_flight), again, "{payload}: in flight");
        let stored = caller.events("s/1");
        // Other events must not change the answer.
        caller.store("s/1", &["add 19"]);
        assert_eq!(caller.ask_again(&append), again, "{payload}: after the commit");
        memory.crash(u64::MAX);
        let caller = memory.by_hand();
        let restarted = caller.ask_again(&append);
        if word == "committed" {
            assert_eq!(restarted, again, "{payload}: after a restart");
        } else {
            // Only the operating system had it; a crash of the machine may take it, and then it is
            // judged anew.
            assert_eq!(restarted.outcome.word(), word, "{payload}: after a restart");
        }
        assert_eq!(caller.events("s/1")[..stored.len()], stored);
        assert_eq!(caller.events("s/1").len(), stored.len() + 1, "{payload}");
    }
}

#[test]
fn on_disk_every_decision_outlives_the_process() {
    let disk = Disk::new(Limits::default());
    let mut caller = disk.caller();
    caller.rule("*", &wat_rules("1.0.0"));
    let appends = ["m x", "r x", "t", "0"].map(|payload| append_to("s/1", &[payload]));
    let first: Vec<_> = appends.iter().map(|append| caller.ask(append.clone())).collect();
    let words: Vec<_> = first.iter().map(|answer| answer.outcome.word()).collect();
    assert_eq!(words, ["committed", "rejected", "faulted", "rejected"]);
    for _ in 0..2 {
        drop(caller);
        caller = disk.caller();
        for (append, first) in appends.iter().zip(&first) {
            let again = Answer { duplicate: true, ..first.clone() };
            assert_eq!(caller.ask_again(append), again);
        }
    }
    assert_eq!(caller.payloads("s/1"), ["m x"]);
}

#[test]
fn an_id_belongs_to_its_scope() {
    let (_memory, caller) = Memory::ruled(Limits::default());
    let append = append_to("s/1", &["add 10"]);
    assert!(!caller.ask_again(&append).duplicate, "never seen");
    let other = Append { scope: scope("s/2"), ..append.clone() };
    let answer = caller.ask_again(&other);
    assert!(!answer.duplicate, "another scope's id");
    assert_eq!(committed_at(&answer), (Seq(1), Seq(1)));
    assert!(caller.ask_again(&append).duplicate && caller.ask_again(&other).duplicate);
    assert_eq!((caller.events("s/1").len(), caller.events("s/2").len()), (1, 1));
}

#[test]
fn an_id_is_remembered_for_as_long_as_promised() {
    let window = 60_000;
    let (memory, caller) = Memory::ruled(Limits { append_id_ms: window, ..Limits::default() });
    let append = append_to("s/1", &["add 10"]);
    caller.ask(append.clone());
    let start = 1_000_000;
    memory.clock.set(start + window);
    assert!(caller.ask_again(&append).duplicate, "at the end of the window");
    assert_eq!(caller.events("s/1").len(), 1);
    // Ids are forgotten some at a time, so it may take longer, but not for ever.
    memory.clock.set(start + 3 * window);
    assert!(!caller.ask_again(&append).duplicate, "long after the window");
    assert_eq!(caller.events("s/1").len(), 2);
}

#[test]
fn a_scope_without_a_validator_refuses_appends_and_says_so() {
    let (_memory, caller) = Memory::ruled(Limits::default());
    let append = append_to("other/1", &["add 10"]);
    match caller.ask(append.clone()).outcome {
        Outcome::Invalid { field, why } => {
            assert_eq!(field, "scope");
            assert!(why.contains("other/1") && why.contains("bind"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    caller.bind("other/*", ACCEPT_ALL);
    let answer = caller.ask_again(&append);
    assert!(!answer.duplicate, "that was no decision");
    assert_eq!(committed_at(&answer), (Seq(1), Seq(1)));
}

fn last_judge(caller: &Caller, name: &str) -> (atomic_store_core::Digest, Seq) {
    let event = caller.events(name).pop().unwrap();
    (event.validator, event.binding)
}

#[test]
fn the_most_specific_pattern_judges_and_every_event_names_it() {
    let memory = Memory::new(Limits::default());
    let caller = memory.by_hand();
    let everything = caller.bind("*", ACCEPT_ALL);
    let lots = caller.rule("lot/*", SCRIPTED);
    let one = caller.bind("lot/1", ACCEPT_ALL);
    for (name, binding) in [("x", &everything), ("lot/2", &lots), ("lot/1", &one)] {
        caller.store(name, &["add 10"]);
        assert_eq!(last_judge(&caller, name), (binding.validator, binding.seq), "{name}");
        let info = caller.engine.show_scope(&scope(name)).unwrap().unwrap();
        assert_eq!(info.binding.as_ref(), Some(binding));
    }
    assert!(matches!(caller.append("lot/2", &["refuse"]), Outcome::Rejected(_)));

    let unbind = |pattern: &str| caller.engine.unbind(&ScopePattern::new(pattern).unwrap());
    unbind("lot/1").unwrap();
    caller.store("lot/1", &["add 10"]);
    assert_eq!(last_judge(&caller, "lot/1"), (lots.validator, lots.seq));
    unbind("lot/*").unwrap();
    caller.store("lot/1", &["add 10"]);
    assert_eq!(last_judge(&caller, "lot/1"), (accept_all_digest(), everything.seq));
    unbind("*").unwrap();
    assert!(matches!(caller.append("lot/1", &["add 10"]), Outcome::Invalid { .. }));
    assert!(unbind("*").is_err(), "it is gone");
    assert_eq!(caller.events("lot/1").len(), 3);

    // A binding made again is a new one, and its validator knows the events of the time between.
    let again = caller.bind("lot/*", "scripted");
    assert!(again.seq > everything.seq);
    caller.store("lot/1", &["add 10"]);
    assert_eq!(last_judge(&caller, "lot/1"), (lots.validator, again.seq));
    assert_eq!(caller.query("lot/1", "count").1.unwrap(), b"4");
}

#[test]
fn bindings_outlive_the_process() {
    let disk = Disk::new(Limits::default());
    let caller = disk.caller();
    let all = caller.rule("*", &wat_rules("1.0.0"));
    let one = caller.rule("lot/1", &wat_rules("2.0.0"));
    assert_ne!(all.validator, one.validator);
    let gone = caller.bind("lot/2", ACCEPT_ALL);
    caller.engine.unbind(&gone.pattern).unwrap();
    drop(caller);
    let caller = disk.caller();
    assert_eq!(caller.engine.validators().1.len(), 2);
    for (name, binding) in [("lot/1", &one), ("lot/2", &all)] {
        caller.store(name, &["0"]);
        assert_eq!(last_judge(&caller, name), (binding.validator, binding.seq));
    }
}

#[test]
fn a_rebind_under_load_loses_no_append_and_each_event_names_its_judge() {
    let disk = Disk::new(Limits::default());
    let caller = disk.caller();
    let mut judges = vec![caller.rule("s/*", &wat_rules("1.0.0"))];
    caller.engine.load(&wat_rules("2.0.0")).unwrap();
    let mut calls = Vec::new();
    for round in 0..10 {
        for n in 0..200 {
            calls.push(caller.send(append_to(&format!("s/{}", n % 4), &["a"])));
        }
        if round == 0 {
            // The first is judged before the first rebind, the last ones after it.
            committed_at(&caller.wait(calls.remove(0)));
        }
        let version = if round % 2 == 0 { "2.0.0" } else { "1.0.0" };
        judges.push(caller.bind("s/*", &format!("rules@{version}")));
    }
    for call in calls {
        committed_at(&caller.wait(call));
    }
    let mut met = std::collections::BTreeSet::new();
    for n in 0..4 {
        let events = caller.events(&format!("s/{n}"));
        assert_eq!(events.len(), 500);
        let mut before = Seq::ZERO;
        for event in events {
            assert!(event.binding >= before, "an older binding judged after a newer one");
            before = event.binding;
            let judge = judges.iter().find(|judge| judge.seq == event.binding).unwrap();
            assert_eq!(event.validator, judge.validator);
            met.insert(event.binding);
        }
        assert_eq!(caller.query(&format!("s/{n}"), "count").1.unwrap(), 500_u64.to_le_bytes());
    }
    assert!(met.len() > 1, "no rebind fell between the appends");
    caller.verify();
}
