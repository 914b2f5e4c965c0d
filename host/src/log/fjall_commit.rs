//! Writes group commits: one batch, one sync.

use super::fjall_decisions::Decisions;
use super::fjall_past::{self, Changed, Sweep};
use super::fjall_proposed;
use super::fjall_rejections::Journal;
use super::fjall_runway::Runway;
use super::fjall_tree::Tree;
use super::group::{self, Group};
use super::rows::{self, Buckets, Mask, OrderRow, ScopeHead};
use super::topic::INDEX_KEY;
use super::{CommitError, Snapshot, Unit};
use atomic_store_core::codec::CodecError;
use atomic_store_core::{Position, ScopeId, ScopeName, Seq};
use fjall::{OwnedWriteBatch, PersistMode, Readable};
use std::collections::{BTreeSet, HashSet};

/// The head of a scope is written again when it crosses a multiple of this. Whoever looks for the
/// head reads that many events at most; a group commit writes a sixteenth of a row per event.
const HEAD_EVERY: u64 = 16;

/// Scopes whose mask is kept at hand.
const MASKS: usize = 4096;

/// What the journal holds of a unit beside its records, about.
const ROWS_BYTES: u64 = 64;

/// What only the one who commits needs to know.
pub(super) struct Committer {
    /// The last position given out and durable.
    pub(super) position: Position,
    /// Group commits with events.
    pub(super) commits: u64,
    /// Scopes with events.
    pub(super) scopes: u64,
    /// Why nothing may be committed any more.
    pub(super) stopped: Option<String>,
    pub(super) decisions: Decisions,
    expiry: Expiry,
    pub(super) sweep: Sweep,
    pub(super) rejections: Journal,
    pub(super) runway: Runway,
    secret: [u8; 32],
    masks: Vec<Option<(ScopeName, Mask)>>,
    heads: HashSet<ScopeId>,
    by_scope: Vec<usize>,
    by_tag: Vec<[u8; INDEX_KEY]>,
    scratch: Vec<u8>,
}

/// How far the oldest decisions have been removed.
#[derive(Default)]
struct Expiry {
    /// The last key removed. The next slice starts behind it and so never walks over what is gone.
    cursor: Option<Vec<u8>>,
}

/// What one group commit did.
pub(super) struct Done {
    /// Buckets of decisions that are there now and were not before.
    pub(super) opened: BTreeSet<u32>,
    /// A bucket of decisions that is empty now.
    pub(super) closed: Option<u32>,
    /// Pasts of scopes that are others now.
    pub(super) changed: Changed,
}

impl Committer {
    pub(super) fn new(
        position: Position,
        commits: u64,
        scopes: u64,
        secret: [u8; 32],
        decisions: Decisions,
        rejections: Journal,
        runway: Runway,
    ) -> Self {
        Committer {
            decisions,
            position,
            commits,
            scopes,
            stopped: None,
            expiry: Expiry::default(),
            sweep: Sweep::default(),
            rejections,
            runway,
            secret,
            masks: vec![None; MASKS],
            heads: HashSet::new(),
            by_scope: Vec::new(),
            by_tag: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Commits the units as one group. `oldest` is the oldest bucket of decisions there is.
    pub(super) fn commit(
        &mut self,
        tree: &Tree,
        buckets: Buckets,
        oldest: Option<u32>,
        units: &mut [Unit],
    ) -> Result<Done, CommitError> {
        let mut group = group::prepare(units, self.position)?;
        let synced = self.rejections.number(&self.secret, units) || group.synced;
        let mode = if synced { PersistMode::SyncData } else { PersistMode::Buffer };
        let room = usize::try_from(group.events).unwrap_or(0) + units.len() * 2 + 8;
        let mut batch =
            OwnedWriteBatch::with_capacity(tree.db.clone(), room).durability(Some(mode));
        let mut opened = BTreeSet::new();
        self.events(tree, &mut batch, units);
        self.index(tree, &mut batch, units);
        fjall_proposed::write(tree, &mut batch, units)?;
        self.heads.clear();
        let (written, sweep) = (&mut self.heads, &mut self.sweep);
        let (restored, changed) =
            fjall_past::changes(tree, &mut batch, units, &group, written, sweep)?;
        let new = self.heads(tree, &mut batch, units).map_err(cannot_encode)?;
        let scopes = self.scopes + restored + new;
        self.sides(tree, buckets, &mut batch, &mut opened, units)?;
        self.rejections.write(tree, &mut batch, units)?;
        self.order(tree, &mut batch, &mut group, scopes).map_err(cannot_encode)?;
        let slice = 16 + 2 * units.len();
        let closed = match oldest.filter(|oldest| buckets.expired(*oldest, group.host_ms)) {
            Some(oldest) => self.expiry.slice(tree, &mut batch, oldest, slice)?,
            None => None,
        };
        batch.commit().map_err(|error| CommitError(error.to_string()))?;
        self.runway.wrote(units.iter().map(|unit| unit.record_bytes() + ROWS_BYTES).sum());
        self.rejections.committed();
        opened.append(&mut self.decisions.committed(tree, buckets, group.host_ms)?);
        if group.events > 0 {
            self.position = Position(self.position.0 + group.events);
            self.commits += 1;
            self.scopes = scopes;
        }
        Ok(Done { opened, closed, changed })
    }

    /// The events, by scope: their keys are near each other then, and so are their places in the tree.
    fn events(&mut self, tree: &Tree, batch: &mut OwnedWriteBatch, units: &[Unit]) {
        self.by_scope.clear();
        self.by_scope.extend(0..units.len());
        self.by_scope.sort_by_key(|index| units[*index].scope.id);
        let buffer = &mut self.scratch;
        for unit in self.by_scope.iter().map(|index| &units[*index]) {
            for (nth, seq) in (0..unit.records.len()).zip(unit.at.0 + 1..) {
                let key = rows::event_key(unit.scope.id, Seq(seq));
                batch.insert(&tree.events, key, unit.stored(nth, buffer));
            }
        }
    }

    /// Rows of `index`, in the order of their keys.
    fn index(&mut self, tree: &Tree, batch: &mut OwnedWriteBatch, units: &[Unit]) {
        self.by_tag.clear();
        self.by_tag.extend(units.iter().flat_map(|unit| &unit.index).map(|row| row.key()));
        self.by_tag.sort_unstable();
        for key in &self.by_tag {
            batch.insert(&tree.index, *key, "");
        }
    }

    /// Rows of `scopes` and `names`; says how many scopes are new. From the back, so that each scope
    /// is written at most once; not at all if a change of its past has written it.
    fn heads(
        &mut self,
        tree: &Tree,
        batch: &mut OwnedWriteBatch,
        units: &[Unit],
    ) -> Result<u64, CodecError> {
        let mut new = 0;
        for unit in units.iter().rev().filter(|unit| !unit.is_staged()) {
            let Some(last) = unit.records.last() else { continue };
            let head = unit.at.plus(unit.records.len() as u64);
            let first = unit.at.0 == 0;
            let crosses = unit.at.0 / HEAD_EVERY != head.0 / HEAD_EVERY;
            if (first || crosses) && self.heads.insert(unit.scope.id) {
                let (id, bytes) = (unit.scope.id, unit.bytes + unit.record_bytes());
                let row = ScopeHead { id, head, hash: last.hash(), bytes };
                batch.insert(&tree.scopes, unit.scope.name.as_str(), row.encode()?);
            }
            if first {
                new += 1;
                let name = unit.scope.name.as_str();
                batch.insert(&tree.names, unit.scope.id.0.to_be_bytes(), name);
            }
        }
        Ok(new)
    }

    /// Rows of `recent`, `appends`, `snapshots` and `modules`.
    fn sides(
        &mut self,
        tree: &Tree,
        buckets: Buckets,
        batch: &mut OwnedWriteBatch,
        opened: &mut BTreeSet<u32>,
        units: &[Unit],
    ) -> Result<(), CommitError> {
        for unit in units {
            if let Some((id, decision)) = &unit.decision {
                let bucket = buckets.at(unit.host_ms);
                opened.insert(bucket);
                let mask = self.mask(unit.scope.id, &unit.scope.name);
                let mut bytes = std::mem::take(&mut self.scratch);
                bytes.clear();
                bytes = rows::encode_decision(decision, bytes).map_err(cannot_encode)?;
                self.decisions.put(tree, batch, rows::append_key(bucket, mask, *id), &bytes);
                self.scratch = bytes;
            }
            if let Some(snapshot) = &unit.snapshot {
                keep_snapshot(tree, batch, unit.scope.id, snapshot)?;
            }
            if let Some((rule, seq)) = unit.dropped.as_deref() {
                batch.remove(&tree.snapshots, rows::snapshot_key(unit.scope.id, rule, *seq));
            }
            if let Some((digest, bytes)) = unit.module.as_deref() {
                batch.insert(&tree.modules, digest.0, &bytes[..]);
            }
        }
        self.decisions.write(tree, batch);
        Ok(())
    }

    /// The row of `order`.
    fn order(
        &self,
        tree: &Tree,
        batch: &mut OwnedWriteBatch,
        group: &mut Group,
        scopes: u64,
    ) -> Result<(), CodecError> {
        if group.events == 0 {
            return Ok(());
        }
        let row =
            OrderRow { commit: self.commits + 1, scopes, runs: std::mem::take(&mut group.runs) };
        let key = rows::order_key(Position(self.position.0 + 1));
        batch.insert(&tree.order, key, row.encode()?);
        Ok(())
    }

    /// The scope's mask. Making it costs a hash, so it is kept.
    fn mask(&mut self, id: ScopeId, name: &ScopeName) -> Mask {
        let slot = &mut self.masks[usize::try_from(id.0).unwrap_or(0) % MASKS];
        match slot {
            Some((known, mask)) if known == name => *mask,
            _ => {
                let mask = Mask::new(&self.secret, name);
                *slot = Some((name.clone(), mask));
                mask
            }
        }
    }
}

impl Expiry {
    /// Removes some decisions of an expired bucket, so many that removing keeps up with adding, and
    /// so few that no commit becomes slow. Says so when the bucket is empty.
    fn slice(
        &mut self,
        tree: &Tree,
        batch: &mut OwnedWriteBatch,
        bucket: u32,
        at_most: usize,
    ) -> Result<Option<u32>, CommitError> {
        let from = match self.cursor.take().filter(|key| rows::bucket_of(key) == Some(bucket)) {
            Some(mut key) => {
                key.push(0);
                key
            }
            None => bucket.to_be_bytes().to_vec(),
        };
        for (gone, guard) in tree.db.snapshot().range(&tree.appends, from..).enumerate() {
            let key = guard.key().map_err(|error| CommitError(error.to_string()))?;
            if rows::bucket_of(&key) != Some(bucket) {
                break;
            }
            if gone == at_most {
                return Ok(None);
            }
            self.cursor = Some(key.to_vec());
            batch.remove(&tree.appends, key);
        }
        Ok(Some(bucket))
    }
}

/// Inserts a snapshot and removes the second newest before it, so that two are left.
fn keep_snapshot(
    tree: &Tree,
    batch: &mut OwnedWriteBatch,
    scope: ScopeId,
    snapshot: &Snapshot,
) -> Result<(), CommitError> {
    let key = rows::snapshot_key(scope, &snapshot.rule, snapshot.seq);
    let oldest = rows::snapshot_key(scope, &snapshot.rule, Seq::ZERO);
    let older = tree.db.snapshot().range(&tree.snapshots, oldest..key).rev().nth(1);
    let older = older.map(fjall::Guard::key).transpose();
    let older = older.map_err(|error| CommitError(error.to_string()))?;
    let bytes = rows::encode_snapshot(snapshot).map_err(cannot_encode)?;
    batch.insert(&tree.snapshots, key, bytes);
    if let Some(older) = older {
        batch.remove(&tree.snapshots, older);
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
pub(super) fn cannot_encode(error: CodecError) -> CommitError {
    CommitError(format!("a row cannot be encoded: {error}"))
}
