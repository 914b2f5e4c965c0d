//! What a store says about itself, and why it refuses.

use crate::{Outcome, Position, Seq};
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
    /// Recorded options that are not the defaults of version 0.1: names and values.
    pub options: Vec<(String, String)>,
    /// The event of `$system` that recorded the last change of an option; 0 if there was none.
    pub options_since: Seq,
}

/// What became of one batch of a what-if.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The outcome it would have. Positions are 0: there is no place in the order of the store.
    pub outcome: Outcome,
    /// The state after it, if a question was asked: the validator's answer or its complaint.
    pub state: Option<Result<serde_bytes::ByteBuf, String>>,
}

/// Identity of a store, random, made when its directory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoreId(pub [u8; 16]);

impl std::fmt::Display for StoreId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a request was refused. The message says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A rule or a cap is broken.
    #[error("{field}: {why}")]
    Invalid {
        /// Which part of the request.
        field: String,
        /// What is wrong.
        why: String,
    },
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The component cannot be admitted.
    #[error("the component was not loaded: {0}")]
    NotAdmitted(String),
    /// Something is full; try again later.
    #[error("too much at once: {0}")]
    Overloaded(String),
    /// Damage was found on the way.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The storage, or the store as a whole, failed.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The session ends: the frame could not be understood, or the server is shutting down.
    #[error("the session ends: {0}")]
    Goodbye(String),
}
