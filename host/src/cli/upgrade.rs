//! `validator shadow`, `promote`, `rollback`: new rules for scopes that are in use.

use super::connect::Connection;
use super::failure::Failure;
use super::json::BindingJson;
use super::output::Out;
use super::{input, text};
use atomic_store_core::{
    Binding, Digest, Gate, Ruled, ScopePattern, Seq, Share, Trial, TrialDivergence, TrialReport,
    ValidatorRef,
};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

/// Let a candidate run beside a binding, and compare their verdicts
#[derive(Debug, Args)]
pub(crate) struct ShadowArgs {
    #[command(subcommand)]
    command: ShadowCommand,
}

#[derive(Debug, Subcommand)]
enum ShadowCommand {
    Start(Start),
    Report(Report),
    Stop(Stop),
}

/// Begin to compare: the candidate judges what the binding's rule judges, and decides nothing
///
/// Joint appends are compared scope by scope; dry runs are not compared. While the store is busy the
/// candidate gets a small share of one core. What it cannot keep up with is not compared, and counted.
/// Without a server, each command lets the candidate judge what it appended before it ends.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator load auction-2.wasm
  atomic-store validator shadow start 'auction/*' auction@2
  atomic-store validator shadow report
  atomic-store validator promote 'auction/*'")]
struct Start {
    /// The pattern of a binding, exactly
    pattern: ScopePattern,
    /// The candidate: a name, a name@version, or a digest
    candidate: ValidatorRef,
    /// What the candidate gets when it starts, if not what the binding has: the bytes themselves, - for
    /// standard input, or @FILE
    #[arg(long, value_name = "JSON|-|@FILE")]
    config: Option<String>,
}

/// Show what candidates found since they started
///
/// Kept when the store is closed, and by a server every few seconds: after a crash the report says that the
/// last seconds are missing. Dry runs are not compared. Nor is an append about which the binding's rule
/// gave no verdict, such as one that timed out.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator shadow report
  atomic-store --json validator shadow report 'auction/*' | jq .divergences

Exit code 3 if there is no candidate for the pattern.")]
struct Report {
    /// Only of this pattern
    pattern: Option<ScopePattern>,
}

/// End a trial
///
/// Scopes that a candidate judges, with `bind --share`, go back to the binding.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator shadow stop 'auction/*'")]
struct Stop {
    /// The pattern, exactly
    pattern: ScopePattern,
}

/// Bind the candidate of a trial to its whole pattern
///
/// Refused while the trial has not shown enough: verdicts were compared, none differs, the candidate
/// always answered, and took no more fuel than allowed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator promote 'auction/*'
  atomic-store validator promote 'auction/*' --compared 10000 --fuel-percent 120
  atomic-store validator promote 'auction/*' --force

Exit code 2 if the trial has not shown what is asked for, 3 if there is none. What was promoted by \
force, and what spoke against it, stands in $system.")]
pub(crate) struct Promote {
    /// The pattern, exactly
    pattern: ScopePattern,
    /// At least so many verdicts must have been compared
    #[arg(long, value_name = "N", default_value_t = Gate::default().compared)]
    compared: u64,
    /// At most so many percent of the fuel that the binding's rule took
    #[arg(long, value_name = "PERCENT", default_value_t = Gate::default().fuel_percent)]
    fuel_percent: u32,
    /// Promote although the trial has not shown that
    #[arg(long)]
    force: bool,
}

/// Bind what was bound to a pattern before
///
/// Done twice it goes back twice. A candidate that judges a share of the scopes is taken away instead.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator rollback 'auction/*'

Exit code 3 if nothing was bound to the pattern before.")]
pub(crate) struct Rollback {
    /// The pattern, exactly
    pattern: ScopePattern,
}

/// Runs `shadow`.
pub(crate) async fn run_shadow(
    connection: &Connection,
    args: ShadowArgs,
    out: &mut Out,
) -> Result<(), Failure> {
    match args.command {
        ShadowCommand::Start(Start { pattern, candidate, config }) => {
            start(connection, pattern, candidate, config.as_deref(), None, out).await
        }
        ShadowCommand::Report(report) => run_report(connection, report, out).await,
        ShadowCommand::Stop(Stop { pattern }) => {
            connection.client.end_trial(pattern.clone()).await?;
            match out.json() {
                true => out.document(&json!({ "stopped": pattern })),
                false => out.line(&format!("no candidate is on trial for {pattern} any more")),
            }
        }
    }
}

/// Begins a trial, with a share or beside the binding.
pub(crate) async fn start(
    connection: &Connection,
    pattern: ScopePattern,
    candidate: ValidatorRef,
    config: Option<&str>,
    share: Option<Share>,
    out: &mut Out,
) -> Result<(), Failure> {
    let config = config.map(input::bytes).transpose()?;
    let trial = connection.client.start_trial(pattern, candidate, config, share).await?;
    if out.json() {
        return out.document(&TrialJson::of(&trial));
    }
    let Trial { candidate: Binding { validator, pattern, .. }, share } = &trial;
    out.line(&match share {
        Some(share) => format!("{} now judges {share} of {pattern}", validator.short()),
        None => format!("{} runs beside {pattern}", validator.short()),
    })
}

async fn run_report(connection: &Connection, report: Report, out: &mut Out) -> Result<(), Failure> {
    let mut trials = connection.client.trials().await?;
    if let Some(pattern) = &report.pattern {
        trials.retain(|one| one.trial.candidate.pattern == *pattern);
        if trials.is_empty() {
            return Err(Failure::not_found(format!("no candidate is on trial for {pattern}")));
        }
    }
    if out.json() {
        return trials.iter().try_for_each(|one| out.document(&ReportJson::of(one)));
    }
    if trials.is_empty() {
        return out.line("no candidate is on trial");
    }
    for one in &trials {
        let Binding { pattern, validator, .. } = &one.trial.candidate;
        let way = one.trial.share.map_or_else(
            || "beside the binding".to_owned(),
            |share| format!("judges {share} of the scopes; nothing is compared"),
        );
        out.pairs(&[
            ("pattern", pattern.to_string()),
            ("candidate", validator.short()),
            ("runs", way),
            ("compared", text::count(one.compared)),
            ("same", text::count(one.same)),
            ("newly accepted", text::count(one.newly_accepted)),
            ("newly rejected", text::count(one.newly_rejected)),
            ("changed", text::count(one.changed)),
            ("faults", text::count(one.faults)),
            ("not compared", text::count(one.dropped)),
            ("waiting", text::count(one.waiting)),
            ("left out", left_out(one)),
            ("fuel, binding", text::count(one.live_fuel)),
            ("fuel, candidate", text::count(one.fuel)),
        ])?;
        let rows = one.first.iter().map(|divergence| {
            let TrialDivergence { scope, after, live, candidate, .. } = divergence;
            vec![scope.to_string(), after.to_string(), live.clone(), candidate.clone()]
        });
        if !one.first.is_empty() {
            out.table(&["scope", "after", "binding", "candidate"], rows.collect())?;
        }
    }
    Ok(())
}

/// What a trial has nothing to say about.
fn left_out(report: &TrialReport) -> String {
    let left_out = [
        (report.dry_runs, text::counted(report.dry_runs, "dry run")),
        (
            report.unjudged,
            format!("{} without a verdict", text::counted(report.unjudged, "append")),
        ),
        (
            report.interrupted,
            format!("a few seconds before {}", text::counted(report.interrupted, "crash")),
        ),
    ];
    let told: Vec<_> = left_out.into_iter().filter(|(n, _)| *n > 0).map(|(_, said)| said).collect();
    if told.is_empty() { "nothing".to_owned() } else { told.join(", ") }
}

/// Runs `promote`.
pub(crate) async fn run_promote(
    connection: &Connection,
    args: Promote,
    out: &mut Out,
) -> Result<(), Failure> {
    let gate = Gate { compared: args.compared, fuel_percent: args.fuel_percent };
    let bound = connection.client.promote(args.pattern, gate, args.force).await?;
    told(&bound, out)
}

/// Runs `rollback`.
pub(crate) async fn run_rollback(
    connection: &Connection,
    args: Rollback,
    out: &mut Out,
) -> Result<(), Failure> {
    let bound = connection.client.rollback(args.pattern).await?;
    told(&bound, out)
}

/// Says what was bound.
pub(crate) fn told(bound: &Binding, out: &mut Out) -> Result<(), Failure> {
    match out.json() {
        true => out.document(&BindingJson::of(bound)),
        false => out.line(&format!("{} now judges {}", bound.validator.short(), bound.pattern)),
    }
}

/// A candidate on trial.
#[derive(Serialize)]
struct TrialJson<'a> {
    #[serde(flatten)]
    candidate: BindingJson<'a>,
    share_percent: Option<Share>,
}

impl<'a> TrialJson<'a> {
    fn of(trial: &'a Trial) -> Self {
        let candidate = BindingJson::of(&trial.candidate);
        TrialJson { candidate, share_percent: trial.share }
    }
}

/// What a trial found.
#[derive(Serialize)]
struct ReportJson<'a> {
    #[serde(flatten)]
    trial: TrialJson<'a>,
    compared: u64,
    same: u64,
    divergences: u64,
    newly_accepted: u64,
    newly_rejected: u64,
    changed: u64,
    faults: u64,
    not_compared: u64,
    waiting: u64,
    live_fuel: u64,
    fuel: u64,
    dry_runs: u64,
    unjudged: u64,
    interrupted: u64,
    first: &'a [TrialDivergence],
}

impl<'a> ReportJson<'a> {
    fn of(report: &'a TrialReport) -> Self {
        ReportJson {
            trial: TrialJson::of(&report.trial),
            compared: report.compared,
            same: report.same,
            divergences: report.divergences(),
            newly_accepted: report.newly_accepted,
            newly_rejected: report.newly_rejected,
            changed: report.changed,
            faults: report.faults,
            not_compared: report.dropped,
            waiting: report.waiting,
            live_fuel: report.live_fuel,
            fuel: report.fuel,
            dry_runs: report.dry_runs,
            unjudged: report.unjudged,
            interrupted: report.interrupted,
            first: &report.first,
        }
    }
}

/// Events in a row that one rule admitted.
#[derive(Serialize)]
pub(crate) struct RuledJson {
    first: Seq,
    last: Seq,
    validator: Digest,
    binding: Seq,
}

impl RuledJson {
    /// Shows them.
    pub(crate) fn of(ruled: &Ruled) -> Self {
        let Ruled { first, last, validator, binding } = *ruled;
        RuledJson { first, last, validator, binding }
    }

    /// A row of a table.
    pub(crate) fn row(ruled: &Ruled) -> Vec<String> {
        let Ruled { first, last, validator, binding } = ruled;
        vec![first.to_string(), last.to_string(), validator.to_string(), binding.to_string()]
    }
}
