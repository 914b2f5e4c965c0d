//! One run of a component: an instance, and the events that it has been given.

use crate::validator::{Admission, History, Rules, Start, StartError, Validator, Verdict};
use atomic_store_core::record::{BodyIn, KeyIn};
use atomic_store_core::{AppendId, Digest, Event, Fault, Position, Proposal, ScopeName, Seq};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The events of a run, as the instance may look them up.
#[derive(Default)]
pub(super) struct Past(Mutex<Vec<Event>>);

impl Past {
    pub(super) fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History for Past {
    fn head(&self) -> Seq {
        Seq(self.events().len() as u64)
    }

    fn read(
        &self,
        after: Seq,
        limit: usize,
        each: &mut dyn FnMut(&BodyIn<'_>),
    ) -> Result<(), String> {
        let events = self.events();
        let from = usize::try_from(after.0).unwrap_or(usize::MAX).min(events.len());
        events[from..].iter().take(limit).for_each(|event| each(&body(event)));
        Ok(())
    }
}

/// What to start instances from.
pub(super) struct Setting<'a> {
    pub(super) rules: &'a dyn Rules,
    pub(super) scope: ScopeName,
    pub(super) config: Option<&'a [u8]>,
    /// True if whoever asks for the test asks for this configuration; otherwise it is what happens to be
    /// bound, or none.
    pub(super) wanted: bool,
}

/// An instance with its past.
pub(super) struct Lane<'a> {
    setting: &'a Setting<'a>,
    validator: Box<dyn Validator>,
    pub(super) past: Arc<Past>,
}

impl<'a> Lane<'a> {
    /// An instance from nothing, or from a snapshot and the events before it.
    pub(super) fn start(
        setting: &'a Setting<'a>,
        snapshot: Option<&[u8]>,
        events: &[Event],
    ) -> Result<Self, StartError> {
        let past = Arc::new(Past(Mutex::new(events.to_vec())));
        let (scope, config) = (&setting.scope, setting.config);
        let history = Arc::clone(&past) as Arc<dyn History>;
        let validator = setting.rules.start(Start { scope, config, snapshot, history })?;
        Ok(Lane { setting, validator, past })
    }

    /// The same past with a new instance, after a fault or to compare with.
    pub(super) fn refolded(&self) -> Result<Self, StartError> {
        let mut lane = Lane::start(self.setting, None, &[])?;
        let events = self.past.events().clone();
        if !events.is_empty() {
            lane.fold(&events).map_err(StartError::Fault)?;
        }
        Ok(lane)
    }

    pub(super) fn validate(&mut self, proposal: &Proposal, ms: u64) -> Result<Verdict, Fault> {
        self.validator.validate(std::slice::from_ref(proposal), ms)
    }

    /// Judges and folds in one call; nothing if the component does not offer that.
    pub(super) fn admit(
        &mut self,
        proposal: &Proposal,
        ms: u64,
    ) -> Result<Option<Admission>, Fault> {
        let seq = Seq(self.head() as u64 + 1);
        let admission = self.validator.admit(proposal, seq, ms)?;
        if admission == Some(Admission::Folded) {
            self.past.events().push(event(proposal, seq, ms));
        }
        Ok(admission)
    }

    /// Folds events, as history or as just accepted, and remembers them.
    pub(super) fn fold(&mut self, events: &[Event]) -> Result<(), Fault> {
        let bodies: Vec<_> = events.iter().map(body).collect();
        self.validator.apply(&bodies)?;
        self.past.events().extend_from_slice(events);
        Ok(())
    }

    pub(super) fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        self.validator.snapshot()
    }

    pub(super) fn query(
        &mut self,
        name: &str,
        args: &[u8],
    ) -> Result<Result<Vec<u8>, String>, Fault> {
        self.validator.query(name, args)
    }

    pub(super) fn fuel(&mut self) -> Option<u64> {
        self.validator.fuel()
    }

    pub(super) fn head(&self) -> usize {
        self.past.events().len()
    }
}

/// The events that a verdict stores, numbered after a head.
pub(super) fn events(verdict: &Verdict, proposal: &Proposal, head: usize, ms: u64) -> Vec<Event> {
    let Verdict::Accepted(acceptances) = verdict else { return Vec::new() };
    let stored = acceptances.iter().flat_map(|acceptance| {
        acceptance.instead.as_deref().unwrap_or(std::slice::from_ref(proposal))
    });
    stored.zip(1..).map(|(stored, n)| event(stored, Seq((head + n) as u64), ms)).collect()
}

fn event(proposal: &Proposal, seq: Seq, host_ms: u64) -> Event {
    let Proposal { kind, content_type, payload, keys, triggers, metadata, caller_ms } =
        proposal.clone();
    Event {
        seq,
        position: Position(0),
        kind,
        content_type,
        payload,
        keys,
        triggers,
        metadata,
        caller_ms,
        host_ms,
        append_id: AppendId::default(),
        validator: Digest::default(),
        binding: Seq::ZERO,
        previous: Digest::default(),
        hash: Digest::default(),
    }
}

/// An event as a proposal, to be judged again.
pub(super) fn proposal(event: &Event) -> Proposal {
    let Event { kind, content_type, payload, keys, triggers, metadata, caller_ms, .. } =
        event.clone();
    Proposal { kind, content_type, payload, keys, triggers, metadata, caller_ms }
}

fn body(event: &Event) -> BodyIn<'_> {
    BodyIn {
        seq: event.seq,
        kind: &event.kind,
        content_type: event.content_type.clone(),
        payload: &event.payload,
        keys: event.keys.iter().map(|key| KeyIn { kind: &key.kind, id: &key.id }).collect(),
        triggers: event.triggers.iter().map(|key| KeyIn { kind: &key.kind, id: &key.id }).collect(),
        metadata: event.metadata.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect(),
        caller_ms: event.caller_ms,
        host_ms: event.host_ms,
        append_id: event.append_id,
        validator: event.validator,
        binding: event.binding,
    }
}
