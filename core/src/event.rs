//! What is proposed, and what is stored.

use crate::codec::CodecError;
use crate::record::{Body, Record};
use crate::{AppendId, Digest, Position, Seq};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an event is about: `kind:id`, for example `book:Neuromancer`. Both parts are text and
/// compare byte by byte; the id `1` and the id `01` differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The sort of thing.
    pub kind: String,
    /// Which one of that sort.
    pub id: String,
}

/// How to read a payload. The store keeps it and hands it to validators; it never looks inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ContentType {
    /// `application/json`.
    #[default]
    Json,
    /// `application/postcard`.
    Postcard,
    /// `application/octet-stream`.
    Bytes,
    /// `text/plain; charset=utf-8`.
    Text,
    /// Any other media type.
    Other(String),
}

impl Key {
    /// A key of its two halves.
    #[must_use]
    pub fn new(kind: &str, id: &str) -> Self {
        Key { kind: kind.to_owned(), id: id.to_owned() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

impl ContentType {
    /// The media type.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            ContentType::Json => "application/json",
            ContentType::Postcard => "application/postcard",
            ContentType::Bytes => "application/octet-stream",
            ContentType::Text => "text/plain; charset=utf-8",
            ContentType::Other(text) => text,
        }
    }
}

impl From<&str> for ContentType {
    fn from(text: &str) -> Self {
        match text {
            "application/json" => ContentType::Json,
            "application/postcard" => ContentType::Postcard,
            "application/octet-stream" => ContentType::Bytes,
            "text/plain; charset=utf-8" => ContentType::Text,
            other => ContentType::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event that has not been accepted yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// What sort of event it is, for example `bid`.
    pub kind: String,
    /// How to read the payload.
    pub content_type: ContentType,
    /// The content, opaque to the store.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
    /// What the event is about.
    pub keys: Vec<Key>,
    /// Outside causes. With keys: they concern these keys from now on (coherence C15). Without keys
    /// the event is an effect: it fires them (coherence C14).
    pub triggers: Vec<Key>,
    /// Pairs that travel with the event, such as a trace id; order is kept.
    pub metadata: Vec<(String, String)>,
    /// When the caller says it happened, in milliseconds since 1970-01-01 UTC.
    pub caller_ms: Option<u64>,
}

impl Proposal {
    /// A proposal with a JSON payload and nothing else.
    #[must_use]
    pub fn json(kind: &str, payload: impl Into<Vec<u8>>) -> Self {
        Proposal { kind: kind.to_owned(), payload: payload.into(), ..Proposal::default() }
    }

    /// An effect: a trigger fires, which concerns every key that any event of the scope links to it
    /// (coherence C14).
    #[must_use]
    pub fn effect(kind: &str, trigger: Key, payload: impl Into<Vec<u8>>) -> Self {
        Proposal { triggers: vec![trigger], ..Proposal::json(kind, payload) }
    }

    /// True if it fires triggers: it has some, and is about no key.
    #[must_use]
    pub fn is_effect(&self) -> bool {
        self.keys.is_empty() && !self.triggers.is_empty()
    }

    /// Bytes this proposal brings from outside.
    #[must_use]
    pub fn size(&self) -> usize {
        let keys = self.keys.iter().chain(&self.triggers).map(|k| k.kind.len() + k.id.len());
        let meta = self.metadata.iter().map(|(name, value)| name.len() + value.len());
        self.kind.len() + self.payload.len() + keys.sum::<usize>() + meta.sum::<usize>()
    }
}

/// An accepted event, as stored. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number in the scope.
    pub seq: Seq,
    /// Its place in the order over all scopes.
    pub position: Position,
    /// What sort of event it is.
    pub kind: String,
    /// How to read the payload.
    pub content_type: ContentType,
    /// The content, opaque to the store.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
    /// What the event is about.
    pub keys: Vec<Key>,
    /// Outside causes: linked to the keys, or fired if there are no keys.
    pub triggers: Vec<Key>,
    /// Pairs that travel with the event.
    pub metadata: Vec<(String, String)>,
    /// When the caller said it happened, in milliseconds since 1970-01-01 UTC.
    pub caller_ms: Option<u64>,
    /// When the store admitted it, in milliseconds since 1970-01-01 UTC; never falls within a scope.
    pub host_ms: u64,
    /// The append it came with.
    pub append_id: AppendId,
    /// The validator that let it in.
    pub validator: Digest,
    /// The event of `$system` that bound that validator, with its configuration, to the scope.
    pub binding: Seq,
    /// Hash of the event before it, or of the scope's name for the first.
    pub previous: Digest,
    /// Hash of `previous` and of all the above but the position.
    pub hash: Digest,
}

impl Event {
    /// The event as a record, hashed anew after `self.previous`; its position is left out.
    ///
    /// # Errors
    /// None in practice: every event can be encoded.
    pub fn to_record(&self) -> Result<Record, CodecError> {
        let body = Body {
            seq: self.seq,
            kind: self.kind.as_str(),
            content_type: self.content_type.clone(),
            payload: self.payload.as_slice(),
            keys: self.keys.as_slice(),
            triggers: self.triggers.as_slice(),
            metadata: self.metadata.as_slice(),
            caller_ms: self.caller_ms,
            host_ms: self.host_ms,
            append_id: self.append_id,
            validator: self.validator,
            binding: self.binding,
        };
        Record::encode(&self.previous, &body)
    }

    /// True if it fired triggers: it has some, and is about no key.
    #[must_use]
    pub fn is_effect(&self) -> bool {
        self.keys.is_empty() && !self.triggers.is_empty()
    }
}
