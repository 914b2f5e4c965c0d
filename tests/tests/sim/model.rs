//! What must hold, whatever happened: the oracle of the simulator.

use super::conditions;
use super::joints::Joints;
use super::journal::{Refused, is_refusal, payload_hash};
use atomic_store_core::{
    Answer, Append, AppendId, Event, ExpectedHead, Outcome, Proposal, ScopeName, Seq,
};
use atomic_store_tests::{Op, Rng, ScriptedState};
use std::collections::BTreeMap;

/// Everything the clients sent, were told and saw.
pub struct Model {
    seed: u64,
    appends: BTreeMap<AppendId, Known>,
    pub joints: Joints,
    seen: BTreeMap<ScopeName, Vec<Event>>,
    trace: Vec<u8>,
}

struct Known {
    append: Append,
    /// The first outcome that the client learned, if it was a decision.
    first: Option<Outcome>,
    /// True if a crash may have taken the memory of a refusal with it: refusals alone are not synced.
    forgettable: bool,
    /// True if the client was told since the last crash.
    confirmed: bool,
}

impl Model {
    pub fn new(seed: u64) -> Self {
        let (joints, trace) = (Joints::default(), Vec::new());
        Model { seed, appends: BTreeMap::new(), joints, seen: BTreeMap::new(), trace }
    }

    pub fn sent(&mut self, append: Append) {
        let known =
            Known { append: append.clone(), first: None, forgettable: false, confirmed: false };
        self.appends.insert(append.id, known);
    }

    pub fn any_sent(&self, rng: &mut Rng) -> Option<Append> {
        let index = rng.index(self.appends.len().max(1));
        self.appends.values().nth(index).map(|known| known.append.clone())
    }

    pub fn all_sent(&self) -> Vec<Append> {
        self.appends.values().map(|known| known.append.clone()).collect()
    }

    /// What was proposed under an id to a scope.
    pub fn sent_to(&self, id: AppendId, scope: &ScopeName) -> Option<Vec<Proposal>> {
        let own = self.appends.get(&id).filter(|known| known.append.scope == *scope);
        let part = || self.joints.part(id, scope).map(|part| part.proposals);
        own.map(|known| known.append.proposals.clone()).or_else(part)
    }

    /// What clients know to be refused.
    pub fn refused(&self) -> Vec<Refused> {
        let told = |known: &Known| {
            let outcome = known.first.clone().filter(is_refusal)?;
            let Append { id, scope, proposals, .. } = &known.append;
            let payload_hash = payload_hash(proposals);
            let (id, scope, confirmed) = (*id, scope.clone(), known.confirmed);
            Some(Refused { id, scope, outcome, payload_hash, confirmed })
        };
        let mut refused: Vec<_> = self.appends.values().filter_map(told).collect();
        refused.extend(self.joints.refused());
        refused
    }

    pub fn proposals(&self, id: AppendId) -> Option<Vec<Proposal>> {
        self.appends.get(&id).map(|known| known.append.proposals.clone())
    }

    /// True if every append got a decision.
    pub fn is_decided(&self) -> bool {
        self.appends.values().all(|known| known.first.is_some()) && self.joints.is_decided()
    }

    /// The head as far as clients know.
    pub fn head(&self, scope: &ScopeName) -> Seq {
        self.seen.get(scope).map_or(Seq::ZERO, |events| Seq(events.len() as u64))
    }

    pub fn may_forget_refusals(&mut self) {
        for known in self.appends.values_mut() {
            (known.forgettable, known.confirmed) = (true, false);
        }
        self.joints.may_forget_refusals();
    }

    pub fn trace(&self) -> Vec<u8> {
        self.trace.clone()
    }

    /// P4: whoever asks again under the same id gets the first outcome.
    pub fn answered(&mut self, id: AppendId, answer: &Answer) {
        self.trace.extend(id.0);
        self.trace.extend(answer.outcome.word().bytes());
        let seed = self.seed;
        let Some(known) = self.appends.get_mut(&id) else { return };
        if !answer.outcome.is_decided() {
            return;
        }
        known.confirmed = true;
        match &known.first {
            None => known.first = Some(answer.outcome.clone()),
            Some(first) if *first == answer.outcome => {}
            Some(first) => {
                let stored = matches!(first, Outcome::Committed(_));
                assert!(
                    known.forgettable && !stored,
                    "seed {seed}: {id} was first {first:?}, then {:?}",
                    answer.outcome
                );
                known.first = Some(answer.outcome.clone());
            }
        }
    }

    /// P3: what was once read stays, and what is read later only adds to it.
    pub fn saw(&mut self, scope: &ScopeName, events: &[Event]) {
        let seen = self.seen.entry(scope.clone()).or_default();
        assert!(events.len() >= seen.len(), "seed {}: {scope} became shorter", self.seed);
        assert_eq!(&events[..seen.len()], &seen[..], "seed {}: {scope} changed", self.seed);
        *seen = events.to_vec();
    }

    /// P1, P2, P4, P5, P6 on the finished log of one scope.
    pub fn check_scope(&self, scope: &ScopeName, events: &[Event]) {
        let seed = self.seed;
        let mut stored: BTreeMap<AppendId, Vec<&Event>> = BTreeMap::new();
        let mut order: Vec<AppendId> = Vec::new();
        let mut host_ms = 0;
        for event in events {
            assert!(event.host_ms >= host_ms, "seed {seed}: time fell in {scope}");
            host_ms = event.host_ms;
            if order.last() != Some(&event.append_id) {
                // P2 and P4: the events of an append stand together, and stand there once.
                assert!(!order.contains(&event.append_id), "seed {seed}: {scope} holds one twice");
                order.push(event.append_id);
            }
            stored.entry(event.append_id).or_default().push(event);
        }
        let mut state = ScriptedState::default();
        for id in &order {
            let append = self.appends.get(id).map(|known| known.append.clone());
            let append = append.or_else(|| self.joints.part(*id, scope));
            let append = append.unwrap_or_else(|| panic!("seed {seed}: foreign event"));
            assert_eq!(append.scope, *scope, "seed {seed}");
            self.check_stored(&mut state, &append, &stored[id]);
            let before = usize::try_from(stored[id][0].seq.0 - 1).unwrap();
            conditions::check_stored(seed, &append, &events[..before]);
        }
        for (id, known) in &self.appends {
            if known.append.scope == *scope {
                self.check_told(known, stored.get(id).map_or(&[], Vec::as_slice), events);
            }
        }
        for (append, first) in self.joints.told(scope) {
            let stored = stored.get(&append.id).map_or(&[][..], Vec::as_slice);
            self.check_told(
                &Known { append, first, forgettable: false, confirmed: true },
                stored,
                events,
            );
        }
    }

    /// P2 and P5: all of the append is there, and the rule allows it after exactly what precedes it.
    fn check_stored(&self, state: &mut ScriptedState, append: &Append, stored: &[&Event]) {
        let seed = self.seed;
        if let ExpectedHead::Exactly(head) = append.expected_head {
            assert_eq!(stored[0].seq, head.next(), "seed {seed}: stored at another head");
        }
        let mut expected = Vec::new();
        for proposal in &append.proposals {
            match Op::read(&proposal.payload).unwrap() {
                Op::Add(n) => {
                    assert!(state.allows(n), "seed {seed}: stored against the rule");
                    state.sum += n;
                    expected.push(Op::Add(n).payload());
                }
                Op::Ones(n) => {
                    state.sum += n;
                    expected.extend((0..n).map(|_| Op::Add(1).payload()));
                }
                Op::Noop => {}
                other => panic!("seed {seed}: {other:?} was stored"),
            }
        }
        let found: Vec<_> = stored.iter().map(|event| event.payload.clone()).collect();
        assert_eq!(found, expected, "seed {seed}: an append is stored in part");
        state.count += found.len() as u64;
    }

    /// P1 and P4: what a client was told is what the log says.
    fn check_told(&self, known: &Known, stored: &[&Event], log: &[Event]) {
        let (seed, id) = (self.seed, known.append.id);
        match &known.first {
            None => panic!("seed {seed}: {id} was asked for at the end and never decided"),
            Some(Outcome::Committed(committed)) => {
                let (first, last) = (stored.first().unwrap(), stored.last().unwrap());
                assert_eq!(committed.first.seq, first.seq, "seed {seed}");
                assert_eq!(committed.first.position, first.position, "seed {seed}");
                assert_eq!(committed.last.seq, last.seq, "seed {seed}");
                assert_eq!(committed.last.position, last.position, "seed {seed}");
                assert_eq!(committed.hash, last.hash, "seed {seed}");
            }
            Some(outcome) => {
                assert!(stored.is_empty(), "seed {seed}: {id} is stored but was {outcome:?}");
                if let Outcome::Conflict { conflicts, .. } = outcome {
                    conditions::check_conflicts(seed, &known.append, conflicts, log);
                }
            }
        }
    }
}
