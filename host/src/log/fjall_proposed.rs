//! What was proposed where other events were stored: rows of the keyspace `proposals`.
//!
//! No hash covers them, and none need: asked again, the rule must give exactly the events of the chain
//! for them, so whatever else stands here makes a verification fail.

use super::fjall_commit::cannot_encode;
use super::fjall_tree::{Tree, read_error};
use super::rows::event_key;
use super::{CommitError, ReadError, Unit};
use atomic_store_core::codec::{decode_versioned, encode_versioned};
use atomic_store_core::{Proposal, ScopeId, Seq};
use fjall::{OwnedWriteBatch, Readable};
use std::ops::RangeInclusive;

const VERSION: u8 = 1;

/// Writes what the units of a group bring.
pub(super) fn write(
    tree: &Tree,
    batch: &mut OwnedWriteBatch,
    units: &[Unit],
) -> Result<(), CommitError> {
    for unit in units.iter().filter(|unit| !unit.records.is_empty()) {
        if let Some(proposed) = &unit.proposed {
            let row = encode_versioned(VERSION, proposed).map_err(cannot_encode)?;
            batch.insert(&tree.proposals, event_key(unit.scope.id, unit.at.next()), row);
        }
    }
    Ok(())
}

/// What was proposed in the append that begins at an event.
pub(super) fn read(
    tree: &Tree,
    scope: ScopeId,
    first: Seq,
) -> Result<Option<Vec<Proposal>>, ReadError> {
    let row = tree.db.snapshot().get(&tree.proposals, event_key(scope, first));
    let Some(bytes) = row.map_err(read_error)? else { return Ok(None) };
    let proposed = decode_versioned(VERSION, &bytes).map_err(|why| {
        ReadError::DamagedIndex(format!("what was proposed for event {first}: {why}"))
    })?;
    Ok(Some(proposed))
}

/// Removes the rows of events that are removed.
pub(super) fn remove(
    tree: &Tree,
    batch: &mut OwnedWriteBatch,
    scope: ScopeId,
    events: RangeInclusive<Seq>,
) -> fjall::Result<()> {
    let range = event_key(scope, *events.start())..=event_key(scope, *events.end());
    for guard in tree.db.snapshot().range(&tree.proposals, range) {
        batch.remove(&tree.proposals, guard.key()?);
    }
    Ok(())
}
