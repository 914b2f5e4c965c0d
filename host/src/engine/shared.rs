//! What the loops, the committer and the sessions share.

use super::committer::Committer;
use super::conflict;
use super::feed::Feed;
use super::live::Live;
use super::mailbox::Work;
use super::originator::Questions;
use super::pending::Pending;
use super::pool::Scheduler;
use super::registry::Registry;
use super::repeats::Repeats;
use super::shadow::Shadow;
use crate::clock::Clock;
use crate::log::{ConflictRow, Decision, EventLog, ReadError, ScopeRow};
use atomic_store_core::chain::Walk;
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{
    Answer, AppendId, Committed, Digest, Limits, Outcome, Overload, Place, ScopeName, Seq,
};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The engine's inside.
pub(crate) struct Shared {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) registry: Registry,
    pub(crate) committer: Committer,
    pub(crate) feed: Feed,
    pub(crate) live: Live,
    pub(crate) in_flight: InFlight,
    /// Questions to the senders of appends.
    pub(crate) questions: Questions,
    /// Ids whose originals may still be on their way.
    pub(crate) repeats: Repeats,
    /// Bytes of snapshots on their way to the disk.
    pub(crate) snapshot_bytes: AtomicUsize,
    /// Scopes found damaged, with what was found. They take no appends until a restart.
    pub(crate) sealed: Sealed,
    /// Candidates that run beside their bindings.
    pub(crate) shadow: Shadow,
    /// True if the journal of rejections holds what was proposed.
    pub(crate) keep_rejected: AtomicBool,
    scheduler: Arc<dyn Scheduler>,
    closing: AtomicBool,
    has_failed: AtomicBool,
    failed: watch::Sender<Option<String>>,
    turns: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        registry: Registry,
        scheduler: Arc<dyn Scheduler>,
    ) -> Self {
        Shared {
            committer: Committer::new(),
            feed: Feed::new(log.position()),
            live: Live::new(),
            in_flight: InFlight::new(&limits),
            questions: Questions::default(),
            sealed: Sealed::default(),
            repeats: Repeats::default(),
            snapshot_bytes: AtomicUsize::new(0),
            shadow: Shadow::new(limits.trial_bytes_max),
            keep_rejected: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            failed: watch::Sender::new(None),
            turns: AtomicU64::new(1),
            log,
            clock,
            limits,
            registry,
            scheduler,
        }
    }

    pub(crate) fn schedule(&self, work: Work) {
        self.scheduler.ready(work);
    }

    pub(crate) fn schedule_all(&self, works: &mut Vec<Work>) {
        self.scheduler.ready_all(works);
    }

    pub(crate) fn next_turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// From here on nothing is written. The first reason counts.
    pub(crate) fn fail(&self, why: &str) {
        if !self.has_failed.swap(true, Ordering::SeqCst) {
            tracing::error!(why, "the log failed; nothing is stored until a restart");
            self.failed.send_replace(Some(why.to_owned()));
        }
    }

    pub(crate) fn failure(&self) -> Option<String> {
        if !self.has_failed.load(Ordering::SeqCst) {
            return None;
        }
        Some(self.failed.borrow().clone().unwrap_or_else(|| "the log failed".to_owned()))
    }

    pub(crate) fn watch_failure(&self) -> watch::Receiver<Option<String>> {
        self.failed.subscribe()
    }

    pub(crate) fn start_closing(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// Why the store takes no appends, if so.
    pub(crate) fn read_only(&self) -> Option<String> {
        if self.closing.load(Ordering::SeqCst) {
            return Some("the store is shutting down".to_owned());
        }
        self.failure()
    }

    /// What to answer when the log cannot be read. Seals the scope if it is damaged.
    pub(crate) fn unreadable(&self, error: &ReadError) -> Outcome {
        self.sealed.note(error);
        Outcome::ReadOnly { why: error.to_string() }
    }

    /// The same for calls that are not appends.
    pub(crate) fn read_refusal(&self, error: &ReadError) -> RequestError {
        self.sealed.note(error);
        match error {
            ReadError::Storage(_) => RequestError::Failed(error.to_string()),
            _ => RequestError::Damaged(error.to_string()),
        }
    }

    /// The answer to an append that had been decided before; its events are durable.
    pub(crate) fn earlier(&self, row: &Arc<ScopeRow>, id: AppendId, decision: Decision) -> Answer {
        let outcome = match decision {
            Decision::Nothing(outcome) => *outcome,
            Decision::Joint(_) => super::joint::other_use(),
            Decision::Conflict { rows, .. } if rows.iter().any(|r| r.theirs <= row.floor.seq) => {
                deleted("this append conflicted with events", row)
            }
            Decision::Conflict { accepted, rows } => self.conflict(row, accepted, &rows),
            Decision::Committed { first, last, .. } if first <= row.floor.seq => {
                deleted(&format!("this append was committed as events {first} to {last}"), row)
            }
            Decision::Committed { first, last, reason, meta } => {
                let first = self.place(row, id, first);
                match first.and_then(|first| Ok((first, self.place(row, id, last)?))) {
                    Ok(((first, _), (last, hash))) => {
                        Outcome::Committed(Committed { first, last, hash, reason, meta })
                    }
                    Err(error) => Outcome::Unknown { why: error.to_string() },
                }
            }
        };
        Answer { outcome, duplicate: true }
    }

    /// The answer to a conflict with events that are durable.
    pub(crate) fn conflict(
        &self,
        row: &Arc<ScopeRow>,
        accepted: u32,
        rows: &[ConflictRow],
    ) -> Outcome {
        // A reader of what is durable sees what an empty end does not hide.
        let durable = Pending::new(Arc::clone(&self.log), Arc::clone(row), row.head);
        conflict::outcome(accepted, rows, |seq| durable.owned(seq))
            .unwrap_or_else(|error| self.unreadable(&error))
    }

    /// Where an event stands that an append stored. After an accepted loss another append's event
    /// may stand there; that one is not taken for it.
    fn place(
        &self,
        row: &Arc<ScopeRow>,
        id: AppendId,
        seq: Seq,
    ) -> Result<(Place, Digest), ReadError> {
        let mut walk = Walk::after(&row.name, Seq(seq.0.saturating_sub(1)));
        let mut found = None;
        self.log.read(row, &mut walk, seq, &mut |view| {
            if view.decode().is_ok_and(|body| body.append_id == id) {
                found = Some((Place { seq, position: view.position() }, view.hash()));
            }
            ControlFlow::Break(())
        })?;
        found.ok_or_else(|| {
            ReadError::DamagedIndex(format!("event {seq} of {} is missing", row.name))
        })
    }
}

/// The answer to an append that was decided before, and of which the events were deleted since.
fn deleted(what: &str, row: &ScopeRow) -> Outcome {
    let name = &row.name;
    let why = format!("{what} of {name}, which were deleted since; to append anew, use a new id");
    Outcome::Invalid { field: "id".to_owned(), why }
}

/// Counts what is in flight and refuses what is too much.
pub(crate) struct InFlight {
    appends: AtomicUsize,
    bytes: AtomicUsize,
    appends_max: usize,
    bytes_max: usize,
}

impl InFlight {
    fn new(limits: &Limits) -> Self {
        InFlight {
            appends: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            appends_max: limits.in_flight_appends_max,
            bytes_max: limits.in_flight_bytes_max,
        }
    }

    pub(crate) fn admit(&self, bytes: usize) -> Result<(), Overload> {
        // Ordered before the look at whether the store is closing.
        let appends = self.appends.fetch_add(1, Ordering::SeqCst);
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // One append larger than the cap on its own still passes when nothing else is in flight.
        if appends >= self.appends_max || (held > 0 && held + bytes > self.bytes_max) {
            self.release(bytes);
            return Err(Overload::InFlight);
        }
        Ok(())
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.appends.fetch_sub(1, Ordering::Release);
    }

    pub(crate) fn count(&self) -> usize {
        self.appends.load(Ordering::SeqCst)
    }
}

/// Scopes that take no appends because their log is damaged.
#[derive(Default)]
pub(crate) struct Sealed {
    count: AtomicUsize,
    scopes: Mutex<HashMap<ScopeName, String>>,
}

impl Sealed {
    /// Seals the scope that a read found damaged, and no other.
    pub(crate) fn note(&self, error: &ReadError) {
        if let ReadError::Damaged { scope, .. } = error {
            let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
            if scopes.insert(scope.clone(), error.to_string()).is_none() {
                tracing::error!(%scope, %error, "a scope is damaged and takes no more appends");
            }
            self.count.store(scopes.len(), Ordering::Release);
        }
    }

    pub(crate) fn why(&self, scope: &ScopeName) -> Option<String> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner).get(scope).cloned()
    }
}
