//! `verify`: checks every chain, every number and the order over all scopes; with `--logic` also that
//! each event follows from its rule.

use super::args::Global;
use super::connect::{Connection, Missing, connect};
use super::failure::Failure;
use super::output::Out;
use super::work::{Work, bar};
use super::{exit, input, json as shapes, text};
use atomic_store_core::protocol::VerifyReport;
use atomic_store_core::{LogicReport, ScopeName, Seq};
use clap::Args;
use serde_json::json;
use std::time::Instant;

/// Check that what is stored is what was written
///
/// Reads every event: each must follow the one before it, without a gap, and match its hash. With --logic
/// each append is also judged again, by the component and under the configuration recorded for it, and
/// must be accepted in the stored form.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store verify
  atomic-store verify auction/1 --json
  atomic-store verify --logic
  atomic-store verify --logic --after auction/4711
  atomic-store verify --logic auction/1 --after-event 500000

What cannot be asked again is counted apart: events under accept-all and originator, events that were \
restored from another store, and $system. A run that was interrupted says after which scope to go on, or \
after which event if it was of one scope.

Exit code 65 if anything is damaged or cannot be shown.")]
pub(crate) struct Verify {
    /// Only this scope
    #[arg(value_parser = input::scope)]
    scope: Option<ScopeName>,
    /// Also judge every append again
    #[arg(long)]
    logic: bool,
    /// Go on with --logic after this scope, in the order of names; chains are not checked again
    #[arg(long, value_name = "SCOPE", requires = "logic", conflicts_with = "scope")]
    after: Option<String>,
    /// Go on with --logic of one scope after this event: those before it are folded and not judged again
    #[arg(long, value_name = "N", requires = "logic", requires = "scope")]
    after_event: Option<u64>,
}

/// Where to go on with judging.
enum From {
    After(String),
    Event(ScopeName, Seq),
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: Verify, out: &mut Out) -> Result<(), Failure> {
    let connection = connect(global, Missing::Refuse).await?;
    if let Some(scope) = &args.scope
        && connection.client.show_scope(scope).await?.is_none()
    {
        return Err(Failure::not_found(format!("there is no scope {scope}; nothing was verified")));
    }
    if args.after.is_none() && args.after_event.is_none() {
        let checked = check(&connection, args.scope.clone(), out).await;
        if checked.is_err() || !args.logic {
            return checked.and(connection.close().await);
        }
    }
    let from = match (&args.scope, args.after_event) {
        (Some(scope), Some(event)) => From::Event(scope.clone(), Seq(event)),
        _ => From::After(args.after.unwrap_or_default()),
    };
    let shown = logic(&connection, args.scope, from, out).await;
    shown.and(connection.close().await)
}

async fn check(
    connection: &Connection,
    scope: Option<ScopeName>,
    out: &mut Out,
) -> Result<(), Failure> {
    let bar = bar("verify");
    let start = Instant::now();
    let verified = connection.client.verify(scope, |scopes, of, events| {
        bar.set_length(of);
        bar.set_position(scopes);
        bar.set_message(text::counted(events, "event"));
    });
    let report = verified.await;
    bar.finish_and_clear();
    show(&report?, start.elapsed().as_secs_f64(), out)
}

/// Judges again, and says after an interrupt where to go on.
async fn logic(
    connection: &Connection,
    scope: Option<ScopeName>,
    from: From,
    out: &mut Out,
) -> Result<(), Failure> {
    let start = Instant::now();
    let command = match &scope {
        Some(scope) => format!("atomic-store verify --logic '{scope}'"),
        None => "atomic-store verify --logic".to_owned(),
    };
    let report = match from {
        From::After(after) => {
            let work = Work::new("judge again", &after);
            let verified = connection.client.verify_logic(scope, &after, |told| work.told(&told));
            work.run(&command, verified).await?
        }
        From::Event(scope, after) => {
            let work = Work::new("judge again", "");
            let verified = connection.client.resume_logic(scope, after, |told| work.told(&told));
            work.run(&command, verified).await?
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    if out.json() {
        out.document(&json!({
            "shown": report.failed == 0, "report": report, "seconds": seconds,
        }))?;
    } else {
        show_logic(&report, seconds, out)?;
    }
    match report.failed {
        0 => Ok(()),
        failed => Err(Failure::new(
            exit::DAMAGED,
            format!(
                "{} of {} could not be shown to follow from their rule",
                text::counted(report.not_shown, "event"),
                text::counted(failed, "scope"),
            ),
        )),
    }
}

fn show_logic(report: &LogicReport, seconds: f64, out: &mut Out) -> Result<(), Failure> {
    let word = if report.failed == 0 { "shown" } else { "NOT SHOWN" };
    let mut parts = Vec::new();
    for (count, what) in [
        (
            report.shown,
            if report.shown == 1 { "follows from its rule" } else { "follow from their rule" },
        ),
        (report.built_in, "under accept-all"),
        (report.by_client, "shown by the client, not re-executable"),
        (report.elsewhere, "restored, with their configuration elsewhere"),
        (report.system, "of $system"),
        (report.not_shown, "not shown"),
        (report.folded, "folded, judged by an earlier run"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", text::count(count)));
        }
    }
    out.line(&format!(
        "{word}: {} in {}, {seconds:.2} s: {}",
        text::counted(report.events, "event"),
        text::counted(report.scopes, "scope"),
        if parts.is_empty() { "nothing to show".to_owned() } else { parts.join(", ") },
    ))?;
    if report.unshown.is_empty() {
        return Ok(());
    }
    let rows = report.unshown.iter().map(|one| {
        let (scope, seq) = (one.scope.to_string(), one.seq.to_string());
        vec![scope, seq, one.validator.short(), one.what.word().to_owned(), one.why.clone()]
    });
    out.table(&["scope", "event", "validator", "what", "why"], rows.collect())
}

fn show(report: &VerifyReport, seconds: f64, out: &mut Out) -> Result<(), Failure> {
    if out.json() {
        out.document(&shapes::verified(report, seconds))?;
    } else {
        let word = if report.damage.is_empty() { "intact" } else { "DAMAGED" };
        out.line(&format!(
            "{word}: {} in {}, {}, {seconds:.2} s",
            text::counted(report.events, "event"),
            text::counted(report.scopes, "scope"),
            text::counted(report.bytes, "byte"),
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
