//! The background thread of a log on disk: renews the mark and watches the free space, so that the
//! append path does neither.

use super::dir;
use super::mark::Mark;
use atomic_store_core::Position;
use atomic_store_core::protocol::StoreId;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How far a lost tail can go unnoticed after a crash, against three small writes to the disk.
const EVERY: Duration = Duration::from_millis(250);

/// What the thread and the log both look at.
#[derive(Debug)]
pub(super) struct Gauge {
    durable: Mutex<Durable>,
    room: AtomicBool,
}

/// How far the log is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Durable {
    /// Group commits with events.
    pub(super) commits: u64,
    /// The last position.
    pub(super) position: Position,
}

impl Gauge {
    pub(super) fn new(durable: Durable, room: bool) -> Self {
        Gauge { durable: Mutex::new(durable), room: AtomicBool::new(room) }
    }

    /// How far the log is durable.
    pub(super) fn durable(&self) -> Durable {
        *self.lock()
    }

    /// Says how far it is now.
    pub(super) fn advance(&self, durable: Durable) {
        *self.lock() = durable;
    }

    /// True while there is more free space than the reserve.
    pub(super) fn has_room(&self) -> bool {
        self.room.load(Ordering::Relaxed)
    }

    // Plain copies in and out cannot leave the value half-written.
    fn lock(&self) -> MutexGuard<'_, Durable> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread needs.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// The data directory.
    pub(super) path: PathBuf,
    /// Whose mark it is.
    pub(super) store: StoreId,
    /// Free bytes to keep.
    pub(super) reserve: u64,
    /// Where it looks, and what it sets.
    pub(super) gauge: Arc<Gauge>,
}

impl Task {
    /// Writes the mark.
    pub(super) fn mark(&self, durable: Durable, clean: bool) -> io::Result<()> {
        let Durable { commits, position } = durable;
        Mark { store: self.store, commits, position, clean }.write(&self.path)
    }

    /// Looks at the free space. If that cannot be seen, there is none.
    pub(super) fn measure(&self) {
        let room = match dir::free_bytes(&self.path) {
            Ok(free) => free > self.reserve,
            Err(error) => {
                tracing::warn!("the free space of {} cannot be read: {error}", self.path.display());
                false
            }
        };
        if self.gauge.room.swap(room, Ordering::Relaxed) && !room {
            tracing::error!("less free space than the reserve: appends are refused");
        }
    }
}

/// The running thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts the thread. `marked` is what the mark says already.
    pub(super) fn start(task: Task, marked: Durable) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("log-watch".to_owned())
            .spawn(move || run(&task, marked, &stopped))?;
        Ok(Watch { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that renews the mark had panicked");
        }
    }
}

fn run(task: &Task, mut marked: Durable, stopped: &mpsc::Receiver<()>) {
    let mut failing = false;
    while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        task.measure();
        let durable = task.gauge.durable();
        if durable == marked {
            continue;
        }
        match task.mark(durable, false) {
            Ok(()) => (marked, failing) = (durable, false),
            // The log itself is not affected; an old mark only notices less.
            Err(error) if !failing => {
                tracing::warn!("the mark in {} cannot be renewed: {error}", task.path.display());
                failing = true;
            }
            Err(_) => {}
        }
    }
}
