//! Instances of the rules of one scope, each with the state after some event; they are folded on as
//! far as they are needed.

use super::ruled::Rule;
use crate::engine::pending::Pending;
use crate::engine::shared::Shared;
use crate::engine::start::{NotReady, read_batches};
use crate::log::ScopeRow;
use crate::validator::{Rules, Start, StartError, Validator, Verdict};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{Fault, FaultKind, Proposal, Seq};
use std::sync::Arc;

/// Instances kept of one scope: rules that take turns need not fold from the start each time.
const KEPT: usize = 4;

/// Instances of one scope, the last used at the end.
pub(super) struct Instances<'a> {
    shared: &'a Shared,
    row: &'a Arc<ScopeRow>,
    kept: Vec<(Rule, Folded)>,
}

/// An instance and the event whose state it has.
struct Folded {
    instance: Box<dyn Validator>,
    pending: Arc<Pending>,
    at: Seq,
}

impl<'a> Instances<'a> {
    pub(super) fn new(shared: &'a Shared, row: &'a Arc<ScopeRow>) -> Self {
        Instances { shared, row, kept: Vec::new() }
    }

    /// Lets a rule judge an append on the state after `before`. A timeout depends on the machine, so
    /// one is tried again.
    pub(super) fn judge(
        &mut self,
        rule: &Rule,
        rules: &Arc<dyn Rules>,
        before: Seq,
        proposals: &[Proposal],
        host_ms: u64,
    ) -> Result<Verdict, NotReady> {
        let mut tried = false;
        loop {
            let judged = self.at(rule, rules, before).and_then(|folded| {
                let verdict = folded.instance.validate(proposals, host_ms);
                verdict.map_err(|fault| folded.named(fault))
            });
            match judged {
                Err(NotReady::Fault(fault)) if fault.kind == FaultKind::Timeout && !tried => {
                    self.drop(rule);
                    tried = true;
                }
                Err(error) => {
                    self.drop(rule);
                    return Err(error);
                }
                Ok(verdict) => return Ok(verdict),
            }
        }
    }

    /// What events are today, as a rule says.
    pub(super) fn upcast(
        &mut self,
        rule: &Rule,
        rules: &Arc<dyn Rules>,
        before: Seq,
        bodies: &[BodyIn<'_>],
    ) -> Result<Vec<Option<Proposal>>, NotReady> {
        let upcast = self.at(rule, rules, before).and_then(|folded| {
            let newer = folded.instance.upcast(bodies);
            newer.map_err(|fault| folded.named(fault))
        });
        upcast.inspect_err(|_| self.drop(rule))
    }

    /// Folds the events of the append that a rule has just judged.
    pub(super) fn apply(&mut self, rule: &Rule, bodies: &[BodyIn<'_>]) -> Result<(), NotReady> {
        let Some((_, folded)) = self.kept.iter_mut().find(|(known, _)| known == rule) else {
            return Ok(());
        };
        let applied = folded.instance.apply(bodies).map_err(|fault| folded.named(fault));
        match (applied, bodies.last()) {
            (Err(error), _) => {
                self.drop(rule);
                Err(error)
            }
            (Ok(()), last) => {
                if let Some(last) = last {
                    folded.at = last.seq;
                    folded.pending.go_on(last.seq);
                }
                Ok(())
            }
        }
    }

    /// Forgets an instance, whose state is in doubt.
    fn drop(&mut self, rule: &Rule) {
        self.kept.retain(|(known, _)| known != rule);
    }

    /// The instance of a rule with the state after an event.
    fn at(
        &mut self,
        rule: &Rule,
        rules: &Arc<dyn Rules>,
        before: Seq,
    ) -> Result<&mut Folded, NotReady> {
        let known =
            self.kept.iter().position(|(known, folded)| known == rule && folded.at <= before);
        let (known, mut folded) = match known {
            // The common case: it is the last and where it should be.
            Some(place) if place + 1 == self.kept.len() => self.kept.pop(),
            Some(place) => Some(self.kept.remove(place)),
            None => None,
        }
        .map_or_else(|| self.start(rule, rules).map(|folded| (rule.clone(), folded)), Ok)?;
        folded.fold_to(self.row, before)?;
        if self.kept.len() >= KEPT {
            self.kept.remove(0);
        }
        self.kept.push((known, folded));
        self.kept
            .last_mut()
            .map(|(_, folded)| folded)
            .ok_or_else(|| NotReady::NoRoom("there is no instance".to_owned()))
    }

    fn start(&self, rule: &Rule, rules: &Arc<dyn Rules>) -> Result<Folded, NotReady> {
        let at = self.row.floor.seq;
        let log = Arc::clone(&self.shared.log);
        let pending = Arc::new(Pending::past(log, Arc::clone(self.row), at));
        let start = Start {
            scope: &self.row.name,
            config: rule.config.as_deref(),
            snapshot: None,
            history: Arc::clone(&pending) as _,
        };
        let instance = rules.start(start).map_err(|error| match error {
            StartError::Declined(why) => NotReady::Declined(why),
            StartError::Fault(fault) => NotReady::Fault(fault),
            StartError::NoRoom(why) => NotReady::NoRoom(why),
        })?;
        Ok(Folded { instance, pending, at })
    }
}

impl Folded {
    /// Folds the events of the log up to this one.
    fn fold_to(&mut self, row: &ScopeRow, to: Seq) -> Result<(), NotReady> {
        if self.at >= to {
            return Ok(());
        }
        self.pending.go_on(to);
        let mut walk = row.walk_after(self.at);
        let (pending, instance) = (&self.pending, &mut self.instance);
        let folded = read_batches(pending, &mut walk, |batch| {
            batch.apply(&mut **instance)?;
            Ok(batch.emptied())
        });
        self.at = walk.head();
        folded.map_err(|error| match error {
            NotReady::Fault(fault) => self.named(fault),
            other => other,
        })
    }

    /// What a fault was: the guest's own, or the log's, where the guest looked back.
    fn named(&self, fault: Fault) -> NotReady {
        self.pending.take_failure().map_or(NotReady::Fault(fault), NotReady::Read)
    }
}
