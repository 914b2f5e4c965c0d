//! The engine as its callers see it: sessions, embedding programs and tests.

use super::beside::{self, Bell};
use super::burst::Burst;
use super::item::Item;
use super::mailbox::{Letter, Submitted, Work, as_request_error};
use super::pool::{Pool, Scheduler};
use super::registry::Registry;
use super::reply::ReplyTo;
use super::shared::Shared;
use super::system::{Component, SystemEvent, SystemLog};
use crate::clock::Clock;
use crate::log::{Change, EventLog, ReadError, ScopeRow, Unit};
use crate::validator::Loader;
use atomic_store_core::chain::Broken;
use atomic_store_core::protocol::{RequestError, ScopeInfo, StoreId, StoreStatus};
use atomic_store_core::record::RecordView;
use atomic_store_core::{
    Answer, Append, Limits, Outcome, Overload, Position, ScopeId, ScopeName, Seq,
};
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Scopes that may be in memory beyond the cap while cold ones are leaving.
pub(crate) const LEAVING_MAX: usize = 1_024;
/// How often a closing store looks whether it is done.
const CLOSING_POLL: Duration = Duration::from_millis(1);
/// How long a closed store waits for the threads beside its loops. One that folds a long scope is left
/// alone with it, and the data directory stays locked until it is done.
const BESIDE_FOR: Duration = Duration::from_secs(1);
/// How long a closing store waits before it asks scopes again that have not left.
const RETIRE_ROUND: Duration = Duration::from_millis(20);
/// Stack of a scope thread beyond what guests may use of it.
const HOST_STACK_BYTES: usize = 2 * 1024 * 1024;

/// Who runs scope loops and the committer.
pub enum Drive {
    /// So many threads for scope loops, and one for the committer.
    Threads(usize),
    /// The caller: work goes to the scheduler, and [`Engine::commit_turn`] commits. For simulations.
    Manual(Arc<dyn Scheduler>),
}

impl Drive {
    /// Threads for this machine: more than cores, so that stuck guests do not hold up the rest.
    #[must_use]
    pub fn for_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Drive::Threads((cores * 4).max(8))
    }
}

/// The engine of one open store. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) loader: Arc<dyn Loader>,
    pub(super) system: Arc<SystemLog>,
    pub(super) runtime: Arc<Runtime>,
}

/// The threads, if a simulation does not take their place.
pub(super) struct Runtime {
    /// Rung when the store stops.
    pub(super) bell: Arc<Bell>,
    pool: Option<Arc<Pool>>,
    committer: Mutex<Option<JoinHandle<()>>>,
    beside: Mutex<Vec<JoinHandle<()>>>,
    shared: Arc<Shared>,
}

impl Engine {
    /// Builds the registry from `$system` and starts the threads.
    ///
    /// # Errors
    /// [`ReadError`] if `$system` cannot be read or threads cannot be started.
    pub fn open(
        log: Arc<dyn EventLog>,
        loader: Arc<dyn Loader>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        drive: Drive,
    ) -> Result<Engine, ReadError> {
        let registry = Registry::new(Arc::clone(&loader), Arc::clone(&log));
        let system = Arc::new(SystemLog::open(&*log, &registry)?);
        let no_thread = |error: std::io::Error| ReadError::Storage(format!("no thread: {error}"));
        let (pool, scheduler): (_, Arc<dyn Scheduler>) = match drive {
            Drive::Manual(scheduler) => (None, scheduler),
            Drive::Threads(threads) => {
                let stack = HOST_STACK_BYTES + limits.stack_bytes_max;
                let pool = Arc::new(Pool::start(threads, stack).map_err(no_thread)?);
                (Some(Arc::clone(&pool)), pool)
            }
        };
        let shared = Arc::new(Shared::new(log, clock, limits, registry, scheduler));
        let committer = match &pool {
            None => None,
            Some(_) => {
                let shared = Arc::clone(&shared);
                let builder = std::thread::Builder::new().name("committer".to_owned());
                let run = move || {
                    let run = || shared.committer.run(&shared);
                    while std::panic::catch_unwind(AssertUnwindSafe(run)).is_err() {
                        shared.committer.panicked(&shared);
                    }
                };
                Some(builder.spawn(run).map_err(no_thread)?)
            }
        };
        let threads = pool.is_some();
        let runtime = Arc::new(Runtime {
            bell: Arc::default(),
            pool,
            committer: Mutex::new(committer),
            beside: Mutex::default(),
            shared: Arc::clone(&shared),
        });
        let engine = Engine { shared, loader, system, runtime };
        engine.shared.shadow.resume(&engine.shared, engine.system.row())?;
        if threads {
            let stack = HOST_STACK_BYTES + engine.shared.limits.stack_bytes_max;
            let threads = beside::start(&engine, stack).map_err(no_thread)?;
            *engine.runtime.beside.lock().unwrap_or_else(PoisonError::into_inner) = threads;
        }
        Ok(engine)
    }

    /// The caps of this store.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Identity of this store.
    #[must_use]
    pub fn store_id(&self) -> StoreId {
        self.shared.log.store_id()
    }

    /// Decides an append. Never blocks; exactly one answer goes to `to`, at once if the append
    /// cannot be taken. Appends to one scope are decided in the order of the calls.
    pub fn append(&self, append: Append, to: &Arc<dyn ReplyTo>, call: u64) {
        if let Some(work) = self.take(append, to, call, false) {
            self.shared.schedule(work);
        }
    }

    /// For callers whose appends come in bursts.
    #[must_use]
    pub fn burst(&self) -> Burst {
        Burst::new(self.clone())
    }

    /// Checks an append and puts it into its scope's mailbox. Returns the loop if it must be woken.
    pub(crate) fn take(
        &self,
        append: Append,
        to: &Arc<dyn ReplyTo>,
        call: u64,
        room: bool,
    ) -> Option<Work> {
        let refuse = |outcome| {
            to.answer(call, Answer { outcome, duplicate: false });
            None
        };
        if let Err(invalid) = self.shared.limits.check_append(&append) {
            return refuse(Outcome::Invalid { field: invalid.field, why: invalid.why });
        }
        if !self.shared.log.has_room() {
            return refuse(Outcome::Overloaded(Overload::Disk));
        }
        let bytes = append.size();
        if let Err(full) = self.shared.in_flight.admit(bytes) {
            return refuse(Outcome::Overloaded(full));
        }
        // Only now that it is counted: a store that closes waits for what is in flight, so whoever
        // comes later must see that it closes.
        if let Some(why) = self.shared.read_only() {
            self.shared.in_flight.release(bytes);
            return refuse(Outcome::ReadOnly { why });
        }
        let scope = append.scope.clone();
        let mail = Submitted { append, bytes, to: Arc::clone(to), call };
        self.shared.send(&scope, Letter::Append(mail), room)
    }

    /// Asks the state of a scope's validator. Never blocks; exactly one answer goes to `to`.
    pub fn query(
        &self,
        scope: &ScopeName,
        name: String,
        args: Vec<u8>,
        to: &Arc<dyn ReplyTo>,
        call: u64,
    ) {
        if let Err(invalid) = self.shared.limits.check_query(&name, &args) {
            let (field, why) = (invalid.field, invalid.why);
            return to.state(call, Err(RequestError::Invalid { field, why }));
        }
        let bytes = name.len() + args.len();
        if let Err(full) = self.shared.in_flight.admit(bytes) {
            return to.state(call, Err(as_request_error(Outcome::Overloaded(full))));
        }
        if let Some(why) = self.shared.read_only() {
            self.shared.in_flight.release(bytes);
            return to.state(call, Err(RequestError::Failed(why)));
        }
        let letter = Letter::Query { name, args, bytes, to: Arc::clone(to), call };
        if let Some(work) = self.shared.send(scope, letter, false) {
            self.shared.schedule(work);
        }
    }

    /// Calls `each` with a scope's durable events after `after` up to `through`, each checked
    /// against the chain. Blocks on the disk. An unknown scope is empty.
    ///
    /// # Errors
    /// [`ReadError::Damaged`], and from then on the scope takes no appends.
    pub fn read(
        &self,
        scope: &ScopeName,
        after: Seq,
        through: Seq,
        each: &mut dyn FnMut(RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let result = self.shared.log.scope(scope).and_then(|row| match row {
            Some(row) if after < row.head => {
                read_known(&*self.shared.log, &row, after, through, each)
            }
            _ => Ok(()),
        });
        result.inspect_err(|error| self.shared.sealed.note(error))
    }

    /// Calls `each` with the durable events of all scopes after a position. Blocks on the disk.
    ///
    /// # Errors
    /// [`ReadError::Damaged`], and from then on the scope takes no appends.
    pub fn read_order(
        &self,
        after: Position,
        each: &mut dyn FnMut(&ScopeName, RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let result = self.shared.log.read_order(after, each);
        result.inspect_err(|error| self.shared.sealed.note(error))
    }

    /// Changes whenever events of the scope became durable; its value is then the head.
    #[must_use]
    pub fn watch_scope(&self, scope: &ScopeName) -> watch::Receiver<Seq> {
        self.shared.feed.scope(scope)
    }

    /// Changes whenever any event became durable.
    #[must_use]
    pub fn watch_order(&self) -> watch::Receiver<Position> {
        self.shared.feed.order()
    }

    /// What is known about a scope; nothing if it has no events. Blocks on the disk.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn show_scope(&self, scope: &ScopeName) -> Result<Option<ScopeInfo>, ReadError> {
        match self.shared.log.scope(scope) {
            Ok(row) => Ok(row.map(|row| self.scope_info(row))),
            Err(error) => {
                self.shared.sealed.note(&error);
                Err(error)
            }
        }
    }

    /// Scopes by name. Blocks on the disk.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn list_scopes(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<ScopeInfo>, ReadError> {
        let rows = self.shared.log.scopes(prefix, after, limit)?;
        Ok(rows.into_iter().map(|row| self.scope_info(row)).collect())
    }

    /// The same for scopes whose loop is in memory (Atomic Store A14), whether they have events or
    /// not. One that cannot be read is listed as empty, with what is wrong.
    #[must_use]
    pub fn list_live(&self, prefix: &str, after: &str, limit: usize) -> Vec<ScopeInfo> {
        let row = |name: ScopeName| match self.shared.log.scope(&name) {
            Ok(Some(row)) => row,
            Ok(None) => ScopeRow::empty(ScopeId(0), name),
            Err(error) => {
                self.shared.sealed.note(&error);
                ScopeRow::empty(ScopeId(0), name)
            }
        };
        let names = self.shared.live.names(prefix, after, limit);
        names.into_iter().map(|name| self.scope_info(row(name))).collect()
    }

    pub(crate) fn scope_info(&self, row: ScopeRow) -> ScopeInfo {
        let damage = self.shared.sealed.why(&row.name);
        ScopeInfo {
            binding: self.shared.registry.binding(&row.name),
            live: self.shared.live.contains(&row.name),
            damaged: damage.is_some(),
            sealed: damage.or_else(|| self.shared.registry.sealed(&row.name)),
            head: row.head,
            hash: row.hash,
            floor: row.floor.seq,
            bytes: row.bytes,
            name: row.name,
        }
    }

    /// About the store.
    #[must_use]
    pub fn status(&self) -> StoreStatus {
        let shared = &self.shared;
        let (options, options_since) = self.recorded_options();
        StoreStatus {
            store: shared.log.store_id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            position: shared.log.position(),
            commits: shared.log.commits(),
            scopes: shared.log.scope_count(),
            live: shared.live.count() as u64,
            in_flight: shared.in_flight.count() as u64,
            read_only: shared.read_only(),
            options,
            options_since,
        }
    }

    /// Becomes something once the log has failed: nothing is stored until a restart.
    #[must_use]
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.shared.watch_failure()
    }

    pub(crate) fn record(
        &self,
        event: &SystemEvent,
        component: Option<Component>,
    ) -> Result<Seq, RequestError> {
        self.system.append(&self.shared, event, component, None, &|| self.pump())
    }

    /// Records an event of `$system` together with the change of a scope's past that it tells of.
    pub(crate) fn record_change(
        &self,
        event: &SystemEvent,
        change: Change,
    ) -> Result<Seq, RequestError> {
        self.system.append(&self.shared, event, None, Some(change), &|| self.pump())
    }

    /// Makes a unit of the host's own durable.
    pub(crate) fn commit_alone(&self, unit: Unit) -> Result<(), RequestError> {
        let (done, waiting) = mpsc::sync_channel(1);
        self.shared.committer.hand(&self.shared, &mut vec![Item::host(unit, done)]);
        self.pump();
        let committed = waiting.recv().map_err(|error| RequestError::Failed(error.to_string()))?;
        committed.map_err(RequestError::Failed)
    }

    /// Commits by hand if nobody else does.
    pub(super) fn pump(&self) {
        if self.runtime.pool.is_none() {
            self.commit_turn();
        }
    }

    /// Commits what waits; false if nothing did. Only with [`Drive::Manual`].
    pub fn commit_turn(&self) -> bool {
        let committed = self.shared.committer.turn(&self.shared);
        let swept = self.shared.committer.sweep(&self.shared);
        committed || swept
    }

    /// Takes no more appends, decides and commits what waits, saves the states, closes the log.
    /// Blocks; false if the deadline came first, in which case everything acknowledged is durable
    /// all the same.
    #[must_use]
    pub fn close(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        self.shared.start_closing();
        self.shared.questions.close(&self.shared);
        let decided = wait_until(end, || self.shared.in_flight.count() == 0);
        let idle = self.retire_all(end) && decided;
        self.finish_trials(end);
        self.runtime.stop();
        let stopped = wait_until(end, || self.runtime.has_stopped());
        let closed = stopped && self.shared.failure().is_none() && self.shared.log.close().is_ok();
        // They share the log, and whoever opens it next needs its lock.
        wait_until(end.min(Instant::now() + BESIDE_FOR), || self.runtime.is_alone());
        idle && closed
    }

    /// Lets all scopes save their states and leave. Whoever has something on its way to the disk
    /// declines, if only a snapshot that nobody waits for, and is asked again. False if the deadline
    /// came first: what was not saved is folded from the log again.
    fn retire_all(&self, end: Instant) -> bool {
        loop {
            for cell in self.shared.live.all() {
                cell.retire(&self.shared);
            }
            let round = end.min(Instant::now() + RETIRE_ROUND);
            if wait_until(round, || self.shared.live.count() == 0) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
        }
    }
}

fn wait_until(end: Instant, done: impl Fn() -> bool) -> bool {
    while !done() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(CLOSING_POLL);
    }
    true
}

/// Reads events that must be there.
fn read_known(
    log: &dyn EventLog,
    row: &ScopeRow,
    after: Seq,
    through: Seq,
    each: &mut dyn FnMut(RecordView<'_>) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let through = through.min(row.head);
    let mut walk = row.walk_after(after);
    let mut stopped = false;
    log.read(row, &mut walk, through, &mut |view| {
        let flow = each(view);
        stopped = flow.is_break();
        flow
    })?;
    if !stopped && walk.head() < through {
        return Err(ReadError::Damaged {
            scope: row.name.clone(),
            seq: walk.head().next(),
            found: Broken::Short { expected: through, found: walk.head() },
        });
    }
    Ok(())
}

impl Runtime {
    fn stop(&self) {
        if let Some(pool) = &self.pool {
            pool.stop();
        }
        self.bell.ring();
        self.shared.shadow.stop();
        self.shared.questions.stop();
        self.shared.committer.stop();
    }

    fn has_stopped(&self) -> bool {
        let committer = self.committer.lock().unwrap_or_else(PoisonError::into_inner);
        self.pool.as_ref().is_none_or(|pool| pool.has_stopped())
            && committer.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn is_alone(&self) -> bool {
        let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        beside.iter().all(JoinHandle::is_finished)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop();
    }
}
