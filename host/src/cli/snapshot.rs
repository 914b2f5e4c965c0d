//! `snapshot`: keep states of scopes, and prove those that were kept.

use super::args::Global;
use super::connect::{Connection, Missing, connect};
use super::failure::Failure;
use super::output::Out;
use super::{exit, input, text};
use atomic_store_core::ScopeName;
use clap::{Args, Subcommand};
use serde_json::json;

/// Take snapshots of scopes, or prove those that were taken
#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    #[command(subcommand)]
    command: SnapshotCommand,
}

#[derive(Debug, Subcommand)]
enum SnapshotCommand {
    Take(Take),
    Scrub(Scrub),
}

/// Keep the state of scopes now
///
/// The store does so by itself after many events, and when a scope leaves memory. The last two of each
/// rule are kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store snapshot take auction/1
  atomic-store snapshot take auction/1 auction/2

Exit code 3 if a scope has no events.")]
struct Take {
    /// The scopes
    #[arg(value_parser = input::scope, required = true)]
    scopes: Vec<ScopeName>,
}

/// Prove that snapshots are what the events say, and drop those that are not
///
/// The state that comes of a snapshot and the events behind it is held against the state that comes of
/// all events. A server does this by itself, one scope after the other.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store snapshot scrub
  atomic-store --json snapshot scrub auction/

Exit code 65 if one was dropped. Nothing is lost by that: its scope folds more events once.")]
struct Scrub {
    /// Only scopes whose names start so
    #[arg(default_value = "")]
    prefix: String,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: SnapshotArgs, out: &mut Out) -> Result<(), Failure> {
    let connection = connect(global, Missing::Refuse).await?;
    let done = match args.command {
        SnapshotCommand::Take(take) => run_take(&connection, take, out).await,
        SnapshotCommand::Scrub(scrub) => run_scrub(&connection, &scrub, out).await,
    };
    done.and(connection.close().await)
}

async fn run_take(connection: &Connection, take: Take, out: &mut Out) -> Result<(), Failure> {
    for scope in take.scopes {
        let taken = connection.client.take_snapshot(&scope).await?;
        match (&taken, out.json()) {
            (_, true) => {
                let taken = taken.map(
                    |one| json!({ "seq": one.seq, "bytes": one.bytes, "validator": one.validator }),
                );
                out.document(&json!({ "scope": scope, "snapshot": taken }))?;
            }
            (Some(one), false) => {
                let (seq, bytes) = (one.seq, text::counted(one.bytes, "byte"));
                out.line(&format!("snapshot of {scope} after event {seq}: {bytes}"))?;
            }
            (None, false) => {
                out.line(&format!("no snapshot of {scope}: its validator gives none"))?;
            }
        }
    }
    Ok(())
}

async fn run_scrub(connection: &Connection, scrub: &Scrub, out: &mut Out) -> Result<(), Failure> {
    let (mut after, mut all) = (String::new(), (0, 0, 0));
    let mut dropped = Vec::new();
    loop {
        let page = connection.client.scrub_snapshots(&scrub.prefix, &after).await?;
        let Some(last) = page.last else { break };
        after = last.as_str().to_owned();
        all = (all.0 + page.scopes, all.1 + page.proven, all.2 + page.skipped);
        dropped.extend(page.dropped);
    }
    let (scopes, proven, skipped) = all;
    if out.json() {
        let dropped: Vec<_> = dropped
            .iter()
            .map(|one| json!({ "scope": one.scope, "seq": one.seq, "why": one.why }))
            .collect();
        out.document(&json!({
            "scopes": scopes, "proven": proven, "skipped": skipped, "dropped": dropped
        }))?;
    } else {
        for one in &dropped {
            out.line(&format!("dropped: {} after event {}: {}", one.scope, one.seq, one.why))?;
        }
        out.line(&format!(
            "{}, {} proven, {} dropped",
            text::counted(scopes, "scope"),
            text::counted(proven, "snapshot"),
            dropped.len()
        ))?;
    }
    match dropped.is_empty() {
        true => Ok(()),
        false => Err(Failure::silent(exit::DAMAGED)),
    }
}
