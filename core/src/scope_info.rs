//! What is known about a scope as a whole.

use crate::{Binding, Digest, ScopeName, Seq};
use serde::{Deserialize, Serialize};

/// What is known about a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeInfo {
    /// Its name.
    pub name: ScopeName,
    /// Its last event; 0 if it has none.
    pub head: Seq,
    /// The chain's hash at the head.
    pub hash: Digest,
    /// The validator that judges it now, if any.
    pub binding: Option<Binding>,
    /// True if its loop is in memory.
    pub live: bool,
    /// Why it takes no appends, if so.
    pub sealed: Option<String>,
    /// True if that is because its log is damaged. It cannot be unsealed then.
    pub damaged: bool,
    /// Events up to this one were deleted; 0 if none was. So it has `head - floor` events.
    pub floor: Seq,
    /// Bytes of the records of its events.
    pub bytes: u64,
}

impl ScopeInfo {
    /// How many events it has.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.head.0.saturating_sub(self.floor.0)
    }
}

/// The scope that a restored one was renamed from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its name.
    pub scope: ScopeName,
    /// The hash of its last event there.
    pub hash: Digest,
}
