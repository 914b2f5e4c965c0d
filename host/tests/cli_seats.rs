//! Command in, events out, through the real program and the sandbox: the seats of a show, whose rules
//! store other events than were proposed, and say to the caller which.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{MODES, Mode, Place, assert_code, lines};
use serde_json::{Value, json};

const SHOW: &str = "show/1";

fn hall(mode: Mode) -> Place {
    let place = Place::new(mode);
    place.ok(&["validator", "load", cli_support::guest("seats").to_str().unwrap()]);
    place.ok(&["validator", "bind", "show/*", "seats", "--config", r#"{"rows":2,"seats":3}"#]);
    place
}

fn answered(place: &Place, code: i32, args: &[&str]) -> Value {
    let args = [&["--json", "append", SHOW], args].concat();
    let output = place.run(&args);
    assert_code(&args, &output, code);
    lines(&String::from_utf8(output.stdout).unwrap()).remove(0)
}

fn reserve(place: &Place, code: i32, command: &Value) -> Value {
    answered(place, code, &["reserve", &command.to_string()])
}

fn batch(place: &Place, code: i32, commands: &[Value]) -> Value {
    let line = |command: &Value| json!({"kind": "reserve", "payload": command}).to_string();
    let lines: Vec<_> = commands.iter().map(line).collect();
    let file = place.file("batch.ndjson", &lines.join("\n"));
    answered(place, code, &["--batch", file.to_str().unwrap()])
}

fn free(place: &Place) -> Value {
    place.json(&["query", SHOW, "free"]).remove(0)["answer"].clone()
}

/// Kinds, seats and keys of what is stored.
fn stored(place: &Place) -> Vec<(String, String)> {
    let seat = |event: Value| {
        assert_eq!(event["kind"], "seat-taken");
        let seat = event["payload"]["seat"].as_str().unwrap().to_owned();
        assert_eq!(event["keys"], json!([format!("seat:{seat}")]));
        (event["payload"]["booking"].as_str().unwrap().to_owned(), seat)
    };
    place.json(&["read", SHOW]).into_iter().map(seat).collect()
}

fn taken(seats: &[(&str, &str)]) -> Vec<(String, String)> {
    seats.iter().map(|(who, seat)| ((*who).to_owned(), (*seat).to_owned())).collect()
}

#[test]
fn a_command_is_stored_as_the_events_that_the_rules_choose() {
    for mode in MODES {
        let place = hall(mode);
        let dry = answered(
            &place,
            0,
            &["reserve", r#"{"booking":"ann","count":2,"row":"B"}"#, "--dry-run"],
        );
        assert_eq!((&dry["outcome"], &dry["last"]["seq"]), (&json!("committed"), &json!(2)));
        assert_eq!(dry["meta"], json!(["B1", "B2"]), "{mode:?}");
        assert!(stored(&place).is_empty());

        let said = reserve(&place, 0, &json!({"booking": "ann", "count": 2, "row": "B"}));
        assert_eq!((&said["first"]["seq"], &said["last"]["seq"]), (&json!(1), &json!(2)));
        assert_eq!((&said["reason"], &said["meta"]), (&json!("2 seats for ann"), &dry["meta"]));
        assert_eq!(stored(&place), taken(&[("ann", "B1"), ("ann", "B2")]));
        assert_eq!(free(&place), json!(["A1", "A2", "A3", "B3"]));

        let line = place.ok(&["append", SHOW, "reserve", r#"{"booking":"bob","count":1}"#]);
        assert_eq!(line.trim(), "committed show/1 3: 1 seats for bob");
        place.ok(&["verify"]);
    }
}

#[test]
fn a_command_that_changes_nothing_is_a_noop_of_its_own() {
    for mode in MODES {
        let place = hall(mode);
        let ann = json!({"booking": "ann", "count": 2});
        reserve(&place, 0, &ann);
        let said = reserve(&place, 0, &ann);
        assert_eq!((&said["outcome"], &said["reason"]), (&json!("noop"), &json!("ann has A1, A2")));
        let line = place.ok(&["append", SHOW, "reserve", &ann.to_string()]);
        assert_eq!(line.trim(), "accepted, nothing to store: ann has A1, A2", "{mode:?}");
        // Decided once like any other outcome.
        let again = |_| answered(&place, 0, &["reserve", &ann.to_string(), "--id", "order-1"]);
        let twice: Vec<_> = (0..2).map(again).collect();
        assert_eq!((&twice[0]["outcome"], &twice[1]["outcome"]), (&json!("noop"), &json!("noop")));
        assert_eq!((&twice[0]["duplicate"], &twice[1]["duplicate"]), (&json!(false), &json!(true)));
        assert_eq!(stored(&place).len(), 2);
    }
}

#[test]
fn a_refusal_names_its_code_and_stores_nothing() {
    for mode in MODES {
        let place = hall(mode);
        reserve(&place, 0, &json!({"booking": "ann", "count": 5}));
        let said = reserve(&place, 1, &json!({"booking": "bob", "count": 2}));
        assert_eq!((&said["outcome"], &said["index"]), (&json!("rejected"), &json!(0)));
        assert_eq!(said["reasons"][0]["code"], "sold-out");
        assert_eq!(said["reasons"][0]["data"], json!(["B3"]), "{mode:?}: what is free");
        // A seat is not to be had by writing down that one has it.
        let forged = answered(&place, 1, &["seat-taken", r#"{"booking":"bob","seat":"B3"}"#]);
        assert_eq!(forged["reasons"][0]["code"], "unknown-kind");
        assert_eq!(stored(&place).len(), 5);
    }
}

#[test]
fn a_batch_may_hold_noops_and_tells_the_first_reason_and_the_first_meta() {
    for mode in MODES {
        let place = hall(mode);
        let wanted = |who: &str, count: u32| json!({"booking": who, "count": count});
        reserve(&place, 0, &wanted("ann", 1));
        let said = batch(&place, 0, &[wanted("ann", 1), wanted("bob", 2), wanted("eve", 1)]);
        assert_eq!((&said["outcome"], &said["first"]["seq"]), (&json!("committed"), &json!(2)));
        assert_eq!((&said["last"]["seq"], &said["reason"]), (&json!(4), &json!("ann has A1")));
        assert_eq!(said["meta"], json!(["A2", "A3"]), "{mode:?}: the first one that there is");
        let all = taken(&[("ann", "A1"), ("bob", "A2"), ("bob", "A3"), ("eve", "B1")]);
        assert_eq!(stored(&place), all);
        let said = batch(&place, 0, &[wanted("bob", 2), wanted("eve", 1)]);
        assert_eq!((&said["outcome"], &said["reason"]), (&json!("noop"), &json!("bob has A2, A3")));
        let said = batch(&place, 1, &[wanted("bob", 2), wanted("zoe", 2), wanted("kim", 1)]);
        assert_eq!((&said["outcome"], &said["index"]), (&json!("rejected"), &json!(2)));
        assert_eq!(stored(&place), all);
    }
}
