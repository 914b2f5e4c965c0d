//! `validator bundle`: all that one verdict depended on, as a file; `validator replay`: ask again.

use super::append::describe;
use super::args::Global;
use super::connect::{Missing, connect};
use super::failure::Failure;
use super::json::AnswerJson;
use super::output::Out;
use super::{exit, input, text, what_if};
use atomic_store::replay::replay_bundle;
use atomic_store_core::bundle::{Bundle as File, BundleOf};
use atomic_store_core::{Answer, AppendId, Digest, Outcome, Refusal, ScopeName};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Put all that one verdict depended on into one file
///
/// The file holds the component, its configuration, the events before the append (or the newest snapshot
/// and those behind it) and what was proposed. `validator replay` asks again with it, without a store.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator bundle auction/1 --rejection 7 --out rejected.bundle
  atomic-store validator bundle auction/1 --proposals bid.ndjson --out bid.bundle

The numbers of rejections are those of `atomic-store rejections`; their payloads must have been kept, by \
serve --keep-rejected-payloads. A file of proposals has one line as `what-if` reads it. A bundle holds \
what the scope holds: whoever gets it can read it.")]
pub(crate) struct Bundle {
    /// The scope
    #[arg(value_parser = input::scope)]
    scope: ScopeName,
    /// An entry of the journal of rejections
    #[arg(long, value_name = "N", required_unless_present = "proposals")]
    rejection: Option<u64>,
    /// One append to the last event, or - for standard input
    #[arg(long, value_name = "FILE|-", conflicts_with = "rejection")]
    proposals: Option<PathBuf>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Ask again what a bundle holds, without a store
///
/// Prints the outcome, whether it is the recorded one, and the log of the validator; after a trap also the
/// functions that it was in, the innermost first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store validator replay rejected.bundle
  atomic-store --json validator replay rejected.bundle | jq .same

Exit code as of the append: 0 accepted, 1 rejected, 4 no answer. 65 if the file is damaged, or if the \
outcome is not the one that was recorded.")]
pub(crate) struct Replay {
    /// The file
    file: PathBuf,
}

/// Runs `validator bundle`.
pub(crate) async fn run_bundle(
    global: &Global,
    args: Bundle,
    out: &mut Out,
) -> Result<(), Failure> {
    let of = match (args.rejection, &args.proposals) {
        (Some(number), _) => BundleOf::Rejection(number),
        (None, Some(file)) => {
            let mut batches = what_if::batches(&input::file(file)?)?;
            match (batches.pop(), batches.is_empty()) {
                (Some(batch), true) => BundleOf::Proposals(batch),
                _ => return Err(Failure::usage("a bundle holds one append: one line")),
            }
        }
        (None, None) => return Err(Failure::usage("say --rejection or --proposals")),
    };
    let connection = connect(global, Missing::Refuse).await?;
    let bytes = connection.client.bundle(args.scope, of).await?;
    std::fs::write(&args.out, &bytes).map_err(|error| Failure::file(args.out.display(), &error))?;
    let shown = match out.json() {
        true => out.document(&json!({ "file": args.out, "bytes": bytes.len() })),
        false => {
            let bytes = text::counted(bytes.len() as u64, "byte");
            out.line(&format!("{}: {bytes}", args.out.display()))
        }
    };
    shown.and(connection.close().await)
}

/// Runs `validator replay`.
pub(crate) fn run_replay(args: &Replay, out: &mut Out) -> Result<(), Failure> {
    let bundle = File::decode(&input::file(&args.file)?)
        .map_err(|error| Failure::new(exit::DAMAGED, error.to_string()))?;
    let (replayed, lines) =
        replay_bundle(&bundle).map_err(|error| Failure::usage(error.to_string()))?;
    let digest = Digest::of(&bundle.component);
    let (scope, id) = (&bundle.scope, AppendId::default());
    if out.json() {
        let answer = &Answer { outcome: replayed.outcome.clone(), duplicate: false };
        out.document(&json!({
            "answer": AnswerJson { scope, id, dry_run: true, answer }, "call": replayed.call,
            "same": replayed.same, "validator": digest.to_string(), "head": bundle.head().0,
            "log": lines,
        }))?;
    } else {
        let same = match (&bundle.recorded, replayed.same) {
            (Some(recorded), Some(false)) => format!("no; it was: {}", told(recorded)),
            (Some(_), _) => "yes".to_owned(),
            (None, _) => "nothing was recorded".to_owned(),
        };
        out.pairs(&[
            ("scope", format!("{scope} at {}", bundle.head())),
            ("validator", digest.short()),
            ("outcome", told(&replayed.outcome)),
            ("in", replayed.call.to_owned()),
            ("as recorded", same),
        ])?;
        lines.iter().try_for_each(|line| out.line(&format!("  {line}")))?;
    }
    match (replayed.same, &replayed.outcome) {
        (Some(false), _) => Err(Failure::new(exit::DAMAGED, "the outcome is not the recorded one")),
        (_, Outcome::Committed(_) | Outcome::Noop { .. }) => Ok(()),
        (_, Outcome::Rejected(_)) => Err(Failure::silent(exit::REFUSED)),
        (_, Outcome::Faulted(_) | Outcome::TimedOut { .. }) => Err(Failure::silent(exit::FAULT)),
        _ => Err(Failure::silent(exit::READ_ONLY)),
    }
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Rejected(Refusal { reasons, .. }) => {
            let reasons = reasons.iter().map(|one| format!("{}: {}", one.code, one.message));
            format!("rejected: {}", reasons.collect::<Vec<_>>().join("; "))
        }
        Outcome::Committed(_) => "accepted".to_owned(),
        other => describe(other),
    }
}
