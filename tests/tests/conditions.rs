//! Conditions and dry runs beyond what coherence had: with validators, ids, caps, and damage.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod library;

use atomic_store_core::{Append, ExpectedHead, Limits, Outcome, Proposal, Seq};
use atomic_store_tests::{Memory, append_to, scope};
use library::*;

#[test]
fn a_conflict_is_decided_once_in_flight_after_the_commit_and_after_a_restart() {
    let (mut memory, caller) = store();
    let large = Proposal { payload: vec![b'1'; 20_000], ..about(&["Emma"]) };
    put(&caller, vec![large, about(&["Emma"])]);
    let conflicting = append(vec![about(&["Emma"])]).since(Seq(0)).all_conflicts();
    let first = caller.ask(conflicting.clone()).outcome;
    assert_eq!(conflicts(&first).1, [(Some(0), 3, 1), (Some(0), 3, 2)]);
    put(&caller, vec![about(&["Emma"])]);
    let again = caller.ask_again(&conflicting);
    assert!(again.duplicate);
    assert_eq!(again.outcome, first);
    memory.crash(3);
    let again = memory.by_hand().ask_again(&conflicting);
    assert_eq!((again.outcome, again.duplicate), (first, true));
}

#[test]
fn a_condition_is_checked_after_the_expected_head_and_before_the_validator() {
    let (_memory, caller) = Memory::ruled(Limits::default());
    let with = |payload: &str| {
        let mut append = append_to("s/1", &[payload]);
        append.proposals[0].keys.push(book("Emma"));
        append
    };
    numbers(&caller.ask(with("add 3")).outcome);
    let elsewhere = ExpectedHead::Exactly(Seq(7));
    let both = Append { expected_head: elsewhere, ..with("trap").since(Seq(0)) };
    assert!(matches!(caller.ask(both).outcome, Outcome::HeadMismatch { .. }));
    // A conflict is told though the validator would trap, and though there is none at all.
    assert!(matches!(caller.ask(with("trap").since(Seq(0))).outcome, Outcome::Conflict { .. }));
    assert!(matches!(caller.ask(with("trap").since(Seq(1))).outcome, Outcome::Faulted(_)));
    assert!(matches!(caller.ask(with("refuse").since(Seq(1))).outcome, Outcome::Rejected(_)));
}

#[test]
fn a_dry_run_asks_the_validator_and_its_state_stays_as_it_was() {
    let (_memory, caller) = Memory::ruled(Limits::default());
    caller.store("s/1", &["add 12"]);
    let before = caller.query("s/1", "sum");
    let dry = |payload: &str| caller.ask(append_to("s/1", &[payload]).dry_run()).outcome;
    // Several events in place of the proposal.
    assert_eq!(numbers(&dry("ones 3")), (2, 4));
    assert_eq!(dry("noop").word(), "noop");
    assert_eq!(dry("refuse").word(), "rejected");
    assert_eq!(dry("trap").word(), "faulted");
    assert_eq!(dry("slow").word(), "timed-out");
    assert_eq!(numbers(&dry("add 2")), (2, 2));
    assert_eq!(dry("add 1").word(), "rejected", "12 % 10 is 2");
    assert_eq!(caller.query("s/1", "sum"), before);
    assert_eq!(caller.payloads("s/1"), ["add 12"]);
    assert_eq!(caller.store("s/1", &["add 2"]), Seq(2));
}

#[test]
fn a_dry_run_is_told_only_when_what_it_was_judged_against_is_durable() {
    let (memory, caller) = store();
    caller.send(append(vec![about(&["Emma"])]));
    let call = caller.send(append(vec![about(&["Emma"])]).since(Seq(1)).dry_run());
    memory.hands.decide();
    assert_eq!(caller.inbox.answer(call), None);
    caller.engine.commit_turn();
    assert_eq!(numbers(&caller.inbox.answer(call).unwrap().outcome), (2, 2));
}

#[test]
fn conflicts_in_an_answer_have_their_number() {
    let limits = Limits { conflicts_max: 3, ..Limits::default() };
    let memory = Memory::new(limits);
    let caller = memory.by_hand();
    caller.bind("*", "accept-all");
    let told = |conflicting: Append| conflicts(&caller.ask(conflicting).outcome).1.len();
    for n in 1..=4 {
        put(&caller, vec![about(&["Emma"])]);
        let all = append(vec![about(&["Emma"])]).since(Seq(0)).all_conflicts().dry_run();
        assert_eq!(told(all), n.min(3), "{n} events");
    }
    // Over several proposals, too.
    let all = append(vec![about(&["Emma"]); 5]).since(Seq(2)).all_conflicts();
    assert_eq!(told(all), 3);
}

#[test]
fn conflicts_in_an_answer_have_their_bytes_and_at_least_one_event() {
    let limits = Limits { page_bytes_max: 50_000, ..Limits::default() };
    let memory = Memory::new(limits);
    let caller = memory.by_hand();
    caller.bind("*", "accept-all");
    let of = |bytes| Proposal { payload: vec![b'1'; bytes], ..about(&["Emma"]) };
    put(&caller, vec![of(20_000), of(20_000), of(20_000), of(60_000), of(1)]);
    let told = |since| {
        let all = append(vec![about(&["Emma"])]).since(Seq(since)).all_conflicts();
        conflicts(&caller.ask(all).outcome).1.len()
    };
    assert_eq!(told(0), 2);
    assert_eq!(told(3), 1);
    assert_eq!(told(4), 1);
}

#[test]
fn a_lost_row_of_the_index_is_found_by_verify() {
    use std::ops::ControlFlow;
    let (memory, caller) = store();
    put(&caller, vec![about(&["Emma"]), linking(&["Emma"], &["Ann"]), effect("Ann")]);
    caller.verify();
    assert!(memory.log.forget_index(&scope(SCOPE), Seq(2)));
    let report = caller.engine.verify(None, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
    assert_eq!(report.damage.len(), 1);
    assert!(report.damage[0].contains("event 2 is missing in the index"), "{report:?}");
    // It would hide conflicts, so nothing more is decided.
    let told = caller.ask(append(vec![about(&["Emma"])]).since(Seq(1))).outcome;
    assert!(matches!(told, Outcome::ReadOnly { .. }), "{told:?}");
}
