//! `read`: stored events, of one scope or of all.

use super::args::Global;
use super::connect::{Connection, Missing, connect};
use super::failure::Failure;
use super::output::{Out, note};
use super::select::{FILTERS, FoundJson, Select, wrong_page};
use super::text;
use atomic_store_client::{Found, Selection};
use atomic_store_core::{PageToken, SYSTEM_SCOPE};
use clap::Args;
use serde_json::json;

/// Rows of a table, unless the caller asks for more: a table is laid out as a whole.
const TABLE_ROWS: u64 = 1_000;
/// Events that the store is asked about at a time, with --upcast.
const AT_A_TIME: usize = 64;

/// Read the stored events of a scope, or of all scopes in their common order
#[derive(Debug, Args)]
#[command(after_help = help())]
pub(crate) struct Read {
    #[command(flatten)]
    select: Select,
    /// Only events after this one
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,
    /// Only events up to this one
    #[arg(long, value_name = "N")]
    through: Option<u64>,
    /// At most so many [default: all with --json, else 1000]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// The last event first
    #[arg(long, conflicts_with = "replay")]
    backwards: bool,
    /// The last so many, in their order
    #[arg(long, value_name = "N", conflicts_with_all = ["limit", "backwards", "page", "replay"])]
    last: Option<u64>,
    /// Show older events as what they are today, as the present validator of their scope says
    #[arg(long)]
    upcast: bool,
    /// Go on where a read with --limit stopped; all but --limit must be as it was
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["after", "through"])]
    page: Option<PageToken>,
}

fn help() -> String {
    format!(
        "\
Examples:
  atomic-store read auction/1
  atomic-store read auction/1 --after 100 --limit 10
  atomic-store read library --key book:Emma --last 5
  atomic-store read library --after 100 --replay
  atomic-store read --all --kind bid --since-time 2026-11-22 --backwards --limit 20
  atomic-store read auction/1 --upcast
  atomic-store read --all --json > backup.ndjson

With --json, one event on each line. If --limit cut the read off, a token for the next page follows: \
in JSON as a last line {{\"next\": TOKEN}}, else on standard error; there may be nothing on that page.

{FILTERS}

Every event that is shown was checked against its own hash and number, and where nothing is left out, \
against the event before it; what does not fit is refused (exit code 65). With --upcast number, times and \
hash are still those of the stored event, and filters look at stored events."
    )
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: Read, out: &mut Out) -> Result<(), Failure> {
    let connection = connect(global, Missing::Refuse).await?;
    let done = print(&connection, &args, out).await;
    done.and(connection.close().await)
}

/// What to ask the store.
fn selection(args: &Read, json: bool) -> Result<Selection, Failure> {
    let most = if json { u64::MAX } else { TABLE_ROWS };
    let mut selection = args.select.selection();
    if args.backwards || args.last.is_some() {
        selection = selection.backwards();
    }
    selection = match &args.page {
        Some(token) => selection.page(token).map_err(|why| wrong_page(&why))?,
        None => selection.after(args.after).through(args.through.unwrap_or(u64::MAX)),
    };
    Ok(selection.limit(args.last.or(args.limit).unwrap_or(most)))
}

async fn print(connection: &Connection, args: &Read, out: &mut Out) -> Result<(), Failure> {
    let selection = selection(args, out.json())?;
    let mut stream = connection.client.select(&selection);
    let (mut rows, mut last) = (Vec::new(), Vec::<Found>::new());
    while let Some(found) = stream.next().await {
        let found = found?;
        last.push(found);
        if args.last.is_none() && (!args.upcast || last.len() == AT_A_TIME) {
            some(connection, args, std::mem::take(&mut last), &mut rows, out).await?;
        }
    }
    if args.last.is_some() {
        last.reverse();
    }
    some(connection, args, last, &mut rows, out).await?;
    if !out.json() {
        let rows = std::mem::take(&mut rows);
        out.table(&args.select.header(), rows)?;
    }
    let Some(next) = stream.page() else { return Ok(()) };
    match (out.json(), args.limit) {
        (true, Some(_)) => out.document(&json!({ "next": next.to_string() })),
        (false, Some(_)) => {
            note(&format!("next page: the same command with --page {next}"));
            Ok(())
        }
        (false, None) if args.last.is_none() => {
            let first = text::count(TABLE_ROWS);
            note(&format!("the first {first}; more with --page {next}, --limit or --json"));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Shows events that came one after the other.
async fn some(
    connection: &Connection,
    args: &Read,
    mut found: Vec<Found>,
    rows: &mut Vec<Vec<String>>,
    out: &mut Out,
) -> Result<(), Failure> {
    if args.upcast {
        for part in found.chunk_by_mut(|one, next| one.scope == next.scope) {
            upcast(connection, part).await?;
        }
    }
    found.iter().try_for_each(|found| one(args, found, rows, out))
}

/// Puts in the place of events of one scope what they are today. Number, times and hash stay.
async fn upcast(connection: &Connection, found: &mut [Found]) -> Result<(), Failure> {
    let Some(scope) = found.first().map(|one| one.scope.clone()) else { return Ok(()) };
    if scope.as_str() == SYSTEM_SCOPE {
        return Ok(());
    }
    let seqs: Vec<_> = found.iter().map(|one| one.event.seq).collect();
    let newer = connection.client.upcast(&scope, &seqs).await?;
    for (one, newer) in found.iter_mut().zip(newer) {
        if let Some(newer) = newer {
            one.event.kind = newer.kind;
            one.event.content_type = newer.content_type;
            one.event.payload = newer.payload;
            one.event.keys = newer.keys;
            one.event.metadata = newer.metadata;
        }
    }
    Ok(())
}

fn one(
    args: &Read,
    found: &Found,
    rows: &mut Vec<Vec<String>>,
    out: &mut Out,
) -> Result<(), Failure> {
    if out.json() {
        return out.document(&FoundJson::of(found));
    }
    rows.push(args.select.row(found));
    Ok(())
}
