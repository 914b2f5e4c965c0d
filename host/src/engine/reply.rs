//! Where answers go.

use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Answer, Seq};

/// The other end of a call. Each call gets exactly one answer, from any thread.
pub trait ReplyTo: Send + Sync + 'static {
    /// The answer to an append. Must not block: the committer calls it.
    fn answer(&self, call: u64, answer: Answer);
    /// The answer to a query. Must not block: the committer calls it.
    fn state(&self, call: u64, state: Result<State, RequestError>);
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The scope's head that it is the state of.
    pub head: Seq,
    /// The validator's answer, or its complaint.
    pub answer: Result<Vec<u8>, String>,
}
