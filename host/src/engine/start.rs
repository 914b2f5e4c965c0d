//! Makes a scope ready to judge: finds its rule, starts an instance, folds the log into it.

use super::pending::Pending;
use super::registry::Ruling;
use super::scope_loop::Loaded;
use super::shared::Shared;
use crate::log::{ReadError, ScopeRow, Snapshot};
use crate::validator::{Start, StartError, Validator};
use atomic_store_core::chain::Walk;
use atomic_store_core::protocol::RequestError;
use atomic_store_core::record::RecordView;
use atomic_store_core::{Fault, FaultKind, Outcome, Overload, Seq};
use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};

/// Events folded in one call. Fewer calls are cheaper; more would only need more memory.
const BATCH_EVENTS: usize = 64;
/// Bytes folded in one call, once it holds an event.
const BATCH_BYTES: usize = 256 * 1024;

/// Logs of at least so many events are read on a thread of their own while they are folded: below
/// that, starting the thread costs more than it gains.
const AHEAD_FROM: u64 = 5_000;
/// Batches read ahead.
const AHEAD_BATCHES: usize = 4;

/// Why a scope could not be made ready.
pub(super) enum NotReady {
    Read(ReadError),
    Fault(Fault),
    Declined(String),
    NoRoom(String),
}

impl Loaded {
    /// After this there is a rule and an instance with the state of the head. The rule is looked up
    /// again whenever a binding changed anywhere; the instance is kept if the rule is the same.
    pub(crate) fn ready(&mut self, shared: &Arc<Shared>, row: &ScopeRow) -> Result<(), Outcome> {
        let generation = shared.registry.generation();
        if self.ruling.as_ref().is_none_or(|ruling| ruling.generation != generation) {
            let ruling = shared.registry.ruling(&row.name)?;
            return self.ready_under(shared, row, ruling);
        }
        self.begin(shared, row)
    }

    /// The same under a given rule, until the bindings change.
    pub(crate) fn ready_under(
        &mut self,
        shared: &Arc<Shared>,
        row: &ScopeRow,
        ruling: Ruling,
    ) -> Result<(), Outcome> {
        if self.ruling.as_ref().is_none_or(|before| before.rule != ruling.rule) {
            self.instance = None;
        }
        self.ruling = Some(ruling);
        self.begin(shared, row)
    }

    fn begin(&mut self, shared: &Arc<Shared>, row: &ScopeRow) -> Result<(), Outcome> {
        if self.instance.is_some() {
            return Ok(());
        }
        let Some(ruling) = &self.ruling else { return Ok(()) };
        match self.start(shared, row, ruling) {
            Ok((instance, host_ms, folded)) => {
                self.instance = Some(instance);
                self.host_ms = self.host_ms.max(host_ms);
                self.unsaved = folded;
                Ok(())
            }
            Err(NotReady::Read(error)) => Err(shared.unreadable(&error)),
            Err(NotReady::Declined(why)) => {
                let why = format!(
                    "its validator declined to start: {why}; bind another, or another config"
                );
                Err(Outcome::ReadOnly { why })
            }
            Err(NotReady::NoRoom(why)) => {
                tracing::warn!(scope = %row.name, why, "an append was refused");
                shared.live.ask_cold_to_leave(shared);
                Err(Outcome::Overloaded(Overload::Instances))
            }
            Err(NotReady::Fault(fault)) => {
                if let Some(error) = self.pending.take_failure() {
                    return Err(shared.unreadable(&error));
                }
                // Not a decision on this append: it is answered before anything is durable, and
                // the next try may meet another validator.
                let (kind, detail) = (fault.kind.word(), fault.detail);
                let why = format!("its validator failed to fold the events ({kind}): {detail}");
                Err(Outcome::ReadOnly { why })
            }
        }
    }

    /// An instance with the state of the head, the time of the last event, and how many events had
    /// to be folded.
    fn start(
        &self,
        shared: &Shared,
        row: &ScopeRow,
        ruling: &Ruling,
    ) -> Result<(Box<dyn Validator>, u64, u64), NotReady> {
        if !ruling.rules.folds() {
            let instance = self.instance(row, ruling, None)?;
            return Ok((instance, self.last_host_ms(row)?, 0));
        }
        // The newest, else the one before it, else all events.
        let mut before = self.head;
        while before > Seq::ZERO {
            let snapshot = shared.log.snapshot(row.id, &ruling.rule, before);
            let Some(snapshot) = snapshot.map_err(NotReady::Read)? else { break };
            before = Seq(snapshot.seq.0.saturating_sub(1));
            if !self.is_at(row, &snapshot)? {
                continue;
            }
            match self.restored(row, ruling, &snapshot) {
                Err(error @ (NotReady::Declined(_) | NotReady::Fault(_))) => {
                    let (scope, seq) = (&row.name, snapshot.seq);
                    let why = error.describe();
                    tracing::warn!(%scope, %seq, why, "snapshot refused; going on without it");
                    // If the log was at fault, it will be so again for what comes instead.
                    drop(self.pending.take_failure());
                }
                started => return started,
            }
        }
        self.folded(row, ruling)
    }

    /// What [`Self::start`] gives, from a snapshot and the events behind it.
    pub(super) fn restored(
        &self,
        row: &ScopeRow,
        ruling: &Ruling,
        snapshot: &Snapshot,
    ) -> Result<(Box<dyn Validator>, u64, u64), NotReady> {
        let instance = self.instance(row, ruling, Some(snapshot))?;
        self.fold(instance, Walk::from(snapshot.seq, snapshot.hash), snapshot.host_ms)
    }

    /// The same from all events.
    pub(super) fn folded(
        &self,
        row: &ScopeRow,
        ruling: &Ruling,
    ) -> Result<(Box<dyn Validator>, u64, u64), NotReady> {
        self.fold(self.instance(row, ruling, None)?, row.walk_after(Seq::ZERO), 0)
    }

    /// True if the snapshot's event is the one that stands there now. It is not if the log was
    /// shortened, that was accepted, and other events came in its place.
    pub(super) fn is_at(&self, row: &ScopeRow, snapshot: &Snapshot) -> Result<bool, NotReady> {
        let mut walk = Walk::after(&row.name, Seq(snapshot.seq.0.saturating_sub(1)));
        let mut same = false;
        let read = self.pending.replay(&mut walk, &mut |view| {
            same = view.seq() == snapshot.seq && view.hash() == snapshot.hash;
            ControlFlow::Break(())
        });
        read.map_err(NotReady::Read)?;
        if !same {
            let (scope, seq) = (&row.name, snapshot.seq);
            tracing::warn!(%scope, %seq, "snapshot of other events; going on without it");
        }
        Ok(same)
    }

    fn instance(
        &self,
        row: &ScopeRow,
        ruling: &Ruling,
        snapshot: Option<&Snapshot>,
    ) -> Result<Box<dyn Validator>, NotReady> {
        let start = Start {
            scope: &row.name,
            config: ruling.binding.config.as_deref(),
            snapshot: snapshot.map(|snapshot| snapshot.state.as_slice()),
            history: Arc::clone(&self.pending) as _,
        };
        ruling.rules.start(start).map_err(|error| match error {
            StartError::Declined(why) => NotReady::Declined(why),
            StartError::Fault(fault) => NotReady::Fault(fault),
            StartError::NoRoom(why) => NotReady::NoRoom(why),
        })
    }

    /// Folds everything after the walk's head into an instance.
    fn fold(
        &self,
        mut instance: Box<dyn Validator>,
        mut walk: Walk,
        host_ms: u64,
    ) -> Result<(Box<dyn Validator>, u64, u64), NotReady> {
        let start = walk.head();
        let mut last_ms = host_ms;
        if self.head.0.saturating_sub(start.0) < AHEAD_FROM {
            read_batches(&self.pending, &mut walk, |batch| {
                last_ms = last_ms.max(batch.apply(&mut *instance)?);
                Ok(batch.emptied())
            })?;
        } else {
            last_ms = last_ms.max(self.fold_ahead(&mut *instance, &mut walk)?);
        }
        Ok((instance, last_ms, walk.head().0 - start.0))
    }

    /// The same for long logs: one thread reads and checks while this one folds. Returns the time of
    /// the last event.
    fn fold_ahead(&self, instance: &mut dyn Validator, walk: &mut Walk) -> Result<u64, NotReady> {
        let (full, batches) = mpsc::sync_channel::<Batch>(AHEAD_BATCHES);
        let (spare, empties) = mpsc::channel::<Batch>();
        std::thread::scope(|scope| {
            let pending = &self.pending;
            let reader = std::thread::Builder::new().name("read-ahead".to_owned());
            let reader = reader.spawn_scoped(scope, move || {
                read_batches(pending, walk, |batch| {
                    // If the folding ended early, its error is what counts.
                    full.send(batch).map_err(|_| gone())?;
                    Ok(empties.try_recv().unwrap_or_default())
                })
            });
            let reader = reader.map_err(|error| {
                NotReady::Read(ReadError::Storage(format!("no thread to read with: {error}")))
            })?;
            let mut last_ms = 0;
            for batch in batches {
                last_ms = last_ms.max(batch.apply(instance).map_err(NotReady::Fault)?);
                // The reader may be done; then nobody needs the empty batch.
                drop(spare.send(batch.emptied()));
            }
            match reader.join() {
                Ok(read) => read.map(|()| last_ms),
                Err(_) => Err(NotReady::Fault(gone())),
            }
        })
    }

    /// The store's time of the last event, for rules that fold nothing.
    fn last_host_ms(&self, row: &ScopeRow) -> Result<u64, NotReady> {
        if self.head == Seq::ZERO {
            return Ok(0);
        }
        let mut walk = Walk::after(&row.name, Seq(self.head.0 - 1));
        let mut host_ms = 0;
        let read = self.pending.replay(&mut walk, &mut |view| {
            host_ms = view.decode().map_or(0, |body| body.host_ms);
            ControlFlow::Continue(())
        });
        read.map_err(NotReady::Read)?;
        Ok(host_ms)
    }
}

/// Reads to the end of the scope; `full` takes each batch and gives an empty one back.
pub(super) fn read_batches(
    pending: &Pending,
    walk: &mut Walk,
    mut full: impl FnMut(Batch) -> Result<Batch, Fault>,
) -> Result<(), NotReady> {
    let mut batch = Batch::default();
    let mut fault = None;
    let read = pending.replay(walk, &mut |view| {
        batch.push(view);
        if batch.is_full() {
            match full(std::mem::take(&mut batch)) {
                Ok(empty) => batch = empty,
                Err(error) => {
                    fault = Some(error);
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    });
    read.map_err(NotReady::Read)?;
    match fault {
        Some(fault) => Err(NotReady::Fault(fault)),
        None => full(batch).map(drop).map_err(NotReady::Fault),
    }
}

impl NotReady {
    /// What it means for a snapshot that did not lead to a state, or for the events alone: nothing.
    ///
    /// # Errors
    /// `Failed` if the snapshot is to blame, otherwise what is.
    pub(super) fn of_snapshot(self, shared: &Shared, is: bool) -> Result<(), RequestError> {
        match self {
            NotReady::Read(error) => Err(shared.read_refusal(&error)),
            NotReady::NoRoom(why) => Err(RequestError::Overloaded(why)),
            NotReady::Declined(_) | NotReady::Fault(_) if !is => Ok(()),
            NotReady::Declined(why) => Err(RequestError::Failed(format!("it is declined: {why}"))),
            NotReady::Fault(fault) => {
                let (kind, detail) = (fault.kind.word(), fault.detail);
                Err(RequestError::Failed(format!("no state comes of it ({kind}): {detail}")))
            }
        }
    }

    fn describe(&self) -> String {
        match self {
            NotReady::Read(error) => error.to_string(),
            NotReady::Declined(why) | NotReady::NoRoom(why) => why.clone(),
            NotReady::Fault(fault) => format!("{}: {}", fault.kind.word(), fault.detail),
        }
    }
}

/// Records copied together so that many are folded in one call.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    fn push(&mut self, view: RecordView<'_>) {
        self.bytes.extend_from_slice(view.as_bytes());
        self.ends.push(self.bytes.len());
    }

    /// The same memory, without the records.
    pub(super) fn emptied(mut self) -> Batch {
        self.bytes.clear();
        self.ends.clear();
        self
    }

    fn is_full(&self) -> bool {
        self.ends.len() >= BATCH_EVENTS || self.bytes.len() >= BATCH_BYTES
    }

    /// Folds the events; returns the time of the last one, 0 if there is none.
    pub(super) fn apply(&self, instance: &mut dyn Validator) -> Result<u64, Fault> {
        let mut bodies = Vec::with_capacity(self.ends.len());
        let mut start = 0;
        for &end in &self.ends {
            let body = RecordView::parse(&self.bytes[start..end]).and_then(|view| view.decode());
            bodies.push(body.map_err(|error| Fault {
                kind: FaultKind::BadOutput,
                detail: format!("an event of the log cannot be read: {error}"),
            })?);
            start = end;
        }
        match bodies.last().map(|last| last.host_ms) {
            None => Ok(0),
            Some(host_ms) => instance.apply(&bodies).map(|()| host_ms),
        }
    }
}

/// Never seen by anybody: the other thread's error takes its place.
fn gone() -> Fault {
    Fault { kind: FaultKind::Trap, detail: "the folding was given up".to_owned() }
}
