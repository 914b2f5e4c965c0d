//! The threads that run scope loops.
//!
//! Guests run synchronously, and a stuck one holds its thread until its deadline. So there are more
//! threads than cores, plain ones that the kernel preempts: a stuck scope costs the others its share
//! of a core and no more.

use super::mailbox::Work;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

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

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    wake: Condvar,
}

#[derive(Default)]
struct QueueState {
    work: VecDeque<Work>,
    idle: usize,
    stop: bool,
}

impl Pool {
    pub(crate) fn start(threads: usize, stack_bytes: usize) -> std::io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let mut handles = Vec::with_capacity(threads);
        for n in 0..threads {
            let queue = Arc::clone(&queue);
            let builder =
                std::thread::Builder::new().name(format!("scopes-{n}")).stack_size(stack_bytes);
            handles.push(builder.spawn(move || queue.work_until_stopped())?);
        }
        Ok(Pool { queue, threads: Mutex::new(handles) })
    }

    /// Lets the threads finish what is queued and end; does not wait for them.
    pub(crate) fn stop(&self) {
        self.queue.lock().stop = true;
        self.queue.wake.notify_all();
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
        let wake = state.idle > 0;
        drop(state);
        if wake {
            self.queue.wake.notify_one();
        }
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work_until_stopped(&self) {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.work.pop_front() {
                drop(state);
                work.run();
                state = self.lock();
            } else if state.stop {
                return;
            } else {
                state.idle += 1;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}
