//! The command line as a type: the options all commands share, and the list of commands.

use super::{
    append, append_joint, bench, compile_worker, completions, conflicts, exit, import, query, read,
    scope, serve, status, tail,
};
use super::{rejections, snapshot, transfer, validator, verify, what_if};
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a store lives if nobody says otherwise.
pub(crate) const DEFAULT_DATA: &str = "atomic-store-data";

/// Logs that admit one event at a time, judged by WebAssembly validators.
#[derive(Debug, Parser)]
#[command(name = "atomic-store", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = after_help())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The Unix socket of a running store [env: ATOMIC_STORE_SOCKET]
    #[arg(long, global = true, value_name = "PATH", help_heading = "Which store")]
    pub(crate) socket: Option<PathBuf>,
    /// The TCP address of a running store
    #[arg(long, global = true, value_name = "ADDR", help_heading = "Which store")]
    pub(crate) tcp: Option<SocketAddr>,
    /// A store's directory: its server if one runs, else the store itself [env: ATOMIC_STORE_DATA]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Which store")]
    pub(crate) data: Option<PathBuf>,
    /// Print JSON instead of tables, errors on standard error included
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Global {
    /// How many stores the options name; the environment does not count.
    pub(crate) fn named(&self) -> usize {
        let named = [self.socket.is_some(), self.tcp.is_some(), self.data.is_some()];
        named.into_iter().filter(|given| *given).count()
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(serve::Serve),
    Append(append::AppendArgs),
    AppendJoint(append_joint::AppendJoint),
    Read(read::Read),
    Tail(tail::Tail),
    Scope(scope::ScopeArgs),
    Validator(validator::ValidatorArgs),
    Snapshot(snapshot::SnapshotArgs),
    Query(query::Query),
    WhatIf(what_if::WhatIf),
    Conflicts(conflicts::Conflicts),
    Rejections(rejections::Rejections),
    Status(status::Status),
    Import(import::Import),
    Export(transfer::Export),
    Restore(transfer::RestoreArgs),
    Verify(verify::Verify),
    Bench(bench::Bench),
    Completions(completions::Completions),
    /// One load generator of `bench`, in a process of its own
    #[command(hide = true)]
    BenchClient(bench::BenchClient),
    /// Compiles one component from standard input, in a process of its own
    #[command(hide = true)]
    CompileWorker(compile_worker::CompileWorker),
}

/// Examples first, then which store is meant, then the codes.
fn after_help() -> String {
    const TEXT: &str = "\
Examples:
  atomic-store serve --data ./store --background
  atomic-store --data ./store validator load auction.wasm
  atomic-store --data ./store validator bind 'auction/*' auction
  atomic-store --data ./store append auction/1 bid '{\"bidder\":\"ann\",\"amount\":\"12.50\"}'
  atomic-store --data ./store read auction/1

Which store: --socket, --tcp or --data; else $ATOMIC_STORE_SOCKET; else $ATOMIC_STORE_DATA; else \
the server on ./atomic-store-data. With a directory, a server that runs on it is used; if none \
does, the command opens the store itself, and nobody else can until it ends.";
    format!("{TEXT}\n\n{}", exit::HELP)
}
