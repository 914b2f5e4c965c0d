//! Every command, against a server and against a store that the command opens itself.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{MODES, Mode, Place, auction, guest, lines};
use std::process::Stdio;

const BID: &str = r#"{"bidder":"ann","amount":12.50}"#;

#[test]
fn an_event_is_appended_read_queried_and_verified() {
    for mode in MODES {
        let place = Place::with_rules(mode);
        let answer = place.json(&["append", "auction/1", "bid", BID, "--key", "bidder:ann"]);
        assert_eq!(answer[0]["outcome"], "committed", "{mode:?}");
        assert_eq!(answer[0]["first"]["seq"], 1);

        let raw = place.ok(&["--json", "read", "auction/1"]);
        assert!(raw.contains(r#""payload":{"bidder":"ann","amount":12.50}"#), "as written: {raw}");
        let events = lines(&raw);
        assert_eq!(events[0]["keys"][0], "bidder:ann");
        assert_eq!(events[0]["hash"], answer[0]["hash"]);
        assert!(place.ok(&["read", "auction/1"]).contains("12.50"));
        assert!(place.ok(&["read", "--all"]).contains("auction/1"));

        assert_eq!(place.json(&["query", "auction/1", "highest"])[0]["answer"]["amount"], "12.50");
        assert_eq!(place.json(&["scope", "list", "auction/"])[0]["head"], 1);
        assert_eq!(place.json(&["scope", "show", "auction/1"])[0]["name"], "auction/1");
        assert_eq!(place.json(&["status"])[0]["read_only"], serde_json::Value::Null);
        let verified = place.json(&["verify"]);
        assert_eq!((&verified[0]["intact"], &verified[0]["scopes"]), (&true.into(), &2.into()));
        assert!(place.ok(&["verify", "auction/1"]).starts_with("intact: 1 event in 1 scope,"));
    }
}

#[test]
fn validators_are_loaded_once_listed_bound_and_unbound() {
    for mode in MODES {
        let place = Place::new(mode);
        let file = auction();
        let load = ["validator", "load", file.to_str().unwrap()];
        assert_eq!(place.json(&load)[0]["new"], true, "{mode:?}");
        assert_eq!(place.json(&load)[0]["new"], false);
        let config = r#"{"increment":"0.50"}"#;
        place.ok(&["validator", "bind", "auction/*", "auction@1", "--config", config]);
        let listed = place.json(&["validator", "list"]);
        assert_eq!(listed[0]["validators"].as_array().unwrap().len(), 3);
        assert_eq!(listed[0]["bindings"][0]["config"]["increment"], "0.50");
        assert_eq!(place.json(&["validator", "show", "auction"])[0]["name"], "auction");
        assert!(place.ok(&["validator", "list"]).contains("accept-all"));
        place.ok(&["append", "auction/1", "bid", BID]);
        place.fails(1, &["append", "auction/1", "bid", r#"{"bidder":"b","amount":12.99}"#]);
        place.ok(&["append", "auction/1", "bid", r#"{"bidder":"b","amount":13}"#]);
        place.ok(&["validator", "unbind", "auction/*"]);
        place.fails(3, &["validator", "unbind", "auction/*"]);
    }
}

#[test]
fn a_configuration_that_its_validator_declines_is_refused_when_it_is_bound() {
    let place = Place::with_rules(Mode::Served);
    place.ok(&["validator", "load", guest("seats").to_str().unwrap()]);
    place.ok(&["append", "auction/1", "bid", BID]);
    let bindings = || place.json(&["validator", "list"])[0]["bindings"].clone();
    let before = bindings();
    for (pattern, validator, config, word) in [
        // With events, one by one, and with no scope there yet; the validator's own words.
        ("auction/*", "auction", Some(r#"{"increment":"cheap"}"#), "cheap"),
        ("auction/1", "auction", Some("3"), "auction/1"),
        ("show/*", "seats", Some(r#"{"rows":27}"#), "at most 26 rows"),
    ] {
        let mut args = vec!["validator", "bind", pattern, validator];
        args.extend(config.iter().flat_map(|config| ["--config", config]));
        let said = place.fails(2, &args);
        assert!(said.contains("declined to start") && said.contains(word), "{pattern}: {said}");
    }
    assert_eq!(bindings(), before);
    place.ok(&["append", "auction/1", "bid", r#"{"bidder":"b","amount":1000}"#]);
}

#[test]
fn a_batch_is_stored_together_or_not_at_all() {
    for mode in MODES {
        let place = Place::with_rules(mode);
        let good = "{\"payload\":{\"bidder\":\"a\",\"amount\":1}}\n{\"payload\":{\"bidder\":\"b\",\"amount\":2}}\n";
        let batch = place.file("good.ndjson", good);
        let args = ["append", "auction/1", "bid", "--batch", batch.to_str().unwrap()];
        let answer = place.json(&args);
        assert_eq!(answer[0]["last"]["seq"], 2, "{mode:?}");
        // The second member does not beat the first.
        let bad = "{\"payload\":{\"bidder\":\"a\",\"amount\":9}}\n{\"payload\":{\"bidder\":\"b\",\"amount\":9}}\n";
        let output = place.pipe(&["--json", "append", "auction/1", "bid", "--batch", "-"], bad);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(lines(&String::from_utf8(output.stdout).unwrap())[0]["index"], 1);
        assert_eq!(place.json(&["scope", "show", "auction/1"])[0]["head"], 2);
    }
}

#[test]
fn what_read_prints_is_what_a_batch_takes() {
    let place = Place::with_rules(Mode::Embedded);
    place.ok(&["append", "free/a", "note", r#"{"n":1.10}"#, "--key", "k:1", "--meta", "trace=7"]);
    place.ok(&["append", "free/a", "raw", "plain", "--content-type", "text/plain; charset=utf-8"]);
    let printed = place.ok(&["--json", "read", "free/a"]);
    let output = place.pipe(&["append", "free/b", "--batch", "-"], &printed);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let copied = place.ok(&["--json", "read", "free/b"]);
    let strip = |text: &str| -> Vec<_> {
        let events = lines(text).into_iter();
        let members = ["kind", "content_type", "payload", "payload_text", "keys", "metadata"];
        events.map(|event| members.map(|name| event.get(name).cloned())).collect()
    };
    assert_eq!(strip(&printed), strip(&copied));
    assert!(copied.contains(r#"{"n":1.10}"#));
}

#[test]
fn an_id_is_decided_once() {
    for mode in MODES {
        let place = Place::with_rules(mode);
        let append = ["append", "free/1", "a", "{}", "--id", "order-4711"];
        assert_eq!(place.json(&append)[0]["duplicate"], false, "{mode:?}");
        let again = place.json(&append);
        assert_eq!((&again[0]["duplicate"], &again[0]["first"]["seq"]), (&true.into(), &1.into()));
        assert_eq!(place.json(&["scope", "show", "free/1"])[0]["head"], 1);
    }
}

#[test]
fn tail_follows_from_an_event_on_and_sees_what_is_stored_later() {
    let place = Place::with_rules(Mode::Served);
    place.ok(&["append", "free/1", "first"]);
    let mut tail = place
        .command(&["--json", "tail", "free/1", "--after", "0", "--limit", "3"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    place.ok(&["append", "free/1", "second"]);
    place.ok(&["append", "free/2", "elsewhere"]);
    place.ok(&["append", "free/1", "third"]);
    assert!(tail.wait().unwrap().success());
    let mut printed = String::new();
    std::io::Read::read_to_string(&mut tail.stdout.take().unwrap(), &mut printed).unwrap();
    let kinds: Vec<_> = lines(&printed).iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds, ["first", "second", "third"]);
    // Embedded, it shows what is there; over all scopes it starts after a position.
    let all = place.json(&["tail", "--all", "--after", "0", "--limit", "4"]);
    assert_eq!(all.len(), 4);
    assert_eq!(all[0]["scope"], "$system");
}

#[test]
fn completions_are_there_for_every_usual_shell() {
    let place = Place::new(Mode::Embedded);
    for shell in ["bash", "zsh", "fish"] {
        let script = place.ok(&["completions", shell]);
        assert!(script.contains("atomic-store") && script.contains("validator"), "{shell}");
    }
}

#[test]
fn every_command_explains_itself_with_examples() {
    let place = Place::new(Mode::Embedded);
    assert!(place.ok(&["--help"]).contains("75  something is full"));
    for command in [
        "serve",
        "append",
        "read",
        "tail",
        "query",
        "status",
        "conflicts",
        "import",
        "verify",
        "bench",
        "completions",
        "scope list",
        "scope show",
        "validator load",
        "validator list",
        "validator show",
        "validator bind",
        "validator unbind",
    ] {
        let args: Vec<_> = command.split(' ').chain(["--help"]).collect();
        assert!(place.ok(&args).contains("Examples:"), "{command}");
    }
}

#[test]
fn what_a_terminal_would_act_upon_is_escaped() {
    let place = Place::with_rules(Mode::Embedded);
    let text = "text/plain; charset=utf-8";
    place.ok(&["append", "free/1", "a", "\u{1b}[2J\u{9b}x", "--content-type", text]);
    for args in [&["read", "free/1"][..], &["--json", "read", "free/1"]] {
        let printed = place.ok(args);
        assert!(!printed.chars().any(|c| c.is_control() && c != '\n'), "{printed:?}");
    }
    assert_eq!(place.json(&["read", "free/1"])[0]["payload_text"], "\u{1b}[2J\u{9b}x");
}
