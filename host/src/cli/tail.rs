//! `tail`: events as they are stored.

use super::args::Global;
use super::connect::{Connection, Missing, connect};
use super::failure::Failure;
use super::json::{EventJson, Shown};
use super::output::Out;
use super::{input, text};
use atomic_store_core::{Event, Position, ScopeName, Seq};
use clap::Args;

/// Follow the events of a scope, or of all scopes, as they are stored
///
/// Starts with the next event, unless --after names an earlier one. Goes on until it is
/// interrupted; a server that restarts is followed without gap or repeat.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store tail auction/1
  atomic-store tail auction/1 --after 0
  atomic-store tail --all --json | jq .payload")]
pub(crate) struct Tail {
    /// The scope
    #[arg(value_parser = input::scope, required_unless_present = "all", conflicts_with = "all")]
    scope: Option<ScopeName>,
    /// All scopes in their common order; --after is then a position
    #[arg(long)]
    all: bool,
    /// Start after this event [default: the last one]
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// Stop after so many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: Tail, out: &mut Out) -> Result<(), Failure> {
    let connection = connect(global, Missing::Refuse).await?;
    let done = tokio::select! {
        done = follow(&connection, &args, out) => done,
        // The usual end of a tail, and no failure.
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    done.and(connection.close().await)
}

async fn follow(connection: &Connection, args: &Tail, out: &mut Out) -> Result<(), Failure> {
    let mut left = args.limit.unwrap_or(u64::MAX);
    match &args.scope {
        Some(scope) => {
            let after = match args.after {
                Some(after) => Seq(after),
                None => connection.client.show_scope(scope).await?.map_or(Seq::ZERO, |i| i.head),
            };
            let mut events = connection.client.subscribe(scope, after);
            while left > 0 {
                let Some(event) = events.next().await else { break };
                print(scope, &event?, out)?;
                left -= 1;
            }
        }
        None => {
            let after = match args.after {
                Some(after) => Position(after),
                None => connection.client.status().await?.position,
            };
            let mut events = connection.client.subscribe_order(after);
            while left > 0 {
                let Some(event) = events.next().await else { break };
                let (scope, event) = event?;
                print(&scope, &event, out)?;
                left -= 1;
            }
        }
    }
    Ok(())
}

fn print(scope: &ScopeName, event: &Event, out: &mut Out) -> Result<(), Failure> {
    if out.json() {
        out.document(&EventJson(scope, event))?;
    } else {
        let payload = Shown::of(&event.content_type, &event.payload);
        out.line(&format!(
            "{} {scope} {} {} {}",
            text::time(event.host_ms),
            event.seq,
            event.kind,
            payload.text()
        ))?;
    }
    // Whoever follows wants to see it now.
    out.flush()
}
