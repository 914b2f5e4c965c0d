//! Snapshots on request (E38).

use super::handle::Engine;
use super::whole::check_name;
use crate::log::{Snapshot, Unit};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{ScopeName, SnapshotInfo, SnapshotReply, SnapshotRequest};
use std::sync::Arc;

impl Engine {
    /// Answers a request about snapshots. Blocks while events are folded.
    ///
    /// # Errors
    /// [`RequestError`] says what to do.
    pub fn snapshots(&self, request: SnapshotRequest) -> Result<SnapshotReply, RequestError> {
        match request {
            SnapshotRequest::Take { scope } => self.take_snapshot(&scope).map(SnapshotReply::Taken),
            SnapshotRequest::Scrub { prefix, after } => {
                self.scrub(&prefix, &after).map(SnapshotReply::Scrubbed)
            }
            _ => {
                let (field, why) =
                    ("request".to_owned(), "this server does not know it".to_owned());
                Err(RequestError::Invalid { field, why })
            }
        }
    }

    /// Keeps the state of a scope as a snapshot, now. Nothing if its validator gives none, or folds
    /// nothing. Its appends wait meanwhile. Blocks until it is durable.
    ///
    /// # Errors
    /// `NotFound` if it has no events, `Overloaded` if somebody else has the scope to themselves,
    /// `Damaged` or `Failed` if the state cannot be had.
    pub fn take_snapshot(&self, scope: &ScopeName) -> Result<Option<SnapshotInfo>, RequestError> {
        check_name(scope)?;
        self.check_writable()?;
        let parked = self.park(scope)?;
        let row = parked.row()?;
        if row.events() == 0 {
            return Err(RequestError::NotFound(format!("no events in scope {scope}")));
        }
        let Some((validator, snapshot)) = parked.snapshot()? else { return Ok(None) };
        let Snapshot { seq, state, .. } = &snapshot;
        let info = SnapshotInfo { seq: *seq, bytes: state.len() as u64, validator };
        let mut unit = Unit::bare(Arc::new(row));
        unit.host_ms = self.shared.clock.now_ms();
        unit.snapshot = Some(Box::new(snapshot));
        self.commit_alone(unit)?;
        Ok(Some(info))
    }
}
