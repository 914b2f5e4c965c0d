//! The whole engine on a log in memory, driven by a seed: random clients and scopes, refusals, traps
//! and timeouts, full mailboxes, jumping clocks, failing storage, crashes and restarts. Every run is
//! held against the promises: durable (P1), atomic (P2), in order (P3), decided once (P4),
//! validated (P5), as their conditions say (P6), and journaled if refused (P8).
//!
//! `SEED=n` repeats a run, `SEEDS=n` runs more of them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(unreachable_pub, reason = "modules of a test have no public face")]

mod sim;

use atomic_store_tests::Rng;
use sim::{Chaos, Sim};

#[test]
fn random_runs_keep_the_promises() {
    for seed in Rng::seeds(1, 400) {
        let mut sim = Sim::new(seed, Chaos::default());
        for _ in 0..400 {
            sim.step();
        }
        sim.finish();
    }
}

#[test]
fn random_runs_with_crashes_and_failing_storage_keep_the_promises() {
    let (mut crashes, mut duplicates, mut joints, mut judged) = (0, 0, 0, 0);
    for seed in Rng::seeds(10_001, 400) {
        let mut sim = Sim::new(seed, Chaos { crashes: true, failures: true });
        for _ in 0..400 {
            sim.step();
        }
        let report = sim.finish();
        crashes += report.crashes;
        duplicates += report.duplicates;
        joints += report.joints;
        judged += report.judged;
    }
    // The runs must really meet what they are about.
    if std::env::var("SEED").is_err() {
        assert!(crashes > 100, "only {crashes} crashes");
        assert!(judged > 500, "only {judged} events were judged by their clients");
        assert!(joints > 1_000, "only {joints} joint appends were accepted");
        assert!(duplicates > 100, "only {duplicates} retries met a decided append");
    }
}

#[test]
fn every_storage_call_may_be_the_one_that_fails() {
    // Each seed is some hundred runs, so more of them are not asked for by `SEEDS`.
    for seed in 20_001..=20_003 {
        for after_durable in [false, true] {
            let mut calls = 0;
            loop {
                calls += 1;
                let mut sim = Sim::new(seed, Chaos::default());
                sim.fail_commit(calls, after_durable);
                for _ in 0..150 {
                    sim.step();
                }
                if sim.finish().crashes == 0 {
                    break;
                }
            }
            assert!(calls > 20, "seed {seed}: only {calls} storage calls");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [7, 8, 9] {
        let run = || {
            let mut sim = Sim::new(seed, Chaos { crashes: true, failures: true });
            for _ in 0..300 {
                sim.step();
            }
            sim.finish().trace
        };
        assert_eq!(run(), run(), "seed {seed}");
    }
}
