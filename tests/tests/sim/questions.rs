//! Clients of a scope bound to `originator`: asked about their own appends, they answer by the rule that
//! the scripted validator has elsewhere, or late, or not at all.

use atomic_store::engine::{Asked, Engine, ReplyTo};
use atomic_store_core::{OriginatorVerdict, Proposal, Question, Reason, Seq};
use atomic_store_tests::{Inbox, Op, Rng, ScriptedState};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What clients were asked and have not answered.
#[derive(Default)]
pub struct Questions {
    open: BTreeMap<u64, (u64, Question)>,
    /// Answered, timed out or withdrawn: not to be taken again.
    past: Vec<u64>,
}

impl Questions {
    /// Takes in what came; the past events are on their way.
    pub fn collect(&mut self, engine: &Engine, inbox: &Inbox) {
        for (call, Asked { question, .. }) in inbox.asked() {
            // It may have timed out while the past events were sent.
            if engine.put_question(question.correlation) {
                self.open.insert(question.correlation, (call, question));
            }
        }
    }

    /// One client does something about a question: mostly, it answers.
    pub fn step(
        &mut self,
        seed: u64,
        engine: &Engine,
        inbox: &Arc<Inbox>,
        rng: &mut Rng,
        proposed: impl Fn(u64) -> Vec<Proposal>,
    ) {
        let to: Arc<dyn ReplyTo> = Arc::clone(inbox) as _;
        if let Some(correlation) = self.past.get(rng.index(self.past.len().max(1))) {
            let late = OriginatorVerdict::Pass { reason: None, meta: None };
            let late = engine.judge(*correlation, late, &to);
            assert!(late.is_err(), "seed {seed}: question {correlation} was answered twice");
        }
        let stranger: Arc<dyn ReplyTo> = Arc::<Inbox>::default();
        let nth = rng.index(self.open.len().max(1));
        let Some((&correlation, (call, question))) = self.open.iter().nth(nth) else { return };
        let verdict = verdict(engine, &proposed(*call), question);
        let foreign = engine.judge(correlation, verdict.clone(), &stranger);
        assert!(foreign.is_err(), "seed {seed}: somebody else answered {correlation}");
        if rng.one_in(8) {
            engine.withdraw(&to, Some(*call), "it went away");
        } else {
            // Refused if its time was over.
            drop(engine.judge(correlation, verdict, &to));
        }
        self.open.remove(&correlation);
        self.past.push(correlation);
    }

    /// A crash ends connections, and numbers begin anew.
    pub fn clear(&mut self) {
        self.open.clear();
        self.past.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

/// Passes what the rule allows after the events that are durable, which are all before.
fn verdict(engine: &Engine, proposed: &[Proposal], question: &Question) -> OriginatorVerdict {
    let mut state = ScriptedState::default();
    let read = engine.read(&question.scope, Seq::ZERO, question.head, &mut |view| {
        state.fold(view.decode().unwrap().payload).unwrap();
        ControlFlow::Continue(())
    });
    let allowed = |proposal: &Proposal| match Op::read(&proposal.payload) {
        Some(Op::Add(n)) if state.allows(n) => {
            state.sum += n;
            true
        }
        _ => false,
    };
    // A read that was planned to fail: the client cannot know, so it refuses.
    let pass = read.is_ok() && !proposed.is_empty() && proposed.iter().all(allowed);
    if pass {
        return OriginatorVerdict::Pass { reason: None, meta: Some(vec![7]) };
    }
    let (code, message) = ("no".to_owned(), "as the rule says".to_owned());
    let reasons = vec![Reason { code, message, data: None, seqs: Vec::new() }];
    OriginatorVerdict::Fail { reasons, meta: None }
}
