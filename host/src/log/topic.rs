//! The index of a scope: which events are about which key, and which effects fire which trigger.
//!
//! A row is a *tag* and a number: the tag stands for scope and topic, the number for the event. Rows
//! are written in the commit of their events, so a reader of durable events sees all of their rows.
//! A tag is a hash: whoever follows a row checks the event that it finds.

use super::{EventLog, ReadError, ScopeRow};
use atomic_store_core::chain::Broken;
use atomic_store_core::record::{KeyIn, RecordView};
use atomic_store_core::{Key, ScopeId, Seq};
use std::ops::ControlFlow;

/// Length of a row's key. The tree keeps keys of up to 20 bytes in place.
pub(super) const INDEX_KEY: usize = 20;

/// Keys up to about this length are hashed in one piece.
const ON_STACK: usize = 256;

/// What a row of the index adds to a commit.
pub const INDEX_ROW_BYTES: usize = INDEX_KEY;

/// What one may look for among the events of a scope.
///
/// An event with keys is about them, and links its triggers to them. One with triggers and no keys is
/// an effect, which fires them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic<'a> {
    /// Events about the key.
    Key(&'a Key),
    /// Events about the key that also link triggers.
    Links(&'a Key),
    /// Effects that fire the trigger.
    Effects(&'a Key),
    /// Events that link the trigger to their keys.
    Linked(&'a Key),
    /// All effects of the scope.
    AnyEffect,
}

/// What stands for a topic of a scope in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag([u8; 12]);

/// One row: the event is one of its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexRow {
    /// The topic.
    pub tag: Tag,
    /// The event.
    pub seq: Seq,
}

impl Tag {
    /// Hashed with a secret of the store, because keys come from clients: nobody should find two
    /// that meet.
    pub(super) fn new(secret: &[u8; 32], scope: ScopeId, topic: Topic<'_>) -> Self {
        let (code, key) = match topic {
            Topic::Key(key) => (0_u8, Some(key)),
            Topic::Links(key) => (1, Some(key)),
            Topic::Effects(key) => (2, Some(key)),
            Topic::Linked(key) => (3, Some(key)),
            Topic::AnyEffect => (4, None),
        };
        let mut head = [code; 17];
        head[1..9].copy_from_slice(&scope.0.to_be_bytes());
        let (kind, id) = key.map_or(("", ""), |key| (&*key.kind, &*key.id));
        head[9..].copy_from_slice(&(kind.len() as u64).to_be_bytes());
        let length = head.len() + kind.len() + id.len();
        // One buffer and one call is twice as fast as a Hasher.
        let mut buffer = [0; ON_STACK];
        let hash = match buffer.get_mut(..length) {
            Some(bytes) => {
                bytes[..17].copy_from_slice(&head);
                bytes[17..17 + kind.len()].copy_from_slice(kind.as_bytes());
                bytes[17 + kind.len()..].copy_from_slice(id.as_bytes());
                blake3::keyed_hash(secret, bytes)
            }
            None => {
                let mut hasher = blake3::Hasher::new_keyed(secret);
                hasher.update(&head).update(kind.as_bytes()).update(id.as_bytes());
                hasher.finalize()
            }
        };
        let mut tag = [0; 12];
        tag.copy_from_slice(&hash.as_bytes()[..12]);
        Tag(tag)
    }
}

impl IndexRow {
    /// The row's key in a tree.
    pub(super) fn key(self) -> [u8; INDEX_KEY] {
        let mut key = [0; INDEX_KEY];
        key[..12].copy_from_slice(&self.tag.0);
        key[12..].copy_from_slice(&self.seq.0.to_be_bytes());
        key
    }

    /// The number in a row's key.
    pub(super) fn seq_of(key: &[u8]) -> Option<Seq> {
        let seq = key.get(12..)?.try_into().ok()?;
        (key.len() == INDEX_KEY).then_some(Seq(u64::from_be_bytes(seq)))
    }
}

/// Calls `each` with every topic of an event with these keys and triggers.
pub fn topics<'a>(keys: &'a [Key], triggers: &'a [Key], mut each: impl FnMut(Topic<'a>)) {
    for key in keys {
        each(Topic::Key(key));
        if !triggers.is_empty() {
            each(Topic::Links(key));
        }
    }
    for trigger in triggers {
        each(if keys.is_empty() { Topic::Effects(trigger) } else { Topic::Linked(trigger) });
    }
    if keys.is_empty() && !triggers.is_empty() {
        each(Topic::AnyEffect);
    }
}

/// The rows of an event.
#[must_use]
pub fn index_rows(
    log: &dyn EventLog,
    scope: ScopeId,
    seq: Seq,
    keys: &[Key],
    triggers: &[Key],
) -> Vec<IndexRow> {
    let mut rows = Vec::new();
    topics(keys, triggers, |topic| rows.push(IndexRow { tag: log.tag(scope, topic), seq }));
    rows
}

/// Fails if a stored event is not in the index under all of its topics: it would hide a conflict.
///
/// # Errors
/// [`ReadError::Damaged`] with [`Broken::Unindexed`].
pub fn check_indexed(
    log: &dyn EventLog,
    scope: &ScopeRow,
    event: RecordView<'_>,
) -> Result<(), ReadError> {
    let Ok(body) = event.decode() else { return Ok(()) };
    if body.keys.is_empty() && body.triggers.is_empty() {
        return Ok(());
    }
    let own = |keys: &[KeyIn<'_>]| -> Vec<Key> {
        keys.iter().map(|key| Key::new(key.kind, key.id)).collect()
    };
    let (keys, triggers) = (own(&body.keys), own(&body.triggers));
    let mut wanted = Vec::new();
    topics(&keys, &triggers, |topic| wanted.push(topic));
    let (before, seq) = (Seq(event.seq().0.saturating_sub(1)), event.seq());
    for topic in wanted {
        let mut found = false;
        log.indexed(scope, topic, before, seq, &mut |_| {
            found = true;
            ControlFlow::Break(())
        })?;
        if !found {
            let (scope, found) = (scope.name.clone(), Broken::Unindexed(seq));
            return Err(ReadError::Damaged { scope, seq, found });
        }
    }
    Ok(())
}
