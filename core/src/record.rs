//! An event as bytes: the form it has on disk and on the wire.
//!
//! ```text
//! 0        1          33         65            73
//! +--------+----------+----------+-------------+------------------------- - -
//! | version| hash     | previous | position    | body: postcard of [`Body`]
//! | 1      | 32 bytes | 32 bytes | u64, big e. |
//! +--------+----------+----------+-------------+------------------------- - -
//! ```
//!
//! The scope loop encodes an event once, with its hash; the log only fills in the position, where it
//! writes the event down. Nothing encodes it again: disk, replay and readers get these bytes.

use crate::codec::{self, CodecError};
use crate::{AppendId, ContentType, Digest, Event, Key, Position, Seq, chain};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The version byte this build reads and writes.
pub const VERSION: u8 = 1;

const HASH: std::ops::Range<usize> = 1..33;
const PREVIOUS: std::ops::Range<usize> = 33..65;
const POSITION: std::ops::Range<usize> = 65..73;
const HEADER: usize = 73;

/// Bytes that are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Shorter than a header.
    #[error("{0} bytes are too few for an event")]
    Short(usize),
    /// The body, or the version.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// What the hash of an event covers. `Keys` and `Pairs` are slices when encoding and vectors of
/// borrowed text when decoding; both have the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body<'a, Keys, Pairs> {
    /// Number in the scope.
    pub seq: Seq,
    /// Sort of event.
    pub kind: &'a str,
    /// How to read the payload.
    pub content_type: ContentType,
    /// The content.
    #[serde(with = "serde_bytes")]
    pub payload: &'a [u8],
    /// What the event is about.
    pub keys: Keys,
    /// Outside causes.
    pub triggers: Keys,
    /// Pairs that travel with the event.
    pub metadata: Pairs,
    /// The caller's time.
    pub caller_ms: Option<u64>,
    /// The store's time.
    pub host_ms: u64,
    /// The append it came with.
    pub append_id: AppendId,
    /// The validator that let it in.
    pub validator: Digest,
    /// The event of `$system` that bound the validator.
    pub binding: Seq,
}

/// A body to encode.
pub type BodyOut<'a> = Body<'a, &'a [Key], &'a [(String, String)]>;
/// A body as decoded, borrowing from the record.
pub type BodyIn<'a> = Body<'a, Vec<KeyIn<'a>>, Vec<(&'a str, &'a str)>>;

/// What comes before the bytes of fixed length in a body.
#[derive(Deserialize)]
struct Front<'a> {
    seq: Seq,
    kind: &'a str,
    content_type: ContentType,
    #[serde(with = "serde_bytes")]
    payload: &'a [u8],
    #[serde(borrow)]
    keys: Vec<KeyIn<'a>>,
    #[serde(borrow)]
    triggers: Vec<KeyIn<'a>>,
    #[serde(borrow)]
    metadata: Vec<(&'a str, &'a str)>,
    caller_ms: Option<u64>,
    host_ms: u64,
}

/// A key as decoded, borrowing from the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyIn<'a> {
    /// The sort of thing.
    pub kind: &'a str,
    /// Which one of that sort.
    pub id: &'a str,
}

/// An encoded event whose position is not known yet: it is 0 in here. Clones share the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record(Arc<[u8]>);

impl Record {
    /// Encodes the event that follows `previous`.
    ///
    /// # Errors
    /// None in practice: every [`Body`] can be encoded.
    pub fn encode(previous: &Digest, body: &BodyOut<'_>) -> Result<Self, CodecError> {
        let mut bytes = Vec::with_capacity(HEADER + 96 + body.kind.len() + body.payload.len());
        bytes.resize(HEADER, 0);
        bytes[0] = VERSION;
        bytes[PREVIOUS].copy_from_slice(&previous.0);
        let mut bytes = codec::encode_into(body, bytes)?;
        let hash = chain::link(previous, &bytes[HEADER..]);
        bytes[HASH].copy_from_slice(&hash.0);
        Ok(Record(bytes.into()))
    }

    /// A record that was encoded elsewhere, for example by the store that a scope comes from. Its place
    /// here is not known yet. Nothing is checked against a hash.
    ///
    /// # Errors
    /// As [`RecordView::parse`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        RecordView::parse(bytes)?;
        let mut buffer = Vec::new();
        Ok(Record(placed(bytes, Position(0), &mut buffer).into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The chain's hash at this event.
    #[must_use]
    pub fn hash(&self) -> Digest {
        digest(&self.0, HASH)
    }
}

/// The bytes of a record with a place in the order over all scopes, which a hash does not cover, in place
/// of what the buffer held.
///
/// # Panics
/// If the bytes are too short to be a record.
#[must_use]
pub fn placed<'a>(record: &[u8], position: Position, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    buffer.clear();
    buffer.extend_from_slice(record);
    buffer[POSITION].copy_from_slice(&position.0.to_be_bytes());
    buffer
}

/// A record read in place. Parsing looks at the header and the number only; nothing is checked
/// against a hash, which is [`chain::Walk`]'s task.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
    seq: Seq,
}

impl<'a> RecordView<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`RecordError`] for bytes that cannot be a record of this version.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        match bytes.first() {
            Some(&VERSION) if bytes.len() > HEADER => {}
            Some(&found) if found != VERSION => {
                return Err(CodecError::Version { found, supported: VERSION }.into());
            }
            _ => return Err(RecordError::Short(bytes.len())),
        }
        let (seq, _) =
            postcard::take_from_bytes(&bytes[HEADER..]).map_err(CodecError::Malformed)?;
        Ok(RecordView { bytes, seq })
    }

    /// The whole record.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Number in the scope.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The chain's hash at this event.
    #[must_use]
    pub fn hash(&self) -> Digest {
        digest(self.bytes, HASH)
    }

    /// The chain's hash before this event.
    #[must_use]
    pub fn previous(&self) -> Digest {
        digest(self.bytes, PREVIOUS)
    }

    /// The same, in place.
    pub(crate) fn previous_bytes(&self) -> &'a [u8] {
        &self.bytes[PREVIOUS]
    }

    /// Place in the order over all scopes.
    #[must_use]
    pub fn position(&self) -> Position {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.bytes[POSITION]);
        Position(u64::from_be_bytes(bytes))
    }

    /// What the hash covers, still encoded.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[HEADER..]
    }

    /// What the hash covers, decoded in place.
    ///
    /// # Errors
    /// [`RecordError::Codec`] if the body is not one whole value.
    #[inline]
    pub fn decode(&self) -> Result<BodyIn<'a>, RecordError> {
        let malformed = |why| RecordError::from(CodecError::Malformed(why));
        let (front, rest) =
            postcard::take_from_bytes::<Front<'a>>(self.body()).map_err(malformed)?;
        // The same as decoding a whole [`Body`], but these are copied at once, not byte by byte.
        let end = || malformed(postcard::Error::DeserializeUnexpectedEnd);
        let (append_id, rest) = rest.split_first_chunk().ok_or_else(end)?;
        let (validator, rest) = rest.split_first_chunk().ok_or_else(end)?;
        Ok(Body {
            seq: front.seq,
            kind: front.kind,
            content_type: front.content_type,
            payload: front.payload,
            keys: front.keys,
            triggers: front.triggers,
            metadata: front.metadata,
            caller_ms: front.caller_ms,
            host_ms: front.host_ms,
            append_id: AppendId(*append_id),
            validator: Digest(*validator),
            binding: codec::decode(rest)?,
        })
    }

    /// The event, with memory of its own.
    ///
    /// # Errors
    /// As [`Self::decode`].
    #[inline]
    pub fn to_event(&self) -> Result<Event, RecordError> {
        let body = self.decode()?;
        let own = |keys: Vec<KeyIn<'_>>| {
            keys.into_iter().map(|k| Key { kind: k.kind.to_owned(), id: k.id.to_owned() }).collect()
        };
        Ok(Event {
            seq: body.seq,
            position: self.position(),
            kind: body.kind.to_owned(),
            content_type: body.content_type,
            payload: body.payload.to_vec(),
            keys: own(body.keys),
            triggers: own(body.triggers),
            metadata: body
                .metadata
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            caller_ms: body.caller_ms,
            host_ms: body.host_ms,
            append_id: body.append_id,
            validator: body.validator,
            binding: body.binding,
            previous: self.previous(),
            hash: self.hash(),
        })
    }
}

fn digest(bytes: &[u8], at: std::ops::Range<usize>) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(&bytes[at]);
    Digest(digest)
}
