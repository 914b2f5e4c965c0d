//! What a store says about itself.

use crate::Position;
use crate::protocol::StoreId;
use serde::{Deserialize, Serialize};

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Scopes checked.
    pub scopes: u64,
    /// Events checked.
    pub events: u64,
    /// Bytes of the events checked.
    pub bytes: u64,
    /// What is wrong, at most 100 entries; nothing if the store is intact.
    pub damage: Vec<String>,
}

/// About a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Its identity.
    pub store: StoreId,
    /// The version of the program.
    pub version: String,
    /// The last position.
    pub position: Position,
    /// Group commits since the store was made.
    pub commits: u64,
    /// Stored scopes.
    pub scopes: u64,
    /// Scopes whose loop is in memory.
    pub live: u64,
    /// Appends in flight.
    pub in_flight: u64,
    /// Why the store takes no appends, if so.
    pub read_only: Option<String>,
}
