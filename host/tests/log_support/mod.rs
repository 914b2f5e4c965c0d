//! Shared by the tests of the log: scopes that write themselves, and a reader that sees everything.
#![allow(dead_code, reason = "each test file uses its own part")]

use atomic_store::log::{
    Decision, EventLog, FjallLog, MemoryLog, OpenError, OpenOptions, OpenReport, ScopeRow, Unit,
};
use atomic_store_core::chain::{Walk, genesis};
use atomic_store_core::record::{Body, Record};
use atomic_store_core::{AppendId, ContentType, Digest, Position, ScopeName, Seq};
use std::io::Read;
use std::ops::{ControlFlow, Deref};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The host time of every unit, unless a test says otherwise.
pub(crate) const NOW: u64 = 1_800_000_000_000;

/// The next number of a seeded sequence (splitmix64).
pub(crate) fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `n` bytes that do not compress.
pub(crate) fn noise(seed: &mut u64, n: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..n / 8 + 1).flat_map(|_| next(seed).to_le_bytes()).collect();
    bytes.truncate(n);
    bytes
}

pub(crate) fn name(text: &str) -> ScopeName {
    ScopeName::new(text).unwrap()
}

pub(crate) fn append_id(n: u64) -> AppendId {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    AppendId(id)
}

/// A scope as its writer sees it.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) row: Arc<ScopeRow>,
    pub(crate) head: Seq,
    pub(crate) hash: Digest,
    pub(crate) bytes: u64,
}

impl Writer {
    pub(crate) fn new(log: &dyn EventLog, text: &str) -> Self {
        let name = name(text);
        let hash = genesis(&name);
        let row = ScopeRow::empty(log.new_scope_id(), name);
        Writer { row: Arc::new(row), head: Seq::ZERO, hash, bytes: 0 }
    }

    /// Goes on where the log is.
    pub(crate) fn resume(log: &dyn EventLog, text: &str) -> Self {
        match log.scope(&name(text)).unwrap() {
            Some(row) => {
                Writer { head: row.head, hash: row.hash, bytes: row.bytes, row: Arc::new(row) }
            }
            None => Writer::new(log, text),
        }
    }

    /// A unit of these payloads, as one append.
    pub(crate) fn unit(&mut self, id: u64, payloads: &[&[u8]]) -> Unit {
        let (at, bytes) = (self.head, self.bytes);
        let mut records = Vec::new();
        for payload in payloads {
            let seq = self.head.next();
            let body = Body {
                seq,
                kind: "test",
                content_type: ContentType::Bytes,
                payload,
                keys: &[][..],
                triggers: &[][..],
                metadata: &[][..],
                caller_ms: None,
                host_ms: NOW,
                append_id: append_id(id),
                validator: Digest::default(),
                binding: Seq(1),
            };
            let record = Record::encode(&self.hash, &body).unwrap();
            self.head = seq;
            self.hash = record.hash();
            self.bytes += record.as_bytes().len() as u64;
            records.push(record);
        }
        let decision =
            Decision::Committed { first: at.next(), last: self.head, reason: None, meta: None };
        let decision = Some((append_id(id), decision));
        let bare = Unit::bare(Arc::clone(&self.row));
        Unit { at, bytes, records, decision, host_ms: NOW, ..bare }
    }

    /// A unit that only remembers a decision.
    pub(crate) fn empty(&self, id: u64, decision: Decision) -> Unit {
        let decision = Some((append_id(id), decision));
        let bare = Unit::bare(Arc::clone(&self.row));
        Unit { at: self.head, bytes: self.bytes, decision, host_ms: NOW, ..bare }
    }
}

/// The payloads of a scope from its first event to its last.
pub(crate) fn payloads(log: &dyn EventLog, text: &str) -> Vec<Vec<u8>> {
    let Some(row) = log.scope(&name(text)).unwrap() else { return Vec::new() };
    let mut found = Vec::new();
    let mut walk = Walk::from_start(&row.name);
    log.read(&row, &mut walk, Seq::MAX, &mut |view| {
        found.push(view.decode().unwrap().payload.to_vec());
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

/// Scope, seq and position of all events after a position.
pub(crate) fn order(log: &dyn EventLog, after: u64) -> Vec<(String, u64, u64)> {
    let mut found = Vec::new();
    log.read_order(Position(after), &mut |name, view| {
        found.push((name.to_string(), view.seq().0, view.position().0));
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

pub(crate) fn options(path: &Path) -> OpenOptions {
    let mut options = OpenOptions::new(path);
    options.cache_bytes = 8 * 1024 * 1024;
    options
}

pub(crate) fn open(path: &Path) -> (FjallLog, OpenReport) {
    FjallLog::open(&options(path)).unwrap()
}

/// A temporary directory, in memory if the machine has such a file system: these tests damage files
/// themselves and open hundreds of stores, so waiting for a disk would show nothing.
pub(crate) fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A private directory that does not exist yet, and its guard.
pub(crate) fn data() -> (tempfile::TempDir, PathBuf) {
    let dir = temporary();
    let path = dir.path().join("data");
    (dir, path)
}

/// Copies a small data directory as it is on the disk now. The tree pre-sizes journals with zeros; they
/// are not copied, as a journal means the same without them.
pub(crate) fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.ends_with("mark.new") {
            continue; // The background thread is about to rename it.
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&source, &target);
        } else {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(&source).unwrap();
            file.take(4 * 1024 * 1024).read_to_end(&mut bytes).unwrap();
            if source.extension().is_some_and(|ext| ext == "jnl") {
                let written = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
                bytes.truncate(written);
            }
            std::fs::write(&target, bytes).unwrap();
        }
    }
}

pub(crate) fn try_open(
    path: &Path,
    accept_loss: bool,
) -> Result<(FjallLog, OpenReport), OpenError> {
    FjallLog::open(&OpenOptions { accept_loss, ..options(path) })
}

/// One of the logs under test.
pub(crate) enum Log {
    Fjall(Box<FjallLog>, PathBuf),
    Memory(Box<MemoryLog>),
}

impl Deref for Log {
    type Target = dyn EventLog;

    fn deref(&self) -> &Self::Target {
        match self {
            Log::Fjall(log, _) => &**log,
            Log::Memory(log) => &**log,
        }
    }
}
