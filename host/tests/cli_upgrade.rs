//! Rules changed while in use, and snapshots, on the command line: embedded and served.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{MODES, Mode, Place, auction};
use serde_json::json;
use std::time::{Duration, Instant};

const BID: [&str; 4] = ["append", "auction/1", "bid", "{\"bidder\":\"ann\",\"amount\":\"12.50\"}"];

#[test]
fn a_binding_is_rolled_back_and_a_scope_tells_who_admitted_what() {
    for mode in MODES {
        let place = Place::with_rules(mode);
        assert!(place.fails(3, &["validator", "rollback", "free/*"]).contains("before"));
        place.ok(&["append", "free/1", "x", "1"]);
        place.ok(&["validator", "bind", "free/*", "auction"]);
        place.fails(1, &["append", "free/1", "no-such-kind", "1"]);
        let bound = place.json(&["validator", "rollback", "free/*"]).remove(0);
        place.ok(&["append", "free/1", "x", "2"]);
        let shown = place.json(&["scope", "show", "free/1"]).remove(0);
        let ruled = shown["ruled"].as_array().unwrap();
        assert_eq!(ruled.len(), 2, "{shown}");
        assert_eq!((&ruled[0]["first"], &ruled[0]["last"]), (&json!(1), &json!(1)));
        assert_eq!((&ruled[1]["first"], &ruled[1]["last"]), (&json!(2), &json!(2)));
        assert_eq!(ruled[1]["validator"], bound["validator"]);
        assert_eq!(ruled[1]["binding"], bound["seq"]);
        assert!(place.ok(&["scope", "show", "free/1"]).contains("admitted by"));
    }
}

#[test]
fn a_candidate_runs_beside_is_reported_and_promoted_only_if_it_has_shown_enough() {
    for mode in MODES {
        let place = Place::with_rules(mode);
        assert!(place.ok(&["validator", "shadow", "report"]).contains("no candidate"));
        place.fails(3, &["validator", "shadow", "start", "none/*", "auction"]);
        place.fails(3, &["validator", "promote", "free/*"]);
        place.ok(&["validator", "shadow", "start", "free/*", "auction"]);
        place.fails(2, &["validator", "shadow", "start", "free/*", "auction"]);
        place.ok(&["append", "free/1", "no-such-kind", "1"]);
        let report = || place.json(&["validator", "shadow", "report", "free/*"]).remove(0);
        // Without a server the command that appended has let it judge.
        let patience = Instant::now() + Duration::from_secs(60);
        while report()["compared"] != 1 {
            assert!(mode == Mode::Served && Instant::now() < patience, "{}", report());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!((&report()["newly_rejected"], &report()["divergences"]), (&json!(1), &json!(1)));
        assert_eq!(report()["first"][0]["live"], "accepted: 1 event");
        let table = place.ok(&["validator", "shadow", "report"]);
        assert!(table.contains("accepted: 1 event") && table.contains("nothing"), "{table}");
        // It decided nothing.
        place.ok(&["append", "free/1", "no-such-kind", "2"]);
        assert!(place.fails(2, &["validator", "promote", "free/*"]).contains("gate"));
        place.ok(&["validator", "promote", "free/*", "--force"]);
        place.fails(1, &["append", "free/1", "no-such-kind", "3"]);
        let system = place.ok(&["read", "$system"]);
        assert!(system.contains("trial-started") && system.contains("although"), "{system}");
        place.ok(&["validator", "rollback", "free/*"]);
        place.ok(&["validator", "shadow", "start", "free/*", "auction"]);
        place.ok(&["validator", "shadow", "stop", "free/*"]);
        place.fails(3, &["validator", "shadow", "stop", "free/*"]);
        place.fails(3, &["validator", "shadow", "report", "free/*"]);
    }
}

#[test]
fn a_name_that_two_components_have_and_a_candidate_that_is_bound_already_are_refused() {
    for mode in MODES {
        let place = Place::with_rules(mode);
        let said = place.fails(2, &["validator", "shadow", "start", "auction/*", "auction"]);
        assert!(said.contains("already") && said.contains("--config"), "{said}");
        let first = place.json(&["validator", "show", "auction"]).remove(0)["digest"].clone();
        // A section of its own at the end: the same rules in other bytes.
        let mut bytes = std::fs::read(auction()).unwrap();
        bytes.extend_from_slice(b"\x00\x02\x01x");
        std::fs::write(place.path("twin.wasm"), bytes).unwrap();
        let second = place.json(&["validator", "load", "twin.wasm"]).remove(0)["digest"].clone();
        assert_ne!(first, second);
        let digits = |digest: &serde_json::Value| digest.as_str().unwrap()[..12].to_owned();
        let (first, second) = (digits(&first), digits(&second));
        for command in [
            &["validator", "show", "auction@1"][..],
            &["validator", "bind", "auction/*", "auction"],
            &["validator", "bind", "auction/*", "auction", "--share", "10%"],
            &["validator", "shadow", "start", "auction/*", "auction@1.0.0"],
            &["validator", "backtest", "auction"],
            &["validator", "backtest", &second, "--against", "auction"],
        ] {
            let said = place.fails(2, command);
            assert!(said.contains(&first) && said.contains(&second), "{command:?}: {said}");
        }
        place.ok(&["validator", "shadow", "start", "auction/*", &second]);
    }
}

#[test]
fn a_killed_server_says_that_it_may_not_have_counted_all_and_a_stopped_one_goes_on() {
    let mut place = Place::with_rules(Mode::Served);
    place.ok(&["validator", "shadow", "start", "free/*", "auction"]);
    let compared = |place: &Place, wanted: u64| {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let report = place.json(&["validator", "shadow", "report", "free/*"]).remove(0);
            if report["compared"].as_u64().unwrap() >= wanted {
                return report;
            }
            assert!(Instant::now() < patience, "{report}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    place.ok(&["append", "free/1", "x", "1"]);
    assert_eq!(compared(&place, 1)["interrupted"], 0);
    assert_eq!(place.stop("TERM"), Some(0));
    place.serve();
    place.ok(&["append", "free/1", "x", "2"]);
    compared(&place, 2);
    // What was compared is kept a moment later, and every few seconds after that.
    std::thread::sleep(Duration::from_millis(500));
    place.stop("KILL");
    place.serve();
    let report = compared(&place, 1);
    assert_eq!(report["interrupted"], 1, "{report}");
    let table = place.ok(&["validator", "shadow", "report"]);
    assert!(table.contains("a few seconds before 1 crash"), "{table}");
}

#[test]
fn a_canary_takes_its_share_and_is_taken_away_again() {
    for mode in MODES {
        let place = Place::with_rules(mode);
        place.fails(2, &["validator", "bind", "free/*", "auction", "--share", "100%"]);
        let bound =
            place.json(&["validator", "bind", "free/*", "auction", "--share", "50%"]).remove(0);
        assert_eq!(bound["share_percent"], 50);
        let refused = || {
            let scopes = (0..12).map(|n| format!("free/{n}"));
            scopes
                .filter(|scope| {
                    place.run(&["append", scope, "no-such-kind", "1"]).status.code() == Some(1)
                })
                .collect::<Vec<_>>()
        };
        let first = refused();
        assert!((1..12).contains(&first.len()), "{first:?}");
        assert_eq!(refused(), first);
        place.ok(&["validator", "rollback", "free/*"]);
        assert_eq!(refused(), Vec::<String>::new());
    }
}

#[test]
fn snapshots_are_taken_and_proven() {
    for mode in MODES {
        let place = Place::with_rules(mode);
        place.fails(3, &["snapshot", "take", "auction/1"]);
        place.ok(&BID);
        place.ok(&["append", "auction/1", "bid", r#"{"bidder":"bob","amount":13}"#]);
        let taken = place.json(&["snapshot", "take", "auction/1"]).remove(0);
        let head = place.json(&["scope", "show", "auction/1"]).remove(0)["head"].clone();
        assert_eq!(taken["snapshot"]["seq"], head, "{taken}");
        place.ok(&["append", "free/1", "x", "1"]);
        let none = place.json(&["snapshot", "take", "free/1"]).remove(0);
        assert_eq!(none["snapshot"], json!(null));
        // Without a server each command ends the store, which takes one of its own.
        let kept = if mode == Mode::Embedded { 2 } else { 1 };
        let found = place.json(&["snapshot", "scrub", "auction/"]).remove(0);
        assert_eq!((&found["scopes"], &found["proven"]), (&json!(1), &json!(kept)), "{found}");
        let told = match kept {
            1 => "1 snapshot proven, 0 dropped".to_owned(),
            kept => format!("{kept} snapshots proven, 0 dropped"),
        };
        assert!(place.ok(&["snapshot", "scrub"]).contains(&told));
    }
}
