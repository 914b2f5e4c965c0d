//! What many subscribers of one scope are about to get: read and encoded once, sent to all of them.
//!
//! A tail is the end of a scope, from some event on without a hole. Whoever follows the scope and stands
//! within it takes what comes next from here. Who stands at its end reads on, one at a time, for all.
//! Who stands before it, because it is slower than all this, or because events were deleted, reads from
//! the log as if there were no tail. So a tail decides nothing: it only saves reads.

use super::page::{Page, encode_entry};
use crate::engine::{Engine, SelectError, Selection, Taken};
use atomic_store_core::{Limits, PagePlace, ScopeName};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Bytes that one tail keeps.
const TAIL_BYTES: usize = 512 * 1024;
/// Bytes that all of them keep.
const TAILS_BYTES: usize = 64 * 1024 * 1024;
/// Below twice this many tails nothing is pruned.
const PRUNE_FROM: usize = 512;

/// The tails of the scopes that somebody follows.
#[derive(Default)]
pub(crate) struct Tails {
    scopes: Mutex<(HashMap<ScopeName, Weak<Tail>>, usize)>,
    bytes: Arc<AtomicUsize>,
}

/// The end of one scope.
pub(crate) struct Tail {
    kept: Mutex<Kept>,
    /// Held by the one who reads on.
    pub(crate) reading: tokio::sync::Mutex<()>,
    all_bytes: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Kept {
    /// Entries as they are sent.
    entries: VecDeque<Box<[u8]>>,
    /// The event before the first of them.
    before: u64,
    bytes: usize,
    /// How many deletions there were when it was read.
    deletions: u64,
}

/// Where a reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// What comes next is here.
    Within,
    /// It is to be read.
    AtEnd,
    /// It is not here any more.
    Before,
}

impl Tails {
    /// The tail of a scope, shared by all that follow it.
    pub(crate) fn of(&self, scope: &ScopeName) -> Arc<Tail> {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        let (scopes, left) = &mut *scopes;
        if let Some(tail) = scopes.get(scope).and_then(Weak::upgrade) {
            return tail;
        }
        if scopes.len() >= 2 * (*left).max(PRUNE_FROM) {
            scopes.retain(|_, tail| tail.strong_count() > 0);
            *left = scopes.len();
        }
        let tail = Arc::new(Tail {
            kept: Mutex::default(),
            reading: tokio::sync::Mutex::new(()),
            all_bytes: Arc::clone(&self.bytes),
        });
        scopes.insert(scope.clone(), Arc::downgrade(&tail));
        tail
    }
}

impl Tail {
    /// True if somebody else follows the scope, too. A single one reads for itself.
    pub(crate) fn is_shared(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }

    /// Without anything from before a deletion.
    fn lock(&self, engine: &Engine) -> MutexGuard<'_, Kept> {
        // Entries are whole, or not there.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let deletions = engine.deletions();
        if kept.deletions != deletions {
            self.forget(&mut kept);
            kept.deletions = deletions;
        }
        kept
    }

    fn forget(&self, kept: &mut Kept) {
        self.all_bytes.fetch_sub(kept.bytes, Ordering::Relaxed);
        (kept.bytes, kept.before) = (0, 0);
        kept.entries.clear();
    }

    /// Where somebody stands who knows everything up to `after`.
    pub(crate) fn stand(&self, engine: &Engine, after: u64) -> Stand {
        self.lock(engine).stand(after)
    }

    /// The events that follow, as many as a page takes; nothing if they are not here.
    pub(crate) fn page(&self, engine: &Engine, after: u64) -> Option<Page> {
        let kept = self.lock(engine);
        if kept.stand(after) != Stand::Within {
            return None;
        }
        let from = usize::try_from(after - kept.before).ok()?;
        let limits = engine.limits();
        let (mut bytes, mut count) = (0, 0);
        for entry in kept.entries.range(from..) {
            if count == limits.page_events_max.max(1)
                || count > 0 && bytes + entry.len() > limits.page_bytes_max
            {
                break;
            }
            bytes += entry.len();
            count += 1;
        }
        Some(Page::of_entries(bytes, kept.entries.range(from..from + count)))
    }

    /// Reads what follows the end, if `after` is the end: at most a page. Only the one who holds
    /// `reading` may. Blocks on the disk.
    pub(crate) fn read_on(
        &self,
        engine: &Engine,
        scope: &ScopeName,
        after: u64,
    ) -> Result<(), SelectError> {
        let deletions = {
            let kept = self.lock(engine);
            if kept.stand(after) != Stand::AtEnd {
                return Ok(());
            }
            kept.deletions
        };
        let place = PagePlace { after, through: u64::MAX, past: 0 };
        let mut scan = engine.select(Selection { place, ..Selection::new(Some(scope.clone())) })?;
        let (mut entries, mut bytes, mut last) = (Vec::new(), 0, after);
        let Limits { page_events_max, page_bytes_max, .. } = *engine.limits();
        // The first step only finds the bounds.
        for _ in 0..2 {
            engine.step(&mut scan, &mut |found| {
                let seq = found.view.seq().0;
                let full = entries.len() >= page_events_max.max(1) || bytes >= page_bytes_max;
                // Over a hole everybody goes alone, and is told why it is there.
                if full || seq != last + 1 {
                    return Taken::Not;
                }
                let entry = encode_entry(None, false, found.view.as_bytes());
                bytes += entry.len();
                entries.push(entry.into_boxed_slice());
                last = seq;
                Taken::Next
            })?;
        }
        let mut kept = self.lock(engine);
        // A deletion meanwhile: what was read may be gone.
        if kept.deletions == deletions {
            self.keep(&mut kept, after, entries);
        }
        Ok(())
    }

    fn keep(&self, kept: &mut Kept, after: u64, entries: Vec<Box<[u8]>>) {
        if kept.end() != after {
            self.forget(kept);
            kept.before = after;
        }
        let more: usize = entries.iter().map(|entry| entry.len()).sum();
        kept.bytes += more;
        let mut all = self.all_bytes.fetch_add(more, Ordering::Relaxed) + more;
        kept.entries.extend(entries);
        while kept.bytes > TAIL_BYTES || all > TAILS_BYTES {
            let Some(first) = kept.entries.pop_front() else { break };
            kept.before += 1;
            kept.bytes -= first.len();
            all = self.all_bytes.fetch_sub(first.len(), Ordering::Relaxed) - first.len();
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.all_bytes.fetch_sub(kept.bytes, Ordering::Relaxed);
    }
}

impl Kept {
    fn end(&self) -> u64 {
        self.before + self.entries.len() as u64
    }

    fn stand(&self, after: u64) -> Stand {
        match after {
            _ if self.entries.is_empty() => Stand::AtEnd,
            after if after < self.before => Stand::Before,
            after if after < self.end() => Stand::Within,
            // Behind the end, too: nobody follows from where this ended any more.
            _ => Stand::AtEnd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: usize, bytes: usize) -> Vec<Box<[u8]>> {
        vec![vec![0; bytes].into_boxed_slice(); count]
    }

    fn keep(tail: &Tail, after: u64, more: Vec<Box<[u8]>>) -> (u64, u64, usize) {
        let mut kept = tail.kept.lock().unwrap();
        tail.keep(&mut kept, after, more);
        assert_eq!(kept.bytes, kept.entries.iter().map(|entry| entry.len()).sum::<usize>());
        (kept.before, kept.end(), kept.bytes)
    }

    fn stands(tail: &Tail, after: impl IntoIterator<Item = u64>) -> Vec<Stand> {
        let kept = tail.kept.lock().unwrap();
        after.into_iter().map(|after| kept.stand(after)).collect()
    }

    #[test]
    fn a_reader_stands_before_within_or_at_the_end() {
        use Stand::{AtEnd, Before, Within};
        let tail = Tails::default().of(&ScopeName::new("s").unwrap());
        assert_eq!(stands(&tail, [0, 7]), [AtEnd, AtEnd]);
        keep(&tail, 5, entries(3, 10));
        assert_eq!(stands(&tail, 4..=9), [Before, Within, Within, Within, AtEnd, AtEnd]);
        // What does not follow begins a new tail; it never leaves a hole.
        assert_eq!(keep(&tail, 20, entries(2, 10)), (20, 22, 20));
        assert_eq!(stands(&tail, [8, 19, 20, 21, 22]), [Before, Before, Within, Within, AtEnd]);
        assert_eq!(keep(&tail, 22, entries(1, 10)), (20, 23, 30));
    }

    #[test]
    fn a_tail_keeps_its_end_within_its_bytes() {
        let tails = Tails::default();
        let tail = tails.of(&ScopeName::new("s").unwrap());
        let (before, end, bytes) = keep(&tail, 0, entries(9, TAIL_BYTES / 4));
        assert_eq!((before, end, bytes), (5, 9, TAIL_BYTES));
        // Larger than a tail: nothing is kept, and whoever follows reads alone.
        assert_eq!(keep(&tail, 9, entries(1, TAIL_BYTES + 1)), (10, 10, 0));
        assert_eq!(tails.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn all_tails_together_keep_no_more_than_their_bytes_and_give_them_back() {
        let tails = Tails::default();
        let name = |n: usize| ScopeName::new(&format!("s/{n}")).unwrap();
        let many: Vec<_> = (0..TAILS_BYTES / TAIL_BYTES).map(|n| tails.of(&name(n))).collect();
        for tail in &many {
            assert_eq!(keep(tail, 0, entries(1, TAIL_BYTES)).2, TAIL_BYTES);
        }
        let more = tails.of(&name(many.len()));
        assert_eq!(keep(&more, 0, entries(4, 100)).2, 0);
        assert!(Arc::ptr_eq(&many[0], &tails.of(&name(0))));
        drop(many);
        assert_eq!(tails.bytes.load(Ordering::Relaxed), 0);
        assert_eq!(keep(&more, 4, entries(4, 100)).2, 400);
    }
}
