//! The state of a scope in the past, its history, and what would become of appends, through the engine
//! on a log in memory.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::{Drive, Engine, State};
use atomic_store::log::MemoryLog;
use atomic_store_core::protocol::{At, RequestError, Step, StoreId};
use atomic_store_core::{Limits, Outcome, Proposal, Seq};
use atomic_store_tests::{
    Caller, ENTITY, EntityLoader, EntityState, JumpingClock, Memory, OTHER_ENTITY, Op, SCRIPTED,
    entity_fold, scope,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// A store of entities, and its clock.
fn entities(snapshot_events: u64) -> (Caller, Arc<JumpingClock>) {
    let limits = Limits { snapshot_events, ..Limits::default() };
    let clock = Arc::<JumpingClock>::default();
    clock.set(1_000);
    let log = Arc::new(MemoryLog::new(StoreId([1; 16]), limits.clone()));
    let engine = Engine::open(
        log,
        Arc::new(EntityLoader),
        Arc::clone(&clock) as _,
        limits,
        Drive::Threads(2),
    );
    let caller = Caller::new(engine.unwrap());
    caller.rule("e/*", ENTITY);
    (caller, clock)
}

fn at(caller: &Caller, name: &str, query: (&str, &str), at: At) -> Result<Value, RequestError> {
    let state = caller.engine.query_at(&scope(name), query.0, query.1.as_bytes(), at)?;
    Ok(serde_json::from_slice(&state.answer.unwrap()).unwrap())
}

fn history(caller: &Caller, name: &str, query: (&str, &str), range: (u64, u64)) -> Vec<State> {
    let (query, args) = (query.0.to_owned(), query.1.as_bytes().to_vec());
    let range = (Seq(range.0), Seq(range.1));
    let mut history = caller.engine.history(&scope(name), query, args, range, u64::MAX).unwrap();
    let mut states = Vec::new();
    while !history.is_done() {
        states.extend(history.step(&|| false).unwrap());
    }
    states
}

fn values(states: Vec<State>) -> Vec<(u64, Value)> {
    let value = |state: State| serde_json::from_slice(&state.answer.unwrap()).unwrap();
    states.into_iter().map(|state| (state.head.0, value(state))).collect()
}

/// Where a refused request is wrong, and why.
fn refused<T: std::fmt::Debug>(result: Result<T, RequestError>) -> (String, String) {
    match result {
        Err(RequestError::Invalid { field, why }) => (field, why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn st05_a_deletion_is_stored_and_the_past_stays_readable() {
    let (caller, _) = entities(10_000);
    assert_eq!(caller.store("e/1", &[r#"{"op":"set","key":"k","value":1}"#]), Seq(1));
    assert_eq!(caller.store("e/1", &[r#"{"op":"delete","key":"k"}"#]), Seq(2));
    assert_eq!(caller.events("e/1").len(), 2);
    assert_eq!(at(&caller, "e/1", ("get", "k"), At::Head), Ok(Value::Null));
    assert_eq!(at(&caller, "e/1", ("get", "k"), At::Seq(Seq(1))), Ok(json!(1)));
    assert_eq!(at(&caller, "e/1", ("all", ""), At::Seq(Seq(0))), Ok(json!({})));
}

#[test]
fn st13_history_lists_each_state_also_the_empty_one() {
    let (caller, _) = entities(10_000);
    caller.store("e/1", &[r#"{"op":"set","key":"k","value":1}"#]);
    caller.store("e/1", &[r#"{"op":"set","key":"k","value":2}"#]);
    caller.store("e/1", &[r#"{"op":"delete","key":"k"}"#]);
    caller.store("e/1", &[r#"{"op":"insert","key":"k","value":"again"}"#]);
    let all = values(history(&caller, "e/1", ("get", "k"), (0, u64::MAX)));
    let expected = [(1, json!(1)), (2, json!(2)), (3, Value::Null), (4, json!("again"))];
    assert_eq!(all, expected);
    assert_eq!(values(history(&caller, "e/1", ("get", "k"), (1, 3))), expected[1..3]);
    assert_eq!(history(&caller, "e/1", ("get", "k"), (4, u64::MAX)), []);
    assert_eq!(history(&caller, "e/1", ("get", "k"), (9, 12)), []);
    assert_eq!(history(&caller, "e/never", ("get", "k"), (0, u64::MAX)), []);
    // A complaint is an answer, too.
    assert!(history(&caller, "e/1", ("what", ""), (3, 4))[0].answer.is_err());
}

#[test]
fn every_state_is_what_folding_by_hand_gives_near_a_snapshot_and_far_from_it() {
    for snapshot_events in [1, 3, 7, 10_000] {
        let (caller, _) = entities(snapshot_events);
        for n in 0..40_u64 {
            let op = if n % 5 == 4 { "delete" } else { "set" };
            let key = n % 5 / 2 % 2;
            caller.store(
                "e/1",
                &[&json!({"op": op, "key": key.to_string(), "value": n}).to_string()],
            );
        }
        let mut by_hand = vec![EntityState::new()];
        for event in caller.events("e/1") {
            let mut state = by_hand.last().unwrap().clone();
            entity_fold(&mut state, &event.payload);
            by_hand.push(state);
        }
        for (seq, state) in by_hand.iter().enumerate() {
            let found = at(&caller, "e/1", ("all", ""), At::Seq(Seq(seq as u64)));
            assert_eq!(found, Ok(json!(state)), "{snapshot_events}: {seq}");
        }
        let listed = values(history(&caller, "e/1", ("all", ""), (0, u64::MAX)));
        let expected = by_hand.iter().enumerate().skip(1);
        assert_eq!(listed, expected.map(|(n, state)| (n as u64, json!(state))).collect::<Vec<_>>());
        let part = values(history(&caller, "e/1", ("all", ""), (21, 35)));
        assert_eq!(part, listed[21..35]);
    }
}

#[test]
fn a_moment_is_the_last_event_up_to_it() {
    let (caller, clock) = entities(10_000);
    for (ms, value) in [(2_000, 1), (2_000, 2), (3_000, 3)] {
        clock.set(ms);
        caller.store("e/1", &[&json!({"op": "set", "key": "k", "value": value}).to_string()]);
    }
    for (ms, value) in
        [(0, json!(null)), (1_999, json!(null)), (2_000, json!(2)), (2_999, json!(2))]
    {
        assert_eq!(at(&caller, "e/1", ("get", "k"), At::Time(ms)), Ok(value), "{ms}");
    }
    for ms in [3_000, 9_000, u64::MAX] {
        assert_eq!(at(&caller, "e/1", ("get", "k"), At::Time(ms)), Ok(json!(3)), "{ms}");
    }
    let state = caller.engine.query_at(&scope("e/1"), "get", b"k", At::Time(2_500)).unwrap();
    assert_eq!(state.head, Seq(2));
    assert_eq!(at(&caller, "e/never", ("all", ""), At::Time(5)), Ok(json!({})));
}

#[test]
fn the_nearest_snapshot_of_the_present_rule_is_used_and_no_other() {
    let limits = Limits { snapshot_events: 10, ..Limits::default() };
    let memory = Memory::new(limits);
    let caller = memory.with_threads(2);
    caller.rule("s/*", SCRIPTED);
    for _ in 0..45 {
        caller.store("s/1", &["add 9"]);
    }
    let sum = |seq: u64| {
        let (restored, applied) = (memory.probe.restored(), memory.probe.applied());
        let state = caller.engine.query_at(&scope("s/1"), "sum", b"", At::Seq(Seq(seq))).unwrap();
        assert_eq!(state, State { head: Seq(seq), answer: Ok((9 * seq).to_string().into_bytes()) });
        (memory.probe.restored() - restored, memory.probe.applied() - applied)
    };
    // The last two are kept, so 30 and 40.
    assert_eq!(sum(45), (1, 5));
    assert_eq!(sum(40), (1, 0));
    assert_eq!(sum(39), (1, 9));
    assert_eq!(sum(30), (1, 0));
    assert_eq!(sum(29), (0, 29));
    assert_eq!(sum(0), (0, 0));

    let (caller, _) = entities(2);
    for n in 0..7 {
        caller.store("e/1", &[&json!({"op": "set", "key": "k", "value": n}).to_string()]);
    }
    caller.rule("e/*", OTHER_ENTITY);
    assert_eq!(at(&caller, "e/1", ("get", "k"), At::Seq(Seq(7))), Ok(json!(6)));
    assert_eq!(at(&caller, "e/1", ("get", "k"), At::Seq(Seq(5))), Ok(json!(4)));
}

#[test]
fn moments_that_are_not_there_are_refused_with_what_to_do() {
    let (caller, _) = entities(2);
    for n in 0..5 {
        caller.store("e/1", &[&json!({"op": "set", "key": "k", "value": n}).to_string()]);
    }
    let (field, why) = refused(at(&caller, "e/1", ("get", "k"), At::Seq(Seq(6))));
    assert_eq!(field, "at");
    assert!(why.contains("the last event of e/1 is 5"), "{why}");
    refused(at(&caller, "e/never", ("get", "k"), At::Seq(Seq(1))));
    refused(at(&caller, "unruled", ("get", "k"), At::Seq(Seq(0))));

    caller.engine.delete_scope(&scope("e/1"), None).unwrap();
    caller.store("e/1", &[r#"{"op":"set","key":"new","value":1}"#]);
    for moment in [At::Seq(Seq(4)), At::Seq(Seq(0)), At::Time(0)] {
        let (field, why) = refused(at(&caller, "e/1", ("get", "k"), moment));
        assert_eq!(field, "at");
        assert!(why.contains("up to 5 were deleted"), "{why}");
    }
    assert_eq!(at(&caller, "e/1", ("all", ""), At::Seq(Seq(5))), Ok(json!({})));
    assert_eq!(at(&caller, "e/1", ("all", ""), At::Seq(Seq(6))), Ok(json!({"new": 1})));
    let history_from = |after| {
        let range = (Seq(after), Seq::MAX);
        caller.engine.history(&scope("e/1"), "all".into(), Vec::new(), range, 9).map(drop)
    };
    assert_eq!(refused(history_from(4)).0, "after");
    assert_eq!(history_from(5), Ok(()));
    let large = vec![b'x'; caller.engine.limits().query_args_bytes_max + 1];
    let result = caller.engine.query_at(&scope("e/1"), "", &large, At::Seq(Seq(6)));
    assert_eq!(refused(result).0, "query");
}

#[test]
fn a_history_ends_when_its_events_are_deleted_on_the_way() {
    let limits = Limits { page_events_max: 2, ..Limits::default() };
    let memory = Memory::new(limits);
    let caller = memory.with_threads(2);
    caller.rule("s/*", SCRIPTED);
    for _ in 0..6 {
        caller.store("s/1", &["add 9"]);
    }
    let range = (Seq::ZERO, Seq::MAX);
    let start =
        || caller.engine.history(&scope("s/1"), "sum".into(), Vec::new(), range, 5).unwrap();
    let mut history = start();
    let mut pages = Vec::new();
    while !history.is_done() {
        pages.push(history.step(&|| false).unwrap().len());
    }
    assert_eq!(pages, [2, 2, 1]);
    let mut history = start();
    assert_eq!(history.step(&|| true).unwrap(), []);
    assert_eq!(history.step(&|| false).unwrap().len(), 2);
    caller.engine.delete_scope(&scope("s/1"), None).unwrap();
    caller.store("s/1", &["add 9"]);
    let (_, why) = refused(history.step(&|| false));
    assert!(why.contains("up to 6 were deleted"), "{why}");
}

fn what_if(caller: &Caller, batches: Vec<Vec<Proposal>>, query: &str) -> Vec<Step> {
    let query = Some((query, &b""[..]));
    caller.engine.what_if(&scope("s/1"), batches, query).unwrap()
}

fn sum(step: &Step) -> Option<u64> {
    let state = step.state.as_ref()?.as_ref().unwrap();
    std::str::from_utf8(state).unwrap().parse().ok()
}

#[test]
fn a_what_if_judges_batches_on_top_of_each_other_and_stores_nothing() {
    let memory = Memory::new(Limits::default());
    let caller = memory.with_threads(2);
    caller.rule("s/*", SCRIPTED);
    caller.store("s/1", &["add 3", "add 4"]);
    let events = caller.events("s/1");
    let position = caller.engine.status().position;
    let batch = |ops: &[Op]| ops.iter().map(|op| op.proposal()).collect::<Vec<_>>();
    // The scripted validator looks back at each verdict and would notice a wrong history.
    let batches = vec![
        batch(&[Op::Add(6)]),
        batch(&[Op::Add(7), Op::Add(8)]),
        batch(&[Op::Noop]),
        batch(&[Op::Ones(3), Op::Refuse]),
        batch(&[Op::Ones(3)]),
    ];
    let steps = what_if(&caller, batches.clone(), "sum");
    let words: Vec<_> = steps.iter().map(|step| step.outcome.word()).collect();
    assert_eq!(words, ["rejected", "committed", "noop", "rejected", "committed"]);
    let sums: Vec<_> = steps.iter().map(|step| sum(step).unwrap()).collect();
    assert_eq!(sums, [7, 22, 22, 22, 25]);
    let Outcome::Committed(fourth) = &steps[1].outcome else { panic!() };
    let Outcome::Committed(last) = &steps[4].outcome else { panic!() };
    assert_eq!((fourth.first.seq, fourth.last.seq), (Seq(3), Seq(4)));
    assert_eq!((last.first.seq, last.last.seq), (Seq(5), Seq(7)));
    assert_eq!((last.last.position.0, last.reason.as_deref()), (0, Some("stored as 3")));

    assert_eq!(caller.events("s/1"), events);
    assert_eq!(caller.engine.status().position, position);
    assert_eq!(caller.query("s/1", "sum"), (Seq(2), Ok(b"7".to_vec())));
    assert_eq!(what_if(&caller, batches, "sum"), steps);
    assert_eq!(
        caller.engine.what_if(&scope("s/1"), vec![batch(&[Op::Add(7)])], None).unwrap()[0].state,
        None
    );
    assert!(
        what_if(&caller, vec![batch(&[Op::Add(7)])], "what")[0].state.as_ref().unwrap().is_err()
    );
    assert_eq!(caller.store("s/1", &["add 7", "add 8"]), Seq(4));
    // A scope that was never written, too.
    let new = caller.engine.what_if(&scope("s/new"), vec![batch(&[Op::Add(1)])], None).unwrap();
    assert_eq!(new[0].outcome.word(), "committed");
    assert_eq!(caller.engine.show_scope(&scope("s/new")).unwrap(), None);
}

#[test]
fn a_fault_is_the_last_step_and_harms_nobody() {
    let memory = Memory::new(Limits::default());
    let caller = memory.with_threads(2);
    caller.rule("s/*", SCRIPTED);
    caller.store("s/1", &["add 9"]);
    for (op, word) in [
        (Op::Trap, "faulted"),
        (Op::TrapInApply, "faulted"),
        (Op::Lie, "faulted"),
        (Op::Slow, "timed-out"),
    ] {
        let batches = [Op::Add(9), op, Op::Add(9)].map(|op| vec![op.proposal()]);
        let steps = what_if(&caller, batches.to_vec(), "sum");
        let words: Vec<_> = steps.iter().map(|step| step.outcome.word()).collect();
        assert_eq!(words, ["committed", word], "{op:?}");
        assert_eq!((sum(&steps[0]), sum(&steps[1])), (Some(18), None));
    }
    assert_eq!(caller.query("s/1", "sum"), (Seq(1), Ok(b"9".to_vec())));
    caller.engine.seal_scope(&scope("s/1"), "done").unwrap();
    let steps = what_if(&caller, vec![vec![Op::Add(9).proposal()]; 2], "sum");
    assert_eq!((steps.len(), steps[0].outcome.word()), (1, "read-only"));
}

#[test]
fn a_what_if_has_its_caps() {
    let limits = Limits {
        what_if_batches_max: 3,
        append_events_max: 5,
        append_bytes_max: 100,
        ..Limits::default()
    };
    let memory = Memory::new(limits);
    let caller = memory.with_threads(2);
    caller.rule("s/*", SCRIPTED);
    let one = || Op::Add(9).proposal();
    let ask = |batches| caller.engine.what_if(&scope("s/1"), batches, None);
    assert_eq!(ask(vec![vec![one()]; 3]).unwrap().len(), 3);
    let (field, why) = refused(ask(vec![vec![one()]; 4]));
    assert_eq!((field.as_str(), why.contains("at most 3 are allowed")), ("batches", true), "{why}");
    assert_eq!(ask(vec![vec![one(); 2], vec![one(); 3]]).unwrap().len(), 2);
    let (_, why) = refused(ask(vec![vec![one(); 3], vec![one(); 3]]));
    assert!(why.contains("6 proposals in all, at most 5"), "{why}");
    let sized =
        |bytes| Proposal { payload: vec![b' '; bytes - 2 - "application/json".len()], ..one() };
    let bytes = sized(50).size();
    let fits = |total: usize| ask(vec![vec![sized(50)], vec![sized(50 + total - 2 * bytes)]]);
    assert!(fits(100).is_ok());
    let (_, why) = refused(fits(101));
    assert!(why.contains("101 bytes in all, at most 100"), "{why}");
    refused(ask(Vec::new()));
    refused(ask(vec![vec![one()], Vec::new()]));
    assert_eq!(refused(ask(vec![vec![Proposal { kind: String::new(), ..one() }]])).0, "kind");
    let system = caller.engine.what_if(&scope("$system"), vec![vec![one()]], None);
    assert_eq!(refused(system).0, "scope");
    // The steps must fit into one frame, states and all.
    let small = Limits { frame_bytes_max: 1_300, ..memory.limits.clone() };
    let memory = Memory::new(small);
    let caller = memory.with_threads(2);
    caller.rule("s/*", SCRIPTED);
    assert!(caller.engine.what_if(&scope("s/1"), vec![vec![one()]], None).is_ok());
    let (field, why) = refused(caller.engine.what_if(
        &scope("s/1"),
        vec![vec![Op::Refuse.proposal()]; 3],
        Some((&"x".repeat(200), b"")),
    ));
    assert_eq!((field.as_str(), why.contains("fewer batches")), ("batches", true), "{why}");
}
