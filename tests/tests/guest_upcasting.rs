//! Rules that know older events, written in guest languages: what was `euros` is a hundred `cents` today.
//! Each folds, judges and tells the same.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::plugin::WasmLoader;
use atomic_store::validator::Loader as _;
use atomic_store_core::{ContentType, Key, Limits, Proposal};
use atomic_store_tests::{Played, Step, guest};
use serde_json::json;

/// Those of a store, but for the wall clock: on a busy machine it would end what fuel allows.
fn limits() -> Limits {
    Limits { call_ms_max: 60_000, ..Limits::default() }
}

fn amount(kind: &str, n: u64) -> Proposal {
    Proposal { keys: vec![Key::new("account", "7")], ..Proposal::json(kind, n.to_string()) }
}

fn knows_older_events(file: &str) {
    let rules = WasmLoader::new(limits()).unwrap().load(&guest(file)).unwrap();
    assert!(rules.upcasts(), "{file} does not export it");
    let mut cents = Played::start(&rules, "cents/1", None).ok().unwrap();
    let mut step = |step: Step| cents.step(&step);
    let sum = || Step::Query("sum".to_owned(), Vec::new());

    // Folded as what they are today: rules that saw the older form would trap.
    step(Step::Past(amount("euros", 3)));
    step(Step::Past(amount("cents", 7)));
    assert_eq!(step(sum()), Some(json!({ "answer": "307" })));

    // Within a batch, too; and what is stored is what was proposed.
    let twice = Step::Append(vec![amount("euros", 2), amount("euros", 2)]);
    let refused = step(twice).unwrap();
    assert_eq!(refused["refused"]["index"], 1, "{refused}");
    assert_eq!(refused["refused"]["reasons"][0]["code"], "full");
    let once = step(Step::Append(vec![amount("euros", 2)]));
    assert_eq!(once, Some(json!({ "accepted": [{}] })));
    assert_eq!(step(sum()), Some(json!({ "answer": "507" })));

    // Readers are told the newer form, with all that belongs to it, and nothing of what is as it was.
    let told = cents.upcast(&[amount("euros", 4), amount("cents", 5)]).unwrap();
    let [Some(newer), None] = told.as_slice() else { panic!("{file}: {told:?}") };
    assert_eq!((newer.kind.as_str(), newer.payload.as_slice()), ("cents", &b"400"[..]));
    assert_eq!(newer.content_type, ContentType::Json);
    assert_eq!(newer.keys, [Key::new("account", "7")]);
    assert_eq!(cents.upcast(&[]), Ok(Vec::new()));
}

#[test]
fn rules_in_javascript_know_older_events() {
    knows_older_events("cents-js");
}

#[test]
fn rules_in_python_know_older_events() {
    knows_older_events("cents-python");
}

#[test]
fn rules_in_c_know_older_events() {
    knows_older_events("cents-c");
}

#[test]
fn rules_in_zig_know_older_events() {
    knows_older_events("cents-zig");
}

#[test]
fn rules_that_do_not_export_it_are_not_asked() {
    for file in ["auction-js", "auction-python", "auction-c", "auction-zig"] {
        assert!(
            !WasmLoader::new(limits()).unwrap().load(&guest(file)).unwrap().upcasts(),
            "{file}"
        );
    }
}
