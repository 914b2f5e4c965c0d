//! History, asked again, through the real program and the sandbox: `verify --logic` and
//! `validator backtest`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{MODES, Mode, Place, auction, guest};
use serde_json::json;

fn bid(who: &str, amount: &str) -> String {
    json!({ "bidder": who, "amount": amount }).to_string()
}

/// Two auctions and a show, whose rules store other events than were proposed.
fn place(mode: Mode) -> Place {
    let place = Place::with_rules(mode);
    place.ok(&["validator", "load", guest("seats").to_str().unwrap()]);
    place.ok(&["validator", "bind", "show/*", "seats", "--config", r#"{"rows":2,"seats":3}"#]);
    for (who, amount) in [("ann", "10"), ("bob", "12"), ("ann", "20")] {
        place.ok(&["append", "auction/1", "bid", &bid(who, amount)]);
        place.ok(&["append", "auction/2", "bid", &bid(who, amount)]);
    }
    let reserve = json!({ "booking": "b1", "count": 2 }).to_string();
    place.ok(&["append", "show/1", "reserve", &reserve]);
    place.ok(&["append", "free/1", "note", "1"]);
    place
}

#[test]
fn every_event_is_shown_to_follow_from_its_rule() {
    for mode in MODES {
        let place = place(mode);
        let told = place.json(&["verify", "--logic"]);
        assert_eq!(told[0]["intact"], true);
        let (logic, report) = (&told[1], &told[1]["report"]);
        assert_eq!(logic["shown"], true, "{logic}");
        assert_eq!((&report["shown"], &report["built_in"]), (&json!(8), &json!(1)), "{logic}");
        assert_eq!(report["failed"], 0);
        let text = place.ok(&["verify", "show/1", "--logic"]);
        assert!(text.contains("shown: 2 events in 1 scope,"), "{text}");
        assert!(text.contains("2 follow from their rule"), "{text}");
        let rest = place.json(&["verify", "--logic", "--after", "auction/2"]);
        assert_eq!(rest.len(), 1, "chains are not checked again");
        assert_eq!(rest[0]["report"]["scopes"], 2);
        let rest = place.json(&["verify", "auction/1", "--logic", "--after-event", "2"]);
        assert_eq!(rest.len(), 1, "its chain is not checked again");
        assert_eq!(
            (&rest[0]["report"]["folded"], &rest[0]["report"]["shown"]),
            (&json!(2), &json!(1))
        );
        place.fails(2, &["verify", "--logic", "--after-event", "1"]);
        let wrong = place.fails(2, &["verify", "--after", "auction/1"]);
        assert!(wrong.contains("--logic"), "{wrong}");
    }
}

#[test]
fn a_candidate_is_held_against_history_and_ci_sees_it_in_the_exit_code() {
    for mode in MODES {
        let place = place(mode);
        let file = auction();
        let file = file.to_str().unwrap();
        let same = place.json(&["validator", "backtest", file, "--scopes", "auction/*"]).remove(0);
        assert_eq!((&same["same"], &same["report"]["same"]), (&json!(true), &json!(6)), "{same}");
        let config = r#"{"increment":"5.00"}"#;
        let args = ["validator", "backtest", "auction", "--against", "auction@1", "--scopes"];
        let strict = [&args[..], &["auction/*", "--config", config]].concat();
        let table = place.fails(1, &strict);
        for part in ["newly rejected", "auction/1", "auction/2", "accepted", "too-low"] {
            assert!(table.contains(part), "{part}: {table}");
        }
        let output = place.run(&[&["--json"][..], &strict].concat());
        assert_eq!(output.status.code(), Some(1));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["report"]["newly_rejected"], 2, "{told}");
        assert_eq!(told["report"]["divergences"][0]["seq"], 2, "{told}");
        // Nothing was loaded or bound by any of it.
        assert_eq!(
            place.json(&["validator", "list"])[0]["validators"].as_array().map(Vec::len),
            Some(4)
        );
        place.fails(3, &["validator", "backtest", "never-loaded"]);
        let nothing = place.fails(3, &["validator", "backtest", file, "--scopes", "nothing/*"]);
        assert!(nothing.contains("nothing to ask"), "{nothing}");
        let text = place.file("no.wasm", "no component");
        place.fails(2, &["validator", "backtest", text.to_str().unwrap()]);
    }
}

#[test]
fn a_verdict_goes_into_a_file_and_is_asked_again_without_the_store() {
    let place = Place::with_rules(Mode::Served);
    place.ok(&["append", "auction/1", "bid", &bid("ann", "10")]);
    for (amount, code, said) in [("12", 0, "accepted"), ("1", 1, "rejected: too-low")] {
        let line = json!({ "kind": "bid", "payload": { "bidder": "bob", "amount": amount } });
        let file = place.file("bid.ndjson", &line.to_string());
        let file = file.to_str().unwrap();
        place.ok(&["validator", "bundle", "auction/1", "--proposals", file, "--out", "one.bundle"]);
        let replay = place.bare().args(["validator", "replay", "one.bundle"]).output().unwrap();
        assert_eq!(replay.status.code(), Some(code), "{replay:?}");
        let text = String::from_utf8(replay.stdout).unwrap();
        assert!(text.contains(said) && text.contains("auction/1 at 1"), "{text}");
    }
    place.fails(3, &["validator", "bundle", "auction/1", "--rejection", "9", "--out", "x"]);
    std::fs::write(place.path("one.bundle"), "no bundle").unwrap();
    let replay = place.bare().args(["validator", "replay", "one.bundle"]).output().unwrap();
    assert_eq!(replay.status.code(), Some(65));
}
