//! The past of a scope and what-ifs from the command line, with a real validator.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{MODES, Mode, Place};

const SCOPE: &str = "auction/1";

/// Bids of 1, 2 and 3.
fn bids(mode: Mode) -> Place {
    let place = Place::with_rules(mode);
    for amount in 1..=3 {
        let bid = format!("{{\"bidder\":\"b{amount}\",\"amount\":\"{amount}\"}}");
        place.ok(&["append", SCOPE, "bid", &bid]);
    }
    place
}

#[test]
fn a_query_at_a_moment_gives_the_state_of_then() {
    for mode in MODES {
        let place = bids(mode);
        for seq in ["1", "2", "3"] {
            let then = &place.json(&["query", SCOPE, "highest", "--at", seq])[0];
            assert_eq!(then["head"].to_string(), seq, "{mode:?}");
            assert_eq!(then["answer"]["bidder"], format!("b{seq}"), "{then}");
        }
        let now = place.json(&["query", SCOPE, "highest"]);
        assert_eq!(place.json(&["query", SCOPE, "highest", "--at-time", "2999-01-01"]), now);
        assert_eq!(place.json(&["query", SCOPE, "highest", "--at", "3"]), now);
        let empty = place.json(&["query", SCOPE, "highest", "--at-time", "2001-01-01T00:00:00Z"]);
        assert_eq!(empty[0]["head"], 0);
        let said = place.fails(2, &["query", SCOPE, "highest", "--at", "4"]);
        assert!(said.contains("the last event of auction/1 is 3"), "{said}");

        let states = place.json(&["query", SCOPE, "highest", "--history", "--after", "1"]);
        let bidders: Vec<_> = states.iter().map(|state| &state["answer"]["bidder"]).collect();
        assert_eq!(bidders, ["b2", "b3"]);
        let table = place.ok(&["query", SCOPE, "highest", "--history", "--limit", "2"]);
        assert!(table.contains("b2") && !table.contains("b3"), "{table}");
    }
}

#[test]
fn the_ways_to_say_when_exclude_each_other() {
    let place = bids(Mode::Embedded);
    for args in [
        &["--at", "1", "--at-time", "0"][..],
        &["--at", "1", "--history"],
        &["--after", "1"],
        &["--at-time", "yesterday"],
    ] {
        place.fails(2, &[&["query", SCOPE, "highest"], args].concat());
    }
}

#[test]
fn a_what_if_shows_verdicts_and_states_and_stores_nothing() {
    let lines = "{\"kind\":\"bid\",\"payload\":{\"bidder\":\"x\",\"amount\":\"5\"}}\n\
        {\"kind\":\"bid\",\"payload\":{\"bidder\":\"y\",\"amount\":\"4\"}}\n\
        [{\"kind\":\"bid\",\"payload\":{\"bidder\":\"y\",\"amount\":\"6\"}},\
        {\"kind\":\"bid\",\"payload\":{\"bidder\":\"z\",\"amount\":\"7\"}}]\n";
    for mode in MODES {
        let place = bids(mode);
        let file = place.file("what-if.ndjson", lines);
        let file = file.to_str().unwrap();
        let steps = place.json(&["what-if", SCOPE, file, "--query", "highest"]);
        let words: Vec<_> = steps.iter().map(|step| &step["answer"]["outcome"]).collect();
        assert_eq!(words, ["committed", "rejected", "committed"], "{mode:?}");
        let bidders: Vec<_> = steps.iter().map(|step| &step["state"]["bidder"]).collect();
        assert_eq!(bidders, ["x", "x", "z"]);
        assert_eq!(steps[2]["answer"]["last"]["seq"], 6);
        let table = place.ok(&["what-if", SCOPE, file]);
        assert!(table.contains("would commit 5..6") && table.contains("rejected: "), "{table}");
        assert_eq!(place.json(&["scope", "show", SCOPE])[0]["head"], 3);
        let wrong = place.file("wrong.ndjson", "{\"kind\":\"bid\"}\n{}\n");
        let said = place.fails(2, &["what-if", SCOPE, wrong.to_str().unwrap()]);
        assert!(said.contains("line 2: no kind"), "{said}");
    }
}
