//! Imports: the mapping, the order, the summary, and that a second run stores nothing.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{MODES, Mode, Place, lines};
use serde_json::json;

/// Not in order of time. By time: 10 (accepted), 10 again (too low), 12.50 (accepted); in the other auction
/// 3 (below the opening bid), 5 (accepted).
const BIDS: &str = "\
1,12.50,0.30,007,10
2,5,0.20,eve,4.99
1,10.00,0.10,ann,10
2,3.10,0.15,\"do, ra\",4.99
1,10,0.20,bob,10
";

const MAPPING: [&str; 15] = [
    "--columns",
    "auction,bid,time,bidder,opening",
    "--scope",
    "auction/{auction}",
    "--kind",
    "bid",
    "--field",
    "bidder:text",
    "--field",
    "amount=bid",
    "--field",
    "opening",
    "--order-by",
    "time",
    "--json",
];

fn import<'a>(file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["import", file], &MAPPING[..], more].concat()
}

#[test]
fn rows_are_judged_in_order_and_counted_by_reason() {
    for mode in MODES {
        let place = Place::with_rules(mode);
        place.file("bids.csv", BIDS);
        let summary = place.json(&import("bids.csv", &["--rejected", "rejected.csv"])).remove(0);
        assert_eq!(summary["rows"], 5, "{mode:?}");
        assert_eq!((&summary["accepted"], &summary["scopes"]), (&json!(3), &json!(2)));
        let others = json!([
            { "outcome": "rejected", "code": "below-opening", "count": 1 },
            { "outcome": "rejected", "code": "too-low", "count": 1 },
        ]);
        assert_eq!(summary["not_accepted"], others);
        assert!(summary["appends_per_s"].as_f64().unwrap() > 0.0);

        let stored = place.ok(&["--json", "read", "auction/1"]);
        let first = r#""payload":{"bidder":"ann","amount":10.00,"opening":10}"#;
        let second = r#""payload":{"bidder":"007","amount":12.50,"opening":10}"#;
        assert!(stored.contains(first) && stored.contains(second), "as written: {stored}");

        let rejected = std::fs::read_to_string(place.path("rejected.csv")).unwrap();
        let header = "auction,bid,time,bidder,opening,row,outcome,code,message";
        assert_eq!(rejected.lines().next(), Some(header));
        assert!(rejected.contains("2,3.10,0.15,\"do, ra\",4.99,4,rejected,below-opening,"));
        assert!(rejected.contains("1,10,0.20,bob,10,5,rejected,too-low,"));
    }
}

#[test]
fn the_same_file_twice_is_stored_once() {
    for mode in MODES {
        let place = Place::with_rules(mode);
        place.file("bids.csv", BIDS);
        let first = place.json(&import("bids.csv", &[])).remove(0);
        let before = place.ok(&["--json", "read", "--all"]);
        place.file("copy.csv", BIDS);
        let second = place.json(&import("copy.csv", &[])).remove(0);
        assert_eq!(second["duplicates"], 5, "{mode:?}");
        for member in ["rows", "accepted", "not_accepted"] {
            assert_eq!(first[member], second[member], "{member}");
        }
        assert_eq!(before, place.ok(&["--json", "read", "--all"]));
    }
}

#[test]
fn ndjson_rows_map_as_csv_rows_do_and_numbers_stay_as_written() {
    let place = Place::with_rules(Mode::Embedded);
    let rows = "{\"account\":\"a\",\"type\":\"credit\",\"amount\":0.10000000000000000001}\n\
                {\"account\":7,\"type\":\"debit\",\"amount\":\"2.50\"}\n";
    place.file("rows.ndjson", rows);
    place.ok(&[
        "import",
        "rows.ndjson",
        "--scope",
        "free/{account}",
        "--kind",
        "{type}",
        "--key",
        "account:{account}",
        "--meta",
        "source=rows",
    ]);
    let stored = place.ok(&["--json", "read", "free/a"]);
    assert!(stored.contains("\"amount\":0.10000000000000000001"), "{stored}");
    let event = place.json(&["read", "free/7"]).remove(0);
    assert_eq!((&event["kind"], &event["keys"]), (&json!("debit"), &json!(["account:7"])));
    assert_eq!(event["metadata"], json!({ "source": "rows" }));
}

#[test]
fn standard_input_can_be_imported_under_the_same_ids_as_the_file() {
    let place = Place::with_rules(Mode::Embedded);
    place.file("bids.csv", BIDS);
    place.json(&import("bids.csv", &[]));
    let output = place.pipe(&import("-", &["--format", "csv"]), BIDS);
    let summary = lines(&String::from_utf8(output.stdout).unwrap()).remove(0);
    assert_eq!((output.status.code(), &summary["duplicates"]), (Some(0), &json!(5)));
}

#[test]
fn a_row_that_cannot_be_mapped_is_told_and_the_others_are_stored() {
    let place = Place::with_rules(Mode::Embedded);
    place.file("bids.csv", "auction,bid\n1,5\nnot a name,6\n");
    let args = [
        "import",
        "bids.csv",
        "--header",
        "--scope",
        "free/{auction}",
        "--kind",
        "bid",
        "--rejected",
        "bad.csv",
    ];
    place.fails(2, &args);
    assert_eq!(place.json(&["scope", "show", "free/1"])[0]["head"], 1);
    let bad = std::fs::read_to_string(place.path("bad.csv")).unwrap();
    assert!(bad.lines().nth(1).unwrap().starts_with("not a name,6,2,invalid,row,"), "{bad}");
}

#[test]
fn a_wrong_mapping_is_refused_before_anything_is_stored() {
    let place = Place::with_rules(Mode::Embedded);
    place.file("bids.csv", "auction,bid\n1,5\n");
    let base = ["import", "bids.csv", "--scope", "free/{auction}", "--kind", "bid"];
    for (more, word) in [
        (&["--header", "--field", "amount"][..], "no column \"amount\""),
        (&[], "--columns"),
        (&["--columns", "a,a"], "two columns"),
        (&["--columns", "auction"], "expected 1"),
        (&["--header", "--order-by", "auction", "--columns", "x"], "cannot be used with"),
        (&["--columns", "auction,bid", "--order-by", "auction"], "not a plain decimal"),
    ] {
        let said = place.fails(2, &[&base[..], more].concat());
        assert!(said.contains(word), "{more:?}: {said}");
    }
    assert!(place.json(&["scope", "list", "free/"]).is_empty());
}

#[test]
fn many_rows_of_one_scope_keep_the_order_of_the_file() {
    let place = Place::with_rules(Mode::Served);
    // Only strictly rising bids are accepted, so any change of order would refuse one.
    let rows: String = (1..=2_000).map(|n| format!("{},{n}\n", n % 3)).collect();
    place.file("bids.csv", &rows);
    let summary = place.json(&[
        "import",
        "bids.csv",
        "--columns",
        "auction,amount",
        "--scope",
        "auction/{auction}",
        "--kind",
        "bid",
        "--field",
        "bidder=auction:text",
        "--field",
        "amount",
    ]);
    assert_eq!((&summary[0]["accepted"], &summary[0]["rejected"]), (&json!(2_000), &json!(0)));
}
