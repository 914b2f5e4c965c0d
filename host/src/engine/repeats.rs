//! Ids that were asked for again and then decided for the first time.
//!
//! The original of such an append may still be on its way: unread, in the connection that its
//! client gave up. It says truthfully that it was not sent before, and would be decided a second
//! time if nobody remembered. After a restart nothing is on its way any more, so memory is enough.

use atomic_store_core::AppendId;
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// So many are remembered; many times what connections can hold unread.
const REMEMBERED: usize = 65_536;

/// The last ids of this sort.
#[derive(Default)]
pub(crate) struct Repeats {
    count: AtomicUsize,
    ids: Mutex<(HashSet<AppendId>, VecDeque<AppendId>)>,
}

impl Repeats {
    pub(crate) fn note(&self, id: AppendId) {
        let mut guard = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let (ids, order) = &mut *guard;
        if !ids.insert(id) {
            return;
        }
        order.push_back(id);
        if order.len() > REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            ids.remove(&oldest);
        }
        self.count.store(order.len(), Ordering::Release);
    }

    pub(crate) fn contains(&self, id: AppendId) -> bool {
        self.count.load(Ordering::Acquire) > 0
            && self.ids.lock().unwrap_or_else(PoisonError::into_inner).0.contains(&id)
    }
}
