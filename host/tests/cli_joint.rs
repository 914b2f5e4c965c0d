//! Appends to several scopes, and appends that a program judges, on the command line.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{MODES, Place};

const BOTH: &str = "{\"scope\":\"free/b\",\"kind\":\"in\",\"payload\":{\"n\":1.50}}
{\"scope\":\"free/a\",\"kind\":\"out\",\"expected_head\":0}
{\"scope\":\"free/b\",\"kind\":\"in\"}
";

#[test]
fn a_joint_append_goes_to_all_scopes_or_to_none() {
    for mode in MODES {
        let place = Place::with_rules(mode);
        place.file("both", BOTH);
        let dry = place.json(&["append-joint", "both", "--dry-run"]);
        assert_eq!((&dry[0]["outcome"], &dry[0]["dry_run"]), (&"committed".into(), &true.into()));
        assert_eq!(place.json(&["read", "free/a"]).len(), 0, "{mode:?}");

        let told = place.json(&["append-joint", "both", "--id", "once"]);
        assert_eq!(told[0]["parts"][0]["scope"], "free/b");
        assert_eq!(told[0]["parts"][0]["last"]["seq"], 2);
        assert_eq!(told[0]["parts"][1]["first"]["seq"], 1);
        let again = place.json(&["append-joint", "both", "--id", "once"]);
        assert_eq!(
            (&again[0]["duplicate"], &again[0]["parts"][1]["hash"]),
            (&true.into(), &told[0]["parts"][1]["hash"])
        );
        assert!(place.ok(&["read", "free/b"]).contains("1.50"));

        // The expected head does not fit any more.
        let refused = place.run(&["append-joint", "both"]);
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8(refused.stdout).unwrap();
        assert!(said.contains("free/a said:") && said.contains("head mismatch"), "{said}");
        assert_eq!(place.json(&["read", "free/b"]).len(), 2);

        // The auction refuses an event of a kind it does not know.
        place.file(
            "bad",
            "{\"scope\":\"free/a\",\"kind\":\"x\"}\n{\"scope\":\"auction/1\",\"kind\":\"x\"}",
        );
        let refused = place.run(&["--json", "append-joint", "bad"]);
        assert_eq!(refused.status.code(), Some(1));
        let said: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
        assert_eq!(
            (&said["outcome"], &said["parts"][0]["scope"]),
            (&"refused".into(), &"auction/1".into())
        );
        assert_eq!(place.json(&["read", "free/a"]).len(), 1);

        place.file("wrong", "{\"scope\":\"free/a\"}");
        let wrong = place.run(&["append-joint", "wrong"]);
        assert_eq!(wrong.status.code(), Some(2));
        assert!(String::from_utf8(wrong.stderr).unwrap().contains("line 1: no kind"));
    }
}

#[test]
fn a_program_judges_what_it_appends() {
    for mode in MODES {
        let place = Place::with_rules(mode);
        place.ok(&["validator", "bind", "game/*", "originator"]);
        // At most two moves.
        let judge = "! grep -q '\"head\":2'  || { echo enough; exit 1; }";
        let append = |more: &[&str]| {
            let mut args = vec!["append", "game/1", "move", "--judge", "sh"];
            args.extend(["--judge-arg", "-c", "--judge-arg", judge]);
            args.extend(more);
            place.run(&args)
        };
        for expected in ["committed game/1 1", "committed game/1 2"] {
            let said = append(&[]);
            assert!(said.status.success(), "{mode:?}: {said:?}");
            assert!(String::from_utf8(said.stdout).unwrap().contains(expected));
        }
        let said = append(&[]);
        assert_eq!(said.status.code(), Some(1));
        assert!(String::from_utf8(said.stdout).unwrap().contains("enough"));

        // The program sees the events after the one it knows, and what is proposed.
        let out = place.path("seen");
        let copy = format!("cat > {}; echo fine", out.display());
        let args = ["append", "game/1", "move", r#"{"to":"e4"}"#, "--known", "1", "--judge", "sh"];
        let args = [&args[..], &["--judge-arg", "-c", "--judge-arg", copy.as_str()]].concat();
        assert!(place.ok(&args).contains("committed game/1 3: fine"));
        let seen = std::fs::read(&out).unwrap();
        let seen: serde_json::Value = serde_json::from_slice(&seen).unwrap();
        assert_eq!((&seen["scope"], &seen["head"]), (&"game/1".into(), &2.into()));
        assert_eq!(
            (&seen["past"][0]["seq"], seen["past"].as_array().unwrap().len()),
            (&2.into(), 1)
        );
        assert_eq!(seen["proposals"][0]["payload"]["to"], "e4");

        // A program that is not there, or gives no verdict, stores nothing.
        for (program, argument) in [("./no-such-program", "x"), ("sh", "-cexit 7")] {
            let args = ["append", "game/1", "move", "--judge", program, "--judge-arg", argument];
            assert_eq!(place.run(&args).status.code(), Some(2), "{program}");
        }
        let plain = place.run(&["append", "game/1", "move"]);
        assert_eq!(plain.status.code(), Some(2));
        assert!(String::from_utf8(plain.stderr).unwrap().contains("--judge"));
        assert_eq!(place.json(&["read", "game/1"]).len(), 3);

        let wrong = place.run(&["validator", "bind", "x", "originator", "--config", "{\"ms\":1}"]);
        assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    }
}
