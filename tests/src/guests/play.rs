//! One scope of a guest, played step by step. Each question is put three times: twice to the instance
//! that folded all, once to one restored from its snapshot. All three must answer the same, and no
//! question may change the state.

use super::render;
use super::table::Step;
use atomic_store::validator::{
    Acceptance, Admission, History, Rules, Start, StartError, Validator, Verdict,
};
use atomic_store_core::record::{BodyIn, KeyIn};
use atomic_store_core::{AppendId, Digest, Fault, Proposal, ScopeName, Seq};
use serde_json::Value;
use std::sync::Arc;

/// The store's time of the first append; each next one is a second later.
const HOST_MS: u64 = 1_700_000_000_000;

/// A scope.
pub struct Played {
    rules: Arc<dyn Rules>,
    scope: ScopeName,
    config: Option<Vec<u8>>,
    instance: Box<dyn Validator>,
    head: u64,
}

impl Played {
    /// An empty scope.
    ///
    /// # Errors
    /// What [`Step::Start`] is answered with if the rules decline.
    ///
    /// # Panics
    /// If it is no name for a scope.
    pub fn start(
        rules: &Arc<dyn Rules>,
        scope: &str,
        config: Option<&[u8]>,
    ) -> Result<Played, Value> {
        let scope = ScopeName::new(scope).unwrap();
        let started = start(rules, &scope, config, None);
        let instance = started.map_err(|error| render::start(&error))?;
        let (rules, config) = (Arc::clone(rules), config.map(<[u8]>::to_vec));
        Ok(Played { rules, scope, config, instance, head: 0 })
    }

    /// Takes a step and tells the answer; nothing for what has none.
    ///
    /// # Panics
    /// If the guest fails at what may not fail, or answers the same question in different ways.
    pub fn step(&mut self, step: &Step) -> Option<Value> {
        match step {
            Step::Start => None,
            Step::Past(event) => {
                self.fold(&[event]);
                None
            }
            Step::Query(name, args) => {
                Some(self.ask(&|instance| render::answer(&instance.query(name, args))))
            }
            Step::Append(proposals) => Some(self.append(proposals)),
        }
    }

    /// Judges an append once and folds nothing, for those who measure.
    ///
    /// # Errors
    /// What the guest did instead of an answer.
    pub fn validate(&mut self, proposals: &[Proposal]) -> Result<Verdict, Fault> {
        let host_ms = self.host_ms();
        self.instance.validate(proposals, host_ms)
    }

    /// Fuel that the last call took, where the guest is one that takes any.
    pub fn fuel(&mut self) -> Option<u64> {
        self.instance.fuel()
    }

    /// What these events would be today, numbered from 1.
    ///
    /// # Errors
    /// What the guest did instead of an answer.
    pub fn upcast(&mut self, events: &[Proposal]) -> Result<Vec<Option<Proposal>>, Fault> {
        let host_ms = self.host_ms();
        let events: Vec<_> = (1..).zip(events).map(|(seq, it)| event(seq, host_ms, it)).collect();
        self.instance.upcast(&events)
    }

    /// Proposes an append, and folds what it becomes.
    fn append(&mut self, proposals: &[Proposal]) -> Value {
        let host_ms = self.host_ms();
        let told = self.ask(&|instance| render::verdict(&instance.validate(proposals, host_ms)));
        if let [proposal] = proposals {
            self.admits(proposal, &told);
        }
        if let Ok(Verdict::Accepted(accepted)) = self.instance.validate(proposals, host_ms) {
            let stored = accepted.iter().zip(proposals).flat_map(|(acceptance, proposal)| {
                acceptance.instead.as_deref().unwrap_or(std::slice::from_ref(proposal))
            });
            self.fold(&stored.collect::<Vec<_>>());
        }
        told
    }

    /// A guest that judges and folds in one call gives the same answer in it.
    fn admits(&mut self, proposal: &Proposal, told: &Value) {
        let (next, host_ms) = (Seq(self.head + 1), self.host_ms());
        let snapshot = self.snapshot();
        let mut other = self.restore(&snapshot).expect("the guest takes its own snapshot");
        let verdict = match other.admit(proposal, next, host_ms).expect("an answer") {
            None => return,
            Some(Admission::Folded) => Verdict::Accepted(vec![Acceptance::default()]),
            Some(Admission::Judged(verdict)) => verdict,
        };
        assert_eq!(&render::verdict(&Ok(verdict)), told, "the call that also folds says otherwise");
    }

    fn ask(&mut self, question: &dyn Fn(&mut dyn Validator) -> Value) -> Value {
        let before = self.snapshot();
        let mut restored = self.restore(&before).expect("the guest takes its own snapshot");
        let told = question(&mut *restored);
        assert!(told.get("fault").is_none(), "{told}");
        for _ in 0..2 {
            let again = question(&mut *self.instance);
            assert_eq!(again, told, "a restored instance answers otherwise, or the second time");
        }
        assert_eq!(self.snapshot(), before, "a question changed the state");
        told
    }

    fn fold(&mut self, events: &[&Proposal]) {
        let host_ms = self.host_ms();
        let events: Vec<_> = (self.head + 1..)
            .zip(events)
            .map(|(seq, proposal)| event(seq, host_ms, proposal))
            .collect();
        self.instance.apply(&events).expect("the guest folds what it accepted");
        self.head += events.len() as u64;
    }

    /// The state as bytes.
    ///
    /// # Panics
    /// If the guest gives none.
    pub fn snapshot(&mut self) -> Vec<u8> {
        self.instance.snapshot().expect("a snapshot").expect("the guest keeps snapshots")
    }

    /// An instance of the same scope from these bytes.
    ///
    /// # Errors
    /// As the guest says.
    pub fn restore(&self, snapshot: &[u8]) -> Result<Box<dyn Validator>, StartError> {
        start(&self.rules, &self.scope, self.config.as_deref(), Some(snapshot))
    }

    /// True if the guest declines these bytes as a state of a scope of this name, under this
    /// configuration, without a fault.
    ///
    /// # Panics
    /// If it is no name for a scope.
    #[must_use]
    pub fn declines(&self, scope: &str, config: Option<&[u8]>, snapshot: &[u8]) -> bool {
        let scope = ScopeName::new(scope).unwrap();
        let started = start(&self.rules, &scope, config, Some(snapshot));
        matches!(started, Err(StartError::Declined(_)))
    }

    fn host_ms(&self) -> u64 {
        HOST_MS + 1_000 * self.head
    }
}

fn start(
    rules: &Arc<dyn Rules>,
    scope: &ScopeName,
    config: Option<&[u8]>,
    snapshot: Option<&[u8]>,
) -> Result<Box<dyn Validator>, StartError> {
    rules.start(Start { scope, config, snapshot, history: Arc::new(NoHistory) })
}

fn event(seq: u64, host_ms: u64, proposal: &Proposal) -> BodyIn<'_> {
    BodyIn {
        seq: Seq(seq),
        kind: &proposal.kind,
        content_type: proposal.content_type.clone(),
        payload: &proposal.payload,
        keys: proposal.keys.iter().map(|key| KeyIn { kind: &key.kind, id: &key.id }).collect(),
        triggers: Vec::new(),
        metadata: proposal.metadata.iter().map(|(name, value)| (&**name, &**value)).collect(),
        caller_ms: proposal.caller_ms,
        host_ms,
        append_id: AppendId::default(),
        validator: Digest::default(),
        binding: Seq(1),
    }
}

/// These rules fold and do not look.
struct NoHistory;

impl History for NoHistory {
    fn head(&self) -> Seq {
        Seq::ZERO
    }

    fn read(&self, _: Seq, _: usize, _: &mut dyn FnMut(&BodyIn<'_>)) -> Result<(), String> {
        Ok(())
    }
}
