//! The end of a scope that is decided but not yet durable, and the scope's events as its validator
//! may see them: the log, then this end.

use crate::log::{Decision, EventLog, ReadError, ScopeRow};
use crate::validator::History;
use atomic_store_core::chain::{Broken, Walk};
use atomic_store_core::record::{BodyIn, Record, RecordView};
use atomic_store_core::{AppendId, Event, Seq};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Units that a loop has handed to the committer.
pub(crate) struct Pending {
    log: Arc<dyn EventLog>,
    row: Arc<ScopeRow>,
    head: AtomicU64,
    /// How far the log is looked at; for the past, not to its end.
    through: AtomicU64,
    units: Mutex<VecDeque<PendingUnit>>,
    /// What went wrong when a guest looked back. Its fault is then not its own.
    failure: Mutex<Option<ReadError>>,
}

struct PendingUnit {
    /// Which of the scope's units, counted from 1.
    number: u64,
    /// What to answer if the same append comes again before this one is durable.
    decided: Option<(AppendId, Decision)>,
    /// For a validator that must be rebuilt or that looks back.
    records: Vec<Record>,
}

impl Pending {
    pub(crate) fn new(log: Arc<dyn EventLog>, row: Arc<ScopeRow>, head: Seq) -> Self {
        let (units, failure) = (Mutex::default(), Mutex::default());
        let (head, through) = (AtomicU64::new(head.0), AtomicU64::new(u64::MAX));
        Pending { log, row, head, through, units, failure }
    }

    /// The scope as it was after an event: nothing that came later is seen.
    pub(crate) fn past(log: Arc<dyn EventLog>, row: Arc<ScopeRow>, at: Seq) -> Self {
        Pending { through: AtomicU64::new(at.0), ..Pending::new(log, row, at) }
    }

    /// The past goes on by events of the log.
    pub(crate) fn go_on(&self, to: Seq) {
        self.through.store(to.0, Ordering::Release);
        self.head.store(to.0, Ordering::Release);
    }

    fn units(&self) -> MutexGuard<'_, VecDeque<PendingUnit>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(
        &self,
        number: u64,
        head: Seq,
        decided: Option<(AppendId, Decision)>,
        records: Vec<Record>,
    ) {
        self.units().push_back(PendingUnit { number, decided, records });
        self.head.store(head.0, Ordering::Release);
    }

    /// Forgets the units that are durable.
    pub(crate) fn forget(&self, done: u64) {
        let mut units = self.units();
        while units.front().is_some_and(|unit| unit.number <= done) {
            units.pop_front();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.units().is_empty()
    }

    /// What was decided under an id that is not durable yet.
    pub(crate) fn decision(&self, id: AppendId) -> Option<Decision> {
        let units = self.units();
        let mut decided = units.iter().filter_map(|unit| unit.decided.as_ref());
        decided.find(|(pending, _)| *pending == id).map(|(_, decision)| decision.clone())
    }

    /// The last event of which the log is known to have everything before.
    pub(crate) fn durable(&self) -> Seq {
        let units = self.units();
        let first = units.iter().find_map(|unit| unit.records.first());
        let first = first.and_then(|record| RecordView::parse(record.as_bytes()).ok());
        first.map_or(self.head(), |view| Seq(view.seq().0.saturating_sub(1)))
    }

    /// What `look` makes of an event, durable or not.
    pub(crate) fn event<R>(
        &self,
        seq: Seq,
        look: impl FnOnce(RecordView<'_>, &BodyIn<'_>) -> R,
    ) -> Result<R, ReadError> {
        let damaged = |found| ReadError::Damaged { scope: self.row.name.clone(), seq, found };
        let look = |view: RecordView<'_>| match view.decode() {
            Ok(body) => Ok(look(view, &body)),
            Err(why) => Err(damaged(Broken::Record { seq, why })),
        };
        if let Some(record) = self.record(seq) {
            let view = RecordView::parse(record.as_bytes());
            return look(view.map_err(|why| damaged(Broken::Record { seq, why }))?);
        }
        let before = Seq(seq.0.saturating_sub(1));
        let (mut walk, mut look) = (Walk::after(&self.row.name, before), Some(look));
        let mut found = None;
        self.log.read(&self.row, &mut walk, seq, &mut |view| {
            found = look.take().map(|look| look(view));
            ControlFlow::Break(())
        })?;
        found.unwrap_or_else(|| Err(damaged(Broken::Short { expected: seq, found: before })))
    }

    /// An event, durable or not.
    pub(crate) fn owned(&self, seq: Seq) -> Result<Event, ReadError> {
        let event = self.event(seq, |view, _| view.to_event())?;
        event.map_err(|why| ReadError::Damaged {
            scope: self.row.name.clone(),
            seq,
            found: Broken::Record { seq, why },
        })
    }

    /// The record of an event that is not durable yet.
    fn record(&self, seq: Seq) -> Option<Record> {
        let units = self.units();
        units.iter().find_map(|unit| {
            let first = RecordView::parse(unit.records.first()?.as_bytes()).ok()?.seq();
            let nth = usize::try_from(seq.0.checked_sub(first.0)?).ok()?;
            unit.records.get(nth).cloned()
        })
    }

    /// What went wrong when the guest looked back, taken out.
    pub(crate) fn take_failure(&self) -> Option<ReadError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Calls `each` with every event after the walk's head, durable or not.
    pub(crate) fn replay(
        &self,
        walk: &mut Walk,
        each: &mut dyn FnMut(RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let mut stopped = false;
        let through = Seq(self.through.load(Ordering::Acquire));
        self.log.read(&self.row, walk, through, &mut |view| {
            let flow = each(view);
            stopped = flow.is_break();
            flow
        })?;
        if stopped {
            return Ok(());
        }
        // Only the loop forgets units, and it is the loop that replays: whatever the log did not
        // have yet is still here.
        let records: Vec<_> = self.units().iter().flat_map(|unit| unit.records.clone()).collect();
        // Not locked from here on: a guest that folds an event may look back in turn.
        for record in records.iter().map(Record::as_bytes) {
            let known = RecordView::parse(record).is_ok_and(|view| view.seq() <= walk.head());
            if known {
                continue;
            }
            let expected = walk.head().next();
            let view = walk.step(record).map_err(|found| ReadError::Damaged {
                scope: self.row.name.clone(),
                seq: expected,
                found,
            })?;
            if each(view).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl History for Pending {
    fn head(&self) -> Seq {
        Seq(self.head.load(Ordering::Acquire))
    }

    fn read(
        &self,
        after: Seq,
        limit: usize,
        each: &mut dyn FnMut(&BodyIn<'_>),
    ) -> Result<(), String> {
        if limit == 0 || after >= self.head() {
            return Ok(());
        }
        let mut walk = Walk::after(&self.row.name, after);
        let mut left = limit;
        let mut problem = None;
        let result = self.replay(&mut walk, &mut |view| {
            match view.decode() {
                Ok(body) => each(&body),
                Err(error) => {
                    problem = Some(error.to_string());
                    return ControlFlow::Break(());
                }
            }
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let failed = match (problem, result) {
            (None, Ok(())) => return Ok(()),
            (None, Err(error)) => error,
            (Some(problem), _) => ReadError::DamagedIndex(problem),
        };
        let why = failed.to_string();
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
        Err(why)
    }
}
