//! The `atomic-store` program: reads the command line, runs one command, ends with its exit code.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
