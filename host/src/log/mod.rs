//! Where accepted events live: the trait [`EventLog`], and its implementations.
//!
//! Invariants: only the committer calls [`EventLog::commit`]. Nothing that is not durable can be
//! read. Every read of a scope's events is checked against the chain; what does not fit is
//! [`ReadError::Damaged`], never a wrong event and never a silent hole.

mod dir;
mod fjall_ahead;
mod fjall_bare;
mod fjall_commit;
mod fjall_decisions;
mod fjall_journal;
mod fjall_log;
mod fjall_memtables;
mod fjall_open;
mod fjall_past;
mod fjall_proposed;
mod fjall_read;
mod fjall_recent;
mod fjall_rejections;
mod fjall_runway;
mod fjall_tree;
mod group;
mod mark;
mod memory;
mod memory_tables;
mod open;
mod past;
mod rejected;
mod rows;
mod topic;
mod watch;

pub use fjall_bare::{BareCommits, bare_group_commit};
pub use fjall_log::FjallLog;
pub use memory::{CommitFault, MemoryLog};
pub use open::{Cut, OpenError, OpenOptions, OpenReport};
pub use past::Change;
pub use topic::{INDEX_ROW_BYTES, IndexRow, Tag, Topic, check_indexed, index_rows, topics};

use atomic_store_core::chain::{self, Broken, Walk};
use atomic_store_core::protocol::StoreId;
use atomic_store_core::record::{Record, RecordView};
use atomic_store_core::{
    AppendId, Digest, Key, Outcome, Position, Proposal, Rejection, RejectionCount, RejectionsEnd,
    ScopeId, ScopeName, Seq,
};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A durable log of many scopes, with the side records that live or die with its events.
///
/// Shaped so that a clustered log can implement it: a unit is all or nothing, a commit may end
/// unknown, positions only compare.
pub trait EventLog: Send + Sync + 'static {
    /// Identity of the store, made with it.
    fn store_id(&self) -> StoreId;

    /// Makes units durable, in order, and says where their records stand. Returns after the disk has
    /// them. Units without records need not reach the disk, only the operating system.
    ///
    /// # Errors
    /// [`CommitError`]: any of the units may be durable or not. The log must not be written again.
    fn commit(&self, units: &mut [Unit]) -> Result<(), CommitError>;

    /// Removes a bounded part of what was deleted or discarded; true if something was removed. Only
    /// the committer calls it. What a crash leaves behind is removed after the next start.
    ///
    /// # Errors
    /// [`CommitError`]. The log must not be written again.
    fn sweep(&self) -> Result<bool, CommitError>;

    /// Called between two commits, when everybody has their answer: what makes the next one faster can
    /// be done here.
    fn between(&self) {}

    /// A number for a scope that is about to be written for the first time.
    fn new_scope_id(&self) -> ScopeId;

    /// The last durable position.
    fn position(&self) -> Position;

    /// Group commits since the store was made.
    fn commits(&self) -> u64;

    /// True while there is more free space than the reserve.
    fn has_room(&self) -> bool;

    /// A scope that has events.
    ///
    /// # Errors
    /// [`ReadError`].
    fn scope(&self, name: &ScopeName) -> Result<Option<ScopeRow>, ReadError>;

    /// Scopes whose names start with `prefix` and come after `after`, by name; at most `limit`.
    ///
    /// # Errors
    /// [`ReadError`].
    fn scopes(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<ScopeRow>, ReadError>;

    /// How many scopes have events.
    fn scope_count(&self) -> u64;

    /// Calls `each` with the events after the walk's head up to `through`, in order, each checked
    /// by the walk, until it breaks or the log ends. Over deleted events the walk goes on from the
    /// floor.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] at the first event that does not fit.
    fn read(
        &self,
        scope: &ScopeRow,
        walk: &mut Walk,
        through: Seq,
        each: &mut dyn FnMut(RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError>;

    /// Calls `each` with the events of all scopes after a position, in order, until it breaks or
    /// the log ends. Deleted events are left out. Each event is checked against its own hash and number.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] at the first event that does not fit.
    fn read_order(
        &self,
        after: Position,
        each: &mut dyn FnMut(&ScopeName, RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError>;

    /// What stands for a topic of a scope in [`Unit::index`].
    fn tag(&self, scope: ScopeId, topic: Topic<'_>) -> Tag;

    /// Calls `each` with the durable events of a topic after `after` up to `through`, in order, until
    /// it breaks. Hashes may meet, so an event can come that is not of the topic; none is left out but
    /// those that were deleted.
    ///
    /// # Errors
    /// [`ReadError`].
    fn indexed(
        &self,
        scope: &ScopeRow,
        topic: Topic<'_>,
        after: Seq,
        through: Seq,
        each: &mut dyn FnMut(Seq) -> ControlFlow<()>,
    ) -> Result<(), ReadError>;

    /// The same, the last first.
    ///
    /// # Errors
    /// [`ReadError`].
    fn indexed_back(
        &self,
        scope: &ScopeRow,
        topic: Topic<'_>,
        after: Seq,
        through: Seq,
        each: &mut dyn FnMut(Seq) -> ControlFlow<()>,
    ) -> Result<(), ReadError>;

    /// What was decided under an append id, if that is remembered.
    ///
    /// # Errors
    /// [`ReadError`].
    fn decision(
        &self,
        scope: &ScopeName,
        id: AppendId,
        now_ms: u64,
    ) -> Result<Option<Decision>, ReadError>;

    /// Calls `each` with the entries of the journal of rejections after a number, oldest first, of one
    /// scope or of all, until it breaks.
    ///
    /// # Errors
    /// [`ReadError`].
    fn rejections(
        &self,
        scope: Option<&ScopeName>,
        after: u64,
        each: &mut dyn FnMut(Rejection) -> ControlFlow<()>,
    ) -> Result<(), ReadError>;

    /// Where that journal ends, and after which number the last so many entries come.
    fn rejections_end(&self, scope: Option<&ScopeName>, last: u64) -> RejectionsEnd;

    /// How often that journal holds what.
    fn rejection_counts(&self, scope: Option<&ScopeName>) -> Vec<RejectionCount>;

    /// The newest intact snapshot of a scope under a rule, at or before `through` and after the floor.
    ///
    /// # Errors
    /// [`ReadError`]. A snapshot that fails its checksum is skipped with a warning.
    fn snapshot(
        &self,
        scope: ScopeId,
        rule: &Digest,
        through: Seq,
    ) -> Result<Option<Snapshot>, ReadError>;

    /// What was proposed in the append whose first event is `first`, if other events were stored in
    /// its place.
    ///
    /// # Errors
    /// [`ReadError`].
    fn proposed(&self, scope: ScopeId, first: Seq) -> Result<Option<Vec<Proposal>>, ReadError>;

    /// All snapshots of a scope under a rule, the newest first, each with its event; or what is wrong
    /// with it.
    ///
    /// # Errors
    /// [`ReadError`].
    fn snapshots(&self, scope: ScopeId, rule: &Digest) -> Result<Vec<KeptSnapshot>, ReadError>;

    /// The bytes of a component.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::Damaged`] if the bytes do not have this digest.
    fn module(&self, digest: &Digest) -> Result<Option<Vec<u8>>, ReadError>;

    /// Syncs what is left and marks the store as cleanly closed. Nothing is committed afterwards.
    ///
    /// # Errors
    /// [`CommitError`].
    fn close(&self) -> Result<(), CommitError>;
}

/// A scope as the log knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeRow {
    /// Its number.
    pub id: ScopeId,
    /// Its name.
    pub name: ScopeName,
    /// Its last durable event; 0 before the first.
    pub head: Seq,
    /// The chain's hash at the head.
    pub hash: Digest,
    /// Where its events begin.
    pub floor: Floor,
    /// Bytes of the records of its events.
    pub bytes: u64,
}

/// Where the events of a scope begin: all up to this one were deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// The last deleted event; 0 if none was.
    pub seq: Seq,
    /// The chain's hash there. The first event after it links to this.
    pub hash: Digest,
}

impl Floor {
    /// The floor of a scope of which nothing was deleted.
    #[must_use]
    pub fn none(name: &ScopeName) -> Self {
        Floor { seq: Seq::ZERO, hash: chain::genesis(name) }
    }
}

impl ScopeRow {
    /// A scope before its first event.
    #[must_use]
    pub fn empty(id: ScopeId, name: ScopeName) -> Self {
        let floor = Floor::none(&name);
        ScopeRow { id, name, head: Seq::ZERO, hash: floor.hash, floor, bytes: 0 }
    }

    /// How many events it has.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.head.0.saturating_sub(self.floor.seq.0)
    }

    /// Walks the events after `after`, or after the floor if those before it are asked for.
    #[must_use]
    pub fn walk_after(&self, after: Seq) -> Walk {
        if after <= self.floor.seq {
            Walk::from(self.floor.seq, self.floor.hash)
        } else if after == self.head {
            Walk::from(self.head, self.hash)
        } else {
            Walk::after(&self.name, after)
        }
    }
}

/// One append, decided: its events and the side records that must live or die with them.
#[derive(Debug)]
pub struct Unit {
    /// The scope it belongs to; `head` and `hash` in here are not used.
    pub scope: Arc<ScopeRow>,
    /// The scope's head before this unit. The log must be there; if not, nothing is committed.
    pub at: Seq,
    /// Bytes of the records that the scope had before this unit. Used if it brings more.
    pub bytes: u64,
    /// The events, numbered from `at` + 1. May be none.
    pub records: Vec<Record>,
    /// Where the first of them stands in the order over all scopes, and the others behind it. The commit
    /// says so; 0 for what is kept unseen.
    pub first: Position,
    /// Under which topics the events are found, see [`index_rows`]. Empty for events without keys and
    /// triggers.
    pub index: Vec<IndexRow>,
    /// What to remember under which append id.
    pub decision: Option<(AppendId, Decision)>,
    /// A snapshot to keep; the last two of a rule are kept.
    pub snapshot: Option<Box<Snapshot>>,
    /// The rule and the event of a snapshot to remove.
    pub dropped: Option<Box<(Digest, Seq)>>,
    /// A component to keep.
    pub module: Option<Box<(Digest, Arc<[u8]>)>>,
    /// A change of the past of a scope.
    pub change: Option<Box<Change>>,
    /// An entry of the journal of rejections; the commit says where it stands there.
    pub rejection: Option<Box<Rejection>>,
    /// What was proposed, if the records are others: by it a verification can ask again.
    pub proposed: Option<Vec<Proposal>>,
    /// What the store's clock says, in milliseconds since 1970-01-01 UTC: by it decisions are
    /// forgotten. Not the time of the events, which never falls within a scope and so may be ahead.
    pub host_ms: u64,
}

/// A stored snapshot with its event, or what is wrong with it.
pub type KeptSnapshot = (Seq, Result<Snapshot, String>);

/// What is remembered of a decided append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// It stored these events; the rest of the answer is read from them.
    Committed {
        /// The first event.
        first: Seq,
        /// The last event.
        last: Seq,
        /// The validator's sentence.
        reason: Option<String>,
        /// The validator's data for the caller.
        #[serde(with = "serde_bytes")]
        meta: Option<Vec<u8>>,
    },
    /// It stored nothing, and this was the outcome.
    Nothing(Box<Outcome>),
    /// It conflicted with these events; what the answer says of them is read again.
    Conflict {
        /// Proposals before the first conflict.
        accepted: u32,
        /// The conflicts.
        rows: Vec<ConflictRow>,
    },
    /// It was a joint append, remembered under its first scope by name.
    Joint(Box<JointDecision>),
}

/// What is remembered of a joint append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JointDecision {
    /// All accepted: what each scope did, by name.
    Stored(Vec<JointPart>),
    /// This scope did not accept.
    Refused {
        /// Which.
        scope: ScopeName,
        /// What it said.
        why: JointRefusal,
    },
}

/// What one scope did in a joint append that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JointPart {
    /// The scope.
    pub scope: ScopeName,
    /// Its first and last new event, if there are any.
    pub events: Option<(Seq, Seq)>,
    /// The validator's sentence.
    pub reason: Option<String>,
    /// The validator's data for the caller.
    #[serde(with = "serde_bytes")]
    pub meta: Option<Vec<u8>>,
}

/// Why a scope refused its part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JointRefusal {
    /// This was the outcome.
    Outcome(Outcome),
    /// It conflicted; see [`Decision::Conflict`].
    Conflict {
        /// Proposals before the first conflict.
        accepted: u32,
        /// The conflicts.
        rows: Vec<ConflictRow>,
    },
}

/// A conflict without the later event itself; see [`atomic_store_core::Conflict`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictRow {
    /// Which proposal.
    pub index: Option<u32>,
    /// The number it would have had.
    pub ours: Seq,
    /// The key in question.
    pub key: Key,
    /// The trigger between the two.
    pub trigger: Option<Key>,
    /// The later event.
    pub theirs: Seq,
}

/// A validator's state at a seq.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Under which rule: the hash of the validator's digest and its configuration.
    pub rule: Digest,
    /// After which event.
    pub seq: Seq,
    /// The chain's hash at that event.
    pub hash: Digest,
    /// The store's time of that event.
    pub host_ms: u64,
    /// The state.
    #[serde(with = "serde_bytes")]
    pub state: Vec<u8>,
}

/// A commit whose effect is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the commit may or may not be durable: {0}")]
pub struct CommitError(pub String);

/// A read that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// What was read is not what was written.
    #[error("scope {scope}: {found}")]
    Damaged {
        /// Where.
        scope: ScopeName,
        /// The event that should have come.
        seq: Seq,
        /// What came instead.
        found: Broken,
    },
    /// A side record, or the order over all scopes, is not what was written.
    #[error("{0}")]
    DamagedIndex(String),
    /// The disk or the tree failed.
    #[error("{0}")]
    Storage(String),
}
