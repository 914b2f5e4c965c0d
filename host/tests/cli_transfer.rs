//! Whole scopes on the command line: listed, sealed, deleted, exported, restored.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{MODES, Mode, Place, lines};
use serde_json::{Value, json};

/// A place with a second store, `other`, that some commands are sent to.
fn on_other(place: &Place, args: &[&str]) -> std::process::Output {
    place.bare().args(["--data", "other"]).args(args).output().unwrap()
}

fn fill(place: &Place) {
    place.ok(&["append", "free/1", "note", r#"{"n":1.50, "s":"a\nb"}"#, "--key", "book:Emma"]);
    place.ok(&["append", "free/1", "note", "[1,2]", "--meta", "trace=t1", "--meta", "trace=t2"]);
    place.ok(&["append", "free/1", "raw", "plain \u{9b}text", "--content-type", "text/plain"]);
    place.ok(&["append", "free/2", "note", "null"]);
    place.ok(&["append", "auction/1", "bid", r#"{"bidder":"ann","amount":"12.50","opening":"1"}"#]);
}

/// The events of a store but for their positions, which belong to it.
fn events(text: &str) -> Vec<Value> {
    let mut events = lines(text);
    for event in &mut events {
        event.as_object_mut().unwrap().remove("position");
    }
    events.retain(|event| event["scope"] != "$system");
    events.sort_by_key(|event| (event["scope"].to_string(), event["seq"].as_u64()));
    events
}

#[test]
fn an_exported_store_restored_elsewhere_has_the_same_events() {
    for mode in MODES {
        for format in ["ndjson", "cloudevents"] {
            let place = Place::with_rules(mode);
            fill(&place);
            place.ok(&["export", "--all", "--format", format, "-o", "all.lines"]);
            let text = std::fs::read_to_string(place.path("all.lines")).unwrap();
            assert!(!text.contains('\u{9b}'), "nothing steers a terminal");
            let piped = place.ok(&["export", "--all", "--format", format]);
            assert_eq!(piped, text, "{mode:?}: a file and a pipe get the same");
            let output = on_other(&place, &["--json", "restore", "all.lines"]);
            cli_support::assert_code(&["restore"], &output, 0);
            let told = lines(&String::from_utf8(output.stdout).unwrap());
            let counts: Vec<_> = told.iter().map(|t| (&t["scope"], &t["events"])).collect();
            let expected = [("auction/1", 1), ("free/1", 3), ("free/2", 1)];
            let expected = expected.map(|(scope, events)| (json!(scope), json!(events)));
            assert_eq!(counts, expected.iter().map(|(s, e)| (s, e)).collect::<Vec<_>>());
            let note = String::from_utf8(output.stderr).unwrap();
            assert!(note.contains("is not loaded here"), "the auction's digest is unknown: {note}");
            let here = place.ok(&["--json", "read", "--all"]);
            let there = on_other(&place, &["--json", "read", "--all"]);
            let there = String::from_utf8(there.stdout).unwrap();
            assert_eq!(events(&here), events(&there), "{mode:?} {format}");
            cli_support::assert_code(&["verify"], &on_other(&place, &["verify"]), 0);
            // Again: refused, or passed over if that is wished.
            let again = on_other(&place, &["restore", "all.lines"]);
            cli_support::assert_code(&["restore"], &again, 2);
            let skipped = on_other(&place, &["--json", "restore", "all.lines", "--skip-existing"]);
            let skipped = lines(&String::from_utf8(skipped.stdout).unwrap());
            assert!(skipped.iter().all(|told| told["skipped"] == true));
        }
    }
}

#[test]
fn a_changed_missing_or_misplaced_line_is_refused_by_its_number_and_leaves_nothing() {
    let place = Place::with_rules(Mode::Embedded);
    fill(&place);
    let text = place.ok(&["export", "free/1"]);
    let all: Vec<&str> = text.lines().collect();
    let cases = [
        ("changed", [all[0], &all[1].replace("[1,2]", "[1,3]"), all[2]].join("\n"), 65, "line 2"),
        ("missing", [all[0], all[2]].join("\n"), 65, "line 2"),
        ("swapped", [all[0], all[2], all[1]].join("\n"), 65, "line 2"),
        ("no beginning", all[1..].join("\n"), 65, "line 1"),
        ("cut", all[..2].join("\n"), 65, "cut short"),
        ("renamed", text.replace("free/1", "free/9"), 65, "line 1"),
        ("no JSON", format!("{}\nnonsense\n", all[0]), 2, "line 2"),
        ("twice", format!("{text}{text}"), 65, "line 4"),
        ("empty", String::new(), 2, "no events"),
    ];
    for (case, content, code, says) in cases {
        place.file("bad.ndjson", &content);
        let output = on_other(&place, &["restore", "bad.ndjson"]);
        cli_support::assert_code(&[case], &output, code);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(says), "{case}: {said}");
        let shown = on_other(&place, &["scope", "show", "free/1"]);
        cli_support::assert_code(&[case], &shown, 3);
    }
    place.file("good.ndjson", &text);
    cli_support::assert_code(&["good"], &on_other(&place, &["restore", "good.ndjson"]), 0);
}

#[test]
fn renamed_scopes_have_a_new_chain_and_the_old_hash_is_kept() {
    let place = Place::with_rules(Mode::Embedded);
    fill(&place);
    place.ok(&["export", "free/*", "-o", "free.ndjson"]);
    let old = place.json(&["scope", "show", "free/1"]).remove(0);
    place.file("names", "free/1=first\n\nfree/*=old/*\n");
    place.ok(&["restore", "free.ndjson", "--rename-file", "names"]);
    place.ok(&["verify"]);
    let new = place.json(&["scope", "show", "first"]).remove(0);
    assert_eq!((&new["events"], new["hash"] == old["hash"]), (&json!(3), false));
    assert_eq!(place.json(&["scope", "show", "old/2"]).remove(0)["events"], 1);
    let told = place.json(&["read", "$system"]);
    let told = told.iter().find(|event| event["payload"]["scope"] == "first").unwrap();
    assert_eq!(told["payload"]["from"], json!({ "scope": "free/1", "hash": old["hash"] }));
    let strip = |scope: &str| -> Vec<Value> {
        let mut events = place.json(&["read", scope]);
        for event in &mut events {
            for name in ["scope", "position", "hash", "previous"] {
                event.as_object_mut().unwrap().remove(name);
            }
        }
        events
    };
    assert_eq!(strip("first"), strip("free/1"), "all else is the same");
    place.fails(2, &["restore", "free.ndjson", "--rename", "free/1=$mine", "--rename", "free/2=x"]);
}

#[test]
fn scopes_are_sealed_unsealed_and_deleted() {
    for mode in MODES {
        let place = Place::with_rules(mode);
        fill(&place);
        place.ok(&["scope", "seal", "free/1", "it is over"]);
        let said = place.fails(5, &["append", "free/1", "note", "1"]);
        assert!(said.contains("scope unseal free/1"), "{said}");
        assert_eq!(place.json(&["scope", "show", "free/1"]).remove(0)["sealed"], "it is over");
        place.ok(&["scope", "unseal", "free/1"]);
        place.fails(3, &["scope", "unseal", "free/1"]);
        let said = place.fails(2, &["scope", "delete", "free/1", "--head", "2"]);
        assert!(said.contains("is 3, not 2"), "{said}");
        place.fails(2, &["scope", "delete", "free/1"]);
        let told = place.json(&["scope", "delete", "free/1", "--head", "3"]).remove(0);
        assert_eq!(told, json!({ "scope": "free/1", "done": "deleted", "events": 3 }));
        assert!(place.json(&["read", "free/1"]).is_empty());
        place.ok(&["append", "free/1", "note", "4"]);
        let read = place.json(&["read", "free/1"]);
        assert_eq!((read.len(), &read[0]["seq"]), (1, &json!(4)), "{mode:?}");
        let shown = place.json(&["scope", "show", "free/1"]).remove(0);
        assert_eq!((&shown["head"], &shown["floor"]), (&json!(4), &json!(3)));
        assert_eq!(shown["events"], 1);
        let text = place.ok(&["export", "free/1"]);
        assert!(text.contains(r#""after":3,"head":4"#), "{text}");
        place.file("tail.ndjson", &text);
        cli_support::assert_code(&["restore"], &on_other(&place, &["restore", "tail.ndjson"]), 0);
        cli_support::assert_code(&["verify"], &on_other(&place, &["verify"]), 0);
        place.ok(&["verify"]);
        place.fails(3, &["scope", "delete", "free/none", "--any-head"]);
        place.fails(2, &["scope", "seal", "$system"]);
    }
}

#[test]
fn scopes_are_listed_with_their_sizes_and_whether_they_are_in_memory() {
    let place = Place::with_rules(Mode::Served);
    fill(&place);
    let stored = place.json(&["scope", "list", "free/"]);
    let names: Vec<_> = stored.iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["free/1", "free/2"]);
    let bytes: u64 = stored.iter().map(|s| s["bytes"].as_u64().unwrap()).sum();
    assert!(bytes > 400, "{bytes}");
    let live = place.json(&["scope", "list", "--live"]);
    let names: Vec<_> = live.iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["auction/1", "free/1", "free/2"]);
    assert!(live.iter().all(|scope| scope["live"] == true));
}

#[test]
fn a_line_of_cloudevents_is_what_the_specification_asks_for() {
    let place = Place::with_rules(Mode::Embedded);
    fill(&place);
    let text = place.ok(&["export", "free/1", "--format", "cloudevents"]);
    for (n, event) in lines(&text).iter().enumerate() {
        let event = event.as_object().unwrap();
        for required in ["id", "source", "type"] {
            assert!(!event[required].as_str().unwrap().is_empty(), "{required}");
        }
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], (n + 1).to_string());
        let source = event["source"].as_str().unwrap();
        assert!(source.starts_with("atomic-store:") && source.ends_with("/free/1"), "{source}");
        let time = event["time"].as_str().unwrap();
        assert!(atomic_store::exchange::parse_rfc3339(time).is_some(), "{time}");
        assert!(event.contains_key("data") != event.contains_key("data_base64"));
        for (name, value) in event {
            let named = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            assert!(named && name.len() <= 20 || name == "data_base64", "{name}");
            assert!(value.is_string() || name == "data", "attributes are text: {name} {value}");
        }
    }
    let first = &lines(&text)[0];
    assert_eq!(first["subject"], "book:Emma");
    assert_eq!(first["data"], json!({ "n": 1.50, "s": "a\nb" }));
    assert!(text.contains(r#""data":{"n":1.50, "s":"a\nb"}"#), "as written");
    assert_eq!(first["keys"], r#"[["book","Emma"]]"#);
}

#[test]
fn cloudevents_of_other_systems_go_through_the_validators() {
    let place = Place::with_rules(Mode::Embedded);
    let event = |id: &str, amount: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/bids","type":"bid","subject":"7","time":"2026-11-22T07:22:01.12+01:00","data":{{"bidder":"ann","amount":{amount},"opening":1}}}}"#
        )
    };
    // The last one is the first again.
    let file = [event("a", "5.00"), event("b", "3.00"), event("c", "6.00"), event("a", "5.00")];
    place.file("bids.jsonl", &(file.join("\n") + "\n"));
    let args = ["import", "bids.jsonl", "--format", "cloudevents", "--scope", "auction/{subject}"];
    let summary = place.json(&args).remove(0);
    assert_eq!((&summary["accepted"], &summary["duplicates"]), (&json!(3), &json!(1)));
    assert_eq!(summary["not_accepted"][0]["code"], "too-low");
    let stored = place.json(&["read", "auction/7"]);
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[0]["caller_ms"], 1_795_328_521_120_u64);
    assert_eq!(stored[0]["metadata"], json!({ "id": "a", "source": "/bids" }));
    place.file("none.jsonl", "{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"s\",\"type\":\"t\",\"subject\":\"free/1\"}\n");
    place.run(&["import", "none.jsonl", "--format", "cloudevents", "--rejected", "refused"]);
    let refused = std::fs::read_to_string(place.path("refused")).unwrap();
    assert!(refused.contains("id is empty"), "{refused}");
    place.fails(2, &["import", "bids.jsonl", "--format", "ndjson"]);
}
