//! The journal of rejections on disk: rows of the keyspace `rejections`.
//!
//! The key of a row says all that must be known of an entry without reading it, so opening reads keys
//! only. What is visible is what [`Kept`] holds: an entry goes in after its commit, and the row of one
//! that must go is removed with a later commit.
//!
//! Entries are not synced by themselves, but their numbers must not come again when some are lost. So
//! numbers are given up to a *ceiling* that is on the disk, and it is raised by many at a time.

use super::fjall_commit::cannot_encode;
use super::fjall_tree::{Tree, read_error};
use super::rejected::{Kept, Row, class};
use super::rows::Mask;
use super::{CommitError, ReadError, Unit};
use atomic_store_core::codec::{decode_versioned, encode_versioned};
use atomic_store_core::{Limits, Rejection, ScopeName};
use fjall::{OwnedWriteBatch, PersistMode, Readable};
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError, RwLock};

const VERSION: u8 = 1;
/// The row of `meta` with the ceiling, and behind it a number before which there is nothing: opening
/// need not walk over all that was removed.
const CEILING: &str = "rejections";
/// By so many the ceiling is raised, which costs a sync. As many numbers are left out after a crash.
const RAISE: u64 = 4_096;
/// Entries that a reader looks up under one lock.
const STEP: usize = 64;

/// What is kept, for everybody to look up.
pub(super) type SharedKept = Arc<RwLock<Kept>>;

/// The committer's side.
pub(super) struct Journal {
    kept: SharedKept,
    /// Numbers up to this one can be given.
    ceiling: u64,
    /// Keys of rows that nobody sees any more.
    leaving: Vec<Vec<u8>>,
    /// Entries of the commit under way, and the tags of their scopes.
    group: Vec<Row>,
    tags: Vec<u64>,
    /// What the last entry was counted under; most are like the one before.
    class: Arc<str>,
}

/// Key of an entry: its number, what stands for its scope, its bytes, and what it is counted under. It
/// is longer than a key of `appends`; see there why that matters.
fn key(row: &Row) -> Vec<u8> {
    let mut key = Vec::with_capacity(20 + row.class.len());
    key.extend_from_slice(&row.number.to_be_bytes());
    key.extend_from_slice(&row.tag.to_be_bytes());
    key.extend_from_slice(&row.bytes.to_be_bytes());
    key.extend_from_slice(row.class.as_bytes());
    key
}

fn row(key: &[u8]) -> Option<Row> {
    let (number, rest) = key.split_first_chunk::<8>()?;
    let (tag, rest) = rest.split_first_chunk::<8>()?;
    let (bytes, class) = rest.split_first_chunk::<4>()?;
    Some(Row {
        number: u64::from_be_bytes(*number),
        tag: u64::from_be_bytes(*tag),
        bytes: u32::from_be_bytes(*bytes),
        class: Arc::from(std::str::from_utf8(class).ok()?),
    })
}

fn damaged(why: impl std::fmt::Display) -> ReadError {
    ReadError::DamagedIndex(format!("the journal of rejections: {why}"))
}

fn decode(bytes: &[u8]) -> Result<Rejection, ReadError> {
    decode_versioned(VERSION, bytes).map_err(damaged)
}

/// What stands for a scope.
pub(super) fn tag(secret: &[u8; 32], scope: &ScopeName) -> u64 {
    Mask::new(secret, scope).number()
}

impl Journal {
    /// Finds out which entries there are. Of the entries themselves only the oldest is read.
    pub(super) fn load(tree: &Tree, limits: &Limits) -> Result<Self, ReadError> {
        let view = tree.db.snapshot();
        let (mut kept, mut leaving) = (Kept::new(limits), Vec::new());
        let row_of_meta = view.get(&tree.meta, CEILING).map_err(read_error)?;
        let (ceiling, first) = match row_of_meta.as_deref().map(<[u8; 16]>::try_from) {
            None => (0, 0),
            Some(Ok(bytes)) => {
                let both = u128::from_be_bytes(bytes);
                let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
                (half(both >> 64), half(both))
            }
            Some(Err(_)) => return Err(damaged("its ceiling cannot be read")),
        };
        let from = first.to_be_bytes();
        if let Some(guard) = view.range(&tree.rejections, from..).next() {
            // What it followed is gone.
            kept.dropped_to(decode(&guard.value().map_err(read_error)?)?.previous);
        }
        for guard in view.range(&tree.rejections, from..) {
            let key_bytes = guard.key().map_err(read_error)?;
            let row = row(&key_bytes).ok_or_else(|| damaged("a key cannot be read"))?;
            leaving.extend(kept.add(row).iter().map(key));
        }
        kept.skip_to(ceiling);
        let kept = Arc::new(RwLock::new(kept));
        let (group, tags, class) = (Vec::new(), Vec::new(), Arc::from(""));
        Ok(Journal { kept, ceiling, leaving, group, tags, class })
    }

    pub(super) fn kept(&self) -> &SharedKept {
        &self.kept
    }

    /// Numbers the entries of a group; true if the ceiling must be raised for that, and be synced.
    pub(super) fn number(&mut self, secret: &[u8; 32], units: &mut [Unit]) -> bool {
        self.tags.clear();
        if units.iter().all(|unit| unit.rejection.is_none()) {
            return false;
        }
        let entries = units.iter_mut().filter_map(|unit| unit.rejection.as_deref_mut());
        let tags = &mut self.tags;
        let kept = read(&self.kept);
        kept.number(entries.map(|entry| {
            let tag = tag(secret, &entry.scope);
            tags.push(tag);
            (tag, entry)
        }));
        kept.last() + tags.len() as u64 > self.ceiling
    }

    /// Writes the numbered entries of a group, and removes the rows that are left over.
    pub(super) fn write(
        &mut self,
        tree: &Tree,
        batch: &mut OwnedWriteBatch,
        units: &[Unit],
    ) -> Result<(), CommitError> {
        for key in self.leaving.drain(..) {
            batch.remove(&tree.rejections, key);
        }
        self.group.clear();
        let entries = units.iter().filter_map(|unit| unit.rejection.as_deref());
        for (entry, tag) in entries.zip(self.tags.drain(..)) {
            let value = encode_versioned(VERSION, entry).map_err(cannot_encode)?;
            let bytes = u32::try_from(value.len()).unwrap_or(u32::MAX);
            self.class = class(entry, &self.class);
            let (number, class) = (entry.number, Arc::clone(&self.class));
            let row = Row { number, tag, bytes, class };
            batch.insert(&tree.rejections, key(&row), value);
            self.group.push(row);
        }
        if let Some(last) = self.group.last().filter(|last| last.number > self.ceiling) {
            self.ceiling = last.number + RAISE;
            batch.insert(&tree.meta, CEILING, self.row_of_meta(self.ceiling));
        }
        Ok(())
    }

    /// The row of `meta`. Must go into a batch that removes all that is left over.
    fn row_of_meta(&self, ceiling: u64) -> [u8; 16] {
        let mut row = [0; 16];
        row[..8].copy_from_slice(&ceiling.to_be_bytes());
        row[8..].copy_from_slice(&read(&self.kept).first().to_be_bytes());
        row
    }

    /// The group is committed: from now on its entries are seen.
    pub(super) fn committed(&mut self) {
        if self.group.is_empty() {
            return;
        }
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        for row in self.group.drain(..) {
            self.leaving.extend(kept.add(row).iter().map(key));
        }
    }

    /// Lowers the ceiling to the last number, as no number will be given any more.
    pub(super) fn finish(&mut self, tree: &Tree) -> Result<(), CommitError> {
        let last = read(&self.kept).last();
        if self.ceiling == last && self.leaving.is_empty() {
            return Ok(());
        }
        let mut batch = tree.db.batch().durability(Some(PersistMode::Buffer));
        for key in self.leaving.drain(..) {
            batch.remove(&tree.rejections, key);
        }
        batch.insert(&tree.meta, CEILING, self.row_of_meta(last));
        batch.commit().map_err(|error| CommitError(error.to_string()))
    }
}

fn read(kept: &SharedKept) -> std::sync::RwLockReadGuard<'_, Kept> {
    // Nothing in it is left half-done but by a panic of the committer, after which nothing is added.
    kept.read().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `each` with the entries after a number, in order, until it breaks.
pub(super) fn read_entries(
    tree: &Tree,
    kept: &SharedKept,
    scope: Option<(u64, &ScopeName)>,
    after: u64,
    each: &mut dyn FnMut(Rejection) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let mut after = after;
    loop {
        let rows = read(kept).next(scope.map(|(tag, _)| tag), after, STEP);
        let view = tree.db.snapshot();
        for row in &rows {
            let Some(bytes) = view.get(&tree.rejections, key(row)).map_err(read_error)? else {
                if read(kept).holds(row.number) {
                    return Err(damaged(format!("entry {} is missing", row.number)));
                }
                // It had to go meanwhile.
                continue;
            };
            let entry = decode(&bytes)?;
            let wanted = scope.is_none_or(|(_, scope)| *scope == entry.scope);
            if wanted && each(entry).is_break() {
                return Ok(());
            }
        }
        match rows.last() {
            Some(last) => after = last.number,
            None => return Ok(()),
        }
    }
}
