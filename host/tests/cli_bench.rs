//! The benchmark measures something under every name that it promises, and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{Mode, Place, auction, lines};

#[test]
fn a_short_run_fills_in_every_number() {
    let place = Place::new(Mode::Embedded);
    let auction = auction();
    let output = place
        .bare()
        .args(["--json", "bench", "--seconds", "0.3", "--read-events", "5000", "--validator"])
        .arg(&auction)
        .output()
        .unwrap();
    cli_support::assert_code(&["bench"], &output, 0);
    let report = lines(&String::from_utf8(output.stdout).unwrap()).remove(0);
    let positive = |value: &serde_json::Value| value.as_f64().is_some_and(|number| number > 0.0);
    let (spread, hot) = (&["1", "10", "100", "1000"][..], &["1", "64", "256"][..]);
    for (name, keys) in [
        ("fjall_group_commit", spread),
        ("engine", spread),
        ("socket", spread),
        ("hot_scope", hot),
        ("socket_hot_scope", hot),
        ("keyed", &["1000"]),
        ("conditional", &["1000"]),
        ("keyed_hot_scope", &["256"]),
        ("conditional_hot_scope", &["256"]),
    ] {
        for measure in ["per_s", "p50_us", "p99_us"] {
            let values = &report[format!("{name}_{measure}")];
            let found: Vec<_> = values.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(found.len(), keys.len(), "{name}");
            assert!(keys.iter().all(|key| positive(&values[*key])), "{name} {measure}: {values}");
        }
    }
    for name in [
        "raw_fdatasync_per_s",
        "raw_fdatasync_p99_us",
        "validate_ns",
        "apply_ns",
        "replay_per_s",
        "conditional_of_keyed",
        "conditional_of_plain",
        "conditional_of_keyed_hot_scope",
        "conditional_of_plain_hot_scope",
    ] {
        assert!(positive(&report[name]), "{name}: {}", report[name]);
    }
    let filtered = &report["filtered_read"];
    assert_eq!((filtered["events"].as_u64(), filtered["matches"].as_u64()), (Some(5_000), Some(5)));
    assert!(["all_ms", "filtered_ms", "ratio"].iter().all(|name| positive(&filtered[*name])));
    assert_eq!(report["validator"], "auction@1.0.0");
    let left: Vec<_> = std::fs::read_dir(place.path(".")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_benchmark_of_refusals_is_refused() {
    let place = Place::new(Mode::Embedded);
    let mut command = place.bare();
    command.args(["bench", "--seconds", "0.05", "--payload", "{\"bidder\":\"a\",\"amount\":5}"]);
    let output = command.arg("--validator").arg(auction()).output().unwrap();
    cli_support::assert_code(&["bench"], &output, 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("not accepted"));
}
