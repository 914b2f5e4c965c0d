//! Work on many scopes: one job a scope, as many at a time as there are cores.

use crate::engine::shared::Shared;
use crate::log::{ReadError, ScopeRow};
use atomic_store_core::{ProofProgress, ScopeName, ScopePattern, Seq};
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Scopes fetched at a time.
const PAGE: usize = 1_000;
/// How often it is told how far the work is.
const TELL: Duration = Duration::from_millis(100);
/// Scopes that may be done behind one that is not: what came of them waits in memory.
const AHEAD: u64 = 10_000;
/// How long a thread that is so far ahead rests.
const REST: Duration = Duration::from_millis(2);
/// Stack beyond what guests may use.
const HOST_STACK_BYTES: usize = 2 * 1024 * 1024;

/// Which scopes.
pub(super) enum Which {
    /// Those of a pattern whose names come after a name.
    Pattern(ScopePattern, String),
    /// All whose names come after a name.
    All(String),
    /// These.
    These(Vec<ScopeRow>),
}

/// What a job sees of the others.
pub(super) struct Work {
    stop: AtomicBool,
    events: AtomicU64,
    /// Scopes done with all before them.
    done: AtomicU64,
    /// Scopes in which something was found.
    found: AtomicU64,
    /// The last event that is done, if there is one scope.
    at: AtomicU64,
}

impl Work {
    fn new() -> Work {
        let count = || AtomicU64::new(0);
        let (events, done, found, at) = (count(), count(), count(), count());
        Work { stop: AtomicBool::new(false), events, done, found, at }
    }

    /// Something was found in a scope: whoever ends the work early is told, too.
    pub(super) fn found(&self) {
        self.found.fetch_add(1, Ordering::Relaxed);
    }

    /// All events of a scope up to this one are done.
    pub(super) fn is_at(&self, seq: Seq) {
        self.at.store(seq.0, Ordering::Relaxed);
    }

    /// Counts events; breaks if the whole work is to end.
    pub(super) fn did(&self, events: u64) -> ControlFlow<()> {
        self.events.fetch_add(events, Ordering::Relaxed);
        match self.stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// What is done with one scope.
pub(super) type Job<'a, T> = dyn Fn(&Arc<ScopeRow>, &Work) -> Result<T, ReadError> + Sync + 'a;

/// Runs `job` on scopes, over all cores, and hands what it gives to `done` in the order of names, so
/// that a report is the same each time. `progress` may end the work; what is done by then counts.
pub(super) fn for_scopes<T: Send>(
    shared: &Shared,
    which: Which,
    job: &Job<T>,
    done: &mut dyn FnMut(T),
    progress: &mut dyn FnMut(&ProofProgress) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let work = Work::new();
    let one = matches!(&which, Which::These(rows) if rows.len() == 1);
    let of_scopes = match &which {
        Which::These(rows) => rows.len() as u64,
        _ => shared.log.scope_count(),
    };
    let list = Mutex::new(List::new(which));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let (results, arriving) = mpsc::sync_channel(threads);
        for number in 0..threads {
            let (list, work, results) = (&list, &work, results.clone());
            let builder = std::thread::Builder::new().name("proof".to_owned());
            let builder = builder.stack_size(HOST_STACK_BYTES + shared.limits.stack_bytes_max);
            let started = builder.spawn_scoped(scope, move || {
                run(shared, list, work, job, &results);
            });
            if let Err(error) = started
                && number == 0
            {
                return Err(ReadError::Storage(format!("no thread: {error}")));
            }
        }
        drop(results);
        let told = ProofProgress { of_scopes, ..ProofProgress::default() };
        let mut order = Order { next: 0, waiting: BTreeMap::new(), told, done };
        loop {
            match arriving.recv_timeout(TELL) {
                Ok((number, name, result)) => match result {
                    Ok(Some(found)) => order.arrived(number, name, found),
                    // It was ended halfway, so it is not done.
                    Ok(None) => {}
                    Err(error) => {
                        work.stop.store(true, Ordering::Relaxed);
                        return Err(error);
                    }
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            work.done.store(order.told.scopes, Ordering::Relaxed);
            order.told.events = work.events.load(Ordering::Relaxed);
            order.told.found = work.found.load(Ordering::Relaxed);
            order.told.at = Seq(if one { work.at.load(Ordering::Relaxed) } else { 0 });
            if progress(&order.told).is_break() {
                work.stop.store(true, Ordering::Relaxed);
            }
        }
    })
}

type Found<T> = (u64, ScopeName, Result<Option<T>, ReadError>);

/// One thread: takes a scope after the other.
fn run<T>(
    shared: &Shared,
    list: &Mutex<List>,
    work: &Work,
    job: &Job<T>,
    results: &mpsc::SyncSender<Found<T>>,
) {
    while work.did(0).is_continue() {
        let next = {
            let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
            if list.number > work.done.load(Ordering::Relaxed).saturating_add(AHEAD) {
                drop(list);
                std::thread::sleep(REST);
                continue;
            }
            list.next(shared)
        };
        let (number, row) = match next {
            Ok(Some((number, row))) => (number, Arc::new(row)),
            Ok(None) => return,
            Err(error) => {
                drop(results.send((0, ScopeName::system(), Err(error))));
                return;
            }
        };
        let result = catch_unwind(AssertUnwindSafe(|| job(&row, work)));
        let result = result.unwrap_or_else(|_| {
            Err(ReadError::Storage(format!("going through {} panicked", row.name)))
        });
        let whole = work.did(0).is_continue();
        let result = result.map(|found| whole.then_some(found));
        // Nobody listens after an error.
        if results.send((number, row.name.clone(), result)).is_err() {
            return;
        }
    }
}

/// The scopes that nobody has taken yet.
struct List {
    which: Option<Which>,
    page: VecDeque<ScopeRow>,
    number: u64,
}

impl List {
    fn new(which: Which) -> List {
        List { which: Some(which), page: VecDeque::new(), number: 0 }
    }

    fn next(&mut self, shared: &Shared) -> Result<Option<(u64, ScopeRow)>, ReadError> {
        while self.page.is_empty() {
            let Some(which) = self.which.take() else { return Ok(None) };
            self.fetch(shared, which)?;
        }
        self.number += 1;
        Ok(self.page.pop_front().map(|row| (self.number - 1, row)))
    }

    fn fetch(&mut self, shared: &Shared, which: Which) -> Result<(), ReadError> {
        match which {
            Which::These(rows) => self.page = rows.into(),
            Which::All(after) => {
                self.page = shared.log.scopes("", &after, PAGE)?.into();
                let last = self.page.back().map(|row| row.name.as_str().to_owned());
                self.which = last.map(Which::All);
            }
            Which::Pattern(pattern, after) => {
                let prefix = pattern.as_str().trim_end_matches('*');
                let page = shared.log.scopes(prefix, &after, PAGE)?;
                let last = page.last().map(|row| row.name.as_str().to_owned());
                self.page = page.into_iter().filter(|row| pattern.matches(&row.name)).collect();
                self.which = last.map(|after| Which::Pattern(pattern, after));
            }
        }
        Ok(())
    }
}

/// Puts what comes from many threads back into the order of names.
struct Order<'a, T> {
    next: u64,
    waiting: BTreeMap<u64, (ScopeName, T)>,
    told: ProofProgress,
    done: &'a mut dyn FnMut(T),
}

impl<T> Order<'_, T> {
    fn arrived(&mut self, number: u64, name: ScopeName, found: T) {
        self.waiting.insert(number, (name, found));
        while let Some((name, found)) = self.waiting.remove(&self.next) {
            self.next += 1;
            self.told.scopes += 1;
            self.told.through = name.as_str().to_owned();
            (self.done)(found);
        }
    }
}
