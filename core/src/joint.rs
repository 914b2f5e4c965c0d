//! One append to several scopes: stored in all of them, or in none.

use crate::{Append, AppendId, Condition, ExpectedHead, Outcome, Proposal, ScopeName};
use serde::{Deserialize, Serialize};

/// An append to several scopes. All their validators accept, or nothing is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JointAppend {
    /// Under which key it is decided once. A repetition must name the same scopes.
    pub id: AppendId,
    /// True if this id may have been sent before; see [`Append::repeated`].
    pub repeated: bool,
    /// True to be told the outcome without storing anything.
    pub dry_run: bool,
    /// What goes where; each scope once.
    pub parts: Vec<Part>,
}

/// The part of one scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Where to.
    pub scope: ScopeName,
    /// Refuse unless the scope's head is this.
    pub expected_head: ExpectedHead,
    /// Refuse if something happened to these keys.
    pub condition: Option<Condition>,
    /// The proposed events, in order.
    pub proposals: Vec<Proposal>,
}

/// The answer to one joint append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JointAnswer {
    /// What was decided.
    pub outcome: JointOutcome,
    /// True if the id had been decided before; the outcome is then that first one.
    pub duplicate: bool,
}

/// What became of a joint append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum JointOutcome {
    /// All accepted, in one commit: what each scope did, in the order of the parts. Each is
    /// `Committed` or `Noop`.
    Committed(Vec<PartOutcome>),
    /// Nothing was stored, or for `Unknown` perhaps all: the first scope that did not accept, in the
    /// order of the names, and what it said.
    Refused(PartOutcome),
}

/// What one scope said to its part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartOutcome {
    /// The scope.
    pub scope: ScopeName,
    /// Its outcome.
    pub outcome: Outcome,
}

impl Part {
    /// A part that insists on nothing.
    #[must_use]
    pub fn new(scope: ScopeName, proposals: Vec<Proposal>) -> Self {
        Part { scope, expected_head: ExpectedHead::Any, condition: None, proposals }
    }

    /// The part as an append of its own, under the id of the whole.
    #[must_use]
    pub fn into_append(self, id: AppendId, repeated: bool, dry_run: bool) -> Append {
        let Part { scope, expected_head, condition, proposals } = self;
        Append { repeated, expected_head, condition, dry_run, ..Append::new(scope, id, proposals) }
    }
}
