//! `scope`: list, show, seal, unseal and delete scopes.

use super::args::Global;
use super::connect::{Connection, Missing, connect};
use super::failure::Failure;
use super::json::ScopeJson;
use super::output::{Out, note};
use super::upgrade::RuledJson;
use super::{input, text};
use atomic_store_core::protocol::ScopeInfo;
use atomic_store_core::{ScopeName, Seq};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

/// Scopes asked for at a time.
const PAGE: u64 = 1_000;
/// Rows of a table, unless the caller asks for more.
const TABLE_ROWS: u64 = 1_000;

/// List, show, seal, unseal or delete scopes
#[derive(Debug, Args)]
pub(crate) struct ScopeArgs {
    #[command(subcommand)]
    command: ScopeCommand,
}

#[derive(Debug, Subcommand)]
enum ScopeCommand {
    List(List),
    Show(Show),
    Seal(Seal),
    Unseal(Unseal),
    Delete(Delete),
}

/// List the scopes that have events, by name
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store scope list
  atomic-store scope list auction/ --json | jq -r .name
  atomic-store scope list --live

With --json, one document for each scope, on one line.")]
struct List {
    /// Only names that start so
    #[arg(default_value = "")]
    prefix: String,
    /// Only scopes that are in memory, whether they have events or not
    #[arg(long)]
    live: bool,
    /// Only names after this one
    #[arg(long, default_value = "", value_name = "NAME")]
    after: String,
    /// At most so many [default: all with --json, else 1000]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Show one scope: its head, its chain, its validator, and which rules admitted its events
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store scope show auction/1")]
struct Show {
    /// The scope
    #[arg(value_parser = input::scope)]
    scope: ScopeName,
}

/// Close a scope for appends
///
/// Reads and queries go on. What is decided after the command has returned is refused; what was
/// accepted stays. A scope may be sealed before it has events.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store scope seal auction/1 'the hammer fell'
  atomic-store scope unseal auction/1")]
struct Seal {
    /// The scope
    #[arg(value_parser = input::scope)]
    scope: ScopeName,
    /// Why, for whoever appends to it
    #[arg(default_value = "by an operator")]
    why: String,
}

/// Open a sealed scope again
///
/// A scope that is sealed because it is damaged stays so: exit code 65.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store scope unseal auction/1")]
struct Unseal {
    /// The scope
    #[arg(value_parser = input::scope)]
    scope: ScopeName,
}

/// Delete the events of a scope, for ever
///
/// Its numbering goes on where it was, so that no number ever means two events; its validator starts
/// from its beginning. To delete exactly what you have looked at, give the head that you saw.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store export auction/1 -o auction-1.ndjson
  atomic-store scope delete auction/1 --head 42
  atomic-store scope delete auction/1 --any-head

Exit code 2 if the head is another, 3 if there are no events.")]
struct Delete {
    /// The scope
    #[arg(value_parser = input::scope)]
    scope: ScopeName,
    /// Only if this is the last event
    #[arg(long, value_name = "SEQ", required_unless_present = "any_head")]
    head: Option<u64>,
    /// Whatever the last event is
    #[arg(long, conflicts_with = "head")]
    any_head: bool,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: ScopeArgs, out: &mut Out) -> Result<(), Failure> {
    let connection = connect(global, Missing::Refuse).await?;
    let done = match args.command {
        ScopeCommand::List(list) => run_list(&connection, list, out).await,
        ScopeCommand::Show(show) => run_show(&connection, &show, out).await,
        ScopeCommand::Seal(seal) => run_seal(&connection, &seal, out).await,
        ScopeCommand::Unseal(Unseal { scope }) => {
            let opened = connection.client.unseal_scope(&scope).await.map_err(Failure::from);
            opened.and_then(|()| told(out, &scope, "unsealed", json!({})))
        }
        ScopeCommand::Delete(delete) => run_delete(&connection, &delete, out).await,
    };
    done.and(connection.close().await)
}

async fn run_list(connection: &Connection, list: List, out: &mut Out) -> Result<(), Failure> {
    let all = if out.json() { u64::MAX } else { TABLE_ROWS };
    let mut left = list.limit.unwrap_or(all);
    let (mut after, mut rows) = (list.after, Vec::new());
    while left > 0 {
        let (client, most) = (&connection.client, left.min(PAGE));
        let page = match list.live {
            true => client.list_live_scopes(&list.prefix, &after, most).await?,
            false => client.list_scopes(&list.prefix, &after, most).await?,
        };
        let Some(last) = page.last() else { break };
        after = last.name.as_str().to_owned();
        left = left.saturating_sub(page.len() as u64);
        for info in &page {
            match out.json() {
                true => out.document(&ScopeJson::of(info))?,
                false => rows.push(row(info)),
            }
        }
    }
    if !out.json() {
        out.table(&["scope", "head", "events", "bytes", "validator", "state"], rows)?;
        if left == 0 && list.limit.is_none() {
            note(&format!(
                "the first {}; more with --after '{after}' or --limit",
                text::count(TABLE_ROWS)
            ));
        }
    }
    Ok(())
}

async fn run_show(connection: &Connection, show: &Show, out: &mut Out) -> Result<(), Failure> {
    let Some(info) = connection.client.show_scope(&show.scope).await? else {
        return Err(Failure::not_found(format!("no events in scope {}", show.scope)));
    };
    let ruled = connection.client.ruled(&show.scope).await?;
    if out.json() {
        let ruled = ruled.iter().map(RuledJson::of).collect();
        return out.document(&ShownJson { scope: ScopeJson::of(&info), ruled });
    }
    out.pairs(&[
        ("scope", info.name.to_string()),
        ("head", text::count(info.head.0)),
        ("hash", info.hash.to_string()),
        ("events", events(&info)),
        ("bytes", text::count(info.bytes)),
        ("validator", bound(&info)),
        ("state", state(&info)),
    ])?;
    if ruled.is_empty() {
        return Ok(());
    }
    let rows = ruled.iter().map(RuledJson::row).collect();
    out.table(&["from event", "to", "admitted by", "bound by event of $system"], rows)
}

/// A scope, and which rules admitted its events.
#[derive(Serialize)]
struct ShownJson<'a> {
    #[serde(flatten)]
    scope: ScopeJson<'a>,
    ruled: Vec<RuledJson>,
}

fn row(info: &ScopeInfo) -> Vec<String> {
    let (head, bytes) = (text::count(info.head.0), text::count(info.bytes));
    vec![info.name.to_string(), head, events(info), bytes, bound(info), state(info)]
}

fn events(info: &ScopeInfo) -> String {
    match info.floor {
        Seq::ZERO => text::count(info.events()),
        floor => format!("{} after {}", text::count(info.events()), text::count(floor.0)),
    }
}

async fn run_seal(connection: &Connection, seal: &Seal, out: &mut Out) -> Result<(), Failure> {
    connection.client.seal_scope(&seal.scope, &seal.why).await?;
    told(out, &seal.scope, "sealed", json!({ "why": seal.why }))
}

async fn run_delete(
    connection: &Connection,
    delete: &Delete,
    out: &mut Out,
) -> Result<(), Failure> {
    let events = connection.client.delete_scope(&delete.scope, delete.head.map(Seq)).await?;
    match out.json() {
        true => told(out, &delete.scope, "deleted", json!({ "events": events })),
        false => {
            out.line(&format!("deleted {} of {}", text::counted(events, "event"), delete.scope))
        }
    }
}

/// Says what was done to a scope.
fn told(out: &mut Out, scope: &ScopeName, what: &str, more: Value) -> Result<(), Failure> {
    if !out.json() {
        return out.line(&format!("{what} {scope}"));
    }
    let mut document = json!({ "scope": scope, "done": what });
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    out.document(&document)
}

fn bound(info: &ScopeInfo) -> String {
    match &info.binding {
        Some(binding) => format!("{} by {}", binding.validator.short(), binding.pattern),
        None if info.name.is_reserved() => "the store itself".to_owned(),
        None => "none: appends are refused".to_owned(),
    }
}

fn state(info: &ScopeInfo) -> String {
    match (&info.sealed, info.live) {
        (Some(why), _) => format!("sealed: {why}"),
        (None, true) => "live".to_owned(),
        (None, false) => "at rest".to_owned(),
    }
}
