//! Letting components in with the program: checks, signatures, layouts, and a second start that finds
//! compiled code.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;
mod guests;

use cli_support::{MODES, Mode, Place, auction};
use guests::guest;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Output;

fn write(place: &Place, name: &str, bytes: &[u8]) -> PathBuf {
    let path = place.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn result(checked: &Value, name: &str) -> String {
    let checks = checked["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["check"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {checked}"))["result"].as_str().unwrap().to_owned()
}

/// A guest that does not give a verdict on an empty payload.
fn picky() -> Vec<u8> {
    let trap = "(if (i32.eqz (i32.load offset=20 (local.get $at))) (then unreachable))
                (call $accept (local.get $len))";
    guest().with("validate", trap).component()
}

#[test]
fn check_needs_no_store_and_says_what_it_found() {
    let place = Place::new(Mode::Embedded);
    // A store that the environment names is not needed.
    let mut check = place.bare();
    check.env("ATOMIC_STORE_DATA", "no-store-here").args(["--json", "validator", "check"]);
    let fine = check.arg(auction()).output().unwrap();
    let checked = json_of(&fine);
    assert_eq!(fine.status.code(), Some(0), "{checked}");
    assert_eq!(checked["name"], "auction");
    assert_eq!(result(&checked, "same-verdict-twice"), "passed");
    assert_eq!(result(&checked, "a-verdict-on-anything"), "passed");
    assert_ne!(result(&checked, "one-call-like-two"), "failed");
    let file = write(&place, "picky.wasm", &picky());
    let found = place.bare().args(["--json", "validator", "check"]).arg(&file).output().unwrap();
    let checked = json_of(&found);
    assert_eq!(found.status.code(), Some(1));
    assert_eq!(result(&checked, "a-verdict-on-anything"), "failed");
    let failed = checked["checks"].as_array().unwrap().iter().find(|c| c["result"] == "failed");
    assert!(failed.unwrap()["input"]["kind"].is_string(), "{checked}");
    let table = place.bare().args(["validator", "check"]).arg(&file).output().unwrap();
    assert!(String::from_utf8_lossy(&table.stdout).contains("unreachable"));
    let nothing = place.file("nothing.wasm", "nothing");
    let refused = place.bare().args(["validator", "check"]).arg(&nothing).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_configuration_that_is_declined_fails_the_check_in_the_words_of_the_validator() {
    let auction = auction();
    let auction = auction.to_str().unwrap();
    let word = "incremnt";
    let config = ["--config", r#"{"incremnt":"0.50"}"#];
    let place = Place::new(Mode::Served);
    let check =
        |more: &[&str]| place.run(&[&["--json", "validator", "check", auction], more].concat());
    let checked = check(&config);
    assert_eq!(checked.status.code(), Some(1));
    let checked = json_of(&checked);
    assert_eq!(result(&checked, "starts"), "failed");
    assert!(checked.to_string().contains(word), "{checked}");
    assert_eq!(check(&["--config", r#"{"increment":"0.50"}"#]).status.code(), Some(0));
    let load =
        |how: &[&str]| place.run(&[&["validator", "load", auction], how, &config[..]].concat());
    let strict = load(&["--strict"]);
    assert_eq!(strict.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&strict.stderr).contains(word), "{strict:?}");
    let warned = load(&[]);
    assert_eq!(warned.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&warned.stdout).contains(word), "{warned:?}");
}

#[test]
fn strict_refuses_what_a_plain_load_warns_about() {
    for mode in MODES {
        let place = Place::new(mode);
        let file = write(&place, "picky.wasm", &picky());
        let file = file.to_str().unwrap();
        let strict = place.run(&["validator", "load", "--strict", file]);
        assert_eq!(strict.status.code(), Some(2), "{mode:?}");
        let said = String::from_utf8_lossy(&strict.stderr).into_owned();
        assert!(said.contains("a-verdict-on-anything"), "{said}");
        let checked = json_of(&place.run(&["--json", "validator", "check", file]));
        assert_eq!(checked["bindings"], json!([]));
        let listed = json_of(&place.run(&["--json", "validator", "list"]));
        let names: Vec<_> = listed["validators"].as_array().unwrap().iter().collect();
        assert!(names.iter().all(|validator| validator["name"] != "guest"), "nothing was stored");
        let loaded = place.run(&["validator", "load", file]);
        assert_eq!(loaded.status.code(), Some(0));
        let said = String::from_utf8_lossy(&loaded.stdout).into_owned();
        assert!(said.contains("loaded guest@1.0.0") && said.contains("unreachable"), "{said}");
        assert_eq!(json_of(&place.run(&["--json", "validator", "load", file]))["new"], false);
    }
}

#[test]
fn recorded_events_are_part_of_a_check() {
    let place = Place::with_rules(Mode::Served);
    place.ok(&["append", "free/1", "note", "\"one\""]);
    // Cannot fold what is in the log.
    let file = write(&place, "blind.wasm", &guest().with("apply", "(unreachable)").component());
    let file = file.to_str().unwrap();
    let args = ["--json", "validator", "check", "--recorded", "free/*", file];
    let checked = json_of(&place.run(&args));
    let fold = checked["checks"].as_array().unwrap().iter().find(|c| c["result"] == "failed");
    let fold = fold.unwrap();
    assert_eq!(fold["check"], "folds-what-it-accepts");
    assert!(fold["detail"].as_str().unwrap().contains("a recorded event"), "{fold}");
    assert_eq!(fold["input"]["payload"], "one");
}

#[test]
fn signatures_are_required_by_choice_and_recorded() {
    let place = Place::new(Mode::Embedded);
    let auction = auction();
    let auction = auction.to_str().unwrap();
    let made = place.run(&["validator", "keygen", "release.key"]);
    let public = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert!(public.starts_with("ed25519:"), "{public}");
    assert_eq!(place.run(&["validator", "keygen", "release.key"]).status.code(), Some(2));
    place.ok(&["validator", "keygen", "other.key"]);
    place.ok(&["validator", "sign", auction, "--key", "release.key", "--output", "good.sig"]);
    place.ok(&["validator", "sign", auction, "--key", "other.key", "--output", "other.sig"]);
    let load = |more: &[&str]| {
        let mut command = place.command(&["--json", "validator", "load", auction]);
        command.env("ATOMIC_STORE_TRUSTED_KEYS", &public);
        command.env("ATOMIC_STORE_REQUIRE_SIGNATURES", "true");
        command.args(more).output().unwrap()
    };
    for (more, why) in [
        (&[][..], "signed components only"),
        (&["--signature", "other.sig"], "of none of 1 trusted key,"),
        (&["--signature", "release.key"], "a signature is 64 bytes"),
    ] {
        let refused = load(more);
        assert_eq!(refused.status.code(), Some(2), "{more:?}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(why), "{said}");
    }
    let loaded = json_of(&load(&["--signature", "good.sig"]));
    assert_eq!((&loaded["new"], &loaded["signed_by"]), (&json!(true), &json!(public)));
    // It is in the log, and found again without the keys.
    let shown = json_of(&place.run(&["--json", "validator", "show", "auction"]));
    assert_eq!((&shown["signed_by"], &shown["wasi"]), (&json!(public), &json!(false)));
    let events = place.run(&["--json", "read", "$system"]);
    assert!(String::from_utf8_lossy(&events.stdout).contains(&public));
    let unknown = place.run(&["validator", "load", auction, "--signature", "good.sig"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("trusts no key"));
}

/// Puts a blob into a layout and describes it.
fn blob(place: &Place, media_type: &str, content: &[u8]) -> Value {
    let sum = std::process::Command::new("sha256sum").arg(write(place, "blob", content)).output();
    let digest = String::from_utf8(sum.unwrap().stdout).unwrap()[..64].to_owned();
    write(place, &format!("layout/blobs/sha256/{digest}"), content);
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len() })
}

#[test]
fn a_component_is_pulled_out_of_a_layout_and_every_digest_is_checked() {
    let place = Place::new(Mode::Embedded);
    let component = guest().component();
    let layer = blob(&place, "application/wasm", &component);
    let config = blob(&place, "application/vnd.wasm.config.v0+json", b"{\"os\":\"wasip2\"}");
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let mut image = blob(&place, media_type, manifest.to_string().as_bytes());
    image["annotations"] = json!({ "org.opencontainers.image.ref.name": "1.0.0" });
    let mut other = blob(&place, media_type, b"{\"layers\":[]}");
    other["annotations"] = json!({ "org.opencontainers.image.ref.name": "empty" });
    let index = |images: Value| {
        let index = json!({ "schemaVersion": 2, "manifests": images }).to_string();
        write(&place, "layout/index.json", index.as_bytes());
    };
    write(&place, "layout/oci-layout", b"{\"imageLayoutVersion\":\"1.0.0\"}");
    index(json!([image, other]));
    let pull =
        |more: &[&str]| place.run(&[&["--json", "validator", "pull", "layout"], more].concat());
    let said = |output: Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said(pull(&[])).contains("name one image with --tag; there are: 1.0.0, empty"));
    assert_eq!(pull(&["--tag", "2.0.0"]).status.code(), Some(3));
    assert!(said(pull(&["--tag", "empty"])).contains("no layer of type application/wasm"));
    let loaded = json_of(&pull(&["--tag", "1.0.0"]));
    assert_eq!((&loaded["name"], &loaded["new"]), (&json!("guest"), &json!(true)));
    index(json!([image]));
    assert_eq!(json_of(&pull(&[]))["new"], false);

    // One bit of the layer, then a digest that leads elsewhere.
    let digest = layer["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let mut changed = component.clone();
    changed[100] ^= 1;
    write(&place, &format!("layout/blobs/sha256/{digest}"), &changed);
    assert_eq!(pull(&[]).status.code(), Some(65));
    write(&place, &format!("layout/blobs/sha256/{digest}"), &component[1..]);
    assert_eq!(pull(&[]).status.code(), Some(65));
    image["digest"] = json!("sha256:../../../../etc/passwd");
    index(json!([image]));
    assert!(said(pull(&[])).contains("is no digest"));
    let file = write(&place, "plain.wasm", &component);
    place.ok(&["validator", "pull", file.to_str().unwrap()]);
}

#[test]
fn code_is_kept_for_the_next_start() {
    let place = Place::with_rules(Mode::Embedded);
    let bid = "{\"bidder\":\"ann\",\"amount\":\"12.50\",\"opening\":\"10.00\"}";
    place.ok(&["append", "auction/1", "bid", bid]);
    let code = || {
        let entries = std::fs::read_dir(place.path("store/code")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "code")).collect::<Vec<_>>()
    };
    let files = code();
    assert_eq!(files.len(), 1, "{files:?}");
    std::fs::write(&files[0], b"not ours").unwrap();
    let higher = bid.replace("12.50", "14.00");
    place.ok(&["append", "auction/1", "bid", &higher]);
    assert!(std::fs::metadata(&files[0]).unwrap().len() > 1_000, "it was made anew");
    std::fs::remove_dir_all(place.path("store/code")).unwrap();
    place.ok(&["append", "auction/1", "bid", &bid.replace("12.50", "16.00")]);
    assert_eq!(code().len(), 1);
}
