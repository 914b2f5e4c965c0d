//! `read`: stored events, of one scope or of all.

use super::args::Global;
use super::connect::{Connection, Missing, connect};
use super::failure::Failure;
use super::json::{EventJson, Shown};
use super::output::{Out, note};
use super::{input, text};
use atomic_store_core::{Event, Position, ScopeName, Seq};
use clap::Args;

/// Rows of a table, unless the caller asks for more: a table is laid out as a whole.
const TABLE_ROWS: u64 = 1_000;
/// Characters of a payload in a table.
const PAYLOAD_CHARS: usize = 200;

/// Read the stored events of a scope, or of all scopes in their common order
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store read auction/1
  atomic-store read auction/1 --after 100 --limit 10
  atomic-store read --all --json > backup.ndjson

With --json, one event on each line. Every event is checked against the chain of hashes on the
way; what does not fit is refused (exit code 65).")]
pub(crate) struct Read {
    /// The scope
    #[arg(value_parser = input::scope, required_unless_present = "all", conflicts_with = "all")]
    scope: Option<ScopeName>,
    /// All scopes; --after is then a position
    #[arg(long)]
    all: bool,
    /// Only events after this one
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,
    /// Only events up to this one
    #[arg(long, value_name = "N", conflicts_with = "all")]
    through: Option<u64>,
    /// At most so many [default: all with --json, else 1000]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: Read, out: &mut Out) -> Result<(), Failure> {
    let connection = connect(global, Missing::Refuse).await?;
    let done = print(&connection, &args, out).await;
    done.and(connection.close().await)
}

async fn print(connection: &Connection, args: &Read, out: &mut Out) -> Result<(), Failure> {
    let most = if out.json() { u64::MAX } else { TABLE_ROWS };
    let limit = args.limit.unwrap_or(most);
    let mut rows = Vec::new();
    let mut last = 0;
    match &args.scope {
        Some(scope) => {
            let through = args.through.map_or(Seq::MAX, Seq);
            let mut events = connection.client.read(scope, Seq(args.after), through, limit);
            while let Some(event) = events.next().await {
                let event = event?;
                last = event.seq.0;
                one(scope, &event, false, &mut rows, out)?;
            }
        }
        None => {
            let mut events = connection.client.read_order(Position(args.after), limit);
            while let Some(event) = events.next().await {
                let (scope, event) = event?;
                last = event.position.0;
                one(&scope, &event, true, &mut rows, out)?;
            }
        }
    }
    if out.json() {
        return Ok(());
    }
    let full = rows.len() as u64 == TABLE_ROWS && args.limit.is_none();
    match args.scope {
        Some(_) => out.table(&["seq", "time", "kind", "payload", "keys"], rows)?,
        None => {
            out.table(&["position", "scope", "seq", "time", "kind", "payload", "keys"], rows)?
        }
    }
    if full {
        note(&format!(
            "the first {}; more with --after {last}, --limit or --json",
            text::count(TABLE_ROWS)
        ));
    }
    Ok(())
}

fn one(
    scope: &ScopeName,
    event: &Event,
    all: bool,
    rows: &mut Vec<Vec<String>>,
    out: &mut Out,
) -> Result<(), Failure> {
    if out.json() {
        return out.document(&EventJson(scope, event));
    }
    let mut row = row(event);
    if all {
        row.splice(0..0, [event.position.to_string(), scope.to_string()]);
    }
    rows.push(row);
    Ok(())
}

fn row(event: &Event) -> Vec<String> {
    let payload = Shown::of(&event.content_type, &event.payload);
    let keys: Vec<_> = event.keys.iter().map(|key| format!("{}:{}", key.kind, key.id)).collect();
    vec![
        event.seq.to_string(),
        text::time(event.host_ms),
        event.kind.clone(),
        text::short(payload.text(), PAYLOAD_CHARS).into_owned(),
        keys.join(" "),
    ]
}
