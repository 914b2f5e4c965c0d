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
    scope: Option<ScopeName>,
    replayed: bool,
    #[serde(borrow)]
    record: &'a [u8],
}

/// The number of `Reply::Events` among the replies.
const EVENTS: u32 = 2;

/// Decodes what a server sent. Records stay where they are: entries share the memory of the frame.
///
/// # Errors
/// As [`codec::decode`].
pub fn decode_reply(frame: &Bytes) -> Result<ServerFrame, CodecError> {
    let ((call, reply), rest) =
        postcard::take_from_bytes::<(u64, u32)>(frame).map_err(CodecError::Malformed)?;
    if reply != EVENTS {
        return codec::decode(frame);
    }
    let entries: Vec<EntryIn<'_>> = codec::decode(rest)?;
    let share = |entry: EntryIn<'_>| Entry {
        scope: entry.scope,
        replayed: entry.replayed,
        record: frame.slice_ref(entry.record),
    };
    Ok(ServerFrame { call, reply: Reply::Events(entries.into_iter().map(share).collect()) })
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
