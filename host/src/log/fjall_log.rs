//! [`FjallLog`]: the log on disk.
//!
//! Invariants: one process has the directory; commits go one at a time; after the first error nothing
//! is committed again.

use super::dir::DataDir;
use super::fjall_commit::Committer;
use super::fjall_read::Names;
use super::fjall_recent::Recent;
use super::fjall_rejections::{self, SharedKept};
use super::fjall_tree::{Tree, read_error};
use super::rejected::Kept;
use super::rows::{self, Buckets, Mask};
use super::watch::{Durable, Task, Watch};
use super::{
    CommitError, Decision, EventLog, KeptSnapshot, OpenError, OpenOptions, OpenReport, ReadError,
    ScopeRow, Snapshot, Tag, Topic, Unit,
};
use atomic_store_core::chain::Walk;
use atomic_store_core::protocol::StoreId;
use atomic_store_core::record::RecordView;
use atomic_store_core::{AppendId, Digest, Position, Proposal, Rejection, RejectionCount};
use atomic_store_core::{RejectionsEnd, ScopeId, ScopeName, Seq};
use fjall::{PersistMode, Readable};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// A log in a directory, in a tree of the crate `fjall`.
pub struct FjallLog {
    // Fields are dropped in this order: the threads end and the tree closes before the lock goes.
    pub(super) watch: Mutex<Option<Watch>>,
    pub(super) committer: Mutex<Committer>,
    pub(super) tree: Tree,
    pub(super) task: Task,
    pub(super) next_scope: AtomicU64,
    pub(super) scope_count: AtomicU64,
    /// Makes the keys of decisions unpredictable.
    pub(super) secret: [u8; 32],
    pub(super) buckets: Buckets,
    /// The buckets of decisions that exist.
    pub(super) alive: RwLock<BTreeSet<u32>>,
    /// Decisions that are not in the tree's index yet.
    pub(super) recent: Arc<Recent>,
    /// The entries of the journal of rejections.
    pub(super) rejected: SharedKept,
    pub(super) names: Names,
    pub(super) _dir: DataDir,
}

impl FjallLog {
    /// Opens the store in a directory, or makes one, and says what was found.
    ///
    /// # Errors
    /// [`OpenError`]: the store is in use, damaged, newer, or lacks acknowledged commits.
    pub fn open(options: &OpenOptions) -> Result<(Self, OpenReport), OpenError> {
        super::fjall_open::open(options)
    }

    // A panic below this lock stops the log; see `batch`.
    fn committer(&self) -> MutexGuard<'_, Committer> {
        self.committer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what is kept of the journal of rejections.
    fn kept<T>(&self, scope: Option<&ScopeName>, look: impl Fn(&Kept, Option<u64>) -> T) -> T {
        let tag = scope.map(|scope| fjall_rejections::tag(&self.secret, scope));
        look(&self.rejected.read().unwrap_or_else(PoisonError::into_inner), tag)
    }

    /// Lets somebody write a batch, for which there is room; nobody any more after an error.
    fn batch<T>(
        &self,
        write: impl FnOnce(&mut Committer) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        let mut committer = self.committer();
        if let Some(why) = &committer.stopped {
            return Err(CommitError(why.clone()));
        }
        let written = || {
            self.tree.make_room().map_err(|error| CommitError(error.to_string()))?;
            write(&mut committer)
        };
        // The tree panics on some damage, for example when its numbers run out. That is an error
        // like any other: what was written is not known, so nothing is written after it.
        let result = catch_unwind(AssertUnwindSafe(written))
            .unwrap_or_else(|_| Err(CommitError("the tree panicked".to_owned())));
        if let Err(CommitError(why)) = &result {
            committer.stopped = Some(format!("stopped by an earlier error: {why}"));
        }
        result
    }

    fn write(&self, committer: &mut Committer, units: &mut [Unit]) -> Result<(), CommitError> {
        let oldest = self.alive.read().unwrap_or_else(PoisonError::into_inner).first().copied();
        let done = committer.commit(&self.tree, self.buckets, oldest, units)?;
        if !done.changed.is_empty() {
            // Before anything of it may be removed.
            self.tree.past.set(done.changed);
        }
        let Committer { commits, position, scopes, .. } = *committer;
        self.task.gauge.advance(Durable { commits, position });
        self.scope_count.store(scopes, Ordering::Relaxed);
        let known = {
            let alive = self.alive.read().unwrap_or_else(PoisonError::into_inner);
            done.closed.is_none() && done.opened.is_subset(&alive)
        };
        if !known {
            let mut alive = self.alive.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(closed) = done.closed {
                alive.remove(&closed);
            }
            alive.extend(done.opened);
        }
        Ok(())
    }
}

impl EventLog for FjallLog {
    fn store_id(&self) -> StoreId {
        self.task.store
    }

    fn commit(&self, units: &mut [Unit]) -> Result<(), CommitError> {
        self.batch(|committer| self.write(committer, units))
    }

    fn between(&self) {
        let mut committer = self.committer();
        if committer.stopped.is_none() {
            committer.runway.extend();
        }
    }

    fn sweep(&self) -> Result<bool, CommitError> {
        self.batch(|committer| committer.sweep.part(&self.tree, &self.secret))
    }

    fn new_scope_id(&self) -> ScopeId {
        ScopeId(self.next_scope.fetch_add(1, Ordering::Relaxed))
    }

    fn position(&self) -> Position {
        self.task.gauge.durable().position
    }

    fn commits(&self) -> u64 {
        self.task.gauge.durable().commits
    }

    fn has_room(&self) -> bool {
        self.task.gauge.has_room()
    }

    fn scope(&self, name: &ScopeName) -> Result<Option<ScopeRow>, ReadError> {
        self.tree.scope(name)
    }

    fn scopes(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<ScopeRow>, ReadError> {
        self.tree.scopes(prefix, after, limit)
    }

    fn scope_count(&self) -> u64 {
        self.scope_count.load(Ordering::Relaxed)
    }

    fn read(
        &self,
        scope: &ScopeRow,
        walk: &mut Walk,
        through: Seq,
        each: &mut dyn FnMut(RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.tree.read(scope, walk, through, each)
    }

    fn read_order(
        &self,
        after: Position,
        each: &mut dyn FnMut(&ScopeName, RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.tree.read_order(&self.names, after, each)
    }

    fn tag(&self, scope: ScopeId, topic: Topic<'_>) -> Tag {
        Tag::new(&self.secret, scope, topic)
    }

    fn indexed(
        &self,
        scope: &ScopeRow,
        topic: Topic<'_>,
        after: Seq,
        through: Seq,
        each: &mut dyn FnMut(Seq) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let after = after.max(self.tree.past.floor(scope.id, &scope.name).seq);
        self.tree.indexed(self.tag(scope.id, topic), after, through, false, each)
    }

    fn indexed_back(
        &self,
        scope: &ScopeRow,
        topic: Topic<'_>,
        after: Seq,
        through: Seq,
        each: &mut dyn FnMut(Seq) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let after = after.max(self.tree.past.floor(scope.id, &scope.name).seq);
        self.tree.indexed(self.tag(scope.id, topic), after, through, true, each)
    }

    fn decision(
        &self,
        scope: &ScopeName,
        id: AppendId,
        now_ms: u64,
    ) -> Result<Option<Decision>, ReadError> {
        let mask = Mask::new(&self.secret, scope);
        let alive = self.alive.read().unwrap_or_else(PoisonError::into_inner);
        // By the buckets that exist and not by the clock alone: a clock that jumped may have put a
        // decision where it does not look.
        for bucket in alive.iter().rev().filter(|b| !self.buckets.expired(**b, now_ms)) {
            let key = rows::append_key(*bucket, mask, id);
            // What leaves memory meanwhile is in the tree before it does.
            let found = match self.recent.get(&key) {
                Some(bytes) => Some(bytes),
                None => self.tree.db.snapshot().get(&self.tree.appends, key).map_err(read_error)?,
            };
            if let Some(bytes) = found {
                let decision = rows::decode_decision(&bytes).map_err(|why| {
                    ReadError::DamagedIndex(format!("the decision on append {id}: {why}"))
                })?;
                return Ok(Some(decision));
            }
        }
        Ok(None)
    }

    fn rejections(
        &self,
        scope: Option<&ScopeName>,
        after: u64,
        each: &mut dyn FnMut(Rejection) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let scope = scope.map(|scope| (fjall_rejections::tag(&self.secret, scope), scope));
        fjall_rejections::read_entries(&self.tree, &self.rejected, scope, after, each)
    }

    fn rejections_end(&self, scope: Option<&ScopeName>, last: u64) -> RejectionsEnd {
        self.kept(scope, |kept, tag| kept.end(tag, last))
    }

    fn rejection_counts(&self, scope: Option<&ScopeName>) -> Vec<RejectionCount> {
        self.kept(scope, Kept::counts)
    }

    fn snapshot(
        &self,
        scope: ScopeId,
        rule: &Digest,
        through: Seq,
    ) -> Result<Option<Snapshot>, ReadError> {
        self.tree.snapshot(scope, rule, through)
    }

    fn proposed(&self, scope: ScopeId, first: Seq) -> Result<Option<Vec<Proposal>>, ReadError> {
        super::fjall_proposed::read(&self.tree, scope, first)
    }

    fn snapshots(&self, scope: ScopeId, rule: &Digest) -> Result<Vec<KeptSnapshot>, ReadError> {
        self.tree.snapshots_of(scope, rule)
    }

    fn module(&self, digest: &Digest) -> Result<Option<Vec<u8>>, ReadError> {
        self.tree.module(digest)
    }

    fn close(&self) -> Result<(), CommitError> {
        let mut committer = self.committer();
        let Some(watch) = self.watch.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        drop(watch);
        if let Some(why) = &committer.stopped {
            return Err(CommitError(why.clone()));
        }
        committer.stopped = Some("the log is closed".to_owned());
        committer.decisions.finish()?;
        committer.rejections.finish(&self.tree)?;
        let synced = self.tree.db.persist(PersistMode::SyncAll);
        synced.map_err(|error| CommitError(error.to_string()))?;
        let marked = self.task.mark(self.task.gauge.durable(), true);
        marked.map_err(|error| CommitError(format!("the mark cannot be written: {error}")))
    }
}
