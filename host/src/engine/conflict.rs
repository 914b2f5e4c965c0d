//! Conflicts: what happened to the keys of an append since its caller looked (coherence C04..C13).
//!
//! A later event concerns a key if it is about it, or if it is an effect whose trigger is linked by any
//! event of that key: before the effect, after it, even before the caller looked. Events that are
//! accepted and not durable yet count like all others.

use super::item::Plan;
use super::pending::Pending;
use super::scope_loop::Loaded;
use super::shared::Shared;
use crate::log::{ConflictRow, Decision, EventLog, IndexRow, ReadError, ScopeRow, Tag, Topic};
use atomic_store_core::record::{BodyIn, KeyIn};
use atomic_store_core::{Append, Condition, Conflict, Event, Key, Outcome, Proposal, ScopeId, Seq};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Rows of the index that a live scope keeps at hand. Callers that looked not longer ago than these
/// are answered without a look into the log. 24 bytes each.
const ROWS_KEPT: usize = 1_024;
/// So many more may gather before the oldest are dropped together.
const ROWS_SLACK: usize = 256;
/// Appends with more keys than this are held against a set, not against one row after the other.
const KEYS_FEW: usize = 8;
/// Keys whose triggers a live scope keeps at hand, and how many triggers of one.
const LINKS_KEPT: usize = 64;

/// The end of the index of a live scope, with the rows that are not durable yet.
pub(crate) struct Recent {
    any_effect: Tag,
    /// The rows of all events after this one are here.
    from: Seq,
    rows: VecDeque<IndexRow>,
    /// The triggers of some keys.
    links: HashMap<Tag, Links>,
}

/// The triggers that the events up to one link to a key.
struct Links {
    through: Seq,
    triggers: BTreeSet<Key>,
}

impl Recent {
    pub(crate) fn new(log: &dyn EventLog, scope: ScopeId, head: Seq) -> Self {
        let any_effect = log.tag(scope, Topic::AnyEffect);
        Recent { any_effect, from: head, rows: VecDeque::new(), links: HashMap::new() }
    }

    /// Adds the rows of the latest events.
    pub(crate) fn push(&mut self, rows: &[IndexRow], pending: &Pending) {
        self.rows.extend(rows);
        if self.rows.len() <= ROWS_KEPT + ROWS_SLACK {
            return;
        }
        // Only what a reader of the log finds may be dropped.
        let durable = pending.durable();
        while self.rows.len() > ROWS_KEPT
            && let Some(row) = self.rows.front().filter(|row| row.seq <= durable)
        {
            self.from = row.seq;
            self.rows.pop_front();
        }
    }

    fn after(&self, since: Seq) -> impl Iterator<Item = &IndexRow> {
        self.rows.range(self.rows.partition_point(|row| row.seq <= since)..)
    }
}

/// Bytes of events that an answer keeps while it waits for what it was judged against to be durable.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// A later event that concerns a key.
struct Hit {
    theirs: Seq,
    /// Which of the keys, in the order given.
    key: usize,
    trigger: Option<Key>,
    bytes: usize,
}

/// What was found.
pub(crate) struct Found {
    pub(crate) accepted: u32,
    pub(crate) rows: Vec<ConflictRow>,
    /// Bytes of the later events.
    pub(crate) bytes: usize,
}

impl Loaded {
    /// Holds the condition of an append against what is accepted: what to remember and how to answer,
    /// if it does not hold.
    pub(crate) fn objection(
        &mut self,
        shared: &Shared,
        row: &Arc<ScopeRow>,
        append: &Append,
    ) -> Result<Option<(Decision, Plan)>, Outcome> {
        let Some(condition) = &append.condition else { return Ok(None) };
        if condition.since > self.head {
            let outcome = Box::new(Outcome::UnknownBase { next: self.head.next() });
            return Ok(Some((Decision::Nothing(outcome.clone()), Plan::Outcome(outcome))));
        }
        let unreadable = |error: ReadError| shared.unreadable(&error);
        let found = self.conflicts(shared, row, condition, &append.proposals);
        let found = found.map_err(unreadable)?;
        if found.rows.is_empty() {
            return Ok(None);
        }
        let Found { accepted, rows, bytes } = &found;
        let decision = Decision::Conflict { accepted: *accepted, rows: rows.clone() };
        // Events are kept for the answer if they are small and have a position already; if not, they
        // are read again once they are durable.
        let durable = self.pending.durable();
        if *bytes <= KEPT_BYTES_MAX && rows.iter().all(|row| row.theirs <= durable) {
            let outcome = outcome(*accepted, rows, |seq| self.pending.owned(seq));
            return Ok(Some((decision, Plan::Outcome(Box::new(outcome.map_err(unreadable)?)))));
        }
        Ok(Some((decision, Plan::Conflict { found, row: Arc::clone(row) })))
    }

    /// The conflicts: the first, or as many as are wanted and may be.
    fn conflicts(
        &mut self,
        shared: &Shared,
        row: &ScopeRow,
        condition: &Condition,
        proposals: &[Proposal],
    ) -> Result<Found, ReadError> {
        let mut found = Found { accepted: 0, rows: Vec::new(), bytes: 0 };
        if condition.since == self.head {
            return Ok(found);
        }
        let mut resolved = condition.resolved.clone();
        resolved.sort_unstable();
        let keys = proposals.iter().map(|proposal| proposal.keys.len()).sum::<usize>();
        let many = keys + condition.keys.len() > KEYS_FEW;
        let mut search = Search {
            log: &*shared.log,
            row,
            pending: &self.pending,
            touched: match many {
                true => self.recent.after(condition.since).map(|row| row.tag).collect(),
                false => HashSet::new(),
            },
            many,
            recent: &mut self.recent,
            head: self.head,
            since: condition.since,
            resolved,
            effects: None,
            clean: HashSet::new(),
            most: if condition.all { shared.limits.conflicts_max } else { 1 },
        };
        let first = self.head.next();
        let watched = std::iter::once((None, first, &condition.keys));
        let proposed = proposals
            .iter()
            .zip(0_u32..)
            .map(|(proposal, index)| (Some(index), first.plus(u64::from(index)), &proposal.keys));
        for (index, ours, keys) in watched.chain(proposed) {
            for Hit { theirs, key, trigger, bytes } in search.keys(keys)? {
                let room = bytes <= shared.limits.page_bytes_max.saturating_sub(found.bytes);
                if found.rows.len() >= search.most || !(room || found.rows.is_empty()) {
                    return Ok(found);
                }
                if found.rows.is_empty() {
                    found.accepted = index.unwrap_or(0);
                }
                let key = keys[key].clone();
                found.rows.push(ConflictRow { index, ours, key, trigger, theirs });
                found.bytes += bytes;
            }
            if found.rows.len() >= search.most {
                break;
            }
        }
        Ok(found)
    }
}

/// The search for conflicts of one append.
struct Search<'a> {
    log: &'a dyn EventLog,
    row: &'a ScopeRow,
    pending: &'a Pending,
    recent: &'a mut Recent,
    head: Seq,
    since: Seq,
    /// In order.
    resolved: Vec<Seq>,
    many: bool,
    /// The tags at hand of later events, if there are many keys.
    touched: HashSet<Tag>,
    /// Whether there is any later effect, once that is known.
    effects: Option<bool>,
    /// Keys without a conflict, if there are many keys.
    clean: HashSet<Tag>,
    /// How many conflicts are wanted.
    most: usize,
}

impl Search<'_> {
    /// The later events that concern one of the keys, lowest first; only the lowest unless all are
    /// wanted.
    fn keys(&mut self, keys: &[Key]) -> Result<Vec<Hit>, ReadError> {
        let mut hits = Vec::new();
        for (n, key) in keys.iter().enumerate() {
            let tag = self.log.tag(self.row.id, Topic::Key(key));
            if self.clean.contains(&tag) || (n > 0 && keys[..n].contains(key)) {
                continue;
            }
            let before = hits.len();
            self.about(key, n, tag, &mut hits)?;
            if self.any_effect()? {
                self.effects(key, n, &mut hits)?;
            }
            if self.many && hits.len() == before {
                self.clean.insert(tag);
            }
        }
        // Stable: of one event that concerns two keys, the first key comes first.
        hits.sort_by_key(|hit| hit.theirs);
        hits.truncate(self.most);
        Ok(hits)
    }

    /// Later events about the key.
    fn about(&self, key: &Key, n: usize, tag: Tag, hits: &mut Vec<Hit>) -> Result<(), ReadError> {
        self.hits(Topic::Key(key), tag, hits, |body, bytes, theirs| {
            let concerns = holds(&body.keys, key);
            concerns.then_some(Hit { theirs, key: n, trigger: None, bytes })
        })
    }

    /// Later effects whose trigger any event of the key links.
    fn effects(&mut self, key: &Key, n: usize, hits: &mut Vec<Hit>) -> Result<(), ReadError> {
        for trigger in self.triggers(key)? {
            let tag = self.log.tag(self.row.id, Topic::Effects(&trigger));
            let mut fired = Vec::new();
            self.hits(Topic::Effects(&trigger), tag, &mut fired, |body, bytes, theirs| {
                let concerns = body.keys.is_empty() && holds(&body.triggers, &trigger);
                let trigger = Some(trigger.clone());
                concerns.then_some(Hit { theirs, key: n, trigger, bytes })
            })?;
            // One effect may fire several triggers of a key, and concerns it once.
            fired.retain(|hit| !hits.iter().any(|h| (h.theirs, h.key) == (hit.theirs, n)));
            hits.extend(fired);
            if hits.len() > 2 * self.most {
                hits.sort_by_key(|hit| hit.theirs);
                hits.truncate(self.most);
            }
        }
        Ok(())
    }

    /// Adds what `concerns` makes of the later events of a topic that are not resolved.
    fn hits(
        &self,
        topic: Topic<'_>,
        tag: Tag,
        hits: &mut Vec<Hit>,
        concerns: impl Fn(&BodyIn<'_>, usize, Seq) -> Option<Hit>,
    ) -> Result<(), ReadError> {
        let mut left = self.most;
        self.candidates(topic, tag, self.since, &mut |seq| {
            if self.is_resolved(seq) {
                return Ok(ControlFlow::Continue(()));
            }
            let hit =
                self.pending.event(seq, |view, body| concerns(body, view.as_bytes().len(), seq))?;
            if let Some(hit) = hit {
                hits.push(hit);
                left -= 1;
            }
            Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    }

    /// The triggers that any event links to the key.
    fn triggers(&mut self, key: &Key) -> Result<BTreeSet<Key>, ReadError> {
        let tag = self.log.tag(self.row.id, Topic::Links(key));
        let known = self.recent.links.remove(&tag);
        let mut links = known.unwrap_or(Links { through: Seq::ZERO, triggers: BTreeSet::new() });
        self.candidates(Topic::Links(key), tag, links.through, &mut |seq| {
            self.pending.event(seq, |_, body| {
                if holds(&body.keys, key) {
                    let own = |trigger: &KeyIn<'_>| Key::new(trigger.kind, trigger.id);
                    links.triggers.extend(body.triggers.iter().map(own));
                }
            })?;
            Ok(ControlFlow::Continue(()))
        })?;
        let triggers = links.triggers.clone();
        if triggers.len() <= LINKS_KEPT {
            if self.recent.links.len() >= LINKS_KEPT {
                self.recent.links.clear();
            }
            links.through = self.head;
            self.recent.links.insert(tag, links);
        }
        Ok(triggers)
    }

    /// True if any later effect is not resolved. There are few effects, and most often none.
    fn any_effect(&mut self) -> Result<bool, ReadError> {
        if let Some(known) = self.effects {
            return Ok(known);
        }
        let mut found = false;
        self.candidates(Topic::AnyEffect, self.recent.any_effect, self.since, &mut |seq| {
            found = !self.is_resolved(seq);
            Ok(if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        self.effects = Some(found);
        Ok(found)
    }

    /// Calls `each` with what the index has of a topic after a number, durable or not, each once.
    fn candidates(
        &self,
        topic: Topic<'_>,
        tag: Tag,
        after: Seq,
        each: &mut dyn FnMut(Seq) -> Result<ControlFlow<()>, ReadError>,
    ) -> Result<(), ReadError> {
        let from = self.recent.from;
        if after < from {
            let (mut problem, mut stopped) = (None, false);
            self.log.indexed(self.row, topic, after, from, &mut |seq| {
                let flow = each(seq).unwrap_or_else(|error| {
                    problem = Some(error);
                    ControlFlow::Break(())
                });
                stopped = flow.is_break();
                flow
            })?;
            if let Some(error) = problem {
                return Err(error);
            }
            if stopped {
                return Ok(());
            }
        }
        if self.many && after == self.since && !self.touched.contains(&tag) {
            return Ok(());
        }
        let mut last = Seq::ZERO;
        for row in self.recent.after(after.max(from)).filter(|row| row.tag == tag) {
            // An event that names a key twice has two rows here.
            if row.seq > last && each(row.seq)?.is_break() {
                break;
            }
            last = row.seq;
        }
        Ok(())
    }

    fn is_resolved(&self, seq: Seq) -> bool {
        self.resolved.binary_search(&seq).is_ok()
    }
}

fn holds(keys: &[KeyIn<'_>], key: &Key) -> bool {
    keys.iter().any(|other| other.kind == key.kind && other.id == key.id)
}

/// The answer to an append that conflicts, with the later events as `read` finds them.
pub(crate) fn outcome(
    accepted: u32,
    rows: &[ConflictRow],
    mut read: impl FnMut(Seq) -> Result<Event, ReadError>,
) -> Result<Outcome, ReadError> {
    let conflicts: Result<Vec<_>, _> = rows
        .iter()
        .map(|row| {
            let (index, ours) = (row.index, row.ours);
            let (key, trigger) = (row.key.clone(), row.trigger.clone());
            let theirs = Box::new(read(row.theirs)?);
            Ok(Conflict { index, ours, key, trigger, theirs })
        })
        .collect();
    conflicts.map(|conflicts| Outcome::Conflict { accepted, conflicts })
}
