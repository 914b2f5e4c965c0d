//! What was decided under which append id: one row for each group commit, an index later.
//!
//! A row of its own for each id would cost the tree as much as the event does. So the decisions of a
//! group are one row of `recent`, which stays in memory. Once there are many, a thread sorts
//! them and adds them to `appends` as a file of its own, past journal and memtable; then their rows
//! of `recent` are removed.
//!
//! Invariant: a durable decision is in memory or in `appends`, at every moment, for every id. After a
//! crash the rows of `recent` say what was in memory. Some of it may be in `appends` already; it is
//! the same there. Whatever is large goes to `appends` at once, so that memory is bounded by the
//! number of decisions.

use super::CommitError;
use super::fjall_recent::Recent;
use super::fjall_tree::Tree;
use super::rows::{self, APPEND_KEY, Buckets};
use fjall::{Keyspace, OwnedWriteBatch, Slice};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;

/// So many are worth a file of the index, which costs two syncs and is merged into the others, wherever
/// its keys are: the fewer the files, the less often.
const INDEX_FROM: usize = 512 * 1024;
/// With this many times more in memory, the committer waits for the file under way.
const BEHIND_MAX: usize = 2;
/// Bytes of a decision up to which it is kept in memory. Of an accepted append it has about ten.
const SMALL: usize = 128;
/// Rows of `recent` that a commit removes: more than it adds.
const REMOVED_AT_A_TIME: u64 = 4;

/// Key of a decision.
pub(super) type Key = [u8; APPEND_KEY];
/// The committer's side.
pub(super) struct Decisions {
    recent: Arc<Recent>,
    index_from: usize,
    /// The row of the commit under way, and how many decisions are in it.
    row: Vec<u8>,
    count: usize,
    /// The same, once it is in the batch.
    written: Option<(Slice, usize)>,
    next_row: u64,
    /// The row from which on decisions are in memory only.
    first_row: u64,
    /// Rows whose decisions are in the index.
    done: Range<u64>,
    indexing: Option<Indexing>,
}

/// A file of the index, being written.
struct Indexing {
    thread: JoinHandle<Result<BTreeSet<u32>, String>>,
    /// The rows it will stand for.
    rows: Range<u64>,
}

impl Decisions {
    /// Reads the rows of `recent`; tells also which buckets there are decisions of.
    pub(super) fn load(tree: &Tree, buckets: Buckets) -> Result<(Self, BTreeSet<u32>), String> {
        let (recent, mut alive) = (Arc::new(Recent::default()), BTreeSet::new());
        let mut rows = None;
        for guard in tree.recent.iter() {
            let (key, value) = guard.into_inner().map_err(|error| error.to_string())?;
            let number = rows::number_of(&key).ok_or("a key of recent decisions is damaged")?;
            let mut count = 0;
            rows::decode_group(&value, |key, _| {
                alive.extend(rows::bucket_of(key));
                count += 1;
            })
            .ok_or_else(|| format!("row {number} of recent decisions is damaged"))?;
            recent.add(value, count);
            rows = Some((rows.map_or(number, |(first, _)| first), number));
        }
        // By the time of the last commit, what had expired then is forgotten for good: nobody looks into
        // its buckets, and it does not get into the index.
        let now_ms = alive.last().map_or(0, |newest| u64::from(*newest) * 1_000);
        alive.retain(|bucket| !buckets.expired(*bucket, now_ms));
        let (first_row, next_row) = rows.map_or((0, 0), |(first, last)| (first, last + 1));
        let decisions = Decisions {
            recent,
            index_from: INDEX_FROM,
            row: Vec::new(),
            count: 0,
            written: None,
            next_row,
            first_row,
            done: 0..0,
            indexing: None,
        };
        Ok((decisions, alive))
    }

    /// For lookups.
    pub(super) fn recent(&self) -> &Arc<Recent> {
        &self.recent
    }

    /// Adds a decision to the commit under way.
    pub(super) fn put(&mut self, tree: &Tree, batch: &mut OwnedWriteBatch, key: Key, bytes: &[u8]) {
        if bytes.len() > SMALL {
            batch.insert(&tree.appends, key, bytes);
        } else {
            rows::add_to_group(&mut self.row, &key, bytes);
            self.count += 1;
        }
    }

    /// Writes the row of the commit under way, and removes some that nobody needs any more.
    pub(super) fn write(&mut self, tree: &Tree, batch: &mut OwnedWriteBatch) {
        if self.count == 0 {
            return;
        }
        let row = Slice::from(&self.row[..]);
        self.row.clear();
        batch.insert(&tree.recent, self.next_row.to_be_bytes(), row.clone());
        self.written = Some((row, std::mem::take(&mut self.count)));
        self.next_row += 1;
        for number in self.done.by_ref().take(REMOVED_AT_A_TIME as usize) {
            batch.remove(&tree.recent, number.to_be_bytes());
        }
    }

    /// The commit is durable, and so are its decisions. Returns the buckets that are in the index
    /// from now on.
    pub(super) fn committed(
        &mut self,
        tree: &Tree,
        buckets: Buckets,
        now_ms: u64,
    ) -> Result<BTreeSet<u32>, CommitError> {
        let Some((row, count)) = self.written.take() else { return Ok(BTreeSet::new()) };
        let waiting = self.recent.add(row, count);
        let behind = waiting >= self.index_from.saturating_mul(BEHIND_MAX);
        let indexed = match &self.indexing {
            Some(indexing) if behind || indexing.thread.is_finished() => self.finish()?,
            _ => BTreeSet::new(),
        };
        if waiting >= self.index_from && self.indexing.is_none() && self.done.is_empty() {
            self.seal(tree.appends.clone(), buckets, now_ms)?;
        }
        Ok(indexed)
    }

    /// Starts the thread that makes a file of what is in memory.
    fn seal(&mut self, to: Keyspace, buckets: Buckets, now_ms: u64) -> Result<(), CommitError> {
        let sealed = self.recent.seal();
        let rows = self.first_row..self.next_row;
        self.first_row = self.next_row;
        let builder = std::thread::Builder::new().name("decisions".to_owned());
        let thread = builder
            .spawn(move || add_to_index(&to, &sealed, |bucket| buckets.expired(bucket, now_ms)))
            .map_err(|error| CommitError(format!("no thread for the decisions: {error}")))?;
        self.indexing = Some(Indexing { thread, rows });
        Ok(())
    }

    /// Waits for the file under way, if there is one.
    pub(super) fn finish(&mut self) -> Result<BTreeSet<u32>, CommitError> {
        let Some(Indexing { thread, rows }) = self.indexing.take() else {
            return Ok(BTreeSet::new());
        };
        let indexed = thread.join().unwrap_or_else(|_| Err("the tree panicked".to_owned()));
        let indexed =
            indexed.map_err(|why| CommitError(format!("the index of decisions: {why}")))?;
        self.recent.indexed();
        self.done = rows;
        Ok(indexed)
    }
}

impl Drop for Decisions {
    fn drop(&mut self) {
        if let Some(indexing) = self.indexing.take() {
            // The rows of `recent` are still there, so nothing is lost whatever came of it.
            drop(indexing.thread.join());
        }
    }
}

/// Adds decisions to `appends`, durably; tells of which buckets.
fn add_to_index(
    appends: &Keyspace,
    sealed: &[Slice],
    expired: impl Fn(u32) -> bool,
) -> Result<BTreeSet<u32>, String> {
    let mut buckets = BTreeSet::new();
    let mut rows = Vec::new();
    for row in sealed {
        rows::decode_group(row, |key, bytes| {
            let (bucket, id) = order_of(key);
            if !expired(bucket) {
                rows.push((bucket, id, rows.len(), key, bytes));
            }
        })
        .ok_or("a row of recent decisions is damaged")?;
    }
    // As numbers, which compare faster than bytes; of those with one key, the last one first.
    rows.sort_unstable_by_key(|(bucket, id, n, ..)| (*bucket, *id, Reverse(*n)));
    rows.dedup_by_key(|(bucket, id, ..)| (*bucket, *id));
    if rows.is_empty() {
        return Ok(buckets);
    }
    let mut file = appends.start_ingestion().map_err(|error| error.to_string())?;
    for (bucket, _, _, key, bytes) in rows {
        buckets.insert(bucket);
        file.write(*key, bytes).map_err(|error| error.to_string())?;
    }
    file.finish().map_err(|error| error.to_string())?;
    Ok(buckets)
}

/// Numbers that compare as the bytes of the key do.
fn order_of(key: &Key) -> (u32, u128) {
    let bucket = key.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let id = key.last_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
    (bucket, id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fjall::{PersistMode, Readable};
    use std::path::Path;

    const HOUR: u64 = 3_600_000;

    fn buckets() -> Buckets {
        Buckets::new(HOUR)
    }

    fn key(n: u64) -> Key {
        let mut key = [0; APPEND_KEY];
        key[..4].copy_from_slice(&buckets().at(2 * HOUR).to_be_bytes());
        // In no order, as ids of clients may be.
        key[4..12].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        key[12..].copy_from_slice(&n.to_be_bytes());
        key
    }

    /// What is stored under the nth key: small, large, small and so on.
    fn bytes(n: u64) -> Vec<u8> {
        let length = if n % 5 == 4 { SMALL + 1 } else { (n % 7) as usize };
        vec![n as u8; length]
    }

    struct Log {
        // In this order: the thread ends before the tree closes.
        decisions: Decisions,
        tree: Tree,
    }

    impl Log {
        fn open(path: &Path) -> Log {
            let tree = Tree::open(path, 1 << 20).unwrap();
            let (mut decisions, _) = Decisions::load(&tree, buckets()).unwrap();
            decisions.index_from = 50;
            Log { decisions, tree }
        }

        fn commit(&mut self, numbers: Range<u64>) -> BTreeSet<u32> {
            let mut batch = self.tree.db.batch().durability(Some(PersistMode::SyncData));
            for n in numbers {
                self.decisions.put(&self.tree, &mut batch, key(n), &bytes(n));
            }
            self.decisions.write(&self.tree, &mut batch);
            batch.commit().unwrap();
            self.decisions.committed(&self.tree, buckets(), 2 * HOUR).unwrap()
        }

        fn find(&self, n: u64) -> Option<Vec<u8>> {
            let found = self
                .decisions
                .recent()
                .get(&key(n))
                .or_else(|| self.tree.db.snapshot().get(&self.tree.appends, key(n)).unwrap());
            found.map(|bytes| bytes.to_vec())
        }

        fn has(&self, through: u64) {
            for n in 0..through {
                assert_eq!(self.find(n), Some(bytes(n)), "{n} of {through}");
            }
            assert_eq!(self.find(through), None);
        }

        fn rows(&self) -> usize {
            self.tree.recent.iter().count()
        }
    }

    #[test]
    fn every_decision_is_found_while_it_moves_into_the_index() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path());
        let mut through = 0;
        for group in [1, 3, 60, 1, 1, 1, 1, 200, 1, 1, 1, 400, 2, 1, 1, 1, 1, 1, 1] {
            log.commit(through..through + group);
            through += group;
            log.has(through);
        }
        log.decisions.finish().unwrap();
        log.has(through);
        for _ in 0..20 {
            log.commit(through..through + 1);
            through += 1;
        }
        assert!(log.rows() <= 24, "{} rows are left of what is in the index", log.rows());
        log.has(through);
    }

    #[test]
    fn a_store_that_ended_at_any_point_finds_everything_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut through = 0;
        for round in 0..12 {
            let mut log = Log::open(dir.path());
            log.has(through);
            log.commit(through..through + 60);
            through += 60;
            if round % 3 == 1 {
                // The file is in the tree; nothing that was written since says so.
                log.decisions.finish().unwrap();
            }
            if round % 3 == 2 {
                log.decisions.finish().unwrap();
                log.commit(through..through + 1);
                through += 1;
            }
        }
        Log::open(dir.path()).has(through);
    }

    #[test]
    fn what_is_expired_does_not_get_into_the_index() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path());
        log.decisions.index_from = 1_000;
        log.commit(0..4);
        log.decisions.seal(log.tree.appends.clone(), buckets(), 9 * HOUR).unwrap();
        assert_eq!(log.decisions.finish().unwrap(), BTreeSet::new());
        assert_eq!((log.find(0), log.find(4)), (None, None));
    }

    #[test]
    fn a_damaged_row_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path(), 1 << 20).unwrap();
        let mut row = Vec::new();
        rows::add_to_group(&mut row, &key(1), b"abc");
        for length in 0..row.len() {
            assert!(rows::decode_group(&row[..length], |_, _| {}).is_none() || length == 1);
        }
        tree.recent.insert(7_u64.to_be_bytes(), &row[..row.len() - 1]).unwrap();
        assert!(Decisions::load(&tree, buckets()).is_err());
    }
}
