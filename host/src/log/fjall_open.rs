//! Opens a store: nothing is believed that can be checked in the time that opening may take.
//!
//! - The directory is private, ours and locked.
//! - The journals are looked through. A torn end is cut off, any other damage is a refusal.
//! - The tree replays them, and what came of it is held against the mark.
//! - Every scope written since the mark is walked to its head.

use super::dir::{self, DataDir};
use super::fjall_commit::Committer;
use super::fjall_decisions::Decisions;
use super::fjall_journal::{self, Bad, End};
use super::fjall_log::FjallLog;
use super::fjall_past;
use super::fjall_read::Names;
use super::fjall_rejections::Journal;
use super::fjall_runway::Runway;
use super::fjall_tree::{Tree, open_error};
use super::mark::{self, Mark, MarkError};
use super::rows::{self, Buckets, ScopeHead};
use super::watch::{Durable, Gauge, Task, Watch};
use super::{Cut, OpenError, OpenOptions, OpenReport, ReadError};
use atomic_store_core::chain::{Broken, Walk};
use atomic_store_core::protocol::StoreId;
use atomic_store_core::{Position, ScopeId, ScopeName, Seq};
use fjall::{PersistMode, Readable};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

/// The version of the rows in the tree, kept in `meta`.
const FORMAT: u32 = 1;

/// Opens or makes the store.
pub(super) fn open(options: &OpenOptions) -> Result<(FjallLog, OpenReport), OpenError> {
    let dir = DataDir::claim(&options.path)?;
    let mut report = OpenReport::default();
    let mark = read_mark(&dir, options.accept_loss)?;
    let before = preflight(&dir, mark.is_some(), options.accept_loss, &mut report)?;
    let folder = dir.tree();
    // The tree panics on some damage. At this point nothing else runs that a panic could confuse.
    let tree = catch_unwind(AssertUnwindSafe(|| Tree::open(&folder, options.cache_bytes)))
        .map_err(|_| fjall::Error::Unrecoverable)
        .and_then(|opened| opened)
        .map_err(|error| open_error(&folder, error))?;
    let found = Found::look(&tree)?;
    if let Some(error) = compare(&dir, &found, mark, &before)? {
        if !options.accept_loss {
            return Err(error);
        }
        tracing::error!("OPENED WITH A LOSS THAT WAS ACCEPTED: {error}");
        report.accepted_loss = Some(match error {
            OpenError::MissingData { commits, .. } => commits,
            _ => 0,
        });
    }
    report.clean = mark.is_some_and(|mark| mark.clean);
    report.created = found.store.is_none() && report.accepted_loss.is_none();
    let (store, secret) = identity(&tree, &found, report.accepted_loss.is_some())?;
    let since = mark.map_or(Position(0), |mark| mark.position);
    check_tail(&tree, since.min(found.durable.position), &mut report)?;
    let buckets = Buckets::new(options.limits.append_id_ms);
    let decisions = Decisions::load(&tree, buckets)
        .map_err(|what| OpenError::Damaged { what, may_accept: false })?;
    let log = assemble(options, dir, tree, (store, secret), &found, decisions)?;
    tracing::debug!(?report, "opened");
    Ok((log, report))
}

/// The mark, or nothing if there is none or it does not matter.
fn read_mark(dir: &DataDir, accept_loss: bool) -> Result<Option<Mark>, OpenError> {
    match Mark::read(dir.path()) {
        Ok(mark) => Ok(mark),
        Err(MarkError::Newer(found)) => {
            Err(OpenError::Newer { found: found.into(), supported: mark::VERSION.into() })
        }
        Err(MarkError::Unreadable(why)) if accept_loss => {
            tracing::error!("the mark is ignored: {why}");
            Ok(None)
        }
        Err(MarkError::Unreadable(why)) => {
            Err(OpenError::Mark { path: dir.path().join("mark"), why })
        }
    }
}

/// What there was before the tree was opened.
struct Before {
    /// True if the tree had been there.
    tree: bool,
    /// True if it had journals.
    journals: bool,
}

/// Looks through the journals and cuts a torn end off the newest.
fn preflight(
    dir: &DataDir,
    marked: bool,
    accept_loss: bool,
    report: &mut OpenReport,
) -> Result<Before, OpenError> {
    let folder = dir.tree();
    let io = |error| OpenError::Io { path: folder.clone(), error };
    if !folder.try_exists().map_err(io)? {
        return Ok(Before { tree: false, journals: false });
    }
    if !folder.join("version").try_exists().map_err(io)? {
        if marked {
            let what = format!("{} has no file named version", folder.display());
            return Err(OpenError::Damaged { what, may_accept: false });
        }
        // The tree writes that file last when it is made; it was never opened, so it is empty.
        fs::remove_dir_all(&folder).map_err(io)?;
        return Ok(Before { tree: false, journals: false });
    }
    let mut journals = fjall_journal::scan(&folder).map_err(|error| match error.kind() {
        io::ErrorKind::Other => {
            let what = format!("in {}, {error}", folder.display());
            OpenError::Damaged { what, may_accept: false }
        }
        _ => io(error),
    })?;
    let newest = journals.pop();
    let before = Before { tree: true, journals: newest.is_some() };
    let broken = |path: &Path, bad: &Bad, may_accept| {
        let what = format!("{}, byte {}: {}", path.display(), bad.kept, bad.why);
        Err(OpenError::Damaged { what, may_accept })
    };
    for journal in &journals {
        // Whatever stands before the newest journal was synced before the next one was begun.
        if let End::Broken(bad) | End::Torn(bad) | End::Unfinished(bad) = &journal.end {
            return broken(&journal.path, bad, false);
        }
    }
    let Some(newest) = newest else { return Ok(before) };
    match newest.end {
        End::Whole => {}
        // The tree would do the same, after it has believed a length of up to 4 GiB.
        End::Unfinished(bad) => {
            shorten(&newest.path, bad.kept)?;
            report.unfinished = bad.bytes;
        }
        End::Torn(bad) => report.cut = Some(cut(dir, newest.path, bad)?),
        End::Broken(bad) if accept_loss => {
            report.cut = Some(cut(dir, newest.path, bad)?);
            report.accepted_loss = Some(0);
        }
        End::Broken(bad) => return broken(&newest.path, &bad, true),
    }
    Ok(before)
}

/// Keeps a copy of the journal and cuts off its torn end.
fn cut(dir: &DataDir, journal: PathBuf, bad: Bad) -> Result<Cut, OpenError> {
    let name = journal.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let names = (0..).map(|n| dir.path().join(format!("torn-journal-{name}-at-{}.{n}", bad.kept)));
    let mut names = names.skip_while(|path| path.exists());
    let saved_as = names.next().unwrap_or_else(|| dir.path().join("torn-journal"));
    let io = |error| OpenError::Io { path: saved_as.clone(), error };
    fs::copy(&journal, &saved_as).map_err(io)?;
    fs::File::open(&saved_as).and_then(|file| file.sync_all()).map_err(io)?;
    dir::sync_dir(dir.path()).map_err(io)?;
    shorten(&journal, bad.kept)?;
    let Bad { kept, bytes, why } = bad;
    tracing::warn!(
        "a torn commit of {bytes} bytes was cut off the end of {}: {why}; the whole journal is kept as {}",
        journal.display(),
        saved_as.display()
    );
    Ok(Cut { journal, saved_as, kept, bytes, why })
}

fn shorten(journal: &Path, length: u64) -> Result<(), OpenError> {
    fs::OpenOptions::new()
        .write(true)
        .open(journal)
        .and_then(|file| file.set_len(length).and_then(|()| file.sync_all()))
        .map_err(|error| OpenError::Io { path: journal.to_owned(), error })
}

/// What the tree holds.
struct Found {
    /// Its identity, and its secret.
    store: Option<(StoreId, [u8; 32])>,
    durable: Durable,
    /// Scopes there should be, by the last row of `order`.
    scopes: u64,
    /// Rows of `scopes`, and of `names`.
    rows: (u64, u64),
    next_scope: u64,
    alive: BTreeSet<u32>,
}

impl Found {
    fn look(tree: &Tree) -> Result<Self, OpenError> {
        let damaged = |why: String| OpenError::Damaged { what: why, may_accept: false };
        let wrong = |error: fjall::Error| damaged(format!("the tree cannot be read: {error}"));
        let view = tree.db.snapshot();
        if let Some(bytes) = view.get(&tree.meta, "format").map_err(wrong)? {
            let format: Option<[u8; 4]> = bytes[..].try_into().ok();
            let found = format.map(u32::from_be_bytes);
            let found = found.ok_or_else(|| damaged("the format version is damaged".to_owned()))?;
            if found > FORMAT {
                return Err(OpenError::Newer { found, supported: FORMAT });
            }
        }
        fjall_past::load(tree, &view).map_err(damaged)?;
        let store = view.get(&tree.meta, "store").map_err(wrong)?;
        let store = store.and_then(|bytes| {
            let (id, secret) = bytes.split_first_chunk::<16>()?;
            Some((StoreId(*id), secret.try_into().ok()?))
        });
        let mut durable = Durable { commits: 0, position: Position(0) };
        let mut scopes = 0;
        if let Some(guard) = view.iter(&tree.order).next_back() {
            let (key, value) = guard.into_inner().map_err(wrong)?;
            let row = rows::OrderRow::decode(&value);
            let row = row.map_err(|why| damaged(format!("the last row of the order: {why}")))?;
            let first = rows::number_of(&key);
            let first = first.ok_or_else(|| damaged("a key of the order".to_owned()))?;
            durable = Durable { commits: row.commit, position: Position(row.last(first)) };
            scopes = row.scopes;
        }
        let last = |keyspace| view.iter(keyspace).next_back().map(fjall::Guard::key).transpose();
        let named = last(&tree.names).map_err(wrong)?;
        let named = named.and_then(|key| rows::number_of(&key)).unwrap_or(0);
        // Also by the events: should names be lost, no new scope gets the number of an old one.
        let used = last(&tree.events).map_err(wrong)?;
        let used = used.and_then(|key| rows::event_of(&key)).map_or(0, |(id, _)| id.0);
        let count = |keyspace| {
            view.iter(keyspace).try_fold(0_u64, |sum, guard| guard.key().map(|_| sum + 1))
        };
        let rows = (count(&tree.scopes).map_err(wrong)?, count(&tree.names).map_err(wrong)?);
        let alive = buckets(tree, &view).map_err(wrong)?;
        Ok(Found { store, durable, scopes, rows, next_scope: named.max(used) + 1, alive })
    }
}

/// The buckets of decisions there are: one seek for each.
fn buckets(tree: &Tree, view: &fjall::Snapshot) -> fjall::Result<BTreeSet<u32>> {
    let mut alive = BTreeSet::new();
    let mut from = 0_u32;
    while let Some(guard) = view.range(&tree.appends, from.to_be_bytes()..).next() {
        let Some(bucket) = rows::bucket_of(&guard.key()?) else { break };
        alive.insert(bucket);
        match bucket.checked_add(1) {
            Some(next) => from = next,
            None => break,
        }
    }
    Ok(alive)
}

/// Holds what was found against the mark. What comes back can be accepted as a loss.
fn compare(
    dir: &DataDir,
    found: &Found,
    mark: Option<Mark>,
    before: &Before,
) -> Result<Option<OpenError>, OpenError> {
    let there = found.durable.commits;
    let unusable = |why: &str| {
        let path = dir.path().join("mark");
        Ok(Some(OpenError::Mark { path, why: why.to_owned() }))
    };
    let (scopes, names) = found.rows;
    if scopes < found.scopes || names < found.scopes {
        let what = format!(
            "{} scopes were written, but only {} of them can be found",
            found.scopes,
            scopes.min(names)
        );
        return Err(OpenError::Damaged { what, may_accept: false });
    }
    if there > 0 && found.store.is_none() {
        return Err(OpenError::Damaged {
            what: "the identity of the store is missing".to_owned(),
            may_accept: false,
        });
    }
    let Some(mark) = mark else {
        // A tree that lost its journals may look like a new one.
        let empty = there == 0 && (!before.tree || before.journals);
        return if empty { Ok(None) } else { unusable("is missing") };
    };
    if mark.commits > there {
        let commits = mark.commits - there;
        let loss = OpenError::MissingData { commits, marked: mark.commits, found: there };
        return Ok(Some(loss));
    }
    if found.store.is_some_and(|(store, _)| store != mark.store) {
        return unusable("belongs to another store");
    }
    if mark.position > found.durable.position {
        return unusable("does not fit the order of the events");
    }
    Ok(None)
}

/// The store's identity and secret. A new store gets both; one that goes on without some of its past
/// gets a new identity and keeps its secret, by which it finds what it still has.
fn identity(tree: &Tree, found: &Found, lost: bool) -> Result<(StoreId, [u8; 32]), OpenError> {
    if let (Some(known), false) = (found.store, lost) {
        return Ok(known);
    }
    let source = Path::new("/dev/urandom");
    let (mut id, mut secret) = ([0; 16], [0; 32]);
    fs::File::open(source)
        .and_then(|mut file| file.read_exact(&mut id).and_then(|()| file.read_exact(&mut secret)))
        .map_err(|error| OpenError::Io { path: source.to_owned(), error })?;
    let secret = found.store.map_or(secret, |(_, secret)| secret);
    let mut batch = tree.db.batch().durability(Some(PersistMode::SyncAll));
    batch.insert(&tree.meta, "format", FORMAT.to_be_bytes());
    batch.insert(&tree.meta, "store", [&id[..], &secret].concat());
    batch.commit().map_err(|error| OpenError::Damaged {
        what: format!("the tree cannot be written: {error}"),
        may_accept: false,
    })?;
    Ok((StoreId(id), secret))
}

/// Walks every scope that has events after `since` to its head.
fn check_tail(tree: &Tree, since: Position, report: &mut OpenReport) -> Result<(), OpenError> {
    let refuse =
        |error: ReadError| OpenError::Damaged { what: error.to_string(), may_accept: false };
    let view = tree.db.snapshot();
    let mut tails: BTreeMap<ScopeId, (Seq, Seq)> = BTreeMap::new();
    // From the row before, so that a store that was closed cleanly has its last commit checked.
    let from = Position(since.0.saturating_sub(1));
    let mut next: Option<(u64, u64)> = None;
    for row in tree.order_from(&view, from).map_err(refuse)? {
        let (first, row) = row.map_err(refuse)?;
        if next.is_some_and(|expected| expected != (first, row.commit)) {
            let what = format!("the order of all events has a hole before position {first}");
            return Err(OpenError::Damaged { what, may_accept: false });
        }
        next = Some((row.last(first).saturating_add(1), row.commit.saturating_add(1)));
        for run in &row.runs {
            let tail = tails.entry(run.scope).or_insert((run.first, run.last()));
            tail.1 = tail.1.max(run.last());
        }
    }
    let names = Names::default();
    for (id, (first, last)) in tails {
        let name = tree.name(&view, &names, id).map_err(refuse)?;
        if let Some(damage) = walk_tail(tree, &view, id, &name, (first, last), report)? {
            tracing::error!("scope {name} is damaged: {damage}");
            report.damaged.push((name, damage));
        }
    }
    Ok(())
}

/// Walks one scope from before `first` to its end, which must not be before `last`.
fn walk_tail(
    tree: &Tree,
    view: &fjall::Snapshot,
    id: ScopeId,
    name: &ScopeName,
    (first, last): (Seq, Seq),
    report: &mut OpenReport,
) -> Result<Option<Broken>, OpenError> {
    let refuse = |why: String| OpenError::Damaged { what: why, may_accept: false };
    let row = view.get(&tree.scopes, name.as_str()).map_err(|e| refuse(e.to_string()))?;
    let row = row.ok_or_else(|| refuse(format!("the row of scope {name} is missing")))?;
    let row = ScopeHead::decode(&row).map_err(|why| refuse(format!("scope {name}: {why}")))?;
    let floor = tree.past.floor(id, name);
    let before = Seq(first.0.saturating_sub(1));
    let mut walk = if before <= floor.seq {
        Walk::from(floor.seq, floor.hash)
    } else if row.head <= before {
        Walk::from(row.head, row.hash)
    } else {
        Walk::after(name, before)
    };
    let range = rows::event_key(id, walk.head().next())..=rows::event_key(id, Seq::MAX);
    for guard in view.range(&tree.events, range) {
        let record = guard.value().map_err(|e| refuse(e.to_string()))?;
        if let Err(damage) = walk.step(&record) {
            return Ok(Some(damage));
        }
        report.checked += 1;
    }
    let (expected, found) = (last.max(row.head), walk.head());
    Ok((found < expected).then_some(Broken::Short { expected, found }))
}

/// Puts the open log together and starts its thread.
fn assemble(
    options: &OpenOptions,
    dir: DataDir,
    tree: Tree,
    (store, secret): (StoreId, [u8; 32]),
    found: &Found,
    (decisions, recent): (Decisions, BTreeSet<u32>),
) -> Result<FjallLog, OpenError> {
    let io = |error| OpenError::Io { path: options.path.clone(), error };
    let gauge = Arc::new(Gauge::new(found.durable, true));
    let path = dir.path().to_owned();
    let task = Task { path, store, reserve: options.limits.disk_reserve_bytes, gauge };
    task.measure();
    task.mark(found.durable, false).map_err(io)?;
    let watch = Watch::start(task.clone(), found.durable).map_err(io)?;
    let Durable { commits, position } = found.durable;
    let scopes = found.rows.0;
    let recent_decisions = Arc::clone(decisions.recent());
    let journal = Journal::load(&tree, &options.limits)
        .map_err(|why| OpenError::Damaged { what: why.to_string(), may_accept: false })?;
    let rejected = Arc::clone(journal.kept());
    let runway = Runway::new(&dir.tree()).map_err(io)?;
    let mut committer =
        Committer::new(position, commits, scopes, secret, decisions, journal, runway);
    committer.sweep.queue.extend(tree.past.unswept());
    Ok(FjallLog {
        watch: Mutex::new(Some(watch)),
        tree,
        task,
        recent: recent_decisions,
        rejected,
        committer: Mutex::new(committer),
        next_scope: AtomicU64::new(found.next_scope),
        scope_count: AtomicU64::new(scopes),
        secret,
        buckets: Buckets::new(options.limits.append_id_ms),
        alive: RwLock::new(found.alive.union(&recent).copied().collect()),
        names: Names::default(),
        _dir: dir,
    })
}
