//! `append`: one append, of one event or of a batch.

use super::args::Global;
use super::conflict::{self, ConditionArgs};
use super::connect::{Missing, connect};
use super::failure::Failure;
use super::json::{AnswerJson, ProposalJson};
use super::judge::JudgeArgs;
use super::output::Out;
use super::{exit, input};
use atomic_store_core::{
    Answer, Append, AppendId, ContentType, ExpectedHead, Key, Outcome, Proposal, ScopeName, Seq,
};
use clap::Args;
use std::path::PathBuf;

/// Append an event, or several at once, if the scope's validator accepts
#[derive(Debug, Args)]
#[command(
    name = "append",
    after_help = "\
Examples:
  atomic-store append auction/1 bid '{\"bidder\":\"ann\",\"amount\":\"12.50\"}'
  atomic-store append auction/1 bid @bid.json --id order-4711
  echo '{\"amount\":3}' | atomic-store append auction/1 bid -
  atomic-store append door/front open --expected-head empty
  atomic-store append auction/1 --batch bids.ndjson
  atomic-store append library lent --key book:Emma --trigger person:ann --since 41
  atomic-store append library moved --trigger person:ann

A batch has one JSON object on each line: {\"kind\":\"bid\",\"payload\":{...}}, with keys, metadata, \
triggers, content_type, payload_text and payload_hex as `read --json` prints them. Its events are \
stored together or not at all.

With --since N, the last event that you have seen, an append conflicts with a later event about one of \
its keys, and with a later effect that touches one: an effect fires a trigger, and touches every key \
that any event links to it. The answer shows their event and the number yours would have had; \
nothing is stored. Look at it, then try again with --resolved and its number, or a later --since.

A scope bound to `originator` asks whoever appends: --judge names a program that answers.
  atomic-store append game/7 move '{\"from\":\"e2\"}' --judge ./rules
  atomic-store append game/7 move --judge sh --judge-arg -c --judge-arg 'grep -q e2'

An append with --id is decided once: the same id in the same scope gets the first outcome again. Use \
it to try again after exit code 75.

Exit code 0 if stored, 1 if refused, in conflict, or if --expected-head or --since do not fit, 4 if the validator did \
not answer, 75 if the result is not known."
)]
pub(crate) struct AppendArgs {
    /// The scope
    #[arg(value_parser = input::scope)]
    scope: ScopeName,
    /// The event's kind
    #[arg(required_unless_present = "batch")]
    kind: Option<String>,
    /// The payload: JSON, - for standard input, or @FILE [default: {}]
    #[arg(value_name = "JSON|-|@FILE", conflicts_with = "batch")]
    payload: Option<String>,
    /// Decide this id once: an id of your own, 1 to 200 bytes. Given again, with whatever content, it
    /// gets the first outcome and stores nothing
    #[arg(long)]
    id: Option<AppendId>,
    /// Refuse unless the scope's last event is this one: a number, or `empty`
    #[arg(long, value_name = "N|empty", value_parser = expected_head)]
    expected_head: Option<ExpectedHead>,
    /// What the event is about; may be given more than once
    #[arg(long, value_name = "KIND:ID", value_parser = input::key, conflicts_with = "batch")]
    key: Vec<Key>,
    /// An outside cause; may be given more than once. With --key it is linked to the keys, without it
    /// is fired: the event is an effect
    #[arg(long, value_name = "KIND:ID", value_parser = input::key, conflicts_with = "batch")]
    trigger: Vec<Key>,
    /// Metadata; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = input::pair, conflicts_with = "batch")]
    meta: Vec<(String, String)>,
    /// The payload's media type [default: application/json]
    #[arg(long, value_name = "TYPE", conflicts_with = "batch")]
    content_type: Option<String>,
    /// Append the events of a file, one JSON object on each line; - for standard input
    #[arg(long, value_name = "FILE")]
    batch: Option<PathBuf>,
    /// Say what would happen, and store nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    condition: ConditionArgs,
    #[command(flatten)]
    judge: JudgeArgs,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: AppendArgs, out: &mut Out) -> Result<(), Failure> {
    let proposals = match &args.batch {
        Some(path) => batch(&input::file(path)?, args.kind.as_deref())?,
        None => vec![single(&args)?],
    };
    let connection = connect(global, Missing::Create).await?;
    let id = args.id.unwrap_or_else(|| connection.client.new_id());
    let append = Append {
        // Whoever names an id may have sent it before.
        repeated: args.id.is_some(),
        expected_head: args.expected_head.unwrap_or_default(),
        condition: args.condition.condition(),
        dry_run: args.dry_run,
        ..Append::new(args.scope.clone(), id, proposals)
    };
    let answer = args.judge.append(&connection.client, append).await?;
    let shown = match out.json() {
        true => out.document(&AnswerJson {
            scope: &args.scope,
            id,
            dry_run: args.dry_run,
            answer: &answer,
        }),
        false => show(&args.scope, args.dry_run, &answer, out),
    };
    shown.and(connection.close().await).and(code(&answer.outcome, id))
}

fn expected_head(text: &str) -> Result<ExpectedHead, String> {
    match text {
        "any" => Ok(ExpectedHead::Any),
        "empty" => Ok(ExpectedHead::Exactly(Seq::ZERO)),
        number => match number.parse() {
            Ok(head) => Ok(ExpectedHead::Exactly(Seq(head))),
            Err(_) => Err("expected a number, `empty` or `any`".to_owned()),
        },
    }
}

fn single(args: &AppendArgs) -> Result<Proposal, Failure> {
    let content_type = args.content_type.as_deref().map(ContentType::from).unwrap_or_default();
    let payload = match &args.payload {
        Some(argument) => input::bytes(argument)?,
        None if content_type == ContentType::Json => b"{}".to_vec(),
        None => Vec::new(),
    };
    if content_type == ContentType::Json {
        input::check_json("the payload", &payload)?;
    }
    Ok(Proposal {
        kind: args.kind.clone().unwrap_or_default(),
        content_type,
        payload,
        keys: args.key.clone(),
        triggers: args.trigger.clone(),
        metadata: args.meta.clone(),
        ..Proposal::default()
    })
}

fn batch(bytes: &[u8], kind: Option<&str>) -> Result<Vec<Proposal>, Failure> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Failure::usage(format!("the batch is not UTF-8: {error}")))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let proposals: Result<Vec<_>, Failure> = lines
        .map(|(number, line)| {
            member(line, kind)
                .map_err(|why| Failure::usage(format!("line {} of the batch: {why}", number + 1)))
        })
        .collect();
    match proposals? {
        proposals if proposals.is_empty() => Err(Failure::usage("the batch has no lines")),
        proposals => Ok(proposals),
    }
}

/// The proposal on a line of a batch.
pub(crate) fn member(line: &str, kind: Option<&str>) -> Result<Proposal, String> {
    let read: ProposalJson<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let (payload, natural) = match (read.payload, read.payload_text, read.payload_hex) {
        (Some(raw), None, None) => (raw.get().as_bytes().to_vec(), ContentType::Json),
        (None, Some(text), None) => (text.into_bytes(), ContentType::Text),
        (None, None, Some(hex)) => (unhex(&hex)?, ContentType::Bytes),
        (None, None, None) => (b"{}".to_vec(), ContentType::Json),
        _ => return Err("give one of payload, payload_text and payload_hex".to_owned()),
    };
    Ok(Proposal {
        kind: read.kind.or_else(|| kind.map(str::to_owned)).ok_or("no kind")?,
        content_type: read.content_type.as_deref().map_or(natural, ContentType::from),
        payload,
        keys: read.keys.iter().map(|text| input::key(text)).collect::<Result<_, _>>()?,
        triggers: read.triggers.iter().map(|text| input::key(text)).collect::<Result<_, _>>()?,
        metadata: read.metadata.into_iter().collect(),
        caller_ms: read.caller_ms,
    })
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || "payload_hex needs an even number of hexadecimal digits".to_owned();
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err(wrong());
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong()))
        .collect()
}

/// Tells people what became of an append.
pub(crate) fn show(
    scope: &ScopeName,
    dry_run: bool,
    answer: &Answer,
    out: &mut Out,
) -> Result<(), Failure> {
    let again = if answer.duplicate { ", decided before" } else { "" };
    let line = match &answer.outcome {
        Outcome::Committed(committed) => {
            let (first, last) = (committed.first.seq, committed.last.seq);
            let seqs = if first == last { format!("{first}") } else { format!("{first}..{last}") };
            let reason = committed.reason.as_ref().map(|text| format!(": {text}"));
            let what = if dry_run { "would commit" } else { "committed" };
            format!("{what} {scope} {seqs}{again}{}", reason.unwrap_or_default())
        }
        Outcome::Noop { reason } => {
            format!(
                "accepted, nothing to store{again}{}",
                reason.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
            )
        }
        Outcome::Rejected(refusal) => {
            out.line(&format!("rejected{again}"))?;
            for reason in &refusal.reasons {
                out.line(&format!("  {}: {}", reason.code, reason.message))?;
            }
            return Ok(());
        }
        Outcome::Conflict { conflicts, .. } => {
            out.line(&format!("{}{again}", describe(&answer.outcome)))?;
            return conflict::table(conflicts, out);
        }
        other => format!("{}{again}", describe(other)),
    };
    out.line(&line)
}

/// One sentence on an outcome that stored nothing.
pub(crate) fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::HeadMismatch { actual, .. } => {
            format!("head mismatch: the scope's last event is {actual}")
        }
        Outcome::Conflict { conflicts, .. } => match conflicts.first() {
            Some(first) => {
                let (key, theirs) = (&first.key, first.theirs.seq);
                format!("conflict: {key} was touched by event {theirs}")
            }
            None => "conflict".to_owned(),
        },
        Outcome::UnknownBase { next } => {
            format!("unknown base: --since is beyond the scope, whose next event is {next}")
        }
        Outcome::TimedOut { after_ms } => {
            format!("timed out: the validator had not answered after {after_ms} ms")
        }
        Outcome::Faulted(fault) => format!("faulted: {}: {}", fault.kind.word(), fault.detail),
        Outcome::Overloaded(what) => format!("overloaded ({}): try again", what.word()),
        Outcome::ReadOnly { why } => format!("no appends: {why}"),
        Outcome::Invalid { field, why } => format!("invalid: {field}: {why}"),
        Outcome::Unknown { why } => format!("unknown: {why}"),
        other => other.word().to_owned(),
    }
}

/// The exit code that an outcome stands for.
pub(crate) fn exit_code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Committed(_) | Outcome::Noop { .. } => exit::OK,
        Outcome::Rejected(_)
        | Outcome::HeadMismatch { .. }
        | Outcome::Conflict { .. }
        | Outcome::UnknownBase { .. } => exit::REFUSED,
        Outcome::Invalid { .. } => exit::USAGE,
        Outcome::TimedOut { .. } | Outcome::Faulted(_) => exit::FAULT,
        Outcome::ReadOnly { .. } => exit::READ_ONLY,
        _ => exit::TRY_AGAIN,
    }
}

/// Ends with the exit code of an outcome.
pub(crate) fn code(outcome: &Outcome, id: AppendId) -> Result<(), Failure> {
    match exit_code(outcome) {
        exit::OK => Ok(()),
        exit::TRY_AGAIN => Err(Failure::new(
            exit::TRY_AGAIN,
            format!("try again with --id {id} to learn what became of it"),
        )),
        code => Err(Failure::silent(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_keeps_numbers_as_written_and_takes_what_read_prints() {
        let lines =
            b"{\"kind\":\"a\",\"payload\":{\"n\":0.10}}\n\n{\"seq\":7,\"payload_hex\":\"00ff\"}\n";
        let proposals = batch(lines, Some("b")).unwrap();
        assert_eq!(proposals[0].payload, b"{\"n\":0.10}");
        assert_eq!(
            (proposals[1].kind.as_str(), &proposals[1].payload[..]),
            ("b", &b"\x00\xff"[..])
        );
        assert_eq!(proposals[1].content_type, ContentType::Bytes);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let wrong = batch(b"{\"kind\":\"a\"}\n{\"payload_hex\":\"0\",\"kind\":\"a\"}", None);
        assert!(wrong.unwrap_err().message.starts_with("line 2 of the batch: payload_hex"));
        assert!(batch(b"{}", None).unwrap_err().message.contains("no kind"));
        assert_eq!(batch(b"\n", None).unwrap_err().code, exit::USAGE);
    }

    #[test]
    fn heads_are_numbers_or_words() {
        assert_eq!(expected_head("empty"), Ok(ExpectedHead::Exactly(Seq::ZERO)));
        assert_eq!(expected_head("12"), Ok(ExpectedHead::Exactly(Seq(12))));
        assert!(expected_head("-1").is_err());
    }
}
