//! `what-if`: what would become of batches appended one after the other. Nothing is stored.

use super::append::{describe, member};
use super::args::Global;
use super::connect::{Missing, connect};
use super::failure::Failure;
use super::input;
use super::json::{AnswerJson, Shown};
use super::output::Out;
use super::text;
use atomic_store_core::protocol::Step;
use atomic_store_core::{Answer, AppendId, Outcome, Proposal, ScopeName};
use clap::Args;
use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::value::RawValue;
use std::path::PathBuf;

/// Characters of a state in a table.
const STATE_CHARS: usize = 120;

/// Say what would become of several appends, one after the other, and store nothing
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  echo '{\"kind\":\"bid\",\"payload\":{\"bidder\":\"ann\",\"amount\":\"20\"}}' | atomic-store what-if auction/1 -
  atomic-store what-if auction/1 bids.ndjson --query highest
  atomic-store --json what-if auction/1 bids.ndjson --query highest | jq .state

Each line of the file is one append: an event as `append --batch` reads it, or an array of several that \
are stored together or not at all. Each is judged on the state of the last durable event and of what \
was accepted on the lines before; the numbers are those that the events would have. A fault of the \
validator is the last step.

Exit code 0 whatever the verdicts are: they are what was asked for.")]
pub(crate) struct WhatIf {
    /// The scope
    #[arg(value_parser = input::scope)]
    scope: ScopeName,
    /// The file, or - for standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Also ask this about the state after each
    #[arg(long, value_name = "NAME")]
    query: Option<String>,
    /// The arguments of that question: the bytes themselves, - for standard input, or @FILE
    #[arg(long, default_value = "", requires = "query")]
    args: String,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: WhatIf, out: &mut Out) -> Result<(), Failure> {
    let batches = batches(&input::file(&args.file)?)?;
    let bytes = input::bytes(&args.args)?;
    let connection = connect(global, Missing::Refuse).await?;
    let query = args.query.as_deref().map(|name| (name, bytes.as_slice()));
    let steps = connection.client.what_if(&args.scope, batches, query).await;
    let shown = match out.json() {
        true => steps?.into_iter().enumerate().try_for_each(|(number, step)| {
            let (scope, batch) = (&args.scope, number + 1);
            let answer = Answer { outcome: step.outcome, duplicate: false };
            out.document(&StepJson { scope, batch, answer, state: step.state.as_ref() })
        }),
        false => {
            let mut header = vec!["batch", "outcome"];
            header.extend(args.query.as_deref());
            let steps = steps?;
            let rows = steps.iter().enumerate().map(|(number, step)| {
                let mut row = vec![(number + 1).to_string(), outcome(&step.outcome)];
                row.extend(args.query.is_some().then(|| state(step)));
                row
            });
            out.table(&header, rows.collect())
        }
    };
    shown.and(connection.close().await)
}

/// The appends in a file, one a line.
pub(crate) fn batches(bytes: &[u8]) -> Result<Vec<Vec<Proposal>>, Failure> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Failure::usage(format!("the file is not UTF-8: {error}")))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let batches: Result<Vec<_>, Failure> = lines
        .map(|(number, line)| {
            batch(line).map_err(|why| Failure::usage(format!("line {}: {why}", number + 1)))
        })
        .collect();
    match batches? {
        batches if batches.is_empty() => Err(Failure::usage("the file has no lines")),
        batches => Ok(batches),
    }
}

fn batch(line: &str) -> Result<Vec<Proposal>, String> {
    if !line.trim_start().starts_with('[') {
        return Ok(vec![member(line, None)?]);
    }
    let members: Vec<&RawValue> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if members.is_empty() {
        return Err("an append needs at least one event".to_owned());
    }
    members.into_iter().map(|one| member(one.get(), None)).collect()
}

/// One outcome in a line.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Committed(committed) => {
            let (first, last) = (committed.first.seq, committed.last.seq);
            let seqs = if first == last { format!("{first}") } else { format!("{first}..{last}") };
            format!("would commit {seqs}")
        }
        Outcome::Noop { reason } => {
            let reason = reason.as_ref().map(|text| format!(": {text}"));
            format!("nothing to store{}", reason.unwrap_or_default())
        }
        Outcome::Rejected(refusal) => {
            let reasons = refusal.reasons.iter();
            let reasons = reasons.map(|reason| format!("{}: {}", reason.code, reason.message));
            format!("rejected: {}", reasons.collect::<Vec<_>>().join("; "))
        }
        other => describe(other),
    }
}

fn state(step: &Step) -> String {
    let shown = match &step.state {
        None => return String::new(),
        Some(Ok(answer)) => Shown::guess(answer),
        Some(Err(complaint)) => Shown::Text(complaint.clone()),
    };
    text::short(shown.text(), STATE_CHARS).into_owned()
}

/// One step: the batch, its outcome as `append --json` shows it, and the state after it.
struct StepJson<'a> {
    scope: &'a ScopeName,
    batch: usize,
    answer: Answer,
    state: Option<&'a Result<serde_bytes::ByteBuf, String>>,
}

impl Serialize for StepJson<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let StepJson { scope, batch, answer, state } = self;
        let id = AppendId::default();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("batch", batch)?;
        map.serialize_entry("answer", &AnswerJson { scope, id, dry_run: true, answer })?;
        match state {
            None => {}
            Some(Ok(answer)) => map.serialize_entry("state", &Shown::guess(answer))?,
            Some(Err(complaint)) => map.serialize_entry("complaint", complaint)?,
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit;

    #[test]
    fn each_line_is_one_batch() {
        let lines = b"{\"kind\":\"a\"}\n\n[{\"kind\":\"b\",\"payload\":0.10},{\"kind\":\"c\"}]\n";
        let batches = batches(lines).unwrap();
        let kinds = batches.iter().map(|b| b.iter().map(|p| p.kind.as_str()).collect::<Vec<_>>());
        assert_eq!(kinds.collect::<Vec<_>>(), [vec!["a"], vec!["b", "c"]]);
        assert_eq!(batches[1][0].payload, b"0.10");
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, why) in [
            ("{\"kind\":\"a\"}\n[]", "line 2: an append needs"),
            ("[1]", "line 1: "),
            ("{}", "line 1: no kind"),
            ("\n", "the file has no lines"),
        ] {
            let failure = batches(text.as_bytes()).unwrap_err();
            assert!(failure.message.starts_with(why), "{}", failure.message);
            assert_eq!(failure.code, exit::USAGE);
        }
    }
}
