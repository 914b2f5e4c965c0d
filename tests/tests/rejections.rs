//! The journal of rejections: what goes in, what it holds, how much of it is kept.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_core::{
    Append, Digest, ExpectedHead, JointAppend, Key, Limits, Outcome, Part, Proposal, Rejection,
    Seq, codec,
};
use atomic_store_tests::{Caller, Got, Memory, append_to, scope};
use std::sync::Arc;

fn all(caller: &Caller) -> Vec<Rejection> {
    caller.engine.rejections(None, 0, u64::MAX).unwrap()
}

fn numbers(caller: &Caller) -> Vec<u64> {
    all(caller).iter().map(|entry| entry.number).collect()
}

fn emma(payload: &str) -> Append {
    let mut append = append_to("s/1", &[payload]);
    append.proposals[0].keys.push(Key::new("book", "Emma"));
    append
}

#[test]
fn a_fault_is_journaled_once_with_its_fields_and_accepted_appends_are_not() {
    let (_memory, caller) = Memory::ruled(Limits::default());
    caller.store("s/1", &["add 10"]);
    assert!(all(&caller).is_empty());
    let trapped = append_to("s/1", &["trap"]);
    let answer = caller.ask(trapped.clone());
    assert!(matches!(answer.outcome, Outcome::Faulted(_)));
    assert!(caller.ask_again(&trapped).duplicate);
    caller.ask(append_to("s/1", &["trap"]).dry_run());
    let entries = all(&caller);
    assert_eq!(entries.len(), 1, "{entries:?}");
    let entry = &entries[0];
    assert_eq!((entry.number, &entry.scope, entry.head), (1, &scope("s/1"), Seq(1)));
    assert_eq!((entry.previous, entry.previous_of_scope), (0, 0));
    assert_eq!((&entry.outcome, entry.append_id), (&answer.outcome, trapped.id));
    let judge = entry.judge.as_ref().unwrap();
    let binding = &caller.engine.validators().1[0];
    assert_eq!((judge.validator, judge.binding), (binding.validator, binding.seq));
    assert_eq!((judge.name.as_str(), entry.host_ms), ("scripted@1.0.0", 1_000_000));
    let payloads = trapped.proposals.iter().map(|one| one.payload.as_slice());
    assert_eq!(entry.payload_hash, Digest::of_parts(payloads));
    assert_eq!((&entry.proposals, entry.kinds.as_slice()), (&None, &["op".to_owned()][..]));
    let counts = caller.engine.count_rejections(Some(&scope("s/1")));
    assert_eq!((counts[0].outcome.as_str(), counts[0].code.as_str()), ("faulted", "trap"));
    assert_eq!(counts[0].count, 1);
    assert!(caller.engine.count_rejections(Some(&scope("s/2"))).is_empty());
}

#[test]
fn whatever_a_scope_decided_against_is_journaled_and_nothing_else() {
    let (_memory, caller) = Memory::ruled(Limits::default());
    caller.ask(emma("add 3"));
    let elsewhere =
        Append { expected_head: ExpectedHead::Exactly(Seq(7)), ..append_to("s/1", &["add 9"]) };
    let cases = [
        (append_to("s/1", &["refuse"]), "rejected", "as-asked", true),
        (emma("add 9").since(Seq(0)), "conflict", "key", false),
        (append_to("s/1", &["add 9"]).since(Seq(8)), "unknown-base", "", false),
        (elsewhere, "head-mismatch", "", false),
        (append_to("s/1", &["slow"]), "timed-out", "", true),
        (append_to("s/1", &["trap-in-apply"]), "faulted", "trap", true),
        (append_to("s/1", &["lie"]), "faulted", "bad-output", true),
    ];
    for (n, (append, word, code, judged)) in (1..).zip(cases) {
        let outcome = caller.ask(append.clone()).outcome;
        assert_eq!(outcome.word(), word);
        let entry = all(&caller).pop().unwrap();
        assert_eq!((entry.number, entry.append_id, entry.head), (n, append.id, Seq(1)), "{word}");
        assert_eq!((entry.outcome.word(), entry.code()), (word, code));
        assert_eq!(entry.judge.is_some(), judged, "{word}");
        match (&entry.outcome, &outcome) {
            (Outcome::Conflict { conflicts: kept, .. }, Outcome::Conflict { conflicts, .. }) => {
                assert_eq!((kept[0].theirs.seq, &kept[0].key), (Seq(1), &conflicts[0].key));
                assert!(
                    kept[0].theirs.payload.is_empty() && !conflicts[0].theirs.payload.is_empty()
                );
            }
            _ => assert_eq!(entry.outcome, outcome),
        }
    }
    assert_eq!(numbers(&caller), (1..=7).collect::<Vec<_>>());
    // None of these was decided by a scope, or was against it.
    caller.store("s/1", &["add 9"]);
    caller.ask(append_to("s/1", &["noop"]));
    caller.ask(append_to("s/1", &[]));
    caller.ask(append_to("unbound", &["x"]));
    caller.engine.seal_scope(&scope("s/1"), "over").unwrap();
    assert_eq!(caller.append("s/1", &["refuse"]).word(), "read-only");
    assert_eq!(all(&caller).len(), 7);
}

#[test]
fn what_was_not_taken_for_lack_of_room_is_not_journaled() {
    let limits = Limits { in_flight_appends_max: 1, ..Limits::default() };
    let (memory, caller) = Memory::ruled(limits);
    let first = caller.send(append_to("s/1", &["refuse"]));
    assert_eq!(caller.ask(append_to("s/1", &["refuse"])).outcome.word(), "overloaded");
    memory.hands.settle(&caller.engine);
    assert_eq!(caller.wait(first).outcome.word(), "rejected");
    assert_eq!(all(&caller).len(), 1);
}

#[test]
fn of_a_joint_append_the_scope_that_refused_is_named() {
    let (memory, caller) = Memory::ruled(Limits::default());
    let part = |name: &str, payload: &str| {
        let Append { scope, expected_head, condition, proposals, .. } = append_to(name, &[payload]);
        Part { scope, expected_head, condition, proposals }
    };
    let id = append_to("s/1", &[]).id;
    let parts = vec![part("s/1", "add 1"), part("s/2", "refuse")];
    let joint = JointAppend { id, repeated: false, dry_run: false, parts };
    caller.engine.append_joint(joint, &(Arc::clone(&caller.inbox) as _), 900);
    memory.hands.settle(&caller.engine);
    assert!(matches!(caller.inbox.take(900), Some(Got::Joint(_))));
    let entries = all(&caller);
    assert_eq!(entries.len(), 1);
    assert_eq!((&entries[0].scope, entries[0].append_id), (&scope("s/2"), id));
    let of = |name: &str| caller.engine.rejections(Some(&scope(name)), 0, 9).unwrap().len();
    assert_eq!((of("s/1"), of("s/2")), (0, 1));
}

#[test]
fn payloads_are_kept_only_when_told_and_only_if_they_leave_room() {
    let limits = Limits { rejections_scope_bytes_max: 2_000, ..Limits::default() };
    let (_memory, caller) = Memory::ruled(limits);
    caller.engine.keep_rejected_payloads(true);
    // A proposal's kind counts, too.
    for (bytes, kept) in [(10, true), (1_998, true), (1_999, false)] {
        let mut append = append_to("s/1", &[]);
        append.proposals.push(Proposal::json("op", vec![b'x'; bytes]));
        caller.ask(append.clone());
        let entry = all(&caller).pop().unwrap();
        assert_eq!(entry.proposals, kept.then_some(append.proposals), "{bytes}");
    }
}

#[test]
fn a_refusal_is_not_seen_before_its_group_is_durable() {
    let (memory, caller) = Memory::ruled(Limits::default());
    let follower = caller.engine.watch_rejections();
    let call = caller.send(append_to("s/1", &["trap"]));
    memory.hands.decide();
    assert!(all(&caller).is_empty() && caller.engine.count_rejections(None).is_empty());
    assert!(!follower.has_changed().unwrap());
    assert_eq!(caller.wait(call).outcome.word(), "faulted");
    assert_eq!((all(&caller).len(), *follower.borrow()), (1, 1));
    assert!(follower.has_changed().unwrap());
}

#[test]
fn the_journal_keeps_its_number_of_a_scope_and_in_all() {
    let limits = Limits { rejections_scope_max: 2, rejections_max: 3, ..Limits::default() };
    let (_memory, caller) = Memory::ruled(limits);
    caller.append("s/1", &["trap"]);
    caller.append("s/1", &["trap"]);
    assert_eq!(numbers(&caller), [1, 2]);
    caller.append("s/1", &["trap"]);
    assert_eq!(numbers(&caller), [2, 3]);
    caller.append("s/2", &["trap"]);
    assert_eq!(numbers(&caller), [2, 3, 4]);
    caller.append("s/2", &["trap"]);
    assert_eq!(numbers(&caller), [3, 4, 5]);
    let page = caller.engine.rejections(Some(&scope("s/2")), 4, 10).unwrap();
    assert_eq!(page.iter().map(|entry| entry.number).collect::<Vec<_>>(), [5]);
    let counts = caller.engine.count_rejections(None);
    assert_eq!((counts.len(), counts[0].count), (1, 3));
}

#[test]
fn the_journal_keeps_its_bytes_of_a_scope_and_in_all() {
    // As on disk: with a byte for the version.
    let bytes = |entry: &Rejection| codec::encode(entry).unwrap().len() + 1;
    let (_memory, probe) = Memory::ruled(Limits::default());
    probe.append("s/1", &["trap"]);
    let one = bytes(&all(&probe)[0]);
    let of_scope = |max| Limits { rejections_scope_bytes_max: max, ..Limits::default() };
    let in_all = |max| Limits { rejections_bytes_max: max, ..Limits::default() };
    let cases = [
        (of_scope(2 * one), [vec![1, 2], vec![2, 3], vec![2, 3, 4]]),
        (of_scope(2 * one - 1), [vec![2], vec![3], vec![3, 4]]),
        (in_all(2 * one), [vec![1, 2], vec![2, 3], vec![3, 4]]),
        (in_all(2 * one - 1), [vec![2], vec![3], vec![4]]),
        // The newest is kept, however large it is.
        (of_scope(1), [vec![2], vec![3], vec![3, 4]]),
        (in_all(1), [vec![2], vec![3], vec![4]]),
    ];
    for (limits, [second, third, other]) in cases {
        let (_memory, caller) = Memory::ruled(limits);
        caller.append("s/1", &["trap"]);
        assert_eq!(numbers(&caller), [1]);
        caller.append("s/1", &["trap"]);
        assert_eq!(numbers(&caller), second);
        caller.append("s/1", &["trap"]);
        assert_eq!(numbers(&caller), third);
        caller.append("s/2", &["trap"]);
        assert_eq!(numbers(&caller), other);
        assert!(all(&caller).iter().all(|entry| bytes(entry) == one));
    }
}

#[test]
fn a_page_holds_its_entries_and_its_bytes_and_at_least_one() {
    let read = |limits: Limits| {
        let (_memory, caller) = Memory::ruled(limits);
        for _ in 0..5 {
            caller.append("s/1", &["trap"]);
        }
        let (mut pages, mut after) = (Vec::new(), 0);
        loop {
            let page = caller.engine.rejections(None, after, u64::MAX).unwrap();
            let Some(last) = page.last() else { break pages };
            (after, _) = (last.number, pages.push(page.len()));
        }
    };
    assert_eq!(read(Limits::default()), [5]);
    assert_eq!(read(Limits { page_events_max: 2, ..Limits::default() }), [2, 2, 1]);
    assert_eq!(read(Limits { page_bytes_max: 1, ..Limits::default() }), [1; 5]);
    let (_memory, caller) = Memory::ruled(Limits::default());
    caller.append("s/1", &["trap"]);
    assert!(caller.engine.rejections(None, 0, 0).unwrap().is_empty());
}

#[test]
fn numbers_do_not_come_again_after_a_crash() {
    let (mut memory, caller) = Memory::ruled(Limits::default());
    for _ in 0..5 {
        caller.append("s/1", &["trap"]);
    }
    let mut seen = numbers(&caller);
    let mut lost = 0;
    for seed in 0..8 {
        memory.crash(seed);
        let caller = memory.by_hand();
        let left = numbers(&caller);
        assert!(left.iter().all(|number| seen.contains(number)), "{left:?} of {seen:?}");
        lost += usize::from(left.last() != seen.last());
        caller.append("s/1", &["trap"]);
        let next = all(&caller).pop().unwrap();
        assert!(next.number > *seen.last().unwrap());
        assert_eq!(next.previous, left.last().copied().unwrap_or(0));
        seen.push(next.number);
    }
    assert!(lost > 0, "no crash lost an entry");
}
