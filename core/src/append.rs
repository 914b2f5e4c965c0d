//! A request to append, and the key under which it is decided once.

use crate::{Condition, Key, Proposal, ScopeName, Seq};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Idempotency key of an append: 16 bytes, unique per append and scope. A repeated id gets the first
/// outcome and stores nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppendId(pub [u8; 16]);

/// A text that cannot be an append id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an append id is 1 to 200 bytes of text")]
pub struct AppendIdError;

impl AppendId {
    /// The id for a key of the caller's own: 32 hexadecimal digits (with or without the dashes of a
    /// UUID) stand for themselves, any other text is hashed.
    ///
    /// # Errors
    /// [`AppendIdError`] if the text is empty or longer than 200 bytes.
    pub fn from_text(text: &str) -> Result<Self, AppendIdError> {
        if text.is_empty() || text.len() > 200 {
            return Err(AppendIdError);
        }
        let digits: Vec<u8> = text
            .chars()
            .filter(|c| *c != '-')
            .map_while(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect();
        let mut id = [0; 16];
        if digits.len() == 32 && text.chars().filter(|c| *c != '-').count() == 32 {
            for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
                *byte = pair.iter().fold(0, |high, low| high << 4 | low);
            }
        } else {
            id.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
        }
        Ok(AppendId(id))
    }
}

impl FromStr for AppendId {
    type Err = AppendIdError;

    fn from_str(text: &str) -> Result<Self, AppendIdError> {
        AppendId::from_text(text)
    }
}

impl fmt::Display for AppendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AppendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The head an append insists on (Eventsrc S07).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpectedHead {
    /// Whatever it is.
    #[default]
    Any,
    /// Exactly this number; 0 means the scope must be empty.
    Exactly(Seq),
}

/// One append: 1 to n proposals to one scope. All are accepted and stored together, or none is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// Where to.
    pub scope: ScopeName,
    /// Under which key it is decided once.
    pub id: AppendId,
    /// True if this id may have been sent before, by this client or any other. The store then looks
    /// for the first outcome; for an id just made up there is nothing to look for. A false `false`
    /// harms its sender only: the append may be stored twice.
    pub repeated: bool,
    /// Refuse unless the scope's head is this.
    pub expected_head: ExpectedHead,
    /// Refuse if something happened to these keys.
    pub condition: Option<Condition>,
    /// True to be told the outcome without storing anything (coherence C11). Neither the head moves nor
    /// is the id remembered.
    pub dry_run: bool,
    /// The last event of the scope that the client has folded. Only scopes bound to `originator` look
    /// at it: the client is then asked with the events after it.
    pub known: Seq,
    /// The proposed events, in order.
    pub proposals: Vec<Proposal>,
}

impl Append {
    /// An append that insists on nothing, under an id that was not sent before.
    #[must_use]
    pub fn new(scope: ScopeName, id: AppendId, proposals: Vec<Proposal>) -> Self {
        Append {
            scope,
            id,
            repeated: false,
            expected_head: ExpectedHead::Any,
            condition: None,
            dry_run: false,
            known: Seq::ZERO,
            proposals,
        }
    }

    /// Refuses if something happened to the keys of the proposals after the event that the caller has
    /// seen last (coherence C04).
    #[must_use]
    pub fn since(mut self, seq: Seq) -> Self {
        self.condition.get_or_insert_default().since = seq;
        self
    }

    /// Later events that the caller knows and has dealt with; they do not conflict (coherence C08).
    #[must_use]
    pub fn resolved(mut self, seqs: impl IntoIterator<Item = Seq>) -> Self {
        self.condition.get_or_insert_default().resolved.extend(seqs);
        self
    }

    /// Also refuses if something happened to these keys, about which it stores nothing.
    #[must_use]
    pub fn watch(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.condition.get_or_insert_default().keys.extend(keys);
        self
    }

    /// Asks for all conflicts instead of the first.
    #[must_use]
    pub fn all_conflicts(mut self) -> Self {
        self.condition.get_or_insert_default().all = true;
        self
    }

    /// Asks for the outcome only; nothing is stored (coherence C11).
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Bytes this append brings from outside.
    #[must_use]
    pub fn size(&self) -> usize {
        let proposals = self.proposals.iter().map(Proposal::size).sum::<usize>();
        proposals + self.condition.as_ref().map_or(0, Condition::size)
    }
}
