//! The committer: the only one who writes to the log.
//!
//! It takes everything that waits, writes it as one group with one sync, then answers. While one
//! group syncs, the next one gathers. After an error whose effect is not known it never writes
//! again: whoever waits gets `Unknown`, and the process is expected to exit.
//!
//! It has a thread of its own. But a single append to an idle store would wait for that thread to wake
//! up, which takes about as long as the disk does: so whoever hands it over may commit it, in the
//! thread's place and as its only one. As soon as more than one append waits at a time, the thread
//! does it all.

use super::feed::Feed;
use super::item::{Item, Then};
use super::shared::Shared;
use crate::log::{Change, CommitError, EventLog, Unit};
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

/// The queue in front of the committer, and its state.
pub(crate) struct Committer {
    queue: Mutex<Queue>,
    wake: Condvar,
    waiting: AtomicUsize,
    stop: AtomicBool,
    /// True while the log may have something to remove.
    unswept: AtomicBool,
    /// What only the one who commits needs.
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Queue {
    items: Vec<Item>,
    /// Somebody commits or sweeps, or is about to. Nobody else does meanwhile.
    busy: bool,
    /// The thread waits until it is woken.
    asleep: bool,
    /// The last group was one append; another one may be committed by whoever hands it over.
    calm: bool,
    /// The thread has ended.
    ended: bool,
}

/// Buffers that the committer uses again and again.
#[derive(Default)]
struct Desk {
    items: Vec<Item>,
    units: Vec<Unit>,
    thens: Vec<Then>,
    last_appends: usize,
}

/// The right, and the duty, to commit what waits. Dropped, it leaves that to the thread.
pub(crate) struct Lead {
    shared: Arc<Shared>,
}

/// Makes the committer free again.
struct Busy<'a>(&'a Committer);

impl Lead {
    /// Commits what waits. Blocks for the disk.
    pub(crate) fn commit(self) {
        let committer = &self.shared.committer;
        let turn = || committer.turn(&self.shared);
        if std::panic::catch_unwind(AssertUnwindSafe(turn)).is_err() {
            committer.panicked(&self.shared);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        drop(Busy(&self.shared.committer));
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let Busy(committer) = self;
        let mut queue = committer.lock();
        queue.busy = false;
        let more = !queue.items.is_empty()
            || committer.stop.load(Ordering::SeqCst)
            || committer.unswept.load(Ordering::Relaxed);
        if more {
            committer.wake_thread(queue);
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
            desk: Mutex::default(),
        }
    }

    /// Queues what was decided, in order, for the thread; takes all out. The number of items is bounded
    /// by the appends in flight. After the end of the thread nobody would take them, so they are answered
    /// as unknown.
    pub(crate) fn hand(&self, shared: &Shared, items: &mut Vec<Item>) {
        if let Some(queue) = self.put(shared, items)
            && !queue.busy
        {
            self.wake_thread(queue);
        }
    }

    /// The same for a loop, which may commit it itself if nobody else has anything to do.
    pub(crate) fn hand_or_lead(&self, shared: &Arc<Shared>, items: &mut Vec<Item>) -> Option<Lead> {
        let mut lead = None;
        if let Some(mut queue) = self.put(shared, items)
            && !queue.busy
        {
            if queue.calm && queue.asleep && queue.items.len() == 1 {
                queue.busy = true;
                lead = Some(Lead { shared: Arc::clone(shared) });
            } else {
                self.wake_thread(queue);
            }
        }
        lead
    }

    fn put(&self, shared: &Shared, items: &mut Vec<Item>) -> Option<MutexGuard<'_, Queue>> {
        if items.is_empty() {
            return None;
        }
        let mut queue = self.lock();
        if queue.ended {
            drop(queue);
            let why = "the store was closed meanwhile".to_owned();
            let parts = items.drain(..).map(|Item { unit, then, .. }| (unit, then));
            let (units, thens): (Vec<_>, Vec<_>) = parts.unzip();
            finish_all(shared, &units, thens.into_iter(), Some(&why));
            return None;
        }
        queue.items.append(items);
        self.waiting.store(queue.items.len(), Ordering::Relaxed);
        Some(queue)
    }

    /// Wakes the thread, unless it is awake.
    fn wake_thread(&self, mut queue: MutexGuard<'_, Queue>) {
        if std::mem::take(&mut queue.asleep) {
            drop(queue);
            self.wake.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        let queue = self.lock();
        self.stop.store(true, Ordering::SeqCst);
        if !queue.busy {
            self.wake_thread(queue);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log's panics are caught where it is called; this is about receivers of answers. Some answers
    /// are lost then, so nothing more may be promised.
    pub(crate) fn panicked(&self, shared: &Shared) {
        shared.fail("the committer panicked");
        *self.desk() = Desk::default();
    }

    /// The committer's thread: commits until it is stopped and nothing waits.
    pub(crate) fn run(&self, shared: &Shared) {
        let mut turns = 0_u32;
        while self.wait(shared) {
            let _busy = Busy(self);
            self.gather(self.desk().last_appends);
            self.turn(shared);
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(SWEEP_EVERY) {
                self.sweep(shared);
            }
        }
    }

    /// Waits until there is something to commit, and makes the committer busy; meanwhile lets the log
    /// remove what is gone. False at the end.
    fn wait(&self, shared: &Shared) -> bool {
        let mut queue = self.lock();
        loop {
            let idle = !queue.busy;
            if idle && !queue.items.is_empty() {
                queue.busy = true;
                return true;
            }
            if idle && self.stop.load(Ordering::SeqCst) {
                queue.ended = true;
                return false;
            }
            if idle && self.unswept.load(Ordering::Relaxed) {
                queue.busy = true;
                drop(queue);
                {
                    let _busy = Busy(self);
                    self.sweep(shared);
                }
                queue = self.lock();
                continue;
            }
            queue.asleep = true;
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.asleep = false;
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
    pub(crate) fn turn(&self, shared: &Shared) -> bool {
        let desk = &mut *self.desk();
        {
            let mut queue = self.lock();
            std::mem::swap(&mut queue.items, &mut desk.items);
            queue.calm = desk.items.len() <= 1;
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
        shared.log.between();
        true
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
        then.finish(shared, about, units.len() == 1, error);
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
