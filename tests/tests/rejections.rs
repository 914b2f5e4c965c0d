//! The journal of rejections: what goes in, what it holds, how much of it is kept.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_core::{Digest, Limits, Outcome, Rejection, Seq};
use atomic_store_tests::{Caller, Memory, append_to, scope};

fn all(caller: &Caller) -> Vec<Rejection> {
    caller.engine.rejections(None, 0, u64::MAX).unwrap()
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
    assert_eq!((&entry.outcome, entry.append_id), (&answer.outcome, trapped.id));
    assert_ne!(entry.validator, Digest::default());
    let payloads = trapped.proposals.iter().map(|one| one.payload.as_slice());
    assert_eq!(entry.payload_hash, Digest::of_parts(payloads));
    assert_eq!(entry.proposals, None);
    let counts = caller.engine.count_rejections(Some(&scope("s/1"))).unwrap();
    assert_eq!((counts[0].outcome.as_str(), counts[0].code.as_str()), ("faulted", "trap"));
    assert_eq!(counts[0].count, 1);
    assert!(caller.engine.count_rejections(Some(&scope("s/2"))).unwrap().is_empty());
}

#[test]
fn payloads_are_kept_only_when_told() {
    let (_memory, caller) = Memory::ruled(Limits::default());
    caller.engine.keep_rejected_payloads(true);
    let trapped = append_to("s/1", &["trap"]);
    caller.ask(trapped.clone());
    assert_eq!(all(&caller)[0].proposals.as_ref(), Some(&trapped.proposals));
}

#[test]
fn a_refusal_is_not_seen_before_its_group_is_durable() {
    let (memory, caller) = Memory::ruled(Limits::default());
    let call = caller.send(append_to("s/1", &["trap"]));
    memory.hands.decide();
    assert!(all(&caller).is_empty());
    assert_eq!(caller.wait(call).outcome.word(), "faulted");
    assert_eq!(all(&caller).len(), 1);
}

#[test]
fn the_journal_keeps_its_number_of_a_scope_and_in_all() {
    let limits = Limits { rejections_scope_max: 2, rejections_max: 3, ..Limits::default() };
    let (_memory, caller) = Memory::ruled(limits);
    let numbers = || all(&caller).iter().map(|entry| entry.number).collect::<Vec<_>>();
    caller.append("s/1", &["trap"]);
    caller.append("s/1", &["trap"]);
    assert_eq!(numbers(), [1, 2]);
    caller.append("s/1", &["trap"]);
    assert_eq!(numbers(), [2, 3]);
    caller.append("s/2", &["trap"]);
    assert_eq!(numbers(), [2, 3, 4]);
    caller.append("s/2", &["trap"]);
    assert_eq!(numbers(), [3, 4, 5]);
    let page = caller.engine.rejections(Some(&scope("s/2")), 4, 10).unwrap();
    assert_eq!(page.iter().map(|entry| entry.number).collect::<Vec<_>>(), [5]);
}
