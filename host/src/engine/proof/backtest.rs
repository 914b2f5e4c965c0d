//! What other rules would have decided on our history: every append is put before a candidate, on the
//! state that it folds from the recorded events, whatever it would have decided before.

use super::appends::{Through, for_appends};
use super::asked::{Asked, Mark, difference};
use super::folded::Instances;
use super::logic::told;
use super::ruled::{Rule, Ruled};
use super::scopes::{Which, Work, for_scopes};
use crate::engine::admin::invalid;
use crate::engine::handle::Engine;
use crate::engine::shared::Shared;
use crate::engine::start::NotReady;
use crate::log::{Floor, ReadError, ScopeRow};
use crate::validator::{Rules, Verdict, upcasted};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::record::{BodyIn, RecordError};
use atomic_store_core::{
    BacktestReport, Digest, Divergence, Fault, Invalid, Outcome, ProofProgress, Proposal,
    Rejection, RuleInfo, SYSTEM_SCOPE, Said, ScopeId, ScopeName, ScopePattern, Seq, ValidatorRef,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Faults in one scope after which it is given up: each costs a fold from the first event.
const FAULTS_MAX: u64 = 3;

/// Rules on trial. They need not be loaded.
#[derive(Clone)]
pub struct Candidate(Arc<dyn Rules>);

/// What to hold a candidate against.
#[derive(Debug)]
pub struct Against {
    /// Only what this validator decided; nothing for whatever was decided.
    pub validator: Option<ValidatorRef>,
    /// In these scopes.
    pub scopes: ScopePattern,
    /// Only scopes whose names come after this one.
    pub after: String,
    /// The candidate's configuration; nothing for the one in force at each event.
    pub config: Option<Vec<u8>>,
}

impl Engine {
    /// Rules that are loaded, on trial.
    ///
    /// # Errors
    /// `NotFound` if nothing is meant, `Invalid` if more than one thing is, or `originator`.
    pub fn candidate(&self, which: &ValidatorRef) -> Result<Candidate, RequestError> {
        let info = self.shared.registry.find(which)?;
        let rules = self.shared.registry.rules_of(&info.digest);
        let rules = rules.map_err(|why| RequestError::Failed(format!("{which}: {why}")))?;
        if rules.asks_originator() {
            let why = "only the client that submits could judge; name a component";
            return Err(invalid(Invalid::new("validator", why)));
        }
        Ok(Candidate(rules))
    }

    /// Admits a component for a trial and loads nothing. Blocks while it is compiled.
    ///
    /// # Errors
    /// `NotAdmitted` says what is wrong with it, `Invalid` which limit it breaks.
    pub fn try_component(&self, bytes: &[u8]) -> Result<(RuleInfo, Candidate), RequestError> {
        self.shared.limits.check_component(bytes.len()).map_err(invalid)?;
        let rules = self.loader.load(bytes);
        let rules = rules.map_err(|error| RequestError::NotAdmitted(error.to_string()))?;
        let (digest, description) = (rules.digest(), rules.description().clone());
        let (bytes, built_in) = (bytes.len() as u64, false);
        Ok((RuleInfo { digest, description, bytes, built_in }, Candidate(rules)))
    }

    /// Puts the appends of scopes, and the recorded rejections whose payloads were kept, before a
    /// candidate. Blocks, on as many threads as there are cores. `progress` may end it.
    ///
    /// # Errors
    /// `NotFound` if there is no such validator to hold it against, `Failed` if the storage fails.
    pub fn backtest(
        &self,
        candidate: &Candidate,
        against: &Against,
        progress: &mut dyn FnMut(&ProofProgress) -> ControlFlow<()>,
    ) -> Result<BacktestReport, RequestError> {
        let shared = &*self.shared;
        shared.limits.check_config(against.config.as_deref()).map_err(invalid)?;
        let only = against.validator.as_ref().map(|which| shared.registry.find(which));
        let only = only.transpose()?.map(|info| info.digest);
        let failed = |error: ReadError| shared.read_refusal(&error);
        let ruled = Ruled::read(shared).map_err(failed)?;
        let refused = refused(shared, &against.scopes).map_err(failed)?;
        let config = against.config.as_deref().map(Arc::from);
        let trial = Trial { shared, ruled: &ruled, candidate, only, config, refused: &refused };
        let job = |row: &Arc<ScopeRow>, work: &Work| {
            let found = Run::new(&trial, row).scope(work)?;
            if found.diverged > 0 {
                work.found();
            }
            Ok(found)
        };
        let mut report = BacktestReport::default();
        let mut done = |found| report.add(found);
        let (mut last, mut ended) = (ProofProgress::default(), false);
        let mut watch = |told: &ProofProgress| {
            last.clone_from(told);
            let flow = progress(told);
            ended |= flow.is_break();
            flow
        };
        let which = Which::Pattern(against.scopes.clone(), against.after.clone());
        for_scopes(shared, which, &job, &mut done, &mut watch).map_err(failed)?;
        if !ended {
            let empty = never_written(shared, &refused, &against.after).map_err(failed)?;
            let which = Which::These(empty);
            for_scopes(shared, which, &job, &mut done, &mut |_| progress(&last)).map_err(failed)?;
        }
        Ok(report)
    }
}

/// Where the entries of the journal of rejections belong: by scope, the head each was judged against
/// and its number.
type Refused = BTreeMap<ScopeName, Vec<(Seq, u64)>>;

fn refused(shared: &Shared, scopes: &ScopePattern) -> Result<Refused, ReadError> {
    let mut refused = Refused::new();
    shared.log.rejections(None, 0, &mut |entry| {
        if scopes.matches(&entry.scope) && before(&entry.outcome).is_some() {
            refused.entry(entry.scope).or_default().push((entry.head, entry.number));
        }
        ControlFlow::Continue(())
    })?;
    for entries in refused.values_mut() {
        entries.sort_unstable();
    }
    Ok(refused)
}

/// Scopes that refused all that they were asked, so that the log has none of them.
fn never_written(
    shared: &Shared,
    refused: &Refused,
    after: &str,
) -> Result<Vec<ScopeRow>, ReadError> {
    let mut empty = Vec::new();
    for name in refused.keys().filter(|name| name.as_str() > after) {
        if shared.log.scope(name)?.is_none() {
            empty.push(ScopeRow::empty(ScopeId(0), name.clone()));
        }
    }
    Ok(empty)
}

/// What a validator said that did not accept; nothing for what no validator was asked about.
fn before(outcome: &Outcome) -> Option<Said> {
    Some(match outcome {
        Outcome::Rejected(refusal) => said("rejected", told(refusal)),
        Outcome::TimedOut { after_ms } => said("fault", format!("no answer in {after_ms} ms")),
        Outcome::Faulted(fault) => said("fault", fault_text(fault)),
        _ => return None,
    })
}

/// What all scopes share.
struct Trial<'a> {
    shared: &'a Shared,
    ruled: &'a Ruled,
    candidate: &'a Candidate,
    only: Option<Digest>,
    config: Option<Arc<[u8]>>,
    refused: &'a Refused,
}

/// One scope.
struct Run<'a> {
    trial: &'a Trial<'a>,
    row: &'a Arc<ScopeRow>,
    instances: Instances<'a>,
    /// The configuration in force.
    config: Option<Arc<[u8]>>,
    /// Recorded rejections that are still to come.
    refused: &'a [(Seq, u64)],
    /// The store's time of the last event; times of a scope never fall.
    host_ms: u64,
    /// True once it could not fold an event, so that nothing behind it can be judged.
    lost: bool,
    report: BacktestReport,
    failure: Option<ReadError>,
}

impl<'a> Run<'a> {
    fn new(trial: &'a Trial<'a>, row: &'a Arc<ScopeRow>) -> Self {
        let refused = trial.refused.get(&row.name).map_or(&[][..], Vec::as_slice);
        let gone = refused.partition_point(|(head, _)| *head < row.floor.seq);
        let present = trial.shared.registry.binding(&row.name).and_then(|binding| binding.config);
        Run {
            trial,
            row,
            instances: Instances::new(trial.shared, row),
            config: trial.config.clone().or_else(|| present.map(Arc::from)),
            refused: &refused[gone..],
            host_ms: 0,
            lost: false,
            report: BacktestReport { scopes: 1, ..BacktestReport::default() },
            failure: None,
        }
    }

    fn scope(mut self, work: &Work) -> Result<BacktestReport, ReadError> {
        let row = self.row;
        if row.name.as_str() == SYSTEM_SCOPE {
            return Ok(BacktestReport::default());
        }
        let shared = self.trial.shared;
        let mut walk = row.walk_after(Seq::ZERO);
        let (stopped, read) = for_appends(shared, row, &mut walk, work, &mut self);
        read?;
        if !stopped {
            self.rejections(row.head);
        }
        if let Some(error) = self.failure {
            return Err(error);
        }
        let now = shared.log.scope(&row.name)?;
        let floor = now.map_or_else(|| Floor::none(&row.name), |now| now.floor);
        // What was deleted meanwhile was passed over, so what came behind it says nothing.
        if floor == row.floor { Ok(self.report) } else { Ok(BacktestReport::default()) }
    }

    /// Asks about an append that was accepted.
    fn accepted(&mut self, asked: &Asked, mark: Mark) {
        let trial = self.trial;
        let Ok(bodies) = asked.bodies() else { return };
        // It judges the events as it knows them.
        let newer = match self.upcast(asked.before(), &bodies) {
            Ok(newer) => newer,
            Err(why) => {
                self.report.faults += 1;
                let then = said("accepted", String::new());
                return self.diverged(asked.first(), None, then, said("fault", why));
            }
        };
        let today = upcasted(&bodies, &newer);
        let proposals = match asked.proposals(&*trial.shared.log, self.row, &today) {
            Ok(proposals) => proposals,
            Err(error) => {
                self.failure = Some(error);
                return;
            }
        };
        let now = match self.judge(asked.before(), &proposals, mark.host_ms) {
            Ok(Verdict::Refused(refusal)) => {
                self.report.newly_rejected += 1;
                Some(said("rejected", told(&refusal)))
            }
            Ok(Verdict::Accepted(acceptances)) => {
                let differs = difference(&proposals, &acceptances, &today);
                match differs.is_some() {
                    true => self.report.other_form += 1,
                    false => self.report.same += 1,
                }
                differs.map(|why| said("accepted", why))
            }
            Err(why) => {
                self.report.faults += 1;
                Some(said("fault", why))
            }
        };
        if let Some(now) = now {
            self.diverged(asked.first(), None, said("accepted", String::new()), now);
        }
        let rule = self.rule();
        if let Err(error) = self.instances.apply(&rule, &bodies) {
            let why = format!("while it folded: {}", self.fault(error));
            self.report.faults += 1;
            self.lost = true;
            let then = said("accepted", String::new());
            self.diverged(asked.first(), None, then, said("fault", why));
        }
    }

    /// Asks about what was refused when the head was this one.
    fn rejections(&mut self, head: Seq) {
        while let Some((&(at, number), rest)) = self.refused.split_first()
            && at <= head
        {
            self.refused = rest;
            let mut found = None;
            let read = self.trial.shared.log.rejections(None, number - 1, &mut |entry| {
                found = Some(entry).filter(|entry| entry.number == number);
                ControlFlow::Break(())
            });
            match (read, found) {
                (Err(error), _) => self.failure = Some(error),
                // Newer ones have taken its place since.
                (Ok(()), None) => {}
                (Ok(()), Some(entry)) => self.rejected(&entry),
            }
        }
    }

    fn rejected(&mut self, entry: &Rejection) {
        let Some(then) = before(&entry.outcome) else { return };
        let judge = entry.judge.as_ref().map(|judge| judge.validator);
        if self.trial.only.is_some_and(|only| Some(only) != judge) {
            self.report.by_others += 1;
            return;
        }
        let Some(proposals) = &entry.proposals else {
            self.report.without_payload += 1;
            return;
        };
        if self.is_given_up() {
            self.report.given_up += 1;
            return;
        }
        self.report.rejections += 1;
        let now = match self.judge(entry.head, proposals, entry.host_ms.max(self.host_ms)) {
            Ok(Verdict::Refused(refusal)) => {
                self.report.same += 1;
                let code = refusal.reasons.first().map(|reason| &reason.code);
                let other = match &entry.outcome {
                    Outcome::Rejected(old) => old.reasons.first().map(|one| &one.code) != code,
                    _ => true,
                };
                self.report.other_reason += u64::from(other);
                return;
            }
            Ok(Verdict::Accepted(_)) => {
                self.report.newly_accepted += 1;
                said("accepted", String::new())
            }
            Err(why) => {
                self.report.faults += 1;
                said("fault", why)
            }
        };
        self.diverged(entry.head.next(), Some(entry.number), then, now);
    }

    fn is_given_up(&self) -> bool {
        self.lost || self.report.faults >= FAULTS_MAX
    }

    /// What these events are to the candidate.
    fn upcast(
        &mut self,
        before: Seq,
        bodies: &[BodyIn<'_>],
    ) -> Result<Vec<Option<Proposal>>, String> {
        if !self.trial.candidate.0.upcasts() {
            return Ok(vec![None; bodies.len()]);
        }
        let rule = self.rule();
        let newer = self.instances.upcast(&rule, &self.trial.candidate.0, before, bodies);
        newer.map_err(|error| self.fault(error))
    }

    fn rule(&self) -> Rule {
        Rule { validator: self.trial.candidate.0.digest(), config: self.config.clone() }
    }

    fn judge(
        &mut self,
        before: Seq,
        proposals: &[Proposal],
        host_ms: u64,
    ) -> Result<Verdict, String> {
        let rule = self.rule();
        let judged =
            self.instances.judge(&rule, &self.trial.candidate.0, before, proposals, host_ms);
        judged.map_err(|error| self.fault(error))
    }

    /// What a candidate that did not answer has to say. The log's failures end the whole work.
    fn fault(&mut self, error: NotReady) -> String {
        match error {
            NotReady::Fault(fault) => fault_text(&fault),
            NotReady::Declined(why) => format!("it declined to start: {why}"),
            NotReady::NoRoom(why) => {
                self.failure = Some(ReadError::Storage(why.clone()));
                why
            }
            NotReady::Read(error) => {
                let why = error.to_string();
                self.failure = Some(error);
                why
            }
        }
    }

    fn diverged(&mut self, seq: Seq, rejection: Option<u64>, then: Said, now: Said) {
        if self.report.diverged == 0 {
            let scope = self.row.name.clone();
            self.report.diverged = 1;
            self.report.divergences.push(Divergence { scope, seq, rejection, then, now });
        }
    }
}

impl Through for Run<'_> {
    fn append(&mut self, asked: &Asked) -> ControlFlow<()> {
        let Some(mark) = asked.mark() else { return ControlFlow::Continue(()) };
        self.rejections(asked.before());
        self.report.events += asked.len();
        self.host_ms = mark.host_ms;
        if self.trial.config.is_none() {
            let bound = self.trial.ruled.rule(&self.row.name, mark.binding);
            self.config = bound.and_then(|rule| rule.config.clone());
        }
        if self.trial.only.is_some_and(|only| only != mark.validator) {
            self.report.by_others += 1;
        } else if self.is_given_up() {
            self.report.given_up += 1;
        } else {
            self.report.accepted += 1;
            self.accepted(asked, mark);
        }
        match self.failure {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }

    fn unreadable(&mut self, _: Seq, _: RecordError) {
        // The chain has passed, so every record is one that the store encoded.
    }
}

fn said(verdict: &str, why: String) -> Said {
    Said { verdict: verdict.to_owned(), why }
}

fn fault_text(fault: &Fault) -> String {
    format!("{}: {}", fault.kind.word(), fault.detail)
}
