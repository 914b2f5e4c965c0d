//! The exit codes that scripts rely on, each reached in the way a user would.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{MODES, Mode, Place, assert_code};

#[test]
fn a_refusal_is_1() {
    for mode in MODES {
        let place = Place::with_rules(mode);
        place.ok(&["append", "auction/1", "bid", r#"{"bidder":"a","amount":5}"#]);
        place.fails(1, &["append", "auction/1", "bid", r#"{"bidder":"b","amount":5}"#]);
        place.fails(1, &["append", "free/1", "a", "--expected-head", "7"]);
        place.ok(&["append", "free/1", "a", "--expected-head", "empty"]);
        place.fails(1, &["append", "free/1", "a", "--expected-head", "empty"]);
        place.fails(1, &["query", "auction/1", "no-such-question"]);
    }
}

#[test]
fn wrong_usage_is_2_and_says_what_is_wrong() {
    let place = Place::with_rules(Mode::Embedded);
    for (args, word) in [
        (&["no-such-command"][..], "unrecognized"),
        (&["append", "free/1"], "KIND"),
        (&["append", "free/1", "a", "{\"open\":"], "not JSON"),
        (&["append", "free/1", "a", "@no-such-file"], "no-such-file"),
        (&["append", "with space", "a"], "not allowed in a name"),
        (&["append", "$system", "a"], "belong to the store"),
        (&["append", "free/1", "a", "--key", "nokind"], "kind"),
        (&["append", "free/1", "a", "--id", ""], "1 to 200 bytes"),
        (&["--socket", "x", "status"], "only one of"),
        (&["validator", "load", "no-such-file"], "cannot be read"),
        (&["validator", "load", "/dev/null"], "empty"),
        (&["bench"], "--dir"),
    ] {
        let said = place.fails(2, args);
        assert!(said.contains(word), "{args:?}: {said}");
    }
}

#[test]
fn whoever_asks_for_json_gets_errors_as_json_too() {
    let place = Place::with_rules(Mode::Embedded);
    let said = place.fails(3, &["--json", "scope", "show", "free/unknown"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["error"]["code"], 3);
    assert!(said["error"]["message"].as_str().unwrap().contains("free/unknown"), "{said}");
    // What is refused is an answer: it stands on standard output and is no error.
    let output = place.run(&["--json", "append", "free/1", "a", "--expected-head", "7"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn what_is_not_there_is_3() {
    let place = Place::new(Mode::Embedded);
    for args in [&["status"][..], &["read", "a"], &["verify"], &["validator", "list"]] {
        assert!(place.fails(3, args).contains("there is no store"), "{args:?}");
    }
    let place = Place::with_rules(Mode::Embedded);
    place.fails(3, &["scope", "show", "free/unknown"]);
    place.fails(3, &["validator", "show", "unknown"]);
    place.fails(3, &["validator", "bind", "x/*", "unknown"]);
}

#[test]
fn no_server_is_69_and_says_where_it_looked_and_how_to_start_one() {
    let place = Place::new(Mode::Embedded);
    let output = place.bare().arg("status").output().unwrap();
    assert_code(&["status"], &output, 69);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("atomic-store-data/run/atomic-store.sock"), "{said}");
    assert!(said.contains("atomic-store serve"), "{said}");
    let output = place.bare().args(["--socket", "elsewhere.sock", "status"]).output().unwrap();
    assert_code(&["status"], &output, 69);
    assert!(String::from_utf8(output.stderr).unwrap().contains("elsewhere.sock"));
}

#[test]
fn a_second_server_on_a_store_is_75() {
    let place = Place::with_rules(Mode::Served);
    let said = place.fails(75, &["serve", "--socket", "other.sock"]);
    assert!(said.contains("in use"), "{said}");
}

#[test]
fn a_damaged_event_is_65() {
    let place = Place::with_rules(Mode::Embedded);
    place.ok(&["append", "free/1", "kind-to-find", "{\"text\":\"needle-in-the-journal\"}"]);
    place.ok(&["append", "free/1", "later", "{}"]);
    let flipped = flip(&place.path("store"), b"needle-in-the-journal");
    assert!(flipped > 0, "the event is nowhere on the disk");
    let output = place.run(&["verify"]);
    assert_code(&["verify"], &output, 65);
}

/// Changes one byte of every copy of the text in the files below a directory.
fn flip(dir: &std::path::Path, text: &[u8]) -> usize {
    let mut flipped = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            flipped += flip(&path, text);
        } else if path.is_file() {
            let mut bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(text.len()).position(|window| window == text);
            if let Some(at) = found {
                bytes[at] ^= 1;
                std::fs::write(&path, bytes).unwrap();
                flipped += 1;
            }
        }
    }
    flipped
}

#[test]
fn a_signal_ends_a_server_cleanly_and_the_next_one_finds_everything() {
    for signal in ["TERM", "INT"] {
        let mut place = Place::with_rules(Mode::Served);
        place.ok(&["append", "free/1", "kept"]);
        assert_eq!(place.stop(signal), Some(0), "{signal}");
        place.serve();
        assert_eq!(place.json(&["read", "free/1"])[0]["kind"], "kept");
    }
}

#[test]
fn a_killed_server_leaves_a_socket_that_bothers_nobody() {
    let mut place = Place::with_rules(Mode::Served);
    place.ok(&["append", "free/1", "kept"]);
    assert_eq!(place.stop("KILL"), None);
    assert!(place.path("store/run/atomic-store.sock").exists());
    assert_eq!(place.json(&["read", "free/1"])[0]["kind"], "kept");
    place.serve();
    assert_eq!(place.json(&["read", "free/1"])[0]["kind"], "kept");
}
