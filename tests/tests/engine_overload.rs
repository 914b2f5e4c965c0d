//! What is too much is refused at once, by name, and nothing that was taken suffers from it. Each cap
//! is met at its value, which is allowed, and one above.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::{Drive, Engine};
use atomic_store::log::MemoryLog;
use atomic_store::plugin::WasmLoader;
use atomic_store_core::protocol::{RequestError, StoreId};
use atomic_store_core::{Answer, Limits, Outcome, Overload, Seq};
use atomic_store_tests::{Caller, Hands, JumpingClock, Memory, append_to, wat_rules};
use std::sync::Arc;

fn overloaded(answer: Option<Answer>) -> Overload {
    match answer.expect("a refusal comes at once").outcome {
        Outcome::Overloaded(what) => what,
        other => panic!("{other:?}"),
    }
}

fn seq(caller: &Caller, call: u64) -> Seq {
    match caller.wait(call).outcome {
        Outcome::Committed(committed) => committed.last.seq,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_mailbox_takes_its_cap_and_refuses_one_more() {
    let (_memory, caller) = Memory::ruled(Limits { mailbox_len_max: 5, ..Limits::default() });
    let taken: Vec<_> = (0..5).map(|n| append_to("s/1", &[&format!("add {n}0")])).collect();
    let calls: Vec<_> = taken.iter().map(|append| caller.send(append.clone())).collect();
    let refused = append_to("s/1", &["add 90"]);
    let call = caller.send(refused.clone());
    assert_eq!(overloaded(caller.inbox.answer(call)), Overload::Mailbox);
    let call = caller.send_query("s/1", "sum");
    let state = caller.wait_state(call);
    assert!(matches!(state, Err(RequestError::Overloaded(_))), "{state:?}");
    let other = caller.send(append_to("s/2", &["add 10"]));

    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(seq(&caller, call), Seq(n as u64 + 1), "the queue drains in order");
    }
    assert_eq!(seq(&caller, other), Seq(1), "another scope has a mailbox of its own");
    let ids: Vec<_> = caller.events("s/1").iter().map(|event| event.append_id).collect();
    assert_eq!(ids, taken.iter().map(|append| append.id).collect::<Vec<_>>());
    // It was never decided, so the same id is as good as a new one.
    let answer = caller.ask_again(&refused);
    assert!(matches!(answer.outcome, Outcome::Committed(_)) && !answer.duplicate);
}

#[test]
fn appends_in_flight_have_a_cap_over_all_scopes_until_they_are_durable() {
    let limits = Limits { in_flight_appends_max: 4, ..Limits::default() };
    let (memory, caller) = Memory::ruled(limits);
    let calls: Vec<_> =
        (0..4).map(|n| caller.send(append_to(&format!("s/{n}"), &["add 10"]))).collect();
    let refused = caller.send(append_to("s/9", &["add 10"]));
    assert_eq!(overloaded(caller.inbox.answer(refused)), Overload::InFlight);
    memory.hands.decide();
    assert_eq!(caller.engine.status().in_flight, 4, "decided is not durable");
    let refused = caller.send(append_to("s/9", &["add 10"]));
    assert_eq!(overloaded(caller.inbox.answer(refused)), Overload::InFlight);
    for call in calls {
        assert_eq!(seq(&caller, call), Seq(1));
    }
    assert_eq!(caller.engine.status().in_flight, 0);
    assert_eq!(caller.store("s/9", &["add 10"]), Seq(1));
}

#[test]
fn bytes_in_flight_have_a_cap_over_all_scopes() {
    // "op" and "add 10" are 8 bytes.
    let limits = Limits { in_flight_bytes_max: 24, ..Limits::default() };
    let (_memory, caller) = Memory::ruled(limits);
    let calls: Vec<_> =
        (0..3).map(|n| caller.send(append_to(&format!("s/{n}"), &["add 10"]))).collect();
    let refused = caller.send(append_to("s/3", &["add 10"]));
    assert_eq!(overloaded(caller.inbox.answer(refused)), Overload::InFlight);
    for call in calls {
        assert_eq!(seq(&caller, call), Seq(1));
    }
    let call = caller.send(append_to("s/4", &["add 10", "add 10"]));
    let refused = caller.send(append_to("s/5", &["add 100"]));
    assert_eq!(overloaded(caller.inbox.answer(refused)), Overload::InFlight, "25 bytes");
    assert_eq!(seq(&caller, call), Seq(2));
    let alone = ["add 10"; 4];
    assert_eq!(caller.store("s/6", &alone), Seq(4), "what exceeds the cap on its own still passes");
}

#[test]
fn refused_calls_give_back_what_they_held() {
    let limits = Limits { in_flight_appends_max: 3, mailbox_len_max: 1, ..Limits::default() };
    let (_memory, caller) = Memory::ruled(limits);
    for _ in 0..50 {
        let taken = caller.send(append_to("s/1", &["add 10"]));
        let full = caller.send(append_to("s/1", &["add 10"]));
        assert_eq!(overloaded(caller.inbox.answer(full)), Overload::Mailbox);
        let refused = caller.send_query("s/1", "sum");
        assert!(caller.wait_state(refused).is_err() || caller.inbox.take(taken).is_some());
        drop(caller.inbox.take(taken));
        let unbound = caller.append("nobody/1", &["add 10"]);
        assert!(matches!(unbound, Outcome::Invalid { .. }));
        assert!(matches!(caller.append("s/1", &["trap"]), Outcome::Faulted(_)));
        assert_eq!(caller.engine.status().in_flight, 0);
    }
}

#[test]
fn a_disk_without_room_takes_no_more_and_loses_nothing() {
    let (memory, caller) = Memory::ruled(Limits::default());
    let before = caller.send(append_to("s/1", &["add 10"]));
    memory.log.set_room(false);
    let append = append_to("s/1", &["add 20"]);
    let refused = caller.send(append.clone());
    assert_eq!(overloaded(caller.inbox.answer(refused)), Overload::Disk);
    assert_eq!(seq(&caller, before), Seq(1), "what was taken before is still stored");
    assert_eq!(caller.query("s/1", "sum"), (Seq(1), Ok(b"10".to_vec())));
    assert_eq!(caller.payloads("s/1"), ["add 10"]);
    let bind = caller.engine.bind("x/*".parse().unwrap(), &"scripted".parse().unwrap(), None);
    assert!(matches!(bind, Err(RequestError::Overloaded(_))), "{bind:?}");
    memory.log.set_room(true);
    assert!(!caller.ask_again(&append).duplicate);
    assert_eq!(caller.payloads("s/1"), ["add 10", "add 20"]);
}

#[test]
fn a_burst_of_scopes_beyond_the_cap_of_instances_does_not_lock_new_scopes_out() {
    let (memory, caller) = Memory::ruled(Limits { instances_max: 2, ..Limits::default() });
    // Nothing is durable yet, so nobody can leave.
    let mut calls = Vec::new();
    let refused = loop {
        let call = caller.send(append_to(&format!("s/{}", calls.len()), &["add 10"]));
        memory.hands.decide();
        if let Some(answer) = caller.inbox.answer(call) {
            break answer;
        }
        calls.push(call);
        assert!(calls.len() < 100_000, "the number of instances has no cap");
    };
    assert_eq!(overloaded(Some(refused)), Overload::Instances);
    for call in calls {
        assert_eq!(seq(&caller, call), Seq(1));
    }
    // Now all of them could leave, and "try again later" must become true.
    let mut tries = 0;
    while matches!(caller.append("s/new", &["add 10"]), Outcome::Overloaded(_)) {
        tries += 1;
        assert!(tries < 10, "new scopes are locked out for good");
    }
    for n in 0..5_000 {
        caller.store(&format!("t/{n}").replace('t', "s/t"), &["add 10"]);
    }
    let live = caller.engine.status().live;
    assert!(live < 20, "{live} scopes are live");
}

#[test]
fn a_sandbox_without_room_is_no_fault_of_the_validator_and_decides_nothing() {
    // The sandbox counts memories and the engine scopes, so the sandbox may be full first.
    let limits = Limits { instances_max: 10, ..Limits::default() };
    let log = Arc::new(MemoryLog::new(StoreId([1; 16]), limits.clone()));
    let loader = WasmLoader::new(Limits { instances_max: 2, ..limits.clone() }).unwrap();
    let (hands, clock) = (Arc::<Hands>::default(), Arc::<JumpingClock>::default());
    let drive = Drive::Manual(Arc::clone(&hands) as _);
    let engine = Engine::open(log, Arc::new(loader), clock, limits, drive).unwrap();
    let caller = Caller::by_hand(engine, &hands);
    caller.rule("*", &wat_rules("1.0.0"));
    let mut refusals = 0;
    for n in 0..50 {
        let append = append_to(&format!("s/{}", n % 5), &["a"]);
        let mut answer = caller.ask(append.clone());
        for _ in 0..10 {
            if matches!(answer.outcome, Outcome::Overloaded(Overload::Instances)) {
                refusals += 1;
                answer = caller.ask_again(&append);
            }
        }
        assert!(matches!(answer.outcome, Outcome::Committed(_)), "{:?}", answer.outcome);
        assert!(!answer.duplicate, "the refusal was kept as its decision");
    }
    assert!(refusals > 0, "the sandbox was never full");
    assert_eq!((0..5).map(|n| caller.events(&format!("s/{n}")).len()).sum::<usize>(), 50);
}
