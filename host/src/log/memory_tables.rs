//! The tables of a [`super::MemoryLog`]: what a journal of units adds up to.

use super::rows::Buckets;
use super::{
    Change, CommitError, Decision, IndexRow, KeptSnapshot, ScopeRow, Snapshot, Tag, Topic, Unit,
    topics,
};
use atomic_store_core::chain::{Walk, genesis};
use atomic_store_core::record::{self, RecordView};
use atomic_store_core::{AppendId, Digest, Position, Proposal, Rejection, ScopeId, ScopeName, Seq};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// One committed unit.
#[derive(Debug)]
pub(super) struct Stored {
    scope: Arc<ScopeRow>,
    at: Seq,
    bytes: u64,
    records: Vec<Arc<[u8]>>,
    index: Vec<IndexRow>,
    decision: Option<(AppendId, Decision)>,
    snapshot: Option<Snapshot>,
    dropped: Option<(Digest, Seq)>,
    module: Option<(Digest, Arc<[u8]>)>,
    change: Option<Change>,
    pub(super) rejection: Option<Rejection>,
    proposed: Option<Vec<Proposal>>,
    host_ms: u64,
}

impl Stored {
    /// A unit of a group. What the buffer held is overwritten.
    pub(super) fn new(unit: &Unit, buffer: &mut Vec<u8>) -> Self {
        let all = 0..unit.records.len();
        Stored {
            scope: Arc::clone(&unit.scope),
            at: unit.at,
            bytes: unit.bytes,
            records: all.map(|nth| Arc::from(unit.stored(nth, buffer))).collect(),
            index: unit.index.clone(),
            decision: unit.decision.clone(),
            snapshot: unit.snapshot.as_deref().cloned(),
            dropped: unit.dropped.as_deref().copied(),
            module: unit.module.as_deref().cloned(),
            change: unit.change.as_deref().cloned(),
            rejection: unit.rejection.as_deref().cloned(),
            proposed: unit.proposed.clone(),
            host_ms: unit.host_ms,
        }
    }
}

#[derive(Debug)]
struct Scope {
    row: ScopeRow,
    /// The events after the floor.
    records: Vec<Arc<[u8]>>,
}

impl Scope {
    /// Where an event stands among the records.
    fn index(&self, seq: Seq) -> Option<usize> {
        let after_floor = seq.0.checked_sub(self.row.floor.seq.0)?.checked_sub(1)?;
        usize::try_from(after_floor).ok()
    }
}

/// An event found by its position: that, its scope, its number, and its bytes if they are there.
pub(super) type Ordered = (Position, ScopeName, Seq, Option<Arc<[u8]>>);

/// What readers see.
#[derive(Debug, Default)]
pub(super) struct Tables {
    scopes: BTreeMap<ScopeName, Scope>,
    names: BTreeMap<ScopeId, ScopeName>,
    /// Records on their way in, which nobody sees.
    staged: BTreeMap<ScopeId, Vec<Arc<[u8]>>>,
    /// The event at position n + 1.
    order: Vec<(ScopeName, Seq)>,
    commits: u64,
    index: BTreeSet<IndexRow>,
    decisions: BTreeMap<u32, BTreeMap<(ScopeName, AppendId), Decision>>,
    snapshots: BTreeMap<(ScopeId, Digest, Seq), Snapshot>,
    modules: BTreeMap<Digest, Arc<[u8]>>,
    proposals: BTreeMap<(ScopeId, Seq), Vec<Proposal>>,
}

impl Tables {
    /// Checks that each unit continues its scope.
    pub(super) fn check(&self, units: &[Stored]) -> Result<(), CommitError> {
        let mut heads: HashMap<&ScopeName, (Seq, Digest, u64)> = HashMap::new();
        for unit in units.iter().filter(|unit| !unit.records.is_empty()) {
            let name = &unit.scope.name;
            if unit.change == Some(Change::Stage) {
                continue;
            }
            let known = self.scopes.get(name);
            if known.is_some_and(|scope| scope.row.id != unit.scope.id)
                || self.names.get(&unit.scope.id).is_some_and(|other| other != name)
            {
                return Err(CommitError(format!("scope {name} does not have that number")));
            }
            let start = || {
                known.map_or((Seq::ZERO, genesis(name), 0), |scope| {
                    (scope.row.head, scope.row.hash, scope.row.bytes)
                })
            };
            let (head, hash, bytes) = *heads.entry(name).or_insert_with(start);
            if bytes != unit.bytes {
                let found = unit.bytes;
                return Err(CommitError(format!("scope {name} has {bytes} bytes, not {found}")));
            }
            if head != unit.at {
                return Err(CommitError(format!("scope {name} is at {head}, not at {}", unit.at)));
            }
            let mut walk = Walk::from(head, hash);
            for record in &unit.records {
                walk.step(record).map_err(|why| CommitError(format!("scope {name}: {why}")))?;
            }
            let bytes = bytes + total(&unit.records);
            heads.insert(name, (walk.head(), walk.hash().unwrap_or(hash), bytes));
        }
        let made = |name: &ScopeName| heads.contains_key(name);
        units.iter().try_for_each(|unit| self.check_change(unit, &made))
    }

    /// Checks that a change fits what is there, or what the same group makes.
    fn check_change(
        &self,
        unit: &Stored,
        made: &dyn Fn(&ScopeName) -> bool,
    ) -> Result<(), CommitError> {
        let wrong = |why: &str| Err(CommitError(format!("a change of a scope's past: {why}")));
        match &unit.change {
            Some(Change::Publish(row)) => {
                let staged = self.staged.get(&row.id).map_or(&[][..], Vec::as_slice);
                let mut walk = Walk::from(row.floor.seq, row.floor.hash);
                let whole = staged.iter().all(|record| walk.step(record).is_ok());
                if self.scopes.contains_key(&row.name) || made(&row.name) {
                    return wrong("the scope is there already");
                }
                if !whole || walk.head() != row.head || total(staged) != row.bytes {
                    return wrong("what was staged is not what is published");
                }
                Ok(())
            }
            Some(Change::Delete(row)) => match self.scopes.get(&row.name) {
                Some(scope) if scope.row.id == row.id => Ok(()),
                None if made(&row.name) => Ok(()),
                _ => wrong("there is no such scope to delete"),
            },
            Some(Change::Stage | Change::Discard(_)) | None => Ok(()),
        }
    }

    /// Adds a group that passed the check.
    pub(super) fn apply(&mut self, units: &[Stored], buckets: Buckets) {
        let before = self.order.len();
        let mut latest = 0;
        for unit in units {
            latest = latest.max(unit.host_ms);
            self.index.extend(&unit.index);
            if unit.change == Some(Change::Stage) {
                let staged = self.staged.entry(unit.scope.id).or_default();
                staged.extend(unit.records.iter().cloned());
                continue;
            }
            self.events(unit);
            if let Some(proposed) = unit.proposed.as_ref().filter(|_| !unit.records.is_empty()) {
                self.proposals.insert((unit.scope.id, unit.at.next()), proposed.clone());
            }
            self.change(unit.change.as_ref());
            if let Some((id, decision)) = &unit.decision {
                let bucket = self.decisions.entry(buckets.at(unit.host_ms)).or_default();
                bucket.insert((unit.scope.name.clone(), *id), decision.clone());
            }
            if let Some(snapshot) = &unit.snapshot {
                let key = |seq| (unit.scope.id, snapshot.rule, seq);
                let older = self.snapshots.range(key(Seq::ZERO)..key(snapshot.seq)).rev().nth(1);
                if let Some(older) = older.map(|(key, _)| *key) {
                    self.snapshots.remove(&older);
                }
                self.snapshots.insert(key(snapshot.seq), snapshot.clone());
            }
            if let Some((rule, seq)) = unit.dropped {
                self.snapshots.remove(&(unit.scope.id, rule, seq));
            }
            if let Some((digest, bytes)) = &unit.module {
                self.modules.insert(*digest, Arc::clone(bytes));
            }
        }
        self.commits += u64::from(self.order.len() > before);
        self.decisions.retain(|bucket, _| !buckets.expired(*bucket, latest));
    }

    fn events(&mut self, unit: &Stored) {
        let name = &unit.scope.name;
        if unit.records.is_empty() {
            return;
        }
        self.names.insert(unit.scope.id, name.clone());
        let scope = self.scopes.entry(name.clone()).or_insert_with(|| Scope {
            row: ScopeRow::empty(unit.scope.id, name.clone()),
            records: Vec::new(),
        });
        let mut walk = Walk::from(scope.row.head, scope.row.hash);
        for record in &unit.records {
            // `check` has seen it pass.
            if walk.step(record).is_ok() {
                scope.records.push(Arc::clone(record));
                self.order.push((name.clone(), walk.head()));
            }
        }
        scope.row.head = walk.head();
        scope.row.hash = walk.hash().unwrap_or(scope.row.hash);
        scope.row.bytes += total(&unit.records);
    }

    fn change(&mut self, change: Option<&Change>) {
        match change {
            Some(Change::Publish(row)) => {
                let staged = self.staged.remove(&row.id).unwrap_or_default();
                let (mut records, mut buffer) = (Vec::with_capacity(staged.len()), Vec::new());
                for (seq, bytes) in (row.floor.seq.0 + 1..).zip(staged) {
                    self.order.push((row.name.clone(), Seq(seq)));
                    records.push(Arc::from(record::placed(&bytes, self.position(), &mut buffer)));
                }
                self.names.insert(row.id, row.name.clone());
                self.scopes.insert(row.name.clone(), Scope { row: row.clone(), records });
            }
            Some(Change::Delete(row)) => {
                if let Some(scope) = self.scopes.get_mut(&row.name) {
                    scope.records.clear();
                    scope.row.floor = super::Floor { seq: scope.row.head, hash: scope.row.hash };
                    scope.row.bytes = 0;
                }
                self.snapshots.retain(|(id, _, _), _| *id != row.id);
                self.proposals.retain(|(id, _), _| *id != row.id);
            }
            Some(Change::Discard(id)) => drop(self.staged.remove(id)),
            Some(Change::Stage) | None => {}
        }
    }

    /// Drops what a crash left staged: nobody will publish it.
    pub(super) fn drop_staged(&mut self) {
        self.staged.clear();
    }

    /// How many scopes are on their way in.
    pub(super) fn staged(&self) -> usize {
        self.staged.len()
    }

    pub(super) fn position(&self) -> Position {
        Position(self.order.len() as u64)
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    pub(super) fn scope_count(&self) -> u64 {
        self.scopes.len() as u64
    }

    /// A number behind all that are in use.
    pub(super) fn next_scope(&self) -> u64 {
        let named = self.names.last_key_value().map_or(0, |(id, _)| id.0);
        let staged = self.staged.last_key_value().map_or(0, |(id, _)| id.0);
        named.max(staged) + 1
    }

    pub(super) fn scope(&self, name: &ScopeName) -> Option<ScopeRow> {
        self.scopes.get(name).map(|scope| scope.row.clone())
    }

    /// The last event there is, if it is not the head.
    pub(super) fn short(&self, name: &ScopeName) -> Option<Seq> {
        let scope = self.scopes.get(name)?;
        let last = scope.row.floor.seq.plus(scope.records.len() as u64);
        (last < scope.row.head).then_some(last)
    }

    pub(super) fn scopes(&self, prefix: &str, after: &str, limit: usize) -> Vec<ScopeRow> {
        let behind = ScopeName::new(after).map_or(Bound::Unbounded, Bound::Excluded);
        self.scopes
            .range((behind, Bound::Unbounded))
            .filter(|(name, _)| name.as_str().starts_with(prefix) && name.as_str() > after)
            .take(limit)
            .map(|(_, scope)| scope.row.clone())
            .collect()
    }

    pub(super) fn records(
        &self,
        name: &ScopeName,
        from: Seq,
        through: Seq,
        at_most: usize,
    ) -> Vec<Arc<[u8]>> {
        let Some(scope) = self.scopes.get(name) else { return Vec::new() };
        let Some(skip) = scope.index(from) else { return Vec::new() };
        let count = usize::try_from(through.0 - from.0 + 1).unwrap_or(usize::MAX).min(at_most);
        scope.records.iter().skip(skip).take(count).cloned().collect()
    }

    pub(super) fn order(&self, after: Position, at_most: usize) -> Vec<Ordered> {
        let skip = usize::try_from(after.0).unwrap_or(usize::MAX);
        let find = |(position, (name, seq)): (u64, &(ScopeName, Seq))| {
            let record = self.records(name, *seq, *seq, 1).pop();
            (Position(position), name.clone(), *seq, record)
        };
        let places = (1..).zip(&self.order).skip(skip);
        let deleted = |name: &ScopeName, seq: Seq| {
            self.scopes.get(name).is_some_and(|scope| seq <= scope.row.floor.seq)
        };
        let there = places.filter(|(_, (name, seq))| !deleted(name, *seq));
        there.take(at_most).map(find).collect()
    }

    /// Not secret, so that runs repeat.
    pub(super) fn tag(scope: ScopeId, topic: Topic<'_>) -> Tag {
        Tag::new(&[0; 32], scope, topic)
    }

    pub(super) fn indexed(&self, scope: &ScopeRow, tag: Tag, after: Seq, through: Seq) -> Vec<Seq> {
        let floor = self.scopes.get(&scope.name).map_or(Seq::ZERO, |scope| scope.row.floor.seq);
        let after = after.max(floor);
        if after >= through {
            return Vec::new();
        }
        let row = |seq| IndexRow { tag, seq };
        self.index.range(row(after.next())..=row(through)).map(|row| row.seq).collect()
    }

    pub(super) fn forget_index(&mut self, name: &ScopeName, seq: Seq) -> bool {
        let Some(id) = self.scopes.get(name).map(|scope| scope.row.id) else { return false };
        let records = self.records(name, seq, seq, 1);
        let event =
            records.first().and_then(|record| RecordView::parse(record).ok()?.to_event().ok());
        let Some(event) = event else { return false };
        let mut lost = false;
        topics(&event.keys, &event.triggers, |topic| {
            lost |= self.index.remove(&IndexRow { tag: Self::tag(id, topic), seq });
        });
        lost
    }

    pub(super) fn decision(
        &self,
        scope: &ScopeName,
        id: AppendId,
        alive: impl Fn(u32) -> bool,
    ) -> Option<Decision> {
        let mut buckets = self.decisions.iter().rev().filter(|(bucket, _)| alive(**bucket));
        buckets.find_map(|(_, decisions)| decisions.get(&(scope.clone(), id)).cloned())
    }

    pub(super) fn snapshots(&self, scope: ScopeId, rule: &Digest) -> Vec<KeptSnapshot> {
        let range = (scope, *rule, Seq::ZERO)..=(scope, *rule, Seq::MAX);
        let kept = self.snapshots.range(range).rev();
        kept.map(|((_, _, seq), snapshot)| (*seq, Ok(snapshot.clone()))).collect()
    }

    pub(super) fn spoil_snapshot(
        &mut self,
        scope: &ScopeName,
        spoil: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let Some(id) = self.scopes.get(scope).map(|scope| scope.row.id) else { return false };
        let newest = self.snapshots.iter_mut().filter(|((of, ..), _)| *of == id);
        let newest = newest.max_by_key(|((.., seq), _)| *seq).map(|(_, snapshot)| snapshot);
        newest.map(|snapshot| spoil(&mut snapshot.state)).is_some()
    }

    pub(super) fn snapshot(&self, scope: ScopeId, rule: &Digest, through: Seq) -> Option<Snapshot> {
        let range = (scope, *rule, Seq::ZERO)..=(scope, *rule, through);
        self.snapshots.range(range).next_back().map(|(_, snapshot)| snapshot.clone())
    }

    pub(super) fn proposed(&self, scope: ScopeId, first: Seq) -> Option<Vec<Proposal>> {
        self.proposals.get(&(scope, first)).cloned()
    }

    pub(super) fn module(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.modules.get(digest).map(|bytes| bytes.to_vec())
    }

    pub(super) fn damage(&mut self, name: &ScopeName, seq: Seq) -> bool {
        let scope = self.scopes.get_mut(name);
        let record = scope.and_then(|scope| {
            let index = scope.index(seq)?;
            scope.records.get_mut(index)
        });
        let Some(record) = record else { return false };
        let mut bytes = record.to_vec();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        *record = Arc::from(bytes);
        true
    }

    pub(super) fn lose(&mut self, name: &ScopeName, seq: Seq) -> bool {
        let Some(scope) = self.scopes.get_mut(name) else { return false };
        match scope.index(seq) {
            Some(index) if index < scope.records.len() => {
                scope.records.truncate(index);
                true
            }
            _ => false,
        }
    }
}

/// Bytes of records.
fn total(records: &[Arc<[u8]>]) -> u64 {
    records.iter().map(|record| record.len() as u64).sum()
}
