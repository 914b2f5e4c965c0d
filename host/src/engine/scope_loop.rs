//! The loop of one scope: decides one append after another.
//!
//! It does not wait for the disk. The next append is judged on top of what was accepted but is not
//! durable yet; answers leave in the same order, once it is. As a failed commit ends the store,
//! nothing here is ever rolled back.

use super::committer::{Item, Plan};
use super::conflict::Recent;
use super::mailbox::Cell;
use super::pending::Pending;
use super::registry::Ruling;
use super::rejected;
use super::reply::{ReplyTo, State};
use super::shared::Shared;
use crate::log::{Decision, IndexRow, ScopeRow, Snapshot, Unit, topics};
use crate::validator::{Acceptance, Validator, Verdict};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::record::{Body, BodyIn, KeyIn, Record};
use atomic_store_core::{
    Answer, Append, Committed, Digest, ExpectedHead, Fault, FaultKind, Key, Outcome, Place,
    Position, Proposal, ScopeId, ScopeName, Seq,
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
}

/// An append, decided.
struct Decided {
    records: Vec<Record>,
    index: Vec<IndexRow>,
    decision: Decision,
    plan: Plan,
    host_ms: u64,
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
    /// if there was nothing to decide.
    #[expect(clippy::too_many_arguments, reason = "the parts of one letter, and where it goes")]
    pub(crate) fn append(
        &mut self,
        shared: &Arc<Shared>,
        cell: &Arc<Cell>,
        append: Append,
        bytes: usize,
        to: Arc<dyn ReplyTo>,
        call: u64,
        items: &mut Vec<Item>,
    ) {
        let decided = match self.decide(shared, cell, &append) {
            Ok(decided) => decided,
            Err(undecided) => {
                shared.in_flight.release(bytes);
                return to.answer(call, Answer { outcome: undecided, duplicate: false });
            }
        };
        if append.repeated && !append.dry_run {
            shared.repeats.note(append.id);
        }
        let (at, bytes_before) = self.advance(&append, &decided);
        let forgotten = append.dry_run || matches!(decided.plan, Plan::Earlier { .. });
        let (row, loaded) = (&self.row, self.loaded.as_ref());
        let rejection = rejected::entry(shared, row, loaded, &append, &decided.plan);
        let unit = Unit {
            scope: Arc::clone(&self.row),
            at,
            bytes: bytes_before,
            records: decided.records,
            index: decided.index,
            decision: (!forgotten).then_some((append.id, decided.decision)),
            snapshot: None,
            module: None,
            change: None,
            rejection,
            host_ms: shared.clock.now_ms(),
        };
        self.handed += 1;
        items.push(Item::append(cell, unit, bytes, to, call, decided.plan));
        self.save_when_due(shared, cell, items);
    }

    /// Moves the head behind the decided events, and remembers them until they are durable. Returns
    /// the head before, and the bytes.
    fn advance(&mut self, append: &Append, decided: &Decided) -> (Seq, u64) {
        let Some(loaded) = &mut self.loaded else { return (Seq::ZERO, 0) };
        let (at, bytes) = (loaded.head, loaded.bytes);
        for record in &decided.records {
            loaded.bytes += record.as_bytes().len() as u64;
        }
        if let Some(last) = decided.records.last() {
            let events = decided.records.len() as u64;
            loaded.head = at.plus(events);
            loaded.hash = last.hash();
            loaded.host_ms = decided.host_ms;
            loaded.unsaved += events;
        }
        let copies = decided.records.iter().map(|record| record.as_bytes().into()).collect();
        let decision = (!append.dry_run).then(|| (append.id, decided.decision.clone()));
        loaded.pending.push(self.handed + 1, loaded.head, decision, copies);
        loaded.recent.push(&decided.index, &loaded.pending);
        (at, bytes)
    }

    /// The order of checks: log readable, decided before, head as expected, a validator there, its
    /// verdict. `Err` is an outcome that is no decision.
    fn decide(
        &mut self,
        shared: &Arc<Shared>,
        cell: &Arc<Cell>,
        append: &Append,
    ) -> Result<Decided, Outcome> {
        self.load(shared, cell)?;
        let loaded = self.loaded.as_mut().ok_or_else(unloaded)?;
        let repeated = append.repeated || shared.repeats.contains(append.id);
        if repeated && let Some(decision) = earlier(shared, &self.row, loaded, append)? {
            let (id, row) = (append.id, Arc::clone(&self.row));
            let plan = Plan::Earlier { id, decision: decision.clone(), row };
            let (records, index, host_ms) = (Vec::new(), Vec::new(), loaded.host_ms);
            return Ok(Decided { records, index, decision, plan, host_ms });
        }
        if let Some(why) = shared.registry.sealed(&self.row.name) {
            let name = &self.row.name;
            let why = format!("{name} is sealed: {why}; atomic-store scope unseal {name} opens it");
            return Err(Outcome::ReadOnly { why });
        }
        let host_ms = shared.clock.now_ms().max(loaded.host_ms);
        if let ExpectedHead::Exactly(expected) = append.expected_head
            && expected != loaded.head
        {
            let (expected, actual) = (append.expected_head, loaded.head);
            return Ok(nothing(Outcome::HeadMismatch { expected, actual }, host_ms));
        }
        if let Some((decision, plan)) = loaded.objection(shared, &self.row, append)? {
            let (records, index) = (Vec::new(), Vec::new());
            return Ok(Decided { records, index, decision, plan, host_ms });
        }
        loaded.ready(shared, &self.row)?;
        let host_ms = host_ms.max(loaded.host_ms);
        Ok(match loaded.judge(shared, &self.row, append, host_ms) {
            Ok(decided) => decided,
            Err(fault) => {
                // An instance that faulted is in no known state; the next append gets a new one.
                loaded.instance = None;
                if let Some(error) = loaded.pending.take_failure() {
                    // It could not look back: the log's fault, and no verdict to remember.
                    return Err(shared.unreadable(&error));
                }
                nothing(fault_outcome(shared, fault), host_ms)
            }
        })
    }

    /// Finds the scope in the log, once, and forgets what has become durable since the last letter.
    fn load(&mut self, shared: &Arc<Shared>, cell: &Arc<Cell>) -> Result<(), Outcome> {
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

    fn save_when_due(&mut self, shared: &Shared, cell: &Arc<Cell>, items: &mut Vec<Item>) {
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
                unit.snapshot = Some(Snapshot { rule: ruling.rule, seq, hash, host_ms, state });
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

impl Loaded {
    /// Asks the validator, lets it fold what it accepted, and makes records of it. Nothing is
    /// handed on before the fold has returned, so a fault costs this append only.
    fn judge(
        &mut self,
        shared: &Shared,
        row: &ScopeRow,
        append: &Append,
        host_ms: u64,
    ) -> Result<Decided, Fault> {
        let (Some(ruling), Some(instance)) = (&self.ruling, &mut self.instance) else {
            return Err(bad_output("there is no instance"));
        };
        let acceptances = match instance.validate(&append.proposals, host_ms)? {
            Verdict::Refused(refusal) => return Ok(nothing(Outcome::Rejected(refusal), host_ms)),
            Verdict::Accepted(acceptances) => acceptances,
        };
        if acceptances.len() != append.proposals.len() {
            return Err(bad_output("it did not answer with one acceptance for each proposal"));
        }
        let events = accepted(&append.proposals, &acceptances);
        if events.len() > shared.limits.append_events_max {
            return Err(bad_output("it wants more events stored than one append may hold"));
        }
        let mut bodies = Vec::with_capacity(events.len());
        let mut records = Vec::with_capacity(events.len());
        let mut index = Vec::new();
        let mut hash = self.hash;
        for (n, (event, caller_ms)) in events.into_iter().enumerate() {
            let seq = self.head.plus(n as u64 + 1);
            let body = Body {
                seq,
                kind: event.kind.as_str(),
                content_type: event.content_type.clone(),
                payload: event.payload.as_slice(),
                keys: event.keys.as_slice(),
                triggers: event.triggers.as_slice(),
                metadata: event.metadata.as_slice(),
                caller_ms,
                host_ms,
                append_id: append.id,
                validator: ruling.binding.validator,
                binding: ruling.binding.seq,
            };
            let record =
                Record::encode(&hash, &body).map_err(|error| bad_output(error.to_string()))?;
            hash = record.hash();
            records.push(record);
            topics(&event.keys, &event.triggers, |topic| {
                index.push(IndexRow { tag: shared.log.tag(row.id, topic), seq });
            });
            bodies.push(as_folded(body));
        }
        let reason = acceptances.iter().find_map(|acceptance| acceptance.reason.clone());
        if records.is_empty() {
            return Ok(nothing(Outcome::Noop { reason }, host_ms));
        }
        let meta = acceptances.iter().find_map(|acceptance| acceptance.meta.clone());
        let (first, last) = (self.head.next(), self.head.plus(records.len() as u64));
        if append.dry_run {
            // Where it would stand in the order of all scopes nobody knows.
            let place = |seq| Place { seq, position: Position(0) };
            let (first, last) = (place(first), place(last));
            let committed = Committed { first, last, hash, reason, meta };
            return Ok(nothing(Outcome::Committed(committed), host_ms));
        }
        instance.apply(&bodies)?;
        let decision =
            Decision::Committed { first, last, reason: reason.clone(), meta: meta.clone() };
        Ok(Decided { records, index, decision, plan: Plan::Stored { reason, meta }, host_ms })
    }
}

/// The events to store: the proposals, or what the validator put in their place.
fn accepted<'a>(
    proposals: &'a [Proposal],
    acceptances: &'a [Acceptance],
) -> Vec<(&'a Proposal, Option<u64>)> {
    let mut events = Vec::with_capacity(proposals.len());
    for (proposal, acceptance) in proposals.iter().zip(acceptances) {
        match &acceptance.instead {
            None => events.push((proposal, proposal.caller_ms)),
            Some(instead) => {
                events.extend(instead.iter().map(|event| (event, proposal.caller_ms)));
            }
        }
    }
    events
}

/// The form in which a validator folds an event; the same as when it is replayed from the log.
fn as_folded<'a>(body: Body<'a, &'a [Key], &'a [(String, String)]>) -> BodyIn<'a> {
    let keys = |keys: &'a [Key]| keys.iter().map(|k| KeyIn { kind: &k.kind, id: &k.id }).collect();
    Body {
        seq: body.seq,
        kind: body.kind,
        content_type: body.content_type,
        payload: body.payload,
        keys: keys(body.keys),
        triggers: keys(body.triggers),
        metadata: body
            .metadata
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        caller_ms: body.caller_ms,
        host_ms: body.host_ms,
        append_id: body.append_id,
        validator: body.validator,
        binding: body.binding,
    }
}

/// What was decided under this id before: on the way to the disk, or on it.
fn earlier(
    shared: &Shared,
    row: &ScopeRow,
    loaded: &Loaded,
    append: &Append,
) -> Result<Option<Decision>, Outcome> {
    if let Some(decision) = loaded.pending.decision(append.id) {
        return Ok(Some(decision));
    }
    shared
        .log
        .decision(&row.name, append.id, shared.clock.now_ms())
        .map_err(|error| Outcome::Unknown { why: error.to_string() })
}

fn nothing(outcome: Outcome, host_ms: u64) -> Decided {
    let decision = Decision::Nothing(outcome.clone());
    let (records, index, plan) = (Vec::new(), Vec::new(), Plan::Outcome(outcome));
    Decided { records, index, decision, plan, host_ms }
}

fn fault_outcome(shared: &Shared, fault: Fault) -> Outcome {
    match fault.kind {
        FaultKind::Timeout => Outcome::TimedOut { after_ms: shared.limits.call_ms_max },
        _ => Outcome::Faulted(fault),
    }
}

fn bad_output(detail: impl Into<String>) -> Fault {
    Fault { kind: FaultKind::BadOutput, detail: detail.into() }
}

fn unloaded() -> Outcome {
    Outcome::Unknown { why: "the scope is not loaded".to_owned() }
}
