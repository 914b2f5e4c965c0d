//! A group commit with nothing around it: the yardstick of `atomic-store bench`.
//!
//! One keyspace, one key and value for each event, the same grouping as the committer (take what
//! waits, a short gather, one `SyncData`). No chain, no side records, no validator, no scopes. What
//! an engine does beyond this is its overhead.

use super::CommitError;
use super::fjall_memtables::{MEMTABLE, make_room};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of an event.
const EVENT_BYTES: usize = 200;
/// As the committer's.
const GATHER: Duration = Duration::from_micros(60);
/// As the committer's.
const GATHER_BELOW: usize = 128;

/// What a run did.
#[derive(Clone, Debug)]
pub struct BareCommits {
    /// Events made durable within `elapsed`.
    pub events: u64,
    /// The time measured.
    pub elapsed: Duration,
    /// Microseconds from handing an event over to its answer, in no particular order.
    pub latencies_us: Vec<u32>,
}

/// Commits events of 200 bytes for `warm_up` and then for `time`, with so many producers, each of
/// which hands over its next event when the one before it is durable. Uses an empty directory.
///
/// # Errors
/// [`CommitError`] if the tree cannot be opened or written.
pub fn bare_group_commit(
    path: &Path,
    producers: usize,
    warm_up: Duration,
    time: Duration,
) -> Result<BareCommits, CommitError> {
    let database = Database::builder(path).worker_threads(1).open().map_err(failed)?;
    let events = database.keyspace("events", KeyspaceCreateOptions::default).map_err(failed)?;
    let (to_commit, answered) = (Queue::default(), Queue::default());
    std::thread::scope(|threads| {
        let committer = threads.spawn(|| {
            let result = commit_all(&database, &events, &to_commit, &answered);
            // Whoever waits for answers must learn that there are no more.
            answered.close();
            result
        });
        let measured = produce(producers, warm_up, time, &to_commit, &answered);
        to_commit.close();
        let committed = committer.join().unwrap_or_else(|_| Err(CommitError("panicked".into())));
        committed.map(|()| measured)
    })
}

fn failed(error: fjall::Error) -> CommitError {
    CommitError(error.to_string())
}

fn commit_all(
    database: &Database,
    events: &Keyspace,
    to_commit: &Queue,
    answered: &Queue,
) -> Result<(), CommitError> {
    let (mut group, mut seqs) = (Vec::new(), Vec::<u64>::new());
    let mut value = [0x5a; EVENT_BYTES];
    loop {
        to_commit.gather(group.len());
        group.clear();
        if !to_commit.take(&mut group) {
            return Ok(());
        }
        make_room(database, events, MEMTABLE).map_err(failed)?;
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        for &producer in &group {
            if seqs.len() <= producer {
                seqs.resize(producer + 1, 0);
            }
            seqs[producer] += 1;
            let mut key = [0; 16];
            key[..8].copy_from_slice(&(producer as u64).to_be_bytes());
            key[8..].copy_from_slice(&seqs[producer].to_be_bytes());
            // Values differ, so that nothing can be folded into one.
            value[..8].copy_from_slice(&seqs[producer].to_le_bytes());
            batch.insert(events, key, value.as_slice());
        }
        batch.commit().map_err(failed)?;
        answered.put(&group);
    }
}

/// The producers, all on this thread: a producer is no more than a slot with a start time.
fn produce(
    producers: usize,
    warm_up: Duration,
    time: Duration,
    to_commit: &Queue,
    answered: &Queue,
) -> BareCommits {
    let begin = Instant::now() + warm_up;
    let end = begin + time;
    let mut starts = vec![Instant::now(); producers];
    let mut done: Vec<usize> = (0..producers).collect();
    let (mut in_flight, mut latencies_us) = (producers, Vec::new());
    to_commit.put(&done);
    while in_flight > 0 {
        done.clear();
        if !answered.take(&mut done) {
            break;
        }
        let now = Instant::now();
        if (begin..=end).contains(&now) {
            latencies_us.extend(done.iter().map(|&producer| {
                u32::try_from((now - starts[producer]).as_micros()).unwrap_or(u32::MAX)
            }));
        }
        if now < end {
            done.iter().for_each(|&producer| starts[producer] = now);
            to_commit.put(&done);
        } else {
            in_flight -= done.len();
        }
    }
    BareCommits { events: latencies_us.len() as u64, elapsed: time, latencies_us }
}

/// A queue that is emptied as a whole.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Vec<usize>>,
    wake: Condvar,
    count: AtomicUsize,
    closed: AtomicBool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Vec<usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, items: &[usize]) {
        let mut waiting = self.lock();
        let was_empty = waiting.is_empty();
        waiting.extend_from_slice(items);
        self.count.store(waiting.len(), Ordering::Relaxed);
        drop(waiting);
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// Waits for items and takes them all. False once it is closed and empty.
    fn take(&self, into: &mut Vec<usize>) -> bool {
        let mut waiting = self.lock();
        while waiting.is_empty() {
            if self.closed.load(Ordering::SeqCst) {
                return false;
            }
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        into.append(&mut waiting);
        self.count.store(0, Ordering::Relaxed);
        true
    }

    fn gather(&self, last: usize) {
        if last <= 1 || last >= GATHER_BELOW {
            return;
        }
        // The first item has to be there before the time runs, as with the committer.
        let mut waiting = self.lock();
        while waiting.is_empty() && !self.closed.load(Ordering::SeqCst) {
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        drop(waiting);
        let start = Instant::now();
        while self.count.load(Ordering::Relaxed) < last && start.elapsed() < GATHER {
            std::thread::yield_now();
        }
    }

    fn close(&self) {
        let _waiting = self.lock();
        self.closed.store(true, Ordering::SeqCst);
        self.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_producer_is_answered_and_the_run_ends() {
        let dir = tempfile::tempdir().unwrap();
        let warm_up = Duration::from_millis(20);
        for producers in [1, 3, 200] {
            // A disk may take longer than that for one.
            let answered = [100, 1_000, 30_000].into_iter().any(|ms| {
                let path = dir.path().join(format!("{producers} {ms}"));
                let time = Duration::from_millis(ms);
                let run = bare_group_commit(&path, producers, warm_up, time).unwrap();
                assert_eq!(run.events, run.latencies_us.len() as u64, "{producers}");
                run.events > 0
            });
            assert!(answered, "{producers}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (none, tick) = (Duration::ZERO, Duration::from_millis(1));
        assert!(bare_group_commit(file.path(), 1, none, tick).is_err());
    }
}
