//! Shows that each event follows from its rule: every append is judged again, by the component and
//! under the configuration recorded for it, on the state that the events before it give.
//!
//! No snapshot is trusted here: each state is folded from the first event.

use super::appends::{Through, for_appends};
use super::asked::{Asked, Mark, difference};
use super::folded::Instances;
use super::ruled::{Rule, Ruled};
use super::scopes::{Which, Work, for_scopes};
use crate::engine::handle::Engine;
use crate::engine::shared::Shared;
use crate::engine::start::NotReady;
use crate::engine::{accept_all_digest, originator_digest};
use crate::log::{ReadError, ScopeRow};
use crate::validator::{Rules, Verdict};
use atomic_store_core::chain::Broken;
use atomic_store_core::record::RecordError;
use atomic_store_core::{
    Digest, LogicReport, ProofProgress, Refusal, SYSTEM_SCOPE, ScopeName, Seq, Unshown, UnshownWhat,
};
use std::ops::ControlFlow;
use std::sync::Arc;

impl Engine {
    /// Judges all appends of a scope, or of all scopes whose names come after `after`, again. Blocks,
    /// on as many threads as there are cores. `progress` may end it.
    ///
    /// # Errors
    /// [`ReadError`] if the storage fails. What cannot be shown is not an error but part of the report.
    pub fn verify_logic(
        &self,
        scope: Option<&ScopeName>,
        after: &str,
        progress: &mut dyn FnMut(&ProofProgress) -> ControlFlow<()>,
    ) -> Result<LogicReport, ReadError> {
        match scope {
            None => self.logic(Which::All(after.to_owned()), Seq::ZERO, progress),
            Some(scope) => self.verify_logic_after(scope, Seq::ZERO, progress),
        }
    }

    /// The same for one scope, of which events up to `after` were judged before and are only folded: the
    /// state behind them comes of them and of nothing else.
    ///
    /// # Errors
    /// As [`Engine::verify_logic`].
    pub fn verify_logic_after(
        &self,
        scope: &ScopeName,
        after: Seq,
        progress: &mut dyn FnMut(&ProofProgress) -> ControlFlow<()>,
    ) -> Result<LogicReport, ReadError> {
        match self.shared.log.scope(scope)? {
            Some(row) => self.logic(Which::These(vec![row]), after, progress),
            None => Ok(LogicReport::default()),
        }
    }

    fn logic(
        &self,
        which: Which,
        judged: Seq,
        progress: &mut dyn FnMut(&ProofProgress) -> ControlFlow<()>,
    ) -> Result<LogicReport, ReadError> {
        let shared = &*self.shared;
        let mut report = LogicReport::default();
        let ruled = Ruled::read(shared)?;
        let job = |row: &Arc<ScopeRow>, work: &Work| {
            Run::new((shared, &ruled), row, (judged, work)).scope()
        };
        for_scopes(shared, which, &job, &mut |found| report.add(found), progress)?;
        Ok(report)
    }
}

/// What keeps an append from being shown.
type Fails = (UnshownWhat, String);

/// The rule that was looked up last, and what it was looked up for.
type Current = ((Digest, Seq), Rule, Arc<dyn Rules>);

/// One scope.
struct Run<'a> {
    shared: &'a Shared,
    ruled: &'a Ruled,
    row: &'a Arc<ScopeRow>,
    work: &'a Work,
    /// Events up to this one were judged before.
    judged: Seq,
    instances: Instances<'a>,
    current: Option<Current>,
    report: LogicReport,
    /// What ends the whole work.
    failure: Option<ReadError>,
}

impl<'a> Run<'a> {
    fn new(
        (shared, ruled): (&'a Shared, &'a Ruled),
        row: &'a Arc<ScopeRow>,
        (judged, work): (Seq, &'a Work),
    ) -> Self {
        Run {
            shared,
            ruled,
            row,
            work,
            judged,
            instances: Instances::new(shared, row),
            current: None,
            report: LogicReport { scopes: 1, ..LogicReport::default() },
            failure: None,
        }
    }

    fn scope(mut self) -> Result<LogicReport, ReadError> {
        let (shared, row, work) = (self.shared, self.row, self.work);
        let mut walk = row.walk_after(Seq::ZERO);
        let (stopped, read) = for_appends(shared, row, &mut walk, work, &mut self);
        match read {
            Ok(()) => {}
            Err(ReadError::Storage(why)) => return Err(ReadError::Storage(why)),
            Err(error) => {
                let why = error.to_string();
                let next = walk.head().next();
                self.not_shown(next, Digest::default(), UnshownWhat::Damaged, why);
            }
        }
        if let Some(error) = self.failure {
            return Err(error);
        }
        if !stopped && walk.head() < row.head {
            let found = Broken::Short { expected: row.head, found: walk.head() };
            let next = walk.head().next();
            self.not_shown(next, Digest::default(), UnshownWhat::Damaged, found.to_string());
        }
        self.unless_deleted()
    }

    /// The report, unless events were deleted meanwhile: what is missing then says nothing.
    fn unless_deleted(self) -> Result<LogicReport, ReadError> {
        let now = match self.report.failed {
            0 => return Ok(self.report),
            _ => self.shared.log.scope(&self.row.name)?,
        };
        match now {
            Some(now) if now.floor == self.row.floor => Ok(self.report),
            _ => Ok(LogicReport { scopes: 1, ..LogicReport::default() }),
        }
    }

    /// Asks the rule of an append again.
    fn ask(&mut self, asked: &Asked, mark: Mark) -> Result<(), Fails> {
        let (rule, rules) = self.rule(mark)?;
        let damaged = |why: String| (UnshownWhat::Damaged, why);
        let bodies = asked.bodies().map_err(|error| damaged(error.to_string()))?;
        let proposals = asked.proposals(&*self.shared.log, self.row, &bodies);
        let proposals = proposals.map_err(|error| damaged(error.to_string()))?;
        let judged = self.instances.judge(&rule, &rules, asked.before(), &proposals, mark.host_ms);
        match judged.map_err(|error| self.fails(error))? {
            Verdict::Refused(refusal) => return Err((UnshownWhat::Rejected, told(&refusal))),
            Verdict::Accepted(acceptances) => {
                if let Some(why) = difference(&proposals, &acceptances, &bodies) {
                    return Err((UnshownWhat::OtherForm, why));
                }
            }
        }
        self.instances.apply(&rule, &bodies).map_err(|error| self.fails(error))
    }

    /// The rule that is recorded for an append.
    fn rule(&mut self, mark: Mark) -> Result<(Rule, Arc<dyn Rules>), Fails> {
        let key = (mark.validator, mark.binding);
        if let Some((_, rule, rules)) = self.current.as_ref().filter(|(known, _, _)| *known == key)
        {
            return Ok((rule.clone(), Arc::clone(rules)));
        }
        let bound = self.ruled.rule(&self.row.name, mark.binding);
        let rule = bound.filter(|rule| rule.validator == mark.validator).ok_or_else(|| {
            let why = format!("event {} of $system does not bind this validator", mark.binding);
            (UnshownWhat::NoBinding, why)
        })?;
        let rules = self.shared.registry.rules_of(&rule.validator);
        let rules = rules.map_err(|why| (UnshownWhat::NoComponent, why))?;
        let (rule, both) = (rule.clone(), Arc::clone(&rules));
        self.current = Some((key, rule.clone(), both));
        Ok((rule, rules))
    }

    fn fails(&mut self, error: NotReady) -> Fails {
        match error {
            NotReady::Fault(fault) => {
                (UnshownWhat::Fault, format!("{}: {}", fault.kind.word(), fault.detail))
            }
            NotReady::Declined(why) => (UnshownWhat::Declined, why),
            NotReady::NoRoom(why) => {
                self.failure = Some(ReadError::Storage(why.clone()));
                (UnshownWhat::Fault, why)
            }
            NotReady::Read(error) => {
                let why = error.to_string();
                if matches!(error, ReadError::Storage(_)) {
                    self.failure = Some(error);
                }
                (UnshownWhat::Damaged, why)
            }
        }
    }

    fn not_shown(&mut self, seq: Seq, validator: Digest, what: UnshownWhat, why: String) {
        if self.report.failed == 0 {
            let scope = self.row.name.clone();
            self.report.failed = 1;
            self.work.found();
            self.report.unshown.push(Unshown { scope, seq, validator, what, why });
        }
    }
}

impl Through for Run<'_> {
    /// Counts one append as what it is.
    fn append(&mut self, asked: &Asked) -> ControlFlow<()> {
        let Some(mark) = asked.mark() else { return ControlFlow::Continue(()) };
        let events = asked.len();
        self.report.events += events;
        let count = if self.report.failed > 0 {
            &mut self.report.not_shown
        } else if asked.last() <= self.judged {
            &mut self.report.folded
        } else if self.row.name.as_str() == SYSTEM_SCOPE {
            &mut self.report.system
        } else if mark.validator == accept_all_digest() {
            &mut self.report.built_in
        } else if mark.validator == originator_digest() {
            &mut self.report.by_client
        } else if self.ruled.is_restored(&self.row.name, asked.first()) {
            &mut self.report.elsewhere
        } else {
            self.report.appends += 1;
            match self.ask(asked, mark) {
                Ok(()) => &mut self.report.shown,
                Err((what, why)) => {
                    self.not_shown(asked.first(), mark.validator, what, why);
                    &mut self.report.not_shown
                }
            }
        };
        *count += events;
        self.work.is_at(asked.last());
        match self.failure {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }

    fn unreadable(&mut self, seq: Seq, why: RecordError) {
        let why = format!("event {seq} cannot be read: {why}");
        self.not_shown(seq, Digest::default(), UnshownWhat::Damaged, why);
    }
}

/// The reasons of a refusal, for people.
pub(super) fn told(refusal: &Refusal) -> String {
    let reasons = refusal.reasons.iter();
    let reasons: Vec<_> = reasons.map(|one| format!("{}: {}", one.code, one.message)).collect();
    reasons.join("; ")
}
