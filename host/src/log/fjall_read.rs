//! Reads from the tree. Every read sees whole group commits only, through a snapshot of the tree.

use super::fjall_ahead::Ahead;
use super::fjall_tree::{Tree, read_error};
use super::rows::{self, OrderRow, Run, ScopeHead};
use super::topic::{IndexRow, Tag};
use super::{KeptSnapshot, ReadError, ScopeRow, Snapshot};
use atomic_store_core::chain::{Broken, Walk};
use atomic_store_core::record::RecordView;
use atomic_store_core::{Digest, Position, ScopeId, ScopeName, Seq};
use fjall::Readable;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::RwLock;

/// Names kept at hand for readers of the whole order.
const NAMES_MAX: usize = 100_000;

/// A run of at most this many events is read event by event; for more, one seek is cheaper.
const POINT_READS_MAX: u64 = 3;

/// Names of scopes by number. They never change, so the cache never is wrong.
#[derive(Default)]
pub(super) struct Names(RwLock<HashMap<ScopeId, ScopeName>>);

/// Receives events one by one.
pub(super) type Each<'a> = &'a mut dyn FnMut(RecordView<'_>) -> ControlFlow<()>;

impl Tree {
    /// The scope of that name with its true head.
    pub(super) fn scope(&self, name: &ScopeName) -> Result<Option<ScopeRow>, ReadError> {
        let view = self.db.snapshot();
        let Some(bytes) = view.get(&self.scopes, name.as_str()).map_err(read_error)? else {
            return Ok(None);
        };
        let (row, damage) = self.find_head(&view, name, &bytes)?;
        match damage {
            None => Ok(Some(row)),
            Some(found) => {
                Err(ReadError::Damaged { scope: name.clone(), seq: row.head.next(), found })
            }
        }
    }

    /// Scopes by name. A damaged one is listed with its last intact head: reading it says the rest.
    pub(super) fn scopes(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<ScopeRow>, ReadError> {
        let view = self.db.snapshot();
        let mut found = Vec::new();
        let mut start = after.as_bytes().to_vec();
        start.push(0);
        let start = if prefix > after { prefix.as_bytes().to_vec() } else { start };
        for guard in view.range(&self.scopes, start..) {
            let (key, bytes) = guard.into_inner().map_err(read_error)?;
            if found.len() >= limit || !key.starts_with(prefix.as_bytes()) {
                break;
            }
            let name = scope_name(&key)?;
            let (row, damage) = self.find_head(&view, &name, &bytes)?;
            if let Some(damage) = damage {
                tracing::warn!("scope {name} is damaged after event {}: {damage}", row.head);
            }
            found.push(row);
        }
        Ok(found)
    }

    /// Walks from the recorded head to the true one. If something does not fit, the row ends before
    /// it.
    fn find_head(
        &self,
        view: &fjall::Snapshot,
        name: &ScopeName,
        bytes: &[u8],
    ) -> Result<(ScopeRow, Option<Broken>), ReadError> {
        let ScopeHead { id, head, hash, bytes } = ScopeHead::decode(bytes)
            .map_err(|why| ReadError::DamagedIndex(format!("the row of scope {name}: {why}")))?;
        let floor = self.past.floor(id, name);
        let row = |head, hash, bytes| {
            let name = name.clone();
            ScopeRow { id, name, head, hash, floor, bytes }
        };
        // A row from before the deletion counts bytes that are gone.
        let mut bytes = if head < floor.seq { 0 } else { bytes };
        let before = Seq(head.0.saturating_sub(1)).max(floor.seq);
        let mut walk = match before {
            before if before == floor.seq => Walk::from(floor.seq, floor.hash),
            before => Walk::after(name, before),
        };
        let range = rows::event_key(id, before.next())..=rows::event_key(id, Seq::MAX);
        let mut records = Ahead::new(view.range(&self.events, range));
        while let Some(record) = records.next() {
            let (record, intact) = record?;
            let before_it = (walk.head(), walk.hash());
            if let Err(found) = walk.step_known(record, intact) {
                let (at, known) = before_it;
                return Ok((row(at, known.unwrap_or_default(), bytes), Some(found)));
            }
            if walk.head() == head && walk.hash() != Some(hash) {
                return Ok((row(before, Digest::default(), bytes), Some(Broken::Link(head))));
            }
            if walk.head() > head {
                bytes += record.len() as u64;
            }
        }
        if walk.head() < head {
            let found = self.last_before(view, id, head)?;
            let short = Broken::Short { expected: head, found };
            return Ok((row(found, Digest::default(), bytes), Some(short)));
        }
        Ok((row(walk.head(), walk.hash().unwrap_or(hash), bytes), None))
    }

    fn last_before(
        &self,
        view: &fjall::Snapshot,
        id: ScopeId,
        head: Seq,
    ) -> Result<Seq, ReadError> {
        let range = rows::event_key(id, Seq::ZERO)..rows::event_key(id, head);
        let last = view.range(&self.events, range).next_back().map(fjall::Guard::key).transpose();
        let last = last.map_err(read_error)?;
        Ok(last.and_then(|key| rows::event_of(&key)).map_or(Seq::ZERO, |(_, seq)| seq))
    }

    /// The events of a scope behind the walk's head, up to `through`.
    pub(super) fn read(
        &self,
        scope: &ScopeRow,
        walk: &mut Walk,
        through: Seq,
        each: Each<'_>,
    ) -> Result<(), ReadError> {
        if walk.head() >= through {
            return Ok(());
        }
        let damaged =
            |seq: Seq, found| ReadError::Damaged { scope: scope.name.clone(), seq, found };
        let (tree, mut copy) = (self.db.snapshot(), Vec::new());
        let past = self.past.get(scope.id);
        if let Some(floor) = past.map(|past| past.floor).filter(|floor| walk.head() < floor.seq) {
            *walk = Walk::from(floor.seq, floor.hash);
            if walk.head() >= through {
                return Ok(());
            }
        }
        let range =
            rows::event_key(scope.id, walk.head().next())..=rows::event_key(scope.id, through);
        let mut records = Ahead::new(tree.range(&self.events, range));
        while let Some(record) = records.next() {
            let (record, intact) = record?;
            let expected = walk.head().next();
            let record = match &past {
                Some(past) => past.placed(record, expected, &mut copy),
                None => record,
            };
            let view = walk.step_known(record, intact).map_err(|found| damaged(expected, found))?;
            if each(view).is_break() {
                return Ok(());
            }
        }
        let expected = through.min(scope.head);
        if walk.head() < expected {
            let found = walk.head();
            return Err(damaged(found.next(), Broken::Short { expected, found }));
        }
        Ok(())
    }

    /// The numbers in the rows of a tag after `after` up to `through`, in order or the last first.
    pub(super) fn indexed(
        &self,
        tag: Tag,
        after: Seq,
        through: Seq,
        backwards: bool,
        each: &mut dyn FnMut(Seq) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        if after >= through {
            return Ok(());
        }
        let key = |seq| IndexRow { tag, seq }.key();
        let mut rows = self.db.snapshot().range(&self.index, key(after.next())..=key(through));
        while let Some(row) = if backwards { rows.next_back() } else { rows.next() } {
            let key = row.key().map_err(read_error)?;
            let seq = IndexRow::seq_of(&key)
                .ok_or_else(|| ReadError::DamagedIndex("a key of the index".to_owned()))?;
            if each(seq).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The events of all scopes behind a position.
    pub(super) fn read_order(
        &self,
        names: &Names,
        after: Position,
        each: &mut dyn FnMut(&ScopeName, RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let view = self.db.snapshot();
        let mut next: Option<(u64, u64)> = None;
        for row in self.order_from(&view, after)? {
            let (first, row) = row?;
            let last = row.last(first);
            if next.is_some_and(|expected| expected != (first, row.commit)) {
                return Err(ReadError::DamagedIndex(format!(
                    "the order of all events has a hole before position {first}"
                )));
            }
            next = Some((last.saturating_add(1), row.commit.saturating_add(1)));
            if last <= after.0 {
                continue;
            }
            let mut position = first;
            for run in &row.runs {
                let skip = after.0.saturating_add(1).saturating_sub(position).min(run.count);
                let rest =
                    Run { first: run.first.plus(skip), count: run.count - skip, scope: run.scope };
                if rest.count > 0 {
                    let name = self.name(&view, names, run.scope)?;
                    let place = Position(position.saturating_add(skip));
                    if self.run(&view, &name, rest, place, each)?.is_break() {
                        return Ok(());
                    }
                }
                position = position.saturating_add(run.count);
            }
        }
        Ok(())
    }

    /// Rows of `order`, from the one that holds the position behind `after`.
    pub(super) fn order_from(
        &self,
        view: &fjall::Snapshot,
        after: Position,
    ) -> Result<impl Iterator<Item = Result<(u64, OrderRow), ReadError>> + use<>, ReadError> {
        let wanted = rows::order_key(Position(after.0.saturating_add(1)));
        let holder = view.range(&self.order, ..=wanted).next_back().map(fjall::Guard::key);
        let from = match holder.transpose().map_err(read_error)? {
            Some(key) => key.to_vec(),
            None => wanted.to_vec(),
        };
        Ok(view.range(&self.order, from..).map(|guard| {
            let (key, value) = guard.into_inner().map_err(read_error)?;
            let damaged = |why| ReadError::DamagedIndex(format!("the order of all events: {why}"));
            let first = rows::number_of(&key).ok_or_else(|| damaged("bad key".to_owned()))?;
            let row = OrderRow::decode(&value).map_err(|why| damaged(why.to_string()))?;
            Ok((first, row))
        }))
    }

    /// The events of one run.
    fn run(
        &self,
        view: &fjall::Snapshot,
        name: &ScopeName,
        run: Run,
        mut position: Position,
        each: &mut dyn FnMut(&ScopeName, RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let (past, mut copy) = (self.past.get(run.scope), Vec::new());
        let gone = past.map_or(0, |past| (past.floor.seq.0 + 1).saturating_sub(run.first.0));
        let gone = gone.min(run.count);
        let run = Run { first: run.first.plus(gone), count: run.count - gone, ..run };
        if run.count == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        position = Position(position.0.saturating_add(gone));
        let mut walk = Walk::after(name, Seq(run.first.0.saturating_sub(1)));
        let damaged = |seq: Seq, found| ReadError::Damaged { scope: name.clone(), seq, found };
        let mut step = |record: &[u8], intact: bool| {
            let expected = walk.head().next();
            let record = match &past {
                Some(past) => past.placed(record, expected, &mut copy),
                None => record,
            };
            let event =
                walk.step_known(record, intact).map_err(|found| damaged(expected, found))?;
            if event.position() != position {
                return Err(ReadError::DamagedIndex(format!(
                    "event {expected} of scope {name} is not at position {position}"
                )));
            }
            position = Position(position.0.saturating_add(1));
            Ok(each(name, event))
        };
        if run.count <= POINT_READS_MAX {
            for seq in run.first.0..=run.last().0 {
                let key = rows::event_key(run.scope, Seq(seq));
                let Some(record) = view.get(&self.events, key).map_err(read_error)? else { break };
                if step(&record, false)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        } else {
            let range =
                rows::event_key(run.scope, run.first)..=rows::event_key(run.scope, run.last());
            let mut records = Ahead::new(view.range(&self.events, range));
            while let Some(record) = records.next() {
                let (record, intact) = record?;
                if step(record, intact)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        let found = walk.head();
        if found < run.last() {
            let short = Broken::Short { expected: run.last(), found };
            return Err(damaged(found.next(), short));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The name of a scope.
    pub(super) fn name(
        &self,
        view: &fjall::Snapshot,
        names: &Names,
        id: ScopeId,
    ) -> Result<ScopeName, ReadError> {
        if let Some(name) = names.get(id) {
            return Ok(name);
        }
        let bytes = view.get(&self.names, id.0.to_be_bytes()).map_err(read_error)?;
        let bytes = bytes.ok_or_else(|| {
            ReadError::DamagedIndex(format!("the name of scope number {} is missing", id.0))
        })?;
        let name = scope_name(&bytes)?;
        names.keep(id, &name);
        Ok(name)
    }

    /// All snapshots of a scope under a rule, the newest first.
    pub(super) fn snapshots_of(
        &self,
        scope: ScopeId,
        rule: &Digest,
    ) -> Result<Vec<KeptSnapshot>, ReadError> {
        let range =
            rows::snapshot_key(scope, rule, Seq::ZERO)..=rows::snapshot_key(scope, rule, Seq::MAX);
        let mut kept = Vec::new();
        for guard in self.db.snapshot().range(&self.snapshots, range).rev() {
            let (key, bytes) = guard.into_inner().map_err(read_error)?;
            let Some(seq) = rows::snapshot_seq(&key) else { continue };
            let snapshot = rows::decode_snapshot(&bytes).and_then(|snapshot| match snapshot.seq {
                found if found == seq => Ok(snapshot),
                found => Err(format!("it stands at event {seq} and is of event {found}")),
            });
            kept.push((seq, snapshot));
        }
        Ok(kept)
    }

    /// The newest intact snapshot at or before `through`.
    pub(super) fn snapshot(
        &self,
        scope: ScopeId,
        rule: &Digest,
        through: Seq,
    ) -> Result<Option<Snapshot>, ReadError> {
        let floor = self.past.get(scope).map_or(Seq::ZERO, |past| past.floor.seq);
        if through <= floor {
            return Ok(None);
        }
        let oldest = if floor == Seq::ZERO { floor } else { floor.next() };
        let range =
            rows::snapshot_key(scope, rule, oldest)..=rows::snapshot_key(scope, rule, through);
        for guard in self.db.snapshot().range(&self.snapshots, range).rev() {
            let (key, bytes) = guard.into_inner().map_err(read_error)?;
            match rows::decode_snapshot(&bytes) {
                Ok(snapshot) if rows::snapshot_key(scope, rule, snapshot.seq) == key[..] => {
                    return Ok(Some(snapshot));
                }
                Ok(_) => tracing::warn!("a snapshot of scope number {} is misplaced", scope.0),
                Err(why) => {
                    tracing::warn!("a snapshot of scope number {} is skipped: {why}", scope.0);
                }
            }
        }
        Ok(None)
    }

    /// The bytes of a component.
    pub(super) fn module(&self, digest: &Digest) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(bytes) = self.db.snapshot().get(&self.modules, digest.0).map_err(read_error)?
        else {
            return Ok(None);
        };
        if Digest::of(&bytes) != *digest {
            return Err(ReadError::DamagedIndex(format!("component {digest} is damaged")));
        }
        Ok(Some(bytes.to_vec()))
    }
}

impl Names {
    // The lock is held for single operations of the map, none of which can panic half-way.
    fn get(&self, id: ScopeId) -> Option<ScopeName> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(&id).cloned()
    }

    fn keep(&self, id: ScopeId, name: &ScopeName) {
        let mut names = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        names.insert(id, name.clone());
    }
}

/// The name in these bytes of the tree.
pub(super) fn scope_name(bytes: &[u8]) -> Result<ScopeName, ReadError> {
    let text = std::str::from_utf8(bytes).map_err(|why| why.to_string());
    text.and_then(|text| ScopeName::new(text).map_err(|why| why.to_string()))
        .map_err(|why| ReadError::DamagedIndex(format!("a scope's name: {why}")))
}
