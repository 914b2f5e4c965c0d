//! `rejections`: what was refused, and why.

use super::args::Global;
use super::connect::{Connection, Missing, connect};
use super::failure::Failure;
use super::input;
use super::output::{Out, note};
use super::rejection_json::{RejectionJson, why};
use super::text;
use atomic_store_client::Journaled;
use atomic_store_core::{Rejection, ScopeName};
use clap::Args;
use serde_json::json;

/// Rows of one table; what there is more comes in another.
const TABLE_ROWS: usize = 1_000;
const HEAD: [&str; 6] = ["number", "time", "scope", "head", "kinds", "why"];

/// Show the journal of rejections: what was refused, when and why, oldest first
///
/// With --follow, also what is refused from now on, until it is interrupted; a server that restarts is
/// followed without gap or repeat, and what was dropped meanwhile is said.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store rejections auction/1
  atomic-store rejections --after 120 --limit 10
  atomic-store rejections --last 20 --follow
  atomic-store --json rejections --count

Only the newest entries are kept, of each scope and of the store.")]
pub(crate) struct Rejections {
    /// Only of this scope
    #[arg(value_parser = input::scope)]
    scope: Option<ScopeName>,
    /// Only entries after this number [default: with --follow the last one]
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// Begin with the last so many
    #[arg(long, value_name = "N", conflicts_with = "after")]
    last: Option<u64>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
    /// Go on with what is refused from now on
    #[arg(long)]
    follow: bool,
    /// Count them by outcome and code instead
    #[arg(long, conflicts_with_all = ["after", "last", "limit", "follow"])]
    count: bool,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: Rejections, out: &mut Out) -> Result<(), Failure> {
    let connection = connect(global, Missing::Refuse).await?;
    let done = if args.count {
        count(&connection, args.scope.as_ref(), out).await
    } else if args.follow {
        tokio::select! {
            done = follow(&connection, &args, out) => done,
            // The usual end of it, and no failure.
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    } else {
        list(&connection, &args, out).await
    };
    done.and(connection.close().await)
}

async fn count(
    connection: &Connection,
    scope: Option<&ScopeName>,
    out: &mut Out,
) -> Result<(), Failure> {
    let counts = connection.client.count_rejections(scope).await?;
    if out.json() {
        return counts.iter().try_for_each(|count| out.document(count));
    }
    let rows = counts.into_iter().map(|one| vec![one.count.to_string(), one.outcome, one.code]);
    out.table(&["count", "outcome", "code"], rows.collect())
}

/// After which number to begin.
async fn begin(connection: &Connection, args: &Rejections) -> Result<u64, Failure> {
    let last = match (args.after, args.last) {
        (Some(after), _) => return Ok(after),
        (None, Some(last)) => last,
        (None, None) if args.follow => 0,
        (None, None) => return Ok(0),
    };
    Ok(connection.client.rejections_end(args.scope.as_ref(), last).await?.after)
}

async fn list(connection: &Connection, args: &Rejections, out: &mut Out) -> Result<(), Failure> {
    let after = begin(connection, args).await?;
    let mut entries = connection.client.read_rejections(args.scope.as_ref(), after, args.limit);
    let (mut rows, mut tables) = (Vec::new(), 0);
    while let Some(next) = entries.next().await {
        // What is no longer kept is no news to who looks at what is.
        let Journaled::Entry(entry) = next? else { continue };
        if out.json() {
            out.document(&RejectionJson(&entry))?;
            continue;
        }
        rows.push(row(&entry));
        if rows.len() == TABLE_ROWS {
            tables += 1;
            out.table(&HEAD, std::mem::take(&mut rows))?;
        }
    }
    if out.json() || (rows.is_empty() && tables > 0) {
        return Ok(());
    }
    out.table(&HEAD, rows)
}

async fn follow(connection: &Connection, args: &Rejections, out: &mut Out) -> Result<(), Failure> {
    let after = begin(connection, args).await?;
    let mut entries = connection.client.follow_rejections(args.scope.as_ref(), after);
    let mut left = args.limit;
    while left > 0 {
        let Some(next) = entries.next().await else { break };
        match next? {
            Journaled::Entry(entry) if out.json() => out.document(&RejectionJson(&entry))?,
            Journaled::Entry(entry) => out.line(&row(&entry).join(" "))?,
            Journaled::Dropped { after, through } => {
                if out.json() {
                    out.document(&json!({ "dropped": { "after": after, "through": through } }))?;
                } else {
                    note(&format!("note: some entries after {after} up to {through} are not kept"));
                }
                continue;
            }
        }
        left -= 1;
        // Whoever follows wants to see it now.
        out.flush()?;
    }
    Ok(())
}

fn row(entry: &Rejection) -> Vec<String> {
    vec![
        entry.number.to_string(),
        text::time(entry.host_ms),
        entry.scope.to_string(),
        entry.head.to_string(),
        entry.kinds.join(","),
        why(entry),
    ]
}
