//! What the checks found so far: of each its first failure.

use atomic_store_core::{Check, CheckResult, Proposal};

/// An instance starts with the configuration that it gets.
pub const START: &str = "starts";
/// Two instances that were given the same answer the same.
pub const SAME_VERDICT: &str = "same-verdict-twice";
/// `validate` changes nothing.
pub const VALIDATE: &str = "validate-keeps-the-state";
/// `query` changes nothing, and answers.
pub const QUERY: &str = "query-keeps-the-state";
/// Whatever is proposed gets a verdict: no trap, no endless loop.
pub const VERDICT: &str = "a-verdict-on-anything";
/// What was accepted can be folded.
pub const FOLD: &str = "folds-what-it-accepts";
/// A fold of all events, and a snapshot and the events behind it, come to the same state.
pub const SNAPSHOT: &str = "snapshot-and-tail";
/// `restore` says no to what is no snapshot.
pub const RESTORE: &str = "restore-refuses-garbage";
/// One call that judges and folds comes to what two calls come to.
pub const ADMIT: &str = "one-call-like-two";
/// A verdict does not take more and more as the history grows.
pub const FUEL: &str = "fuel-as-history-grows";

/// All checks, in the order of a report.
pub const NAMES: [&str; 10] =
    [START, SAME_VERDICT, VALIDATE, QUERY, VERDICT, FOLD, ADMIT, SNAPSHOT, RESTORE, FUEL];

/// The findings of one component.
#[derive(Default)]
pub(super) struct Findings {
    checks: Vec<Check>,
}

impl Findings {
    /// A failure, with the input that shows it. The first one of a check counts.
    pub(super) fn fail(&mut self, name: &str, detail: String, input: Option<&Proposal>) {
        self.note(name, CheckResult::Failed, detail, input.cloned());
    }

    /// It was looked at, and so far nothing was found.
    pub(super) fn pass(&mut self, name: &str, detail: String) {
        self.note(name, CheckResult::Passed, detail, None);
    }

    /// It could not be tried.
    pub(super) fn skip(&mut self, name: &str, why: impl Into<String>) {
        self.note(name, CheckResult::Skipped, why.into(), None);
    }

    /// A failure counts more than a pass, and a pass more than what was not tried.
    fn note(&mut self, name: &str, result: CheckResult, detail: String, input: Option<Proposal>) {
        let rank = |result: CheckResult| match result {
            CheckResult::Skipped => 0,
            CheckResult::Passed => 1,
            CheckResult::Failed => 2,
        };
        let check = Check { name: name.to_owned(), result, detail, input };
        match self.checks.iter_mut().find(|known| known.name == name) {
            Some(known) if rank(known.result) < rank(result) => *known = check,
            Some(_) => {}
            None => self.checks.push(check),
        }
    }

    /// All checks in their order, those that were never reached as well.
    pub(super) fn into_checks(mut self) -> Vec<Check> {
        for name in NAMES {
            self.skip(name, "nothing got that far");
        }
        self.checks.sort_by_key(|check| NAMES.iter().position(|name| *name == check.name));
        self.checks
    }
}
