//! The rows of a log that are not events: their keys and their bytes.
//!
//! Keys are big-endian integers, so that their order as bytes is their order as numbers. Every value
//! starts with a version byte and is decoded to its last byte.

use super::{Decision, Floor, Snapshot};
use atomic_store_core::codec::{self, CodecError};
use atomic_store_core::{AppendId, Digest, Position, ScopeId, ScopeName, Seq};
use serde::{Deserialize, Serialize};

/// The version byte of every row in this file.
const VERSION: u8 = 1;

/// Length of a key of `appends`. Keys of `snapshots` and `rejections` are longer. Whatever is synced by
/// itself has a shorter key somewhere in its batch: events and pasts do, and rows of `scopes`, `index`
/// and `modules` come with events only.
pub(super) const APPEND_KEY: usize = 20;
/// Length of a key of `snapshots`.
const SNAPSHOT_KEY: usize = 48;

/// Key of an event: scope and number.
pub(super) fn event_key(scope: ScopeId, seq: Seq) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&scope.0.to_be_bytes());
    key[8..].copy_from_slice(&seq.0.to_be_bytes());
    key
}

/// The scope and number of an event's key.
pub(super) fn event_of(key: &[u8]) -> Option<(ScopeId, Seq)> {
    let (scope, seq) = key.split_first_chunk::<8>()?;
    let seq: [u8; 8] = seq.try_into().ok()?;
    Some((ScopeId(u64::from_be_bytes(*scope)), Seq(u64::from_be_bytes(seq))))
}

/// A number that is a key by itself.
pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// What `scopes` holds under a name. The head is written when the scope is made and now and then
/// afterwards; the true head is at or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ScopeHead {
    /// The scope's number.
    pub(super) id: ScopeId,
    /// A recent head.
    pub(super) head: Seq,
    /// The chain's hash there.
    pub(super) hash: Digest,
    /// Bytes of the scope's records up to that head.
    pub(super) bytes: u64,
}

impl ScopeHead {
    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode_versioned(VERSION, self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_versioned(VERSION, bytes)
    }
}

/// What `pasts` holds under the number of a scope whose past is not plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Past {
    /// Where its events begin; all before are gone.
    pub(super) floor: Floor,
    /// So far what is gone has been removed from the tree.
    pub(super) swept: Seq,
    /// The first and the last event that came from elsewhere, and the position of the first.
    pub(super) restored: Option<(Seq, Seq, Position)>,
    /// True as long as its events are on their way in and nobody sees them.
    pub(super) staged: bool,
}

impl Past {
    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode_versioned(VERSION, self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_versioned(VERSION, bytes)
    }
}

/// Consecutive events of one scope with consecutive positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    /// Of which scope.
    pub(super) scope: ScopeId,
    /// The first event.
    pub(super) first: Seq,
    /// How many; at least one.
    pub(super) count: u64,
}

impl Run {
    /// The last event.
    pub(super) fn last(&self) -> Seq {
        Seq(self.first.0.saturating_add(self.count).saturating_sub(1))
    }
}

/// What `order` holds under the first position of a group commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OrderRow {
    /// Which group commit it was, counted from 1.
    pub(super) commit: u64,
    /// How many scopes there were after it, so that lost rows of `scopes` are noticed.
    pub(super) scopes: u64,
    /// Its events, in order.
    pub(super) runs: Vec<Run>,
}

impl OrderRow {
    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode_versioned(VERSION, self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_versioned(VERSION, bytes)
    }

    /// The last position, if the first is `first`.
    pub(super) fn last(&self, first: u64) -> u64 {
        let events = self.runs.iter().fold(0_u64, |sum, run| sum.saturating_add(run.count));
        first.saturating_add(events).saturating_sub(1)
    }
}

/// The keys of a position in `order`.
pub(super) fn order_key(position: Position) -> [u8; 8] {
    position.0.to_be_bytes()
}

/// What stands for a scope in the keys of `appends`. Made of its name, because an append can be
/// decided before its scope has a number; and of a secret, because ids come from clients, and nobody
/// should find an id in one scope that meets a key of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mask(u64);

impl Mask {
    pub(super) fn new(secret: &[u8; 32], scope: &ScopeName) -> Self {
        let mut mask = [0; 8];
        let hash = blake3::keyed_hash(secret, scope.as_str().as_bytes());
        mask.copy_from_slice(&hash.as_bytes()[..8]);
        Mask(u64::from_be_bytes(mask))
    }

    /// As a number.
    pub(super) fn number(self) -> u64 {
        self.0
    }
}

/// Key of a decision: its bucket, the first half of the id, and the sum of the second half and the
/// mask. The first half of a UUID v7 is its time, so new keys of all scopes go to the end of the
/// tree, where the last ones went; a key that starts with the scope costs several times as much to
/// insert. The tree keeps keys of up to 20 bytes in place.
pub(super) fn append_key(bucket: u32, mask: Mask, id: AppendId) -> [u8; APPEND_KEY] {
    let mut key = [0; APPEND_KEY];
    key[..4].copy_from_slice(&bucket.to_be_bytes());
    key[4..].copy_from_slice(&id.0);
    if let Some(half) = key.last_chunk_mut::<8>() {
        *half = u64::from_be_bytes(*half).wrapping_add(mask.0).to_be_bytes();
    }
    key
}

/// The bucket of a key of `appends`.
pub(super) fn bucket_of(key: &[u8]) -> Option<u32> {
    key.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Appends the bytes of a decision to `buffer`.
pub(super) fn encode_decision(
    decision: &Decision,
    mut buffer: Vec<u8>,
) -> Result<Vec<u8>, CodecError> {
    buffer.push(VERSION);
    codec::encode_into(decision, buffer)
}

/// The decision in these bytes.
pub(super) fn decode_decision(bytes: &[u8]) -> Result<Decision, CodecError> {
    codec::decode_versioned(VERSION, bytes)
}

/// Adds a decision to the row of a group commit, which is keys and bytes, one after another. An empty one
/// is begun.
pub(super) fn add_to_group(row: &mut Vec<u8>, key: &[u8; APPEND_KEY], bytes: &[u8]) {
    if row.is_empty() {
        row.push(VERSION);
    }
    row.extend_from_slice(key);
    row.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
    row.extend_from_slice(bytes);
}

/// Takes such a row apart; nothing if it is damaged.
pub(super) fn decode_group<'a>(
    row: &'a [u8],
    mut each: impl FnMut(&'a [u8; APPEND_KEY], &'a [u8]),
) -> Option<()> {
    let mut rest = row.strip_prefix(&[VERSION])?;
    while !rest.is_empty() {
        let (key, behind) = rest.split_first_chunk::<APPEND_KEY>()?;
        let (length, behind) = behind.split_first()?;
        let (bytes, behind) = behind.split_at_checked(usize::from(*length))?;
        each(key, bytes);
        rest = behind;
    }
    Some(())
}

/// Key of a snapshot.
pub(super) fn snapshot_key(scope: ScopeId, rule: &Digest, seq: Seq) -> [u8; SNAPSHOT_KEY] {
    let mut key = [0; SNAPSHOT_KEY];
    key[..8].copy_from_slice(&scope.0.to_be_bytes());
    key[8..40].copy_from_slice(&rule.0);
    key[40..].copy_from_slice(&seq.0.to_be_bytes());
    key
}

/// The event of a snapshot with this key.
pub(super) fn snapshot_seq(key: &[u8]) -> Option<Seq> {
    let seq = key.get(40..SNAPSHOT_KEY)?.try_into().ok()?;
    Some(Seq(u64::from_be_bytes(seq)))
}

/// The bytes of a snapshot: its checksum, then itself.
pub(super) fn encode_snapshot(snapshot: &Snapshot) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(snapshot.state.len() + 160);
    bytes.push(VERSION);
    bytes.resize(33, 0);
    let mut bytes = codec::encode_into(snapshot, bytes)?;
    let sum = Digest::of(&bytes[33..]);
    bytes[1..33].copy_from_slice(&sum.0);
    Ok(bytes)
}

/// The snapshot in these bytes, unless they changed since they were written.
pub(super) fn decode_snapshot(bytes: &[u8]) -> Result<Snapshot, String> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => {
            let (sum, body) = rest.split_first_chunk::<32>().ok_or("too short")?;
            if Digest::of(body).0 != *sum {
                return Err("the checksum does not match".to_owned());
            }
            codec::decode(body).map_err(|e| e.to_string())
        }
        Some((&found, _)) => Err(CodecError::Version { found, supported: VERSION }.to_string()),
        None => Err("empty".to_owned()),
    }
}

/// How decided appends are grouped by time. A bucket is named by the second it starts at, so that
/// the name keeps its meaning when the limit changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets {
    /// How long a decision is remembered, in milliseconds.
    keep_ms: u64,
    /// The length of a bucket, in milliseconds.
    width_ms: u64,
}

impl Buckets {
    /// For decisions that are remembered this long.
    pub(super) fn new(keep_ms: u64) -> Self {
        // An eighth: at most nine buckets are alive, which bounds a lookup to nine point reads, and
        // an id is remembered at most an eighth longer than promised.
        Buckets { keep_ms, width_ms: (keep_ms / 8).max(1_000) }
    }

    /// The bucket of a time.
    pub(super) fn at(&self, now_ms: u64) -> u32 {
        u32::try_from(now_ms / self.width_ms * self.width_ms / 1_000).unwrap_or(u32::MAX)
    }

    /// True if nothing in the bucket needs to be remembered.
    pub(super) fn expired(&self, bucket: u32, now_ms: u64) -> bool {
        let end = u64::from(bucket).saturating_mul(1_000).saturating_add(self.width_ms);
        end.saturating_add(self.keep_ms) < now_ms
    }
}
