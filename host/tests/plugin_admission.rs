//! What is let in, and what the author of the rest is told.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod guests;

use atomic_store::plugin::WasmLoader;
use atomic_store::validator::{AdmitError, Loader};
use atomic_store_core::{Digest, FaultKind, Limits};
use guests::{Events, guest, proposal, start};
use std::io::Write as _;

fn loader() -> WasmLoader {
    WasmLoader::new(Limits::default()).unwrap()
}

fn refused(bytes: &[u8]) -> AdmitError {
    loader().load(bytes).err().expect("it was let in")
}

#[test]
fn a_core_module_with_the_contract_is_let_in_under_the_digest_of_its_own_bytes() {
    let module = guest().module();
    let rules = loader().load(&module).unwrap();
    assert_eq!(rules.digest(), Digest::of(&module));
    assert_ne!(rules.digest(), Digest::of(&guest().component()));
    start(&*rules, Events::default()).unwrap().validate(&[proposal(b"x")], 1).unwrap();
}

#[test]
fn a_core_module_without_an_interface_gets_the_contract_by_the_names_of_its_exports() {
    let module = guest().bare_module();
    let rules = loader().load(&module).unwrap();
    assert_eq!(rules.digest(), Digest::of(&module));
    start(&*rules, Events::default()).unwrap().validate(&[proposal(b"x")], 1).unwrap();
}

#[test]
fn a_core_module_without_the_contract_is_told_what_it_lacks() {
    let error = refused(&wat::parse_str("(module (func (export \"validate\")))").unwrap());
    assert!(matches!(&error, AdmitError::Malformed(why) if why.contains("rules@1.0.0#validate")));
    for module in [guest().bare_module(), guest().module()] {
        let at = module.windows(6).position(|bytes| bytes == b"#query").unwrap();
        let mut module = module;
        module[at + 1] = b'Q';
        let error = refused(&module);
        assert!(
            matches!(&error, AdmitError::Contract(why) if why.ends_with("no function `query`"))
        );
    }
}

#[test]
fn a_core_module_that_lacks_a_function_is_told_which() {
    let module = guest().replacing("(export \"atomic-store:validator/rules@1.0.0#query\")", "");
    let error = refused(&module.module());
    let AdmitError::Contract(why) = &error else { panic!("{error}") };
    assert!(why.ends_with("has no function `query`"), "{why}");
}

#[test]
fn every_foreign_import_is_named() {
    let greedy = guest()
        .with(
            "imports",
            "(import \"wasi:clocks/wall-clock@0.2.0\" \"now\" (func (param i32)))
             (import \"wasi:random/random@0.2.0\" \"get-random-u64\" (func (result i64)))",
        )
        .contract(
            "package atomic-store:validator@1.0.0;",
            "package atomic-store:validator@1.0.0;
             package wasi:clocks@0.2.0 { interface wall-clock { now: func() -> tuple<u64, u64>; } }
             package wasi:random@0.2.0 { interface random { get-random-u64: func() -> u64; } }",
        )
        .contract(
            "world validator {",
            "world validator {
               import wasi:clocks/wall-clock@0.2.0;
               import wasi:random/random@0.2.0;",
        );
    let error = refused(&greedy.component());
    let names = "wasi:clocks/wall-clock@0.2.0, wasi:random/random@0.2.0".to_owned();
    assert_eq!(error, AdmitError::Import(names));
    assert_eq!(refused(&greedy.module()), error);
}

/// The names of all functions of WASI preview 1, from the types that the guest below imports.
const WASI: &str = include_str!("../src/plugin/no_wasi.wat");

/// A guest that imports every function of WASI, and looks at some.
fn wasip1() -> guests::Guest {
    let imports: Vec<String> = WASI
        .split("(func (export \"")
        .skip(1)
        .map(|function| {
            let (name, rest) = function.split_once('"').unwrap();
            let types = rest[..rest.find("\n").unwrap()].trim_start_matches(')').trim();
            let end = types.find("(result i32)").map_or_else(
                || types.find(')').unwrap() + 1, // (param i32) of proc_exit
                |at| at + "(result i32)".len(),
            );
            let types = &types[..end];
            format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} {types}))")
        })
        .collect();
    assert_eq!(imports.len(), 46, "{imports:#?}");
    guest().with("imports", &imports.join("\n"))
}

#[test]
fn a_wasip1_module_gets_a_wasi_without_a_system_and_answers_the_same_in_every_instance() {
    // A query answers with what the clock, the randomness, a write and the environment gave.
    let curious = wasip1().with(
        "query",
        "(call $reset)
         (i32.store (i32.const 2048) (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 2056)))
         (drop (call $random_get (i32.const 2064) (i32.const 8)))
         (i32.store (i32.const 2072)
           (call $fd_write (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 512)))
         (i32.store (i32.const 2080) (i32.const -1))
         (i32.store (i32.const 2084) (i32.const -1))
         (drop (call $environ_sizes_get (i32.const 2080) (i32.const 2084)))
         (call $list (i32.const 0) (i32.const 2056) (i32.const 32))",
    );
    let rules = loader().load(&curious.bare_module()).unwrap();
    assert_eq!(rules.digest(), Digest::of(&curious.bare_module()));
    let ask = || {
        let mut instance = start(&*rules, Events::default()).unwrap();
        instance.validate(&[proposal(b"x")], 1).unwrap();
        instance.query("what", b"").unwrap().unwrap()
    };
    let answer = ask();
    assert_eq!(answer[..8], 1_u64.to_le_bytes());
    assert_eq!(answer[8..16], [0x2a; 8]);
    assert_eq!(answer[16..20], 8_u32.to_le_bytes(), "no file is open");
    assert_eq!(answer[24..32], [0; 8], "there is no environment");
    assert_eq!(ask(), answer);
    // The interface of its own, if it brings one, makes no difference.
    loader().load(&curious.module()).unwrap();
}

#[test]
fn a_wasip1_module_that_ends_itself_traps() {
    let ending = wasip1().with("query", "(call $proc_exit (i32.const 0)) (i32.const 0)");
    let rules = loader().load(&ending.bare_module()).unwrap();
    let mut instance = start(&*rules, Events::default()).unwrap();
    let fault = instance.query("what", b"").unwrap_err();
    assert_eq!(fault.kind, FaultKind::Trap, "{}", fault.detail);
}

#[test]
fn what_wasi_preview_1_does_not_have_is_named() {
    let odd = guest().with(
        "imports",
        "(import \"wasi_snapshot_preview1\" \"fd_teleport\" (func (param i32)))
         (import \"wasi_unstable\" \"fd_write\" (func (param i32)))
         (import \"wasi_snapshot_preview1\" \"fd_write\"
           (func (param i32 i32 i32 i32) (result i32)))
         (import \"wasi_snapshot_preview1\" \"errno\" (global i32))",
    );
    let names = "wasi_unstable, wasi_snapshot_preview1, wasi_snapshot_preview1#fd_teleport";
    assert_eq!(refused(&odd.bare_module()), AdmitError::Import(names.to_owned()));
}

#[test]
fn a_function_of_wasi_of_another_type_is_refused() {
    let wrong = guest().with("imports", "(import \"wasi_snapshot_preview1\" \"fd_write\" (func))");
    let error = refused(&wrong.bare_module());
    assert!(matches!(&error, AdmitError::Malformed(why) if why.contains("fd_write")), "{error}");
}

#[test]
fn an_extra_function_of_a_known_interface_is_named() {
    let greedy = guest()
        .with("imports", "(import \"atomic-store:validator/history@1.0.0\" \"erase\" (func))")
        .contract("  head: func() -> u64;", "  head: func() -> u64;\n  erase: func();");
    let error = refused(&greedy.component());
    let name = "atomic-store:validator/history@1.0.0#erase";
    assert_eq!(error, AdmitError::Import(name.to_owned()));
}

#[test]
fn a_missing_function_is_named() {
    let functions = ["describe", "init", "restore", "apply", "validate", "snapshot", "query"];
    for name in functions {
        let start = format!("  {name}: func(");
        let renamed = guest()
            .contract(&start, &format!("  other-{name}: func("))
            .wat(&format!("@1.0.0#{name}\""), &format!("@1.0.0#other-{name}\""));
        let error = refused(&renamed.component());
        let AdmitError::Contract(why) = &error else { panic!("{error}") };
        assert!(why.ends_with(&format!("has no function `{name}`")), "{why}");
    }
}

#[test]
fn a_function_of_another_type_is_named() {
    let other = guest().contract("query: func(name: string,", "query: func(name: list<u8>,");
    let error = refused(&other.component());
    let AdmitError::Contract(why) = &error else { panic!("{error}") };
    assert!(why.contains("`query`"), "{why}");
}

#[test]
fn another_version_of_the_contract_is_named() {
    for version in ["2.0.0", "1.1.0", "0.9.0"] {
        let error = refused(&guest().replacing("@1.0.0", &format!("@{version}")).component());
        let text = error.to_string();
        assert!(text.contains(&format!("@{version}")), "{text}");
        let error = refused(&guest().replacing("@1.0.0", &format!("@{version}")).module());
        let text = error.to_string();
        assert!(text.contains(&format!("@{version}")), "{text}");
    }
}

#[test]
fn a_component_without_the_contract_is_told_what_it_must_export() {
    let error = refused(&wat::parse_str("(component)").unwrap());
    assert!(
        error.to_string().contains("must export atomic-store:validator/rules@1.0.0"),
        "{error}"
    );
}

#[test]
fn an_extra_export_is_tolerated() {
    let chatty = guest()
        .contract("  export rules;", "  export rules;\n  export extra: func();")
        .with("functions", "(func (export \"extra\"))");
    loader().load(&chatty.component()).unwrap();
    loader().load(&chatty.module()).unwrap();
}

#[test]
fn what_is_not_webassembly_is_malformed() {
    let module: &[u8] = b"\0asm\x01\0\0\0";
    let component: &[u8] = b"\0asm\x0d\0\x01\0";
    let elf = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    for bytes in [&b"x"[..], b"(component)", b"\0asm", b"\0asm\x07\0\x09\0", &elf[..4096], module] {
        let error = refused(bytes);
        assert!(matches!(error, AdmitError::Malformed(_)), "{error}");
    }
    assert!(matches!(refused(component), AdmitError::Contract(_)));
    assert!(matches!(refused(b""), AdmitError::Limit(_)));
}

#[test]
fn unusable_descriptions_are_refused_with_the_rule_they_break() {
    let cases = [
        ("(i32.store (i32.const 36) (i32.const 0)) (i32.const 32)", "name"),
        ("(i32.store8 (i32.const 8) (i32.const 71)) (i32.const 32)", "name"),
        ("(i32.store (i32.const 44) (i32.const 3)) (i32.const 32)", "version"),
        (
            "(i32.store (i32.const 40) (i32.const 1024)) (i32.store (i32.const 44) (i32.const 65))
          (i32.const 32)",
            "version: 65 bytes",
        ),
        (
            "(i32.store (i32.const 48) (i32.const 8192)) (i32.store (i32.const 52) (i32.const 1))
          (i32.const 32)",
            "kinds",
        ),
        ("(i32.store (i32.const 52) (i32.const -1)) (i32.const 32)", "bounds"),
    ];
    for (code, field) in cases {
        let error = refused(&guest().with("describe", code).component());
        let AdmitError::Description(why) = &error else { panic!("{error}") };
        assert!(why.contains(field), "{why}");
    }
}

#[test]
fn two_hundred_and_fifty_six_kinds_are_the_most() {
    // Kinds of 20 bytes each, all named "no", without schema.
    let kinds = |count: u32| {
        guest().with(
            "describe",
            &format!(
                "(local $i i32)
                 (loop $next
                   (i32.store offset=8192 (i32.mul (local.get $i) (i32.const 20)) (i32.const 24))
                   (i32.store offset=8196 (i32.mul (local.get $i) (i32.const 20)) (i32.const 2))
                   (br_if $next (i32.lt_u
                     (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {count}))))
                 (i32.store (i32.const 48) (i32.const 8192))
                 (i32.store (i32.const 52) (i32.const {count})) (i32.const 32)"
            ),
        )
    };
    let rules = loader().load(&kinds(256).component()).unwrap();
    assert_eq!(rules.description().kinds.len(), 256);
    assert_eq!(rules.description().kinds[255], ("no".to_owned(), None));
    let error = refused(&kinds(257).component());
    assert!(error.to_string().contains("257 kinds, at most 256"), "{error}");
}

#[test]
fn every_truncation_is_refused_and_none_panics() {
    let loader = loader();
    let tested = |bytes: &[u8], step: usize| {
        for len in (1..bytes.len()).step_by(step) {
            assert!(loader.load(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
        }
    };
    tested(&guest().component(), 13);
    // A module cut behind its code may still be whole: only its last sections are the contract.
    let module = guest().module();
    for len in (1..module.len()).step_by(29) {
        if let Ok(rules) = loader.load(&module[..len]) {
            assert_eq!(rules.description().name.as_str(), "guest");
        }
    }
}

/// A small generator of random numbers, so that a failure can be run again from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

#[test]
fn mutated_components_are_refused_or_work_within_their_limits() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
            as u64
    });
    // Past the test harness, which would keep it to itself if the process ended.
    writeln!(std::io::stderr(), "mutations: run again with SEED={seed}").unwrap();
    let limits = Limits { call_fuel_max: 1_000_000, call_ms_max: 200, ..Limits::default() };
    let loader = WasmLoader::new(limits).unwrap();
    let originals =
        [guest().component(), guest().module(), guest().bare_module(), wasip1().bare_module()];
    let mut random = Random(seed | 1);
    let (mut refusals, mut loaded) = (0, 0);
    for round in 0..1_500 {
        let mut bytes = originals[round % originals.len()].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = u8::try_from(random.below(256)).unwrap(),
                1 => bytes[at] ^= 1 << random.below(8),
                _ => {
                    let len = random.below(16).min(bytes.len() - at);
                    let to = random.below(bytes.len() - len);
                    bytes.copy_within(at..at + len, to);
                }
            }
        }
        let Ok(rules) = loader.load(&bytes) else {
            refusals += 1;
            continue;
        };
        loaded += 1;
        if let Ok(mut validator) = start(&*rules, Events(vec![b"one".to_vec()])) {
            // Whatever it answers, it answers or faults; it does not panic.
            let _any = validator.validate(&[proposal(b"x")], 1);
            let _any = validator.snapshot();
        }
    }
    assert!(refusals > 100 && loaded > 100, "{refusals} refused, {loaded} loaded");
}
