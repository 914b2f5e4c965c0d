//! Atomic Store beside its peers: the same work, on the same machine, in the same minutes.
//!
//! `peers run` starts the servers, sends load processes at them, turn by turn, and writes the page.
//! `peers load` is one load process: a job as JSON on standard input, a sample on standard output.

mod failure;
mod idle;
mod job;
mod load;
mod machine;
mod meter;
mod plan;
mod procs;
mod raw;
mod report;
mod rng;
mod rules;
mod runner;
mod sections;
mod servers;
mod shape;
mod stats;

use clap::{Parser, Subcommand};
use failure::Failure;

/// Atomic Store beside its peers
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures, and writes the page
    Run(plan::Options),
    /// Writes the page again from results that are there
    Render(plan::Options),
    /// One load process: a job as JSON on standard input
    #[command(hide = true)]
    Load,
}

fn main() -> Result<(), Failure> {
    match Arguments::parse().command {
        Command::Run(options) => runner::run(&options),
        Command::Render(options) => report::render(&options.out),
        Command::Load => load::main(),
    }
}
