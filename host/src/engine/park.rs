//! A scope to oneself: its loop is parked, its mail waits, and nothing of it is on its way to the disk
//! that is not handed to the committer yet.
//!
//! For what operators do to a scope as a whole: delete it, restore it. Whatever is handed to the
//! committer while the loop is parked comes behind all that the loop decided before, and before all
//! that it decides afterwards.

use super::handle::Engine;
use super::mailbox::{Cell, as_request_error};
use super::shared::Shared;
use crate::log::{ScopeRow, Snapshot};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Digest, ScopeName};
use std::sync::{Arc, PoisonError};

/// A parked scope. Its loop runs again when this is dropped.
pub(crate) struct Parked<'a> {
    shared: &'a Arc<Shared>,
    cell: Arc<Cell>,
    /// True if it was not in memory before.
    started: bool,
}

impl Engine {
    /// Parks the loop of a scope. Blocks until the end of its turn.
    ///
    /// # Errors
    /// `Overloaded` if somebody else has it to themselves.
    pub(crate) fn park(&self, scope: &ScopeName) -> Result<Parked<'_>, RequestError> {
        let shared = &self.shared;
        loop {
            let started = !shared.live.contains(scope);
            let cell = shared.live.get_or_start(scope);
            let mut mailbox = cell.mailbox();
            if mailbox.closed {
                drop(mailbox);
                shared.live.remove(&cell);
                continue;
            }
            if std::mem::replace(&mut mailbox.parked, true) {
                let why = format!(
                    "{scope} is being deleted, restored or asked about, or part of a joint append; try again in a moment"
                );
                return Err(RequestError::Overloaded(why));
            }
            drop(mailbox);
            return Ok(Parked { shared, cell, started });
        }
    }
}

impl Parked<'_> {
    /// Where the scope stands, with all that its loop has decided.
    ///
    /// # Errors
    /// `Damaged` if it is sealed for that, `Failed` if it cannot be read.
    pub(crate) fn row(&self) -> Result<ScopeRow, RequestError> {
        let mut body = self.cell.body.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = self.shared.sealed.why(&self.cell.name) {
            return Err(RequestError::Damaged(why));
        }
        body.stand(self.shared, &self.cell).map_err(as_request_error)
    }

    /// The state as its loop has it, decided but not durable events included, and by which validator;
    /// nothing if that gives none. The loop need not make one of its own soon.
    ///
    /// # Errors
    /// As [`Self::row`].
    pub(crate) fn snapshot(&self) -> Result<Option<(Digest, Snapshot)>, RequestError> {
        let mut body = self.cell.body.lock().unwrap_or_else(PoisonError::into_inner);
        body.state(self.shared, &self.cell).map_err(as_request_error)
    }

    /// Lets the loop make its instance anew.
    pub(crate) fn drop_instance(&self) {
        self.cell.body.lock().unwrap_or_else(PoisonError::into_inner).drop_instance();
    }

    /// Lets the loop find the scope in the log anew. All that it had handed over must be durable.
    pub(crate) fn forget(&self) {
        self.cell.body.lock().unwrap_or_else(PoisonError::into_inner).forget();
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.cell.unpark(self.shared);
        if self.started {
            self.cell.retire(self.shared);
        }
    }
}
