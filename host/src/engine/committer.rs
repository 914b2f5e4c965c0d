//! The committer: the only one who writes to the log.
//!
//! It takes everything that waits, writes it as one group with one sync, then answers. While one
//! group syncs, the next one gathers. After an error whose effect is not known it never writes
//! again: whoever waits gets `Unknown`, and the process is expected to exit.

use super::conflict::Found;
use super::feed::Feed;
use super::joint::JointReply;
use super::mailbox::Cell;
use super::reply::{ReplyTo, State};
use super::shared::Shared;
use crate::log::{Change, CommitError, Decision, EventLog, INDEX_ROW_BYTES, ScopeRow, Unit};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::record::RecordView;
use atomic_store_core::{Answer, AppendId, Committed, Digest, Outcome, Place, Proposal, Seq};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long to wait for a group as large as the last one. Without it the appends that were just
/// answered miss the next group, and scopes split into two halves that take turns.
const GATHER: Duration = Duration::from_micros(60);
/// Above this the tree's own work per event rules, and waiting gains nothing.
const GATHER_BELOW: usize = 128;
/// While appends come without a pause, something is removed after so many turns.
const SWEEP_EVERY: u32 = 32;

/// What a loop hands over: a unit, and what to do once it is durable.
pub(crate) struct Item {
    unit: Unit,
    then: Then,
    /// Nothing if the unit must be in the same group as the one before; otherwise how many events and
    /// bytes must be in its group behind it.
    behind: Option<(usize, usize)>,
}

/// What to do once a unit is durable.
struct Then {
    cell: Option<Arc<Cell>>,
    bytes: usize,
    reply: Reply,
    /// How many units the reply is about: this one, and the last ones before it.
    units: usize,
}

/// What is done once everything before is durable, or may not be, for this reason.
pub(crate) type Afterwards = Box<dyn FnOnce(Option<&String>) + Send>;

enum Reply {
    /// Nobody waits for a snapshot.
    Snapshot,
    Answer {
        to: Arc<dyn ReplyTo>,
        call: u64,
        plan: Plan,
    },
    State {
        to: Arc<dyn ReplyTo>,
        call: u64,
        state: Result<State, RequestError>,
    },
    /// The answer to a joint append, with its last unit.
    Joint(JointReply),
    /// A part of a joint append that is not its last.
    Part,
    /// Nothing was decided.
    Then(Afterwards),
    /// For the host's own appends, which wait on their thread.
    Host(std::sync::mpsc::SyncSender<Result<(), String>>),
}

/// How to make the answer.
pub(crate) enum Plan {
    /// From the records of the unit.
    Stored { reason: Option<String>, meta: Option<Vec<u8>> },
    /// Nothing was stored, and this is why.
    Outcome(Outcome),
    /// It had been decided before. The events are durable by the time this is answered.
    Earlier { id: AppendId, decision: Decision, row: Arc<ScopeRow> },
    /// It conflicts with events that are too large to be kept at hand until they are durable.
    Conflict { found: Found, row: Arc<ScopeRow> },
}

/// The queue in front of the committer, and its state.
pub(crate) struct Committer {
    queue: Mutex<Vec<Item>>,
    wake: Condvar,
    waiting: AtomicUsize,
    stop: AtomicBool,
    /// True while the log may have something to remove.
    unswept: AtomicBool,
    /// True once its thread has ended, which it does under the lock of the queue.
    ended: AtomicBool,
    /// Empty vectors for the loops, so that handing over allocates nothing.
    spare: Mutex<Vec<Vec<Item>>>,
}

/// Buffers that the committer uses again and again.
#[derive(Default)]
pub(crate) struct Desk {
    items: Vec<Item>,
    units: Vec<Unit>,
    thens: Vec<Then>,
    last_appends: usize,
    turns: u32,
}

impl Item {
    pub(crate) fn append(
        cell: &Arc<Cell>,
        unit: Unit,
        bytes: usize,
        to: Arc<dyn ReplyTo>,
        call: u64,
        plan: Plan,
    ) -> Self {
        Item::new(unit, Some(cell), bytes, Reply::Answer { to, call, plan })
    }

    pub(crate) fn state(
        cell: &Arc<Cell>,
        row: &Arc<ScopeRow>,
        bytes: usize,
        to: Arc<dyn ReplyTo>,
        call: u64,
        state: Result<State, RequestError>,
    ) -> Self {
        let unit = Unit::bare(Arc::clone(row));
        Item::new(unit, Some(cell), bytes, Reply::State { to, call, state })
    }

    /// A snapshot, which nobody waits for.
    pub(crate) fn snapshot(shared: &Shared, cell: &Arc<Cell>, unit: Unit) -> Self {
        let bytes = unit.snapshot.as_ref().map_or(0, |snapshot| snapshot.state.len());
        shared.snapshot_bytes.fetch_add(bytes, Ordering::Relaxed);
        Item::new(unit, Some(cell), bytes, Reply::Snapshot)
    }

    /// One of the host's own appends.
    pub(crate) fn host(unit: Unit, done: std::sync::mpsc::SyncSender<Result<(), String>>) -> Self {
        Item::new(unit, None, 0, Reply::Host(done))
    }

    /// Something to do once everything before is durable. Must not block.
    pub(crate) fn then(row: &Arc<ScopeRow>, then: Afterwards) -> Self {
        Item::new(Unit::bare(Arc::clone(row)), None, 0, Reply::Then(then))
    }

    /// The units of a joint append, which are stored together or not at all.
    pub(crate) fn joint(
        units: Vec<(Arc<Cell>, Unit)>,
        reply: JointReply,
        bytes: usize,
        items: &mut Vec<Item>,
    ) {
        let first = items.len();
        let count = units.len();
        let mut behind = (0, 0);
        for (cell, unit) in units {
            let (events, bytes) = unit.size();
            behind = (behind.0 + events, behind.1 + bytes);
            let mut item = Item::new(unit, Some(&cell), 0, Reply::Part);
            item.behind = None;
            items.push(item);
        }
        let own = items.get(first).map_or((0, 0), |item| item.unit.size());
        if let Some(item) = items.get_mut(first) {
            item.behind = Some((behind.0 - own.0, behind.1 - own.1));
        }
        if let Some(last) = items.last_mut() {
            last.then = Then {
                cell: last.then.cell.take(),
                bytes,
                reply: Reply::Joint(reply),
                units: count,
            };
        }
    }

    fn new(unit: Unit, cell: Option<&Arc<Cell>>, bytes: usize, reply: Reply) -> Self {
        let then = Then { cell: cell.map(Arc::clone), bytes, reply, units: 1 };
        Item { unit, then, behind: Some((0, 0)) }
    }
}

impl Unit {
    /// A unit that stores nothing; it keeps its place in the order of answers.
    pub(crate) fn bare(scope: Arc<ScopeRow>) -> Self {
        Unit {
            scope,
            at: Seq::ZERO,
            bytes: 0,
            records: Vec::new(),
            index: Vec::new(),
            decision: None,
            snapshot: None,
            dropped: None,
            module: None,
            change: None,
            rejection: None,
            proposed: None,
            host_ms: 0,
        }
    }
}

impl Committer {
    pub(crate) fn new() -> Self {
        Committer {
            queue: Mutex::default(),
            wake: Condvar::new(),
            waiting: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            // A crash may have left something.
            unswept: AtomicBool::new(true),
            ended: AtomicBool::new(false),
            spare: Mutex::default(),
        }
    }

    pub(crate) fn spare_items(&self) -> Vec<Item> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Queues what a loop decided, in order. The number of items is bounded by the appends in flight.
    /// After the end of the thread nobody would take them, so they are answered as unknown.
    pub(crate) fn hand(&self, shared: &Shared, items: &mut Vec<Item>) {
        if !items.is_empty() {
            let mut queue = self.lock();
            if self.ended.load(Ordering::Relaxed) {
                drop(queue);
                let why = "the store was closed meanwhile".to_owned();
                let parts = items.drain(..).map(|Item { unit, then, .. }| (unit, then));
                let (units, thens): (Vec<_>, Vec<_>) = parts.unzip();
                finish_all(shared, &units, thens.into_iter(), Some(&why));
                return;
            }
            let was_empty = queue.is_empty();
            queue.append(items);
            self.waiting.store(queue.len(), Ordering::Relaxed);
            drop(queue);
            if was_empty {
                self.wake.notify_one();
            }
        }
        if items.capacity() > 0 {
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            if spare.len() < 16 {
                spare.push(std::mem::take(items));
            }
        }
    }

    pub(crate) fn stop(&self) {
        let _queue = self.lock();
        self.stop.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Item>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The committer's thread: commits until it is stopped and nothing waits.
    pub(crate) fn run(&self, shared: &Shared) {
        let mut desk = Desk::default();
        loop {
            let mut queue = self.lock();
            while queue.is_empty() {
                if self.stop.load(Ordering::SeqCst) {
                    self.ended.store(true, Ordering::Relaxed);
                    return;
                }
                if self.unswept.load(Ordering::Relaxed) {
                    drop(queue);
                    self.sweep(shared);
                    queue = self.lock();
                    continue;
                }
                queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            drop(queue);
            self.gather(desk.last_appends);
            self.turn(shared, &mut desk);
            desk.turns = desk.turns.wrapping_add(1);
            if desk.turns.is_multiple_of(SWEEP_EVERY) {
                self.sweep(shared);
            }
        }
    }

    /// Lets the log remove a part of what is gone; true if there was something. An error is like one
    /// of a commit: nothing is written after it.
    pub(crate) fn sweep(&self, shared: &Shared) -> bool {
        if !self.unswept.load(Ordering::Relaxed) || shared.failure().is_some() {
            self.unswept.store(false, Ordering::Relaxed);
            return false;
        }
        let swept = std::panic::catch_unwind(AssertUnwindSafe(|| shared.log.sweep()));
        match swept.unwrap_or_else(|_| Err(CommitError("the log panicked".to_owned()))) {
            Ok(more) => self.unswept.store(more, Ordering::Relaxed),
            Err(error) => shared.fail(&error.to_string()),
        }
        self.unswept.load(Ordering::Relaxed)
    }

    fn gather(&self, last: usize) {
        if last <= 1 || last >= GATHER_BELOW {
            return;
        }
        let start = Instant::now();
        while self.waiting.load(Ordering::Relaxed) < last && start.elapsed() < GATHER {
            std::thread::yield_now();
        }
    }

    /// Takes what waits and commits it, in as many groups as the caps ask for. False if nothing
    /// waited.
    pub(crate) fn turn(&self, shared: &Shared, desk: &mut Desk) -> bool {
        {
            let mut queue = self.lock();
            std::mem::swap(&mut *queue, &mut desk.items);
            self.waiting.store(0, Ordering::Relaxed);
        }
        if desk.items.is_empty() {
            return false;
        }
        let (mut events, mut bytes) = (0, 0);
        let mut items = std::mem::take(&mut desk.items);
        for Item { unit, then, behind } in items.drain(..) {
            let (unit_events, unit_bytes) = unit.size();
            let full = behind.is_some_and(|(more_events, more_bytes)| {
                events + unit_events + more_events > shared.limits.group_events_max
                    || bytes + unit_bytes + more_bytes > shared.limits.group_bytes_max
            });
            if full && !desk.units.is_empty() {
                commit(shared, desk);
                (events, bytes) = (0, 0);
            }
            events += unit_events;
            bytes += unit_bytes;
            desk.units.push(unit);
            desk.thens.push(then);
        }
        desk.items = items;
        commit(shared, desk);
        true
    }
}

impl Unit {
    fn size(&self) -> (usize, usize) {
        let records: usize = self.records.iter().map(|record| record.as_bytes().len()).sum();
        let snapshot = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.state.len());
        let module = self.module.as_ref().map_or(0, |(_, bytes)| bytes.len());
        let index = self.index.len() * INDEX_ROW_BYTES;
        let rejection = self.rejection.as_ref().map_or(0, |entry| entry.size());
        let proposed = self.proposed.iter().flatten().map(Proposal::size).sum::<usize>();
        (self.records.len(), records + index + snapshot + module + proposed + rejection)
    }
}

/// Commits the units on the desk as one group, then tells everybody.
fn commit(shared: &Shared, desk: &mut Desk) {
    desk.last_appends = desk.units.len();
    let result = match shared.failure() {
        Some(why) => Err(why),
        None => {
            let units = &mut desk.units;
            // A log that panicked is not asked again, so what it left behind does not matter.
            std::panic::catch_unwind(AssertUnwindSafe(|| shared.log.commit(units)))
                .unwrap_or_else(|_| Err(CommitError("the log panicked".to_owned())))
                .map_err(|error| error.to_string())
        }
    };
    if let Err(why) = &result {
        shared.fail(why);
    } else {
        publish(&shared.feed, &*shared.log, &desk.units);
        if let Some(last) = desk.units.iter().rev().find_map(|unit| unit.rejection.as_ref()) {
            shared.feed.publish_rejections(last.number);
        }
        if desk.units.iter().any(|unit| unit.change.is_some()) {
            shared.committer.unswept.store(true, Ordering::Relaxed);
        }
    }
    finish_all(shared, &desk.units, desk.thens.drain(..), result.as_ref().err());
    desk.units.clear();
}

fn finish_all(
    shared: &Shared,
    units: &[Unit],
    thens: impl Iterator<Item = Then>,
    error: Option<&String>,
) {
    for (n, then) in thens.enumerate() {
        let about = &units[(n + 1).saturating_sub(then.units)..=n];
        then.finish(shared, about, error);
    }
}

fn publish(feed: &Feed, log: &dyn EventLog, units: &[Unit]) {
    let seen = |unit: &&Unit| !unit.records.is_empty() && !unit.is_staged();
    let mut stored = units.iter().filter(seen).peekable();
    if stored.peek().is_some() {
        let heads = stored.map(|unit| (&unit.scope.name, unit.at.plus(unit.records.len() as u64)));
        let restored = units.iter().filter_map(|unit| match unit.change.as_deref() {
            Some(Change::Publish(row)) => Some((&row.name, row.head)),
            _ => None,
        });
        feed.publish(log.position(), heads.chain(restored));
    }
}

impl Then {
    fn finish(self, shared: &Shared, units: &[Unit], error: Option<&String>) {
        // After a failure the loop keeps what it handed over: it is not in the log.
        if let (Some(cell), None) = (&self.cell, error) {
            cell.done.fetch_add(1, Ordering::Release);
        }
        match self.reply {
            Reply::Snapshot => {
                shared.snapshot_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
            }
            Reply::Host(done) => {
                // The waiting thread may have given up; then nobody needs the result.
                drop(done.send(error.map_or(Ok(()), |why| Err(why.clone()))));
            }
            Reply::State { to, call, state } => {
                shared.in_flight.release(self.bytes);
                to.state(call, error.map_or(state, |why| State::failed(why.clone())));
            }
            Reply::Answer { to, call, plan } => {
                shared.in_flight.release(self.bytes);
                let answer = match (error, units.last()) {
                    (Some(why), _) => undecided(why),
                    (None, Some(unit)) => plan.answer(shared, unit),
                    (None, None) => undecided("the unit of the append is gone"),
                };
                to.answer(call, answer);
            }
            Reply::Joint(reply) => {
                shared.in_flight.release(self.bytes);
                reply.send(shared, units, error);
            }
            Reply::Part => {}
            Reply::Then(then) => then(error),
        }
    }
}

pub(super) fn undecided(why: &str) -> Answer {
    let why = format!("{why}; ask again with the same append id after the store has restarted");
    Answer { outcome: Outcome::Unknown { why }, duplicate: false }
}

impl Plan {
    pub(super) fn answer(self, shared: &Shared, unit: &Unit) -> Answer {
        match self {
            Plan::Outcome(outcome) => Answer { outcome, duplicate: false },
            Plan::Stored { reason, meta } => match stored(unit) {
                Some((first, last, hash)) => Answer {
                    outcome: Outcome::Committed(Committed { first, last, hash, reason, meta }),
                    duplicate: false,
                },
                None => undecided("the records of the append cannot be read back"),
            },
            Plan::Earlier { id, decision, row } => shared.earlier(&row, id, decision),
            Plan::Conflict { found, row } => Answer {
                outcome: shared.conflict(&row, found.accepted, &found.rows),
                duplicate: false,
            },
        }
    }
}

fn stored(unit: &Unit) -> Option<(Place, Place, Digest)> {
    let place = |record: &atomic_store_core::record::Record| {
        let view = RecordView::parse(record.as_bytes()).ok()?;
        Some((Place { seq: view.seq(), position: view.position() }, view.hash()))
    };
    let (first, _) = place(unit.records.first()?)?;
    let (last, hash) = place(unit.records.last()?)?;
    Some((first, last, hash))
}
