//! New rules for scopes that are in use: bindings, trials, promotion, the way back.
//!
//! Appends of a scope that gets other rules wait while its events are folded anew. So that this does
//! not take long, scopes with many events are folded beside their loops before the binding is made,
//! and the loops begin with the snapshot that comes of it.

use super::handle::Engine;
use super::past::Fork;
use super::registry::Ruling;
use super::system::{BoundBy, ConfigText, SystemEvent};
use crate::log::{ScopeRow, Snapshot, Unit};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{
    Binding, Gate, ScopeName, ScopePattern, Seq, Share, Trial, TrialReport, UpgradeReply,
    UpgradeRequest, ValidatorRef,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events that a loop may fold itself when its scope gets other rules: a few milliseconds.
const FOLDED_IN_PLACE: u64 = 2_000;
/// How long folding beside the loops may take in all. What is left folds at its next append.
const PREPARE_FOR: Duration = Duration::from_secs(20);
/// Scopes looked at in one go.
const PAGE: usize = 1_000;

impl Engine {
    /// Answers a request about rules in use. May block for as long as events are folded.
    ///
    /// # Errors
    /// [`RequestError`] says what to do.
    pub fn upgrade(&self, request: UpgradeRequest) -> Result<UpgradeReply, RequestError> {
        Ok(match request {
            UpgradeRequest::Start { pattern, validator, config, share } => {
                UpgradeReply::Trial(self.start_trial(pattern, &validator, config, share)?)
            }
            UpgradeRequest::End { pattern } => {
                self.end_trial(&pattern)?;
                UpgradeReply::Ended
            }
            UpgradeRequest::List => UpgradeReply::Trials(self.trials()),
            UpgradeRequest::Promote { pattern, gate, force } => {
                UpgradeReply::Bound(self.promote(&pattern, gate, force)?)
            }
            UpgradeRequest::Rollback { pattern } => UpgradeReply::Bound(self.rollback(&pattern)?),
            UpgradeRequest::Ruled { scope } => UpgradeReply::Ruled(self.ruled(&scope)?),
            _ => return Err(invalid("request", "this server does not know it")),
        })
    }

    /// Tries a candidate on the scopes of a binding's pattern: with a share it judges these of them,
    /// otherwise it runs beside and decides nothing. Blocks until it is durable.
    ///
    /// # Errors
    /// `NotFound` if there is no such binding or validator, `Invalid` if a candidate is on trial
    /// already, or this one cannot be or is what is bound.
    pub fn start_trial(
        &self,
        pattern: ScopePattern,
        which: &ValidatorRef,
        config: Option<Vec<u8>>,
        share: Option<Share>,
    ) -> Result<Trial, RequestError> {
        let shared = &self.shared;
        shared.limits.check_config(config.as_deref()).map_err(super::admin::invalid)?;
        self.check_writable()?;
        let info = shared.registry.find(which)?;
        let Some(bound) = shared.registry.bound(&pattern) else {
            return Err(RequestError::NotFound(format!(
                "nothing is bound to {pattern}; a candidate is tried against a binding: atomic-store validator bind"
            )));
        };
        // Beside the binding it is compared under the same configuration; in its place it is bound like any.
        let config = if share.is_none() { config.or_else(|| bound.config.clone()) } else { config };
        if shared.registry.trial(&pattern).is_some() {
            return Err(invalid(
                "pattern",
                "a candidate is on trial there already; see: atomic-store validator shadow report",
            ));
        }
        if bound.validator == info.digest && bound.config == config {
            let why = format!(
                "{} judges {pattern} with this configuration already, so there is nothing to find out; give \
                 another validator, or another --config",
                info.digest.short()
            );
            return Err(invalid("validator", why));
        }
        if info.digest == super::originator_digest() {
            return Err(invalid("validator", "the originator asks clients; it cannot be on trial"));
        }
        if share.is_none() && bound.validator == super::originator_digest() {
            let why = format!(
                "clients judge {pattern}, so there is no verdict of a rule to compare with; try a backtest"
            );
            return Err(invalid("pattern", why));
        }
        let candidate = Binding { pattern, validator: info.digest, config, seq: Seq::ZERO };
        if share.is_some() {
            let candidate = self.activate(candidate, share, None)?;
            return Ok(Trial { candidate, share });
        }
        let ruling = shared.registry.ruling_of(candidate.clone());
        ruling.map_err(RequestError::NotAdmitted)?;
        let Binding { pattern, validator, config, .. } = &candidate;
        let (pattern, validator) = (pattern.clone(), *validator);
        let config = config.as_deref().map(ConfigText::new);
        let seq = self.record(&SystemEvent::TrialStarted { pattern, validator, config }, None)?;
        Ok(Trial { candidate: Binding { seq, ..candidate }, share })
    }

    /// Ends a trial: the scopes that a candidate judged go back to the binding. Blocks until it is
    /// durable.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn end_trial(&self, pattern: &ScopePattern) -> Result<(), RequestError> {
        self.check_writable()?;
        let trial = self.trial(pattern)?;
        if trial.share.is_some()
            && let Some(binding) = self.shared.registry.bound(pattern)
        {
            self.prepare(&binding, None)?;
        }
        self.record(&SystemEvent::TrialEnded { pattern: pattern.clone() }, None).map(drop)
    }

    /// All trials, and what each found.
    #[must_use]
    pub fn trials(&self) -> Vec<TrialReport> {
        let trials = self.shared.registry.trials();
        trials.into_iter().map(|(trial, tap)| self.shared.shadow.report(trial, &tap)).collect()
    }

    /// Binds the candidate of a trial to the whole pattern, if the trial has shown what the gate asks
    /// for, or if an operator insists. Blocks until it is durable.
    ///
    /// # Errors
    /// `NotFound` if there is no trial, `Invalid` if the gate does not hold.
    pub fn promote(
        &self,
        pattern: &ScopePattern,
        gate: Gate,
        force: bool,
    ) -> Result<Binding, RequestError> {
        self.check_writable()?;
        let mut reports = self.trials().into_iter();
        let report = reports.find(|report| report.trial.candidate.pattern == *pattern);
        let Some(report) = report else { return Err(none(pattern)) };
        let by = match gate.objection(&report) {
            None => BoundBy::Promoted { compared: report.compared },
            Some(although) if force => BoundBy::Forced { although },
            Some(why) => {
                let why = format!("{why}; look at the report, or promote with force");
                return Err(invalid("gate", why));
            }
        };
        self.activate(report.trial.candidate, None, Some(by))
    }

    /// Binds what was bound to a pattern before; with a candidate on a share of the scopes, ends that
    /// trial instead. Blocks until it is durable.
    ///
    /// # Errors
    /// `NotFound` if nothing was.
    pub fn rollback(&self, pattern: &ScopePattern) -> Result<Binding, RequestError> {
        self.check_writable()?;
        let registry = &self.shared.registry;
        if let (Some(trial), Some(binding)) = (registry.trial(pattern), registry.bound(pattern))
            && trial.share.is_some()
        {
            self.end_trial(pattern)?;
            return Ok(binding);
        }
        let before = registry.bound_before(pattern).ok_or_else(|| {
            RequestError::NotFound(format!(
                "nothing was bound to {pattern} before; see: atomic-store read '$system'"
            ))
        })?;
        self.activate(before, None, Some(BoundBy::Rollback))
    }

    fn trial(&self, pattern: &ScopePattern) -> Result<Trial, RequestError> {
        self.shared.registry.trial(pattern).ok_or_else(|| none(pattern))
    }

    /// Makes a binding, after what is long has been folded.
    pub(crate) fn activate(
        &self,
        binding: Binding,
        share: Option<Share>,
        by: Option<BoundBy>,
    ) -> Result<Binding, RequestError> {
        self.prepare(&binding, share)?;
        let (pattern, validator) = (binding.pattern.clone(), binding.validator);
        let config = binding.config.as_deref().map(ConfigText::new);
        let event = SystemEvent::ScopeBound { pattern, validator, config, share, by };
        let seq = self.record(&event, None)?;
        Ok(Binding { seq, ..binding })
    }

    /// Compiles the rule of a binding that is about to be made, and folds long scopes with it. Appends
    /// go on meanwhile. Whatever cannot be folded here is left to the scope's next append, which says
    /// why to whom it concerns.
    fn prepare(&self, binding: &Binding, share: Option<Share>) -> Result<(), RequestError> {
        let registry = &self.shared.registry;
        let ruling = registry.ruling_of(binding.clone()).map_err(RequestError::NotAdmitted)?;
        if !ruling.rules.folds() {
            return Ok(());
        }
        let (end, stem) = (Instant::now() + PREPARE_FOR, binding.pattern.as_str());
        let prefix = stem.strip_suffix('*').unwrap_or(stem);
        let mut after = String::new();
        loop {
            let rows = self.shared.log.scopes(prefix, &after, PAGE);
            let rows = rows.map_err(|error| self.shared.read_refusal(&error))?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.name.as_str().to_owned();
            for row in rows {
                if Instant::now() >= end || self.shared.read_only().is_some() {
                    tracing::warn!(pattern = stem, "not all scopes were folded before the binding");
                    return Ok(());
                }
                if row.events() > FOLDED_IN_PLACE && self.gets(&row.name, binding, share) {
                    self.fold_beside(&Arc::new(row), &ruling);
                }
            }
        }
    }

    /// True if the binding will be the one that counts for the scope.
    fn gets(&self, scope: &ScopeName, binding: &Binding, share: Option<Share>) -> bool {
        let mine = |found: Binding| {
            let (mine, others) = (binding.pattern.specificity(), found.pattern.specificity());
            found.pattern == binding.pattern || mine > others
        };
        binding.pattern.matches(scope)
            && share.is_none_or(|share| share.has(scope))
            && self.shared.registry.binding(scope).is_none_or(mine)
    }

    /// Folds a scope to its last durable event and keeps the state as a snapshot, so that its loop
    /// has only what came since to fold.
    fn fold_beside(&self, row: &Arc<ScopeRow>, ruling: &Ruling) {
        let shared = &self.shared;
        let known = shared.log.snapshot(row.id, &ruling.rule, row.head);
        if known.is_ok_and(|known| {
            known.is_some_and(|known| row.head.0 - known.seq.0 <= FOLDED_IN_PLACE)
        }) {
            return;
        }
        let folded = Fork::under(shared, Arc::clone(row), row.head, ruling.again());
        let state = folded.and_then(|mut fork| fork.snapshot(shared).map(|state| (fork, state)));
        match state {
            Ok((fork, Some(state))) => {
                let host_ms = fork.host_ms();
                let (rule, seq, hash) = (ruling.rule, row.head, row.hash);
                let mut unit = Unit::bare(Arc::clone(row));
                unit.host_ms = shared.clock.now_ms();
                unit.snapshot = Some(Box::new(Snapshot { rule, seq, hash, host_ms, state }));
                if let Err(why) = self.commit_alone(unit) {
                    tracing::warn!(scope = %row.name, %why, "a prepared snapshot was not kept");
                }
            }
            Ok((_, None)) => {}
            Err(why) => tracing::warn!(scope = %row.name, %why, "not folded before the binding"),
        }
    }
}

impl Ruling {
    /// The same rule once more.
    pub(crate) fn again(&self) -> Ruling {
        let (binding, rules) = (self.binding.clone(), Arc::clone(&self.rules));
        Ruling {
            binding,
            rules,
            rule: self.rule,
            generation: self.generation,
            tap: self.tap.clone(),
        }
    }
}

fn none(pattern: &ScopePattern) -> RequestError {
    RequestError::NotFound(format!(
        "no candidate is on trial for {pattern}; see: atomic-store validator shadow report"
    ))
}

fn invalid(field: &str, why: impl Into<String>) -> RequestError {
    RequestError::Invalid { field: field.to_owned(), why: why.into() }
}
