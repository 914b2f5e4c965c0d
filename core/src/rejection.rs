//! What was refused, and why: an entry of the journal of rejections.

use crate::{AppendId, Digest, Outcome, Proposal, ScopeName, Seq};
use serde::{Deserialize, Serialize};

/// One append that was judged and not stored: a rejection, a conflict, a timeout or a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Its number in the journal of the store: rising, with gaps where entries were dropped.
    pub number: u64,
    /// The scope that refused.
    pub scope: ScopeName,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub host_ms: u64,
    /// The append.
    pub append_id: AppendId,
    /// The head it was judged against.
    pub head: Seq,
    /// The validator that judged; all zeros if none was asked.
    pub validator: Digest,
    /// What the client was told.
    pub outcome: Outcome,
    /// The kinds proposed, in order.
    pub kinds: Vec<String>,
    /// BLAKE3 of the payloads: each one's length as eight bytes, little endian, then its bytes.
    pub payload_hash: Digest,
    /// What was proposed, if the store was told to keep it.
    pub proposals: Option<Vec<Proposal>>,
}

/// How often something was refused, among the entries that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectionCount {
    /// [`Outcome::word`].
    pub outcome: String,
    /// The code of the reason, the kind of the fault, or nothing.
    pub code: String,
    /// How many.
    pub count: u64,
}
