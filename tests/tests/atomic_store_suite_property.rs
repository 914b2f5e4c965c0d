//! AT17: random events with random verdicts, and a store that is closed or dropped and opened again
//! after each step. The log equals what was accepted, and every verdict is the one that the events
//! before it call for.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::{Drive, Engine};
use atomic_store::log::MemoryLog;
use atomic_store_core::protocol::StoreId;
use atomic_store_core::{FaultKind, Limits, Outcome};
use atomic_store_tests::{
    Caller, Disk, JumpingClock, Op, SCRIPTED, ScriptedLoader, ScriptedState, append_to, wat_rules,
};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// How a store ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// In order; states are saved.
    Close,
    /// As after a kill.
    Drop,
    /// Not at all: the next step goes to the same one.
    Stay,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Close), Just(End::Drop), Just(End::Stay)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0_u64..12).prop_map(Op::Add),
        1 => (1_u64..4).prop_map(Op::Ones),
        1 => Just(Op::Noop),
        1 => Just(Op::Refuse),
        1 => Just(Op::Trap),
        1 => Just(Op::TrapInApply),
        1 => Just(Op::Slow),
        1 => Just(Op::Lie),
    ]
}

/// The word of the outcome that an append must get, and the payloads that it must store.
fn scripted_verdict(state: &ScriptedState, ops: &[Op]) -> (&'static str, Vec<String>) {
    let (mut state, mut stored) = (*state, Vec::new());
    let mut traps_in_apply = false;
    for op in ops {
        match op {
            Op::Add(n) if state.allows(*n) => {
                state.sum += n;
                stored.push(format!("add {n}"));
            }
            Op::Add(_) | Op::Refuse => return ("rejected", Vec::new()),
            Op::Ones(n) => {
                state.sum += n;
                stored.extend((0..*n).map(|_| "add 1".to_owned()));
            }
            Op::Noop => {}
            Op::Trap | Op::Lie => return ("faulted", Vec::new()),
            Op::TrapInApply => traps_in_apply = true,
            Op::Slow => return ("timed-out", Vec::new()),
        }
    }
    match (traps_in_apply, stored.is_empty()) {
        (true, _) => ("faulted", Vec::new()),
        (false, true) => ("noop", stored),
        (false, false) => ("committed", stored),
    }
}

fn scripted_caller(log: &Arc<MemoryLog>) -> Caller {
    let limits = Limits { snapshot_events: 3, ..Limits::default() };
    let (clock, drive) = (Arc::<JumpingClock>::default(), Drive::Threads(1));
    let log = Arc::clone(log);
    Caller::new(Engine::open(log, Arc::new(ScriptedLoader), clock, limits, drive).unwrap())
}

fn scripted_run(steps: Vec<(Vec<Op>, End, u64)>) {
    let mut log = Arc::new(MemoryLog::new(StoreId([1; 16]), Limits::default()));
    let mut caller = scripted_caller(&log);
    caller.rule("*", SCRIPTED);
    let (mut state, mut accepted) = (ScriptedState::default(), Vec::new());
    for (ops, end, seed) in steps {
        let (word, stored) = scripted_verdict(&state, &ops);
        let mut append = append_to("s", &[]);
        append.proposals = ops.iter().map(|op| op.proposal()).collect();
        let outcome = caller.ask(append).outcome;
        assert_eq!(outcome.word(), word, "{ops:?} after {state:?}: {outcome:?}");
        stored.iter().for_each(|payload| state.fold(payload.as_bytes()).unwrap());
        accepted.extend(stored);
        match end {
            End::Close => assert!(caller.engine.close(PATIENCE)),
            End::Drop => {}
            End::Stay => continue,
        }
        log = Arc::new(log.crash(seed));
        caller = scripted_caller(&log);
        assert_eq!(caller.payloads("s"), accepted);
        let sum = caller.query("s", "sum").1.unwrap();
        assert_eq!(sum, state.sum.to_string().into_bytes());
    }
    assert_eq!(caller.payloads("s"), accepted);
    caller.verify();
}

/// The first bytes that `rules.wat` knows.
fn wasm_payload() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[am][0-9]{0,3}",
        8 => "[0-3]",
        2 => "r[0-9]{0,3}",
        2 => Just("t".to_owned()),
        // Each takes as long as a call may.
        1 => Just("l".to_owned()),
    ]
}

fn wasm_verdict(count: usize, payloads: &[String]) -> &'static str {
    for (index, payload) in payloads.iter().enumerate() {
        match payload.as_bytes()[0] {
            b'a' | b'm' => {}
            b't' => return "faulted",
            b'l' => return "timed-out",
            digit if usize::from(digit) == usize::from(b'0') + (count + index) % 10 => {}
            _ => return "rejected",
        }
    }
    "committed"
}

fn wasm_run(steps: Vec<(Vec<String>, End)>) {
    // Fuel would end a loop at the same instruction on every machine; here the clock must. It is so long
    // that it ends nothing else.
    let limits = Limits {
        call_ms_max: 500,
        call_fuel_max: u64::MAX / 4,
        snapshot_events: 3,
        ..Limits::default()
    };
    let disk = Disk::new(limits);
    let mut store = disk.open();
    let mut caller = Caller::new(store.engine().clone());
    caller.rule("*", &wat_rules("1.0.0"));
    let mut accepted: Vec<String> = Vec::new();
    for (payloads, end) in steps {
        let word = wasm_verdict(accepted.len(), &payloads);
        let texts: Vec<_> = payloads.iter().map(String::as_str).collect();
        let outcome = caller.append("s", &texts);
        assert_eq!(outcome.word(), word, "{payloads:?} after {}: {outcome:?}", accepted.len());
        if let Outcome::Faulted(fault) = outcome {
            assert_eq!(fault.kind, FaultKind::Trap);
        }
        if word == "committed" {
            accepted.extend(payloads);
        }
        match end {
            End::Close => assert!(store.close(PATIENCE)),
            End::Drop => drop(store),
            End::Stay => continue,
        }
        drop(caller);
        store = disk.open();
        caller = Caller::new(store.engine().clone());
        assert_eq!(caller.payloads("s"), accepted);
        let count = (accepted.len() as u64).to_le_bytes();
        assert_eq!(caller.query("s", "count").1.unwrap(), count);
    }
    assert_eq!(caller.payloads("s"), accepted);
    caller.verify();
}

fn config(cases: u32) -> ProptestConfig {
    let max_shrink_time = 60_000;
    ProptestConfig {
        cases,
        max_shrink_time,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn at17_in_memory_the_log_is_what_was_accepted(
        steps in prop::collection::vec(
            (prop::collection::vec(op(), 1..4), end(), any::<u64>()),
            3..16,
        )
    ) {
        scripted_run(steps);
    }
}

proptest! {
    #![proptest_config(config(20))]

    #[test]
    fn at17_on_disk_under_wasm_the_log_is_what_was_accepted(
        steps in prop::collection::vec(
            (prop::collection::vec(wasm_payload(), 1..4), end()),
            3..9,
        )
    ) {
        wasm_run(steps);
    }
}
