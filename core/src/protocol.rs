//! The native protocol: what travels in the frames.
//!
//! A client numbers its calls; the server answers each with the same number, in any order. Most
//! calls get one reply. `Read`, `ReadOrder`, `ResumeReplay`, `History`, `Verify`, `VerifyLogic`,
//! `Backtest` and `Bundle` get several, the last of which is the result, `Done` or an error;
//! subscriptions go on until they are cancelled or cut off.
//!
//! Enums grow at the end only: the number of a variant is its meaning on the wire.

use crate::{
    Answer, Append, BacktestReport, Binding, Digest, Filter, JointAnswer, JointAppend, Limits,
    LoadOptions, LogicReport, OriginatorVerdict, Position, ProofProgress, Proposal, Question,
    Rejection, RejectionCount, RejectionsEnd, RuleInfo, ScopeName, ScopePattern, Seq,
    SnapshotReply, SnapshotRequest, UpgradeReply, UpgradeRequest, ValidatorRef,
};
use serde::{Deserialize, Serialize};

pub use crate::admission::Admitted;
pub use crate::bundle::BundleOf;
pub use crate::reading::{At, Ended, Entry, Replay, decode_reply};
pub use crate::scope_info::{Origin, ScopeInfo};
pub use crate::status::{RequestError, Step, StoreId, StoreStatus, VerifyReport};

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
        /// At most so many that pass the filter.
        limit: u64,
        /// The last first.
        backwards: bool,
        /// Which events.
        filter: Filter,
        /// Whether what effects touch comes again.
        replay: Replay,
    },
    /// Events of all scopes in their common order. Replies: `Events`, then `Done`.
    ReadOrder {
        /// Only events after this position.
        after: Position,
        /// Only events up to this position, included.
        through: Position,
        /// At most so many that pass the filter.
        limit: u64,
        /// The last first.
        backwards: bool,
        /// Which events.
        filter: Filter,
    },
    /// Events of a scope: those after `after`, then each new one. Replies: `Events`, until `Ended`.
    Subscribe {
        /// The scope.
        scope: ScopeName,
        /// Only events after this one.
        after: Seq,
        /// Which events.
        filter: Filter,
        /// Whether what effects touch comes again.
        replay: Replay,
    },
    /// Events of all scopes in their common order, then each new one. Replies: `Events`, until
    /// `Ended`.
    SubscribeOrder {
        /// Only events after this position.
        after: Position,
        /// Which events.
        filter: Filter,
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
        /// Only scopes whose loop is in memory.
        live: bool,
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
        /// The state at which moment.
        at: At,
    },
    /// Checks chains, numbering and the order over all scopes. Replies: `Progress`, then
    /// `Verified`.
    Verify {
        /// One scope, or all.
        scope: Option<ScopeName>,
    },
    /// About the store. Reply: `Status`.
    Status,
    /// Decide and store in several scopes. Reply: `Joint`.
    AppendJoint(JointAppend),
    /// The answer to a `Question`. Reply: `Done`, or an error if that question is not open on this
    /// connection: the answer came late or twice, or the question went to somebody else.
    Judge {
        /// [`Question::correlation`].
        correlation: u64,
        /// The verdict.
        verdict: OriginatorVerdict,
    },
    /// Asks the state of a scope's validator after each of some events (Eventsrc S21). Replies:
    /// `State` for each event, in order, then `Done`.
    History {
        /// The scope.
        scope: ScopeName,
        /// What the validator calls this question.
        name: String,
        /// Its arguments.
        #[serde(with = "serde_bytes")]
        args: Vec<u8>,
        /// Only the states after events behind this one.
        after: Seq,
        /// Only up to the state after this event, included.
        through: Seq,
        /// At most so many states.
        limit: u64,
    },
    /// Judges batches one after the other on a copy of the state of the last durable event, as if each
    /// accepted one had been stored. Nothing is. A fault is the last step. Reply: `WhatIf`.
    WhatIf {
        /// The scope.
        scope: ScopeName,
        /// What to append, in order.
        batches: Vec<Vec<Proposal>>,
        /// A question about the state after each: its name and its arguments.
        query: Option<(String, serde_bytes::ByteBuf)>,
    },
    /// A page of the journal of rejections, oldest first. Reply: `Rejections`; the next page is asked
    /// for with the number of the last entry, and an empty one is the end.
    ReadRejections {
        /// Of one scope, or of all.
        scope: Option<ScopeName>,
        /// Only entries after this number.
        after: u64,
        /// At most so many.
        limit: u64,
    },
    /// How often what was refused, among the entries that are kept. Reply: `RejectionCounts`.
    CountRejections {
        /// Of one scope, or of all.
        scope: Option<ScopeName>,
    },
    /// Closes a scope for appends until it is unsealed. Reply: `Done`.
    SealScope {
        /// The scope.
        scope: ScopeName,
        /// Why, for people.
        why: String,
    },
    /// Opens a sealed scope again. Reply: `Done`.
    UnsealScope {
        /// The scope.
        scope: ScopeName,
    },
    /// Deletes the events of a scope. Its numbering goes on where it was (coherence C28). Reply:
    /// `Deleted`.
    DeleteScope {
        /// The scope.
        scope: ScopeName,
        /// Refuse unless this is its last event.
        head: Option<Seq>,
    },
    /// A part of an exported scope: records as they were stored, in order from the first. The parts of
    /// one scope come on one connection; the last has `last` set, and only then anything is stored,
    /// if the whole chain is intact and the scope is empty. An empty part without it begins anew.
    /// Reply: `Done`, and `Scope` after the last.
    RestoreScope {
        /// The scope; its name is where the chain begins, so it cannot be another.
        scope: ScopeName,
        /// The next records.
        records: Vec<serde_bytes::ByteBuf>,
        /// True if these are the last.
        last: bool,
        /// With the last: where the events come from, if the scope had another name there (Eventsrc
        /// S29). The records are those of the new chain.
        from: Option<Origin>,
    },
    /// Goes on with a `Read` or a `Subscribe` that replays, where it was cut off: what `Replaying` said
    /// of it, and the last event that came. Replies: as theirs.
    ResumeReplay {
        /// The scope.
        scope: ScopeName,
        /// Events up to this one are replayed if touched.
        after: Seq,
        /// What touches them lies between `after` and this one, included.
        through: Seq,
        /// Only what comes after this event of the replay.
        past: Seq,
        /// At most so many that pass the filter; nothing for a subscription.
        limit: Option<u64>,
        /// Which events.
        filter: Filter,
        /// Whether the effects come, too.
        replay: Replay,
    },
    /// Judges the appends of a scope, or of all scopes, again, each by the rule recorded for it.
    /// Replies: `ProofProgress`, then `Logic`.
    VerifyLogic {
        /// One scope, or all.
        scope: Option<ScopeName>,
        /// Of all scopes those whose names come after this one; empty for all.
        after: String,
    },
    /// Entries of the journal of rejections after a number, then each new one. Replies: `Rejections`,
    /// until `Ended`.
    SubscribeRejections {
        /// Of one scope, or of all.
        scope: Option<ScopeName>,
        /// Only entries after this number.
        after: u64,
    },
    /// Where the journal of rejections ends. Reply: `RejectionsEnd`.
    LocateRejections {
        /// Of one scope, or of all.
        scope: Option<ScopeName>,
        /// As many of the last entries are wanted.
        last: u64,
    },
    /// A part of a component for the next `Backtest` of this connection; parts as of `LoadValidator`.
    /// It is checked and not loaded. Reply: `Done`, and `Validator` after the last.
    OfferValidator {
        /// The next bytes.
        #[serde(with = "serde_bytes")]
        part: Vec<u8>,
        /// True if these are the last.
        last: bool,
    },
    /// Puts the appends and the recorded rejections of scopes before a validator, on the states that it
    /// folds from the recorded events. Replies: `ProofProgress`, then `Backtested`.
    Backtest {
        /// A loaded validator; nothing for the one that was offered.
        candidate: Option<ValidatorRef>,
        /// Only what this validator decided; nothing for whatever was decided.
        against: Option<ValidatorRef>,
        /// Which scopes.
        scopes: ScopePattern,
        /// Only those whose names come after this one; empty for all.
        after: String,
        /// The candidate's configuration; nothing for the one in force at each event.
        #[serde(with = "serde_bytes")]
        config: Option<Vec<u8>>,
    },
    /// All that a verdict depended on, as one file; see [`crate::bundle`]. Replies: `BundlePart`, one
    /// behind the other, then `Done`.
    Bundle {
        /// The scope.
        scope: ScopeName,
        /// Which verdict.
        of: BundleOf,
    },
    /// A part of a component, as with `LoadValidator`, but with a say in how it is let in, and with a
    /// report. Reply: `Done`, and `Admitted` after the last.
    AdmitValidator {
        /// The next bytes.
        #[serde(with = "serde_bytes")]
        part: Vec<u8>,
        /// With the last part: what is asked for.
        last: Option<LoadOptions>,
    },
    /// What a validator was given when it was loaded. Reply: `Admitted`, without checks.
    ShowAdmission {
        /// Which.
        validator: ValidatorRef,
    },
    /// What events of a scope are today, as its present rules say. Reply: `Upcast`.
    Upcast {
        /// The scope.
        scope: ScopeName,
        /// Which events, at most a page.
        seqs: Vec<Seq>,
    },
    /// Changes rules while they are in use. Reply: `Upgrade`.
    Upgrade(UpgradeRequest),
    /// Takes or proves snapshots. Reply: `Snapshots`.
    Snapshots(SnapshotRequest),
    /// Goes on with a `VerifyLogic` of one scope that was ended early. Events up to `after` are folded
    /// and not judged again. Replies: as theirs.
    ResumeLogic {
        /// The scope.
        scope: ScopeName,
        /// The last [`ProofProgress::at`] of the work before.
        after: Seq,
    },
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
    /// To `AppendJoint`.
    Joint(JointAnswer),
    /// Asks the client to judge its own append, under the number of that call; see `Judge`.
    Question(Question),
    /// To `WhatIf`: a step for each batch, in order; none after a fault.
    WhatIf(Vec<Step>),
    /// A page of the journal of rejections.
    Rejections(Vec<Rejection>),
    /// To `CountRejections`, the most frequent first.
    RejectionCounts(Vec<RejectionCount>),
    /// To `DeleteScope`: how many events are gone.
    Deleted {
        /// Events deleted.
        events: u64,
    },
    /// To reads and subscriptions with a filter: so far was looked, although nothing was found since
    /// the last entry. Whoever has to ask again may begin here; going backwards, before here.
    Scanned {
        /// In the scope; 0 for the order over all scopes.
        seq: Seq,
        /// In the order over all scopes; 0 for a scope.
        position: Position,
    },
    /// To reads and subscriptions that replay, before the entries of each round: those up to `after`
    /// that what lies between touches, then those between, all in their order.
    Replaying {
        /// Entries up to this one are replayed.
        after: Seq,
        /// The round ends here, and knows of nothing behind it.
        through: Seq,
    },
    /// To `Read` and `Subscribe`, before events: those up to this one were deleted, so the next one
    /// need not follow what the reader had.
    Skipped {
        /// The last deleted event.
        through: Seq,
        /// The chain's hash at it.
        hash: Digest,
    },
    /// How far `VerifyLogic` or `Backtest` is.
    ProofProgress(ProofProgress),
    /// The end of `VerifyLogic`.
    Logic(Box<LogicReport>),
    /// To `LocateRejections`.
    RejectionsEnd(RejectionsEnd),
    /// The end of `Backtest`.
    Backtested(Box<BacktestReport>),
    /// A part of a bundle.
    BundlePart(serde_bytes::ByteBuf),
    /// To `ShowAdmission` and to the last part of `AdmitValidator`.
    Admitted(Box<Admitted>),
    /// To `Upcast`: for each event what it is today, or nothing if it is as it was; as many as a page
    /// holds. The rest must be asked for again.
    Upcast(Vec<Option<Proposal>>),
    /// To `Upgrade`.
    Upgrade(UpgradeReply),
    /// To `Snapshots`.
    Snapshots(SnapshotReply),
}
