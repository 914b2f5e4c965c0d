//! skeleton: signatures only, the lead is writing the real one.
#![allow(missing_docs, unused_variables, clippy::unimplemented, reason = "skeleton")]
use crate::clock::Clock;
use crate::log::{EventLog, ReadError};
use crate::validator::Loader;
use atomic_store_core::protocol::*;
use atomic_store_core::record::RecordView;
use atomic_store_core::*;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Where answers go. Called once per call, from any thread; must not block.
pub trait ReplyTo: Send + Sync + 'static {
    /// The answer to an append.
    fn answer(&self, call: u64, answer: Answer);
    /// The answer to a query.
    fn state(&self, call: u64, state: Result<State, RequestError>);
}
/// The answer to a query.
pub struct State {
    pub head: Seq,
    pub answer: Result<Vec<u8>, String>,
}
/// Cheap to clone.
#[derive(Clone)]
pub struct Engine;
impl Engine {
    /// Builds the registry from `$system`, starts the loops' threads and the committer.
    pub fn open(log: Arc<dyn EventLog>, loader: Arc<dyn Loader>, clock: Arc<dyn Clock>, limits: Limits) -> Result<Engine, ReadError> { unimplemented!() }
    pub fn limits(&self) -> &Limits { unimplemented!() }
    pub fn store_id(&self) -> StoreId { unimplemented!() }
    /// Never blocks; exactly one answer goes to `to` (at once if it is Invalid or Overloaded).
    pub fn append(&self, append: Append, to: &Arc<dyn ReplyTo>, call: u64) { unimplemented!() }
    /// Never blocks; exactly one state goes to `to`.
    pub fn query(&self, scope: ScopeName, name: String, args: Vec<u8>, to: &Arc<dyn ReplyTo>, call: u64) { unimplemented!() }
    // All below may block on the disk: call them where blocking is fine.
    pub fn read(&self, scope: &ScopeName, after: Seq, through: Seq, each: &mut dyn FnMut(RecordView<'_>) -> ControlFlow<()>) -> Result<(), ReadError> { unimplemented!() }
    pub fn read_order(&self, after: Position, each: &mut dyn FnMut(&ScopeName, RecordView<'_>) -> ControlFlow<()>) -> Result<(), ReadError> { unimplemented!() }
    /// Changes whenever an event of the scope became durable (the value is the head). Does not block.
    pub fn watch_scope(&self, scope: &ScopeName) -> watch::Receiver<Seq> { unimplemented!() }
    /// Changes whenever any event became durable. Does not block.
    pub fn watch_order(&self) -> watch::Receiver<Position> { unimplemented!() }
    pub fn show_scope(&self, scope: &ScopeName) -> Result<Option<ScopeInfo>, ReadError> { unimplemented!() }
    pub fn list_scopes(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<ScopeInfo>, ReadError> { unimplemented!() }
    /// True if it is new.
    pub fn load(&self, component: &[u8]) -> Result<(RuleInfo, bool), RequestError> { unimplemented!() }
    pub fn validators(&self) -> (Vec<RuleInfo>, Vec<Binding>) { unimplemented!() }
    pub fn validator(&self, which: &ValidatorRef) -> Result<(RuleInfo, Vec<Binding>), RequestError> { unimplemented!() }
    pub fn bind(&self, pattern: ScopePattern, which: &ValidatorRef, config: Option<Vec<u8>>) -> Result<Binding, RequestError> { unimplemented!() }
    pub fn unbind(&self, pattern: &ScopePattern) -> Result<(), RequestError> { unimplemented!() }
    pub fn verify(&self, scope: Option<&ScopeName>, progress: &mut dyn FnMut(u64, u64, u64) -> ControlFlow<()>) -> Result<VerifyReport, ReadError> { unimplemented!() }
    pub fn status(&self) -> StoreStatus { unimplemented!() }
    /// Set once the log failed: nothing can be stored until a restart. The server exits with 74.
    pub fn failed(&self) -> watch::Receiver<Option<String>> { unimplemented!() }
    /// Refuses new appends, decides and commits what waits, snapshots, closes the log. False if the deadline came first.
    pub fn close(&self, deadline: Duration) -> bool { unimplemented!() }
}
