//! The journal of rejections: what goes in, and how it is read.
//!
//! Whatever a scope decided against goes in. An entry travels with its unit, so nobody sees it before
//! what it was judged against is durable. Dry runs and repeated ids are not journaled, nor what was
//! never decided: overload, invalid requests, scopes that take no appends.

use super::handle::Engine;
use super::item::Plan;
use super::scope_loop::Loaded;
use super::shared::Shared;
use crate::log::{ConflictRow, ReadError, ScopeRow};
use atomic_store_core::{
    Append, Conflict, ContentType, Digest, Event, Judge, Outcome, Position, Proposal, Rejection,
    RejectionCount, RejectionsEnd, ScopeName, Seq,
};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

/// The entry for an append, if it was refused.
pub(crate) fn entry(
    shared: &Shared,
    row: &ScopeRow,
    loaded: Option<&Loaded>,
    append: &Append,
    plan: &Plan,
) -> Option<Box<Rejection>> {
    let outcome = match plan {
        Plan::Outcome(outcome) => match &**outcome {
            Outcome::Conflict { accepted, conflicts } => Outcome::Conflict {
                accepted: *accepted,
                conflicts: conflicts.iter().map(|one| bare(&row_of(one))).collect(),
            },
            Outcome::Rejected(_)
            | Outcome::UnknownBase { .. }
            | Outcome::HeadMismatch { .. }
            | Outcome::TimedOut { .. }
            | Outcome::Faulted(_) => Outcome::clone(outcome),
            _ => return None,
        },
        Plan::Conflict { found, .. } => Outcome::Conflict {
            accepted: found.accepted,
            conflicts: found.rows.iter().map(bare).collect(),
        },
        _ => return None,
    };
    if append.dry_run {
        return None;
    }
    let asked =
        matches!(outcome, Outcome::Rejected(_) | Outcome::TimedOut { .. } | Outcome::Faulted(_));
    let ruling = loaded.and_then(|loaded| loaded.ruling.as_ref()).filter(|_| asked);
    let keep = shared.keep_rejected.load(Ordering::Relaxed) && fits(shared, &append.proposals);
    Some(Box::new(Rejection {
        // The log says where it stands.
        number: 0,
        previous: 0,
        previous_of_scope: 0,
        scope: row.name.clone(),
        host_ms: shared.clock.now_ms(),
        append_id: append.id,
        head: loaded.map_or(Seq::ZERO, |loaded| loaded.head),
        judge: ruling.map(|ruling| {
            let about = ruling.rules.description();
            Judge {
                validator: ruling.binding.validator,
                name: format!("{}@{}", about.name, about.version),
                binding: ruling.binding.seq,
            }
        }),
        outcome,
        kinds: append.proposals.iter().map(|proposal| proposal.kind.clone()).collect(),
        payload_hash: Digest::of_parts(append.proposals.iter().map(|one| one.payload.as_slice())),
        proposals: keep.then(|| append.proposals.clone()),
    }))
}

/// True if what was proposed may be kept: it must not fill what is kept of a scope, nor a frame.
fn fits(shared: &Shared, proposals: &[Proposal]) -> bool {
    let bytes: usize = proposals.iter().map(Proposal::size).sum();
    bytes <= (shared.limits.rejections_scope_bytes_max).min(shared.limits.frame_bytes_max / 2)
}

fn row_of(conflict: &Conflict) -> ConflictRow {
    let Conflict { index, ours, key, trigger, theirs } = conflict;
    let (key, trigger) = (key.clone(), trigger.clone());
    ConflictRow { index: *index, ours: *ours, key, trigger, theirs: theirs.seq }
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
            bytes += entry.size();
            if bytes > limits.page_bytes_max && !page.is_empty() {
                return ControlFlow::Break(());
            }
            page.push(entry);
            if page.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(page)
    }

    /// Changes whenever an entry of the journal of rejections can be read; its value is then the last
    /// number.
    #[must_use]
    pub fn watch_rejections(&self) -> watch::Receiver<u64> {
        self.shared.feed.rejections()
    }

    /// Where the journal of rejections ends, and after which number the last so many entries come.
    #[must_use]
    pub fn rejections_end(&self, scope: Option<&ScopeName>, last: u64) -> RejectionsEnd {
        self.shared.log.rejections_end(scope, last)
    }

    /// How often what was refused among the entries that are kept, the most frequent first.
    #[must_use]
    pub fn count_rejections(&self, scope: Option<&ScopeName>) -> Vec<RejectionCount> {
        let mut counts = self.shared.log.rejection_counts(scope);
        counts.sort_by_key(|count| std::cmp::Reverse(count.count));
        // A validator may use a new code each time; the answer must fit into a frame.
        counts.truncate(self.limits().page_events_max.max(1));
        counts
    }
}
