//! One scope's rules at work: the state, and the calls of the contract on it.
//!
//! Invariant: this is the only path from a call to a [`Validator`]. The exported component and the
//! test harness both take it, so what a test has seen is what the store runs.

use crate::packed::{self, Scratch};
use crate::verdict::shorten;
use crate::{Acceptance, Description, Event, NewEvent, Proposal, Refusal, Validator, snapshot};
use std::borrow::Cow;

/// A validator with its state.
pub(crate) struct Instance<V: Validator> {
    state: V::State,
    /// The last event that was folded, for the numbers of events within a batch.
    head: u64,
    /// What a snapshot must have been made from to fit.
    origin: u64,
    /// Where packed events are unpacked.
    scratch: Scratch,
}

/// What a validator says about itself.
#[must_use]
pub(crate) fn describe<V: Validator>() -> Description {
    Description { name: V::NAME.to_owned(), version: V::VERSION.to_owned(), kinds: V::kinds() }
}

impl<V: Validator> Instance<V> {
    /// A scope without events.
    pub(crate) fn init(scope: &str, config: Option<&[u8]>) -> Result<Self, String> {
        let state =
            parse_config::<V>(config).and_then(|config| V::init(scope, config)).map_err(shorten)?;
        let origin = snapshot::origin::<V>(scope, config);
        Ok(Instance { state, head: 0, origin, scratch: Scratch::new() })
    }

    /// A scope as it was when the snapshot was taken. Anything else is an error, which makes the
    /// store fold the log: bytes of other rules, another version, scope or configuration.
    pub(crate) fn restore(
        scope: &str,
        config: Option<&[u8]>,
        bytes: &[u8],
    ) -> Result<Self, String> {
        let origin = snapshot::origin::<V>(scope, config);
        let (head, state) = snapshot::decode(bytes, origin)?;
        Ok(Instance { state, head, origin, scratch: Scratch::new() })
    }

    /// Folds accepted events.
    pub(crate) fn apply(&mut self, events: &[Event]) {
        for event in events {
            V::apply(&mut self.state, event);
            self.head = event.seq;
        }
    }

    /// Folds accepted events that came as bytes.
    pub(crate) fn apply_packed(&mut self, mut events: &[u8]) {
        while !events.is_empty() {
            let event = self.scratch.unpack(&mut events).expect(packed::NOT_PACKED);
            V::apply(&mut self.state, event);
            self.head = event.seq;
        }
    }

    /// Judges an append of one proposal and, if it is accepted as it stands, folds it. The answer is
    /// that of [`Self::validate`], and the state then the one after [`Self::apply`].
    pub(crate) fn admit(&mut self, mut bytes: &[u8]) -> Result<Option<Acceptance>, Refusal> {
        let event = self.scratch.unpack(&mut bytes).expect(packed::NOT_PACKED);
        let seq = event.seq;
        let proposal = as_proposal(std::mem::replace(event, packed::blank()));
        let verdict = V::admit(&mut self.state, &proposal, seq);
        let folded = verdict.is_some();
        let verdict = verdict.unwrap_or_else(|| V::validate(&self.state, &proposal));
        *event = as_proposed(proposal, seq);
        let acceptance = verdict.map_err(|no| no.into_refusal(0))?;
        if acceptance != crate::accept() {
            return Ok(Some(acceptance));
        }
        if !folded {
            V::apply(&mut self.state, event);
        }
        self.head = seq;
        Ok(None)
    }

    /// What the rules' own judging and folding in one comes to, if they have that for this proposal: the
    /// answer, and the state after it.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn admitted_at_once(
        &self,
        proposal: &Proposal,
    ) -> Option<(Result<Acceptance, Refusal>, Vec<u8>)> {
        let (mut state, seq) = (self.state.clone(), self.head + 1);
        let answer = V::admit(&mut state, proposal, seq)?.map_err(|no| no.into_refusal(0));
        let folds = answer.as_ref().is_ok_and(|acceptance| *acceptance == crate::accept());
        let head = if folds { seq } else { self.head };
        Some((answer, snapshot::encode(&state, head, self.origin)))
    }

    /// Judges one append; each proposal as if those before it had been accepted.
    pub(crate) fn validate(&self, proposals: Vec<Proposal>) -> Result<Vec<Acceptance>, Refusal> {
        let mut acceptances = Vec::with_capacity(proposals.len());
        let mut state = Cow::Borrowed(&self.state);
        let mut head = self.head;
        let last = proposals.len().saturating_sub(1);
        for (index, proposal) in proposals.into_iter().enumerate() {
            let acceptance = V::validate(&state, &proposal)
                .map_err(|no| no.into_refusal(u32::try_from(index).unwrap_or(u32::MAX)))?;
            // The state is cloned only where a later proposal needs to see this one.
            if index < last {
                for event in admitted(proposal, &acceptance, head) {
                    head = event.seq;
                    V::apply(state.to_mut(), &today::<V>(event));
                }
            }
            acceptances.push(acceptance);
        }
        Ok(acceptances)
    }

    /// The state as bytes, unless the rules prefer to fold.
    pub(crate) fn snapshot(&self) -> Option<Vec<u8>> {
        V::SNAPSHOTS.then(|| self.encode())
    }

    /// The state as bytes.
    ///
    /// # Panics
    /// If serde cannot write the state: an error in the `Serialize` of the rules. In the sandbox
    /// it costs the snapshot, and the store folds.
    #[must_use]
    pub(crate) fn encode(&self) -> Vec<u8> {
        snapshot::encode(&self.state, self.head, self.origin)
    }

    /// Asks the state.
    pub(crate) fn query(&self, name: &str, args: &[u8]) -> Result<Vec<u8>, String> {
        V::query(&self.state, name, args).map_err(shorten)
    }

    /// The state.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn state(&self) -> &V::State {
        &self.state
    }
}

/// The events that an accepted proposal becomes, numbered after `head`.
pub(crate) fn admitted(proposal: Proposal, acceptance: &Acceptance, head: u64) -> Vec<Event> {
    let Some(events) = &acceptance.events else {
        return vec![as_proposed(proposal, head + 1)];
    };
    (head + 1..).zip(events).map(|(seq, event)| instead(&proposal, event.clone(), seq)).collect()
}

/// An event as the rules know it today; the store asks the same before it folds.
pub(crate) fn today<V: Validator>(event: Event) -> Event {
    let Some(newer) = V::upcast(&event) else { return event };
    Event {
        kind: newer.kind,
        content_type: newer.content_type,
        payload: newer.payload,
        keys: newer.keys,
        metadata: newer.metadata,
        ..event
    }
}

fn as_proposed(proposal: Proposal, seq: u64) -> Event {
    Event {
        seq,
        kind: proposal.kind,
        content_type: proposal.content_type,
        payload: proposal.payload,
        keys: proposal.keys,
        metadata: proposal.metadata,
        caller_ms: proposal.caller_ms,
        host_ms: proposal.host_ms,
    }
}

fn as_proposal(event: Event) -> Proposal {
    Proposal {
        kind: event.kind,
        content_type: event.content_type,
        payload: event.payload,
        keys: event.keys,
        metadata: event.metadata,
        caller_ms: event.caller_ms,
        host_ms: event.host_ms,
    }
}

fn instead(proposal: &Proposal, event: NewEvent, seq: u64) -> Event {
    Event {
        seq,
        kind: event.kind,
        content_type: event.content_type,
        payload: event.payload,
        keys: event.keys,
        metadata: event.metadata,
        caller_ms: proposal.caller_ms,
        host_ms: proposal.host_ms,
    }
}

fn parse_config<V: Validator>(config: Option<&[u8]>) -> Result<V::Config, String> {
    match config {
        None => Ok(V::Config::default()),
        Some(bytes) => serde_json::from_slice(bytes)
            .map_err(|error| format!("the configuration of {} is wrong: {error}", V::NAME)),
    }
}
