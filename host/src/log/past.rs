//! What is not plain about a scope's past: its first events were deleted, or its events came from
//! another store.
//!
//! Few scopes have such a past, so all of it is in memory. Whoever reads takes the tree's snapshot
//! first and looks here afterwards: what is known here is then never older than the snapshot, and
//! nothing is removed from the tree before it is known here.

use super::rows::Past;
use super::{Floor, ScopeRow};
use atomic_store_core::record;
use atomic_store_core::{Position, ScopeId, ScopeName, Seq};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// A change of a scope's past. It rides on a unit and lives or dies with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The records of this unit are kept under the scope's number, unseen, until they are published.
    Stage,
    /// What was staged under this row's number becomes the events of the scope, which has none yet.
    /// They stand behind the unit's own records in the order over all scopes.
    Publish(ScopeRow),
    /// The events of this scope up to its head are gone from here on.
    Delete(ScopeRow),
    /// What was staged under this number is dropped.
    Discard(ScopeId),
}

/// The pasts of all scopes that have one.
#[derive(Debug, Default)]
pub(super) struct Pasts {
    /// False as long as there is none, so that the usual reader passes by without a lock.
    any: AtomicBool,
    by_scope: RwLock<HashMap<ScopeId, Past>>,
}

impl Pasts {
    pub(super) fn get(&self, id: ScopeId) -> Option<Past> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        // Plain copies in and out cannot leave a value half-written.
        self.by_scope.read().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }

    /// Where the events of a scope begin.
    pub(super) fn floor(&self, id: ScopeId, name: &ScopeName) -> Floor {
        self.get(id).map_or_else(|| Floor::none(name), |past| past.floor)
    }

    pub(super) fn set(&self, changes: impl IntoIterator<Item = (ScopeId, Option<Past>)>) {
        let mut by_scope = self.by_scope.write().unwrap_or_else(PoisonError::into_inner);
        for (id, past) in changes {
            match past {
                Some(past) => by_scope.insert(id, past),
                None => by_scope.remove(&id),
            };
        }
        self.any.store(!by_scope.is_empty(), Ordering::Release);
    }

    /// Scopes of which something must still be removed from the tree.
    pub(super) fn unswept(&self) -> Vec<ScopeId> {
        let by_scope = self.by_scope.read().unwrap_or_else(PoisonError::into_inner);
        let mut unswept: Vec<_> =
            by_scope.iter().filter(|(_, past)| past.is_unswept()).map(|(id, _)| *id).collect();
        unswept.sort_unstable();
        unswept
    }
}

impl Past {
    /// The past of a scope whose events up to `floor` are gone.
    pub(super) fn deleted(before: Option<Past>, floor: Floor) -> Self {
        let fresh = Past { floor, swept: Seq::ZERO, restored: None, staged: false };
        before.map_or(fresh, |before| Past { floor, staged: false, ..before })
    }

    /// True if something of it must still be removed from the tree.
    pub(super) fn is_unswept(&self) -> bool {
        self.staged || self.swept < self.floor.seq
    }

    /// The record of an event with its place in the order over all scopes. Restored events are
    /// stored before their place is known.
    pub(super) fn placed<'a>(&self, record: &'a [u8], seq: Seq, copy: &'a mut Vec<u8>) -> &'a [u8] {
        match self.restored {
            Some((first, last, at)) if (first..=last).contains(&seq) => {
                record::placed(record, Position(at.0 + (seq.0 - first.0)), copy)
            }
            _ => record,
        }
    }
}
