//! The deadline of a validation is hard: it counts from the start of the call, nothing re-arms it, and
//! it costs the scope nothing but the append that broke it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::{ReplyTo, State};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Answer, FaultKind, JointAnswer, Limits, Outcome, Seq};
use atomic_store_tests::{Caller, Disk, append_to, wat_rules};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

const DEADLINE_MS: u64 = 400;
/// What the clock may show of it: a guest is interrupted at ticks.
const DEADLINE: Duration = Duration::from_millis(DEADLINE_MS * 9 / 10);
const PATIENCE: Duration = Duration::from_secs(60);

/// Notes when each answer came.
struct Stamps(Sender<(Outcome, Instant)>);

impl ReplyTo for Stamps {
    fn answer(&self, _call: u64, answer: Answer) {
        self.0.send((answer.outcome, Instant::now())).unwrap();
    }

    fn state(&self, call: u64, _state: Result<State, RequestError>) {
        panic!("{call} was no query");
    }

    fn joint(&self, call: u64, _answer: JointAnswer) {
        panic!("{call} was no joint append");
    }
}

/// Fuel for hours, so that the clock decides.
fn endless() -> (Disk, Caller) {
    let limits =
        Limits { call_ms_max: DEADLINE_MS, call_fuel_max: u64::MAX / 4, ..Limits::default() };
    let disk = Disk::new(limits);
    let caller = disk.caller();
    caller.rule("*", &wat_rules("1.0.0"));
    (disk, caller)
}

#[test]
fn a_loop_is_cut_off_at_its_deadline_although_other_calls_keep_arriving() {
    let (_disk, caller) = endless();
    caller.store("lot/1", &["0", "1"]);
    let start = Instant::now();
    let stuck = caller.send(append_to("lot/1", &["l"]));
    let (mut appends, mut queries) = (Vec::new(), Vec::new());
    let answer = loop {
        // Some come for certain before the answer; the traffic goes on for many times its deadline.
        if appends.len() >= 10
            && let Some(answer) = caller.inbox.answer(stuck)
        {
            break answer;
        }
        assert!(appends.len() < 2_000, "the traffic keeps re-arming it");
        // Reads go on, and show nothing of it.
        let shown = caller.payloads("lot/1");
        assert!(shown == ["0", "1"] || start.elapsed() >= DEADLINE, "{} are shown", shown.len());
        appends.push(caller.send(append_to("lot/1", &["a"])));
        queries.push(caller.send_query("lot/1", "count"));
        if appends.len() >= 10 {
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let took = start.elapsed();
    assert_eq!(answer.outcome, Outcome::TimedOut { after_ms: DEADLINE_MS });
    assert!(took >= DEADLINE, "cut off after {took:?}");
    for (n, (append, query)) in appends.iter().zip(&queries).enumerate() {
        let Outcome::Committed(committed) = caller.wait(*append).outcome else { panic!() };
        assert_eq!(committed.last.seq, Seq(n as u64 + 3));
        let state = caller.wait_state(*query).unwrap();
        assert_eq!(state.answer.unwrap(), (n as u64 + 3).to_le_bytes());
    }
}

#[test]
fn the_answer_to_one_append_does_not_wait_for_the_deadlines_of_those_behind_it() {
    let (_disk, caller) = endless();
    let (stamps, stamped) = channel();
    let to: Arc<dyn ReplyTo> = Arc::new(Stamps(stamps));
    let start = Instant::now();
    (0..8).for_each(|call| caller.engine.append(append_to("lot/1", &["l"]), &to, call));
    let answered: Vec<_> = (1..=8)
        .map(|n| {
            let (outcome, at) = stamped.recv_timeout(PATIENCE).unwrap();
            assert_eq!(outcome, Outcome::TimedOut { after_ms: DEADLINE_MS });
            assert!(at - start >= DEADLINE * n, "number {n} after {:?}", at - start);
            at
        })
        .collect();
    // Had it waited for them, all would have been answered at once.
    let ahead = answered[7] - answered[0];
    assert!(ahead >= DEADLINE * 4, "the first came only {ahead:?} before the last");
}

#[test]
fn a_timeout_is_a_decision_and_the_scope_goes_on_with_its_state() {
    let (disk, caller) = endless();
    caller.store("lot/1", &["0"]);
    let append = append_to("lot/1", &["1", "l", "a"]);
    let outcome = Outcome::TimedOut { after_ms: DEADLINE_MS };
    assert_eq!(caller.ask(append.clone()).outcome, outcome);
    assert_eq!(caller.payloads("lot/1"), ["0"], "nothing of a batch is stored");
    let again = caller.ask_again(&append);
    assert_eq!((again.outcome, again.duplicate), (outcome.clone(), true), "it was judged again");
    // The rule knows the number of events: a fresh instance must have folded them.
    assert_eq!(caller.store("lot/1", &["1"]), Seq(2));
    drop(caller);
    let again = disk.caller().ask_again(&append);
    assert_eq!((again.outcome, again.duplicate), (outcome, true), "after a restart, too");
}

#[test]
fn fuel_ends_a_loop_before_the_clock_does() {
    let disk =
        Disk::new(Limits { call_fuel_max: 1_000_000, call_ms_max: 60_000, ..Limits::default() });
    let caller = disk.caller();
    caller.rule("*", &wat_rules("1.0.0"));
    caller.store("lot/1", &["0"]);
    for payload in ["l", "t"] {
        let kind = if payload == "l" { FaultKind::OutOfFuel } else { FaultKind::Trap };
        match caller.append("lot/1", &["1", payload]) {
            Outcome::Faulted(fault) => assert_eq!(fault.kind, kind, "{}", fault.detail),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(caller.store("lot/1", &["1"]), Seq(2));
}
