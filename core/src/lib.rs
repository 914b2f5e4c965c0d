//! The domain of Atomic Store, and nothing else: ids, events, appends, outcomes, limits, the hash
//! chain, and the exact codecs for disk and wire. Pure: no clock, no file, no thread, no socket.
//!
//! Everything here is shared by the host, the client and the tests. The vocabulary is defined
//! by these types: one word, one meaning.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod admission;
mod append;
pub mod bundle;
pub mod chain;
pub mod codec;
mod condition;
pub mod contents;
mod counted;
mod digest;
mod event;
mod filter;
pub mod frame;
mod invalid;
mod joint;
mod limits;
mod limits_checks;
mod originator;
mod outcome;
mod page_token;
mod proof;
pub mod protocol;
mod reading;
pub mod record;
mod rejection;
mod rule;
mod scope;
mod scope_info;
mod seq;
mod snapshots;
mod status;
mod upgrade;

pub use admission::{Check, CheckResult, Grants, LoadOptions};
pub use append::{Append, AppendId, AppendIdError, ExpectedHead};
pub use condition::{Condition, Conflict};
pub use counted::{counted, grouped};
pub use digest::{Digest, HexError};
pub use event::{ContentType, Event, Key, Proposal};
pub use filter::{Filter, Span};
pub use invalid::Invalid;
pub use joint::{JointAnswer, JointAppend, JointOutcome, Part, PartOutcome};
pub use limits::Limits;
pub use originator::{OriginatorVerdict, Question};
pub use outcome::{Answer, Committed, Fault, FaultKind, Outcome, Overload, Place, Reason, Refusal};
pub use page_token::{PagePlace, PageToken, PageTokenError};
pub use proof::{
    BacktestReport, Divergence, LogicReport, ProofProgress, Said, Unshown, UnshownWhat,
};
pub use rejection::{Judge, Rejection, RejectionCount, RejectionsEnd};
pub use rule::{Binding, Description, RuleInfo, ValidatorName, ValidatorRef};
pub use scope::{NameError, SYSTEM_SCOPE, ScopeName, ScopePattern};
pub use seq::{Position, ScopeId, Seq};
pub use snapshots::{DroppedSnapshot, Scrubbed, SnapshotInfo, SnapshotReply, SnapshotRequest};
pub use upgrade::{
    Gate, Ruled, Share, Trial, TrialDivergence, TrialReport, UpgradeReply, UpgradeRequest,
};
