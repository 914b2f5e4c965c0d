//! The journal of rejections on disk: rows of the keyspace `rejections`.

use super::fjall_commit::cannot_encode;
use super::fjall_tree::{Tree, read_error};
use super::rejected::Kept;
use super::rows::APPEND_KEY;
use super::{CommitError, ReadError, Unit};
use atomic_store_core::codec::{decode_versioned, encode_versioned};
use atomic_store_core::{Limits, Rejection, ScopeName};
use fjall::{OwnedWriteBatch, Readable};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const VERSION: u8 = 1;

/// The number, then zeros: as long as a key of `appends`, so that the look through the journals takes
/// a batch of refusals for what it is, one that nobody synced.
fn key(number: u64) -> [u8; APPEND_KEY] {
    let mut key = [0; APPEND_KEY];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key
}

fn decode(bytes: &[u8]) -> Result<Rejection, ReadError> {
    let row = decode_versioned(VERSION, bytes);
    row.map_err(|why| ReadError::DamagedIndex(format!("an entry of the rejections: {why}")))
}

/// Finds out which entries there are.
pub(super) fn load(tree: &Tree, limits: &Limits) -> Result<Kept, ReadError> {
    let mut kept = Kept::new(limits);
    read(tree, None, 0, &mut |entry| {
        kept.found(entry.number, &entry.scope);
        ControlFlow::Continue(())
    })?;
    Ok(kept)
}

/// Writes the entries of a group and removes what must go for them.
pub(super) fn write(
    tree: &Tree,
    batch: &mut OwnedWriteBatch,
    kept: &mut Kept,
    units: &mut [Unit],
) -> Result<(), CommitError> {
    // One batch must not write and remove the same row, so what does not outlive it is left out.
    let mut new = BTreeMap::new();
    for entry in units.iter_mut().filter_map(|unit| unit.rejection.as_deref_mut()) {
        let (number, gone) = kept.add(&entry.scope);
        entry.number = number;
        new.insert(number, encode_versioned(VERSION, entry).map_err(cannot_encode)?);
        for number in gone {
            if new.remove(&number).is_none() {
                batch.remove(&tree.rejections, key(number));
            }
        }
    }
    for (number, row) in new {
        batch.insert(&tree.rejections, key(number), row);
    }
    Ok(())
}

/// Calls `each` with the entries after a number, in order, until it breaks.
pub(super) fn read(
    tree: &Tree,
    scope: Option<&ScopeName>,
    after: u64,
    each: &mut dyn FnMut(Rejection) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let Some(from) = after.checked_add(1) else { return Ok(()) };
    for guard in tree.db.snapshot().range(&tree.rejections, key(from)..) {
        let entry = decode(&guard.value().map_err(read_error)?)?;
        if scope.is_none_or(|scope| *scope == entry.scope) && each(entry).is_break() {
            break;
        }
    }
    Ok(())
}
