//! Wakes readers when something became durable. It carries numbers only; readers fetch the events
//! from the log, so a slow one costs no memory here.

use atomic_store_core::{Position, ScopeName, Seq};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// Below twice this many watched scopes nothing is pruned.
const PRUNE_FROM: usize = 512;

/// The durable ends of the order over all scopes and of every watched scope.
pub(crate) struct Feed {
    order: watch::Sender<Position>,
    /// The last entry of the journal of rejections since the start.
    rejections: watch::Sender<u64>,
    scopes: Mutex<HashMap<ScopeName, watch::Sender<Seq>>>,
    /// Deletions of scopes since the start: what was read before one may be gone.
    deletions: AtomicU64,
    /// How many scopes are watched, so that the committer passes by without a lock when none is.
    watched: AtomicUsize,
    /// How many were left when the map was last searched for scopes that nobody watches any more.
    kept: AtomicUsize,
}

impl Feed {
    pub(crate) fn new(position: Position) -> Self {
        Feed {
            order: watch::Sender::new(position),
            rejections: watch::Sender::new(0),
            scopes: Mutex::default(),
            deletions: AtomicU64::new(0),
            watched: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
        }
    }

    pub(crate) fn deletions(&self) -> u64 {
        self.deletions.load(Ordering::SeqCst)
    }

    /// Tells that a deletion is durable.
    pub(crate) fn deleted(&self) {
        self.deletions.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn order(&self) -> watch::Receiver<Position> {
        self.order.subscribe()
    }

    pub(crate) fn rejections(&self) -> watch::Receiver<u64> {
        self.rejections.subscribe()
    }

    /// Tells everybody about a durable group with entries of the journal of rejections.
    pub(crate) fn publish_rejections(&self, last: u64) {
        self.rejections.send_replace(last);
    }

    pub(crate) fn scope(&self, scope: &ScopeName) -> watch::Receiver<Seq> {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if scopes.len() >= 2 * self.kept.load(Ordering::Relaxed).max(PRUNE_FROM) {
            // Readers that left scopes which are never written would pile up otherwise.
            scopes.retain(|_, sender| !sender.is_closed());
            self.kept.store(scopes.len(), Ordering::Relaxed);
        }
        let sender = scopes.entry(scope.clone()).or_insert_with(|| watch::Sender::new(Seq::ZERO));
        let receiver = sender.subscribe();
        self.watched.store(scopes.len(), Ordering::SeqCst);
        receiver
    }

    /// Tells everybody about one durable group.
    pub(crate) fn publish<'a>(
        &self,
        position: Position,
        heads: impl Iterator<Item = (&'a ScopeName, Seq)>,
    ) {
        if self.watched.load(Ordering::SeqCst) > 0 {
            let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
            for (scope, head) in heads {
                let left = scopes.get(scope).is_some_and(|sender| {
                    sender.send_replace(head);
                    sender.is_closed()
                });
                if left {
                    scopes.remove(scope);
                }
            }
            self.watched.store(scopes.len(), Ordering::SeqCst);
        }
        self.order.send_replace(position);
    }
}
