//! The validators that come with the store: `accept-all`, for scopes without rules, and `originator`,
//! for scopes whose clients judge their own appends.

use crate::validator::{Acceptance, Admission, Rules, Start, StartError, Validator, Verdict};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{
    Description, Digest, Fault, FaultKind, Proposal, RuleInfo, Seq, ValidatorName,
};

/// Name of the built-in validator that accepts whatever is within the limits.
pub const ACCEPT_ALL: &str = "accept-all";

/// Identity of `accept-all`: a hash of its name and version, as there are no component bytes.
#[must_use]
pub fn accept_all_digest() -> Digest {
    Digest::of(b"atomic-store built-in validator accept-all 1.0.0")
}

/// Accepts every proposal as it is.
pub(crate) struct AcceptAll {
    description: Description,
}

impl AcceptAll {
    pub(crate) fn new() -> Option<Self> {
        let name = ValidatorName::new(ACCEPT_ALL).ok()?;
        let version = "1.0.0".to_owned();
        Some(AcceptAll { description: Description { name, version, kinds: Vec::new() } })
    }

    pub(crate) fn info(&self) -> RuleInfo {
        let description = self.description.clone();
        RuleInfo { digest: accept_all_digest(), description, bytes: 0, built_in: true }
    }
}

impl Rules for AcceptAll {
    fn digest(&self) -> Digest {
        accept_all_digest()
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn folds(&self) -> bool {
        false
    }

    fn start(&self, _: Start<'_>) -> Result<Box<dyn Validator>, StartError> {
        Ok(Box::new(Accepting))
    }
}

struct Accepting;

impl Validator for Accepting {
    fn apply(&mut self, _: &[BodyIn<'_>]) -> Result<(), Fault> {
        Ok(())
    }

    fn validate(&mut self, proposals: &[Proposal], _: u64) -> Result<Verdict, Fault> {
        Ok(Verdict::Accepted(vec![Acceptance::default(); proposals.len()]))
    }

    fn admit(&mut self, _: &Proposal, _: Seq, _: u64) -> Result<Option<Admission>, Fault> {
        Ok(Some(Admission::Folded))
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        Ok(None)
    }

    fn query(&mut self, name: &str, _: &[u8]) -> Result<Result<Vec<u8>, String>, Fault> {
        Ok(Err(format!("accept-all answers no queries, so not {name:?} either")))
    }
}

/// Name of the built-in validator that asks the client that submits (Atomic Store A24).
pub const ORIGINATOR: &str = "originator";

/// Identity of `originator`: a hash of its name and version, as there are no component bytes.
#[must_use]
pub fn originator_digest() -> Digest {
    Digest::of(b"atomic-store built-in validator originator 1.0.0")
}

/// Lets the sender of an append judge it; see `originator.rs`.
pub(crate) struct Originator {
    description: Description,
}

impl Originator {
    pub(crate) fn new() -> Option<Self> {
        let name = ValidatorName::new(ORIGINATOR).ok()?;
        let version = "1.0.0".to_owned();
        Some(Originator { description: Description { name, version, kinds: Vec::new() } })
    }

    pub(crate) fn info(&self) -> RuleInfo {
        let description = self.description.clone();
        RuleInfo { digest: originator_digest(), description, bytes: 0, built_in: true }
    }
}

impl Rules for Originator {
    fn digest(&self) -> Digest {
        originator_digest()
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn folds(&self) -> bool {
        false
    }

    fn asks_originator(&self) -> bool {
        true
    }

    fn start(&self, _: Start<'_>) -> Result<Box<dyn Validator>, StartError> {
        Ok(Box::new(Asking))
    }
}

/// Stands where other scopes have an instance; the loop asks the sender instead.
struct Asking;

impl Validator for Asking {
    fn apply(&mut self, _: &[BodyIn<'_>]) -> Result<(), Fault> {
        Ok(())
    }

    fn validate(&mut self, _: &[Proposal], _: u64) -> Result<Verdict, Fault> {
        let detail = "only the client that submits can judge here".to_owned();
        Err(Fault { kind: FaultKind::Trap, detail })
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        Ok(None)
    }

    fn query(&mut self, name: &str, _: &[u8]) -> Result<Result<Vec<u8>, String>, Fault> {
        Ok(Err(format!("originator answers no queries, so not {name:?} either; read the events")))
    }
}
