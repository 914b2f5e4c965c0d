//! `scope list` and `scope show`.

use super::args::Global;
use super::connect::{Connection, Missing, connect};
use super::failure::Failure;
use super::json::ScopeJson;
use super::output::{Out, note};
use super::{input, text};
use atomic_store_core::ScopeName;
use atomic_store_core::protocol::ScopeInfo;
use clap::{Args, Subcommand};

/// Scopes asked for at a time.
const PAGE: u64 = 1_000;
/// Rows of a table, unless the caller asks for more.
const TABLE_ROWS: u64 = 1_000;

/// List scopes, or show one
#[derive(Debug, Args)]
pub(crate) struct ScopeArgs {
    #[command(subcommand)]
    command: ScopeCommand,
}

#[derive(Debug, Subcommand)]
enum ScopeCommand {
    List(List),
    Show(Show),
}

/// List the scopes that have events, by name
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store scope list
  atomic-store scope list auction/ --json | jq -r .name

With --json, one document for each scope, on one line.")]
struct List {
    /// Only names that start so
    #[arg(default_value = "")]
    prefix: String,
    /// Only names after this one
    #[arg(long, default_value = "", value_name = "NAME")]
    after: String,
    /// At most so many [default: all with --json, else 1000]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Show one scope: its head, its chain, its validator
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store scope show auction/1")]
struct Show {
    /// The scope
    #[arg(value_parser = input::scope)]
    scope: ScopeName,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: ScopeArgs, out: &mut Out) -> Result<(), Failure> {
    let connection = connect(global, Missing::Refuse).await?;
    let done = match args.command {
        ScopeCommand::List(list) => run_list(&connection, list, out).await,
        ScopeCommand::Show(show) => run_show(&connection, &show, out).await,
    };
    done.and(connection.close().await)
}

async fn run_list(connection: &Connection, list: List, out: &mut Out) -> Result<(), Failure> {
    let all = if out.json() { u64::MAX } else { TABLE_ROWS };
    let mut left = list.limit.unwrap_or(all);
    let (mut after, mut rows) = (list.after, Vec::new());
    while left > 0 {
        let page = connection.client.list_scopes(&list.prefix, &after, left.min(PAGE)).await?;
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
        out.table(&["scope", "head", "validator", "state"], rows)?;
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
    if out.json() {
        return out.document(&ScopeJson::of(&info));
    }
    out.pairs(&[
        ("scope", info.name.to_string()),
        ("head", text::count(info.head.0)),
        ("hash", info.hash.to_string()),
        ("validator", bound(&info)),
        ("state", state(&info)),
    ])
}

fn row(info: &ScopeInfo) -> Vec<String> {
    vec![info.name.to_string(), text::count(info.head.0), bound(info), state(info)]
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
