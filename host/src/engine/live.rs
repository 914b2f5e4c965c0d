//! The scopes in memory, and which of them leaves when there are too many.

use super::mailbox::Cell;
use super::shared::Shared;
use atomic_store_core::ScopeName;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Maps of scopes, each with its own lock so that sessions do not queue for one.
const SHARDS: usize = 16;
/// How many scopes are looked at to find a cold one.
const SAMPLE: usize = 16;

/// Scopes in memory by name.
pub(crate) struct Live {
    /// Without a secret, so that a simulation repeats; whoever fills one shard gains nothing.
    hasher: BuildHasherDefault<DefaultHasher>,
    shards: [Mutex<Shard>; SHARDS],
    count: AtomicUsize,
    /// Where the search for a cold scope goes on.
    hand: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    by_name: HashMap<ScopeName, usize>,
    /// In no order, so that samples can be taken by index.
    cells: Vec<Arc<Cell>>,
}

impl Live {
    pub(crate) fn new() -> Self {
        Live {
            hasher: BuildHasherDefault::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            count: AtomicUsize::new(0),
            hand: AtomicUsize::new(0),
        }
    }

    fn shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.shards[index % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard_of(&self, name: &ScopeName) -> MutexGuard<'_, Shard> {
        self.shard((self.hasher.hash_one(name) >> 32) as usize)
    }

    pub(crate) fn get_or_start(&self, name: &ScopeName) -> Arc<Cell> {
        let mut shard = self.shard_of(name);
        if let Some(&index) = shard.by_name.get(name) {
            return Arc::clone(&shard.cells[index]);
        }
        let cell = Arc::new(Cell::new(name.clone()));
        let index = shard.cells.len();
        shard.by_name.insert(name.clone(), index);
        shard.cells.push(Arc::clone(&cell));
        self.count.fetch_add(1, Ordering::Relaxed);
        cell
    }

    pub(crate) fn contains(&self, name: &ScopeName) -> bool {
        self.shard_of(name).by_name.contains_key(name)
    }

    /// Names of scopes in memory that start with `prefix` and come after `after`, in order.
    pub(crate) fn names(&self, prefix: &str, after: &str, limit: usize) -> Vec<ScopeName> {
        let mut names = Vec::new();
        for index in 0..SHARDS {
            let shard = self.shard(index);
            let wanted = shard.cells.iter().map(|cell| &cell.name);
            let wanted = wanted.filter(|name| name.as_str().starts_with(prefix));
            names.extend(wanted.filter(|name| name.as_str() > after).cloned());
        }
        names.sort_unstable();
        names.truncate(limit);
        names
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Takes this very scope out, not a successor of the same name.
    pub(crate) fn remove(&self, cell: &Arc<Cell>) {
        let mut shard = self.shard_of(&cell.name);
        let Some(&index) = shard.by_name.get(&cell.name) else { return };
        if !Arc::ptr_eq(&shard.cells[index], cell) {
            return;
        }
        shard.by_name.remove(&cell.name);
        shard.cells.swap_remove(index);
        if let Some(moved) = shard.cells.get(index).map(|cell| cell.name.clone()) {
            shard.by_name.insert(moved, index);
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// The coldest of a few scopes; a good stand-in for the least recently used of all.
    fn cold(&self) -> Option<Arc<Cell>> {
        let start = self.hand.fetch_add(SAMPLE, Ordering::Relaxed);
        let mut coldest: Option<Arc<Cell>> = None;
        for n in start..start + SAMPLE {
            let shard = self.shard(n);
            let Some(cell) = shard.cells.get(n / SHARDS % shard.cells.len().max(1)) else {
                continue;
            };
            let turn = |cell: &Arc<Cell>| cell.last_turn.load(Ordering::Relaxed);
            if coldest.as_ref().is_none_or(|coldest| turn(cell) < turn(coldest)) {
                coldest = Some(Arc::clone(cell));
            }
        }
        coldest
    }

    /// Asks two scopes that have not run for long to leave. Two for one that comes, so that what
    /// had to be taken beyond the cap goes down again.
    pub(crate) fn ask_cold_to_leave(&self, shared: &Arc<Shared>) {
        for _ in 0..2 {
            if let Some(cold) = self.cold() {
                // Asked once is enough until its loop has run, which sets the true turn again.
                if cold.last_turn.swap(u64::MAX, Ordering::Relaxed) != u64::MAX {
                    cold.retire(shared);
                }
            }
        }
    }

    /// All scopes in memory.
    pub(crate) fn all(&self) -> Vec<Arc<Cell>> {
        (0..SHARDS).flat_map(|index| self.shard(index).cells.clone()).collect()
    }
}
