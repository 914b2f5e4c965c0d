//! Candidates of bindings, and what was bound before: a part of the registry's fold of `$system`.

use super::system::BoundBy;
use atomic_store_core::{Binding, ScopeName, ScopePattern, Seq, Trial};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bindings of a pattern that are remembered for the way back.
const BEFORE_MAX: usize = 16;

/// Trials by pattern, at most one each, and former bindings.
#[derive(Default)]
pub(super) struct Trials {
    running: BTreeMap<ScopePattern, (Trial, Tap)>,
    /// The last one is the one to go back to.
    before: BTreeMap<ScopePattern, Vec<Binding>>,
}

/// Where the loops of a binding's scopes leave what they decided for its candidate.
#[derive(Clone)]
pub(crate) struct Tap {
    /// The event of `$system` that began the trial.
    pub(crate) trial: Seq,
    pub(crate) seen: Arc<Seen>,
}

/// What the loops saw since the store was opened.
#[derive(Default)]
pub(crate) struct Seen {
    /// Appends that were left for the candidate.
    pub(crate) left: AtomicU64,
    /// Appends that could not be left.
    pub(crate) missed: AtomicU64,
    /// Appends that were to store nothing; they are not compared.
    pub(crate) dry_runs: AtomicU64,
    /// Appends about which the binding's rule gave no verdict to compare with.
    pub(crate) unjudged: AtomicU64,
}

/// Appends of which each is judged by a call of its own, so that its fuel is known.
const MEASURED_FIRST: u64 = 1_000;
/// Behind these, of how many one is: a call for the verdict and one for the fold cost the loop more than
/// one for both.
const MEASURED_OF: u64 = 64;

impl Tap {
    /// True if the fuel of the next verdict is to be known.
    pub(crate) fn measures(&self) -> bool {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let seen = count(&self.seen.left) + count(&self.seen.missed);
        seen < MEASURED_FIRST || seen.is_multiple_of(MEASURED_OF)
    }
}

impl Trials {
    pub(super) fn start(&mut self, trial: Trial) {
        let tap = Tap { trial: trial.candidate.seq, seen: Arc::default() };
        self.running.insert(trial.candidate.pattern.clone(), (trial, tap));
    }

    pub(super) fn end(&mut self, pattern: &ScopePattern) {
        self.running.remove(pattern);
    }

    pub(super) fn get(&self, pattern: &ScopePattern) -> Option<&(Trial, Tap)> {
        self.running.get(pattern)
    }

    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = &(Trial, Tap)> {
        self.running.values()
    }

    /// A pattern's binding was made or removed. Whatever was on trial against the former one has
    /// nothing to be held against any more.
    pub(super) fn bound(
        &mut self,
        pattern: &ScopePattern,
        former: Option<Binding>,
        by: Option<&BoundBy>,
    ) {
        self.running.remove(pattern);
        let before = self.before.entry(pattern.clone()).or_default();
        if by == Some(&BoundBy::Rollback) {
            // Going back twice goes back further, and not to where one came from.
            before.pop();
        } else if let Some(former) = former {
            if before.len() == BEFORE_MAX {
                before.remove(0);
            }
            before.push(former);
        }
        if before.is_empty() {
            self.before.remove(pattern);
        }
    }

    pub(super) fn bound_before(&self, pattern: &ScopePattern) -> Option<&Binding> {
        self.before.get(pattern)?.last()
    }

    /// The candidate that judges a scope in place of the binding of this pattern.
    pub(super) fn judge(&self, pattern: &ScopePattern, scope: &ScopeName) -> Option<&Binding> {
        let (trial, _) = self.running.get(pattern)?;
        trial.share.is_some_and(|share| share.has(scope)).then_some(&trial.candidate)
    }
}
