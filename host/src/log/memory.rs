//! [`MemoryLog`]: a log in memory, for simulation and tests.
//!
//! It keeps what a disk would keep apart from what it shows, fails when told to, and is deterministic:
//! no thread, no clock, no randomness but a given seed. It is stricter than the log on disk: a unit
//! that does not continue its scope's chain is an error, so that a simulation finds it at once.

use super::group;
use super::memory_tables::{Stored, Tables};
use super::rejected::{Kept, Row, class};
use super::rows::Buckets;
use super::{
    CommitError, Decision, EventLog, KeptSnapshot, ReadError, ScopeRow, Snapshot, Tag, Topic, Unit,
};
use atomic_store_core::chain::{Broken, Walk};
use atomic_store_core::protocol::StoreId;
use atomic_store_core::record::RecordView;
use atomic_store_core::{AppendId, Digest, Limits, Position, Proposal, Rejection, RejectionCount};
use atomic_store_core::{RejectionsEnd, ScopeId, ScopeName, Seq, codec};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Records read under one lock.
const CHUNK: usize = 64;

/// How a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// Nothing of the group survives.
    Before,
    /// All of the group is durable, and the caller is told otherwise.
    After,
}

/// A log in memory.
#[derive(Debug)]
pub struct MemoryLog {
    store: StoreId,
    limits: Limits,
    buckets: Buckets,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What readers see.
    live: Tables,
    /// The entries of the journal of rejections that are kept.
    rejections: BTreeMap<u64, Rejection>,
    kept: Kept,
    /// Everything written, in order, as a journal would have it.
    journal: Vec<Arc<Vec<Stored>>>,
    /// How much of the journal a crash cannot take.
    durable: usize,
    /// For records with their positions, again and again.
    buffer: Vec<u8>,
    next_scope: u64,
    stopped: Option<String>,
    full: bool,
    commits: u64,
    reads: u64,
    commit_faults: BTreeMap<u64, CommitFault>,
    read_faults: BTreeSet<u64>,
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new(store: StoreId, limits: Limits) -> Self {
        let state = State::new(&limits);
        let buckets = Buckets::new(limits.append_id_ms);
        MemoryLog { store, limits, buckets, state: Mutex::new(state) }
    }

    /// Makes the nth commit from the start of this log fail, counted from 1.
    pub fn fail_commit(&self, nth: u64, how: CommitFault) {
        self.state().commit_faults.insert(nth, how);
    }

    /// Makes the nth read from the start of this log fail, counted from 1.
    pub fn fail_read(&self, nth: u64) {
        self.state().read_faults.insert(nth);
    }

    /// Commits so far, failed ones included.
    #[must_use]
    pub fn commit_calls(&self) -> u64 {
        self.state().commits
    }

    /// Reads so far, failed ones included.
    #[must_use]
    pub fn read_calls(&self) -> u64 {
        self.state().reads
    }

    /// How many scopes are on their way in, unseen.
    #[must_use]
    pub fn staged(&self) -> usize {
        self.state().live.staged()
    }

    /// Loses the rows of the index of an event. False if there were none.
    pub fn forget_index(&self, scope: &ScopeName, seq: Seq) -> bool {
        self.state().live.forget_index(scope, seq)
    }

    /// Says whether the disk has room.
    pub fn set_room(&self, room: bool) {
        self.state().full = !room;
    }

    /// Flips a bit of a stored event. False if there is no such event.
    pub fn damage(&self, scope: &ScopeName, seq: Seq) -> bool {
        self.state().live.damage(scope, seq)
    }

    /// Changes the state in the newest snapshot of a scope, as no checksum notices. False if there is
    /// none.
    pub fn spoil_snapshot(&self, scope: &ScopeName) -> bool {
        let flip = |state: &mut Vec<u8>| state.iter_mut().last().into_iter().for_each(|b| *b ^= 1);
        self.state().live.spoil_snapshot(scope, flip)
    }

    /// Cuts the state in the newest snapshot of a scope short, as no checksum notices. False if there
    /// is none.
    pub fn cut_snapshot(&self, scope: &ScopeName) -> bool {
        self.state().live.spoil_snapshot(scope, |state| state.truncate(8))
    }

    /// Removes a stored event and all behind it, but not what is known of the head. False if there
    /// is no such event.
    pub fn lose(&self, scope: &ScopeName, seq: Seq) -> bool {
        self.state().live.lose(scope, seq)
    }

    /// The log after a crash: what was durable, and as much of the rest as the seed says.
    #[must_use]
    pub fn crash(&self, seed: u64) -> MemoryLog {
        let state = self.state();
        let loose = state.journal.len() - state.durable;
        // A journal is one file written in order, so what survives of it is a beginning.
        let kept = state.durable + usize::try_from(mix(seed)).unwrap_or(0) % (loose + 1);
        let mut after = State { full: state.full, ..State::new(&self.limits) };
        for group in &state.journal[..kept] {
            after.live.apply(group, self.buckets);
            after.refuse(group);
            after.journal.push(Arc::clone(group));
        }
        after.durable = kept;
        after.next_scope = after.live.next_scope();
        after.live.drop_staged();
        // On disk this is what the ceiling of numbers is for.
        after.kept.skip_to(state.kept.last());
        let buckets = self.buckets;
        MemoryLog {
            store: self.store,
            limits: self.limits.clone(),
            buckets,
            state: Mutex::new(after),
        }
    }

    // A panic in here is a failed test anyway.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading(&self) -> Result<MutexGuard<'_, State>, ReadError> {
        let mut state = self.state();
        state.reads += 1;
        let nth = state.reads;
        if state.read_faults.remove(&nth) {
            return Err(ReadError::Storage(format!("read {nth} was told to fail")));
        }
        Ok(state)
    }
}

/// What stands for a scope in the journal of rejections.
fn tag(scope: &ScopeName) -> u64 {
    let Digest(bytes) = Digest::of(scope.as_str().as_bytes());
    bytes.first_chunk().map_or(0, |half| u64::from_be_bytes(*half))
}

/// One step of splitmix64.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl State {
    fn new(limits: &Limits) -> Self {
        State {
            live: Tables::default(),
            rejections: BTreeMap::new(),
            kept: Kept::new(limits),
            journal: Vec::new(),
            durable: 0,
            buffer: Vec::new(),
            next_scope: 1,
            stopped: None,
            full: false,
            commits: 0,
            reads: 0,
            commit_faults: BTreeMap::new(),
            read_faults: BTreeSet::new(),
        }
    }

    fn commit(&mut self, units: &mut [Unit], buckets: Buckets) -> Result<(), CommitError> {
        self.commits += 1;
        let nth = self.commits;
        let fault = self.commit_faults.remove(&nth);
        if fault == Some(CommitFault::Before) {
            return Err(CommitError(format!("commit {nth} was told to fail before it is durable")));
        }
        let group = group::prepare(units, self.live.position())?;
        let entries = units.iter_mut().filter_map(|unit| unit.rejection.as_deref_mut());
        self.kept.number(entries.map(|entry| (tag(&entry.scope), entry)));
        let stored = units.iter().map(|unit| Stored::new(unit, &mut self.buffer));
        let stored = Arc::new(stored.collect::<Vec<_>>());
        self.live.check(&stored)?;
        self.journal.push(Arc::clone(&stored));
        if group.synced {
            // One file: syncing it syncs what was written before.
            self.durable = self.journal.len();
        }
        if fault == Some(CommitFault::After) {
            return Err(CommitError(format!("commit {nth} was told to fail after it is durable")));
        }
        self.live.apply(&stored, buckets);
        self.refuse(&stored);
        Ok(())
    }

    /// Takes up the entries of a group that is written.
    fn refuse(&mut self, group: &[Stored]) {
        for entry in group.iter().filter_map(|stored| stored.rejection.as_ref()) {
            // As on disk: with a byte for the version.
            let bytes = codec::encode(entry).map_or(0, |bytes| bytes.len() + 1);
            let (tag, bytes) = (tag(&entry.scope), u32::try_from(bytes).unwrap_or(u32::MAX));
            let row = Row { number: entry.number, tag, bytes, class: class(entry, &Arc::from("")) };
            self.rejections.insert(entry.number, entry.clone());
            for gone in self.kept.add(row) {
                self.rejections.remove(&gone.number);
            }
        }
    }
}

impl EventLog for MemoryLog {
    fn store_id(&self) -> StoreId {
        self.store
    }

    fn commit(&self, units: &mut [Unit]) -> Result<(), CommitError> {
        let mut state = self.state();
        if let Some(why) = &state.stopped {
            return Err(CommitError(why.clone()));
        }
        let result = state.commit(units, self.buckets);
        if let Err(CommitError(why)) = &result {
            state.stopped = Some(format!("stopped by an earlier error: {why}"));
        }
        result
    }

    // What was deleted is gone here at once.
    fn sweep(&self) -> Result<bool, CommitError> {
        Ok(false)
    }

    fn new_scope_id(&self) -> ScopeId {
        let mut state = self.state();
        state.next_scope += 1;
        ScopeId(state.next_scope - 1)
    }

    fn position(&self) -> Position {
        self.state().live.position()
    }

    fn commits(&self) -> u64 {
        self.state().live.commits()
    }

    fn has_room(&self) -> bool {
        !self.state().full
    }

    fn scope(&self, name: &ScopeName) -> Result<Option<ScopeRow>, ReadError> {
        let state = self.reading()?;
        let Some(row) = state.live.scope(name) else { return Ok(None) };
        if let Some(found) = state.live.short(name) {
            let expected = row.head;
            let found = Broken::Short { expected, found };
            return Err(ReadError::Damaged { scope: name.clone(), seq: expected, found });
        }
        Ok(Some(row))
    }

    fn scopes(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<ScopeRow>, ReadError> {
        Ok(self.reading()?.live.scopes(prefix, after, limit))
    }

    fn scope_count(&self) -> u64 {
        self.state().live.scope_count()
    }

    fn read(
        &self,
        scope: &ScopeRow,
        walk: &mut Walk,
        through: Seq,
        each: &mut dyn FnMut(RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let damaged =
            |seq: Seq, found| ReadError::Damaged { scope: scope.name.clone(), seq, found };
        let mut first = true;
        while walk.head() < through {
            // Not locked while `each` runs, so that it may read too.
            let state = if first { self.reading()? } else { self.state() };
            first = false;
            let floor = state.live.scope(&scope.name).map_or(scope.floor, |row| row.floor);
            if walk.head() < floor.seq {
                *walk = Walk::from(floor.seq, floor.hash);
                if walk.head() >= through {
                    return Ok(());
                }
            }
            let chunk = state.live.records(&scope.name, walk.head().next(), through, CHUNK);
            drop(state);
            if chunk.is_empty() {
                break;
            }
            for record in chunk {
                let expected = walk.head().next();
                let view = walk.step(&record).map_err(|found| damaged(expected, found))?;
                if each(view).is_break() {
                    return Ok(());
                }
            }
        }
        let (expected, found) = (through.min(scope.head), walk.head());
        if found < expected {
            return Err(damaged(found.next(), Broken::Short { expected, found }));
        }
        Ok(())
    }

    fn read_order(
        &self,
        after: Position,
        each: &mut dyn FnMut(&ScopeName, RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let mut after = after;
        let mut first = true;
        loop {
            let state = if first { self.reading()? } else { self.state() };
            first = false;
            let chunk = state.live.order(after, CHUNK);
            drop(state);
            if chunk.is_empty() {
                return Ok(());
            }
            for (position, name, seq, record) in chunk {
                let damaged = |found| ReadError::Damaged { scope: name.clone(), seq, found };
                let mut walk = Walk::after(&name, Seq(seq.0 - 1));
                let short = Broken::Short { expected: seq, found: walk.head() };
                let record = record.ok_or_else(|| damaged(short))?;
                let view = walk.step(&record).map_err(damaged)?;
                after = position;
                if each(&name, view).is_break() {
                    return Ok(());
                }
            }
        }
    }

    fn tag(&self, scope: ScopeId, topic: Topic<'_>) -> Tag {
        Tables::tag(scope, topic)
    }

    fn indexed(
        &self,
        scope: &ScopeRow,
        topic: Topic<'_>,
        after: Seq,
        through: Seq,
        each: &mut dyn FnMut(Seq) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let found = self.reading()?.live.indexed(scope, self.tag(scope.id, topic), after, through);
        // Not locked while `each` runs, so that it may read too.
        let _stopped = found.into_iter().try_for_each(each);
        Ok(())
    }

    fn indexed_back(
        &self,
        scope: &ScopeRow,
        topic: Topic<'_>,
        after: Seq,
        through: Seq,
        each: &mut dyn FnMut(Seq) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let found = self.reading()?.live.indexed(scope, self.tag(scope.id, topic), after, through);
        let _stopped = found.into_iter().rev().try_for_each(each);
        Ok(())
    }

    fn decision(
        &self,
        scope: &ScopeName,
        id: AppendId,
        now_ms: u64,
    ) -> Result<Option<Decision>, ReadError> {
        Ok(self.reading()?.live.decision(scope, id, |bucket| !self.buckets.expired(bucket, now_ms)))
    }

    fn rejections(
        &self,
        scope: Option<&ScopeName>,
        after: u64,
        each: &mut dyn FnMut(Rejection) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let (tag, mut after, mut first) = (scope.map(tag), after, true);
        loop {
            // Not locked while `each` runs, so that it may read too.
            let state = if first { self.reading()? } else { self.state() };
            first = false;
            let rows = state.kept.next(tag, after, CHUNK);
            let entry = |row: &Row| state.rejections.get(&row.number).cloned();
            let found: Vec<_> = rows.iter().filter_map(entry).collect();
            drop(state);
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.number;
            let mut wanted = found.into_iter().filter(|e| scope.is_none_or(|s| *s == e.scope));
            if wanted.try_for_each(&mut *each).is_break() {
                return Ok(());
            }
        }
    }

    fn rejections_end(&self, scope: Option<&ScopeName>, last: u64) -> RejectionsEnd {
        self.state().kept.end(scope.map(tag), last)
    }

    fn rejection_counts(&self, scope: Option<&ScopeName>) -> Vec<RejectionCount> {
        self.state().kept.counts(scope.map(tag))
    }

    fn snapshot(
        &self,
        scope: ScopeId,
        rule: &Digest,
        through: Seq,
    ) -> Result<Option<Snapshot>, ReadError> {
        Ok(self.reading()?.live.snapshot(scope, rule, through))
    }

    fn proposed(&self, scope: ScopeId, first: Seq) -> Result<Option<Vec<Proposal>>, ReadError> {
        Ok(self.reading()?.live.proposed(scope, first))
    }

    fn snapshots(&self, scope: ScopeId, rule: &Digest) -> Result<Vec<KeptSnapshot>, ReadError> {
        Ok(self.reading()?.live.snapshots(scope, rule))
    }

    fn module(&self, digest: &Digest) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.reading()?.live.module(digest))
    }

    fn close(&self) -> Result<(), CommitError> {
        let mut state = self.state();
        let closed = "the log is closed";
        match &state.stopped {
            Some(why) if why != closed => Err(CommitError(why.clone())),
            _ => {
                state.durable = state.journal.len();
                state.stopped = Some(closed.to_owned());
                Ok(())
            }
        }
    }
}
