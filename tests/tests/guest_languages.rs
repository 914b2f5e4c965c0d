//! The rules of the auction, written in each guest language: each gives the answers of the shared table,
//! byte for byte, and then the same as Rust to appends that nobody has written down.
//!
//! `CASES=write` writes the answers of the rules in Rust into the table.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::plugin::WasmLoader;
use atomic_store::validator::{Loader as _, Rules};
use atomic_store_core::{Fault, FaultKind, Limits, Proposal};
use atomic_store_tests::{Case, Played, Rng, Step, Table, guest};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The rules that the others are compared with.
const RUST_FILE: &str = "auction";
/// Appends that are made up for each language.
const MADE_UP: u64 = 400;

/// Those of a store, but for the wall clock: on a busy machine it would end what fuel allows.
fn limits() -> Limits {
    Limits { call_ms_max: 60_000, ..Limits::default() }
}

fn loader() -> &'static WasmLoader {
    static LOADER: OnceLock<WasmLoader> = OnceLock::new();
    LOADER.get_or_init(|| WasmLoader::new(limits()).unwrap())
}

/// The rules in `target/guests/<file>.wasm`. What was not built fails the test: a language that is
/// promised is built.
fn rules(file: &str) -> Arc<dyn Rules> {
    loader().load(&guest(file)).unwrap()
}

fn rust() -> Arc<dyn Rules> {
    static RUST: OnceLock<Arc<dyn Rules>> = OnceLock::new();
    Arc::clone(RUST.get_or_init(|| rules(RUST_FILE)))
}

fn table_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/auction-cases.txt")
}

fn table() -> Table {
    Table::parse(&std::fs::read_to_string(table_file()).unwrap())
}

/// What the rules answer to the steps of a case: line and answer.
fn play(rules: &Arc<dyn Rules>, case: &Case) -> Vec<(usize, Value)> {
    let mut told = Vec::new();
    let mut played = match Played::start(rules, &case.scope, case.config.as_deref()) {
        Ok(played) => played,
        Err(declined) => return vec![(case.steps[0].line, declined)],
    };
    for step in &case.steps {
        if let Some(answer) = played.step(&step.step) {
            told.push((step.line, answer));
        }
    }
    refuses_garbage(&mut played, case);
    told
}

/// A snapshot that is cut, longer, foreign or no snapshot at all is declined, and never a trap.
fn refuses_garbage(played: &mut Played, case: &Case) {
    let snapshot = played.snapshot();
    let (scope, config) = (case.scope.as_str(), case.config.as_deref());
    assert!(!played.declines(scope, config, &snapshot), "its own snapshot");
    let mut garbage: Vec<Vec<u8>> = vec![vec![], vec![0], vec![0xff; 64], b"{}".to_vec()];
    garbage.extend([&b"null"[..], b"[]", b"{\"state\":{}}"].map(<[u8]>::to_vec));
    garbage.extend([1, 2, 3].map(|part| snapshot[..snapshot.len() * part / 4].to_vec()));
    garbage.push(snapshot[..snapshot.len() - 1].to_vec());
    garbage.push([&snapshot[..], &[0]].concat());
    for bytes in garbage {
        let shown = String::from_utf8_lossy(&bytes);
        assert!(played.declines(scope, config, &bytes), "{}: it takes {shown:?}", case.name);
    }
    assert!(played.declines("auction/other", config, &snapshot), "a snapshot of another scope");
    let other = br#"{"increment":"7"}"#;
    assert!(played.declines(scope, Some(other), &snapshot), "of another configuration");
}

fn gives_the_answers_of_the_table(file: &str, rules: &Arc<dyn Rules>) {
    for case in &table().cases {
        let written = case.steps.iter();
        let written: Vec<_> =
            written.filter_map(|s| s.answer.clone().map(|answer| (s.line, answer))).collect();
        let told = play(rules, case);
        for (told, written) in told.iter().zip(&written) {
            assert_eq!(told, written, "{file}: {}, line {}", case.name, written.0);
        }
        assert_eq!(told.len(), written.len(), "{file}: {}", case.name);
    }
    let (ours, theirs) = (rust().description().clone(), rules.description());
    assert_eq!(&ours, theirs, "{file}: it describes itself otherwise");
}

/// Plays appends that are made up from a seed, and compares each answer with that of Rust.
fn answers_as_rust_does(file: &str, theirs: &Arc<dyn Rules>) {
    let ours = rust();
    for seed in Rng::seeds(1, 4) {
        let mut rng = Rng::new(seed);
        let start = |rules| Played::start(rules, "auction/1", None).ok().unwrap();
        let (mut ours, mut theirs) = (start(&ours), start(theirs));
        for n in 0..MADE_UP / 4 {
            let count = 1 + rng.index(3) * rng.index(2);
            let proposals: Vec<_> = (0..count).map(|_| made_up(&mut rng, n)).collect();
            let step = Step::Append(proposals.clone());
            let context = || {
                let shown = proposals.iter().map(|p| String::from_utf8_lossy(&p.payload));
                format!("{file}, SEED={seed}: {:?}", shown.collect::<Vec<_>>())
            };
            assert_eq!(theirs.step(&step), ours.step(&step), "{}", context());
            let query = Step::Query("highest".to_owned(), Vec::new());
            assert_eq!(theirs.step(&query), ours.step(&query), "{}", context());
        }
    }
}

/// The proposal number `n`: mostly a good one, sometimes with a wrong field or a damaged byte.
fn made_up(rng: &mut Rng, n: u64) -> Proposal {
    let name = match rng.below(24) {
        0 => json!(rng.below(1 << 53)),
        1 => json!(rng.below(1 << 52) as f64 / 4.0),
        2 => json!("\u{e4}\u{1f600}\\\"\n"),
        3 => [json!(null), json!(false), json!(""), json!({})][rng.index(4)].clone(),
        _ => json!("ann"),
    };
    let commands = rng.one_in(4);
    let digits = 1 + rng.below(12) as u32;
    // A huge bid would leave nothing to accept afterwards; a command may name any amount.
    let cents = if commands { rng.below(10_u64.pow(digits)) } else { 100 * n + rng.below(500) };
    let amount = match rng.below(12) {
        0 => json!(cents / 100),
        1 => json!(cents as f64 / 1000.0),
        2 => json!(format!("{}.{}", cents / 100, cents % 100)),
        3 => json!(format!("{}.{:02}", cents / 100, cents % 100)),
        _ => json!(cents as f64 / 100.0),
    };
    let (kind, payload) = match rng.below(40) {
        0 => ("open", json!({ "opening": amount })),
        1 => ("nonsense", json!({ "bidder": name, "amount": amount })),
        _ if commands => ("outbid", json!({ "bidder": name, "most": amount })),
        2..8 => ("bid", json!({ "bidder": name, "amount": amount, "opening": amount })),
        _ => ("bid", json!({ "bidder": name, "amount": amount })),
    };
    let mut payload = payload.to_string().into_bytes();
    if rng.one_in(5) {
        let at = rng.index(payload.len());
        match rng.below(3) {
            0 => drop(payload.remove(at)),
            1 => payload[at] = rng.below(256) as u8,
            _ => payload.insert(at, b"{}[]\",:\\0 \n/eE+-.u"[rng.index(18)]),
        }
    }
    Proposal::json(kind, payload)
}

/// Payloads that are as large as they may be and made to be hard to read. Some are good bids with more
/// fields than the rules look at; whether those are read is the language's business.
fn hard_payloads(most: usize) -> Vec<(&'static str, Vec<u8>)> {
    let size = most - 64;
    let fill = |part: &str| part.repeat(size / part.len());
    let with = |more: &str| format!(r#"{{"bidder":"a","amount":1,"more":{more}}}"#).into_bytes();
    let half = |part: &str| part.repeat(size / part.len() / 2);
    vec![
        ("brackets", fill("[").into()),
        ("braces", fill(r#"{"":"#).into()),
        ("closed brackets", fill("[]").into()),
        ("nested brackets", with(&(half("[") + &half("]")))),
        ("hills", with(&fill(&("[".repeat(200) + &"]".repeat(199))))),
        ("allowed hills", with(&format!("[{}0]", fill(&("[".repeat(99) + &"]".repeat(99) + ","))))),
        (
            "depth behind hills",
            with(&fill(&format!("[{}", "[".repeat(60) + &"]".repeat(60) + ","))),
        ),
        ("empty lists", with(&format!("[{}0]", fill("[],")))),
        ("closed before open", format!("{}{}", half("]"), half("[")).into()),
        ("empty fields", with(&format!("{{{}\"z\":0}}", fill("\"\":{},")))),
        ("escapes", with(&format!("\"{}\"", fill("\\u0041")))),
        ("escaped quotes", with(&format!("\"{}\"", fill("\\\"")))),
        ("quotes without end", with(&format!("{}\"{}", "[".repeat(200), fill("\\\"")))),
        ("backslashes", with(&format!("{}\"{}", "[".repeat(200), fill("\\")))),
        ("strings with brackets", fill(r#""[["#).into()),
        ("half characters", with(&format!("\"{}\"", fill("\\ud800")))),
        ("wide characters", with(&format!("\"{}\"", fill("\u{1f600}")))),
        ("digits", with(&fill("9"))),
        ("a deep number", with(&format!("1{}", fill("e1")))),
        ("no text", vec![0xff; size]),
        ("a long name", format!(r#"{{"bidder":"{}","amount":1}}"#, fill("x")).into()),
    ]
}

/// JSON as it should be, a megabyte of nothing but brackets: there is no way around reading it.
const HEAVY: [&str; 4] = ["allowed hills", "depth behind hills", "empty lists", "empty fields"];

/// Each gets a verdict, and no limit is met, which would cost the scope its instance. Only what is heavy may
/// meet one, in a language that reads it slowly, and only at more than 64 KiB. No client can make the rules trap.
fn hard_payloads_get_a_verdict(file: &str, rules: &Arc<dyn Rules>) {
    for most in [64 * 1024, Limits::default().payload_bytes_max] {
        let (mut worst, mut limited) = ((0, ""), Vec::new());
        for (what, payload) in hard_payloads(most) {
            let mut played = Played::start(rules, "auction/1", None).ok().unwrap();
            match played.validate(&[Proposal::json("bid", payload)]) {
                Ok(_) => worst = worst.max((played.fuel().unwrap(), what)),
                Err(Fault { kind: FaultKind::OutOfFuel | FaultKind::OutOfMemory, .. })
                    if most > 64 * 1024 && HEAVY.contains(&what) =>
                {
                    limited.push(what);
                }
                Err(fault) => panic!("{file}: {what} of {most} bytes: {fault:?}"),
            }
        }
        println!("{file}: {most} bytes: most fuel {worst:?}, limits were met by {limited:?}");
    }
}

#[test]
fn the_sdks_carry_the_contract_as_it_is() {
    let root = table_file().parent().unwrap().parent().unwrap().to_path_buf();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    for copy in ["js/wit", "python/src/atomic_store_guest/wit"] {
        let copy = format!("guest-sdk/{copy}/validator.wit");
        assert!(read(&copy) == read("wit/validator.wit"), "cp wit/validator.wit {copy}");
    }
}

#[test]
fn rust_gives_a_verdict_on_hard_payloads() {
    hard_payloads_get_a_verdict(RUST_FILE, &rust());
}

#[test]
fn rust_gives_the_answers_of_the_table() {
    if std::env::var("CASES").is_ok_and(|value| value == "write") {
        let table = table();
        let told: Vec<_> = table.cases.iter().flat_map(|case| play(&rust(), case)).collect();
        std::fs::write(table_file(), table.with_answers(&told)).unwrap();
    }
    gives_the_answers_of_the_table(RUST_FILE, &rust());
}

#[test]
fn the_made_up_appends_are_worth_making() {
    let (mut rng, mut accepted, mut codes) = (Rng::new(1), 0, BTreeMap::new());
    let mut played = Played::start(&rust(), "auction/1", None).ok().unwrap();
    for n in 0..MADE_UP {
        let answer = played.step(&Step::Append(vec![made_up(&mut rng, n)])).unwrap();
        match answer["refused"]["reasons"][0]["code"].as_str() {
            Some(code) => *codes.entry(code.to_owned()).or_insert(0) += 1,
            None => accepted += 1,
        }
    }
    let shown = format!("{accepted} accepted, refused: {codes:?}");
    println!("{shown}");
    assert!(accepted > 40 && codes.len() >= 4, "{shown}");
}

/// Three tests for each language that is built to `target/guests/auction-<name>.wasm`.
macro_rules! languages {
    ($($language:ident: $file:literal,)*) => {$(
        mod $language {
            use super::*;

            /// Compiled once for both tests: that takes seconds.
            fn rules() -> &'static Arc<dyn Rules> {
                static RULES: OnceLock<Arc<dyn Rules>> = OnceLock::new();
                RULES.get_or_init(|| super::rules($file))
            }

            #[test]
            fn gives_the_answers_of_the_table() {
                super::gives_the_answers_of_the_table($file, rules());
            }

            #[test]
            fn gives_a_verdict_on_hard_payloads() {
                hard_payloads_get_a_verdict($file, rules());
            }

            #[test]
            fn answers_made_up_appends_as_rust_does() {
                answers_as_rust_does($file, rules());
            }
        }
    )*};
}

languages! {
    c: "auction-c",
    cpp: "auction-cpp",
    zig: "auction-zig",
    go: "auction-go",
    javascript: "auction-js",
    python: "auction-python",
    wat: "auction-wat",
}
