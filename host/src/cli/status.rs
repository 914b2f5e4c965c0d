//! `status`: what a store is and what it is doing.

use super::args::Global;
use super::connect::{Missing, connect};
use super::failure::Failure;
use super::output::Out;
use super::{json, text};
use atomic_store_core::Seq;
use atomic_store_core::protocol::StoreStatus;
use clap::Args;

/// Show what a store is and what it is doing
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store status
  atomic-store --data ./store status --json")]
pub(crate) struct Status {}

/// Runs the command.
pub(crate) async fn run(global: &Global, out: &mut Out) -> Result<(), Failure> {
    let connection = connect(global, Missing::Refuse).await?;
    let status = connection.client.status().await?;
    if out.json() {
        out.document(&json::status(&status, &connection.via))?;
    } else {
        let options = options(&status);
        out.pairs(&[
            ("store", status.store.to_string()),
            ("at", connection.via.clone()),
            ("version", status.version),
            ("position", text::count(status.position.0)),
            ("scopes", format!("{} stored, {} in memory", text::count(status.scopes), status.live)),
            ("commits", text::count(status.commits)),
            ("in flight", text::count(status.in_flight)),
            (
                "appends",
                status.read_only.map_or_else(|| "taken".into(), |why| format!("not taken: {why}")),
            ),
            ("options", options),
        ])?;
    }
    connection.close().await
}

/// What was recorded of the options.
fn options(status: &StoreStatus) -> String {
    let each = status.options.iter().map(|(name, value)| format!("{name} = {value}"));
    let all = match status.options.is_empty() {
        true => "the defaults".to_owned(),
        false => each.collect::<Vec<_>>().join(", "),
    };
    match status.options_since {
        Seq::ZERO => all,
        since => format!("{all}; since event {since} of $system"),
    }
}
