//! Candidates beside their bindings: what would they have said?
//!
//! The loop of a scope leaves a copy of each append it decided, if there is room, and goes on. A thread
//! lets the candidate fold the scope's durable events up to that append, asks it for its verdict, and
//! counts what differs. So a candidate decides nothing, and no append waits for it: while appends come
//! the thread takes a small share of one core, and what it misses is counted. (A low priority
//! would not do: whoever is put off while it holds a lock puts off those who wait for it.)

use super::decided::Decided;
use super::item::{Item, Plan};
use super::scope_loop::Loaded;
use super::shadow_desk::{Compared, Desk};
use super::shared::Shared;
use super::trial_counts::{Counts, Kept};
use super::trials::Tap;
use crate::log::{ReadError, ScopeRow};
use atomic_store_core::record::Record;
use atomic_store_core::{Append, AppendId, Outcome, Proposal, Seq, Trial, TrialReport, counted};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{self, Receiver, Sender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long the thread rests when nothing is there, or when what is there is not durable yet.
const REST: Duration = Duration::from_millis(2);
/// The longest rest, whatever is owed.
const REST_MAX: Duration = Duration::from_secs(2);
/// Rests without anything to do after which it sleeps until it is woken.
const QUIET_RESTS: u32 = 500;
/// Bytes that a waiting append takes besides its proposals.
const JOB_BYTES: usize = 512;
/// How often what candidates said is kept in the log, at most.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// How long a closing store lets candidates judge what waits.
const FINISH_FOR: Duration = Duration::from_secs(2);
/// Events that a candidate folds for an append then.
const FOLDED_AT_CLOSE: u64 = 100_000;
/// After so long without an append the store is not busy. What is in flight would not tell: between an
/// answer and the next append of the same client there is nothing, and yet both want the core.
const CALM: Duration = Duration::from_millis(20);
/// How many times as long as it worked the thread rests while the store is busy: half a percent of one core.
/// Whoever appends one event at a time notices several times its share, as it comes in between.
const RESTS: u32 = 199;
/// It rests once it owes so much: a few long rests disturb less than many short ones.
const OWED: Duration = Duration::from_millis(50);

/// What waits for candidates, and what they said so far.
pub(crate) struct Shadow {
    /// Where loops leave appends; none of them waits for another, nor for who takes them.
    queue: Sender<Job>,
    stopped: Mutex<bool>,
    wake: Condvar,
    /// How many appends were there to leave.
    offered: AtomicU64,
    /// True while the thread sleeps and must be woken.
    asleep: AtomicBool,
    bytes: AtomicUsize,
    bytes_max: usize,
    /// By the event of `$system` that began the trial.
    counts: Mutex<HashMap<Seq, Counts>>,
    taker: Mutex<Taker>,
    kept: Mutex<Kept>,
    /// The scope among whose snapshots counts are kept, once it was read.
    system: OnceLock<Arc<ScopeRow>>,
}

/// What became of an append that was judged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// What its rule decided.
    Decided,
    /// Another scope of a joint append refused, so nothing of it is stored.
    RefusedByOthers,
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
    /// What the verdict took, if that is known.
    pub(super) fuel: Option<u64>,
    bytes: usize,
}

/// The verdict that counted.
pub(super) enum Live {
    /// So many events were stored.
    Accepted(u64),
    /// These events would have been stored, had the other scopes of a joint append accepted.
    Unstored(Vec<Record>),
    /// The codes of its reasons.
    Refused(Vec<String>),
}

/// Whether appends come.
struct Traffic {
    offered: u64,
    /// When the last of them was seen.
    last: Option<Instant>,
}

impl Traffic {
    fn goes_on(&mut self, offered: u64, now: Instant) -> bool {
        if offered != self.offered {
            (self.offered, self.last) = (offered, Some(now));
        }
        self.last.is_some_and(|last| now.duration_since(last) < CALM)
    }
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// Something was compared, folded or given up.
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
            offered: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            bytes: AtomicUsize::new(0),
            bytes_max,
            counts: Mutex::default(),
            taker: Mutex::new(taker),
            kept: Mutex::default(),
            system: OnceLock::new(),
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

    /// Goes on with what the log has of the trials that run.
    pub(crate) fn resume(&self, shared: &Shared, system: Arc<ScopeRow>) -> Result<(), ReadError> {
        let beside =
            shared.registry.trials().into_iter().filter(|(trial, _)| trial.share.is_none());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.read(&*shared.log, &system, beside.map(|(_, tap)| tap.trial))?;
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = found;
        // It is read once, before anybody asks.
        drop(self.system.set(system));
        Ok(())
    }

    /// Leaves a decided append for the candidate of the scope's binding, if there is one.
    pub(crate) fn offer(
        &self,
        loaded: &Loaded,
        row: &Arc<ScopeRow>,
        append: &Append,
        decided: Option<&Decided>,
        fate: Fate,
    ) {
        let Some(tap) = loaded.ruling.as_ref().and_then(|ruling| ruling.tap.as_ref()) else {
            return;
        };
        if append.dry_run {
            tap.seen.dry_runs.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Some((decided, live)) =
            decided.and_then(|decided| Some((decided, live(decided, fate)?)))
        else {
            tap.seen.unjudged.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let unstored = match &live {
            Live::Unstored(records) => records.iter().map(|r| r.as_bytes().len()).sum(),
            Live::Accepted(_) | Live::Refused(_) => 0,
        };
        let host_ms = decided.host_ms;
        self.offered.fetch_add(1, Ordering::Relaxed);
        let bytes = append.size() + unstored + JOB_BYTES;
        if self.bytes.load(Ordering::Relaxed).saturating_add(bytes) > self.bytes_max {
            tap.seen.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let (row, after, proposals) = (Arc::clone(row), loaded.head, append.proposals.clone());
        let (trial, append, fuel) = (tap.trial, append.id, loaded.fuel);
        let job = Job { trial, row, after, append, host_ms, proposals, live, fuel, bytes };
        // Before it is left: whoever takes it takes its bytes off.
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        tap.seen.left.fetch_add(1, Ordering::Relaxed);
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
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let found = counts.get(&trial.candidate.seq).cloned().unwrap_or_default();
        found.report(trial, tap)
    }

    /// Puts what of the counts is not in the log yet on the way there, and says where the outcome comes.
    /// After the last time nothing is written any more.
    fn keep(&self, shared: &Shared, last: bool) -> Vec<Receiver<Result<(), String>>> {
        let Some(system) = self.system.get() else { return Vec::new() };
        let trials = shared.registry.trials();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let units = kept.units(system, &trials, &counts, last, shared.clock.now_ms());
        drop(counts);
        let (done, waiting): (Vec<_>, Vec<_>) = units.iter().map(|_| sync_channel(1)).unzip();
        let items = units.into_iter().zip(done).map(|(unit, done)| Item::host(unit, done));
        // With the lock, so that the last is the last.
        shared.committer.hand(shared, &mut items.collect());
        waiting
    }

    /// Lets candidates judge what waits while the store closes, for a while, and keeps the counts.
    pub(super) fn finish(
        &self,
        shared: &Arc<Shared>,
        end: Instant,
    ) -> Vec<Receiver<Result<(), String>>> {
        self.stop();
        let end = end.min(Instant::now() + FINISH_FOR);
        while Instant::now() < end && self.judge(shared, FOLDED_AT_CLOSE) == Turned::Done {}
        self.keep(shared, true)
    }

    /// Lets a candidate judge the next append.
    pub(super) fn turn(&self, shared: &Arc<Shared>) -> Turned {
        self.judge(shared, u64::MAX)
    }

    /// The same, unless it has to fold more than so many events for that.
    fn judge(&self, shared: &Arc<Shared>, most: u64) -> Turned {
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
        let compared = taker.desk.compare(shared, candidate, &job, most);
        let not_yet = match compared {
            Compared::Early => Some(Turned::Early),
            Compared::Behind => Some(Turned::Done),
            _ => None,
        };
        if let Some(turned) = not_yet {
            taker.next = Some(job);
            return turned;
        }
        self.bytes.fetch_sub(job.bytes, Ordering::Relaxed);
        self.count(job.trial, |counts| counts.book(&job, compared));
        Turned::Done
    }

    /// Runs until it is stopped.
    pub(crate) fn run(&self, shared: &Arc<Shared>) {
        let (mut quiet, mut owed) = (0, Duration::ZERO);
        let mut kept: Option<Instant> = None;
        let mut traffic = Traffic { offered: 0, last: None };
        loop {
            let start = Instant::now();
            let turned = self.turn(shared);
            // The first is kept at once, so that the log knows that there may be more.
            if turned == Turned::Done && kept.is_none_or(|kept| kept.elapsed() >= KEEP_EVERY) {
                kept = Some(start);
                drop(self.keep(shared, false));
            }
            if traffic.goes_on(self.offered.load(Ordering::Relaxed), start) {
                owed += start.elapsed() * RESTS;
            }
            let stopped = self.stopped();
            if *stopped {
                return;
            }
            quiet = if turned == Turned::Idle { quiet + 1 } else { 0 };
            if owed >= OWED {
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
                drop(stopped);
                drop(self.keep(shared, false));
                let stopped = self.stopped();
                if *stopped {
                    return;
                }
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

/// The verdict in a decision, if its rule gave one.
fn live(decided: &Decided, fate: Fate) -> Option<Live> {
    Some(match &decided.plan {
        Plan::Stored { .. } if fate == Fate::RefusedByOthers => {
            Live::Unstored(decided.records.clone())
        }
        Plan::Stored { .. } => Live::Accepted(decided.records.len() as u64),
        Plan::Outcome(outcome) => match &**outcome {
            Outcome::Noop { .. } => Live::Accepted(0),
            Outcome::Rejected(refusal) => {
                Live::Refused(refusal.reasons.iter().map(|reason| reason.code.clone()).collect())
            }
            _ => return None,
        },
        _ => return None,
    })
}

impl Live {
    pub(super) fn describe(&self) -> String {
        match self {
            Live::Accepted(events) => format!("accepted: {}", counted(*events, "event")),
            Live::Unstored(records) => {
                format!("accepted: {}, refused by others", counted(records.len() as u64, "event"))
            }
            Live::Refused(codes) => format!("refused: {}", codes.join(", ")),
        }
    }
}
