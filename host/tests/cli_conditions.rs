//! Conditions, effects and dry runs from the command line.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{MODES, Mode, Place, lines};

const SCOPE: &str = "free/library";

/// 1 about Emma, linked to Ann; 2 about Persuasion; 3 an effect of Ann.
fn library(mode: Mode) -> Place {
    let place = Place::with_rules(mode);
    place.ok(&["append", SCOPE, "lent", "--key", "book:Emma", "--trigger", "person:Ann"]);
    place.ok(&["append", SCOPE, "lent", "--key", "book:Persuasion"]);
    place.ok(&["append", SCOPE, "moved", "--trigger", "person:Ann"]);
    place
}

fn answer(place: &Place, code: i32, args: &[&str]) -> serde_json::Value {
    let output = place.run(&[&["--json", "append", SCOPE], args].concat());
    cli_support::assert_code(args, &output, code);
    lines(&String::from_utf8(output.stdout).unwrap()).remove(0)
}

#[test]
fn conflicts_are_shown_resolved_and_listed() {
    for mode in MODES {
        let place = library(mode);
        let emma = ["returned", "--key", "book:Emma", "--since"];
        let told = answer(&place, 1, &[&emma[..], &["1"]].concat());
        assert_eq!((&told["outcome"], &told["accepted"]), (&"conflict".into(), &0.into()));
        let first = &told["conflicts"][0];
        assert_eq!((&first["ours"], &first["theirs"]["seq"]), (&4.into(), &3.into()), "{mode:?}");
        assert_eq!((&first["key"], &first["trigger"]), (&"book:Emma".into(), &"person:Ann".into()));
        assert_eq!((&first["index"], &first["theirs"]["kind"]), (&0.into(), &"moved".into()));
        let told = answer(&place, 1, &[&emma[..], &["0", "--all-conflicts"]].concat());
        assert_eq!(told["conflicts"].as_array().unwrap().len(), 2);
        let said = place.fails(1, &[&["append", SCOPE], &emma[..], &["0"]].concat());
        assert!(said.contains("conflict: book:Emma was touched by event 1"), "{said}");
        assert!(said.contains("theirs") && said.contains("lent"), "{said}");

        let listed = place.json(&["conflicts", SCOPE, "--key", "book:Emma"]);
        let seqs: Vec<_> = listed.iter().map(|line| line["theirs"]["seq"].clone()).collect();
        assert_eq!(seqs, [1, 3]);
        let args = ["conflicts", SCOPE, "--since", "2", "--key", "book:Persuasion"];
        assert_eq!(place.json(&args).len(), 0);
        assert_eq!(place.ok(&args).trim(), "no conflicts");
        let both = ["--key", "book:Persuasion", "--key", "book:Emma", "--resolved", "3"];
        assert!(place.ok(&[&["conflicts", SCOPE][..], &both].concat()).contains("book:Persuasion"));
        place.fails(1, &["conflicts", SCOPE, "--since", "9", "--key", "a:b"]);

        let told = answer(&place, 1, &[&emma[..], &["9"]].concat());
        assert_eq!((&told["outcome"], &told["next"]), (&"unknown-base".into(), &4.into()));
        let told = answer(&place, 0, &[&emma[..], &["1", "--resolved", "3"]].concat());
        assert_eq!(told["first"]["seq"], 4);
    }
}

#[test]
fn a_dry_run_says_what_would_happen_and_stores_nothing() {
    for mode in MODES {
        let place = library(mode);
        let batch = "{\"kind\":\"a\",\"keys\":[\"book:Emma\"]}\n{\"kind\":\"b\",\"triggers\":[\"person:Bob\"]}\n";
        let file = place.file("batch.ndjson", batch);
        let batch = ["--batch", file.to_str().unwrap()];
        let told = answer(&place, 0, &[&batch[..], &["--dry-run"]].concat());
        assert_eq!((&told["last"]["seq"], &told["dry_run"]), (&5.into(), &true.into()));
        let args = [&["append", SCOPE, "--dry-run"], &batch[..], &["--since", "3"]].concat();
        assert!(place.ok(&args).starts_with("would commit free/library 4..5"), "{mode:?}");
        answer(&place, 1, &[&batch[..], &["--dry-run", "--since", "2"]].concat());
        let watched = ["--since", "0", "--watch", "book:Persuasion"];
        let told = answer(&place, 1, &[&batch[..], &watched].concat());
        assert_eq!((&told["conflicts"][0]["index"], &told["accepted"]), (&().into(), &0.into()));
        assert_eq!(place.json(&["scope", "show", SCOPE])[0]["head"], 3);
    }
}

#[test]
fn conditions_that_make_no_sense_are_wrong_usage() {
    let place = library(Mode::Embedded);
    for args in [
        &["a", "--resolved", "1"][..],
        &["a", "--watch", "book:Emma"],
        &["a", "--all-conflicts"],
        &["a", "--since", "x"],
        &["a", "--since", "1", "--watch", "book"],
        &["a", "--since", "1", "--resolved", "0"],
        &["a", "--trigger", ":x"],
    ] {
        place.fails(2, &[&["append", SCOPE], args].concat());
    }
    place.fails(2, &["conflicts", SCOPE]);
}
