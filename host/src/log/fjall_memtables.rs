//! Changes full memtables for empty ones, before the tree does.
//!
//! At each commit that leaves a memtable above its size, the tree asks its worker for an empty one, through
//! a queue of a thousand places. The worker takes from that queue, and puts into it what is to be
//! flushed. When a thousand commits come while it merges files, the queue is full, the worker waits for
//! a place, and only the worker could make one: nothing is flushed ever again, and journals and memory
//! grow without bound (fjall 3.1.13). So whoever commits changes the memtables, and early enough that
//! the tree never asks for it.
//!
//! Invariant: when a batch is begun, every memtable has room for a group.

use super::fjall_tree::{MIB, SCATTERED_MEMTABLE, Tree};
use fjall::{AbstractTree, Database, Keyspace, PersistMode};
use std::time::Duration;

/// Of the other memtables, as the tree makes them if it is not told.
pub(super) const MEMTABLE: u64 = 64 * MIB;
/// This part of a memtable is left empty.
const ROOM: u64 = 8;
/// So many memtables of a keyspace may wait to be flushed. With one more the tree would wait, a tenth of a
/// second at a time, and for ever if its worker has failed.
const WAITING_MAX: usize = 3;
/// How often whoever waits for that looks again.
const LOOK_EVERY: Duration = Duration::from_millis(1);

impl Tree {
    /// Makes the invariant true. Not for two at a time, nor while somebody else writes.
    pub(super) fn make_room(&self) -> fjall::Result<()> {
        let mut memtables = self.memtables().into_iter();
        memtables.try_for_each(|(keyspace, size)| make_room(&self.db, keyspace, size))
    }

    /// Keyspaces, and how large their memtables may become.
    fn memtables(&self) -> [(&Keyspace, u64); 13] {
        [
            (&self.events, MEMTABLE),
            (&self.scopes, MEMTABLE),
            (&self.names, MEMTABLE),
            (&self.order, MEMTABLE),
            (&self.index, SCATTERED_MEMTABLE),
            (&self.appends, SCATTERED_MEMTABLE),
            (&self.recent, SCATTERED_MEMTABLE),
            (&self.snapshots, MEMTABLE),
            (&self.modules, MEMTABLE),
            (&self.pasts, MEMTABLE),
            (&self.rejections, MEMTABLE),
            (&self.proposals, MEMTABLE),
            (&self.meta, MEMTABLE),
        ]
    }
}

/// The same for one keyspace, and how large its memtable may become. Blocks while too many wait to be
/// flushed; fails if the worker has failed.
pub(super) fn make_room(db: &Database, keyspace: &Keyspace, size: u64) -> fjall::Result<()> {
    if keyspace.tree.active_memtable().size() <= size - size / ROOM {
        return Ok(());
    }
    while keyspace.sealed_memtable_count() >= WAITING_MAX {
        // Nothing has to be written; it says whether the worker has failed.
        db.persist(PersistMode::Buffer)?;
        std::thread::sleep(LOOK_EVERY);
    }
    keyspace.rotate_memtable().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::super::{EventLog, FjallLog, OpenOptions, ScopeRow, Unit};
    use super::*;
    use atomic_store_core::{Digest, ScopeId, ScopeName};
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Instant;

    /// Of values, so many that a memtable of 16 MiB with them is above its size.
    const LARGE: usize = 17;
    const PATIENCE: Duration = Duration::from_secs(120);

    fn put(tree: &Tree, n: u64, bytes: usize) {
        let mut batch = tree.db.batch().durability(Some(PersistMode::Buffer));
        batch.insert(&tree.recent, n.to_be_bytes(), vec![1; bytes]);
        batch.commit().unwrap();
    }

    /// True once everything that waits to be flushed was flushed.
    fn flushes(tree: &Tree) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if tree.recent.sealed_memtable_count() == 0 {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    #[test]
    fn many_small_commits_after_a_memtable_was_filled_do_not_stop_the_worker() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path(), 1 << 20).unwrap();
        let mut n = 0;
        for _ in 0..3 {
            for bytes in
                std::iter::repeat_n(MIB as usize, LARGE).chain(std::iter::repeat_n(1, 20_000))
            {
                tree.make_room().unwrap();
                put(&tree, n, bytes);
                n += 1;
            }
            assert!(flushes(&tree), "the worker does nothing any more");
        }
        assert_eq!(tree.recent.iter().count() as u64, n);
    }

    #[test]
    fn no_keyspace_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path(), 1 << 20).unwrap();
        let known: BTreeSet<_> =
            tree.memtables().iter().map(|(keyspace, _)| keyspace.name().clone()).collect();
        assert_eq!(known, tree.db.list_keyspace_names().into_iter().collect());
    }

    #[test]
    fn nobody_waits_for_a_worker_that_has_failed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path(), 1 << 20).unwrap();
        let mut n = 0..;
        for _ in 0..WAITING_MAX {
            put(&tree, n.next().unwrap(), 1);
            // Past the worker, which does not hear of it.
            assert!(tree.recent.tree.rotate_memtable().is_some());
        }
        (1..LARGE - 1).for_each(|_| put(&tree, n.next().unwrap(), MIB as usize));
        std::fs::remove_dir_all(&tree.order.tree.tree_config().path).unwrap();
        tree.order.insert("key", "value").unwrap();
        tree.order.rotate_memtable().unwrap();
        let (send, made) = std::sync::mpsc::channel();
        std::thread::spawn(move || send.send(tree.make_room().is_err()));
        assert_eq!(made.recv_timeout(PATIENCE), Ok(true));
    }

    #[test]
    fn whoever_commits_makes_room() {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = FjallLog::open(&OpenOptions::new(dir.path())).unwrap();
        let scope = Arc::new(ScopeRow::empty(ScopeId(1), ScopeName::new("a").unwrap()));
        let bytes: Arc<[u8]> = vec![1; MIB as usize].into();
        for n in 0..2 * MEMTABLE / MIB {
            let mut unit = Unit::bare(Arc::clone(&scope));
            unit.module = Some(Box::new((Digest([n as u8; 32]), Arc::clone(&bytes))));
            log.commit(&mut [unit]).unwrap();
            let size = log.tree.modules.tree.active_memtable().size();
            assert!(size < MEMTABLE, "{size} bytes after {n} commits");
        }
    }
}
