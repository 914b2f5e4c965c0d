//! What was refused, and why: an entry of the journal of rejections.

use crate::{AppendId, Conflict, Digest, Outcome, Proposal, ScopeName, Seq};
use serde::{Deserialize, Serialize};

/// Bytes that an entry takes at most besides what has its own length.
const FIXED_BYTES: usize = 256;

/// One append that was decided and stored nothing: a rejection, a conflict, a mismatched head, a
/// timeout or a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Its number in the journal of the store: rising, never given twice, with gaps.
    pub number: u64,
    /// The entry before it in the journal, kept or not; 0 if there was none.
    pub previous: u64,
    /// The same among the entries of its scope. After the scope's entries have all been dropped: the
    /// last entry of any scope that was dropped with them.
    pub previous_of_scope: u64,
    /// The scope that refused.
    pub scope: ScopeName,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub host_ms: u64,
    /// The append.
    pub append_id: AppendId,
    /// The head it was judged against.
    pub head: Seq,
    /// The validator that judged; nothing if none was asked.
    pub judge: Option<Judge>,
    /// What the client was told. Of the later event of a conflict it says only the seq.
    pub outcome: Outcome,
    /// The kinds proposed, in order.
    pub kinds: Vec<String>,
    /// BLAKE3 of the payloads: each one's length as eight bytes, little endian, then its bytes.
    pub payload_hash: Digest,
    /// What was proposed, if the store was told to keep it and it is not too large.
    pub proposals: Option<Vec<Proposal>>,
}

/// Who judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judge {
    /// The validator.
    pub validator: Digest,
    /// Its name and version, as in `auction@1.2.3`.
    pub name: String,
    /// The event of `$system` that bound it.
    pub binding: Seq,
}

/// How often something was refused, among the entries that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectionCount {
    /// [`Outcome::word`].
    pub outcome: String,
    /// The code of the reason, the kind of the fault, what the conflict is about, or nothing.
    pub code: String,
    /// How many.
    pub count: u64,
}

/// Where the journal of rejections ends, for one scope or for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectionsEnd {
    /// After this number come the last entries, as many as were asked for.
    pub after: u64,
    /// The newest entry; 0 if there is none.
    pub newest: u64,
    /// No entry of any scope has a higher number yet.
    pub end: u64,
}

impl Rejection {
    /// What it is counted under, besides the outcome: the code of the first reason, the kind of the
    /// fault, what the conflict is about.
    #[must_use]
    pub fn code(&self) -> &str {
        match &self.outcome {
            Outcome::Rejected(refusal) => {
                refusal.reasons.first().map_or("", |reason| reason.code.as_str())
            }
            Outcome::Faulted(fault) => fault.kind.word(),
            Outcome::Conflict { conflicts, .. } => {
                let triggered = conflicts.first().is_some_and(|one| one.trigger.is_some());
                if triggered { "trigger" } else { "key" }
            }
            _ => "",
        }
    }

    /// Bytes of this entry, about: a little more than it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        let kinds: usize = self.kinds.iter().map(|kind| kind.len() + 2).sum();
        let proposals = self.proposals.iter().flatten();
        let proposals: usize = proposals.map(|proposal| proposal.size() + FIXED_BYTES).sum();
        let outcome = match &self.outcome {
            Outcome::Rejected(refusal) => {
                let meta = refusal.meta.as_ref().map_or(0, Vec::len);
                let reasons = refusal.reasons.iter().map(|reason| {
                    let data = reason.data.as_ref().map_or(0, Vec::len);
                    reason.code.len() + reason.message.len() + data + 10 * reason.seqs.len() + 16
                });
                meta + reasons.sum::<usize>()
            }
            Outcome::Conflict { conflicts, .. } => conflicts.iter().map(conflict).sum(),
            Outcome::Faulted(fault) => fault.detail.len(),
            _ => 0,
        };
        FIXED_BYTES + self.scope.as_str().len() + kinds + proposals + outcome
    }
}

fn conflict(conflict: &Conflict) -> usize {
    let keys = [Some(&conflict.key), conflict.trigger.as_ref()];
    let keys = keys.into_iter().flatten().map(|key| key.kind.len() + key.id.len());
    // An event of which only the seq is told has three digests and an id.
    FIXED_BYTES + keys.sum::<usize>() + conflict.theirs.payload.len()
}
