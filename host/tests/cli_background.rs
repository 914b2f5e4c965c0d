//! A server in the background: whoever started it goes on when clients can connect.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cli_support;

use cli_support::{Mode, Place, assert_code, lines};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A server that is no child of the test; it ends with the test.
struct Background(u64);

impl Background {
    fn signal(&self, signal: &str) -> bool {
        Command::new("kill").args([signal, &self.0.to_string()]).output().unwrap().status.success()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.signal("-KILL");
    }
}

#[test]
fn the_next_command_finds_a_server_that_was_started_in_the_background() {
    let place = Place::new(Mode::Embedded);
    let mut start = place.command(&["--json", "serve", "--background", "--log", "error"]);
    // A pipe would be open as long as the server is.
    let started = start.stderr(Stdio::inherit()).output().unwrap();
    assert_code(&["serve"], &started, 0);
    let ready = lines(&String::from_utf8(started.stdout).unwrap());
    let server = Background(ready[0]["pid"].as_u64().unwrap());
    let at = place.json(&["status"])[0]["via"].clone();
    assert_eq!(at, ready[0]["socket"], "the command opened the store itself");
    place.ok(&["validator", "bind", "free/*", "accept-all"]);
    // A second one is told that the first has the store, and so are we.
    let args = ["serve", "--background", "--log", "error"];
    let second = place.run(&args);
    assert_code(&args, &second, 75);
    assert!(second.stdout.is_empty() && !second.stderr.is_empty(), "{second:?}");
    assert!(server.signal("-TERM"));
    let patience = Instant::now() + Duration::from_secs(60);
    while Path::new(&format!("/proc/{}", server.0)).exists() {
        assert!(Instant::now() < patience, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(place.json(&["validator", "list"])[0]["bindings"][0]["pattern"], "free/*");
}

#[test]
fn what_keeps_a_server_from_starting_is_told_with_its_exit_code() {
    let place = Place::new(Mode::Embedded);
    for json in [&[][..], &["--json"]] {
        let args = [json, &["serve", "--background", "--tcp", "192.0.2.1:7070"]].concat();
        let output = place.run(&args);
        assert_code(&args, &output, 2);
        assert!(output.stdout.is_empty(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("192.0.2.1") && said.lines().count() == 1, "{said}");
        if !json.is_empty() {
            assert_eq!(lines(&said)[0]["error"]["code"], 2);
        }
    }
}
