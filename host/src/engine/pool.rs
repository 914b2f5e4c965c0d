//! The threads that run scope loops.
//!
//! As many loops run at a time as there are cores: more would only take turns, at the price of a
//! wake-up for each append. But guests run synchronously, and a stuck one holds its thread until
//! its deadline. So there are more threads than cores, and a watchdog lets one more run for each
//! that has been at it for too long. A stuck scope then costs the others its share of a core,
//! which the kernel takes from it, and no more.

use super::mailbox::Work;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a loop may run before another thread takes its place among the running ones. Loops
/// take a few microseconds for each append they read.
const STUCK_AFTER: Duration = Duration::from_millis(2);

/// Looks without anything running after which the watchdog goes to sleep.
const QUIET_LOOKS: u32 = 50;

/// Runs scope loops that have mail. A simulation brings its own and picks the order itself.
pub trait Scheduler: Send + Sync + 'static {
    /// Sees to it that the work is run once, soon, on any thread.
    fn ready(&self, work: Work);

    /// The same for many at once; takes all out.
    fn ready_all(&self, works: &mut Vec<Work>) {
        works.drain(..).for_each(|work| self.ready(work));
    }
}

/// A fixed number of threads on one queue.
pub(crate) struct Pool {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Queue {
    cores: usize,
    state: Mutex<QueueState>,
    /// Each thread waits at its own place for work, so that the one that worked last is woken first:
    /// its stack and its caches are warm.
    work: Vec<Condvar>,
    /// The watchdog waits here while nothing runs.
    watch: Condvar,
}

#[derive(Default)]
struct QueueState {
    work: VecDeque<Work>,
    /// Since when each thread has been running what it runs; nothing if it waits.
    running: Vec<Option<Instant>>,
    /// Threads that wait, the one that worked last at the end.
    waiting: Vec<usize>,
    /// How many threads run something.
    active: usize,
    /// How many were told to run and have not looked yet.
    woken: usize,
    /// How many run for too long.
    stuck: usize,
    /// True while the watchdog sleeps and wants to be told when something runs.
    unwatched: bool,
    stop: bool,
}

impl Pool {
    pub(crate) fn start(threads: usize, stack_bytes: usize) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let state = QueueState { running: vec![None; threads], ..QueueState::default() };
        let queue = Arc::new(Queue {
            cores: cores.min(threads),
            state: Mutex::new(state),
            work: (0..threads).map(|_| Condvar::new()).collect(),
            watch: Condvar::new(),
        });
        let mut handles = Vec::with_capacity(threads + 1);
        for n in 0..threads {
            let queue = Arc::clone(&queue);
            let builder =
                std::thread::Builder::new().name(format!("scopes-{n}")).stack_size(stack_bytes);
            handles.push(builder.spawn(move || queue.work_until_stopped(n))?);
        }
        let watched = Arc::clone(&queue);
        let builder = std::thread::Builder::new().name("scopes-watchdog".to_owned());
        handles.push(builder.spawn(move || watched.watch_until_stopped())?);
        Ok(Pool { queue, threads: Mutex::new(handles) })
    }

    /// Lets the threads finish what is queued and end; does not wait for them.
    pub(crate) fn stop(&self) {
        self.queue.lock().stop = true;
        self.queue.work.iter().for_each(Condvar::notify_all);
        self.queue.watch.notify_all();
    }

    /// True once every thread has ended.
    pub(crate) fn has_stopped(&self) -> bool {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().all(JoinHandle::is_finished)
    }
}

impl Scheduler for Pool {
    fn ready(&self, work: Work) {
        let mut state = self.queue.lock();
        state.work.push_back(work);
        self.queue.wake(state, 1);
    }

    fn ready_all(&self, works: &mut Vec<Work>) {
        let mut state = self.queue.lock();
        let count = works.len();
        state.work.extend(works.drain(..));
        self.queue.wake(state, count);
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes as many threads as may run and have something to do. Whoever runs already looks at
    /// the queue again when it is done.
    fn wake(&self, state: MutexGuard<'_, QueueState>, new: usize) {
        let may_run = (self.cores + state.stuck).saturating_sub(state.active + state.woken);
        let mut state = state;
        for _ in 0..may_run.min(new) {
            let Some(thread) = state.waiting.pop() else { return };
            state.woken += 1;
            drop(state);
            self.work[thread].notify_one();
            state = self.lock();
        }
    }

    fn work_until_stopped(&self, me: usize) {
        let mut state = self.lock();
        loop {
            let may_run = state.active < self.cores + state.stuck;
            if may_run && let Some(work) = state.work.pop_front() {
                state.active += 1;
                state.running[me] = Some(Instant::now());
                if state.unwatched {
                    state.unwatched = false;
                    self.watch.notify_one();
                }
                drop(state);
                let lead = work.run_to_lead();
                state = self.lock();
                state.active -= 1;
                state.running[me] = None;
                if let Some(lead) = lead {
                    let alone = state.work.is_empty() && state.active == 0;
                    drop(state);
                    // For the disk; meanwhile another thread may run in this one's place.
                    if alone {
                        lead.commit()
                    } else {
                        drop(lead)
                    }
                    state = self.lock();
                }
            } else if state.stop && state.work.is_empty() {
                return;
            } else {
                state.waiting.push(me);
                state = self.work[me].wait(state).unwrap_or_else(PoisonError::into_inner);
                match state.waiting.iter().position(|thread| *thread == me) {
                    // Nobody woke it.
                    Some(at) => drop(state.waiting.remove(at)),
                    None => state.woken = state.woken.saturating_sub(1),
                }
            }
        }
    }

    /// Sleeps while nothing runs; otherwise looks every few milliseconds for loops that take too
    /// long.
    fn watch_until_stopped(&self) {
        let mut state = self.lock();
        let mut quiet = 0;
        while !(state.stop && state.active == 0 && state.work.is_empty()) {
            quiet = if state.active == 0 { quiet + 1 } else { 0 };
            if quiet > QUIET_LOOKS && !state.stop {
                quiet = 0;
                state.unwatched = true;
                state = self.watch.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.watch.wait_timeout(state, STUCK_AFTER);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let since = state.running.iter().flatten();
            state.stuck = since.filter(|since| since.elapsed() >= STUCK_AFTER).count();
            // A wake-up that went to a thread which found nothing to do is made good here.
            state.woken = 0;
            let waiting = state.work.len();
            self.wake(state, waiting);
            state = self.lock();
        }
    }
}
