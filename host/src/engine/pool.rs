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

/// Runs scope loops that have mail. A simulation brings its own and picks the order itself.
pub trait Scheduler: Send + Sync + 'static {
    /// Sees to it that the work is run once, soon, on any thread.
    fn ready(&self, work: Work);
}

/// A fixed number of threads on one queue.
pub(crate) struct Pool {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Queue {
    cores: usize,
    state: Mutex<QueueState>,
    /// Threads wait here for work.
    work: Condvar,
    /// The watchdog waits here while nothing runs.
    watch: Condvar,
}

#[derive(Default)]
struct QueueState {
    work: VecDeque<Work>,
    /// Since when each thread has been running what it runs; nothing if it waits.
    running: Vec<Option<Instant>>,
    /// How many threads run something.
    active: usize,
    /// How many of them have done so for too long.
    stuck: usize,
    stop: bool,
}

impl Pool {
    pub(crate) fn start(threads: usize, stack_bytes: usize) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let state = QueueState { running: vec![None; threads], ..QueueState::default() };
        let queue = Arc::new(Queue {
            cores: cores.min(threads),
            state: Mutex::new(state),
            work: Condvar::new(),
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
        self.queue.work.notify_all();
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
        // Whoever runs now looks at the queue when it is done.
        let wake = state.active < self.queue.cores + state.stuck;
        drop(state);
        if wake {
            self.queue.work.notify_one();
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work_until_stopped(&self, me: usize) {
        let mut state = self.lock();
        loop {
            let may_run = state.active < self.cores + state.stuck;
            if may_run && let Some(work) = state.work.pop_front() {
                state.active += 1;
                state.running[me] = Some(Instant::now());
                if state.active == 1 {
                    self.watch.notify_one();
                }
                drop(state);
                work.run();
                state = self.lock();
                state.active -= 1;
                state.running[me] = None;
            } else if state.stop && state.work.is_empty() {
                return;
            } else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn watch_until_stopped(&self) {
        let mut state = self.lock();
        while !(state.stop && state.active == 0 && state.work.is_empty()) {
            if state.active == 0 {
                state = self.watch.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.watch.wait_timeout(state, STUCK_AFTER);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let since = state.running.iter().flatten();
            state.stuck = since.filter(|since| since.elapsed() >= STUCK_AFTER).count();
            let room = self.cores + state.stuck > state.active;
            if room && !state.work.is_empty() {
                self.work.notify_one();
            }
        }
    }
}
