//! The cases of the suite of the Atomic Store that this one is named after, by meaning. There, a log
//! was an actor and clients validated by message; here a scope has a loop and a validator in wasm.
//! AT17, the property, is in `atomic_store_suite_property.rs`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::{Drive, Engine};
use atomic_store::log::MemoryLog;
use atomic_store_client::Client;
use atomic_store_core::protocol::StoreId;
use atomic_store_core::{
    Append, Committed, ContentType, Key, Limits, Outcome, Proposal, Refusal, Seq,
};
use atomic_store_tests::{
    Caller, Disk, Hands, JumpingClock, Probe, SCRIPTED, append_to, scope, wat_rules,
};
use std::sync::Arc;
use std::time::Duration;

/// A store on disk in which the wasm rules judge every scope.
fn store() -> (Disk, Caller) {
    let disk = Disk::new(Limits::default());
    let caller = disk.caller();
    caller.rule("*", &wat_rules("1.0.0"));
    (disk, caller)
}

fn committed(outcome: Outcome) -> Committed {
    match outcome {
        Outcome::Committed(committed) => committed,
        other => panic!("{other:?}"),
    }
}

fn rejected(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Rejected(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// An engine on a log in memory, whose validator waits at a gate.
fn gated() -> (Arc<MemoryLog>, Arc<Probe>, Caller) {
    let log = Arc::new(MemoryLog::new(StoreId([1; 16]), Limits::default()));
    let probe = Arc::<Probe>::default();
    let caller = open_gated(&log, &probe);
    caller.rule("*", SCRIPTED);
    (log, probe, caller)
}

fn open_gated(log: &Arc<MemoryLog>, probe: &Arc<Probe>) -> Caller {
    let clock = Arc::<JumpingClock>::default();
    let (log, drive) = (Arc::clone(log), Drive::Threads(2));
    Caller::new(Engine::open(log, probe.loader(), clock, Limits::default(), drive).unwrap())
}

fn at_the_gate(name: &str, payload: &str) -> Append {
    let mut append = append_to(name, &[payload]);
    append.proposals[0].kind = "gate".to_owned();
    append
}

/// AT01: events and states serialize. Here: every field of an event, and every byte of a payload,
/// comes back as it was sent: before and after a restart, and over the wire.
#[tokio::test]
async fn at01_an_event_keeps_every_field_through_disk_and_wire() {
    let (disk, caller) = store();
    let mut payload = vec![b'a'];
    payload.extend(0..=u8::MAX);
    let key = |id: &str| Key { kind: "lot".to_owned(), id: id.to_owned() };
    let proposal = Proposal {
        kind: "bid".to_owned(),
        content_type: ContentType::from("application/x-bid"),
        payload,
        keys: vec![key("1"), key("2")],
        triggers: vec![key("3")],
        metadata: vec![("trace".to_owned(), "\u{e9}\u{4e2d}".to_owned())],
        caller_ms: Some(u64::MAX),
    };
    let append = Append { proposals: vec![proposal.clone()], ..append_to("lot/1", &[]) };
    let place = committed(caller.ask(append.clone()).outcome);
    let before = caller.events("lot/1");
    let [event] = &before[..] else { panic!("{before:?}") };
    assert_eq!(
        (&event.kind, &event.content_type, &event.payload, &event.keys, &event.triggers),
        (
            &proposal.kind,
            &proposal.content_type,
            &proposal.payload,
            &proposal.keys,
            &proposal.triggers
        )
    );
    assert_eq!((&event.metadata, event.caller_ms), (&proposal.metadata, proposal.caller_ms));
    assert_eq!((event.seq, event.append_id), (Seq(1), append.id));
    assert_eq!((event.position, event.hash), (place.first.position, place.hash));

    drop(caller);
    let caller = disk.caller();
    assert_eq!(caller.events("lot/1"), before);
    let client = Client::over(atomic_store::server::attach(&caller.engine)).await.unwrap();
    let mut stream = client.read(&scope("lot/1"), Seq::ZERO, Seq::MAX, u64::MAX);
    assert_eq!(stream.next().await.unwrap().unwrap(), before[0]);
    assert!(stream.next().await.is_none());
}

/// AT02: the receptionist starts with no live logs.
#[test]
fn at02_a_store_starts_with_no_live_scope() {
    let (disk, caller) = store();
    caller.store("lot/1", &["a"]);
    drop(caller);
    let caller = disk.caller();
    assert_eq!(caller.engine.status().live, 0);
    assert_eq!(caller.engine.status().scopes, 2, "the stored scopes are another matter");
    assert!(!caller.engine.show_scope(&scope("lot/1")).unwrap().unwrap().live);
}

/// AT03: the first command creates a log, and reaches it.
#[test]
fn at03_the_first_append_makes_its_scope_live() {
    let (_disk, caller) = store();
    assert_eq!(caller.engine.status().live, 0);
    assert_eq!(caller.store("lot/1", &["a"]), Seq(1));
    assert_eq!(caller.engine.status().live, 1);
    assert_eq!(caller.store("lot/1", &["a"]), Seq(2));
    assert_eq!(caller.engine.status().live, 1, "one scope has one loop");
    assert!(caller.engine.show_scope(&scope("lot/1")).unwrap().unwrap().live);
}

/// AT04: a log that is killed leaves the set of live logs. A loop dies here when it is evicted.
#[test]
fn at04_an_evicted_scope_leaves_the_live_set() {
    let limits = Limits { instances_max: 1, ..Limits::default() };
    let log = Arc::new(MemoryLog::new(StoreId([1; 16]), limits.clone()));
    let (hands, clock) = (Arc::<Hands>::default(), Arc::<JumpingClock>::default());
    let loader = Arc::<Probe>::default().loader();
    let drive = Drive::Manual(Arc::clone(&hands) as _);
    let caller = Caller::by_hand(Engine::open(log, loader, clock, limits, drive).unwrap(), &hands);
    caller.rule("*", SCRIPTED);
    let live = |name| caller.engine.show_scope(&scope(name)).unwrap().unwrap().live;
    caller.store("lot/1", &["add 10"]);
    assert!(live("lot/1"));
    caller.store("lot/2", &["add 10"]);
    assert!(!live("lot/1"), "it was cold, and there is room for one");
    assert!(live("lot/2"));
    caller.store("lot/1", &["add 10"]);
    assert!(live("lot/1"), "the next append brings it back");
    assert_eq!(caller.events("lot/1").len(), 2);
}

/// AT05: a new log answers a query with an empty list. A read does not make a scope, either.
#[test]
fn at05_an_unknown_scope_reads_as_empty() {
    let (_disk, caller) = store();
    assert_eq!(caller.events("lot/1"), []);
    assert_eq!(caller.engine.show_scope(&scope("lot/1")).unwrap(), None);
    assert_eq!(caller.query("lot/1", "count"), (Seq::ZERO, Ok(0_u64.to_le_bytes().to_vec())));
    assert_eq!(caller.engine.status().scopes, 1, "only $system is stored");
}

/// AT06: pass; the result is positive and the event is the last of the list.
#[test]
fn at06_pass_is_accepted_and_last_in_the_log() {
    let (_disk, caller) = store();
    caller.store("lot/1", &["a first"]);
    let answer = committed(caller.append("lot/1", &["a second"]));
    assert_eq!(caller.payloads("lot/1"), ["a first", "a second"]);
    let last = caller.events("lot/1").pop().unwrap();
    assert_eq!((answer.last.seq, answer.hash), (last.seq, last.hash));
    assert_eq!((answer.reason, answer.meta), (None, None));
}

/// AT07: pass with meta; the result carries it, and a query gives exactly that event. Reason and
/// meta are the caller's: no event holds them.
#[test]
fn at07_pass_with_meta_returns_the_meta_and_stores_the_event_alone() {
    let (disk, caller) = store();
    let append = append_to("lot/1", &["m for the caller"]);
    let first = caller.ask(append.clone()).outcome;
    let answer = committed(first.clone());
    assert_eq!(answer.meta.as_deref(), Some(&b"m for the caller"[..]));
    assert_eq!(answer.reason.as_deref(), Some("yes"));
    assert_eq!(caller.payloads("lot/1"), ["m for the caller"]);
    assert_eq!(caller.events("lot/1")[0].metadata, []);
    drop(caller);
    let again = disk.caller().ask_again(&append);
    assert_eq!((again.outcome, again.duplicate), (first, true), "whoever asks again gets it too");
}

/// AT08: fail; not accepted, with reason and meta, and the event is not in the list.
#[test]
fn at08_fail_returns_reason_and_meta_and_stores_nothing() {
    let (_disk, caller) = store();
    caller.store("lot/1", &["a"]);
    let refusal = rejected(caller.append("lot/1", &["r because"]));
    assert_eq!(refusal.index, 0);
    assert_eq!((&*refusal.reasons[0].code, &*refusal.reasons[0].message), ("no", "no"));
    assert_eq!(refusal.meta.as_deref(), Some(&b"r because"[..]));
    assert_eq!(caller.payloads("lot/1"), ["a"]);
    assert_eq!(caller.store("lot/1", &["a"]), Seq(2), "a refusal uses up no number");
}

/// AT09: what is submitted during a validation waits, and is validated after the first result.
/// Reads do not wait, and show nothing of what is being considered.
#[test]
fn at09_an_append_waits_for_the_validation_before_it_and_reads_do_not() {
    let (_log, probe, caller) = gated();
    caller.store("lot/1", &["add 10"]);
    let first = caller.send(at_the_gate("lot/1", "add 20"));
    probe.wait_for(1);
    let second = caller.send(append_to("lot/1", &["add 30"]));
    let other = caller.send(append_to("lot/2", &["add 10"]));
    committed(caller.wait(other).outcome);
    assert_eq!(probe.judged().len(), 3, "another scope is judged meanwhile, the second is not");
    assert_eq!(caller.payloads("lot/1"), ["add 10"], "a read neither waits nor sees it");
    assert!(caller.inbox.answer(first).is_none() && caller.inbox.answer(second).is_none());
    probe.open();
    let first = committed(caller.wait(first).outcome);
    let second = committed(caller.wait(second).outcome);
    assert_eq!((first.last.seq, second.last.seq), (Seq(2), Seq(3)));
    assert_eq!(probe.judged(), ["add 10", "add 20", "add 10", "add 30"]);
}

/// AT10: a log that dies before the response is empty when it is born again. It is not blocked
/// either, as the old one was until its timeout.
#[test]
fn at10_a_crash_during_a_validation_leaves_nothing_behind() {
    let (log, probe, caller) = gated();
    caller.send(at_the_gate("lot/1", "add 10"));
    probe.wait_for(1);
    let after = Arc::new(log.crash(1));
    probe.open();
    drop(caller);
    let caller = open_gated(&after, &Arc::default());
    assert_eq!(caller.events("lot/1"), []);
    assert_eq!(caller.store("lot/1", &["add 30"]), Seq(1));
    assert_eq!(caller.payloads("lot/1"), ["add 30"]);
}

/// AT11: three accepted events, of which two are equal, are listed in order. Nothing but an append
/// id makes two appends one.
#[test]
fn at11_equal_events_are_kept_and_listed_in_order() {
    let (disk, caller) = store();
    for payload in ["a one", "a two", "a one"] {
        caller.store("lot/1", &[payload]);
    }
    let before = caller.events("lot/1");
    assert_eq!(caller.payloads("lot/1"), ["a one", "a two", "a one"]);
    assert_ne!(before[0].hash, before[2].hash);
    drop(caller);
    assert_eq!(disk.caller().events("lot/1"), before);
}

/// AT12: two scopes, interleaved; results and queries show only their own events.
#[test]
fn at12_scopes_do_not_see_each_other() {
    let (_disk, caller) = store();
    let mut calls = Vec::new();
    for n in 0..10 {
        for name in ["lot/1", "lot/2"] {
            // The rule wants the number of events before it in this scope.
            calls.push((name, n, caller.send(append_to(name, &[&format!("{n} {name}")]))));
        }
    }
    for (_, n, call) in &calls {
        assert_eq!(committed(caller.wait(*call).outcome).last.seq, Seq(n + 1));
    }
    for name in ["lot/1", "lot/2"] {
        let expected: Vec<_> = (0..10).map(|n| format!("{n} {name}")).collect();
        assert_eq!(caller.payloads(name), expected);
        assert_eq!(caller.query(name, "count").1.unwrap(), 10_u64.to_le_bytes());
    }
    caller.verify();
}

/// AT13: a response without an envelope is routed by its event. Clients do not respond here; what is
/// left of it is that an append names its scope, and its payload has no say in that.
#[test]
fn at13_an_append_goes_to_the_scope_it_names_whatever_it_holds() {
    let (_disk, caller) = store();
    let payload = r#"a {"scope": "lot/2"}"#;
    caller.store("lot/1", &[payload]);
    assert_eq!(caller.payloads("lot/1"), [payload]);
    assert_eq!(caller.events("lot/2"), []);
    let outcome = caller.append("$system", &["a"]);
    assert!(matches!(outcome, Outcome::Invalid { field, .. } if field == "scope"));
}

/// AT14: a response in another scope's envelope still reaches the right log. Here: answers of many
/// scopes in flight on one connection reach their own calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at14_answers_on_one_connection_reach_their_own_calls() {
    let (_disk, caller) = store();
    let client = Client::over(atomic_store::server::attach(&caller.engine)).await.unwrap();
    let mut calls = Vec::new();
    for n in 0..200 {
        let (name, accept) = (format!("lot/{}", n % 7), n % 3 != 0);
        let payload = format!("{} {n}", if accept { 'm' } else { 'r' });
        let client = client.clone();
        calls.push(tokio::spawn(async move {
            let proposal = Proposal::json("op", payload.clone());
            let answer = client.append_one(&scope(&name), proposal).await.unwrap();
            let meta = match answer.outcome {
                Outcome::Committed(committed) if accept => committed.meta,
                Outcome::Rejected(refusal) if !accept => refusal.meta,
                other => panic!("{payload}: {other:?}"),
            };
            assert_eq!(meta.unwrap(), payload.as_bytes());
        }));
    }
    for call in calls {
        call.await.unwrap();
    }
    let stored: usize = (0..7).map(|n| caller.events(&format!("lot/{n}")).len()).sum();
    assert_eq!(stored, 200 - 67);
}

/// AT15: a response sent straight to the log works. Here: the engine in this process and a client on
/// a connection are two ways to the same loop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at15_embedded_and_connected_callers_meet_in_one_order() {
    let (_disk, caller) = store();
    let client = Client::over(atomic_store::server::attach(&caller.engine)).await.unwrap();
    for round in 0..5 {
        assert_eq!(caller.store("lot/1", &["a embedded"]), Seq(2 * round + 1));
        let proposal = Proposal::json("op", "a connected");
        let answer = client.append_one(&scope("lot/1"), proposal).await.unwrap();
        assert_eq!(committed(answer.outcome).last.seq, Seq(2 * round + 2));
    }
    assert_eq!(caller.engine.status().live, 1);
    caller.verify();
}

/// AT16: two events, and the receptionist is killed and made again: the query gives both.
#[test]
fn at16_events_outlive_the_store_that_took_them() {
    let (disk, caller) = store();
    caller.store("lot/1", &["0 first"]);
    caller.store("lot/1", &["1 second"]);
    let before = caller.events("lot/1");
    drop(caller);
    let store = disk.open();
    let caller = Caller::new(store.engine().clone());
    assert_eq!(caller.events("lot/1"), before);
    assert_eq!(caller.store("lot/1", &["2 third"]), Seq(3), "the state is there, too");
    assert!(store.close(Duration::from_secs(30)));
    drop(caller);
    let caller = disk.caller();
    assert_eq!(caller.payloads("lot/1"), ["0 first", "1 second", "2 third"]);
    assert_eq!(caller.store("lot/1", &["3 fourth"]), Seq(4));
}
