//! Words of the native protocol for reads: whether touched events come again, at which moment, what
//! travels, and why it ended.

use crate::codec::{self, CodecError};
use crate::protocol::{Reply, ServerFrame};
use crate::{Position, ScopeName, Seq};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Whether a read after some event also brings what effects touch (coherence C16, C17).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Replay {
    /// Events as they are stored, effects among them.
    #[default]
    Off,
    /// Also the whole earlier history of every key that an effect in the range touches, marked as
    /// replayed. The effects themselves are left out.
    Touched,
    /// The same, with the effects.
    TouchedAndEffects,
}

/// A moment in the life of a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum At {
    /// Now.
    #[default]
    Head,
    /// After this event, included (Eventsrc S19).
    Seq(Seq),
    /// After the last event that the store admitted up to this moment, included, in milliseconds
    /// since 1970-01-01 UTC (Eventsrc S20).
    Time(u64),
}

/// One event on its way to a reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The scope, if the reader asked for the order over all scopes.
    pub scope: Option<ScopeName>,
    /// True if it comes before the range that was asked for, because an effect touches it.
    pub replayed: bool,
    /// The record as stored; see [`crate::record`].
    pub record: Bytes,
}

/// An entry within the bytes of its frame; it has the bytes of an [`Entry`].
#[derive(Deserialize)]
struct EntryIn<'a> {
    #[serde(borrow)]
    scope: Option<&'a str>,
    replayed: bool,
    #[serde(borrow)]
    record: &'a [u8],
}

/// The number of `Reply::Events` among the replies.
const EVENTS: u32 = 2;
/// The fewest bytes of an entry.
const ENTRY_BYTES_MIN: usize = 3;

/// Decodes what a server sent. Records stay where they are: entries share the memory of the frame.
///
/// # Errors
/// As [`codec::decode`].
pub fn decode_reply(frame: &Bytes) -> Result<ServerFrame, CodecError> {
    let ((call, reply), rest) = take::<(u64, u32)>(frame)?;
    if reply != EVENTS {
        return codec::decode(frame);
    }
    let (count, mut rest) = take::<usize>(rest)?;
    let mut entries = Vec::with_capacity(count.min(rest.len() / ENTRY_BYTES_MIN));
    let mut last: Option<ScopeName> = None;
    for _ in 0..count {
        let (entry, more) = take::<EntryIn<'_>>(rest)?;
        rest = more;
        // Neighbours are often of one scope; its name is checked and kept once.
        if let Some(name) = entry.scope
            && last.as_ref().is_none_or(|last| last.as_str() != name)
        {
            let wrong = |_| CodecError::Malformed(postcard::Error::SerdeDeCustom);
            last = Some(ScopeName::new(name).map_err(wrong)?);
        }
        let scope = entry.scope.and(last.clone());
        let record = frame.slice_ref(entry.record);
        entries.push(Entry { scope, replayed: entry.replayed, record });
    }
    match rest.len() {
        0 => Ok(ServerFrame { call, reply: Reply::Events(entries) }),
        more => Err(CodecError::Trailing(more)),
    }
}

fn take<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), CodecError> {
    postcard::take_from_bytes(bytes).map_err(CodecError::Malformed)
}

/// Why a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Ended {
    /// The client did not read fast enough. Subscribe again after the last event received: this one.
    SlowReader {
        /// The last event that was sent, in the scope; 0 for the order over all scopes.
        resume_after: Seq,
        /// The last event that was sent, in the order over all scopes.
        resume_position: Position,
    },
    /// The store is shutting down.
    Shutdown,
    /// The log could not be read further.
    Damaged {
        /// Scope, event and what was found.
        what: String,
    },
    /// The client did not read entries of the journal of rejections fast enough. Subscribe again after
    /// the last entry received: this one.
    SlowRejections {
        /// The last entry that was sent.
        resume_after: u64,
    },
}
