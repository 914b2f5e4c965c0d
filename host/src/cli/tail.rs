//! `tail`: events as they are stored.

use super::args::Global;
use super::connect::{Connection, Missing, connect};
use super::failure::Failure;
use super::json::Shown;
use super::output::Out;
use super::select::{FILTERS, FoundJson, Select};
use super::text;
use atomic_store_client::Found;
use clap::Args;

/// Follow the events of a scope, or of all scopes, as they are stored
///
/// Starts with the next event, unless --after names an earlier one. Goes on until it is
/// interrupted; a server that restarts is followed without gap or repeat.
#[derive(Debug, Args)]
#[command(after_help = help())]
pub(crate) struct Tail {
    #[command(flatten)]
    select: Select,
    /// Start after this event [default: the last one]
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// First the last so many that are there
    #[arg(long, value_name = "N", conflicts_with_all = ["after", "replay"])]
    last: Option<u64>,
    /// Stop after so many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

fn help() -> String {
    format!(
        "\
Examples:
  atomic-store tail auction/1
  atomic-store tail auction/1 --after 0
  atomic-store tail auction/1 --kind bid --last 5
  atomic-store tail library --key-kind book --replay
  atomic-store tail --all --json | jq .payload

{FILTERS}"
    )
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
    let client = &connection.client;
    let after = match (args.after, &args.select.scope) {
        (Some(after), _) => after,
        (None, Some(scope)) => client.show_scope(scope).await?.map_or(0, |info| info.head.0),
        (None, None) => client.status().await?.position.0,
    };
    let mut left = args.limit.unwrap_or(u64::MAX);
    if let Some(last) = args.last {
        let before = args.select.selection().through(after).backwards().limit(last);
        let (mut stream, mut found) = (client.select(&before), Vec::new());
        while let Some(event) = stream.next().await {
            found.push(event?);
        }
        for found in found.iter().rev().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            print(found, out)?;
            left -= 1;
        }
    }
    let mut events = client.follow(&args.select.selection().after(after));
    while left > 0 {
        let Some(found) = events.next().await else { break };
        print(&found?, out)?;
        left -= 1;
    }
    Ok(())
}

fn print(found: &Found, out: &mut Out) -> Result<(), Failure> {
    if out.json() {
        out.document(&FoundJson::of(found))?;
    } else {
        let event = &found.event;
        let payload = Shown::of(&event.content_type, &event.payload);
        out.line(&format!(
            "{} {} {} {} {}{}",
            text::time(event.host_ms),
            found.scope,
            event.seq,
            event.kind,
            payload.text(),
            if found.replayed { " (replayed)" } else { "" }
        ))?;
    }
    // Whoever follows wants to see it now.
    out.flush()
}
