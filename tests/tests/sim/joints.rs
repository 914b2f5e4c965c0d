//! Joint appends of the simulated clients, and what must hold for them (P7): stored in all of their
//! scopes or in none, and told so.

use super::journal::{Refused, is_refusal, payload_hash};
use atomic_store_core::{
    Append, AppendId, JointAnswer, JointAppend, JointOutcome, Outcome, Part, ScopeName,
};
use atomic_store_tests::Rng;
use std::collections::BTreeMap;

/// What the clients sent and were told.
#[derive(Default)]
pub struct Joints(BTreeMap<AppendId, Known>);

struct Known {
    append: JointAppend,
    first: Option<JointOutcome>,
    /// See the model: refusals alone are not synced.
    forgettable: bool,
    /// True if the client was told since the last crash.
    confirmed: bool,
}

/// Joins appends to different scopes.
pub fn join(id: AppendId, appends: Vec<Append>) -> JointAppend {
    let parts = appends.into_iter().map(|append| Part {
        expected_head: append.expected_head,
        condition: append.condition,
        ..Part::new(append.scope, append.proposals)
    });
    JointAppend { id, repeated: false, dry_run: false, parts: parts.collect() }
}

impl Joints {
    pub fn sent(&mut self, append: JointAppend) {
        let known =
            Known { append: append.clone(), first: None, forgettable: false, confirmed: false };
        self.0.insert(append.id, known);
    }

    pub fn any_sent(&self, rng: &mut Rng) -> Option<JointAppend> {
        let index = rng.index(self.0.len().max(1));
        self.0.values().nth(index).map(|known| known.append.clone())
    }

    pub fn all_sent(&self) -> Vec<JointAppend> {
        self.0.values().map(|known| known.append.clone()).collect()
    }

    pub fn is_decided(&self) -> bool {
        self.0.values().all(|known| known.first.is_some())
    }

    pub fn may_forget_refusals(&mut self) {
        for known in self.0.values_mut() {
            (known.forgettable, known.confirmed) = (true, false);
        }
    }

    /// P4: whoever asks again under the same id gets the first outcome.
    pub fn answered(&mut self, seed: u64, id: AppendId, answer: &JointAnswer) {
        let Some(known) = self.0.get_mut(&id) else { return };
        let stored = match &answer.outcome {
            JointOutcome::Refused(part) if !part.outcome.is_decided() => return,
            JointOutcome::Refused(_) => false,
            JointOutcome::Committed(parts) => {
                // In the order in which the client named them.
                let named = known.append.parts.iter().map(|part| &part.scope);
                assert!(named.eq(parts.iter().map(|part| &part.scope)), "seed {seed}: {id}");
                true
            }
            other => panic!("seed {seed}: {other:?}"),
        };
        if let Some(first) = known.first.as_ref().filter(|first| **first != answer.outcome) {
            let was_stored = matches!(first, JointOutcome::Committed(parts)
                if parts.iter().any(|part| matches!(part.outcome, Outcome::Committed(_))));
            assert!(
                known.forgettable && !was_stored,
                "seed {seed}: {id} was first {first:?}, then {stored}: {:?}",
                answer.outcome
            );
        }
        (known.first, known.confirmed) = (Some(answer.outcome.clone()), true);
    }

    /// The part of a scope, as an append.
    pub fn part(&self, id: AppendId, scope: &ScopeName) -> Option<Append> {
        let joint = &self.0.get(&id)?.append;
        let part = joint.parts.iter().find(|part| part.scope == *scope)?;
        Some(part.clone().into_append(id, false, false))
    }

    /// All parts of a scope, with what the client was told about them. If another scope refused, the
    /// part must not be there, as if it had come to nothing.
    pub fn told(&self, scope: &ScopeName) -> Vec<(Append, Option<Outcome>)> {
        let part = |known: &Known| {
            let append = self.part(known.append.id, scope)?;
            let outcome = known.first.as_ref().map(|first| match first {
                JointOutcome::Committed(parts) => {
                    let part = parts.iter().find(|part| part.scope == *scope);
                    part.unwrap().outcome.clone()
                }
                JointOutcome::Refused(part) if part.scope == *scope => part.outcome.clone(),
                _ => Outcome::Noop { reason: None },
            });
            Some((append, outcome))
        };
        self.0.values().filter_map(part).collect()
    }

    /// What clients know to be refused, each with the scope that did.
    pub fn refused(&self) -> Vec<Refused> {
        let refused = |(id, known): (&AppendId, &Known)| {
            let Some(JointOutcome::Refused(part)) = &known.first else { return None };
            let (scope, outcome) = (part.scope.clone(), part.outcome.clone());
            let proposals = self.part(*id, &scope)?.proposals;
            let payload_hash = payload_hash(&proposals);
            let (id, confirmed) = (*id, known.confirmed);
            let refused = Refused { id, scope, outcome, payload_hash, confirmed };
            is_refusal(&refused.outcome).then_some(refused)
        };
        self.0.iter().filter_map(refused).collect()
    }

    /// How many were accepted.
    pub fn committed(&self) -> usize {
        let committed = |known: &&Known| matches!(known.first, Some(JointOutcome::Committed(_)));
        self.0.values().filter(committed).count()
    }
}
