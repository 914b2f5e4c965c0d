//! The decisions that are not in the tree's index yet: in memory, for everybody to look up.
//!
//! They are kept as the rows in which they were committed, which costs the committer nothing. An id is
//! looked up only when its append comes a second time. So whoever looks brings a table by key up to date,
//! once for all of them.
//!
//! Invariant: of two decisions with one key, the later one counts.

use super::fjall_decisions::Key;
use super::rows;
use fjall::Slice;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The decisions in memory.
#[derive(Default)]
pub(super) struct Recent(RwLock<Parts>);

#[derive(Default)]
struct Parts {
    fresh: Arc<Part>,
    /// On its way into the index. Nothing is added to it.
    sealed: Arc<Part>,
}

#[derive(Default)]
struct Part {
    rows: Mutex<Rows>,
    by_key: Mutex<ByKey>,
}

#[derive(Default)]
struct Rows {
    rows: Vec<Slice>,
    decisions: usize,
}

/// Made when somebody looks, of the rows that were there then.
#[derive(Default)]
struct ByKey {
    rows: usize,
    decisions: HashMap<Key, Slice>,
}

impl Recent {
    /// The bytes of a decision. Whoever finds nothing looks into `appends`, in this order.
    pub(super) fn get(&self, key: &Key) -> Option<Slice> {
        let (fresh, sealed) = {
            let parts = self.0.read().unwrap_or_else(PoisonError::into_inner);
            (Arc::clone(&parts.fresh), Arc::clone(&parts.sealed))
        };
        fresh.get(key).or_else(|| sealed.get(key))
    }

    /// Adds a row with so many decisions; says how many there are outside the index and outside the part
    /// that is on its way into it.
    pub(super) fn add(&self, row: Slice, decisions: usize) -> usize {
        let parts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut rows = lock(&parts.fresh.rows);
        rows.rows.push(row);
        rows.decisions += decisions;
        rows.decisions
    }

    /// Seals what there is and returns its rows. What was sealed before must be in the index.
    pub(super) fn seal(&self) -> Vec<Slice> {
        let mut parts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        parts.sealed = std::mem::take(&mut parts.fresh);
        lock(&parts.sealed.rows).rows.clone()
    }

    /// What was sealed is in the index.
    pub(super) fn indexed(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).sealed = Arc::default();
    }
}

impl Part {
    fn get(&self, key: &Key) -> Option<Slice> {
        let mut by_key = lock(&self.by_key);
        let new = lock(&self.rows).rows[by_key.rows..].to_vec();
        for row in &new {
            // A row that cannot be taken apart was refused before it came here.
            let _whole = rows::decode_group(row, |key, bytes| {
                by_key.decisions.insert(*key, Slice::from(bytes));
            });
        }
        by_key.rows += new.len();
        by_key.decisions.get(key).cloned()
    }
}

// Nothing below these locks is left half-done by a panic but a table by key, of which the rest is made by
// the next who looks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        let mut key = Key::default();
        key[7] = n;
        key
    }

    fn row(decisions: &[(u8, &str)]) -> Slice {
        let mut row = Vec::new();
        for (n, bytes) in decisions {
            rows::add_to_group(&mut row, &key(*n), bytes.as_bytes());
        }
        Slice::from(row)
    }

    fn find(recent: &Recent, n: u8) -> Option<String> {
        recent.get(&key(n)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn what_was_added_is_found_before_and_after_others_looked_until_it_is_in_the_index() {
        let recent = Recent::default();
        assert_eq!(find(&recent, 1), None);
        assert_eq!(recent.add(row(&[(1, "one"), (2, "two")]), 2), 2);
        assert_eq!(find(&recent, 2).as_deref(), Some("two"));
        assert_eq!(recent.add(row(&[(3, "three")]), 1), 3);
        assert_eq!(find(&recent, 3).as_deref(), Some("three"));
        assert_eq!(recent.seal(), [row(&[(1, "one"), (2, "two")]), row(&[(3, "three")])]);
        assert_eq!(recent.add(row(&[(4, "four")]), 1), 1);
        for (n, found) in [(1, "one"), (3, "three"), (4, "four")] {
            assert_eq!(find(&recent, n).as_deref(), Some(found));
        }
        recent.indexed();
        assert_eq!((find(&recent, 1), find(&recent, 4).as_deref()), (None, Some("four")));
    }

    #[test]
    fn of_two_decisions_with_one_key_the_later_one_is_found() {
        let recent = Recent::default();
        recent.add(row(&[(1, "first"), (1, "second")]), 2);
        assert_eq!(find(&recent, 1).as_deref(), Some("second"));
        recent.add(row(&[(1, "third")]), 1);
        assert_eq!(find(&recent, 1).as_deref(), Some("third"));
        recent.seal();
        assert_eq!(find(&recent, 1).as_deref(), Some("third"));
        recent.add(row(&[(1, "fourth")]), 1);
        assert_eq!(find(&recent, 1).as_deref(), Some("fourth"));
    }
}
