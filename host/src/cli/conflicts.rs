//! `conflicts`: the events that concern keys, as an append would meet them.

use super::append::{describe, exit_code};
use super::args::Global;
use super::conflict::{self, ConflictJson};
use super::connect::{Missing, connect};
use super::exit;
use super::failure::Failure;
use super::input;
use super::output::{Out, note};
use atomic_store_core::{Append, Key, Outcome, Proposal, ScopeName, Seq};
use clap::Args;

/// List the events after one that concern keys: those about them, and effects that touch them
///
/// An append about these keys with the same --since would conflict with each of them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store conflicts library --since 3 --key book:Emma
  atomic-store --json conflicts library --since 0 --key book:Emma --key person:Ann

Exit code 0 with or without conflicts; 1 if --since is beyond the scope's last event.")]
pub(crate) struct Conflicts {
    /// The scope
    #[arg(value_parser = input::scope)]
    scope: ScopeName,
    /// Only events after this one
    #[arg(long, value_name = "N", default_value_t = 0)]
    since: u64,
    /// What the events are about; may be given more than once
    #[arg(long, value_name = "KIND:ID", value_parser = input::key, required = true)]
    key: Vec<Key>,
    /// Leave this event out; may be given more than once
    #[arg(long, value_name = "N")]
    resolved: Vec<u64>,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: Conflicts, out: &mut Out) -> Result<(), Failure> {
    let connection = connect(global, Missing::Refuse).await?;
    // A dry run of an event about nothing. Whatever the validator thinks of it, there is no conflict if
    // it is asked.
    let proposals = vec![Proposal::json("conflicts", "{}")];
    let append = Append::new(args.scope.clone(), connection.client.new_id(), proposals)
        .since(Seq(args.since))
        .watch(args.key)
        .resolved(args.resolved.iter().copied().map(Seq))
        .all_conflicts()
        .dry_run();
    let answer = connection.client.append(append).await?;
    let most = connection.client.limits().conflicts_max;
    let shown = match answer.outcome {
        Outcome::Conflict { conflicts, .. } => {
            let last = conflicts.last().map_or(Seq::ZERO, |conflict| conflict.theirs.seq);
            let full = conflicts.len() >= most;
            let shown = match out.json() {
                true => conflicts
                    .iter()
                    .try_for_each(|one| out.document(&ConflictJson::of(&args.scope, one))),
                false => conflict::table(&conflicts, out),
            };
            if full {
                note(&format!("the first {most}; more with --since {last}"));
            }
            shown
        }
        Outcome::Committed(_)
        | Outcome::Noop { .. }
        | Outcome::Rejected(_)
        | Outcome::TimedOut { .. }
        | Outcome::Faulted(_) => match out.json() {
            true => Ok(()),
            false => out.line("no conflicts"),
        },
        other => Err(Failure::new(exit_code(&other).max(exit::REFUSED), describe(&other))),
    };
    shown.and(connection.close().await)
}
