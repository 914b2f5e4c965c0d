//! Options that change what a store admits or keeps are events of `$system`, once for each change.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{Mode, Place};
use serde_json::{Value, json};

const KEY: &str = "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

/// What `$system` says of options.
fn changes(place: &Place) -> Vec<Value> {
    let events = place.json(&["read", "$system"]);
    let changes = events.iter().filter(|event| event["kind"] == "options-changed");
    changes.map(|event| event["payload"]["now"].clone()).collect()
}

fn options(place: &Place) -> Value {
    place.json(&["status"]).remove(0)["options"].clone()
}

#[test]
fn a_change_of_options_is_recorded_once_and_shown() {
    let mut place = Place::new(Mode::Served);
    assert_eq!((changes(&place), options(&place)), (vec![], json!({})));
    assert!(place.ok(&["status"]).contains("the defaults"));
    place.stop("TERM");
    let strict = [
        ("ATOMIC_STORE_REQUIRE_SIGNATURES", "true"),
        ("ATOMIC_STORE_TRUSTED_KEYS", KEY),
        ("ATOMIC_STORE_KEEP_REJECTED_PAYLOADS", "1"),
    ];
    let wanted = json!({ "require_signatures": true, "trusted_keys": [KEY], "keep_rejected_payloads": true });
    for _ in 0..2 {
        place.serve_with(&strict);
        assert_eq!(changes(&place), std::slice::from_ref(&wanted), "a second start is no change");
        assert_eq!(options(&place)["require_signatures"], "true");
        let said = place.ok(&["status"]);
        assert!(
            said.contains("require_signatures = true") && said.contains("since event 1"),
            "{said}"
        );
        place.stop("KILL");
    }
    place.serve_with(&strict[..2]);
    assert_eq!(changes(&place)[1..], [json!({ "keep_rejected_payloads": false })]);
    assert_eq!(options(&place)["keep_rejected_payloads"], Value::Null);
}

#[test]
fn who_only_reads_records_nothing_and_who_writes_says_on_which_terms() {
    let mut place = Place::new(Mode::Served);
    place.stop("TERM");
    place.serve_with(&[("ATOMIC_STORE_KEEP_REJECTED_PAYLOADS", "1")]);
    place.ok(&["validator", "bind", "free/*", "accept-all"]);
    place.ok(&["append", "free/1", "x", "1"]);
    place.stop("TERM");
    for reading in [&["read", "free/1"][..], &["status"], &["verify"], &["scope", "list"]] {
        place.ok(reading);
    }
    assert_eq!(changes(&place).len(), 1, "the options of commands that read are nobody's business");
    place.ok(&["append", "free/1", "x", "2"]);
    assert_eq!(changes(&place)[1..], [json!({ "keep_rejected_payloads": false })]);
    place.ok(&["append", "free/1", "x", "3"]);
    assert_eq!(changes(&place).len(), 2);
    let verified = place.ok(&["verify", "--logic"]);
    assert!(verified.contains("of $system"), "{verified}");
}
