//! The real program for the tests of the command line, in a directory of its own.
#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// How a command reaches its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The command opens the store itself.
    Embedded,
    /// A server has it.
    Served,
}

/// Both.
pub(crate) const MODES: [Mode; 2] = [Mode::Embedded, Mode::Served];

/// A store in a temporary directory, which is also the working directory.
pub(crate) struct Place {
    server: Option<Child>,
    dir: tempfile::TempDir,
}

impl Place {
    /// An empty directory, with a server on a new store in it or without.
    pub(crate) fn new(mode: Mode) -> Place {
        let mut place = Place { server: None, dir: tempfile::tempdir().unwrap() };
        if mode == Mode::Served {
            place.serve();
        }
        place
    }

    /// The auction, loaded and bound to `auction/*`; `accept-all` bound to `free/*`.
    pub(crate) fn with_rules(mode: Mode) -> Place {
        let place = Place::new(mode);
        place.ok(&["validator", "load", auction().to_str().unwrap()]);
        place.ok(&["validator", "bind", "auction/*", "auction"]);
        place.ok(&["validator", "bind", "free/*", "accept-all"]);
        place
    }

    /// A file in the directory.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program, with the environment of the caller kept away from it.
    pub(crate) fn bare(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_atomic-store"));
        command.current_dir(self.dir.path());
        command.env_remove("ATOMIC_STORE_SOCKET").env_remove("ATOMIC_STORE_DATA");
        command.env_remove("ATOMIC_STORE_KEEP_REJECTED_PAYLOADS");
        command.stdin(Stdio::null());
        command
    }

    /// The program on this place's store.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bare();
        command.args(["--data", "store"]).args(args);
        command
    }

    /// Runs a command.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command with something on its standard input.
    pub(crate) fn pipe(&self, args: &[&str], input: &str) -> Output {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs a command that must succeed, and gives its standard output.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_code(args, &output, 0);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail with a code and say why, and gives what it says.
    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        assert_code(args, &output, code);
        // What became of an append is the command's result and no diagnostic, so look at both.
        String::from_utf8([output.stderr, output.stdout].concat()).unwrap()
    }

    /// Runs a command with `--json` that must succeed, and reads each line of what it prints.
    pub(crate) fn json(&self, args: &[&str]) -> Vec<Value> {
        let args = [&["--json"], args].concat();
        lines(&self.ok(&args))
    }

    /// Starts a server and waits for its ready line, which is given back.
    pub(crate) fn serve(&mut self) -> String {
        self.serve_with(&[])
    }

    /// The same, with something in its environment.
    pub(crate) fn serve_with(&mut self, env: &[(&str, &str)]) -> String {
        let mut command = self.command(&["serve", "--log", "warn"]);
        let mut child = command.envs(env.iter().copied()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        self.server = Some(child);
        assert!(ready.starts_with("ready: store "), "{ready:?}");
        ready
    }

    /// Sends the server a signal by name and gives its exit code.
    pub(crate) fn stop(&mut self, signal: &str) -> Option<i32> {
        let mut server = self.server.take().unwrap();
        let pid = server.id().to_string();
        assert!(
            Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success()
        );
        server.wait().unwrap().code()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // It may have ended already.
            drop(server.kill());
            drop(server.wait());
        }
    }
}

/// The auction's component.
pub(crate) fn auction() -> PathBuf {
    guest("auction")
}

/// The component of an example.
pub(crate) fn guest(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let file = root.join("target/guests").join(name).with_extension("wasm");
    assert!(file.exists(), "{} is missing: make guests", file.display());
    file
}

/// Every line as JSON.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Fails with everything that was printed.
pub(crate) fn assert_code(args: &[&str], output: &Output, code: i32) {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
}
