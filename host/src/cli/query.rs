//! `query`: asks the state of a scope's validator, now, at a moment in the past, or after each event.

use super::args::Global;
use super::connect::{Connection, Missing, connect};
use super::failure::Failure;
use super::json::{Shown, StateJson};
use super::output::{Out, note};
use super::{exit, input, moment, text};
use atomic_store_core::protocol::At;
use atomic_store_core::{ScopeName, Seq};
use clap::Args;
use serde_json::json;

/// Rows of a table, unless the caller asks for more: a table is laid out as a whole.
const TABLE_ROWS: u64 = 1_000;
/// Characters of an answer in a table.
const ANSWER_CHARS: usize = 120;

/// Ask the state of a scope's validator, now or in the past
///
/// Which questions there are is up to the validator.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store query auction/1 highest
  atomic-store query door/front door
  atomic-store --json query auction/1 highest | jq .answer
  atomic-store query auction/1 highest --at 3
  atomic-store query auction/1 highest --at-time 2026-11-22T12:00:00Z
  atomic-store query auction/1 highest --history --after 10 --limit 5

The past is what the validator that is bound now makes of the events up to there; the event of --at is \
included. With --history and --json, one state on each line; where the validator has no answer, its \
complaint.")]
pub(crate) struct Query {
    /// The scope
    #[arg(value_parser = input::scope)]
    scope: ScopeName,
    /// What the validator calls this question
    name: String,
    /// Its arguments: the bytes themselves, - for standard input, or @FILE
    #[arg(default_value = "")]
    args: String,
    /// The state after this event; 0 for the state before the first
    #[arg(long, value_name = "SEQ")]
    at: Option<u64>,
    /// The state after the last event up to this moment: RFC 3339, or milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = moment::moment, conflicts_with = "at")]
    at_time: Option<u64>,
    /// The state after each event
    #[arg(long, conflicts_with_all = ["at", "at_time"])]
    history: bool,
    /// With --history: only the states after events behind this one
    #[arg(long, value_name = "N", default_value_t = 0, requires = "history")]
    after: u64,
    /// With --history: only up to the state after this event
    #[arg(long, value_name = "N", requires = "history")]
    through: Option<u64>,
    /// With --history: at most so many states [default: all with --json, else 1000]
    #[arg(long, value_name = "N", requires = "history")]
    limit: Option<u64>,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: Query, out: &mut Out) -> Result<(), Failure> {
    let bytes = input::bytes(&args.args)?;
    let connection = connect(global, Missing::Refuse).await?;
    let done = match args.history {
        true => history(&connection, &args, bytes, out).await,
        false => single(&connection, &args, bytes, out).await,
    };
    done.and(connection.close().await)
}

async fn single(
    connection: &Connection,
    args: &Query,
    bytes: Vec<u8>,
    out: &mut Out,
) -> Result<(), Failure> {
    let at = match (args.at, args.at_time) {
        (Some(seq), _) => At::Seq(Seq(seq)),
        (None, Some(ms)) => At::Time(ms),
        (None, None) => At::Head,
    };
    let state = connection.client.query_at(&args.scope, &args.name, bytes, at).await;
    let (head, answer) = state?;
    match answer {
        Ok(answer) => {
            let answer = Shown::guess(&answer);
            match out.json() {
                true => out.document(&StateJson { scope: &args.scope, head, answer }),
                false => out.line(answer.text()),
            }
        }
        Err(complaint) => Err(Failure::new(exit::REFUSED, complaint)),
    }
}

async fn history(
    connection: &Connection,
    args: &Query,
    bytes: Vec<u8>,
    out: &mut Out,
) -> Result<(), Failure> {
    let most = args.limit.unwrap_or(if out.json() { u64::MAX } else { TABLE_ROWS });
    let range = (Seq(args.after), args.through.map_or(Seq::MAX, Seq));
    let mut states = connection.client.history(&args.scope, &args.name, bytes, range, most);
    let mut rows = Vec::new();
    while let Some(state) = states.next().await {
        let (head, answer) = state?;
        match (out.json(), answer) {
            (true, Ok(answer)) => {
                let answer = Shown::guess(&answer);
                out.document(&StateJson { scope: &args.scope, head, answer })?;
            }
            (true, Err(complaint)) => {
                out.document(&json!({
                    "scope": args.scope, "head": head, "complaint": complaint,
                }))?;
            }
            (false, answer) => {
                let shown = answer.map_or_else(Shown::Text, |answer| Shown::guess(&answer));
                let answer = text::short(shown.text(), ANSWER_CHARS).into_owned();
                rows.push(vec![head.to_string(), answer]);
            }
        }
    }
    if out.json() {
        return Ok(());
    }
    let full = args.limit.is_none() && rows.len() as u64 == TABLE_ROWS;
    out.table(&["head", "answer"], rows)?;
    if full {
        let (first, after) = (text::count(TABLE_ROWS), states.after());
        note(&format!("the first {first}; more with --after {after}, --limit or --json"));
    }
    Ok(())
}
