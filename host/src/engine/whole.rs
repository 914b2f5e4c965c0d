//! What operators do to a scope as a whole: seal, unseal, delete. Each success is an event of
//! `$system`.

use super::handle::Engine;
use super::system::SystemEvent;
use crate::log::{Change, ScopeRow};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{ScopeName, Seq};

impl Engine {
    /// Closes a scope for appends until it is unsealed, whether it has events or not. Reads and
    /// queries go on; what was accepted stays. What is decided after the return is refused. Blocks
    /// until it is durable.
    ///
    /// # Errors
    /// `Invalid` if a limit is broken or the name belongs to the store.
    pub fn seal_scope(&self, scope: &ScopeName, why: &str) -> Result<(), RequestError> {
        check_name(scope)?;
        self.shared.limits.check_message("why", why).map_err(super::admin::invalid)?;
        self.check_writable()?;
        let event = SystemEvent::ScopeSealed { scope: scope.clone(), why: why.to_owned() };
        self.record(&event, None).map(drop)
    }

    /// Opens a sealed scope again. Blocks until it is durable.
    ///
    /// # Errors
    /// `NotFound` if it is not sealed, `Damaged` if it is sealed because its log is damaged: that
    /// lasts until it is mended.
    pub fn unseal_scope(&self, scope: &ScopeName) -> Result<(), RequestError> {
        check_name(scope)?;
        self.check_writable()?;
        if self.shared.registry.sealed(scope).is_none() {
            return Err(match self.shared.sealed.why(scope) {
                Some(why) => RequestError::Damaged(format!(
                    "{why}; the scope is sealed for that, and unsealing would not mend it: restore \
                     the directory from a backup, or delete what is left of it"
                )),
                None => RequestError::NotFound(format!("scope {scope} is not sealed")),
            });
        }
        self.record(&SystemEvent::ScopeUnsealed { scope: scope.clone() }, None).map(drop)
    }

    /// How many scopes were deleted since the start. Whoever keeps events drops them when it changes.
    pub(crate) fn deletions(&self) -> u64 {
        self.shared.feed.deletions()
    }

    /// Deletes the events of a scope; says how many. Its numbering and its chain go on where they
    /// were, so that no number ever means two events (coherence C28). The rules start from their
    /// beginning. Blocks until it is durable; the space is freed afterwards.
    ///
    /// # Errors
    /// `NotFound` if it has no events, `Invalid` if its head is another than `head`, `Damaged` if it
    /// cannot be read to its end.
    pub fn delete_scope(&self, scope: &ScopeName, head: Option<Seq>) -> Result<u64, RequestError> {
        check_name(scope)?;
        self.check_writable()?;
        let parked = self.park(scope)?;
        let row: ScopeRow = parked.row()?;
        if let Some(expected) = head.filter(|expected| *expected != row.head) {
            let why = format!(
                "the last event of {scope} is {}, not {expected}; nothing was deleted",
                row.head
            );
            return Err(RequestError::Invalid { field: "head".to_owned(), why });
        }
        if row.events() == 0 {
            return Err(RequestError::NotFound(match row.head {
                Seq::ZERO => format!("no events in scope {scope}"),
                head => format!("the events of scope {scope} up to {head} were deleted before"),
            }));
        }
        let event =
            SystemEvent::ScopeDeleted { scope: scope.clone(), through: row.head, hash: row.hash };
        let events = row.events();
        let recorded = self.record_change(&event, Change::Delete(row));
        // Also if its end is not known: whoever keeps events reads them again.
        self.shared.feed.deleted();
        recorded?;
        parked.forget();
        Ok(events)
    }
}

/// Refuses names that belong to the store.
pub(crate) fn check_name(scope: &ScopeName) -> Result<(), RequestError> {
    if scope.is_reserved() {
        let (field, why) = ("scope".to_owned(), "names with a leading $ belong to the store");
        return Err(RequestError::Invalid { field, why: why.to_owned() });
    }
    Ok(())
}
