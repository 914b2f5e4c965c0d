//! The native protocol: what travels in the frames.
//!
//! A client numbers its calls; the server answers each with the same number, in any order. Most
//! calls get one reply. `Read`, `ReadOrder` and `Verify` get several, the last of which is `Done`
//! or an error; `Subscribe` goes on until it is cancelled or cut off.
//!
//! Enums grow at the end only: the number of a variant is its meaning on the wire.

use crate::{Answer, Append, Binding, Digest, Limits, Position, RuleInfo, ScopeName, ScopePattern};
use crate::{Seq, ValidatorRef};
use serde::{Deserialize, Serialize};

/// A frame from client to server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFrame {
    /// The client's number for this call; unique among its calls in flight.
    pub call: u64,
    /// What it asks.
    pub request: Request,
}

/// A frame from server to client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFrame {
    /// The call it answers; 0 for [`Reply::Welcome`] and for the goodbye of a session.
    pub call: u64,
    /// The answer.
    pub reply: Reply,
}

/// What a client may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Request {
    /// Decide and store. Reply: `Answer`.
    Append(Append),
    /// Events of a scope. Replies: `Events`, then `Done`. An unknown scope is empty.
    Read {
        /// The scope.
        scope: ScopeName,
        /// Only events after this one; 0 for the first.
        after: Seq,
        /// Only events up to this one, included.
        through: Seq,
        /// At most so many.
        limit: u64,
    },
    /// Events of all scopes in their common order. Replies: `Events`, then `Done`.
    ReadOrder {
        /// Only events after this position.
        after: Position,
        /// At most so many.
        limit: u64,
    },
    /// Events of a scope: those after `after`, then each new one. Replies: `Events`, until `Ended`.
    Subscribe {
        /// The scope.
        scope: ScopeName,
        /// Only events after this one.
        after: Seq,
    },
    /// Events of all scopes in their common order, then each new one. Replies: `Events`, until
    /// `Ended`.
    SubscribeOrder {
        /// Only events after this position.
        after: Position,
    },
    /// Ends a subscription, a read or a verification. The call that it ends gets no more replies.
    /// Reply: `Done`.
    Cancel {
        /// The number of the call to end.
        call: u64,
    },
    /// One scope. Reply: `Scope`.
    ShowScope {
        /// The scope.
        scope: ScopeName,
    },
    /// Stored scopes by name. Reply: `Scopes`.
    ListScopes {
        /// Only names that start so.
        prefix: String,
        /// Only names after this one; empty for the first page.
        after: String,
        /// At most so many.
        limit: u64,
    },
    /// A part of a component. The parts of one upload come in order, on one connection; the last
    /// has `last` set. An empty part without it begins anew. Reply: `Done`, and `Validator` after the
    /// last.
    LoadValidator {
        /// The next bytes.
        #[serde(with = "serde_bytes")]
        part: Vec<u8>,
        /// True if these are the last.
        last: bool,
    },
    /// All loaded validators. Reply: `Validators`.
    ListValidators,
    /// One validator. Reply: `Validator`.
    ShowValidator {
        /// Which.
        validator: ValidatorRef,
    },
    /// Lets a validator judge scopes from their next append on. Reply: `Bound`.
    Bind {
        /// Which scopes.
        pattern: ScopePattern,
        /// Which validator.
        validator: ValidatorRef,
        /// What its `init` gets.
        #[serde(with = "serde_bytes")]
        config: Option<Vec<u8>>,
    },
    /// Removes a binding. Reply: `Done`.
    Unbind {
        /// The binding's pattern, exactly.
        pattern: ScopePattern,
    },
    /// Asks the state of a scope's validator. Reply: `State`.
    Query {
        /// The scope.
        scope: ScopeName,
        /// What the validator calls this question.
        name: String,
        /// Its arguments.
        #[serde(with = "serde_bytes")]
        args: Vec<u8>,
    },
    /// Checks chains, numbering and the order over all scopes. Replies: `Progress`, then
    /// `Verified`.
    Verify {
        /// One scope, or all.
        scope: Option<ScopeName>,
    },
    /// About the store. Reply: `Status`.
    Status,
}

/// What a server may answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reply {
    /// The first frame of a connection.
    Welcome {
        /// Random identity of the store; a client that meets another one must not resume.
        store: StoreId,
        /// What the store allows.
        limits: Box<Limits>,
    },
    /// To `Append`.
    Answer(Answer),
    /// A page of events.
    Events(Vec<Entry>),
    /// The end of a page-wise answer, or plain success.
    Done,
    /// The end of a subscription.
    Ended(Ended),
    /// To `ShowScope`; nothing if the scope has never been written.
    Scope(Option<ScopeInfo>),
    /// To `ListScopes`.
    Scopes(Vec<ScopeInfo>),
    /// To `ShowValidator` and to the last part of `LoadValidator`.
    Validator {
        /// The validator.
        info: RuleInfo,
        /// False if it was there already.
        new: bool,
        /// Its bindings.
        bindings: Vec<Binding>,
    },
    /// To `ListValidators`.
    Validators {
        /// All that are loaded.
        loaded: Vec<RuleInfo>,
        /// All bindings.
        bindings: Vec<Binding>,
    },
    /// To `Bind`.
    Bound(Binding),
    /// To `Query`.
    State {
        /// The head it is the state of.
        head: Seq,
        /// The validator's answer, or its complaint.
        answer: Result<serde_bytes::ByteBuf, String>,
    },
    /// How far a verification is.
    Progress {
        /// Scopes checked.
        scopes: u64,
        /// Scopes to check.
        of_scopes: u64,
        /// Events checked.
        events: u64,
    },
    /// The end of a verification.
    Verified(VerifyReport),
    /// To `Status`.
    Status(Box<StoreStatus>),
    /// The request was refused.
    Error(RequestError),
}

/// Identity of a store, random, made when its directory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoreId(pub [u8; 16]);

impl std::fmt::Display for StoreId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One event on its way to a reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The scope, if the reader asked for the order over all scopes.
    pub scope: Option<ScopeName>,
    /// The record as stored; see [`crate::record`].
    #[serde(with = "serde_bytes")]
    pub record: Vec<u8>,
}

/// Why a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Ended {
    /// The client did not read fast enough. Subscribe again after the last event received: this one.
    SlowReader {
        /// The last event that was sent, in the scope; 0 for the order over all scopes.
        resume_after: Seq,
        /// The last event that was sent, in the order over all scopes.
        resume_position: Position,
    },
    /// The store is shutting down.
    Shutdown,
    /// The log could not be read further.
    Damaged {
        /// Scope, event and what was found.
        what: String,
    },
}

/// What is known about a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeInfo {
    /// Its name.
    pub name: ScopeName,
    /// Its last event; 0 if it has none.
    pub head: Seq,
    /// The chain's hash at the head.
    pub hash: Digest,
    /// The validator that judges it now, if any.
    pub binding: Option<Binding>,
    /// True if its loop is in memory.
    pub live: bool,
    /// Why it takes no appends, if so.
    pub sealed: Option<String>,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Scopes checked.
    pub scopes: u64,
    /// Events checked.
    pub events: u64,
    /// Bytes of the events checked.
    pub bytes: u64,
    /// What is wrong, at most 100 entries; nothing if the store is intact.
    pub damage: Vec<String>,
}

/// About a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Its identity.
    pub store: StoreId,
    /// The version of the program.
    pub version: String,
    /// The last position.
    pub position: Position,
    /// Group commits since the store was made.
    pub commits: u64,
    /// Stored scopes.
    pub scopes: u64,
    /// Scopes whose loop is in memory.
    pub live: u64,
    /// Appends in flight.
    pub in_flight: u64,
    /// Why the store takes no appends, if so.
    pub read_only: Option<String>,
}

/// Why a request was refused. The message says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A rule or a cap is broken.
    #[error("{field}: {why}")]
    Invalid {
        /// Which part of the request.
        field: String,
        /// What is wrong.
        why: String,
    },
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The component cannot be admitted.
    #[error("the component was not loaded: {0}")]
    NotAdmitted(String),
    /// Something is full; try again later.
    #[error("too much at once: {0}")]
    Overloaded(String),
    /// Damage was found on the way.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The storage, or the store as a whole, failed.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The session ends: the frame could not be understood, or the server is shutting down.
    #[error("the session ends: {0}")]
    Goodbye(String),
}
