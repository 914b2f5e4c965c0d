//! The virtual WASI: given only on request, the same in every run, and nothing behind it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod guests;

use atomic_store::plugin::WasmLoader;
use atomic_store::validator::{AdmitError, Loader, Rules, Start, Validator, Verdict};
use atomic_store_core::{FaultKind, Grants, Limits, ScopeName};
use guests::{Events, Guest, Written, assert_fault, event, guest, proposal};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PACKAGES: &str = "package atomic-store:validator@1.0.0;
package wasi:io@0.2.3 {
  interface error { resource error { to-debug-string: func() -> string; } }
  interface poll {
    resource pollable { ready: func() -> bool; block: func(); }
    poll: func(in: list<borrow<pollable>>) -> list<u32>;
  }
  interface streams {
    use error.{error};
    use poll.{pollable};
    variant stream-error { last-operation-failed(error), closed }
    resource output-stream {
      blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
    }
    resource input-stream { read: func(len: u64) -> result<list<u8>, stream-error>; }
  }
}
package wasi:clocks@0.2.3 {
  interface wall-clock {
    record datetime { seconds: u64, nanoseconds: u32 }
    now: func() -> datetime;
  }
  interface monotonic-clock {
    use wasi:io/poll@0.2.3.{pollable};
    subscribe-duration: func(when: u64) -> pollable;
  }
}
package wasi:random@0.2.3 { interface random { get-random-u64: func() -> u64; } }
package wasi:cli@0.2.3 {
  interface stdout {
    use wasi:io/streams@0.2.3.{output-stream};
    get-stdout: func() -> output-stream;
  }
  interface stdin {
    use wasi:io/streams@0.2.3.{input-stream};
    get-stdin: func() -> input-stream;
  }
  interface environment { get-environment: func() -> list<tuple<string, string>>; }
  interface exit { exit: func(status: result); }
}
package wasi:filesystem@0.2.3 {
  interface types { resource descriptor; }
  interface preopens {
    use types.{descriptor};
    get-directories: func() -> list<tuple<descriptor, string>>;
  }
}
package wasi:sockets@0.2.3 {
  interface network { resource network; }
  interface instance-network { use network.{network}; instance-network: func() -> network; }
  interface udp {
    resource udp-socket;
    use network.{network};
    bind: func(socket: borrow<udp-socket>, network: borrow<network>);
  }
}";

const INTERFACES: [&str; 12] = [
    "wasi:io/streams",
    "wasi:io/poll",
    "wasi:clocks/wall-clock",
    "wasi:clocks/monotonic-clock",
    "wasi:random/random",
    "wasi:cli/stdout",
    "wasi:cli/stdin",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:filesystem/preopens",
    "wasi:sockets/instance-network",
    "wasi:sockets/udp",
];

/// A guest that uses all of it: folds random numbers and the clock into its state, judges by a random
/// number, prints what it judges, and answers queries by the length of their names.
fn restless() -> Guest {
    let world: String = INTERFACES.map(|name| format!("  import {name}@0.2.3;\n")).concat();
    guest()
        .contract("package atomic-store:validator@1.0.0;", PACKAGES)
        .contract("world validator {", &format!("world validator {{\n{world}"))
        .with(
            "imports",
            r#"(import "wasi:clocks/wall-clock@0.2.3" "now" (func $wall (param i32)))
            (import "wasi:clocks/monotonic-clock@0.2.3" "subscribe-duration"
              (func $timer (param i64) (result i32)))
            (import "wasi:io/poll@0.2.3" "[method]pollable.block" (func $wait (param i32)))
            (import "wasi:io/poll@0.2.3" "[resource-drop]pollable" (func $done (param i32)))
            (import "wasi:random/random@0.2.3" "get-random-u64" (func $random (result i64)))
            (import "wasi:cli/stdout@0.2.3" "get-stdout" (func $stdout (result i32)))
            (import "wasi:cli/stdin@0.2.3" "get-stdin" (func $stdin (result i32)))
            (import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush"
              (func $write (param i32 i32 i32 i32)))
            (import "wasi:io/streams@0.2.3" "[method]input-stream.read"
              (func $input (param i32 i64 i32)))
            (import "wasi:io/streams@0.2.3" "[resource-drop]output-stream" (func $drop (param i32)))
            (import "wasi:cli/environment@0.2.3" "get-environment" (func $env (param i32)))
            (import "wasi:cli/exit@0.2.3" "exit" (func $exit (param i32)))
            (import "wasi:filesystem/preopens@0.2.3" "get-directories" (func $dirs (param i32)))
            (import "wasi:sockets/instance-network@0.2.3" "instance-network"
              (func $network (result i32)))
            (import "wasi:sockets/udp@0.2.3" "bind" (func $bind (param i32 i32)))"#,
        )
        .with(
            "globals",
            "(global $sum (mut i64) (i64.const 0)) (global $time (mut i64) (i64.const 0))",
        )
        .with(
            "apply",
            "(call $wall (i32.const 600))
             (global.set $time (i64.add (global.get $time) (i64.load (i32.const 600))))
             (global.set $sum (i64.xor (i64.rotl (global.get $sum) (i64.const 7)) (call $random)))
             (call $reset)",
        )
        .with(
            "snapshot",
            "(i64.store (i32.const 640) (global.get $sum))
             (i64.store (i32.const 648) (global.get $time))
             (call $list (i32.const 1) (i32.const 640) (i32.const 16))",
        )
        .with(
            "restore",
            "(global.set $sum (i64.load (local.get $snapshot)))
             (global.set $time (i64.load offset=8 (local.get $snapshot)))
             (call $reset) (call $list (i32.const 0) (i32.const 0) (i32.const 0))",
        )
        .with(
            "validate",
            "(local $out i32)
             (local.set $out (call $stdout))
             (call $write (local.get $out) (i32.load offset=16 (local.get $at))
               (i32.load offset=20 (local.get $at)) (i32.const 600))
             (call $drop (local.get $out))
             (if (result i32) (i64.eqz (i64.and (call $random) (i64.const 1)))
               (then (call $accept (local.get $len)))
               (else (call $refuse (i32.const 0) (i32.const 1))))",
        )
        .with("query", QUERY)
}

const QUERY: &str = "(local $n i32)
  (if (i32.eq (local.get $name_len) (i32.const 0)) (then
    (call $wall (i32.const 704))
    (i64.store (i32.const 716) (call $random))
    (return (call $list (i32.const 0) (i32.const 704) (i32.const 20)))))
  (if (i32.eq (local.get $name_len) (i32.const 1)) (then
    (call $env (i32.const 600)) (call $dirs (i32.const 608))
    (call $input (call $stdin) (i64.const 9) (i32.const 616))
    (i32.store (i32.const 700) (i32.load (i32.const 604)))
    (i32.store (i32.const 704) (i32.load (i32.const 612)))
    (i32.store (i32.const 708) (i32.load8_u (i32.const 616)))
    (return (call $list (i32.const 0) (i32.const 700) (i32.const 12)))))
  (if (i32.eq (local.get $name_len) (i32.const 2)) (then (drop (call $network))))
  (if (i32.eq (local.get $name_len) (i32.const 3)) (then
    (loop $more (drop (call $stdout)) (br $more))))
  (if (i32.eq (local.get $name_len) (i32.const 4)) (then
    (local.set $n (call $timer (i64.const -1)))
    (call $wait (local.get $n)) (call $done (local.get $n))))
  (if (i32.eq (local.get $name_len) (i32.const 5)) (then (call $exit (i32.const 0))))
  (call $list (i32.const 0) (local.get $at) (local.get $len))";

fn granted(guest: &Guest) -> Result<Arc<dyn Rules>, AdmitError> {
    let grants = Grants { wasi: true, signed_by: None };
    WasmLoader::new(Limits::default()).unwrap().load_granted(&guest.component(), &grants)
}

fn started(
    rules: &dyn Rules,
    scope: &str,
    snapshot: Option<&[u8]>,
    events: usize,
) -> Box<dyn Validator> {
    let scope = ScopeName::new(scope).unwrap();
    let history = Arc::new(Events(vec![b"x".to_vec(); events]));
    rules.start(Start { scope: &scope, config: None, snapshot, history }).unwrap()
}

#[test]
fn wasi_is_given_on_request_only_and_other_imports_are_refused_by_name() {
    let loader = WasmLoader::new(Limits::default()).unwrap();
    let error = loader.load(&restless().component()).err().unwrap();
    let AdmitError::Import(names) = &error else { panic!("{error}") };
    for name in INTERFACES {
        assert!(names.contains(&format!("{name}@0.2.3")), "{names}");
    }
    assert!(error.to_string().contains("--wasi"), "{error}");
    granted(&restless()).unwrap();
    let foreign = [("wasi:http", "0.2.3"), ("wasi:io", "0.3.0"), ("wasi:clocks", "1.0.0")];
    for (package, version) in foreign {
        let greedy = guest()
            .with("imports", &format!("(import \"{package}/any@{version}\" \"get\" (func))"))
            .contract(
                "package atomic-store:validator@1.0.0;",
                &format!(
                    "package atomic-store:validator@1.0.0;
                     package {package}@{version} {{ interface any {{ get: func(); }} }}"
                ),
            )
            .contract(
                "world validator {",
                &format!("world validator {{ import {package}/any@{version};"),
            );
        let error = granted(&greedy).err().unwrap();
        assert_eq!(error, AdmitError::Import(format!("{package}/any@{version}")));
    }
}

/// What a scope of 40 events comes to in a store of its own: verdicts, and the state at the end.
fn way(rules: &dyn Rules, scope: &str) -> (Vec<bool>, Vec<u8>) {
    let mut verdicts = Vec::new();
    let mut state = None;
    for n in 0..40 {
        // A store that starts anew after every event, from the snapshot.
        let mut validator = started(rules, scope, state.as_deref(), n);
        let verdict = validator.validate(&[proposal(b"one")], 1_000_000 + n as u64).unwrap();
        verdicts.push(matches!(verdict, Verdict::Accepted(_)));
        validator.apply(&[event(n as u64 + 1, b"x")]).unwrap();
        state = validator.snapshot().unwrap();
    }
    (verdicts, state.unwrap())
}

#[test]
fn two_stores_come_to_the_same_verdicts_and_snapshots() {
    let (one, two) = (granted(&restless()).unwrap(), granted(&restless()).unwrap());
    let (verdicts, state) = way(&*one, "auction/1");
    assert_eq!(way(&*two, "auction/1"), (verdicts.clone(), state.clone()));
    assert!(verdicts.contains(&true) && verdicts.contains(&false), "{verdicts:?}");
    let (others, _) = way(&*one, "auction/2");
    assert_ne!(others, verdicts, "random numbers follow from the scope");

    // All at once, as after a restart: the same state, and the clock stood where it stood.
    let mut whole = started(&*two, "auction/1", None, 40);
    let events: Vec<_> = (1..=40).map(|n| event(n, b"x")).collect();
    whole.apply(&events).unwrap();
    let folded = whole.snapshot().unwrap().unwrap();
    assert_eq!(folded, state);
    let time = u64::from_le_bytes(folded[8..].try_into().unwrap());
    assert_eq!(time, (1..=40).map(|n| (1_000 + n) / 1_000).sum::<u64>());
}

#[test]
fn the_clock_stands_at_the_last_event_and_random_numbers_follow_from_its_number() {
    let rules = granted(&restless()).unwrap();
    let asked = |events| {
        let mut validator = started(&*rules, "auction/1", None, events);
        validator.query("", b"").unwrap().unwrap()
    };
    let clock = |answer: &[u8]| {
        let seconds = u64::from_le_bytes(answer[..8].try_into().unwrap());
        let nanoseconds = u32::from_le_bytes(answer[8..12].try_into().unwrap());
        (seconds, nanoseconds)
    };
    assert_eq!(clock(&asked(0)), (0, 0));
    // The third event of this history was admitted at 1,003 ms.
    assert_eq!(clock(&asked(3)), (1, 3_000_000));
    assert_eq!(asked(3), asked(3));
    assert_ne!(asked(3)[12..], asked(4)[12..]);
}

#[test]
fn there_are_no_files_no_sockets_no_variables_and_nobody_waits() {
    let rules = granted(&restless()).unwrap();
    let mut validator = started(&*rules, "auction/1", None, 0);
    // No variables, no folders, and the input is an error: at its end.
    assert_eq!(validator.query("1", b"").unwrap().unwrap(), [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    let begun = Instant::now();
    validator.query("wait", b"").unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "it slept");
    let fault = |name: &str, cause: &str| {
        let mut validator = started(&*rules, "auction/1", None, 0);
        assert_fault(validator.query(name, b""), FaultKind::BadOutput, cause);
    };
    fault("no", "wasi:sockets/instance-network#instance-network was called");
    fault("all", "more than 1024 handles");
    fault("leave", "end the process");
}

#[test]
fn standard_output_goes_to_the_log_line_by_line_and_is_bounded() {
    let rules = granted(&restless()).unwrap();
    let mut validator = started(&*rules, "auction/1", None, 0);
    let written = Written::default();
    let target = written.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || target.clone()).finish();
    let printed = format!("first\nsecond{}\n{}last", "x".repeat(3_000), "n\n".repeat(40));
    tracing::subscriber::with_default(subscriber, || {
        validator.validate(&[proposal(printed.as_bytes())], 1).unwrap();
    });
    let text = written.text();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].contains("guest: first scope=auction/1"), "{text}");
    assert_eq!(lines[1].matches('x').count(), 1_024 - "second".len());
    assert_eq!(lines.len(), 33, "32 lines, and how many more: {text}");
    assert!(lines[32].contains("11 more lines"), "{text}");
}
