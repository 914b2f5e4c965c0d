//! Each cap of a validator at its value, which is allowed, and one above, which is not.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod guests;

use atomic_store::plugin::WasmLoader;
use atomic_store::validator::{AdmitError, Loader, StartError};
use atomic_store_core::{Fault, FaultKind, Limits};
use guests::{Events, Guest, assert_fault, guest, proposal, start};

/// Where a guest with many pages keeps zeros to answer with.
const ZEROS: usize = 1 << 16;

fn store(at: usize, value: usize) -> String {
    format!("(i32.store (i32.const {at}) (i32.const {value}))")
}

/// A guest with room to answer at length.
fn large() -> Guest {
    guest().with("memory", "512")
}

/// A refusal of one reason, after changes to the reason at 128.
fn reason(changes: &str) -> Guest {
    large().with("validate", &format!("{changes} (call $refuse (i32.const 0) (i32.const 1))"))
}

/// A refusal of one reason, then changes to the answer at 256.
fn refusal(changes: &str) -> Guest {
    let refuse = "(drop (call $refuse (i32.const 0) (i32.const 1)))";
    large().with("validate", &format!("{refuse} {changes} (i32.const 256)"))
}

/// One acceptance, then changes to it; it stands at `ACCEPTANCE`.
fn acceptance(changes: &str) -> Guest {
    let move_it = format!(
        "(memory.fill (i32.const {ACCEPTANCE}) (i32.const 0) (i32.const 44))
         (i32.store (i32.const 260) (i32.const {ACCEPTANCE}))"
    );
    let accept = "(drop (call $accept (local.get $len)))";
    large().with("validate", &format!("{accept} {move_it} {changes} (i32.const 256)"))
}

const ACCEPTANCE: usize = 512;

/// `some` of a list in a record.
fn some(at: usize, len: usize) -> String {
    store(at, 1) + &store(at + 4, ZEROS) + &store(at + 8, len)
}

/// Replaces the proposal by `count` events of a kind and payload of these sizes.
fn events(count: usize, kind: usize, payload: usize) -> Guest {
    const EVENT: usize = 40;
    let at = 30 << 20;
    let fill = format!(
        "(local $i i32) (local $e i32)
         (local.set $e (i32.const {at}))
         (loop $next
           (i32.store (local.get $e) (i32.const {ZEROS}))
           (i32.store offset=4 (local.get $e) (i32.const {kind}))
           (i32.store offset=16 (local.get $e) (i32.const {ZEROS}))
           (i32.store offset=20 (local.get $e) (i32.const {payload}))
           (local.set $e (i32.add (local.get $e) (i32.const {EVENT})))
           (br_if $next (i32.lt_u
             (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {count}))))"
    );
    let some = store(ACCEPTANCE, 1) + &store(ACCEPTANCE + 4, at) + &store(ACCEPTANCE + 8, count);
    let mut guest = acceptance(&some);
    // Locals come first in a function.
    let body = guest.part("validate");
    guest = guest.with("validate", &format!("{fill} {body}"));
    guest
}

fn validate(guest: &Guest, limits: &Limits) -> Result<(), Fault> {
    guest.start(limits).validate(&[proposal(b"x")], 1).map(|_| ())
}

type Answer = fn(usize) -> Guest;

#[test]
fn an_answer_has_its_caps() {
    let limits = Limits::default();
    let cases: [(&str, usize, Answer); 12] = [
        ("17 reasons, at most 16", limits.reasons_max, |n| {
            large().with("validate", &format!("(call $refuse (i32.const 0) (i32.const {n}))"))
        }),
        ("reason code: 65 bytes, at most 64", limits.reason_code_bytes_max, |n| {
            reason(&(store(128, ZEROS) + &store(132, n)))
        }),
        ("reason message: 1025 bytes, at most 1024", limits.reason_message_bytes_max, |n| {
            reason(&(store(136, ZEROS) + &store(140, n)))
        }),
        ("reason data: 65537 bytes, at most 65536", limits.answer_data_bytes_max, |n| {
            reason(&some(144, n))
        }),
        ("reason seqs: 1001 seqs, at most 1000", limits.append_events_max, |n| {
            reason(&(store(156, ZEROS) + &store(160, n)))
        }),
        ("meta: 65537 bytes, at most 65536", limits.answer_data_bytes_max, |n| {
            refusal(&some(272, n))
        }),
        ("reason: 1025 bytes, at most 1024", limits.reason_message_bytes_max, |n| {
            acceptance(&some(ACCEPTANCE + 12, n))
        }),
        ("meta: 65537 bytes, at most 65536", limits.answer_data_bytes_max, |n| {
            acceptance(&some(ACCEPTANCE + 24, n))
        }),
        ("kind: 129 bytes, at most 128", limits.kind_bytes_max, |n| events(1, n, 0)),
        ("payload: 1048577 bytes, at most 1048576", limits.payload_bytes_max, |n| events(1, 1, n)),
        ("1001 events in all, at most 1000", limits.append_events_max, |n| events(n, 1, 0)),
        ("bytes of events in all", limits.append_bytes_max / 4 - 1, |n| events(4, 1, n)),
    ];
    for (cause, max, answer) in cases {
        if let Err(fault) = validate(&answer(max), &limits) {
            panic!("{max} must do ({cause}): {fault:?}");
        }
        assert_fault(validate(&answer(max + 1), &limits), FaultKind::BadOutput, cause);
    }
}

#[test]
fn a_query_has_its_caps() {
    let limits = Limits { hostcall_bytes_max: 3 << 20, ..Limits::default() };
    let ask = |limits: &Limits, case: u32, n: usize| {
        let list = format!("(call $list (i32.const {case}) (i32.const {ZEROS}) (i32.const {n}))");
        large().with("query", &list).start(limits).query("q", b"")
    };
    let max = limits.query_answer_bytes_max;
    assert_eq!(ask(&limits, 0, max).unwrap().unwrap().len(), max);
    assert_fault(ask(&limits, 0, max + 1), FaultKind::BadOutput, "query answer: 1048577 bytes");
    let max = limits.reason_message_bytes_max;
    assert_eq!(ask(&limits, 1, max).unwrap().unwrap_err().len(), max);
    assert_fault(ask(&limits, 1, max + 1), FaultKind::BadOutput, "query error: 1025 bytes");
    // With a higher cap of its own, what any call may hand over is the cap.
    let limits = Limits { query_answer_bytes_max: usize::MAX, ..limits };
    let max = limits.hostcall_bytes_max;
    assert_eq!(ask(&limits, 0, max).unwrap().unwrap().len(), max);
    assert_fault(ask(&limits, 0, max + 1), FaultKind::BadOutput, "too much data");
}

#[test]
fn a_snapshot_has_its_cap_which_is_above_that_of_other_calls() {
    let limits = Limits::default();
    let take = |n: usize| {
        let list = format!("(call $list (i32.const 1) (i32.const {ZEROS}) (i32.const {n}))");
        large().with("snapshot", &list).start(&limits).snapshot()
    };
    let max = limits.snapshot_bytes_max;
    assert_eq!(take(max).unwrap().unwrap().len(), max);
    assert_fault(take(max + 1), FaultKind::BadOutput, "snapshot: 16777217 bytes");
    assert_fault(take(max + (1 << 20)), FaultKind::BadOutput, "too much data");
}

#[test]
fn a_declined_start_has_a_short_reason() {
    let decline = |n: usize| {
        let list = format!("(call $list (i32.const 1) (i32.const {ZEROS}) (i32.const {n}))");
        let rules = large().with("init", &list).load(&Limits::default());
        start(&*rules, Events::default()).err().unwrap()
    };
    assert!(matches!(decline(1_024), StartError::Declined(why) if why.len() == 1_024));
    assert!(matches!(decline(1_025), StartError::Fault(f) if f.kind == FaultKind::BadOutput));
}

#[test]
fn a_component_has_its_size() {
    let bytes = guest().component();
    let load = |max: usize| {
        let limits = Limits { component_bytes_max: max, ..Limits::default() };
        WasmLoader::new(limits).unwrap().load(&bytes)
    };
    assert!(load(bytes.len()).is_ok());
    assert!(matches!(load(bytes.len() - 1).err(), Some(AdmitError::Limit(_))));
}

#[test]
fn memory_and_tables_have_their_size() {
    let limits = Limits { memory_bytes_max: 32 << 16, ..Limits::default() };
    let load = |guest: Guest| {
        WasmLoader::new(limits.clone()).unwrap().load(&guest.component()).map(|_| ())
    };
    load(guest().with("memory", "32")).unwrap();
    assert!(matches!(load(guest().with("memory", "33")), Err(AdmitError::Limit(_))));
    // Both memories count together.
    load(guest().with("functions", "(memory 30)")).unwrap();
    let error = load(guest().with("functions", "(memory 31)"));
    assert!(matches!(error, Err(AdmitError::Limit(_))));
    load(guest().with("functions", "(table 20000 funcref)")).unwrap();
    let error = load(guest().with("functions", "(table 20001 funcref)"));
    assert!(matches!(error, Err(AdmitError::Limit(_))));
}

#[test]
fn calls_to_the_host_have_their_number() {
    let calls = |n: u32| {
        guest().with(
            "validate",
            &format!(
                "(local $i i32)
                 (loop $again (drop (call $head))
                   (br_if $again (i32.lt_u
                     (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {n}))))
                 (call $accept (local.get $len))"
            ),
        )
    };
    let limits = Limits { hostcalls_max: 100, ..Limits::default() };
    // The count begins anew with each call.
    let mut validator = calls(100).start(&limits);
    for _ in 0..3 {
        validator.validate(&[proposal(b"x")], 1).unwrap();
    }
    let result = validate(&calls(101), &limits);
    assert_fault(result, FaultKind::BadOutput, "more than 100 calls to the host");
}

#[test]
fn fuel_is_exact() {
    let busy = guest().with(
        "validate",
        "(local $i i32)
         (loop $again (br_if $again (i32.lt_u
           (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3000))))
         (call $accept (local.get $len))",
    );
    let with = |fuel| validate(&busy, &Limits { call_fuel_max: fuel, ..Limits::default() });
    let (mut too_little, mut enough) = (1_000, 1_000_000);
    while enough - too_little > 1 {
        let fuel = (too_little + enough) / 2;
        match with(fuel) {
            Ok(()) => enough = fuel,
            Err(fault) => {
                assert_eq!(fault.kind, FaultKind::OutOfFuel, "{}", fault.detail);
                too_little = fuel;
            }
        }
    }
    for _ in 0..3 {
        with(enough).unwrap();
        assert_fault(with(enough - 1), FaultKind::OutOfFuel, "fuel");
    }
}

#[test]
fn instances_have_their_number_and_give_their_place_back() {
    let limits = Limits { instances_max: 2, ..Limits::default() };
    let loader = WasmLoader::new(limits).unwrap();
    assert_eq!(loader.instances_max(), 2);
    let rules = loader.load(&guest().component()).unwrap();
    let first = start(&*rules, Events::default()).unwrap();
    let _second = start(&*rules, Events::default()).unwrap();
    let full = start(&*rules, Events::default()).err().unwrap();
    assert!(matches!(full, StartError::NoRoom(why) if why.contains("at most 2")));
    drop(first);
    start(&*rules, Events::default()).unwrap();
}

#[test]
fn no_more_instances_than_the_kernel_has_memory_maps_for() {
    let limits = Limits { instances_max: usize::MAX, ..Limits::default() };
    let maps = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let maps: usize = maps.trim().parse().unwrap();
    let possible = WasmLoader::new(limits).unwrap().instances_max();
    assert!(possible >= 1 && possible <= maps / 4, "{possible} of {maps} maps");
}
