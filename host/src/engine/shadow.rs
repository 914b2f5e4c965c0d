//! Candidates beside their bindings: what would they have said?
//!
//! The loop of a scope leaves a copy of each append it decided, if there is room, and goes on. A thread
//! lets the candidate fold the scope's durable events up to that append, asks it for its verdict, and
//! counts what differs. So a candidate decides nothing, and no append waits for it: while the store is
//! busy the thread takes a small share of one core, and what it misses is counted. (A low priority
//! would not do: whoever is put off while it holds a lock puts off those who wait for it.)

use super::decided::Decided;
use super::item::Plan;
use super::scope_loop::Loaded;
use super::shadow_desk::{Compared, Desk};
use super::shared::Shared;
use super::trials::Tap;
use crate::log::ScopeRow;
use atomic_store_core::{
    Append, AppendId, Outcome, Proposal, Seq, Trial, TrialDivergence, TrialReport,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the thread rests when nothing is there, or when what is there is not durable yet.
const REST: Duration = Duration::from_millis(2);
/// The longest rest, whatever is owed.
const REST_MAX: Duration = Duration::from_secs(2);
/// Rests without anything to do after which it sleeps until it is woken.
const QUIET_RESTS: u32 = 500;
/// Bytes that a waiting append takes besides its proposals.
const JOB_BYTES: usize = 512;
/// Divergences that are told in full.
const FIRST_MAX: usize = 10;
/// While more appends than this are in flight, the store is busy.
const BUSY_FROM: usize = 2;
/// How many times as long as it worked the thread rests while the store is busy: 4 % of one core.
const RESTS: u32 = 24;

/// What waits for candidates, and what they said so far.
pub(crate) struct Shadow {
    /// Where loops leave appends; none of them waits for another, nor for who takes them.
    queue: Sender<Job>,
    stopped: Mutex<bool>,
    wake: Condvar,
    /// True while the thread sleeps and must be woken.
    asleep: AtomicBool,
    bytes: AtomicUsize,
    bytes_max: usize,
    /// By the event of `$system` that began the trial.
    counts: Mutex<HashMap<Seq, Counts>>,
    taker: Mutex<Taker>,
}

/// Who takes appends and has them judged.
struct Taker {
    queue: Receiver<Job>,
    /// What was taken too early, or to see whether there is anything.
    next: Option<Job>,
    desk: Desk,
}

impl Taker {
    fn next(&mut self) -> Option<Job> {
        self.next.take().or_else(|| self.queue.try_recv().ok())
    }
}

/// An append, as its binding's rule decided it.
pub(super) struct Job {
    pub(super) trial: Seq,
    pub(super) row: Arc<ScopeRow>,
    /// The last event before it.
    pub(super) after: Seq,
    pub(super) append: AppendId,
    pub(super) host_ms: u64,
    pub(super) proposals: Vec<Proposal>,
    pub(super) live: Live,
    pub(super) fuel: u64,
    bytes: usize,
}

/// The verdict that counted.
pub(super) enum Live {
    /// So many events were stored.
    Accepted(u64),
    /// The codes of its reasons.
    Refused(Vec<String>),
}

/// What a candidate said so far; see [`TrialReport`].
#[derive(Clone, Default)]
struct Counts {
    /// Appends that were taken, whatever came of them.
    taken: u64,
    compared: u64,
    same: u64,
    newly_accepted: u64,
    newly_rejected: u64,
    changed: u64,
    faults: u64,
    dropped: u64,
    live_fuel: u64,
    fuel: u64,
    first: Vec<TrialDivergence>,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// Something was compared, or given up.
    Done,
    /// What is next is not durable yet.
    Early,
    /// Nothing waits.
    Idle,
}

impl Shadow {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let (queue, taken) = mpsc::channel();
        let taker = Taker { queue: taken, next: None, desk: Desk::default() };
        Shadow {
            queue,
            stopped: Mutex::default(),
            wake: Condvar::new(),
            asleep: AtomicBool::new(false),
            bytes: AtomicUsize::new(0),
            bytes_max,
            counts: Mutex::default(),
            taker: Mutex::new(taker),
        }
    }

    fn stopped(&self) -> MutexGuard<'_, bool> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taker(&self) -> MutexGuard<'_, Taker> {
        self.taker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, trial: Seq, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        change(counts.entry(trial).or_default());
    }

    /// Leaves a decided append for the candidate of the scope's binding, if there is one.
    pub(crate) fn offer(
        &self,
        loaded: &Loaded,
        row: &Arc<ScopeRow>,
        append: &Append,
        host_ms: u64,
        decided: &Decided,
    ) {
        let Some(tap) = loaded.ruling.as_ref().and_then(|ruling| ruling.tap.as_ref()) else {
            return;
        };
        if append.dry_run {
            return;
        }
        let live = match &decided.plan {
            Plan::Stored { .. } => Live::Accepted(decided.records.len() as u64),
            Plan::Outcome(Outcome::Noop { .. }) => Live::Accepted(0),
            Plan::Outcome(Outcome::Rejected(refusal)) => {
                Live::Refused(refusal.reasons.iter().map(|reason| reason.code.clone()).collect())
            }
            _ => return,
        };
        let bytes = append.size() + JOB_BYTES;
        if self.bytes.load(Ordering::Relaxed).saturating_add(bytes) > self.bytes_max {
            tap.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let (row, after, proposals) = (Arc::clone(row), loaded.head, append.proposals.clone());
        let (trial, append, fuel) = (tap.trial, append.id, loaded.fuel);
        let job = Job { trial, row, after, append, host_ms, proposals, live, fuel, bytes };
        // Before it is left: whoever takes it takes its bytes off.
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        tap.left.fetch_add(1, Ordering::Relaxed);
        if self.queue.send(job).is_err() {
            return;
        }
        // Either this sees that the thread sleeps, or the thread sees what was left; see `run`.
        fence(Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::AcqRel) {
            // It may be about to sleep, with the lock.
            drop(self.stopped());
            self.wake.notify_one();
        }
    }

    /// What a trial found so far.
    pub(crate) fn report(&self, trial: Trial, tap: &Tap) -> TrialReport {
        let seq = trial.candidate.seq;
        let left = tap.left.load(Ordering::Relaxed);
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let found = counts.get(&seq).cloned().unwrap_or_default();
        TrialReport {
            trial,
            compared: found.compared,
            same: found.same,
            newly_accepted: found.newly_accepted,
            newly_rejected: found.newly_rejected,
            changed: found.changed,
            faults: found.faults,
            dropped: found.dropped + tap.missed.load(Ordering::Relaxed),
            waiting: left.saturating_sub(found.taken),
            live_fuel: found.live_fuel,
            fuel: found.fuel,
            first: found.first,
        }
    }

    /// Lets a candidate judge the next append.
    pub(super) fn turn(&self, shared: &Arc<Shared>) -> Turned {
        let mut taker = self.taker();
        let Some(job) = taker.next() else {
            // Whatever trials have ended, nobody asks for what they left.
            let running = |trial| shared.registry.trial_at(trial).is_some();
            taker.desk.keep_only(running);
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.retain(|trial, _| running(*trial));
            return Turned::Idle;
        };
        let running = shared.registry.trial_at(job.trial);
        let Some(candidate) = running else {
            self.bytes.fetch_sub(job.bytes, Ordering::Relaxed);
            return Turned::Done;
        };
        let compared = taker.desk.compare(shared, candidate, &job);
        if matches!(compared, Compared::Early) {
            taker.next = Some(job);
            return Turned::Early;
        }
        self.bytes.fetch_sub(job.bytes, Ordering::Relaxed);
        self.count(job.trial, |counts| book(counts, &job, compared));
        Turned::Done
    }

    /// Runs until it is stopped.
    pub(crate) fn run(&self, shared: &Arc<Shared>) {
        let (mut quiet, mut owed) = (0, Duration::ZERO);
        loop {
            let start = Instant::now();
            let turned = self.turn(shared);
            if shared.in_flight.count() > BUSY_FROM {
                owed += start.elapsed() * RESTS;
            }
            let stopped = self.stopped();
            if *stopped {
                return;
            }
            quiet = if turned == Turned::Idle { quiet + 1 } else { 0 };
            if owed >= REST {
                // Until it has rested for all that it owes, or the store stops.
                let goes_on = |stopped: &mut bool| !*stopped;
                let rested = self.wake.wait_timeout_while(stopped, owed.min(REST_MAX), goes_on);
                drop(rested.unwrap_or_else(PoisonError::into_inner));
                owed = Duration::ZERO;
                continue;
            }
            if turned == Turned::Done {
                continue;
            }
            if quiet > QUIET_RESTS {
                self.asleep.store(true, Ordering::Release);
                fence(Ordering::SeqCst);
                let mut taker = self.taker();
                taker.next = taker.next();
                let idle = taker.next.is_none();
                drop(taker);
                if idle {
                    drop(self.wake.wait(stopped).unwrap_or_else(PoisonError::into_inner));
                }
                self.asleep.store(false, Ordering::Release);
                quiet = 0;
            } else {
                let rested = self.wake.wait_timeout(stopped, REST);
                drop(rested.unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    pub(crate) fn stop(&self) {
        *self.stopped() = true;
        self.wake.notify_all();
    }
}

/// Counts one judgement.
fn book(counts: &mut Counts, job: &Job, compared: Compared) {
    counts.taken += 1;
    let (what, fuel, candidate) = match compared {
        // It was put back, and not booked.
        Compared::Early => return,
        Compared::GivenUp => {
            counts.dropped += 1;
            return;
        }
        Compared::Same { fuel } => {
            counts.compared += 1;
            counts.same += 1;
            (counts.live_fuel, counts.fuel) = (counts.live_fuel + job.fuel, counts.fuel + fuel);
            return;
        }
        Compared::Fault(detail) => {
            counts.faults += 1;
            (None, 0, detail)
        }
        Compared::Differs { accepts, fuel, said } => (Some(accepts), fuel, said),
    };
    if let Some(accepts) = what {
        counts.compared += 1;
        (counts.live_fuel, counts.fuel) = (counts.live_fuel + job.fuel, counts.fuel + fuel);
        match (&job.live, accepts) {
            (Live::Accepted(_), false) => counts.newly_rejected += 1,
            (Live::Refused(_), true) => counts.newly_accepted += 1,
            _ => counts.changed += 1,
        }
    }
    if counts.first.len() < FIRST_MAX {
        let (scope, live) = (job.row.name.clone(), job.live.describe());
        let (after, append) = (job.after, job.append);
        counts.first.push(TrialDivergence { scope, after, append, live, candidate });
    }
}

impl Live {
    fn describe(&self) -> String {
        match self {
            Live::Accepted(1) => "accepted: 1 event".to_owned(),
            Live::Accepted(events) => format!("accepted: {events} events"),
            Live::Refused(codes) => format!("refused: {}", codes.join(", ")),
        }
    }
}
