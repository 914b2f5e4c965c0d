//! Eventsrc's tests of operations on values, by meaning: an entity whose keys are set, inserted, changed
//! and deleted under conditions, and a directory of which one stream has many views.
//!
//! There, the library folded the stream and ran the operation on the value; here, the validator does.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::{Drive, Engine};
use atomic_store::log::MemoryLog;
use atomic_store_core::protocol::StoreId;
use atomic_store_core::{Limits, Outcome, Seq};
use atomic_store_tests::{
    Caller, ENTITY, EntityLoader, EntityState, Got, Inbox, JumpingClock, append_to, entity_fold,
    scope,
};
use serde_json::{Value, json};
use std::sync::Arc;

const SCOPE: &str = "e/1";

fn store() -> Caller {
    let limits = Limits::default();
    let log = Arc::new(MemoryLog::new(StoreId([1; 16]), limits.clone()));
    let clock = Arc::<JumpingClock>::default();
    let engine = Engine::open(log, Arc::new(EntityLoader), clock, limits, Drive::Threads(2));
    let caller = Caller::new(engine.unwrap());
    caller.rule("e/*", ENTITY);
    caller
}

fn op(op: &str, key: &str, value: Value) -> Value {
    json!({"op": op, "key": key, "value": value})
}

fn only_if(condition: Value, mut op: Value) -> Value {
    op["if"] = condition;
    op
}

fn batch(caller: &Caller, ops: &[Value]) -> Outcome {
    let payloads: Vec<_> = ops.iter().map(|op| op.to_string()).collect();
    let payloads: Vec<_> = payloads.iter().map(String::as_str).collect();
    caller.ask(append_to(SCOPE, &payloads)).outcome
}

fn save(caller: &Caller, op: Value) -> Outcome {
    batch(caller, &[op])
}

/// Saves what must be stored, as the event of that number.
fn stored(caller: &Caller, op: Value, seq: u64) {
    match save(caller, op) {
        Outcome::Committed(committed) => assert_eq!(committed.last.seq, Seq(seq)),
        other => panic!("{other:?}"),
    }
}

fn refused(caller: &Caller, op: Value) -> String {
    match save(caller, op) {
        Outcome::Rejected(refusal) => refusal.reasons[0].code.clone(),
        other => panic!("{other:?}"),
    }
}

/// The reason why there was nothing to store.
fn noop(caller: &Caller, op: Value) -> String {
    match save(caller, op) {
        Outcome::Noop { reason } => reason.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The number of the last event, and the whole state; it is what a fold of the stored events gives.
fn all(caller: &Caller) -> (u64, Value) {
    let (head, answer) = caller.query(SCOPE, "all");
    let state = serde_json::from_slice::<Value>(&answer.unwrap()).unwrap();
    let mut folded = EntityState::new();
    for event in caller.events(SCOPE) {
        entity_fold(&mut folded, &event.payload);
    }
    assert_eq!(state, json!(folded), "the validator holds something else than the log");
    (head.0, state)
}

#[test]
fn st06_an_insert_whose_condition_holds_is_stored() {
    let caller = store();
    stored(&caller, only_if(Value::Null, op("set", "a", json!(1))), 1);
    stored(&caller, only_if(json!(1), op("set", "a", json!(2))), 2);
    assert_eq!(all(&caller), (2, json!({"a": 2})));
}

#[test]
fn st07_an_insert_whose_condition_fails_is_refused_and_changes_nothing() {
    let caller = store();
    assert_eq!(refused(&caller, only_if(json!(1), op("set", "a", json!(2)))), "other-value");
    assert_eq!(all(&caller), (0, json!({})));
    stored(&caller, op("set", "a", json!(1)), 1);
    for condition in [json!(2), Value::Null] {
        assert_eq!(refused(&caller, only_if(condition, op("set", "a", json!(3)))), "other-value");
    }
    assert_eq!(all(&caller), (1, json!({"a": 1})));
}

#[test]
fn st08_a_delete_whose_condition_holds_is_stored() {
    let caller = store();
    stored(&caller, op("set", "a", json!(1)), 1);
    stored(&caller, only_if(json!(1), op("delete", "a", Value::Null)), 2);
    assert_eq!(all(&caller), (2, json!({})));
}

#[test]
fn st09_a_delete_whose_condition_fails_is_refused_and_the_value_stays() {
    let caller = store();
    stored(&caller, op("set", "a", json!(1)), 1);
    assert_eq!(refused(&caller, only_if(json!(2), op("delete", "a", Value::Null))), "other-value");
    assert_eq!(all(&caller), (1, json!({"a": 1})));
}

#[test]
fn st10_an_insert_of_what_is_there_keeps_the_first() {
    let caller = store();
    stored(&caller, op("insert", "a", json!("first")), 1);
    assert_eq!(noop(&caller, op("insert", "a", json!("second"))), "it is there already");
    assert_eq!(all(&caller), (1, json!({"a": "first"})));
    // To change what is not there is refused, in contrast.
    assert_eq!(refused(&caller, op("update", "b", json!(1))), "absent");
    // And what was deleted may be inserted again.
    stored(&caller, op("delete", "a", Value::Null), 2);
    stored(&caller, op("insert", "a", json!("third")), 3);
    assert_eq!(all(&caller), (3, json!({"a": "third"})));
}

#[test]
fn st11_a_delete_of_what_is_absent_is_a_noop_and_no_refusal() {
    let caller = store();
    stored(&caller, op("set", "a", json!(1)), 1);
    assert_eq!(noop(&caller, op("delete", "b", Value::Null)), "it is not there");
    stored(&caller, op("delete", "a", Value::Null), 2);
    assert_eq!(noop(&caller, op("delete", "a", Value::Null)), "it is not there");
    assert_eq!(all(&caller), (2, json!({})));
}

#[test]
fn st12_deleting_from_an_empty_scope_does_no_harm() {
    let caller = store();
    assert_eq!(noop(&caller, op("delete", "a", Value::Null)), "it is not there");
    assert_eq!(all(&caller), (0, json!({})));
    // The first event is number 1 all the same.
    stored(&caller, op("set", "a", json!(1)), 1);
    assert_eq!(all(&caller), (1, json!({"a": 1})));
    caller.verify();
}

/// A user of the directory; its value is the other half of the views.
fn user(name: &str, mail: &str) -> Value {
    op("insert", &format!("user/{name}"), json!(mail))
}

fn delete(name: &str) -> Value {
    op("delete", &format!("user/{name}"), Value::Null)
}

/// One view of the stream: the users by mail.
fn by_mail(caller: &Caller) -> Vec<(String, String)> {
    let mut users = EntityState::new();
    caller.events(SCOPE).iter().for_each(|event| entity_fold(&mut users, &event.payload));
    let swapped = users.into_iter().map(|(name, mail)| (mail.as_str().unwrap().to_owned(), name));
    let mut swapped: Vec<_> = swapped.collect();
    swapped.sort();
    swapped
}

/// Another view of it: one user by name, as the validator answers.
fn by_name(caller: &Caller, name: &str) -> Value {
    let (inbox, call) = (Arc::<Inbox>::default(), 1);
    let args = format!("user/{name}").into_bytes();
    caller.engine.query(&scope(SCOPE), "get".to_owned(), args, &(Arc::clone(&inbox) as _), call);
    match inbox.wait_for(call) {
        Got::State(state) => serde_json::from_slice(&state.unwrap().answer.unwrap()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn st23_two_users_that_were_added_are_both_in_the_view() {
    let caller = store();
    stored(&caller, user("fred", "f@x"), 1);
    stored(&caller, user("wilma", "w@x"), 2);
    let expected = [("f@x", "user/fred"), ("w@x", "user/wilma")];
    assert_eq!(by_mail(&caller), expected.map(|(mail, key)| (mail.to_owned(), key.to_owned())));
    assert_eq!(all(&caller).1, json!({"user/fred": "f@x", "user/wilma": "w@x"}));
    // Together in one append, too.
    let both = batch(&caller, &[user("barney", "b@x"), user("betty", "be@x")]);
    assert_eq!(both.word(), "committed");
    assert_eq!(by_mail(&caller).len(), 4);
}

#[test]
fn st37_what_was_added_can_be_got() {
    let caller = store();
    assert_eq!(by_name(&caller, "fred"), Value::Null);
    stored(&caller, user("fred", "f@x"), 1);
    assert_eq!(by_name(&caller, "fred"), json!("f@x"));
}

#[test]
fn st38_what_was_added_and_deleted_is_gone() {
    let caller = store();
    stored(&caller, user("fred", "f@x"), 1);
    stored(&caller, delete("fred"), 2);
    assert_eq!((by_name(&caller, "fred"), by_mail(&caller).len()), (Value::Null, 0));
}

#[test]
fn st39_two_keys_of_one_stream_do_not_mix() {
    let caller = store();
    stored(&caller, user("fred", "f@x"), 1);
    stored(&caller, user("wilma", "w@x"), 2);
    stored(&caller, op("update", "user/fred", json!("fred@x")), 3);
    assert_eq!(by_name(&caller, "fred"), json!("fred@x"));
    assert_eq!(by_name(&caller, "wilma"), json!("w@x"));
}

#[test]
fn st40_deletes_in_between_touch_their_own_key_only() {
    let caller = store();
    stored(&caller, user("fred", "f@x"), 1);
    stored(&caller, user("wilma", "w@x"), 2);
    stored(&caller, delete("fred"), 3);
    assert_eq!(by_name(&caller, "wilma"), json!("w@x"));
    stored(&caller, user("fred", "again@x"), 4);
    stored(&caller, delete("wilma"), 5);
    assert_eq!(
        (by_name(&caller, "fred"), by_name(&caller, "wilma")),
        (json!("again@x"), json!(null))
    );
    // In one append each member sees those before it: deleted, there again, deleted.
    let mixed = [delete("fred"), user("fred", "new@x"), delete("wilma"), user("wilma", "w2@x")];
    match batch(&caller, &mixed) {
        // The second delete had nothing to do, so three events came of four.
        Outcome::Committed(committed) => {
            assert_eq!((committed.first.seq, committed.last.seq), (Seq(6), Seq(8)));
            assert_eq!(committed.reason.as_deref(), Some("it is not there"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(all(&caller), (8, json!({"user/fred": "new@x", "user/wilma": "w2@x"})));
    caller.verify();
}
