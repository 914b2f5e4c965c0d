//! From a verdict to what is stored: records, index rows, and what to remember.

use super::item::Plan;
use super::scope_loop::Loaded;
use super::shared::Shared;
use super::trials::Tap;
use crate::log::{Decision, IndexRow, ScopeRow, topics};
use crate::validator::{Acceptance, Admission, Verdict};
use atomic_store_core::record::{Body, Record, RecordView};
use atomic_store_core::{
    Append, Committed, Digest, Fault, FaultKind, Outcome, Place, Position, Proposal, Seq,
};

/// An append, decided.
pub(crate) struct Decided {
    pub(crate) records: Vec<Record>,
    pub(crate) index: Vec<IndexRow>,
    pub(crate) decision: Decision,
    pub(crate) plan: Plan,
    pub(crate) host_ms: u64,
    /// What was proposed, if other events are stored in its place.
    pub(crate) proposed: Option<Vec<Proposal>>,
}

/// When the validator folds what it accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fold {
    /// At once.
    Now,
    /// Once other scopes have accepted, too.
    Later,
}

impl Decided {
    /// True if all was accepted, though perhaps nothing is to be stored.
    pub(crate) fn accepts(&self) -> bool {
        let outcome = match &self.plan {
            Plan::Stored { .. } => return true,
            Plan::Outcome(outcome) => &**outcome,
            Plan::Earlier { .. } | Plan::Conflict { .. } => return false,
        };
        matches!(outcome, Outcome::Committed(_) | Outcome::Noop { .. })
    }

    /// Nothing new to store or remember; `plan` says how to answer.
    pub(crate) fn answer(decision: Decision, plan: Plan, host_ms: u64) -> Self {
        let (records, index, proposed) = (Vec::new(), Vec::new(), None);
        Decided { records, index, decision, plan, host_ms, proposed }
    }
}

impl Loaded {
    /// Asks the validator, makes records of what it accepted, and lets it fold them, unless that is to
    /// wait until others have accepted, too. Nothing is handed on before the fold has returned, so a
    /// fault costs this append only.
    pub(crate) fn judge(
        &mut self,
        shared: &Shared,
        row: &ScopeRow,
        append: &Append,
        host_ms: u64,
        fold: Fold,
    ) -> Result<Decided, Fault> {
        let (Some(ruling), Some(instance)) = (&self.ruling, &mut self.instance) else {
            return Err(bad_output("there is no instance"));
        };
        let mut folded = fold == Fold::Later;
        // What one call takes for both is not what the verdict takes.
        let measures = ruling.tap.as_ref().is_some_and(Tap::measures);
        self.fuel = None;
        let admission = match append.proposals.as_slice() {
            [only] if !folded && !append.dry_run && !measures => {
                instance.admit(only, self.head.next(), host_ms)?
            }
            _ => None,
        };
        let verdict = match admission {
            Some(Admission::Folded) => {
                folded = true;
                Verdict::Accepted(vec![Acceptance::default()])
            }
            Some(Admission::Judged(verdict)) => verdict,
            None => {
                let verdict = instance.validate(&append.proposals, host_ms)?;
                if measures {
                    self.fuel = instance.fuel();
                }
                verdict
            }
        };
        let acceptances = match verdict {
            Verdict::Refused(refusal) => return Ok(nothing(Outcome::Rejected(refusal), host_ms)),
            Verdict::Accepted(acceptances) => acceptances,
        };
        if acceptances.len() != append.proposals.len() {
            return Err(bad_output("it did not answer with one acceptance for each proposal"));
        }
        let by = (ruling.binding.validator, ruling.binding.seq);
        let end = End { head: self.head, hash: self.hash };
        let decided = end.record(shared, row, append, &acceptances, host_ms, by)?;
        if !folded {
            self.fold_records(&decided.records)?;
        }
        Ok(decided)
    }

    /// Lets the validator fold what it accepted, in the form in which it is replayed from the log.
    pub(crate) fn fold_records(&mut self, records: &[Record]) -> Result<(), Fault> {
        let Some(instance) = &mut self.instance else { return Ok(()) };
        let bodies = records.iter().map(|record| {
            let view = RecordView::parse(record.as_bytes());
            view.and_then(|view| view.decode()).map_err(|error| bad_output(error.to_string()))
        });
        let bodies = bodies.collect::<Result<Vec<_>, _>>()?;
        if bodies.is_empty() { Ok(()) } else { instance.apply(&bodies) }
    }

    /// Makes records of proposals that were accepted by somebody else than the instance.
    pub(crate) fn record_all(
        &self,
        shared: &Shared,
        row: &ScopeRow,
        append: &Append,
        acceptances: &[Acceptance],
        host_ms: u64,
        by: (Digest, Seq),
    ) -> Result<Decided, Fault> {
        let end = End { head: self.head, hash: self.hash };
        end.record(shared, row, append, acceptances, host_ms, by)
    }
}

/// The last event of a scope.
struct End {
    head: Seq,
    hash: Digest,
}

impl End {
    /// The accepted events as records after this one; for a dry run without the records.
    fn record(
        &self,
        shared: &Shared,
        row: &ScopeRow,
        append: &Append,
        acceptances: &[Acceptance],
        host_ms: u64,
        (validator, binding): (Digest, Seq),
    ) -> Result<Decided, Fault> {
        let events = accepted(&append.proposals, acceptances);
        if events.len() > shared.limits.append_events_max {
            return Err(bad_output("it wants more events stored than one append may hold"));
        }
        let mut records = Vec::with_capacity(events.len());
        let mut index: Vec<IndexRow> = Vec::new();
        // The rows of the event before, and what they were made of.
        let (mut rows, mut before) = (0..0, None);
        let mut hash = self.hash;
        for (n, (event, caller_ms)) in events.into_iter().enumerate() {
            let seq = self.head.plus(n as u64 + 1);
            let body = Body {
                seq,
                kind: event.kind.as_str(),
                content_type: event.content_type.clone(),
                payload: event.payload.as_slice(),
                keys: event.keys.as_slice(),
                triggers: event.triggers.as_slice(),
                metadata: event.metadata.as_slice(),
                caller_ms,
                host_ms,
                append_id: append.id,
                validator,
                binding,
            };
            let record =
                Record::encode(&hash, &body).map_err(|error| bad_output(error.to_string()))?;
            hash = record.hash();
            records.push(record);
            let (about, from) = ((&event.keys, &event.triggers), index.len());
            if before == Some(about) {
                // Each tag is a hash, and events of one append are most often about the same.
                index.extend_from_within(rows);
                index[from..].iter_mut().for_each(|row| row.seq = seq);
            } else {
                topics(&event.keys, &event.triggers, |topic| {
                    index.push(IndexRow { tag: shared.log.tag(row.id, topic), seq });
                });
            }
            (rows, before) = (from..index.len(), Some(about));
        }
        let reason = acceptances.iter().find_map(|acceptance| acceptance.reason.clone());
        if records.is_empty() {
            return Ok(nothing(Outcome::Noop { reason }, host_ms));
        }
        let meta = acceptances.iter().find_map(|acceptance| acceptance.meta.clone());
        let (first, last) = (self.head.next(), self.head.plus(records.len() as u64));
        if append.dry_run {
            // Where it would stand in the order of all scopes nobody knows.
            let place = |seq| Place { seq, position: Position(0) };
            let (first, last) = (place(first), place(last));
            let committed = Committed { first, last, hash, reason, meta };
            return Ok(nothing(Outcome::Committed(committed), host_ms));
        }
        let decision =
            Decision::Committed { first, last, reason: reason.clone(), meta: meta.clone() };
        let plan = Plan::Stored { reason, meta };
        let replaced = acceptances.iter().any(|acceptance| acceptance.instead.is_some());
        let proposed = replaced.then(|| append.proposals.clone());
        Ok(Decided { records, index, decision, plan, host_ms, proposed })
    }
}

/// The events to store: the proposals, or what the validator put in their place.
pub(super) fn accepted<'a>(
    proposals: &'a [Proposal],
    acceptances: &'a [Acceptance],
) -> Vec<(&'a Proposal, Option<u64>)> {
    let mut events = Vec::with_capacity(proposals.len());
    for (proposal, acceptance) in proposals.iter().zip(acceptances) {
        match &acceptance.instead {
            None => events.push((proposal, proposal.caller_ms)),
            Some(instead) => {
                events.extend(instead.iter().map(|event| (event, proposal.caller_ms)));
            }
        }
    }
    events
}

pub(crate) fn nothing(outcome: Outcome, host_ms: u64) -> Decided {
    let outcome = Box::new(outcome);
    let decision = Decision::Nothing(outcome.clone());
    Decided::answer(decision, Plan::Outcome(outcome), host_ms)
}

pub(crate) fn fault_outcome(shared: &Shared, fault: Fault) -> Outcome {
    match fault.kind {
        FaultKind::Timeout => Outcome::TimedOut { after_ms: shared.limits.call_ms_max },
        _ => Outcome::Faulted(fault),
    }
}

fn bad_output(detail: impl Into<String>) -> Fault {
    Fault { kind: FaultKind::BadOutput, detail: detail.into() }
}
