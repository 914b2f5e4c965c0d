//! `serve --background`: the server goes on in a process of its own, and the shell goes on once it is
//! ready.
//!
//! With `serve &` the next command of a script may come first, and open the store itself.

use super::exit;
use super::failure::Failure;
use super::output::Out;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// The option, as it is left out for the process that serves.
const OPTION: &str = "--background";

/// Starts this program again without the option, and prints its line when it says that it is ready. Until
/// then it is waited for: its exit code is this one's. Its log goes on to where this process has its own.
pub(crate) fn run(out: &mut Out) -> Result<(), Failure> {
    let not_started = |error: &std::io::Error| Failure::file("the server did not start", error);
    let program = std::env::current_exe().map_err(|error| not_started(&error))?;
    let mut server = Command::new(program)
        .args(std::env::args_os().skip(1).filter(|argument| argument != OPTION))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // A Ctrl-C in this terminal is for what runs in front.
        .process_group(0)
        .spawn()
        .map_err(|error| not_started(&error))?;
    let mut ready = String::new();
    if let Some(said) = server.stdout.take() {
        BufReader::new(said).read_line(&mut ready).map_err(|error| not_started(&error))?;
    }
    if ready.is_empty() {
        // It has said why.
        let code = server.wait().map_err(|error| not_started(&error))?.code();
        let code = code.and_then(|code| u8::try_from(code).ok());
        return Err(Failure::silent(code.filter(|code| *code != 0).unwrap_or(exit::STORAGE)));
    }
    out.line(ready.trim_end())
}
