//! What an append may insist on beyond the head: that nothing happened to its keys since the caller
//! looked (coherence C04..C13).

use crate::{Event, Key, Seq};
use serde::{Deserialize, Serialize};

/// Insists that no event after `since` concerns the keys of the append.
///
/// A later event concerns a key if it is about that key, or if it is an effect whose trigger is
/// linked by any event of that key, wherever in the log that event stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The last event the caller has seen, exclusive as everywhere: only later ones can conflict.
    pub since: Seq,
    /// Later events that the caller knows and has dealt with; they do not conflict (C08).
    pub resolved: Vec<Seq>,
    /// Keys to watch beside those of the proposals: the append depends on them without writing them.
    pub keys: Vec<Key>,
    /// True to be told all conflicts, as many as the limits allow; false for the first.
    pub all: bool,
}

impl Condition {
    /// Insists on the keys of the proposals, since the event that the caller has seen last.
    #[must_use]
    pub fn since(seq: Seq) -> Self {
        Condition { since: seq, ..Condition::default() }
    }

    /// Bytes this condition brings from outside.
    #[must_use]
    pub fn size(&self) -> usize {
        let keys = self.keys.iter().map(|key| key.kind.len() + key.id.len()).sum::<usize>();
        keys + self.resolved.len() * size_of::<Seq>()
    }
}

/// One later event that an append did not know of (C07).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Which proposal, counted from 0; nothing for a key of the condition itself.
    pub index: Option<u32>,
    /// The number the proposal would have had; that of the first proposal for a key of the condition.
    pub ours: Seq,
    /// The key in question.
    pub key: Key,
    /// The trigger between the two, if theirs is an effect.
    pub trigger: Option<Key>,
    /// The later event.
    pub theirs: Box<Event>,
}
