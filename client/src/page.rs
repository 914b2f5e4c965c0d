//! A page of events on its way through a stream.

use atomic_store_core::contents::{self, Intact, TOGETHER};
use atomic_store_core::protocol::Entry;
use std::vec::IntoIter;

/// The entries of a page, looked at some at a time.
#[derive(Default)]
pub(crate) struct Page {
    entries: IntoIter<Entry>,
    intact: Intact,
    /// How many were given since some were looked at together.
    given: usize,
}

impl Page {
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        Page { entries: entries.into_iter(), intact: Intact::default(), given: TOGETHER }
    }

    /// The next entry, and whether its content is known to be intact.
    pub(crate) fn next(&mut self) -> Option<(Entry, bool)> {
        if self.given >= TOGETHER {
            let ahead = self.entries.as_slice().iter().map(|entry| &entry.record[..]);
            (self.intact, self.given) = (contents::intact(ahead), 0);
        }
        let intact = self.intact.has(self.given);
        self.given += 1;
        Some((self.entries.next()?, intact))
    }
}
