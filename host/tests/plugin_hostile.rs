//! Hostile guests: each costs its own call and instance, with a fault that names the cause.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod guests;

use atomic_store::plugin::{WasmLoader, thread_stack_bytes};
use atomic_store::validator::{AdmitError, History, Loader, Start, StartError, Verdict};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{Fault, FaultKind, Limits, ScopeName, Seq};
use guests::{Events, Guest, assert_fault, event, guest, proposal, start};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const FOREVER: &str = "(loop $again (br $again)) (unreachable)";

/// Limits that a hostile guest reaches soon.
fn tight() -> Limits {
    Limits { call_fuel_max: 2_000_000, memory_bytes_max: 2 << 20, ..Limits::default() }
}

/// Calls everything once and returns the first fault.
fn run(guest: &Guest, limits: &Limits) -> Result<(), Fault> {
    let rules = guest.load(limits);
    let mut validator = match start(&*rules, Events(vec![b"first".to_vec()])) {
        Ok(validator) => validator,
        Err(StartError::Fault(fault)) => return Err(fault),
        Err(StartError::Declined(why)) => panic!("declined: {why}"),
        Err(StartError::NoRoom(why)) => panic!("{why}"),
    };
    let calls = [
        validator.apply(&[event(1, b"first")]),
        validator.validate(&[proposal(b"x"), proposal(b"y")], 7).map(|_| ()),
        validator.snapshot().map(|_| ()),
        validator.query("q", b"args").map(|_| ()),
    ];
    let (at, fault) =
        match calls.iter().enumerate().find_map(|(at, call)| Some((at, call.clone().err()?))) {
            Some(found) => found,
            None => return Ok(()),
        };
    // An instance that has failed once answers nothing more.
    for later in &calls[at + 1..] {
        assert_fault(later.clone(), FaultKind::Trap, "lost to an earlier fault");
    }
    Err(fault)
}

#[test]
fn the_unchanged_guest_is_harmless() {
    run(&guest(), &tight()).unwrap();
}

#[test]
fn every_way_to_trap_is_a_trap_in_every_call() {
    let traps = [
        ("(unreachable)", "unreachable"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0))) (unreachable)", "divide by zero"),
        ("(drop (i32.load (i32.const -4))) (unreachable)", "out of bounds memory access"),
        ("(i32.store (i32.const -4) (i32.const 1)) (unreachable)", "out of bounds memory access"),
        ("(call_indirect (i32.const 9)) (unreachable)", "out of bounds table access"),
        ("(call_indirect (i32.const 0)) (unreachable)", "uninitialized element"),
        ("(drop (i32.trunc_f64_u (f64.const nan))) (unreachable)", "conversion to integer"),
        ("(call $deep (i32.const 0)) (unreachable)", "call stack exhausted"),
    ];
    let base = guest().with(
        "functions",
        "(table 1 funcref) (func $deep (param i32) (call $deep (local.get 0)) (call $reset))",
    );
    for (code, cause) in traps {
        for part in ["init", "apply", "validate", "snapshot", "query"] {
            assert_fault(run(&base.clone().with(part, code), &tight()), FaultKind::Trap, cause);
        }
    }
}

#[test]
fn an_endless_loop_runs_out_of_fuel_in_every_call() {
    for part in ["init", "apply", "validate", "snapshot", "query"] {
        let endless = guest().with(part, FOREVER);
        assert_fault(run(&endless, &tight()), FaultKind::OutOfFuel, "2000000 units of fuel");
    }
}

#[test]
fn a_component_that_does_not_describe_itself_is_not_admitted() {
    for (code, cause) in [(FOREVER, "out-of-fuel"), ("(unreachable)", "unreachable")] {
        let loader = WasmLoader::new(tight()).unwrap();
        let error = loader.load(&guest().with("describe", code).component()).err().unwrap();
        assert!(matches!(&error, AdmitError::Description(why) if why.contains(cause)), "{error}");
    }
}

/// Counts how often a guest asked for the head: the place where it was stopped.
#[derive(Default)]
struct Counting(AtomicU64);

impl History for Counting {
    fn head(&self) -> Seq {
        Seq(self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn read(&self, _: Seq, _: usize, _: &mut dyn FnMut(&BodyIn<'_>)) -> Result<(), String> {
        Err("not a guest's business".to_owned())
    }
}

#[test]
fn fuel_ends_at_the_same_point_in_every_run() {
    let endless =
        guest().with("validate", "(loop $again (drop (call $head)) (br $again)) (unreachable)");
    let rules = endless.load(&Limits { hostcalls_max: u32::MAX, ..tight() });
    let scope = ScopeName::new("test").unwrap();
    let stopped_at = || {
        let history = Arc::new(Counting::default());
        let start = Start {
            scope: &scope,
            config: None,
            snapshot: None,
            history: Arc::clone(&history) as _,
        };
        let mut validator = rules.start(start).unwrap();
        assert_fault(validator.validate(&[proposal(b"x")], 1), FaultKind::OutOfFuel, "fuel");
        history.0.load(Ordering::Relaxed)
    };
    let first = stopped_at();
    assert!(first > 1_000, "{first}");
    for _ in 0..5 {
        assert_eq!(stopped_at(), first);
    }
}

#[test]
fn the_wall_clock_stops_what_fuel_does_not() {
    let limits = Limits { call_fuel_max: u64::MAX, call_ms_max: 50, ..Limits::default() };
    for part in ["init", "apply", "validate", "snapshot", "query"] {
        let endless = guest().with(part, FOREVER);
        let begin = Instant::now();
        assert_fault(run(&endless, &limits), FaultKind::Timeout, "no answer within 50 ms");
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(45), "stopped early: {took:?}");
        assert!(took < Duration::from_secs(5), "stopped late: {took:?}");
    }
}

#[test]
fn the_deadline_is_that_of_one_call_and_not_of_an_idle_instance() {
    let limits = Limits { call_ms_max: 200, ..Limits::default() };
    let mut validator = guest().start(&limits);
    // Nothing is waited for here: the time itself is what must do no harm.
    std::thread::sleep(Duration::from_millis(300));
    validator.validate(&[proposal(b"x")], 1).unwrap();
}

#[test]
fn a_memory_bomb_is_out_of_memory_and_a_modest_guest_lives_with_the_cap() {
    let grow = "(loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 1)))))";
    let bomb = guest().with("validate", &format!("{grow} (unreachable)"));
    assert_fault(run(&bomb, &tight()), FaultKind::OutOfMemory, "at most 2097152 are allowed");
    let modest = guest().with("validate", &format!("{grow} (call $accept (local.get $len))"));
    run(&modest, &tight()).unwrap();
    // A growth refused in an earlier call explains nothing about a later trap.
    let later = modest.with("snapshot", "(unreachable)");
    assert_fault(run(&later, &tight()), FaultKind::Trap, "unreachable");
}

#[test]
fn a_table_bomb_is_out_of_memory() {
    let bomb = guest().with("functions", "(table $bomb 1 funcref)").with(
        "validate",
        "(loop $more (br_if $more (i32.ne (i32.const -1)
           (table.grow $bomb (ref.null func) (i32.const 1000))))) (unreachable)",
    );
    assert_fault(run(&bomb, &tight()), FaultKind::OutOfMemory, "at most 20000 are allowed");
}

#[test]
fn memory_or_tables_beyond_the_cap_are_not_admitted() {
    let loader = WasmLoader::new(tight()).unwrap();
    let memories = "(memory $b 20) (memory $c 20)";
    for (guest, cause) in [
        (guest().with("memory", "65536"), "at most 2097152 are allowed"),
        (guest().with("memory", "33"), "at most 2097152 are allowed"),
        (guest().with("functions", memories), "at most 2097152 are allowed"),
        (guest().with("functions", "(table 1000000000 funcref)"), "at most 20000 are allowed"),
        (guest().with("functions", &"(memory 0)".repeat(20)), "memory count"),
        (guest().with("functions", &"(table 0 funcref)".repeat(99)), "table count"),
    ] {
        let error = loader.load(&guest.component()).err().unwrap();
        assert!(error.to_string().contains(cause), "{error}");
    }
}

#[test]
fn deep_recursion_leaves_the_process_alive_on_the_documented_stack() {
    let limits = Limits { call_fuel_max: u64::MAX, ..Limits::default() };
    let stack = thread_stack_bytes(&limits);
    // Each level calls the host and has locals, so that host frames stand on a nearly full stack.
    let deep = guest()
        .with(
            "functions",
            "(func $deep (param i64) (result i64)
               (i64.add (call $deep (i64.add (local.get 0) (call $head))) (local.get 0)))",
        )
        .with("validate", "(drop (call $deep (i64.const 1))) (unreachable)");
    let limits = Limits { hostcalls_max: u32::MAX, ..limits };
    let run_deep = move || {
        assert_fault(run(&deep, &limits), FaultKind::Trap, "call stack exhausted");
    };
    let thread = std::thread::Builder::new().stack_size(stack).spawn(run_deep).unwrap();
    thread.join().unwrap();
}

#[test]
fn answers_that_lie_about_addresses_are_bad_output() {
    let lies = [
        ("validate", "(call $list (i32.const 0) (i32.const 0) (i32.const -1))", "bounds"),
        ("validate", "(call $list (i32.const 0) (i32.const -4) (i32.const 2))", "bounds"),
        ("validate", "(call $list (i32.const 0) (i32.const 4097) (i32.const 2))", "aligned"),
        ("validate", "(call $list (i32.const 7) (i32.const 0) (i32.const 0))", "discriminant"),
        ("validate", "(i32.const -8)", "bounds"),
        ("validate", "(i32.const 3)", "aligned"),
        ("snapshot", "(call $list (i32.const 1) (i32.const 65536) (i32.const 65537))", "bounds"),
        ("query", "(call $list (i32.const 0) (i32.const -1) (i32.const 1))", "bounds"),
        ("query", "(call $list (i32.const 1) (i32.const -1) (i32.const 1))", "bounds"),
        ("query", "(call $list (i32.const 1) (i32.const 28) (i32.const 2))", "utf-8"),
        ("init", "(call $list (i32.const 1) (i32.const 28) (i32.const 2))", "utf-8"),
    ];
    for (part, code, cause) in lies {
        assert_fault(run(&guest().with(part, code), &tight()), FaultKind::BadOutput, cause);
    }
}

#[test]
fn addresses_for_arguments_that_lie_are_bad_output() {
    let realloc = "(func $alloc (export \"cabi_realloc\")";
    for (address, cause) in [("-8", "bounds"), ("4097", "aligned")] {
        let liar = format!(
            "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
               (i32.const {address})) (func $alloc"
        );
        let result = run(&guest().replacing(realloc, &liar), &tight());
        let fault = result.unwrap_err();
        assert_eq!(fault.kind, FaultKind::BadOutput, "{cause}: {}", fault.detail);
    }
}

#[test]
fn a_trap_after_the_answer_is_a_fault_of_the_call() {
    let post = "#validate\") (param i32) call $reset)";
    let late = guest().replacing(post, "#validate\") (param i32) unreachable)");
    assert_fault(run(&late, &tight()), FaultKind::Trap, "unreachable");
}

#[test]
fn invalid_text_in_a_reason_is_bad_output() {
    let guest = guest().with(
        "validate",
        "(i32.store (i32.const 136) (i32.const 28)) (call $refuse (i32.const 0) (i32.const 1))",
    );
    assert_fault(run(&guest, &tight()), FaultKind::BadOutput, "utf-8");
}

#[test]
fn a_verdict_that_breaks_the_contract_is_bad_output() {
    let accept_one_with = |field: u32, value: &str| {
        format!(
            "(local $got i32) (drop (call $accept (local.get $len)))
             (local.set $got (i32.load (i32.const 260)))
             (i32.store offset={field} (local.get $got) (i32.const {value})) (i32.const 256)"
        )
    };
    let cases = [
        ("(call $accept (i32.const 1))".to_owned(), "1 for 2 proposals"),
        ("(call $accept (i32.const 3))".to_owned(), "3 for 2 proposals"),
        ("(call $accept (i32.const 0))".to_owned(), "0 for 2 proposals"),
        ("(call $refuse (i32.const 2) (i32.const 1))".to_owned(), "2 of 2 proposals"),
        ("(call $refuse (i32.const -1) (i32.const 1))".to_owned(), "of 2 proposals"),
        ("(call $refuse (i32.const 0) (i32.const 0))".to_owned(), "at least one reason"),
        // One output: the constants at 128 do for its record.
        (
            "(local $got i32) (drop (call $accept (local.get $len)))
             (local.set $got (i32.load (i32.const 260)))
             (i32.store offset=36 (local.get $got) (i32.const 128))
             (i32.store offset=40 (local.get $got) (i32.const 1)) (i32.const 256)"
                .to_owned(),
            "no channels",
        ),
        (accept_one_with(0, "2"), "discriminant"),
        (accept_one_with(40, "-1"), "bounds"),
    ];
    for (code, cause) in cases {
        assert_fault(run(&guest().with("validate", &code), &tight()), FaultKind::BadOutput, cause);
    }
}

#[test]
fn a_million_calls_to_the_host_are_too_many() {
    let limits = Limits { call_fuel_max: u64::MAX, ..tight() };
    let loops = |call: &str| {
        format!(
            "(local $i i32) (loop $again {call}
               (br_if $again (i32.lt_u
                 (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000000))))
             (call $accept (local.get $len))"
        )
    };
    for call in [
        "(drop (call $head))",
        "(call $read (i64.const 0) (i32.const 1) (i32.const 512)) (call $reset)",
        "(call $line (i32.const 1) (i32.const 24) (i32.const 2))",
    ] {
        let result = run(&guest().with("validate", &loops(call)), &limits);
        assert_fault(result, FaultKind::BadOutput, "more than 10000 calls to the host");
    }
}

#[test]
fn a_log_line_that_lies_is_bad_output() {
    for (code, cause) in [
        ("(call $line (i32.const 1) (i32.const -9) (i32.const 20))", "bounds"),
        ("(call $line (i32.const 1) (i32.const 28) (i32.const 2))", "utf-8"),
        ("(call $line (i32.const 9) (i32.const 24) (i32.const 2))", "discriminant"),
    ] {
        let liar = guest().with("apply", code);
        assert_fault(run(&liar, &tight()), FaultKind::BadOutput, cause);
    }
}

#[test]
fn a_history_that_cannot_be_read_fails_the_call_and_says_why() {
    let reader = guest()
        .with("apply", "(call $read (i64.const 0) (i32.const 1) (i32.const 512)) (call $reset)");
    let scope = ScopeName::new("test").unwrap();
    let history = Arc::new(Counting::default());
    let rules = reader.load(&tight());
    let mut validator =
        rules.start(Start { scope: &scope, config: None, snapshot: None, history }).unwrap();
    assert_fault(validator.apply(&[event(1, b"x")]), FaultKind::Trap, "not a guest's business");
}

#[test]
fn one_instance_that_fails_leaves_its_siblings_alone() {
    // Traps on a payload that starts with "t".
    let fragile = guest().with(
        "validate",
        "(if (i32.eq (i32.load8_u (i32.load offset=16 (local.get $at))) (i32.const 116))
           (then unreachable)) (call $accept (local.get $len))",
    );
    let rules = fragile.load(&tight());
    let mut healthy = start(&*rules, Events::default()).unwrap();
    let mut fails = start(&*rules, Events::default()).unwrap();
    assert_fault(fails.validate(&[proposal(b"t")], 1), FaultKind::Trap, "unreachable");
    assert!(matches!(healthy.validate(&[proposal(b"x")], 1).unwrap(), Verdict::Accepted(_)));
    let mut again = start(&*rules, Events::default()).unwrap();
    assert!(matches!(again.validate(&[proposal(b"x")], 1).unwrap(), Verdict::Accepted(_)));
}
