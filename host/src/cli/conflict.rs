//! What an append insists on about its keys, and how conflicts are shown.

use super::failure::Failure;
use super::input;
use super::json::{EventJson, Shown};
use super::output::Out;
use super::text;
use atomic_store_core::{Condition, Conflict, Key, ScopeName, Seq};
use clap::Args;
use serde::Serialize;

/// Characters of a payload in a table.
const PAYLOAD_CHARS: usize = 80;

/// The options of `append` about conflicts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Conflicts")]
pub(crate) struct ConditionArgs {
    /// Refuse if an event after this one, the last that you have seen, concerns a key of the append
    #[arg(long, value_name = "N")]
    since: Option<u64>,
    /// An event after --since that you know and have dealt with; may be given more than once
    #[arg(long, value_name = "N", requires = "since")]
    resolved: Vec<u64>,
    /// A key to watch beside those of the events; may be given more than once
    #[arg(long, value_name = "KIND:ID", value_parser = input::key, requires = "since")]
    watch: Vec<Key>,
    /// Show all conflicts instead of the first
    #[arg(long, requires = "since")]
    all_conflicts: bool,
}

impl ConditionArgs {
    /// The condition, if one was given.
    pub(crate) fn condition(&self) -> Option<Condition> {
        self.since.map(|since| Condition {
            since: Seq(since),
            resolved: self.resolved.iter().copied().map(Seq).collect(),
            keys: self.watch.clone(),
            all: self.all_conflicts,
        })
    }
}

/// A conflict as JSON.
#[derive(Serialize)]
pub(crate) struct ConflictJson<'a> {
    index: Option<u32>,
    ours: Seq,
    key: String,
    trigger: Option<String>,
    theirs: EventJson<'a>,
}

impl<'a> ConflictJson<'a> {
    /// Shows a conflict.
    pub(crate) fn of(scope: &'a ScopeName, conflict: &'a Conflict) -> Self {
        ConflictJson {
            index: conflict.index,
            ours: conflict.ours,
            key: conflict.key.to_string(),
            trigger: conflict.trigger.as_ref().map(Key::to_string),
            theirs: EventJson(scope, &conflict.theirs),
        }
    }
}

/// A table of conflicts.
pub(crate) fn table(conflicts: &[Conflict], out: &mut Out) -> Result<(), Failure> {
    let rows = conflicts.iter().map(|conflict| {
        let Conflict { ours, key, trigger, theirs, .. } = conflict;
        let payload = Shown::of(&theirs.content_type, &theirs.payload);
        vec![
            ours.to_string(),
            key.to_string(),
            theirs.seq.to_string(),
            text::time(theirs.host_ms),
            theirs.kind.clone(),
            trigger.as_ref().map_or_else(String::new, Key::to_string),
            text::short(payload.text(), PAYLOAD_CHARS).into_owned(),
        ]
    });
    out.table(&["ours", "key", "theirs", "time", "kind", "trigger", "payload"], rows.collect())
}
