//! `rejections`: listed, counted and followed, served and embedded.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{MODES, Mode, Place, lines};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

/// An append to a scope that nobody has written, and that says otherwise.
const WRONG: [&str; 6] = ["append", "free/1", "a", r#"{"n":3}"#, "--expected-head", "7"];

/// A store in which everything is free. No validator is compiled, so that embedded commands are quick.
fn free(mode: Mode) -> Place {
    let place = Place::new(mode);
    place.ok(&["validator", "bind", "free/*", "accept-all"]);
    place
}

fn numbers(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["number"].as_u64().unwrap()).collect()
}

#[test]
fn what_was_refused_is_listed_and_counted() {
    for mode in MODES {
        let place = free(mode);
        assert!(place.json(&["rejections"]).is_empty(), "{mode:?}");
        place.fails(1, &WRONG);
        place.fails(1, &["append", "free/2", "b", "--expected-head", "7"]);
        place.fails(1, &["append", "free/1", "c", "--since", "9", "--key", "x:y"]);
        let all = place.json(&["rejections"]);
        assert_eq!(numbers(&all), [1, 2, 3], "{mode:?}");
        let first = &all[0];
        assert_eq!((&first["outcome"], &first["name"]), (&json!("head-mismatch"), &Value::Null));
        assert_eq!((&first["head"], &first["kinds"]), (&json!(0), &json!(["a"])));
        assert_eq!((&first["proposals"], &first["scope"]), (&Value::Null, &json!("free/1")));
        assert_eq!(all[2]["outcome"], "unknown-base");
        assert_eq!(numbers(&place.json(&["rejections", "free/1"])), [1, 3]);
        assert_eq!(numbers(&place.json(&["rejections", "free/1", "--after", "1"])), [3]);
        assert_eq!(numbers(&place.json(&["rejections", "--limit", "2"])), [1, 2]);
        assert_eq!(numbers(&place.json(&["rejections", "--last", "2"])), [2, 3]);
        assert_eq!(numbers(&place.json(&["rejections", "free/1", "--last", "9"])), [1, 3]);
        assert!(place.json(&["rejections", "--last", "0"]).is_empty());
        let table = place.ok(&["rejections", "free/1"]);
        assert!(table.contains("head mismatch") && !table.contains("free/2"), "{table}");
        let counts = place.json(&["rejections", "--count"]);
        let count = json!({"outcome": "head-mismatch", "code": "", "count": 2});
        assert_eq!((counts.len(), &counts[0]), (2, &count));
        assert!(place.ok(&["rejections", "free/1", "--count"]).contains("unknown-base"));
        place.fails(2, &["rejections", "--count", "--last", "3"]);
        place.fails(2, &["rejections", "--after", "3", "--last", "3"]);
    }
}

#[test]
fn a_verdict_is_listed_with_its_reasons_and_with_who_judged() {
    let place = Place::with_rules(Mode::Served);
    place.ok(&["append", "auction/1", "bid", r#"{"bidder":"a","amount":10}"#]);
    place.fails(1, &["append", "auction/1", "bid", r#"{"bidder":"b","amount":3}"#]);
    let entry = place.json(&["rejections"]).remove(0);
    assert_eq!((&entry["outcome"], &entry["code"]), (&json!("rejected"), &json!("too-low")));
    assert_eq!((&entry["reasons"][0]["code"], &entry["head"]), (&json!("too-low"), &json!(1)));
    assert!(entry["name"].as_str().unwrap().starts_with("auction@"), "{entry}");
    let binding = &place.json(&["scope", "show", "auction/1"])[0]["binding"];
    assert_eq!((&entry["binding"], &entry["validator"]), (&binding["seq"], &binding["validator"]));
    assert!(place.ok(&["rejections"]).contains("rejected: too-low: "));
    assert!(place.ok(&["rejections", "--count"]).contains("too-low"));
}

#[test]
fn payloads_are_kept_if_the_environment_says_so() {
    for mode in MODES {
        let mut place = free(Mode::Embedded);
        if mode == Mode::Served {
            // The server must know it.
            place.serve_with(&[("ATOMIC_STORE_KEEP_REJECTED_PAYLOADS", "1")]);
        }
        let refused = |value: &str| {
            let mut command = place.command(&WRONG);
            command.env("ATOMIC_STORE_KEEP_REJECTED_PAYLOADS", value);
            assert_eq!(command.output().unwrap().status.code(), Some(1));
            place.json(&["rejections", "--last", "1"]).remove(0)
        };
        let kept = refused("1");
        assert_eq!(kept["proposals"][0]["payload"], json!({"n": 3}), "{mode:?}");
        let without = refused("0");
        // It is the store that decides, not who asks it.
        assert_eq!(without["proposals"].is_null(), mode == Mode::Embedded);
        assert_eq!(kept["payload_hash"], without["payload_hash"]);
    }
}

struct Follower {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Follower {
    fn start(place: &Place, args: &[&str]) -> Follower {
        let args = [&["--json", "rejections", "--follow"], args].concat();
        let mut child = place.command(&args).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Follower { child, lines }
    }

    fn next(&mut self) -> Value {
        lines(&self.lines.next().unwrap().unwrap()).remove(0)
    }

    fn interrupt(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let kill = std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(kill.success());
        self.child.wait().unwrap().code()
    }
}

#[test]
fn a_follower_goes_on_over_a_restarted_and_a_killed_server() {
    let mut place = free(Mode::Served);
    place.fails(1, &WRONG);
    place.fails(1, &WRONG);
    let mut all = Follower::start(&place, &["--last", "1"]);
    let mut other = Follower::start(&place, &["free/2", "--after", "0"]);
    assert_eq!(all.next()["number"], 2);
    place.fails(1, &WRONG);
    assert_eq!(all.next()["number"], 3);
    assert_eq!(place.stop("TERM"), Some(0));
    place.serve();
    place.fails(1, &WRONG);
    assert_eq!(all.next()["number"], 4);
    place.stop("KILL");
    place.serve();
    place.fails(1, &["append", "free/2", "b", "--expected-head", "7"]);
    let after_the_kill = all.next();
    assert!(after_the_kill["number"].as_u64().unwrap() > 4, "{after_the_kill}");
    assert_eq!(after_the_kill["scope"], "free/2");
    // Nothing of the other scope came before, and numbers that were left out are no loss.
    assert_eq!(other.next(), after_the_kill);
    assert_eq!(numbers(&place.json(&["rejections", "--last", "2"]))[0], 4);
    assert_eq!((all.interrupt(), other.interrupt()), (Some(0), Some(0)));
}

#[test]
fn a_follower_stops_at_its_limit_and_embedded_it_gives_what_is_there() {
    for mode in MODES {
        let place = free(mode);
        for _ in 0..3 {
            place.fails(1, &WRONG);
        }
        let args = ["rejections", "--follow", "--after", "0", "--limit", "2"];
        assert_eq!(numbers(&place.json(&args)), [1, 2], "{mode:?}");
        let text = place.ok(&args);
        assert!(text.starts_with("1 20") && text.contains("free/1 0 a head mismatch"), "{text}");
        let said = place.fails(2, &["rejections", "--follow", "--after", "99"]);
        assert!(said.contains("ahead of the journal"), "{said}");
    }
}
