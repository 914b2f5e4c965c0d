//! Records from the tree, a few of them taken ahead, because the contents of many are checked in a
//! third of the time.

use super::ReadError;
use super::fjall_tree::read_error;
use atomic_store_core::contents::{self, Intact, TOGETHER};
use fjall::{Guard, Slice};

/// Whoever reads few events does not pay for many.
const FIRST: usize = 4;
/// Beyond so many bytes no more are taken: large events gain nothing, and would be read for nothing.
const BYTES: usize = 64 * 1024;

/// Records in the order of their keys.
pub(super) struct Ahead<I> {
    rows: I,
    /// How many are taken the next time.
    size: usize,
    taken: Vec<Slice>,
    /// The next of those that are taken.
    at: usize,
    intact: Intact,
    failed: Option<ReadError>,
}

impl<I: Iterator<Item = Guard>> Ahead<I> {
    pub(super) fn new(rows: I) -> Self {
        let (taken, intact) = (Vec::new(), Intact::default());
        Ahead { rows, size: FIRST, taken, at: 0, intact, failed: None }
    }

    /// The next record, and whether its content is known to be intact. What fails, fails after all the
    /// records before it.
    pub(super) fn next(&mut self) -> Option<Result<(&[u8], bool), ReadError>> {
        if self.at == self.taken.len() {
            if let Some(why) = self.failed.take() {
                return Some(Err(why));
            }
            self.take();
            if self.taken.is_empty() {
                return self.failed.take().map(Err);
            }
        }
        let at = self.at;
        self.at += 1;
        Some(Ok((&self.taken[at], self.intact.has(at))))
    }

    fn take(&mut self) {
        self.taken.clear();
        (self.at, self.intact) = (0, Intact::default());
        let mut bytes = 0;
        while self.taken.len() < self.size && bytes < BYTES {
            match self.rows.next().map(|row| row.value().map_err(read_error)) {
                Some(Ok(record)) => {
                    bytes += record.len();
                    self.taken.push(record);
                }
                Some(Err(why)) => {
                    self.failed = Some(why);
                    break;
                }
                None => break,
            }
        }
        self.size = (self.size * 4).min(TOGETHER);
        if self.taken.len() < FIRST {
            return;
        }
        // What cannot be parsed is found by the walk; those behind it need not be looked at.
        self.intact = contents::intact(self.taken.iter().map(|record| &record[..]));
    }
}
