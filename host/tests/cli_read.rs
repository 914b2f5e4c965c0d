//! Reading from the command line: filters, directions, pages, replays, and what is refused.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{MODES, Mode, Place};
use serde_json::Value;

/// Two books, a receipt that depends on a customer's key, a late event, and the key's expiry.
const LOG: &str = r#"{"kind":"made","payload":1,"keys":["book:Emma"],"caller_ms":1000}
{"kind":"made","payload":2,"keys":["book:Persuasion"],"caller_ms":2000}
{"kind":"paid","payload":3,"keys":["receipt:1"],"triggers":["key:ann"],"caller_ms":1500}
{"kind":"lent","payload":4,"keys":["book:Emma"]}
{"kind":"expired","payload":5,"triggers":["key:ann"]}
"#;

fn library(mode: Mode) -> Place {
    let place = Place::with_rules(mode);
    let file = place.file("log.ndjson", LOG);
    place.ok(&["append", "free/a", "--batch", file.to_str().unwrap()]);
    place
}

fn seqs(lines: &[Value]) -> Vec<u64> {
    lines.iter().filter_map(|line| line["seq"].as_u64()).collect()
}

#[test]
fn events_are_found_by_every_option() {
    for mode in MODES {
        let place = library(mode);
        for (options, expected) in [
            (&["--key", "book:Emma"][..], &[1, 4][..]),
            (&["--key", "book:Emma", "--key", "receipt:1"], &[1, 3, 4]),
            (&["--key", "book:Emma", "--kind", "lent"], &[4]),
            (&["--key-kind", "book"], &[1, 2, 4]),
            (&["--kind", "made", "--kind", "paid"], &[1, 2, 3]),
            (&["--trigger", "key:ann"], &[3, 5]),
            (&["--caller-since", "1500"], &[2, 3]),
            (
                &[
                    "--caller-since",
                    "1970-01-01T00:00:01Z",
                    "--caller-until",
                    "1970-01-01T01:00:01.5+01:00",
                ],
                &[1],
            ),
            (&["--since-time", "2020-01-01"], &[1, 2, 3, 4, 5]),
            (&["--until-time", "2020-01-01T00:00:00Z"], &[]),
            (&["--backwards", "--limit", "9"], &[5, 4, 3, 2, 1]),
            (&["--last", "2"], &[4, 5]),
            (&["--last", "1", "--key", "book:Emma"], &[4]),
            (&["--after", "1", "--through", "3"], &[2, 3]),
        ] {
            let found = place.json(&[&["read", "free/a"], options].concat());
            assert_eq!(seqs(&found), expected, "{mode:?} {options:?}");
        }
        let all = place.json(&["read", "--all", "--key-kind", "receipt"]);
        assert_eq!(seqs(&all), [3]);
        let table = place.ok(&["read", "free/a", "--kind", "lent"]);
        assert!(table.contains("book:Emma") && !table.contains("receipt"), "{table}");
    }
}

#[test]
fn replayed_events_are_marked() {
    let place = library(Mode::Served);
    let found = place.json(&["read", "free/a", "--after", "3", "--replay"]);
    assert_eq!(seqs(&found), [3, 4]);
    assert_eq!((&found[0]["replayed"], &found[1]["replayed"]), (&true.into(), &Value::Null));
    let with = ["read", "free/a", "--after", "3", "--replay", "--with-effects"];
    assert_eq!(seqs(&place.json(&with)), [3, 4, 5]);
    assert!(place.ok(&with).contains("replayed"));
    let tail = ["tail", "free/a", "--after", "4", "--replay", "--with-effects", "--limit", "2"];
    assert_eq!(seqs(&place.json(&tail)), [3, 5]);
    assert!(place.ok(&tail).contains("(replayed)"));
    let last = ["tail", "free/a", "--last", "2", "--key-kind", "book", "--limit", "2"];
    assert_eq!(seqs(&place.json(&last)), [2, 4]);
}

#[test]
fn pages_follow_each_other() {
    for mode in MODES {
        let place = library(mode);
        for (options, expected) in [
            (&["--key-kind", "book"][..], vec![1, 2, 4]),
            (&["--backwards"], vec![5, 4, 3, 2, 1]),
            (&["--after", "3", "--replay"], vec![3, 4]),
            (&["--all", "--kind", "made"], vec![1, 2]),
        ] {
            let scope: &[&str] =
                if options[0] == "--all" { &["read"] } else { &["read", "free/a"] };
            let asked = [scope, options, &["--limit", "1"]].concat();
            let mut page = place.json(&asked);
            let mut found = seqs(&page);
            while let Some(next) = page.last().and_then(|line| line["next"].as_str()) {
                let again: Vec<_> = asked
                    .iter()
                    .copied()
                    .filter(|word| !matches!(*word, "--after" | "3"))
                    .collect();
                page = place.json(&[&again[..], &["--page", next]].concat());
                found.extend(seqs(&page));
            }
            assert_eq!(found, expected, "{mode:?} {options:?}");
        }
    }
    let place = library(Mode::Embedded);
    let output = place.run(&["read", "free/a", "--limit", "2"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("--page "));
}

#[test]
fn what_cannot_be_read_so_is_refused() {
    let place = library(Mode::Embedded);
    let page = place.json(&["read", "free/a", "--limit", "1"]);
    let token = page[1]["next"].as_str().unwrap();
    for (options, says) in [
        (&["--page", token, "--kind", "made"][..], "another question"),
        (&["--page", "zz"], "page token"),
        (&["--page", token, "--after", "1"], "cannot be used with"),
        (&["--key", "Emma"], "book:Emma"),
        (&["--since-time", "yesterday"], "2026"),
        (&["--since-time", "2026-01-02", "--until-time", "2026-01-01"], "host_ms"),
        (&["--kind", ""], "kind"),
        (&["--replay", "--backwards"], "cannot be used with"),
        (&["--with-effects"], "--replay"),
        (&["--last", "2", "--limit", "2"], "cannot be used with"),
    ] {
        let said = place.fails(2, &[&["read", "free/a"], options].concat());
        assert!(said.contains(says), "{options:?}: {said}");
    }
    let help = place.ok(&["read", "--help"]);
    assert!(help.contains("--key book:Emma --last 5") && help.contains("--page"), "{help}");
}
