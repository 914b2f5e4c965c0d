//! From the command line to the exit code.

use super::args::{Cli, Command};
use super::exit;
use super::failure::Failure;
use super::output::{Out, plain_json};
use super::{
    append, append_joint, bench, compile_worker, completions, conflicts, import, query, read,
    scope, serve, status, tail,
};
use super::{rejections, snapshot, text, transfer, validator, verify, what_if};
use clap::Parser;
use std::process::ExitCode;

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let complain = if cli.global.json { complain_to_program } else { complain };
    let mut out = Out::new(cli.global.json);
    let done = run(cli, &mut out).and_then(|()| out.flush());
    match done {
        Ok(()) => ExitCode::from(exit::OK),
        Err(failure) => {
            // Events printed before the failure are still of use.
            if let Err(lost) = out.flush() {
                complain(&lost);
            }
            complain(&failure);
            ExitCode::from(failure.code)
        }
    }
}

fn complain(failure: &Failure) {
    for (number, line) in failure.message.lines().enumerate() {
        let who = if number == 0 { "atomic-store: " } else { "  " };
        eprintln!("{who}{}", text::shown(line));
    }
}

/// The same for a caller that asked for JSON: one document on one line of standard error.
fn complain_to_program(failure: &Failure) {
    if !failure.message.is_empty() {
        let error = serde_json::json!({ "code": failure.code, "message": failure.message });
        eprintln!("{}", plain_json(serde_json::json!({ "error": error }).to_string()));
    }
}

fn run(cli: Cli, out: &mut Out) -> Result<(), Failure> {
    let global = cli.global;
    match cli.command {
        Command::Serve(args) => serve::run(&global, args, out),
        Command::Completions(args) => completions::run(&args, out),
        Command::Bench(args) => bench::run(&global, &args, out),
        Command::BenchClient(args) => bench::run_client(args, out),
        Command::CompileWorker(args) => compile_worker::run(&args),
        Command::Append(args) => block_on(append::run(&global, args, out)),
        Command::AppendJoint(args) => block_on(append_joint::run(&global, args, out)),
        Command::Read(args) => block_on(read::run(&global, args, out)),
        Command::Tail(args) => block_on(tail::run(&global, args, out)),
        Command::Scope(args) => block_on(scope::run(&global, args, out)),
        Command::Snapshot(args) => block_on(snapshot::run(&global, args, out)),
        Command::Validator(args) => block_on(validator::run(&global, args, out)),
        Command::Query(args) => block_on(query::run(&global, args, out)),
        Command::WhatIf(args) => block_on(what_if::run(&global, args, out)),
        Command::Conflicts(args) => block_on(conflicts::run(&global, args, out)),
        Command::Rejections(args) => block_on(rejections::run(&global, args, out)),
        Command::Status(_) => block_on(status::run(&global, out)),
        Command::Import(args) => block_on(import::run(&global, args, out)),
        Command::Export(args) => block_on(transfer::run_export(&global, args, out)),
        Command::Restore(args) => block_on(transfer::run_restore(&global, args, out)),
        Command::Verify(args) => block_on(verify::run(&global, args, out)),
    }
}

/// A client has little to do: one thread drives its connection, one is there for the blocking parts.
pub(crate) fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| Failure::file("the threads could not be started", &error))
}

fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    runtime(2)?.block_on(command)
}
