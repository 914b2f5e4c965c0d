//! The tree: which keyspaces there are, how they are set up, and what its errors mean.

use super::ReadError;
use super::open::OpenError;
use super::past::Pasts;
use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy};
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, LsmError,
};
use std::path::Path;
use std::sync::Arc;

pub(super) const MIB: u64 = 1024 * 1024;

/// Values from this size on go to blob files, so that compaction does not copy them. It cannot be
/// changed for a keyspace that exists.
const BLOB_BYTES: u32 = 4 * 1024;

/// Events are mostly read one after the other. The usual blocks of 4 KiB hold a dozen of them; larger ones
/// are looked for less often, and compress better. It counts for stores that are made from now on.
const EVENTS_BLOCK: u32 = 16 * 1024;

/// What goes through these memtables is small, or will be gone soon: the usual 64 MiB would hold a
/// million rows, so many that finding the place of the next one leaves the processor's cache.
pub(super) const SCATTERED_MEMTABLE: u64 = 16 * MIB;

/// An open tree.
pub(super) struct Tree {
    pub(super) db: Database,
    /// scope id, seq -> record
    pub(super) events: Keyspace,
    /// name -> [`super::rows::ScopeHead`]
    pub(super) scopes: Keyspace,
    /// scope id -> name
    pub(super) names: Keyspace,
    /// first position of a group -> [`super::rows::OrderRow`]
    pub(super) order: Keyspace,
    /// tag, seq -> nothing
    pub(super) index: Keyspace,
    /// bucket, scope, append id -> decision
    pub(super) appends: Keyspace,
    /// number -> decisions of a group that are not in `appends` yet
    pub(super) recent: Keyspace,
    /// scope id, rule, seq -> snapshot
    pub(super) snapshots: Keyspace,
    /// digest -> component
    pub(super) modules: Keyspace,
    /// scope id -> [`super::rows::Past`]
    pub(super) pasts: Keyspace,
    /// number -> entry of the journal of rejections
    pub(super) rejections: Keyspace,
    /// scope id, seq of an append's first event -> what was proposed, if that is not what is stored
    pub(super) proposals: Keyspace,
    /// word -> fact about the store
    pub(super) meta: Keyspace,
    /// What `pasts` holds.
    pub(super) past: Pasts,
}

impl Tree {
    /// Opens the tree in a folder, or makes one.
    pub(super) fn open(folder: &Path, cache_bytes: u64) -> fjall::Result<Self> {
        let db = Database::builder(folder)
            .cache_size(cache_bytes)
            // With two, one spins while the other compacts: a tenth of the appends, and the same tail.
            .worker_threads(1)
            // All journals are replayed at open, 5 ms for each MiB. With more than this behind the newest one,
            // what keeps the oldest is flushed. Flushing waits while files are merged: under the heaviest load
            // there were 100 MiB of journals half of the time, and up to 400.
            .max_journaling_size(64 * MIB)
            .open()?;
        let small = KeyspaceCreateOptions::default;
        let large = || {
            let blobs = KvSeparationOptions::default()
                .separation_threshold(BLOB_BYTES)
                .compression(CompressionType::Lz4);
            KeyspaceCreateOptions::default()
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
                .with_kv_separation(Some(blobs))
        };
        Ok(Tree {
            events: db.keyspace("events", || {
                large()
                    .data_block_size_policy(BlockSizePolicy::all(EVENTS_BLOCK))
                    .compaction_strategy(merging(32 * MIB))
                    // Whoever asks for one event knows that it is there.
                    .expect_point_read_hits(true)
            })?,
            scopes: db.keyspace("scopes", small)?,
            names: db.keyspace("names", small)?,
            order: db.keyspace("order", small)?,
            index: db.keyspace("index", || {
                small()
                    .max_memtable_size(SCATTERED_MEMTABLE)
                    .compaction_strategy(merging(16 * MIB))
                    // Read by range only, so filters would be made for nothing.
                    .filter_policy(FilterPolicy::disabled())
            })?,
            appends: db.keyspace("appends", || {
                small().max_memtable_size(SCATTERED_MEMTABLE).compaction_strategy(merging(64 * MIB))
            })?,
            recent: db.keyspace("recent", || small().max_memtable_size(SCATTERED_MEMTABLE))?,
            snapshots: db.keyspace("snapshots", large)?,
            modules: db.keyspace("modules", large)?,
            pasts: db.keyspace("pasts", small)?,
            rejections: db.keyspace("rejections", large)?,
            proposals: db.keyspace("proposals", large)?,
            meta: db.keyspace("meta", small)?,
            past: Pasts::default(),
            db,
        })
    }
}

/// How files are merged whose keys are all over the keyspace, so that each new one overlaps all there are:
/// eight at a time, as the older ones are written again whenever new ones come. With the usual four, a
/// store under load did an eighth less. The price is that a reader may find up to eight new files.
fn merging(file_bytes: u64) -> Arc<Leveled> {
    Arc::new(Leveled::default().with_l0_threshold(8).with_table_target_size(file_bytes))
}

/// What an error of the tree means to a reader.
pub(super) fn read_error(error: fjall::Error) -> ReadError {
    match &error {
        fjall::Error::Storage(LsmError::Io(_)) | fjall::Error::Io(_) => {
            ReadError::Storage(error.to_string())
        }
        fjall::Error::Storage(_) | fjall::Error::Decompress(_) => {
            ReadError::DamagedIndex(format!("a file of the tree is damaged: {error}"))
        }
        _ => ReadError::Storage(error.to_string()),
    }
}

/// What an error of the tree means to somebody who opens it.
pub(super) fn open_error(folder: &Path, error: fjall::Error) -> OpenError {
    let path = folder.to_owned();
    match error {
        fjall::Error::Locked => OpenError::Locked { path },
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => {
            OpenError::Io { path, error }
        }
        fjall::Error::InvalidVersion(Some(version)) if u8::from(version) > 3 => {
            OpenError::Newer { found: u8::from(version).into(), supported: 3 }
        }
        error => OpenError::Damaged {
            what: format!("the tree in {} cannot be opened: {error}", path.display()),
            may_accept: false,
        },
    }
}
