//! `verify`: checks every chain, every number and the order over all scopes.

use super::args::Global;
use super::connect::{Missing, connect};
use super::failure::Failure;
use super::output::{self, Out};
use super::{exit, input, json, text};
use atomic_store_core::ScopeName;
use atomic_store_core::protocol::VerifyReport;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Instant;

/// Check that what is stored is what was written
///
/// Reads every event: each must follow the one before it, without a gap, and match its hash.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store verify
  atomic-store verify auction/1 --json

Exit code 65 if anything is damaged.")]
pub(crate) struct Verify {
    /// Only this scope
    #[arg(value_parser = input::scope)]
    scope: Option<ScopeName>,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: Verify, out: &mut Out) -> Result<(), Failure> {
    let connection = connect(global, Missing::Refuse).await?;
    if let Some(scope) = &args.scope
        && connection.client.show_scope(scope).await?.is_none()
    {
        return Err(Failure::not_found(format!("there is no scope {scope}; nothing was verified")));
    }
    let bar = bar();
    let start = Instant::now();
    let verified = connection.client.verify(args.scope, |scopes, of, events| {
        bar.set_length(of);
        bar.set_position(scopes);
        bar.set_message(format!("{} events", text::count(events)));
    });
    let report = verified.await;
    bar.finish_and_clear();
    let shown = show(&report?, start.elapsed().as_secs_f64(), out);
    shown.and(connection.close().await)
}

fn bar() -> ProgressBar {
    if !output::has_watcher() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("verify {bar:40} {pos}/{len} scopes, {msg} [{elapsed}]");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(report: &VerifyReport, seconds: f64, out: &mut Out) -> Result<(), Failure> {
    if out.json() {
        out.document(&json::verified(report, seconds))?;
    } else {
        let word = if report.damage.is_empty() { "intact" } else { "DAMAGED" };
        out.line(&format!(
            "{word}: {} events in {} scopes, {} bytes, {seconds:.2} s",
            text::count(report.events),
            text::count(report.scopes),
            text::count(report.bytes),
        ))?;
        report.damage.iter().try_for_each(|damage| out.line(&format!("  {damage}")))?;
    }
    match report.damage.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(
            exit::DAMAGED,
            "the store is damaged; intact scopes still work. Keep a copy of its directory.",
        )),
    }
}
