//! The tables of a [`super::MemoryLog`]: what a journal of units adds up to.

use super::rows::Buckets;
use super::{CommitError, Decision, IndexRow, ScopeRow, Snapshot, Tag, Topic, Unit, topics};
use atomic_store_core::chain::{Walk, genesis};
use atomic_store_core::record::RecordView;
use atomic_store_core::{AppendId, Digest, Position, ScopeId, ScopeName, Seq};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// One committed unit.
#[derive(Debug)]
pub(super) struct Stored {
    scope: Arc<ScopeRow>,
    at: Seq,
    records: Vec<Arc<[u8]>>,
    index: Vec<IndexRow>,
    decision: Option<(AppendId, Decision)>,
    snapshot: Option<Snapshot>,
    module: Option<(Digest, Arc<[u8]>)>,
    host_ms: u64,
}

impl Stored {
    pub(super) fn new(unit: &Unit) -> Self {
        Stored {
            scope: Arc::clone(&unit.scope),
            at: unit.at,
            records: unit.records.iter().map(|record| Arc::from(record.as_bytes())).collect(),
            index: unit.index.clone(),
            decision: unit.decision.clone(),
            snapshot: unit.snapshot.clone(),
            module: unit.module.clone(),
            host_ms: unit.host_ms,
        }
    }
}

#[derive(Debug)]
struct Scope {
    row: ScopeRow,
    records: Vec<Arc<[u8]>>,
}

/// An event found by its position: its scope, its number, and its bytes if they are there.
pub(super) type Ordered = (ScopeName, Seq, Option<Arc<[u8]>>);

/// What readers see.
#[derive(Debug, Default)]
pub(super) struct Tables {
    scopes: BTreeMap<ScopeName, Scope>,
    names: BTreeMap<ScopeId, ScopeName>,
    /// The event at position n + 1.
    order: Vec<(ScopeName, Seq)>,
    commits: u64,
    index: BTreeSet<IndexRow>,
    decisions: BTreeMap<u32, BTreeMap<(ScopeName, AppendId), Decision>>,
    snapshots: BTreeMap<(ScopeId, Digest, Seq), Snapshot>,
    modules: BTreeMap<Digest, Arc<[u8]>>,
}

impl Tables {
    /// Checks that each unit continues its scope.
    pub(super) fn check(&self, units: &[Stored]) -> Result<(), CommitError> {
        let mut heads: HashMap<&ScopeName, (Seq, Digest)> = HashMap::new();
        for unit in units.iter().filter(|unit| !unit.records.is_empty()) {
            let name = &unit.scope.name;
            let known = self.scopes.get(name);
            if known.is_some_and(|scope| scope.row.id != unit.scope.id)
                || self.names.get(&unit.scope.id).is_some_and(|other| other != name)
            {
                return Err(CommitError(format!("scope {name} does not have that number")));
            }
            let start = || {
                known.map_or((Seq::ZERO, genesis(name)), |scope| (scope.row.head, scope.row.hash))
            };
            let (head, hash) = *heads.entry(name).or_insert_with(start);
            if head != unit.at {
                return Err(CommitError(format!("scope {name} is at {head}, not at {}", unit.at)));
            }
            let mut walk = Walk::from(head, hash);
            for record in &unit.records {
                walk.step(record).map_err(|why| CommitError(format!("scope {name}: {why}")))?;
            }
            heads.insert(name, (walk.head(), walk.hash().unwrap_or(hash)));
        }
        Ok(())
    }

    /// Adds a group that passed the check.
    pub(super) fn apply(&mut self, units: &[Stored], buckets: Buckets) {
        let before = self.order.len();
        let mut latest = 0;
        for unit in units {
            latest = latest.max(unit.host_ms);
            self.events(unit);
            self.index.extend(&unit.index);
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
            row: ScopeRow {
                id: unit.scope.id,
                name: name.clone(),
                head: Seq::ZERO,
                hash: genesis(name),
            },
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
        self.names.last_key_value().map_or(1, |(id, _)| id.0 + 1)
    }

    pub(super) fn scope(&self, name: &ScopeName) -> Option<ScopeRow> {
        self.scopes.get(name).map(|scope| scope.row.clone())
    }

    /// The last event there is, if it is not the head.
    pub(super) fn short(&self, name: &ScopeName) -> Option<Seq> {
        let scope = self.scopes.get(name)?;
        let last = Seq(scope.records.len() as u64);
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
        let skip = usize::try_from(from.0.saturating_sub(1)).unwrap_or(usize::MAX);
        let count = usize::try_from(through.0 - from.0 + 1).unwrap_or(usize::MAX).min(at_most);
        scope.records.iter().skip(skip).take(count).cloned().collect()
    }

    pub(super) fn order(&self, after: Position, at_most: usize) -> Vec<Ordered> {
        let skip = usize::try_from(after.0).unwrap_or(usize::MAX);
        let find = |(name, seq): &(ScopeName, Seq)| {
            let record = self.records(name, *seq, *seq, 1).pop();
            (name.clone(), *seq, record)
        };
        self.order.iter().skip(skip).take(at_most).map(find).collect()
    }

    /// Not secret, so that runs repeat.
    pub(super) fn tag(scope: ScopeId, topic: Topic<'_>) -> Tag {
        Tag::new(&[0; 32], scope, topic)
    }

    pub(super) fn indexed(&self, tag: Tag, after: Seq, through: Seq) -> Vec<Seq> {
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

    pub(super) fn snapshot(&self, scope: ScopeId, rule: &Digest, through: Seq) -> Option<Snapshot> {
        let range = (scope, *rule, Seq::ZERO)..=(scope, *rule, through);
        self.snapshots.range(range).next_back().map(|(_, snapshot)| snapshot.clone())
    }

    pub(super) fn module(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.modules.get(digest).map(|bytes| bytes.to_vec())
    }

    pub(super) fn damage(&mut self, name: &ScopeName, seq: Seq) -> bool {
        let index = usize::try_from(seq.0.wrapping_sub(1)).unwrap_or(usize::MAX);
        let scope = self.scopes.get_mut(name);
        let Some(record) = scope.and_then(|scope| scope.records.get_mut(index)) else {
            return false;
        };
        let mut bytes = record.to_vec();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        *record = Arc::from(bytes);
        true
    }

    pub(super) fn lose(&mut self, name: &ScopeName, seq: Seq) -> bool {
        let index = usize::try_from(seq.0.wrapping_sub(1)).unwrap_or(usize::MAX);
        match self.scopes.get_mut(name) {
            Some(scope) if index < scope.records.len() => {
                scope.records.truncate(index);
                true
            }
            _ => false,
        }
    }
}
