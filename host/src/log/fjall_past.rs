//! Writes changes of the past into the tree: what becomes visible, what is gone, and the removal of
//! what is gone, part by part.

use super::fjall_commit::cannot_encode;
use super::fjall_proposed;
use super::fjall_tree::Tree;
use super::group::Group;
use super::rows::{self, Past, ScopeHead};
use super::{Change, CommitError, Floor, IndexRow, ScopeRow, Tag, Unit, topics};
use atomic_store_core::record::RecordView;
use atomic_store_core::{ScopeId, Seq};
use fjall::{OwnedWriteBatch, PersistMode, Readable};
use std::collections::{HashSet, VecDeque};

/// Rows removed in one go. A go costs a sync and a few milliseconds.
const SWEEP_ROWS: usize = 4_096;

/// Pasts that a commit changed; nothing for one that is plain again.
pub(super) type Changed = Vec<(ScopeId, Option<Past>)>;

/// What must still be removed from the tree.
#[derive(Default)]
pub(super) struct Sweep {
    /// Scopes with something to remove.
    pub(super) queue: VecDeque<ScopeId>,
}

/// Writes the changes of these units. The scopes whose rows are written here are added to `written`.
/// Returns how many scopes are new, too.
pub(super) fn changes(
    tree: &Tree,
    batch: &mut OwnedWriteBatch,
    units: &[Unit],
    group: &Group,
    written: &mut HashSet<ScopeId>,
    sweep: &mut Sweep,
) -> Result<(u64, Changed), CommitError> {
    let (mut new, mut changed) = (0, Changed::new());
    for unit in units {
        match unit.change.as_deref() {
            None => {}
            Some(Change::Stage) => {
                let id = unit.scope.id;
                if tree.past.get(id).is_none() {
                    let floor = Floor { seq: unit.at, hash: unit.scope.floor.hash };
                    let past = Past { floor, swept: Seq::ZERO, restored: None, staged: true };
                    put(tree, batch, id, past, &mut changed)?;
                }
            }
            Some(Change::Publish(row)) => {
                let at = group.published.iter().find(|(id, _)| *id == row.id);
                let restored = at.map(|(_, at)| (row.floor.seq.next(), row.head, *at));
                let (floor, swept) = (row.floor, row.floor.seq);
                let past = Past { floor, swept, restored, staged: false };
                put(tree, batch, row.id, past, &mut changed)?;
                head(tree, batch, row, row.bytes)?;
                batch.insert(&tree.names, row.id.0.to_be_bytes(), row.name.as_str());
                written.insert(row.id);
                new += 1;
            }
            Some(Change::Delete(row)) => {
                let floor = Floor { seq: row.head, hash: row.hash };
                let past = Past::deleted(tree.past.get(row.id), floor);
                put(tree, batch, row.id, past, &mut changed)?;
                head(tree, batch, row, 0)?;
                remove_snapshots(tree, batch, row)?;
                written.insert(row.id);
                sweep.queue.push_back(row.id);
            }
            // Its row says already that nobody may see it.
            Some(Change::Discard(id)) => sweep.queue.push_back(*id),
        }
    }
    Ok((new, changed))
}

fn put(
    tree: &Tree,
    batch: &mut OwnedWriteBatch,
    id: ScopeId,
    past: Past,
    changed: &mut Changed,
) -> Result<(), CommitError> {
    batch.insert(&tree.pasts, id.0.to_be_bytes(), past.encode().map_err(cannot_encode)?);
    changed.push((id, Some(past)));
    Ok(())
}

fn head(
    tree: &Tree,
    batch: &mut OwnedWriteBatch,
    row: &ScopeRow,
    bytes: u64,
) -> Result<(), CommitError> {
    let head = ScopeHead { id: row.id, head: row.head, hash: row.hash, bytes };
    batch.insert(&tree.scopes, row.name.as_str(), head.encode().map_err(cannot_encode)?);
    Ok(())
}

/// All of them hold a state that counts deleted events. There are two of each rule.
fn remove_snapshots(
    tree: &Tree,
    batch: &mut OwnedWriteBatch,
    row: &ScopeRow,
) -> Result<(), CommitError> {
    for guard in tree.db.snapshot().prefix(&tree.snapshots, row.id.0.to_be_bytes()) {
        batch.remove(&tree.snapshots, guard.key().map_err(failed)?);
    }
    Ok(())
}

impl Sweep {
    /// Removes a part of what is gone; true if there was something.
    pub(super) fn part(&mut self, tree: &Tree, secret: &[u8; 32]) -> Result<bool, CommitError> {
        let Some(&id) = self.queue.front() else { return Ok(false) };
        let Some(mut past) = tree.past.get(id).filter(Past::is_unswept) else {
            self.queue.pop_front();
            return Ok(true);
        };
        // Synced, so that no batch with events ever stands behind one that may be lost.
        let mut batch = tree.db.batch().durability(Some(PersistMode::SyncData));
        let through = if past.staged { Seq::MAX } else { past.floor.seq };
        let range = rows::event_key(id, past.swept.next())..=rows::event_key(id, through);
        let (before, mut rows) = (past.swept, 0);
        for guard in tree.db.snapshot().range(&tree.events, range).take(SWEEP_ROWS) {
            let (key, record) = guard.into_inner().map_err(failed)?;
            rows += 1;
            past.swept = rows::event_of(&key).map_or(past.swept, |(_, seq)| seq);
            batch.remove(&tree.events, key);
            remove_index(tree, &mut batch, secret, id, &record);
        }
        if rows > 0 {
            let gone = before.next()..=past.swept;
            fjall_proposed::remove(tree, &mut batch, id, gone).map_err(failed)?;
        }
        if rows < SWEEP_ROWS {
            past.swept = past.floor.seq;
            self.queue.pop_front();
        }
        let after = (!past.staged || rows == SWEEP_ROWS).then_some(past);
        match after {
            Some(past) => {
                let bytes = past.encode().map_err(cannot_encode)?;
                batch.insert(&tree.pasts, id.0.to_be_bytes(), bytes);
            }
            None => batch.remove(&tree.pasts, id.0.to_be_bytes()),
        }
        batch.commit().map_err(failed)?;
        tree.past.set([(id, after)]);
        Ok(true)
    }
}

/// Removes the rows of the index of an event. One that cannot be decoded leaves its rows, which nobody
/// finds any more.
fn remove_index(
    tree: &Tree,
    batch: &mut OwnedWriteBatch,
    secret: &[u8; 32],
    id: ScopeId,
    record: &[u8],
) {
    let event = RecordView::parse(record).and_then(|view| view.to_event());
    let Ok(event) = event else { return };
    topics(&event.keys, &event.triggers, |topic| {
        let row = IndexRow { tag: Tag::new(secret, id, topic), seq: event.seq };
        batch.remove(&tree.index, row.key());
    });
}

/// Reads all pasts when the tree is opened. What a crash left staged has nobody who would publish it.
pub(super) fn load(tree: &Tree, view: &fjall::Snapshot) -> Result<(), String> {
    let mut pasts = Vec::new();
    for guard in view.iter(&tree.pasts) {
        let (key, value) = guard.into_inner().map_err(|error| error.to_string())?;
        let id = rows::number_of(&key).ok_or("a key of the pasts of scopes")?;
        let past = Past::decode(&value).map_err(|why| format!("the past of scope {id}: {why}"))?;
        pasts.push((ScopeId(id), Some(past)));
    }
    tree.past.set(pasts);
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
fn failed(error: fjall::Error) -> CommitError {
    CommitError(error.to_string())
}

#[cfg(test)]
mod tests {
    use crate::log::{Change, EventLog, FjallLog, OpenOptions, ScopeRow, Unit, index_rows};
    use atomic_store_core::record::{Body, Record};
    use atomic_store_core::{AppendId, ContentType, Digest, Key, ScopeName, Seq};
    use std::sync::Arc;

    #[test]
    fn nothing_of_a_deleted_scope_stays_in_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = FjallLog::open(&OpenOptions::new(dir.path().join("data"))).unwrap();
        let row = |name| ScopeRow::empty(log.new_scope_id(), ScopeName::new(name).unwrap());
        let (gone, other) = (row("gone"), row("other"));
        let (keys, triggers) = (vec![Key::new("book", "Emma")], vec![Key::new("trigger", "t")]);
        let unit = |row: &ScopeRow, change: Option<Change>| {
            let body = Body {
                seq: Seq(1),
                kind: "x",
                content_type: ContentType::Json,
                payload: b"{}".as_slice(),
                keys: keys.as_slice(),
                triggers: triggers.as_slice(),
                metadata: &[][..],
                caller_ms: None,
                host_ms: 1,
                append_id: AppendId::default(),
                validator: Digest::default(),
                binding: Seq(1),
            };
            let mut unit = Unit::bare(Arc::new(row.clone()));
            unit.records = vec![Record::encode(&row.hash, &body).unwrap()];
            unit.index = index_rows(&log, row.id, Seq(1), &keys, &triggers);
            unit.change = change.map(Box::new);
            unit
        };
        log.commit(&mut [unit(&gone, None)]).unwrap();
        let rows = || {
            let view = log.tree.db.snapshot();
            let count = |keyspace| fjall::Readable::iter(&view, keyspace).count();
            (count(&log.tree.events), count(&log.tree.index))
        };
        assert_eq!(rows(), (1, 3));
        let now = log.scope(&gone.name).unwrap().unwrap();
        log.commit(&mut [unit(&other, Some(Change::Delete(now)))]).unwrap();
        assert_eq!(rows(), (2, 6), "removed afterwards");
        while log.sweep().unwrap() {}
        assert_eq!(rows(), (1, 3), "those of the other scope");
        // Staged and dropped.
        log.commit(&mut [unit(&row("third"), Some(Change::Stage))]).unwrap();
        let third = log.tree.past.unswept().pop().unwrap();
        log.commit(&mut [unit(&row("fourth"), Some(Change::Discard(third)))]).unwrap();
        while log.sweep().unwrap() {}
        assert_eq!(rows(), (2, 6), "those of two scopes");
        assert_eq!(log.tree.past.unswept(), []);
    }
}
