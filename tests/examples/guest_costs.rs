//! What the same rules cost in each guest language: prints the table that README.md shows, for every
//! auction in `target/guests`.
//!
//!     cargo run --release -p atomic-store-tests --example guest_costs
//!     cargo run --release -p atomic-store-tests --example guest_costs auction-js
//!
//! Times are of this process on its cores, so neighbours on the machine count little.
#![allow(
    clippy::unwrap_used,
    reason = "a tool for this tree: what is missing is told by the panic"
)]

use atomic_store::plugin::WasmLoader;
use atomic_store::validator::{Loader as _, Rules};
use atomic_store_core::{Limits, Proposal};
use atomic_store_tests::{Played, Step};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Instances that memory is divided by.
const INSTANCES: usize = 40;
/// Appends that each of them has seen.
const WARM: u64 = 20;
/// How long each kind of call is made.
const TIME: Duration = Duration::from_millis(300);
/// Blocks of calls; the one in the middle counts.
const BLOCKS: usize = 7;

struct Costs {
    name: String,
    bytes: u64,
    load: f64,
    start_us: f64,
    accept_us: f64,
    refuse_us: f64,
    apply_us: f64,
    memory_kib: u64,
}

fn main() {
    let mut files = components();
    files.sort();
    println!("| component | size | load | start | accept | refuse | fold | memory |");
    println!("|---|---|---|---|---|---|---|---|");
    for file in files {
        let costs = measure(&file);
        println!(
            "| {} | {} KB | {} | {:.0} us | {:.1} us | {:.1} us | {:.1} us | {} KiB |",
            costs.name,
            costs.bytes / 1000,
            seconds(costs.load),
            costs.start_us,
            costs.accept_us,
            costs.refuse_us,
            costs.apply_us,
            costs.memory_kib,
        );
    }
}

/// Every auction that was built.
fn components() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target/guests");
    let entries = std::fs::read_dir(&folder).expect("make guests-all");
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let auction = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        let stem = name.strip_suffix(".wasm").unwrap_or_default();
        stem.starts_with("auction") && (wanted.is_empty() || wanted.iter().any(|w| w == stem))
    };
    entries.map(|entry| entry.unwrap().path()).filter(auction).collect()
}

fn measure(file: &Path) -> Costs {
    let bytes = std::fs::read(file).unwrap();
    let loader = WasmLoader::new(Limits::default()).unwrap();
    let before = process_seconds();
    let rules = loader.load(&bytes).unwrap();
    let load = process_seconds() - before;
    drop(start(&rules));
    let start_us = median(|| per_call(1, || drop(start(&rules))));

    let mut played = start(&rules);
    played.step(&Step::Append(vec![bid(100)]));
    let (yes, no) = ([bid(101)], [bid(100)]);
    let mut judge = |proposals: &[Proposal]| {
        median(|| per_call(50, || assert!(played.validate(proposals).is_ok())))
    };
    let (accept_us, refuse_us) = (judge(&yes), judge(&no));
    let past = Step::Past(bid(102));
    let apply_us = median(|| per_call(50, || assert!(played.step(&past).is_none())));
    Costs {
        name: file.file_stem().unwrap().to_string_lossy().into_owned(),
        bytes: bytes.len() as u64,
        load,
        start_us,
        accept_us,
        refuse_us,
        apply_us,
        memory_kib: memory(&rules),
    }
}

fn start(rules: &Arc<dyn Rules>) -> Played {
    Played::start(rules, "auction/1", None).ok().unwrap()
}

fn bid(amount: u64) -> Proposal {
    Proposal::json("bid", format!(r#"{{"bidder":"ann","amount":"{amount}.50"}}"#))
}

/// Memory of its own that an instance has after some appends.
fn memory(rules: &Arc<dyn Rules>) -> u64 {
    let before = own_kib();
    let played: Vec<Played> = (0..INSTANCES)
        .map(|_| {
            let mut played = start(rules);
            for amount in 0..WARM {
                assert!(played.validate(&[bid(amount)]).is_ok());
                played.step(&Step::Past(bid(amount)));
            }
            played
        })
        .collect();
    let after = own_kib();
    drop(played);
    after.saturating_sub(before) / INSTANCES as u64
}

/// Microseconds of a call, in this thread's time on a core.
fn per_call(batch: u32, mut call: impl FnMut()) -> f64 {
    let (begin, before, mut calls) = (Instant::now(), thread_ns(), 0_u32);
    while begin.elapsed() < TIME / u32::try_from(BLOCKS).unwrap() {
        for _ in 0..batch {
            call();
        }
        calls += batch;
    }
    (thread_ns() - before) as f64 / 1_000.0 / f64::from(calls)
}

fn median(mut block: impl FnMut() -> f64) -> f64 {
    let mut found: Vec<f64> = (0..BLOCKS).map(|_| block()).collect();
    found.sort_by(f64::total_cmp);
    found[BLOCKS / 2]
}

fn seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

/// Nanoseconds that this thread has spent on a core.
fn thread_ns() -> u64 {
    // The kernel adds up when a thread leaves its core, so leave it for a moment.
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

/// Seconds that all threads of this process have spent on cores.
fn process_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let live: u64 = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok())
        .sum();
    live as f64 / 1e9
}

/// Memory that belongs to this process alone.
fn own_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
