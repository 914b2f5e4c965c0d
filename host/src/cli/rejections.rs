//! `rejections`: what was refused, and why.

use super::append::describe;
use super::args::Global;
use super::connect::{Missing, connect};
use super::failure::Failure;
use super::input;
use super::output::Out;
use super::text;
use atomic_store_core::ScopeName;
use clap::Args;
use serde_json::json;

/// Show the journal of rejections: what was refused, when and why, oldest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store rejections auction/1
  atomic-store rejections --after 120 --limit 10
  atomic-store --json rejections --count

Only the newest entries are kept, of each scope and of the store.")]
pub(crate) struct Rejections {
    /// Only of this scope
    #[arg(value_parser = input::scope)]
    scope: Option<ScopeName>,
    /// Only entries after this number
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
    /// Count them by outcome and code instead
    #[arg(long, conflicts_with_all = ["after", "limit"])]
    count: bool,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: Rejections, out: &mut Out) -> Result<(), Failure> {
    let connection = connect(global, Missing::Refuse).await?;
    let (client, scope) = (&connection.client, args.scope.as_ref());
    if args.count {
        let counts = client.count_rejections(scope).await?;
        if out.json() {
            counts.iter().try_for_each(|count| out.document(count))?;
        } else {
            let rows =
                counts.into_iter().map(|one| vec![one.count.to_string(), one.outcome, one.code]);
            out.table(&["count", "outcome", "code"], rows.collect())?;
        }
        return connection.close().await;
    }
    let (mut after, mut left) = (args.after, args.limit);
    let mut rows = Vec::new();
    while left > 0 {
        let page = client.rejections(scope, after, left).await?;
        let Some(last) = page.last() else { break };
        after = last.number;
        left = left.saturating_sub(page.len() as u64);
        for one in page {
            let why = describe(&one.outcome);
            if out.json() {
                out.document(&json!({
                    "number": one.number, "scope": one.scope.as_str(), "host_ms": one.host_ms,
                    "append_id": one.append_id.to_string(), "head": one.head.0,
                    "validator": one.validator.to_string(), "outcome": one.outcome.word(),
                    "why": why, "kinds": one.kinds, "payload_hash": one.payload_hash.to_string(),
                    "payloads": one.proposals.map(|all| all.iter()
                        .map(|p| String::from_utf8_lossy(&p.payload).into_owned())
                        .collect::<Vec<_>>()),
                }))?;
            } else {
                let (number, head) = (one.number.to_string(), one.head.to_string());
                let (time, kinds) = (text::time(one.host_ms), one.kinds.join(","));
                rows.push(vec![number, time, one.scope.to_string(), head, kinds, why]);
            }
        }
    }
    if !out.json() {
        out.table(&["number", "time", "scope", "head", "kinds", "why"], rows)?;
    }
    connection.close().await
}
