//! How a component is let in: what its loader asks for, and what the store found out about it.

use crate::{Binding, Proposal, RuleInfo, ScopePattern};
use serde::{Deserialize, Serialize};

/// What whoever loads a component asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadOptions {
    /// It may import WASI, and gets a virtual one.
    pub wasi: bool,
    /// Refuse it if a check of its self-test fails. Otherwise the report tells, and it is loaded.
    pub strict: bool,
    /// Only say what would be: nothing is stored.
    pub check_only: bool,
    /// An ed25519 signature of its bytes.
    #[serde(with = "serde_bytes")]
    pub signature: Option<Vec<u8>>,
    /// Scopes whose recorded events the self-test runs over; if nobody says, those which a validator of
    /// the same name judges now.
    pub recorded: Option<ScopePattern>,
    /// The configuration that the self-test starts instances with.
    #[serde(with = "serde_bytes")]
    pub config: Option<Vec<u8>>,
}

/// What a component was given when it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// It has a virtual WASI.
    pub wasi: bool,
    /// The trusted key that signed it.
    pub signed_by: Option<String>,
}

/// What one check of a self-test found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Which check, for example `same-verdict-twice`.
    pub name: String,
    /// What came of it.
    pub result: CheckResult,
    /// What was found, for the author of the component.
    pub detail: String,
    /// The input that shows it, if there is one.
    pub input: Option<Proposal>,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckResult {
    /// Nothing was found.
    Passed,
    /// It could not be tried; the detail says why.
    Skipped,
    /// The component does not keep the contract.
    Failed,
}

impl CheckResult {
    /// One word for people and scripts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            CheckResult::Passed => "passed",
            CheckResult::Skipped => "skipped",
            CheckResult::Failed => "failed",
        }
    }
}

impl Check {
    /// True if the component does not keep the contract.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.result == CheckResult::Failed
    }
}

/// A component that was let in, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// The validator.
    pub info: RuleInfo,
    /// True if it was loaded by this request.
    pub new: bool,
    /// Its bindings.
    pub bindings: Vec<Binding>,
    /// What it was given.
    pub grants: Grants,
    /// What its self-test found; nothing if it was loaded before.
    pub checks: Vec<Check>,
}
