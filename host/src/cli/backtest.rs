//! `validator backtest`: what other rules would have decided on our history.

use super::args::Global;
use super::connect::{Missing, connect};
use super::failure::Failure;
use super::output::Out;
use super::work::Work;
use super::{exit, input, text};
use atomic_store_client::{Against, Candidate};
use atomic_store_core::{BacktestReport, Said, ScopePattern, ValidatorRef};
use clap::Args;
use serde_json::json;
use std::path::Path;
use std::time::Instant;

/// Say what other rules would have decided on our history
///
/// Every append that was accepted, and every recorded rejection whose payload was kept, is put before the
/// candidate: on the state that it folds from the recorded events, at the recorded time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator backtest new-auction.wasm --against auction@1 --scopes 'auction/*'
  atomic-store validator backtest auction@2 --scopes auction/1
  atomic-store --json validator backtest new.wasm --config '{\"increment\":\"1.00\"}' | jq .report

A file is checked and not loaded. Without --config each append is judged under the configuration that was \
in force. A rejection counts only if the store was served with --keep-rejected-payloads; those without \
are counted apart. After three faults in a scope the candidate is not asked there any more.

Exit code 0 if it decides everything as it was decided, 1 if not, 3 if there was nothing to ask about.")]
pub(crate) struct Backtest {
    /// A component's file, or a loaded validator: a name, a name@version, or a digest
    #[arg(value_name = "FILE|VALIDATOR")]
    candidate: String,
    /// Only what this validator decided
    #[arg(long, value_name = "VALIDATOR")]
    against: Option<ValidatorRef>,
    /// In these scopes: a name, or the start of names followed by *
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    scopes: ScopePattern,
    /// The candidate's configuration: the bytes themselves, - for standard input, or @FILE
    #[arg(long, value_name = "JSON|-|@FILE")]
    config: Option<String>,
    /// Go on after this scope, in the order of names
    #[arg(long, value_name = "SCOPE", default_value = "", hide_default_value = true)]
    after: String,
}

const NOTHING: &str = "there was nothing to ask the candidate about; look at --scopes and --against, \
and at `rejections without payload`";

/// Runs the command.
pub(crate) async fn run(global: &Global, args: Backtest, out: &mut Out) -> Result<(), Failure> {
    let is_file = args.candidate.contains('/') || Path::new(&args.candidate).is_file();
    let component = if is_file { Some(input::file(Path::new(&args.candidate))?) } else { None };
    let candidate = match &component {
        Some(bytes) => Candidate::Component(bytes),
        None => Candidate::Loaded(args.candidate.parse().map_err(|error| {
            let what = &args.candidate;
            Failure::usage(format!("{what} is neither a file nor the name of a validator: {error}"))
        })?),
    };
    let config = args.config.as_deref().map(input::bytes).transpose()?;
    let connection = connect(global, Missing::Refuse).await?;
    let work = Work::new("backtest", &args.after);
    let Backtest { against: validator, scopes, after, .. } = args;
    let against = Against { validator, scopes, after, config };
    let start = Instant::now();
    let tested = connection.client.backtest(candidate, against, |told| work.told(&told));
    let report = work.run("the same command with", tested).await?;
    let shown = show(&report, start.elapsed().as_secs_f64(), out);
    shown.and(connection.close().await)?;
    match report.differences() {
        // What asks about nothing must not let a change pass.
        0 if asked(&report) == 0 => Err(Failure::not_found(NOTHING)),
        0 => Ok(()),
        _ => Err(Failure::silent(exit::REFUSED)),
    }
}

fn show(report: &BacktestReport, seconds: f64, out: &mut Out) -> Result<(), Failure> {
    if out.json() {
        let same = report.differences() == 0;
        return out.document(&json!({ "same": same, "report": report, "seconds": seconds }));
    }
    let rows = [
        ("scopes", report.scopes),
        ("events", report.events),
        ("asked", asked(report)),
        ("same", report.same),
        ("  with another reason", report.other_reason),
        ("newly accepted", report.newly_accepted),
        ("newly rejected", report.newly_rejected),
        ("stored otherwise", report.other_form),
        ("faults", report.faults),
        ("decided by others", report.by_others),
        ("rejections without payload", report.without_payload),
        ("given up", report.given_up),
        ("scopes that differ", report.diverged),
    ];
    let mut pairs: Vec<_> = rows.map(|(name, count)| (name, text::count(count))).into();
    pairs.push(("seconds", format!("{seconds:.2}")));
    out.pairs(&pairs)?;
    if report.divergences.is_empty() {
        return Ok(());
    }
    let rows = report.divergences.iter().map(|one| {
        let number = one.rejection.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let (then, now) = (words(&one.then), words(&one.now));
        vec![one.scope.to_string(), one.seq.to_string(), number, then, now]
    });
    out.table(&["scope", "event", "rejection", "then", "now"], rows.collect())
}

/// Verdicts that the candidate was asked for.
fn asked(report: &BacktestReport) -> u64 {
    report.accepted + report.rejections
}

fn words(said: &Said) -> String {
    match said.why.as_str() {
        "" => said.verdict.clone(),
        why => format!("{}: {why}", said.verdict),
    }
}
