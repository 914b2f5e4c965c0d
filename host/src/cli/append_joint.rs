//! `append-joint`: one append to several scopes.

use super::append::{code, exit_code, member, show};
use super::args::Global;
use super::connect::{Missing, connect};
use super::exit;
use super::failure::Failure;
use super::input;
use super::json::AnswerJson;
use super::output::Out;
use atomic_store_core::{
    Answer, AppendId, Condition, ExpectedHead, JointAnswer, JointAppend, JointOutcome, Part,
    PartOutcome, ScopeName, Seq,
};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// Append to several scopes at once, if the validators of all of them accept
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store append-joint transfer.ndjson --id transfer-4711
  atomic-store append-joint - <<'END'
  {\"scope\":\"ledger/ann\",\"kind\":\"paid\",\"payload\":{\"cents\":250,\"to\":\"ledger/bob\"}}
  {\"scope\":\"ledger/bob\",\"kind\":\"received\",\"payload\":{\"cents\":250,\"from\":\"ledger/ann\"}}
  END

One JSON object on each line: the scope, and an event as in a batch of `append`. A line may also say \
expected_head (a number; 0 if the scope must be empty), since and resolved, for all events of its scope. \
All events are stored in one commit, or none is. A scope bound to originator cannot take part.

With --id the append is decided once: the same id gets the first outcome again; it must name the same \
scopes.

Exit code 0 if stored, 1 if a scope refused, 4 if a validator did not answer, 75 if the result is not \
known.")]
pub(crate) struct AppendJoint {
    /// The events; - for standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Decide this id once: an id of your own, 1 to 200 bytes
    #[arg(long)]
    id: Option<AppendId>,
    /// Say what would happen, and store nothing
    #[arg(long)]
    dry_run: bool,
}

/// What a line says beside its event.
#[derive(Deserialize)]
struct Head {
    scope: ScopeName,
    expected_head: Option<u64>,
    since: Option<u64>,
    #[serde(default)]
    resolved: Vec<u64>,
}

/// The answer as JSON.
#[derive(Serialize)]
struct JointJson<'a> {
    outcome: &'static str,
    id: String,
    duplicate: bool,
    dry_run: bool,
    parts: Vec<AnswerJson<'a>>,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: AppendJoint, out: &mut Out) -> Result<(), Failure> {
    let parts = parts(&input::file(&args.file)?)?;
    let connection = connect(global, Missing::Create).await?;
    let id = args.id.unwrap_or_else(|| connection.client.new_id());
    // Whoever names an id may have sent it before.
    let repeated = args.id.is_some();
    let joint = JointAppend { id, repeated, dry_run: args.dry_run, parts };
    let JointAnswer { outcome, duplicate } = connection.client.append_joint(joint).await?;
    let (word, parts) = match outcome {
        JointOutcome::Committed(parts) => ("committed", parts),
        JointOutcome::Refused(part) => ("refused", vec![part]),
        _ => return Err(Failure::new(exit::TRY_AGAIN, "an answer of a newer store")),
    };
    let answers = parts
        .into_iter()
        .map(|PartOutcome { scope, outcome }| (scope, Answer { outcome, duplicate }));
    let answers: Vec<_> = answers.collect();
    let shown = match out.json() {
        true => {
            let dry_run = args.dry_run;
            let parts =
                answers.iter().map(|(scope, answer)| AnswerJson { scope, id, dry_run, answer });
            let (id, parts) = (id.to_string(), parts.collect());
            out.document(&JointJson { outcome: word, id, duplicate, dry_run, parts })
        }
        false => answers.iter().try_for_each(|(scope, answer)| {
            if exit_code(&answer.outcome) != exit::OK {
                out.line(&format!("nothing was stored; {scope} said:"))?;
            }
            show(scope, args.dry_run, answer, out)
        }),
    };
    let worst = answers.iter().max_by_key(|(_, answer)| exit_code(&answer.outcome));
    let code = worst.map_or(Ok(()), |(_, answer)| code(&answer.outcome, id));
    shown.and(connection.close().await).and(code)
}

/// The lines by scope, in the order in which the scopes come first.
fn parts(bytes: &[u8]) -> Result<Vec<Part>, Failure> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Failure::usage(format!("the file is not UTF-8: {error}")))?;
    let mut parts: Vec<Part> = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        add(&mut parts, line)
            .map_err(|why| Failure::usage(format!("line {}: {why}", number + 1)))?;
    }
    if parts.is_empty() { Err(Failure::usage("the file has no lines")) } else { Ok(parts) }
}

fn add(parts: &mut Vec<Part>, line: &str) -> Result<(), String> {
    let proposal = member(line, None)?;
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let head: Head = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let at = parts.iter().position(|part| part.scope == head.scope);
    let at = at.unwrap_or_else(|| {
        parts.push(Part::new(head.scope.clone(), Vec::new()));
        parts.len() - 1
    });
    let part = &mut parts[at];
    if let Some(expected) = head.expected_head.map(|n| ExpectedHead::Exactly(Seq(n))) {
        if !matches!(part.expected_head, ExpectedHead::Any) && part.expected_head != expected {
            return Err(format!("{} has another expected_head already", head.scope));
        }
        part.expected_head = expected;
    }
    if let Some(since) = head.since.map(Seq) {
        let condition = part.condition.get_or_insert(Condition { since, ..Condition::default() });
        if condition.since != since {
            return Err(format!("{} has another since already", head.scope));
        }
        condition.resolved.extend(head.resolved.into_iter().map(Seq));
    } else if !head.resolved.is_empty() {
        return Err("resolved means nothing without since".to_owned());
    }
    part.proposals.push(proposal);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_grouped_by_scope_and_conditions_are_those_of_the_scope() {
        let lines = br#"{"scope":"a","kind":"x","expected_head":3}
            {"scope":"b","kind":"y","payload":{"n":1.0},"since":4,"resolved":[5]}
            {"scope":"a","kind":"z"}"#;
        let parts = parts(lines).unwrap();
        assert_eq!((parts.len(), parts[0].proposals.len()), (2, 2));
        assert_eq!(parts[0].expected_head, ExpectedHead::Exactly(Seq(3)));
        assert_eq!(parts[1].proposals[0].payload, br#"{"n":1.0}"#);
        let condition = parts[1].condition.clone().unwrap();
        assert_eq!((condition.since, condition.resolved), (Seq(4), vec![Seq(5)]));
    }

    #[test]
    fn a_wrong_line_is_named() {
        let two = |second: &str| {
            let lines = format!("{{\"scope\":\"a\",\"kind\":\"x\",\"since\":1}}\n{second}");
            parts(lines.as_bytes()).unwrap_err().message
        };
        for bad in [
            r#"{"kind":"x"}"#,
            r#"{"scope":"a"}"#,
            r#"{"scope":"","kind":"x"}"#,
            r#"{"scope":"a","kind":"x","since":2}"#,
            r#"{"scope":"b","kind":"x","resolved":[2]}"#,
        ] {
            assert!(two(bad).starts_with("line 2: "), "{bad}: {}", two(bad));
        }
        assert!(parts(b"\n").is_err());
    }
}
