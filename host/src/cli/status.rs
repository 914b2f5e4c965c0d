//! `status`: what a store is and what it is doing.

use super::args::Global;
use super::connect::{Missing, connect};
use super::failure::Failure;
use super::output::Out;
use super::{json, text};
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
        ])?;
    }
    connection.close().await
}
