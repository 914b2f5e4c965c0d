//! Snapshots as people ask for them.

use crate::{Digest, ScopeName, Seq};
use serde::{Deserialize, Serialize};

/// What a client may ask about snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SnapshotRequest {
    /// Takes a snapshot of a scope's state now. Reply: `Taken`.
    Take {
        /// The scope.
        scope: ScopeName,
    },
    /// Proves the snapshots of scopes by name, and drops what is wrong. Reply: `Scrubbed`; ask again
    /// after its last scope until nothing comes.
    Scrub {
        /// Only names that start so.
        prefix: String,
        /// Only names after this one; empty for the first page.
        after: String,
    },
}

/// The answer to a [`SnapshotRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SnapshotReply {
    /// A snapshot was taken, or was there already; nothing if the validator gives none.
    Taken(Option<SnapshotInfo>),
    /// What a look at some scopes found.
    Scrubbed(Scrubbed),
}

/// A stored snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// The event after which it was taken.
    pub seq: Seq,
    /// Bytes of the state.
    pub bytes: u64,
    /// The validator.
    pub validator: Digest,
}

/// What a look at the snapshots of some scopes found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrubbed {
    /// The last scope that was looked at; nothing if there was none left.
    pub last: Option<ScopeName>,
    /// Scopes looked at.
    pub scopes: u64,
    /// Snapshots that are what the events say.
    pub proven: u64,
    /// Snapshots that were not, and are gone.
    pub dropped: Vec<DroppedSnapshot>,
    /// Scopes whose snapshots could not be proven, because no rule is bound or it does not fold them.
    pub skipped: u64,
}

/// A snapshot that was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedSnapshot {
    /// Of which scope.
    pub scope: ScopeName,
    /// After which event.
    pub seq: Seq,
    /// What was wrong with it.
    pub why: String,
}
