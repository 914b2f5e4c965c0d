//! Admission under fire: random bytes, real components that were changed, bombs for the compiler, and
//! lying metadata. Whatever comes, it is refused or works, in bounded time, and the process lives.
//!
//! Runs ten seconds. `FUZZ_SECONDS=600` runs longer; `SEED=n` repeats a run.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod guests;

use atomic_store::plugin::{CompileOptions, CompilerProcess, WasmLoader};
use atomic_store::validator::{AdmitError, Loader, Trial};
use atomic_store_core::{Grants, Limits};
use guests::{Guest, guest};
use std::io::Write as _;
use std::time::{Duration, Instant};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() & 0xff) as u8).collect()
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Small budgets, so that many cases fit into the time.
fn tight() -> Limits {
    Limits {
        call_fuel_max: 200_000,
        call_ms_max: 100,
        self_test_ms_max: 100,
        compile_ms_max: 2_000,
        compile_memory_bytes_max: 512 * 1024 * 1024,
        code_bytes_max: 64 * 1024 * 1024,
        ..Limits::default()
    }
}

fn loader(compiler: bool) -> WasmLoader {
    let own = CompilerProcess {
        program: env!("CARGO_BIN_EXE_atomic-store").into(),
        args: vec!["compile-worker".into()],
    };
    let options = CompileOptions { cache: None, compiler: compiler.then_some(own) };
    WasmLoader::with(tight(), options).unwrap()
}

/// A component, or what is left of one after some changes.
fn changed(random: &mut Random, originals: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = originals[random.below(originals.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes[at] = (random.next() & 0xff) as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            // A length or a count that is far too large.
            2 => bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x0f]).for_each(drop),
            3 => bytes.truncate(at.max(8)),
            4 => {
                let part = random.bytes(24);
                bytes.splice(at..at, part).for_each(drop);
            }
            _ => {
                let len = random.below(200).min(bytes.len() - at);
                let part = bytes[at..at + len].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, part).for_each(drop);
            }
        }
    }
    bytes
}

/// Random bytes behind a header, or without.
fn random_bytes(random: &mut Random) -> Vec<u8> {
    let headers: [&[u8]; 3] = [b"", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"];
    let len = 1 + random.below(400);
    [headers[random.below(3)], &random.bytes(len)].concat()
}

/// Components that are small to send and costly to compile.
fn bombs() -> Vec<(&'static str, Guest)> {
    let with = |text: String| guest().with("functions", &text);
    let nested = format!("(func {} {})", "(block ".repeat(20_000), ")".repeat(20_000));
    let locals = format!("(func (local {}))", "i64 ".repeat(49_000));
    let many =
        "(func (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))".repeat(60_000);
    let targets = "0 ".repeat(200_000);
    let branches = format!("(func (param i32) (block (br_table {targets} (local.get 0))))");
    let step = "(local.set 0 (i32.mul (i32.load (local.get 0)) (i32.load (local.get 0))))";
    let long = format!("(func (param i32) {})", step.repeat(60_000));
    vec![
        ("blocks in blocks", with(nested)),
        ("a function with many locals", with(locals)),
        ("many functions", with(many)),
        ("a branch to many places", with(branches)),
        ("a long function", with(long)),
        ("a huge memory", guest().with("memory", "65536")),
    ]
}

/// Loads it, and tries it out if it is let in.
fn admit(loader: &WasmLoader, bytes: &[u8], wasi: bool) -> Result<(), AdmitError> {
    let grants = Grants { wasi, signed_by: None };
    let rules = loader.load_granted(bytes, &grants)?;
    let checks = loader.try_out(&*rules, &Trial::default());
    assert_eq!(checks.len(), atomic_store::self_test::NAMES.len());
    Ok(())
}

#[test]
fn whatever_is_loaded_is_refused_or_works_in_bounded_time() {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("SEED").unwrap_or(u64::from(time.subsec_nanos()));
    let seconds = number("FUZZ_SECONDS").unwrap_or(10);
    // Past the test harness, which would keep it to itself if the process ended.
    writeln!(std::io::stderr(), "admission: {seconds} s, run again with SEED={seed}").unwrap();
    let mut random = Random(seed);
    let originals = vec![guest().component(), guest().module()];
    let (here, apart) = (loader(false), loader(true));
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut refused, mut admitted, mut rounds) = (0_u64, 0_u64, 0_u64);
    while Instant::now() < end || rounds < 50 {
        rounds += 1;
        let bytes = match random.below(4) {
            0 => random_bytes(&mut random),
            _ => changed(&mut random, &originals),
        };
        // A process for each takes longer, so only some.
        let loader = if rounds % 16 == 0 { &apart } else { &here };
        let begun = Instant::now();
        match admit(loader, &bytes, rounds % 2 == 0) {
            Ok(()) => admitted += 1,
            Err(_) => refused += 1,
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "round {rounds}: {:?}", begun.elapsed());
    }
    assert!(refused > 0 && refused + admitted == rounds, "{refused}, {admitted} of {rounds}");
}

#[test]
fn bombs_for_the_compiler_cost_their_own_process_and_nothing_else() {
    let loader = loader(true);
    for (what, bomb) in bombs() {
        let bytes = bomb.component();
        let begun = Instant::now();
        let result = admit(&loader, &bytes, false);
        let took = begun.elapsed();
        // Either it is small enough after all, or it is told what it took too much of.
        if let Err(error) = &result {
            let told = matches!(
                error,
                AdmitError::Compile(_)
                    | AdmitError::Malformed(_)
                    | AdmitError::Limit(_)
                    | AdmitError::Description(_)
            );
            assert!(told, "{what}: {error}");
        }
        assert!(took < Duration::from_secs(60), "{what}: {took:?}");
        loader.load(&guest().component()).unwrap_or_else(|error| panic!("after {what}: {error}"));
    }
}
