//! The loop of one scope: decides one append after another.
//!
//! It does not wait for the disk. The next append is judged on top of what was accepted but is not
//! durable yet; answers leave in the same order, once it is. As a failed commit ends the store,
//! nothing here is ever rolled back.

use super::conflict::Recent;
use super::decided::{Decided, Fold, fault_outcome, nothing};
use super::item::{Item, Plan};
use super::mailbox::{Cell, Submitted};
use super::originator::{Asking, Ending};
use super::pending::Pending;
use super::registry::Ruling;
use super::rejected;
use super::reply::State;
use super::shadow::Fate;
use super::shared::Shared;
use crate::log::{Decision, ScopeRow, Snapshot, Unit};
use crate::validator::Validator;
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{
    Append, AppendId, Digest, ExpectedHead, Fault, Outcome, Rejection, ScopeId, ScopeName, Seq,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of snapshots that may wait for the disk; beyond them no more are made.
const SNAPSHOTS_QUEUED_MAX: usize = 64 * 1024 * 1024;

/// What the loop knows about its scope.
pub(crate) struct ScopeLoop {
    row: Arc<ScopeRow>,
    loaded: Option<Loaded>,
    /// Units handed to the committer so far.
    handed: u64,
}

/// A scope whose place in the log is known.
pub(crate) struct Loaded {
    pub(crate) head: Seq,
    pub(crate) hash: Digest,
    /// Bytes of the records of its events.
    pub(crate) bytes: u64,
    /// The store's time of the last event; times of a scope never fall.
    pub(crate) host_ms: u64,
    pub(crate) pending: Arc<Pending>,
    /// By which conflicts are found.
    pub(crate) recent: Recent,
    pub(crate) ruling: Option<Ruling>,
    pub(crate) instance: Option<Box<dyn Validator>>,
    /// Events applied since the last snapshot.
    pub(crate) unsaved: u64,
    /// Fuel of the last validation, if a candidate is to be held against it.
    pub(crate) fuel: Option<u64>,
}

/// How an append goes on.
pub(crate) enum Step {
    /// It is decided.
    Decided(Decided),
    /// Its sender must be asked.
    Ask(Asking),
}

impl Loaded {
    /// What becomes of an append whose validator did not answer.
    fn faulted(&mut self, shared: &Shared, fault: Fault, host_ms: u64) -> Result<Decided, Outcome> {
        // An instance that faulted is in no known state; the next append gets a new one.
        self.instance = None;
        if let Some(error) = self.pending.take_failure() {
            // It could not look back: the log's fault, and no verdict to remember.
            return Err(shared.unreadable(&error));
        }
        Ok(nothing(fault_outcome(shared, fault), host_ms))
    }
}

impl ScopeLoop {
    pub(crate) fn new(name: &ScopeName) -> Self {
        let row = ScopeRow::empty(ScopeId(0), name.clone());
        ScopeLoop { row: Arc::new(row), loaded: None, handed: 0 }
    }

    pub(crate) fn row(&self) -> &Arc<ScopeRow> {
        &self.row
    }

    /// Decides an append and puts what came of it on the way to the committer, or answers at once
    /// if there was nothing to decide. Gives it back if its sender must be asked.
    pub(crate) fn append(
        &mut self,
        shared: &Arc<Shared>,
        cell: &Arc<Cell>,
        mail: Submitted,
        items: &mut Vec<Item>,
    ) -> Option<(Submitted, Asking)> {
        match self.decide(shared, cell, &mail.append) {
            Ok(Step::Decided(decided)) => self.settle(shared, cell, mail, decided, items),
            Ok(Step::Ask(asking)) => return Some((mail, asking)),
            Err(undecided) => mail.refuse(shared, undecided),
        }
        None
    }

    /// Puts a decided append on the way to the committer.
    pub(crate) fn settle(
        &mut self,
        shared: &Arc<Shared>,
        cell: &Arc<Cell>,
        mail: Submitted,
        decided: Decided,
        items: &mut Vec<Item>,
    ) {
        let Submitted { append, bytes, to, call } = mail;
        if append.repeated && !append.dry_run {
            shared.repeats.note(append.id);
        }
        let forgotten = append.dry_run || matches!(decided.plan, Plan::Earlier { .. });
        let remember = (!forgotten).then(|| (append.id, decided.decision.clone()));
        let rejection = self.rejection(shared, &append, &decided);
        let (mut unit, plan) = self.hand_over(shared, decided, remember);
        unit.rejection = rejection;
        items.push(Item::append(cell, unit, bytes, to, call, plan));
        self.save_when_due(shared, cell, items);
    }

    /// The entry of the journal of rejections for a decided append, if it was refused.
    pub(crate) fn rejection(
        &self,
        shared: &Shared,
        append: &Append,
        decided: &Decided,
    ) -> Option<Box<Rejection>> {
        rejected::entry(shared, &self.row, self.loaded.as_ref(), append, &decided.plan)
    }

    /// Moves the head behind the decided events, and keeps them at hand until they are durable.
    /// The unit must go to the committer, behind all before.
    pub(crate) fn hand_over(
        &mut self,
        shared: &Shared,
        decided: Decided,
        remember: Option<(AppendId, Decision)>,
    ) -> (Unit, Plan) {
        let mut unit = Unit::bare(Arc::clone(&self.row));
        unit.host_ms = shared.clock.now_ms();
        self.handed += 1;
        let Decided { records, index, plan, host_ms, proposed, .. } = decided;
        if let Some(loaded) = &mut self.loaded {
            (unit.at, unit.bytes) = (loaded.head, loaded.bytes);
            for record in &records {
                loaded.bytes += record.as_bytes().len() as u64;
            }
            if let Some(last) = records.last() {
                let events = records.len() as u64;
                loaded.head = unit.at.plus(events);
                loaded.hash = last.hash();
                loaded.host_ms = host_ms;
                loaded.unsaved += events;
            }
            loaded.pending.push(self.handed, loaded.head, remember.clone(), records.clone());
            loaded.recent.push(&index, &loaded.pending);
        }
        (unit.records, unit.index, unit.decision) = (records, index, remember);
        unit.proposed = proposed;
        (unit, plan)
    }

    /// The order of checks: log readable, decided before, open for appends, head as expected, no
    /// conflict, a validator there, its verdict. `Err` is an outcome that is no decision.
    fn decide(
        &mut self,
        shared: &Arc<Shared>,
        cell: &Arc<Cell>,
        append: &Append,
    ) -> Result<Step, Outcome> {
        self.load(shared, cell)?;
        if let Some(decision) = self.earlier(shared, append)? {
            let (id, row) = (append.id, Arc::clone(&self.row));
            let plan = Plan::Earlier { id, decision: Box::new(decision.clone()), row };
            let host_ms = self.loaded.as_ref().map_or(0, |loaded| loaded.host_ms);
            return Ok(Step::Decided(Decided::answer(decision, plan, host_ms)));
        }
        self.consider(shared, append, Fold::Now)
    }

    /// What was decided under this id before: on the way to the disk, or on it.
    pub(crate) fn earlier(
        &self,
        shared: &Shared,
        append: &Append,
    ) -> Result<Option<Decision>, Outcome> {
        if !append.repeated && !shared.repeats.contains(append.id) {
            return Ok(None);
        }
        let pending = self.loaded.as_ref().map(|loaded| &loaded.pending);
        if let Some(decision) = pending.and_then(|pending| pending.decision(append.id)) {
            return Ok(Some(decision));
        }
        shared
            .log
            .decision(&self.row.name, append.id, shared.clock.now_ms())
            .map_err(|error| Outcome::Unknown { why: error.to_string() })
    }

    /// The checks on an append that was not decided before.
    pub(crate) fn consider(
        &mut self,
        shared: &Arc<Shared>,
        append: &Append,
        fold: Fold,
    ) -> Result<Step, Outcome> {
        open_for_appends(shared, &self.row.name)?;
        let loaded = self.loaded.as_mut().ok_or_else(unloaded)?;
        let host_ms = shared.clock.now_ms().max(loaded.host_ms);
        if let ExpectedHead::Exactly(expected) = append.expected_head
            && expected != loaded.head
        {
            let (expected, actual) = (append.expected_head, loaded.head);
            let outcome = Outcome::HeadMismatch { expected, actual };
            return Ok(Step::Decided(nothing(outcome, host_ms)));
        }
        if let Some((decision, plan)) = loaded.objection(shared, &self.row, append)? {
            return Ok(Step::Decided(Decided::answer(decision, plan, host_ms)));
        }
        loaded.ready(shared, &self.row)?;
        let host_ms = host_ms.max(loaded.host_ms);
        if let Some(asking) = loaded.asking(shared, append, host_ms)? {
            return Ok(Step::Ask(asking));
        }
        let decided = loaded.judge(shared, &self.row, append, host_ms, fold);
        // What it accepts for a joint append waits for what the others say.
        if fold == Fold::Now || !decided.as_ref().is_ok_and(Decided::accepts) {
            let (row, found) = (&self.row, decided.as_ref().ok());
            shared.shadow.offer(loaded, row, append, found, Fate::Decided);
        }
        decided.or_else(|fault| loaded.faulted(shared, fault, host_ms)).map(Step::Decided)
    }

    /// Lets the validator fold what it accepted, now that all others have accepted, too. If it cannot,
    /// that is what becomes of the append.
    pub(crate) fn fold_later(
        &mut self,
        shared: &Arc<Shared>,
        decided: &Decided,
    ) -> Result<Option<Decided>, Outcome> {
        let Some(loaded) = &mut self.loaded else { return Ok(None) };
        match loaded.fold_records(&decided.records) {
            Ok(()) => Ok(None),
            Err(fault) => loaded.faulted(shared, fault, decided.host_ms).map(Some),
        }
    }

    /// Leaves a part of a joint append for the candidate of the scope's binding.
    pub(crate) fn offer(&self, shared: &Shared, append: &Append, decided: &Decided, fate: Fate) {
        if let Some(loaded) = &self.loaded {
            shared.shadow.offer(loaded, &self.row, append, Some(decided), fate);
        }
    }

    /// Lets the instance be made anew from the log: it has folded what is not stored.
    pub(crate) fn drop_instance(&mut self) {
        if let Some(loaded) = &mut self.loaded {
            loaded.instance = None;
        }
    }

    /// Decides an append by what its sender said about it.
    pub(crate) fn conclude(
        &mut self,
        shared: &Arc<Shared>,
        cell: &Arc<Cell>,
        (mail, asking): (Submitted, Asking),
        ending: Ending,
        items: &mut Vec<Item>,
    ) {
        let ready = self.load(shared, cell).and_then(|()| open_for_appends(shared, &self.row.name));
        if let Err(undecided) = ready {
            return mail.refuse(shared, undecided);
        }
        let Some(loaded) = &mut self.loaded else { return mail.refuse(shared, unloaded()) };
        let decided = loaded.conclude(shared, &self.row, &mail.append, &asking, ending);
        self.settle(shared, cell, mail, decided, items);
    }

    /// Finds the scope in the log, once, and forgets what has become durable since the last letter.
    pub(crate) fn load(&mut self, shared: &Arc<Shared>, cell: &Arc<Cell>) -> Result<(), Outcome> {
        if let Some(why) = shared.sealed.why(&self.row.name) {
            self.loaded = None;
            return Err(Outcome::ReadOnly { why });
        }
        if let Some(loaded) = &self.loaded {
            loaded.pending.forget(cell.done.load(Ordering::Acquire));
            return Ok(());
        }
        let found = shared.log.scope(&self.row.name);
        let found = found.map_err(|error| shared.unreadable(&error))?;
        self.row =
            Arc::new(found.unwrap_or_else(|| {
                ScopeRow::empty(shared.log.new_scope_id(), self.row.name.clone())
            }));
        let (log, row) = (Arc::clone(&shared.log), Arc::clone(&self.row));
        self.loaded = Some(Loaded {
            head: self.row.head,
            hash: self.row.hash,
            bytes: self.row.bytes,
            host_ms: 0,
            pending: Arc::new(Pending::new(log, row, self.row.head)),
            recent: Recent::new(&*shared.log, self.row.id, self.row.head),
            ruling: None,
            instance: None,
            unsaved: 0,
            fuel: None,
        });
        Ok(())
    }

    /// Where the scope stands, decided but not durable events included.
    pub(crate) fn stand(
        &mut self,
        shared: &Arc<Shared>,
        cell: &Arc<Cell>,
    ) -> Result<ScopeRow, Outcome> {
        self.load(shared, cell)?;
        let loaded = self.loaded.as_ref().ok_or_else(unloaded)?;
        let (head, hash, bytes) = (loaded.head, loaded.hash, loaded.bytes);
        Ok(ScopeRow { head, hash, bytes, ..ScopeRow::clone(&self.row) })
    }

    /// The state as bytes, and by which validator, decided but not durable events included.
    pub(crate) fn state(
        &mut self,
        shared: &Arc<Shared>,
        cell: &Arc<Cell>,
    ) -> Result<Option<(Digest, Snapshot)>, Outcome> {
        self.load(shared, cell)?;
        let loaded = self.loaded.as_mut().ok_or_else(unloaded)?;
        loaded.ready(shared, &self.row)?;
        let (Some(ruling), Some(instance)) = (&loaded.ruling, &mut loaded.instance) else {
            return Ok(None);
        };
        if !ruling.rules.folds() {
            return Ok(None);
        }
        match instance.snapshot() {
            Ok(None) => Ok(None),
            Ok(Some(state)) => {
                loaded.unsaved = 0;
                let (seq, hash, host_ms) = (loaded.head, loaded.hash, loaded.host_ms);
                let snapshot = Snapshot { rule: ruling.rule, seq, hash, host_ms, state };
                Ok(Some((ruling.binding.validator, snapshot)))
            }
            Err(Fault { kind, detail }) => {
                loaded.instance = None;
                let why = format!("the validator gave no state ({}): {detail}", kind.word());
                Err(Outcome::ReadOnly { why })
            }
        }
    }

    /// Drops what is known of the scope, which somebody else has changed.
    pub(crate) fn forget(&mut self) {
        self.loaded = None;
    }

    /// Answers a question from the state.
    pub(crate) fn query(
        &mut self,
        shared: &Arc<Shared>,
        cell: &Arc<Cell>,
        name: &str,
        args: &[u8],
    ) -> Result<State, RequestError> {
        self.handed += 1;
        let number = self.handed;
        let answer = self.ask(shared, cell, name, args);
        if let Some(loaded) = &self.loaded {
            loaded.pending.push(number, loaded.head, None, Vec::new());
        }
        answer.map_err(super::mailbox::as_request_error)
    }

    fn ask(
        &mut self,
        shared: &Arc<Shared>,
        cell: &Arc<Cell>,
        name: &str,
        args: &[u8],
    ) -> Result<State, Outcome> {
        self.load(shared, cell)?;
        let loaded = self.loaded.as_mut().ok_or_else(unloaded)?;
        loaded.ready(shared, &self.row)?;
        let instance = loaded.instance.as_mut().ok_or_else(unloaded)?;
        match instance.query(name, args) {
            Ok(answer) => Ok(State { head: loaded.head, answer }),
            Err(Fault { kind, detail }) => {
                loaded.instance = None;
                let why = format!("the validator did not answer ({}): {detail}", kind.word());
                Err(Outcome::ReadOnly { why })
            }
        }
    }

    /// Saves the state and drops everything, unless some of it is not durable yet: a successor must
    /// find all of it in the log. False in that case.
    pub(crate) fn retire(
        &mut self,
        shared: &Arc<Shared>,
        cell: &Arc<Cell>,
        items: &mut Vec<Item>,
    ) -> bool {
        let Some(loaded) = &self.loaded else { return true };
        loaded.pending.forget(cell.done.load(Ordering::Acquire));
        if !loaded.pending.is_empty() {
            return false;
        }
        if loaded.unsaved > 0 {
            self.save(shared, cell, items);
        }
        self.loaded = None;
        true
    }

    pub(crate) fn save_when_due(
        &mut self,
        shared: &Shared,
        cell: &Arc<Cell>,
        items: &mut Vec<Item>,
    ) {
        let unsaved = self.loaded.as_ref().map_or(0, |loaded| loaded.unsaved);
        if unsaved >= shared.limits.snapshot_events {
            self.save(shared, cell, items);
        }
    }

    /// Hands a snapshot to the committer. A validator that gives none is folded from its events.
    fn save(&mut self, shared: &Shared, cell: &Arc<Cell>, items: &mut Vec<Item>) {
        let Some(loaded) = &mut self.loaded else { return };
        loaded.unsaved = 0;
        let (Some(ruling), Some(instance)) = (&loaded.ruling, &mut loaded.instance) else { return };
        // A snapshot only saves time, so it does not take the last of the disk or of the memory.
        let queued = shared.snapshot_bytes.load(Ordering::Relaxed);
        if !ruling.rules.folds() || !shared.log.has_room() || queued > SNAPSHOTS_QUEUED_MAX {
            return;
        }
        match instance.snapshot() {
            Ok(None) => {}
            Ok(Some(state)) => {
                let mut unit = Unit::bare(Arc::clone(&self.row));
                let (seq, hash, host_ms) = (loaded.head, loaded.hash, loaded.host_ms);
                let rule = ruling.rule;
                unit.snapshot = Some(Box::new(Snapshot { rule, seq, hash, host_ms, state }));
                unit.host_ms = shared.clock.now_ms();
                self.handed += 1;
                loaded.pending.push(self.handed, loaded.head, None, Vec::new());
                items.push(Item::snapshot(shared, cell, unit));
            }
            Err(Fault { kind, detail }) => {
                let (scope, kind) = (&self.row.name, kind.word());
                tracing::warn!(%scope, kind, detail, "no snapshot: the validator did not give one");
                loaded.instance = None;
            }
        }
    }
}

fn open_for_appends(shared: &Shared, name: &ScopeName) -> Result<(), Outcome> {
    match shared.registry.sealed(name) {
        None => Ok(()),
        Some(why) => {
            let why = format!("{name} is sealed: {why}; atomic-store scope unseal {name} opens it");
            Err(Outcome::ReadOnly { why })
        }
    }
}

fn unloaded() -> Outcome {
    Outcome::Unknown { why: "the scope is not loaded".to_owned() }
}
