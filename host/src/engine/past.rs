//! The state of a scope in the past, the states one after the other, and what would become of appends:
//! each on an instance of its own beside the scope's loop, on the thread that asks.
//!
//! Only durable events are folded, from the nearest snapshot of the scope's present rule. Nothing is
//! handed to the committer, so nothing can be stored, and nothing that is not durable can be seen.

use super::conflict::Recent;
use super::decided::{Fold, fault_outcome};
use super::handle::Engine;
use super::item::Plan;
use super::mailbox::as_request_error;
use super::pending::Pending;
use super::registry::Ruling;
use super::reply::State;
use super::scope_loop::Loaded;
use super::select::before;
use super::shared::Shared;
use crate::log::{Floor, ReadError, ScopeRow};
use atomic_store_core::chain::{Broken, Walk};
use atomic_store_core::codec;
use atomic_store_core::protocol::{At, RequestError, Step};
use atomic_store_core::record::RecordView;
use atomic_store_core::{
    Append, AppendId, Committed, Fault, Outcome, Place, Position, Proposal, ScopeId, ScopeName, Seq,
};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Room in a frame for what is not a step.
const FRAME_SLACK: usize = 1024;

/// A question about a state: what the validator calls it, and its arguments.
type Question = (String, Vec<u8>);

/// An instance with the state after some event.
pub(super) struct Fork {
    pub(super) row: Arc<ScopeRow>,
    pub(super) loaded: Loaded,
}

/// The states of a scope after each of some events (Eventsrc S21), a few at a time.
pub struct History {
    engine: Engine,
    row: Arc<ScopeRow>,
    /// Made with the first step.
    fork: Option<Fork>,
    walk: Walk,
    through: Seq,
    left: u64,
    question: Question,
}

/// A what-if that counts among what is in flight.
pub(crate) struct Admitted {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.shared.in_flight.release(self.bytes);
    }
}

impl Engine {
    /// Asks the state of a scope's validator at a moment (Eventsrc S19, S20, E32), as its present rule
    /// folds it. [`At::Head`] is here the last durable event. Blocks while events are folded.
    ///
    /// # Errors
    /// `Invalid` if there is no such moment or its events were deleted, `Overloaded` if too many
    /// instances are alive, `Failed` or `Damaged` if the state cannot be had.
    pub fn query_at(
        &self,
        scope: &ScopeName,
        name: &str,
        args: &[u8],
        at: At,
    ) -> Result<State, RequestError> {
        self.shared.limits.check_query(name, args).map_err(super::admin::invalid)?;
        let row = self.past_row(scope)?;
        let seq = self.moment(&row, at)?;
        let mut fork = Fork::new(&self.shared, row, seq)?;
        let answer = fork.ask(&self.shared, name, args)?;
        Ok(State { head: seq, answer })
    }

    /// The states of a scope after each event behind `after` up to `through`, at most `limit`
    /// (Eventsrc S21). After 0 the first is that after event 1. A scope without events has none.
    ///
    /// # Errors
    /// `Invalid` if a limit is broken or the events were deleted.
    pub fn history(
        &self,
        scope: &ScopeName,
        name: String,
        args: Vec<u8>,
        (after, through): (Seq, Seq),
        limit: u64,
    ) -> Result<History, RequestError> {
        self.shared.limits.check_query(&name, &args).map_err(super::admin::invalid)?;
        let row = self.past_row(scope)?;
        let through = through.min(row.head);
        if after < row.floor.seq && after < through {
            return Err(gone("after", &row));
        }
        let (walk, question) = (row.walk_after(after), (name, args));
        let (engine, fork) = (self.clone(), None);
        Ok(History { engine, row, fork, walk, through, left: limit, question })
    }

    /// Judges batches one after the other on a copy of the state of the last durable event, as if each
    /// accepted one had been stored; nothing is. With a question, also the state after each. A fault is
    /// the last step. Blocks while events are folded.
    ///
    /// # Errors
    /// `Invalid` if a limit is broken, otherwise as [`Self::query_at`].
    pub fn what_if(
        &self,
        scope: &ScopeName,
        batches: Vec<Vec<Proposal>>,
        query: Option<(&str, &[u8])>,
    ) -> Result<Vec<Step>, RequestError> {
        let limits = &self.shared.limits;
        limits.check_what_if(scope, &batches).map_err(super::admin::invalid)?;
        if let Some((name, args)) = query {
            limits.check_query(name, args).map_err(super::admin::invalid)?;
        }
        let row = self.past_row(scope)?;
        if let Some(why) = self.shared.sealed.why(scope) {
            return Err(RequestError::Damaged(why));
        }
        if let Some(why) = self.shared.registry.sealed(scope) {
            let outcome = Outcome::ReadOnly { why: format!("{scope} is sealed: {why}") };
            return Ok(vec![Step { outcome, state: None }]);
        }
        if self.shared.registry.ruling(scope).is_ok_and(|ruling| ruling.rules.asks_originator()) {
            let field = "scope".to_owned();
            let why = "it is bound to originator, so only the client that appends can judge; append with a dry run";
            return Err(RequestError::Invalid { field, why: why.to_owned() });
        }
        let head = row.head;
        let mut fork = Fork::new(&self.shared, row, head)?;
        // All steps travel in one frame.
        let mut room = limits.frame_bytes_max.saturating_sub(FRAME_SLACK);
        let (most, mut steps) = (room, Vec::with_capacity(batches.len()));
        for (number, batch) in batches.into_iter().enumerate() {
            // A store that closes waits for what is in flight.
            if let Some(why) = self.shared.read_only() {
                return Err(RequestError::Failed(why));
            }
            let step = fork.step(&self.shared, number as u64 + 1, batch, query)?;
            let bytes = codec::encode(&step).map_or(usize::MAX, |bytes| bytes.len());
            room = room.checked_sub(bytes).ok_or_else(|| RequestError::Invalid {
                field: "batches".to_owned(),
                why: format!("the answers have more than {most} bytes; ask with fewer batches"),
            })?;
            let last = matches!(step.outcome, Outcome::Faulted(_) | Outcome::TimedOut { .. });
            steps.push(step);
            if last {
                break;
            }
        }
        Ok(steps)
    }

    /// Counts a what-if among what is in flight, so that all that wait together are no more than that.
    pub(crate) fn admit(&self, batches: &[Vec<Proposal>]) -> Result<Admitted, RequestError> {
        let bytes = batches.iter().flatten().map(Proposal::size).sum();
        let full = |what| as_request_error(Outcome::Overloaded(what));
        self.shared.in_flight.admit(bytes).map_err(full)?;
        Ok(Admitted { shared: Arc::clone(&self.shared), bytes })
    }

    fn past_row(&self, scope: &ScopeName) -> Result<Arc<ScopeRow>, RequestError> {
        let row = self.shared.log.scope(scope);
        let row = row.map_err(|error| self.shared.read_refusal(&error))?;
        Ok(Arc::new(row.unwrap_or_else(|| ScopeRow::empty(ScopeId(0), scope.clone()))))
    }

    /// The event that a moment means.
    fn moment(&self, row: &ScopeRow, at: At) -> Result<Seq, RequestError> {
        let seq = match at {
            At::Head => row.head,
            At::Seq(seq) => seq,
            At::Time(ms) => {
                let (log, floor) = (&*self.shared.log, row.floor.seq);
                let seq = before(log, row, floor.0, row.head.0, ms.saturating_add(1));
                let seq = Seq(seq.map_err(|error| self.shared.read_refusal(&error))?);
                if seq == floor && floor > Seq::ZERO {
                    return Err(gone("at", row));
                }
                seq
            }
        };
        if seq > row.head {
            let (name, head) = (&row.name, row.head);
            let why = format!("{seq} is ahead of the scope: the last event of {name} is {head}");
            return Err(RequestError::Invalid { field: "at".to_owned(), why });
        }
        if seq < row.floor.seq {
            return Err(gone("at", row));
        }
        Ok(seq)
    }
}

impl Fork {
    /// A fresh instance with the state after an event, which must be there.
    fn new(shared: &Arc<Shared>, row: Arc<ScopeRow>, at: Seq) -> Result<Fork, RequestError> {
        let mut fork = Fork::unready(shared, row, at);
        fork.loaded.ready(shared, &fork.row).map_err(as_request_error)?;
        still_there(shared, &fork.row)?;
        Ok(fork)
    }

    /// The same under a rule that need not be the scope's.
    pub(super) fn under(
        shared: &Arc<Shared>,
        row: Arc<ScopeRow>,
        at: Seq,
        ruling: Ruling,
    ) -> Result<Fork, RequestError> {
        let mut fork = Fork::unready(shared, row, at);
        fork.loaded.ready_under(shared, &fork.row, ruling).map_err(as_request_error)?;
        still_there(shared, &fork.row)?;
        Ok(fork)
    }

    pub(super) fn unready(shared: &Arc<Shared>, row: Arc<ScopeRow>, at: Seq) -> Fork {
        let past = Pending::past(Arc::clone(&shared.log), Arc::clone(&row), at);
        let loaded = Loaded {
            head: at,
            // Only what is at the head goes on from here.
            hash: row.hash,
            bytes: row.bytes,
            host_ms: 0,
            pending: Arc::new(past),
            recent: Recent::new(&*shared.log, row.id, at),
            ruling: None,
            instance: None,
            unsaved: 0,
            fuel: None,
        };
        Fork { row, loaded }
    }

    /// The store's time of the last event that was folded.
    pub(super) fn host_ms(&self) -> u64 {
        self.loaded.host_ms
    }

    /// The state as bytes, if the validator gives it.
    pub(super) fn snapshot(&mut self, shared: &Shared) -> Result<Option<Vec<u8>>, RequestError> {
        match self.loaded.instance.as_mut().map(|instance| instance.snapshot()) {
            Some(Ok(state)) => Ok(state),
            Some(Err(fault)) => Err(self.failed(shared, &fault)),
            None => Ok(None),
        }
    }

    fn ask(
        &mut self,
        shared: &Shared,
        name: &str,
        args: &[u8],
    ) -> Result<Result<Vec<u8>, String>, RequestError> {
        let answer = self.loaded.instance.as_mut().map(|instance| instance.query(name, args));
        match answer {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(fault)) => Err(self.failed(shared, &fault)),
            None => Err(RequestError::Failed("there is no instance".to_owned())),
        }
    }

    /// Folds the next event of the log.
    pub(super) fn go_on(&mut self, view: RecordView<'_>) -> Result<(), Fault> {
        self.loaded.head = view.seq();
        self.loaded.pending.go_on(view.seq());
        let body = view.decode().map_err(|error| Fault {
            kind: atomic_store_core::FaultKind::BadOutput,
            detail: format!("an event of the log cannot be read: {error}"),
        })?;
        self.loaded.instance.as_mut().map_or(Ok(()), |instance| instance.apply(&[body]))
    }

    pub(super) fn failed(&mut self, shared: &Shared, fault: &Fault) -> RequestError {
        self.loaded.instance = None;
        if let Some(error) = self.loaded.pending.take_failure() {
            return shared.read_refusal(&error);
        }
        let (kind, detail) = (fault.kind.word(), &fault.detail);
        RequestError::Failed(format!("the validator did not answer ({kind}): {detail}"))
    }

    /// Judges one batch, and goes on behind it if it is accepted.
    fn step(
        &mut self,
        shared: &Arc<Shared>,
        number: u64,
        batch: Vec<Proposal>,
        query: Option<(&str, &[u8])>,
    ) -> Result<Step, RequestError> {
        let append = Append::new(self.row.name.clone(), AppendId::default(), batch);
        let loaded = &mut self.loaded;
        let host_ms = shared.clock.now_ms().max(loaded.host_ms);
        let decided = match loaded.judge(shared, &self.row, &append, host_ms, Fold::Now) {
            Ok(decided) => decided,
            Err(fault) => {
                if let Some(error) = loaded.pending.take_failure() {
                    return Err(shared.read_refusal(&error));
                }
                return Ok(Step { outcome: fault_outcome(shared, fault), state: None });
            }
        };
        let first = loaded.head.next();
        if let Some(last) = decided.records.last() {
            loaded.head = loaded.head.plus(decided.records.len() as u64);
            loaded.hash = last.hash();
            loaded.host_ms = decided.host_ms;
        }
        loaded.pending.push(number, loaded.head, None, decided.records);
        let place = |seq| Place { seq, position: Position(0) };
        let outcome = match decided.plan {
            Plan::Stored { reason, meta } => Outcome::Committed(Committed {
                first: place(first),
                last: place(loaded.head),
                hash: loaded.hash,
                reason,
                meta,
            }),
            Plan::Outcome(outcome) => *outcome,
            _ => Outcome::Unknown { why: "a batch has neither an id nor a condition".to_owned() },
        };
        let state = match query {
            None => None,
            Some((name, args)) => {
                let answer = self.ask(shared, name, args)?;
                Some(answer.map(serde_bytes::ByteBuf::from))
            }
        };
        Ok(Step { outcome, state })
    }
}

impl History {
    /// True once there are no more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.left == 0 || self.walk.head() >= self.through
    }

    /// The next states: no more than a page of them in number and bytes, at least one unless it is done
    /// or `stop` says so.
    ///
    /// # Errors
    /// As [`Engine::query_at`]. It must not be asked again then.
    pub fn step(&mut self, stop: &dyn Fn() -> bool) -> Result<Vec<State>, RequestError> {
        let mut states = Vec::new();
        if self.is_done() || stop() {
            return Ok(states);
        }
        let shared = Arc::clone(&self.engine.shared);
        let mut fork = match self.fork.take() {
            Some(fork) => fork,
            None => Fork::new(&shared, Arc::clone(&self.row), self.walk.head())?,
        };
        let most = self.left.min(shared.limits.page_events_max.max(1) as u64);
        let (mut bytes, mut failure) = (0, None);
        let (name, args) = (self.question.0.as_str(), self.question.1.as_slice());
        let read = shared.log.read(&self.row, &mut self.walk, self.through, &mut |view| {
            let state = match fork.go_on(view) {
                Ok(()) => fork.ask(&shared, name, args),
                Err(fault) => Err(fork.failed(&shared, &fault)),
            };
            match state {
                Ok(answer) => {
                    bytes += answer.as_ref().map_or_else(String::len, Vec::len);
                    states.push(State { head: view.seq(), answer });
                }
                Err(why) => {
                    failure = Some(why);
                    return ControlFlow::Break(());
                }
            }
            let full = states.len() as u64 >= most || bytes >= shared.limits.page_bytes_max;
            if full || stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        // What was deleted meanwhile was passed over; this is then the better reason.
        still_there(&shared, &self.row)?;
        read.map_err(|error| shared.read_refusal(&error))?;
        if let Some(why) = failure {
            return Err(why);
        }
        if states.is_empty() {
            let (expected, found) = (self.through, self.walk.head());
            let (scope, found) = (self.row.name.clone(), Broken::Short { expected, found });
            let error = ReadError::Damaged { scope, seq: self.walk.head().next(), found };
            return Err(shared.read_refusal(&error));
        }
        self.left -= states.len() as u64;
        self.fork = Some(fork);
        Ok(states)
    }
}

/// Refuses if events of the scope were deleted since the row was read: they may be missing from what
/// was folded.
fn still_there(shared: &Shared, row: &ScopeRow) -> Result<(), RequestError> {
    let now = shared.log.scope(&row.name).map_err(|error| shared.read_refusal(&error))?;
    let floor = now.as_ref().map_or_else(|| Floor::none(&row.name), |now| now.floor);
    match now {
        Some(now) if floor != row.floor => Err(gone("at", &now)),
        _ => Ok(()),
    }
}

fn gone(field: &str, row: &ScopeRow) -> RequestError {
    let (name, floor) = (&row.name, row.floor.seq);
    let why = format!(
        "the events of {name} up to {floor} were deleted, and with them what was then; ask for a \
         moment after event {floor}"
    );
    RequestError::Invalid { field: field.to_owned(), why }
}
