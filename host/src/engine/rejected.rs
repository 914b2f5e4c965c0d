//! The journal of rejections: what goes in, and how it is read.
//!
//! An entry travels with its unit, so nobody sees it before what it was judged against is durable.
//! Dry runs, repeated ids, mismatched heads, overload and invalid requests are not journaled.

use super::committer::Plan;
use super::handle::Engine;
use super::scope_loop::Loaded;
use super::shared::Shared;
use crate::log::{ConflictRow, ReadError, ScopeRow};
use atomic_store_core::codec;
use atomic_store_core::{
    Append, Conflict, ContentType, Digest, Event, Outcome, Position, Rejection, RejectionCount,
    ScopeName, Seq,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

/// The entry for an append, if it was refused.
pub(crate) fn entry(
    shared: &Shared,
    row: &ScopeRow,
    loaded: Option<&Loaded>,
    append: &Append,
    plan: &Plan,
) -> Option<Box<Rejection>> {
    let outcome = match plan {
        Plan::Outcome(
            outcome @ (Outcome::Rejected(_)
            | Outcome::Conflict { .. }
            | Outcome::UnknownBase { .. }
            | Outcome::TimedOut { .. }
            | Outcome::Faulted(_)),
        ) => outcome.clone(),
        Plan::Conflict { found, .. } => Outcome::Conflict {
            accepted: found.accepted,
            conflicts: found.rows.iter().map(bare).collect(),
        },
        _ => return None,
    };
    if append.dry_run {
        return None;
    }
    let asked = !matches!(outcome, Outcome::Conflict { .. } | Outcome::UnknownBase { .. });
    let ruling = loaded.and_then(|loaded| loaded.ruling.as_ref()).filter(|_| asked);
    let keep = shared.keep_rejected.load(Ordering::Relaxed);
    Some(Box::new(Rejection {
        number: 0,
        scope: row.name.clone(),
        host_ms: shared.clock.now_ms(),
        append_id: append.id,
        head: loaded.map_or(Seq::ZERO, |loaded| loaded.head),
        validator: ruling.map_or(Digest::default(), |ruling| ruling.binding.validator),
        outcome,
        kinds: append.proposals.iter().map(|proposal| proposal.kind.clone()).collect(),
        payload_hash: Digest::of_parts(append.proposals.iter().map(|one| one.payload.as_slice())),
        proposals: keep.then(|| append.proposals.clone()),
    }))
}

/// A conflict that says of the later event only which one it is: entries must stay small.
fn bare(row: &ConflictRow) -> Conflict {
    let theirs = Event {
        seq: row.theirs,
        position: Position(0),
        kind: String::new(),
        content_type: ContentType::default(),
        payload: Vec::new(),
        keys: Vec::new(),
        triggers: Vec::new(),
        metadata: Vec::new(),
        caller_ms: None,
        host_ms: 0,
        append_id: atomic_store_core::AppendId([0; 16]),
        validator: Digest::default(),
        binding: Seq::ZERO,
        previous: Digest::default(),
        hash: Digest::default(),
    };
    let (key, trigger) = (row.key.clone(), row.trigger.clone());
    Conflict { index: row.index, ours: row.ours, key, trigger, theirs: Box::new(theirs) }
}

impl Engine {
    /// From now on entries of the journal of rejections hold what was proposed, or not.
    pub fn keep_rejected_payloads(&self, keep: bool) {
        self.shared.keep_rejected.store(keep, Ordering::Relaxed);
    }

    /// A page of the journal of rejections after a number, oldest first: at most `limit` entries, and
    /// as many as a page may hold. Blocks on the disk.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn rejections(
        &self,
        scope: Option<&ScopeName>,
        after: u64,
        limit: u64,
    ) -> Result<Vec<Rejection>, ReadError> {
        let limits = self.limits();
        let most = usize::try_from(limit).unwrap_or(usize::MAX).min(limits.page_events_max.max(1));
        let (mut page, mut bytes) = (Vec::new(), 0);
        if most == 0 {
            return Ok(page);
        }
        self.shared.log.rejections(scope, after, &mut |entry| {
            bytes += codec::encode(&entry).map_or(0, |row| row.len());
            if bytes > limits.page_bytes_max && !page.is_empty() {
                return ControlFlow::Break(());
            }
            page.push(entry);
            if page.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(page)
    }

    /// How often what was refused among the entries that are kept, the most frequent first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn count_rejections(
        &self,
        scope: Option<&ScopeName>,
    ) -> Result<Vec<RejectionCount>, ReadError> {
        let mut counts: BTreeMap<(&'static str, String), u64> = BTreeMap::new();
        self.shared.log.rejections(scope, 0, &mut |entry| {
            *counts.entry((entry.outcome.word(), code(&entry.outcome))).or_default() += 1;
            ControlFlow::Continue(())
        })?;
        let mut counts: Vec<_> = counts
            .into_iter()
            .map(|((outcome, code), count)| RejectionCount {
                outcome: outcome.to_owned(),
                code,
                count,
            })
            .collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.count));
        // A validator may use a new code each time; the answer must fit into a frame.
        counts.truncate(self.limits().page_events_max.max(1));
        Ok(counts)
    }
}

fn code(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Rejected(refusal) => {
            refusal.reasons.first().map_or_else(String::new, |reason| reason.code.clone())
        }
        Outcome::Faulted(fault) => fault.kind.word().to_owned(),
        Outcome::Conflict { conflicts, .. } => {
            let triggered = conflicts.first().is_some_and(|one| one.trigger.is_some());
            if triggered { "trigger" } else { "key" }.to_owned()
        }
        _ => String::new(),
    }
}
