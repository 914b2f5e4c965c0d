//! Joint appends: stored in all of their scopes, or in none.
//!
//! The letter goes through the mailboxes of its scopes one after the other, in the order of their
//! names. A loop that comes to it parks and passes it on; the last one decides for all. As everybody
//! goes in the same order nobody waits in a circle, and as mailboxes are queues nobody waits for ever.

use super::decided::{Decided, Fold};
use super::handle::Engine;
use super::item::{Item, Plan, undecided};
use super::mailbox::{Cell, Letter};
use super::reply::ReplyTo;
use super::scope_loop::{ScopeLoop, Step};
use super::shadow::Fate;
use super::shared::Shared;
use crate::log::{Decision, JointDecision, JointPart, JointRefusal, ScopeRow, Unit};
use atomic_store_core::{
    Append, AppendId, JointAnswer, JointAppend, JointOutcome, Outcome, Overload, PartOutcome,
    Proposal, ScopeName,
};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, MutexGuard, PoisonError};

/// A joint append on its way through its scopes.
pub(crate) struct Joint {
    /// The parts, by the names of their scopes.
    appends: Vec<Append>,
    /// Where each part of the client's is among them.
    order: Vec<usize>,
    /// The scopes that are parked for it: the first of them.
    held: Vec<Arc<Cell>>,
    bytes: usize,
    to: Arc<dyn ReplyTo>,
    call: u64,
}

/// Where the answer to a joint append goes, and how it is made.
pub(crate) struct JointReply {
    to: Arc<dyn ReplyTo>,
    call: u64,
    order: Vec<usize>,
    /// The first scope by name.
    first: ScopeName,
    plan: JointPlan,
}

enum JointPlan {
    /// What each scope did, by name; from the units.
    Stored(Vec<Plan>),
    /// This scope did not accept; from the only unit.
    Refused(ScopeName, Plan),
    /// It had been decided before. Its scopes as they are now.
    Earlier(AppendId, Decision, Vec<Arc<ScopeRow>>),
}

/// What came of all scopes together.
enum Considered {
    Accepted(Vec<Decided>),
    Refused(usize, Box<Decided>),
    Undecided(usize, Outcome),
    Earlier(Decision),
}

/// The loops of parked scopes.
type Bodies<'a> = Vec<MutexGuard<'a, ScopeLoop>>;

impl Engine {
    /// Decides an append to several scopes. Never blocks; exactly one answer goes to `to`, at once if
    /// the append cannot be taken.
    pub fn append_joint(&self, append: JointAppend, to: &Arc<dyn ReplyTo>, call: u64) {
        let shared = &self.shared;
        let refuse = |scope: ScopeName, outcome| to.joint(call, refused(scope, outcome, false));
        let first = append.parts.iter().map(|part| &part.scope).min();
        let first = first.cloned().unwrap_or_else(ScopeName::system);
        if let Err(invalid) = shared.limits.check_joint(&append) {
            return refuse(first, Outcome::Invalid { field: invalid.field, why: invalid.why });
        }
        if !shared.log.has_room() {
            return refuse(first, Outcome::Overloaded(Overload::Disk));
        }
        let proposals = append.parts.iter().flat_map(|part| &part.proposals);
        let bytes = proposals.map(Proposal::size).sum();
        if let Err(full) = shared.in_flight.admit(bytes) {
            return refuse(first, Outcome::Overloaded(full));
        }
        if let Some(why) = shared.read_only() {
            shared.in_flight.release(bytes);
            return refuse(first, Outcome::ReadOnly { why });
        }
        let JointAppend { id, repeated, dry_run, parts } = append;
        let mut numbered: Vec<_> = parts.into_iter().enumerate().collect();
        numbered.sort_by(|(_, a), (_, b)| a.scope.cmp(&b.scope));
        let mut order = vec![0; numbered.len()];
        for (at, (asked, _)) in numbered.iter().enumerate() {
            order[*asked] = at;
        }
        let append =
            |(_, part): (usize, atomic_store_core::Part)| part.into_append(id, repeated, dry_run);
        let appends = numbered.into_iter().map(append).collect();
        let to = Arc::clone(to);
        Box::new(Joint { appends, order, held: Vec::new(), bytes, to, call }).pass_on(shared);
    }
}

impl Joint {
    /// The scope has parked its loop for this.
    pub(crate) fn hold(&mut self, cell: &Arc<Cell>) {
        self.held.push(Arc::clone(cell));
    }

    /// Goes to the next scope; decides if there is none.
    pub(crate) fn pass_on(self: Box<Self>, shared: &Arc<Shared>) {
        let Some(next) = self.appends.get(self.held.len()) else { return self.decide(shared) };
        let scope = next.scope.clone();
        if let Some(work) = shared.send(&scope, Letter::Joint(self), false) {
            shared.schedule(work);
        }
    }

    /// Answers with what kept it from the next scope.
    pub(crate) fn refuse_next(self, shared: &Arc<Shared>, outcome: Outcome) {
        let at = self.held.len();
        self.refuse(shared, at, outcome);
    }

    fn refuse(self, shared: &Arc<Shared>, at: usize, outcome: Outcome) {
        shared.in_flight.release(self.bytes);
        let scope = self.appends[at.min(self.appends.len() - 1)].scope.clone();
        self.to.joint(self.call, refused(scope, outcome, false));
        self.held.iter().for_each(|cell| cell.unpark(shared));
    }

    /// Decides for all scopes, whose loops are parked, and lets them go on.
    fn decide(self, shared: &Arc<Shared>) {
        let held = self.held.clone();
        let mut bodies: Bodies<'_> = held.iter().map(|cell| lock(cell)).collect();
        let considered = AssertUnwindSafe(|| self.consider(shared, &mut bodies));
        let considered = std::panic::catch_unwind(considered).unwrap_or_else(|_| {
            shared.fail("a joint append panicked");
            let why = "its validators were not heard to the end; ask again after a restart";
            Considered::Undecided(0, Outcome::Unknown { why: why.to_owned() })
        });
        match considered {
            Considered::Undecided(at, outcome) => {
                drop(bodies);
                self.refuse(shared, at, outcome);
            }
            decided => {
                let mut items = Vec::new();
                self.hand_over(shared, &mut bodies, decided, &mut items);
                shared.committer.hand(shared, &mut items);
                drop(bodies);
                held.iter().for_each(|cell| cell.unpark(shared));
            }
        }
    }

    /// Asks all scopes. No state changes unless all accept.
    fn consider(&self, shared: &Arc<Shared>, bodies: &mut Bodies<'_>) -> Considered {
        for (at, body) in bodies.iter_mut().enumerate() {
            if let Err(outcome) = body.load(shared, &self.held[at]) {
                return Considered::Undecided(at, outcome);
            }
        }
        match bodies[0].earlier(shared, &self.appends[0]) {
            Ok(None) => {}
            Ok(Some(decision)) => return Considered::Earlier(decision),
            Err(outcome) => return Considered::Undecided(0, outcome),
        }
        let mut accepted = Vec::with_capacity(bodies.len());
        for at in 0..bodies.len() {
            match bodies[at].consider(shared, &self.appends[at], Fold::Later) {
                Ok(Step::Decided(decided)) if decided.accepts() => accepted.push(decided),
                Ok(Step::Decided(decided)) => {
                    self.offer(shared, bodies, &accepted, Fate::RefusedByOthers);
                    return Considered::Refused(at, Box::new(decided));
                }
                Ok(Step::Ask(_)) => return Considered::Undecided(at, not_originator()),
                Err(outcome) => return Considered::Undecided(at, outcome),
            }
        }
        for at in 0..bodies.len() {
            let end = match bodies[at].fold_later(shared, &accepted[at]) {
                Ok(None) => continue,
                Ok(Some(refused)) => {
                    self.offer(shared, bodies, &accepted, Fate::RefusedByOthers);
                    Considered::Refused(at, Box::new(refused))
                }
                Err(outcome) => Considered::Undecided(at, outcome),
            };
            // These have folded what is not stored.
            bodies[..=at].iter_mut().for_each(|body| body.drop_instance());
            return end;
        }
        self.offer(shared, bodies, &accepted, Fate::Decided);
        Considered::Accepted(accepted)
    }

    /// Leaves what the first scopes decided for the candidates of their bindings.
    fn offer(&self, shared: &Shared, bodies: &Bodies<'_>, decided: &[Decided], fate: Fate) {
        for ((body, append), decided) in bodies.iter().zip(&self.appends).zip(decided) {
            body.offer(shared, append, decided, fate);
        }
    }

    /// Puts what was decided on the way to the committer, as one.
    fn hand_over(
        self,
        shared: &Arc<Shared>,
        bodies: &mut Bodies<'_>,
        considered: Considered,
        items: &mut Vec<Item>,
    ) {
        let Append { id, repeated, dry_run, .. } = self.appends[0];
        if repeated && !dry_run {
            shared.repeats.note(id);
        }
        let remember = |decision| (!dry_run).then_some((id, Decision::Joint(Box::new(decision))));
        let mut units = Vec::with_capacity(bodies.len());
        let plan = match considered {
            Considered::Accepted(accepted) => {
                let parts = self.appends.iter().zip(&accepted);
                let parts = parts.map(|(append, decided)| part(&append.scope, decided)).collect();
                let mut remembered = remember(JointDecision::Stored(parts));
                let mut plans = Vec::with_capacity(accepted.len());
                for (at, decided) in accepted.into_iter().enumerate() {
                    let (unit, plan) = bodies[at].hand_over(shared, decided, remembered.take());
                    units.push((Arc::clone(&self.held[at]), unit));
                    plans.push(plan);
                }
                JointPlan::Stored(plans)
            }
            Considered::Refused(at, decided) => {
                let scope = self.appends[at].scope.clone();
                let why = refusal(&decided);
                let remembered = remember(JointDecision::Refused { scope: scope.clone(), why });
                // Behind what all the scopes have handed over, so that this is durable when the
                // answer leaves.
                let rejection = bodies[at].rejection(shared, &self.appends[at], &decided);
                let (mut unit, plan) = bodies[0].hand_over(shared, *decided, remembered);
                unit.rejection = rejection;
                units.push((Arc::clone(&self.held[0]), unit));
                JointPlan::Refused(scope, plan)
            }
            Considered::Earlier(decision) => {
                let rows = bodies.iter().map(|body| Arc::clone(body.row())).collect();
                let outcome = Plan::Outcome(Box::new(Outcome::Noop { reason: None }));
                let nothing = Decided::answer(decision.clone(), outcome, 0);
                let (unit, _) = bodies[0].hand_over(shared, nothing, None);
                units.push((Arc::clone(&self.held[0]), unit));
                JointPlan::Earlier(id, decision, rows)
            }
            Considered::Undecided(..) => return,
        };
        let Joint { appends, order, held, bytes, to, call } = self;
        let first = appends[0].scope.clone();
        Item::joint(units, JointReply { to, call, order, first, plan }, bytes, items);
        for (body, cell) in bodies.iter_mut().zip(&held) {
            body.save_when_due(shared, cell, items);
        }
    }
}

impl JointReply {
    pub(crate) fn send(self, shared: &Shared, units: &[Unit], error: Option<&String>) {
        let JointReply { to, call, order, first, plan } = self;
        let answer = match (error, plan) {
            (Some(why), _) => refused(first, undecided(why).outcome, false),
            (None, JointPlan::Stored(plans)) => {
                let outcomes = plans.into_iter().zip(units).map(|(plan, unit)| PartOutcome {
                    scope: unit.scope.name.clone(),
                    outcome: plan.answer(shared, unit).outcome,
                });
                all(outcomes.collect(), &order, false)
            }
            (None, JointPlan::Refused(scope, plan)) => match units.last() {
                Some(unit) => refused(scope, plan.answer(shared, unit).outcome, false),
                None => refused(scope, undecided("the unit is gone").outcome, false),
            },
            (None, JointPlan::Earlier(id, decision, rows)) => {
                earlier(shared, id, decision, &rows, first, &order)
            }
        };
        to.joint(call, answer);
    }
}

/// The answer to a joint append that had been decided before; its events are durable.
fn earlier(
    shared: &Shared,
    id: AppendId,
    decision: Decision,
    rows: &[Arc<ScopeRow>],
    first: ScopeName,
    order: &[usize],
) -> JointAnswer {
    let Decision::Joint(decision) = decision else { return refused(first, other_use(), true) };
    match *decision {
        JointDecision::Stored(parts) => {
            if !parts.iter().map(|part| &part.scope).eq(rows.iter().map(|row| &row.name)) {
                return refused(first, other_use(), true);
            }
            let outcomes = parts.into_iter().zip(rows).map(|(part, row)| {
                let JointPart { scope, events, reason, meta } = part;
                let outcome = match events {
                    None => Outcome::Noop { reason },
                    Some((first, last)) => {
                        let decision = Decision::Committed { first, last, reason, meta };
                        shared.earlier(row, id, decision).outcome
                    }
                };
                PartOutcome { scope, outcome }
            });
            all(outcomes.collect(), order, true)
        }
        JointDecision::Refused { scope, why } => {
            let Some(row) = rows.iter().find(|row| row.name == scope) else {
                return refused(first, other_use(), true);
            };
            let decision = match why {
                JointRefusal::Outcome(outcome) => Decision::Nothing(Box::new(outcome)),
                JointRefusal::Conflict { accepted, rows } => Decision::Conflict { accepted, rows },
            };
            refused(scope, shared.earlier(row, id, decision).outcome, true)
        }
    }
}

/// What each scope did, by name, in the order of the client; or the first that cannot tell any more.
fn all(mut outcomes: Vec<PartOutcome>, order: &[usize], duplicate: bool) -> JointAnswer {
    let good =
        |part: &PartOutcome| matches!(part.outcome, Outcome::Committed(_) | Outcome::Noop { .. });
    if let Some(bad) = outcomes.iter().position(|part| !good(part)) {
        let PartOutcome { scope, outcome } = outcomes.swap_remove(bad);
        return refused(scope, outcome, duplicate);
    }
    let outcomes = order.iter().filter_map(|at| outcomes.get(*at).cloned()).collect();
    JointAnswer { outcome: JointOutcome::Committed(outcomes), duplicate }
}

fn part(scope: &ScopeName, decided: &Decided) -> JointPart {
    let scope = scope.clone();
    match &decided.decision {
        Decision::Committed { first, last, reason, meta } => {
            let events = Some((*first, *last));
            JointPart { scope, events, reason: reason.clone(), meta: meta.clone() }
        }
        Decision::Nothing(outcome) => {
            let reason = match &**outcome {
                Outcome::Noop { reason } => reason.clone(),
                _ => None,
            };
            JointPart { scope, events: None, reason, meta: None }
        }
        _ => JointPart { scope, events: None, reason: None, meta: None },
    }
}

fn refusal(decided: &Decided) -> JointRefusal {
    match &decided.decision {
        Decision::Conflict { accepted, rows } => {
            JointRefusal::Conflict { accepted: *accepted, rows: rows.clone() }
        }
        Decision::Nothing(outcome) => JointRefusal::Outcome(Outcome::clone(outcome)),
        _ => JointRefusal::Outcome(other_use()),
    }
}

fn refused(scope: ScopeName, outcome: Outcome, duplicate: bool) -> JointAnswer {
    let outcome = JointOutcome::Refused(PartOutcome { scope, outcome });
    JointAnswer { outcome, duplicate }
}

/// An id that stands for something else already.
pub(crate) fn other_use() -> Outcome {
    let why = "this id was used for another append, or for other scopes; take a new one";
    Outcome::Invalid { field: "id".to_owned(), why: why.to_owned() }
}

fn not_originator() -> Outcome {
    let why = "a scope bound to originator cannot take part in a joint append; append to it alone";
    Outcome::Invalid { field: "scope".to_owned(), why: why.to_owned() }
}

fn lock(cell: &Cell) -> MutexGuard<'_, ScopeLoop> {
    cell.body.lock().unwrap_or_else(PoisonError::into_inner)
}
