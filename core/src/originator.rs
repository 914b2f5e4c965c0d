//! Validation by the client that submits (Atomic Store A03..A07, A24): what it is asked, and what it
//! may answer.

use crate::{Reason, ScopeName, Seq};
use serde::{Deserialize, Serialize};

/// A question to the client whose append is under consideration, on its own connection and under the
/// number of its call. The scope's events after `known` came before it, as pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Names this question in the answer; never used twice.
    pub correlation: u64,
    /// The scope.
    pub scope: ScopeName,
    /// Its head: the proposals would follow it.
    pub head: Seq,
    /// The store's time of this append, in milliseconds since 1970-01-01 UTC.
    pub host_ms: u64,
    /// The append is refused as timed out unless the answer comes within so many milliseconds.
    /// Nothing re-arms this.
    pub within_ms: u64,
}

/// The client's answer about its own proposals, all of them together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OriginatorVerdict {
    /// Store them.
    Pass {
        /// A sentence, returned with the outcome and not stored.
        reason: Option<String>,
        /// Data, returned with the outcome and not stored (A19).
        #[serde(with = "serde_bytes")]
        meta: Option<Vec<u8>>,
    },
    /// Do not.
    Fail {
        /// At least one.
        reasons: Vec<Reason>,
        /// Data, returned with the outcome.
        #[serde(with = "serde_bytes")]
        meta: Option<Vec<u8>>,
    },
}
