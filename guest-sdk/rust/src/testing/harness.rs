//! A scope in memory, judged by the rules under test.
//!
//! Invariant: every step goes through two instances, one that only folds and one that is restored
//! from its own snapshot before each step. They must always answer the same, twice, and answering
//! must not change either. So each test of the rules is also a test of their determinism and of
//! their snapshots.

use super::{Answer, checks};
use crate::instance::{self, Instance, admitted, describe};
use crate::log::{self, Level};
use crate::{Acceptance, Event, NewEvent, Proposal, Validator, history};
use serde::Serialize;

/// A scope with the rules `V`.
pub struct Harness<V: Validator> {
    folded: Instance<V>,
    restored: Instance<V>,
    scope: String,
    config: Option<Vec<u8>>,
    events: Vec<Event>,
    host_ms: u64,
    lines: Vec<(Level, String)>,
}

impl<V: Validator> Harness<V> {
    /// An empty scope without configuration.
    ///
    /// # Panics
    /// If the rules do not take it.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self::start("test/1", None).unwrap_or_else(|why| panic!("init failed: {why}"))
    }

    /// An empty scope with this configuration, as JSON.
    ///
    /// # Panics
    /// If the rules do not take it; [`Harness::start`] gives the error instead.
    #[must_use]
    #[track_caller]
    pub fn with_config(config: impl Serialize) -> Self {
        let config = serde_json::to_vec(&config).expect("the configuration can be JSON");
        Self::start("test/1", Some(&config)).unwrap_or_else(|why| panic!("init failed: {why}"))
    }

    /// An empty scope of any name, with any bytes as its configuration.
    ///
    /// # Errors
    /// What the rules do not like about them.
    ///
    /// # Panics
    /// If the description could not be loaded.
    #[track_caller]
    pub fn start(scope: &str, config: Option<&[u8]>) -> Result<Self, String> {
        checks::description(&describe::<V>());
        log::take();
        Ok(Harness {
            folded: Instance::init(scope, config)?,
            restored: Instance::init(scope, config)?,
            scope: scope.to_owned(),
            config: config.map(<[u8]>::to_vec),
            events: Vec::new(),
            host_ms: 0,
            lines: log::take(),
        })
    }

    /// Sets the store's time for what follows, in milliseconds since 1970-01-01 UTC.
    ///
    /// # Panics
    /// If that is before the last event: the store's time never falls within a scope.
    #[track_caller]
    pub fn at(&mut self, host_ms: u64) -> &mut Self {
        assert!(host_ms >= self.host_ms, "time falls from {} to {host_ms}", self.host_ms);
        self.host_ms = host_ms;
        self
    }

    /// Appends events without asking the rules: a history that is already there.
    ///
    /// # Panics
    /// If folding and restoring do not agree.
    #[track_caller]
    pub fn given(&mut self, events: impl IntoIterator<Item = NewEvent>) -> &mut Self {
        let host_ms = self.host_ms;
        for event in events {
            let proposal = Proposal { host_ms, ..super::proposal("given", "") };
            let instead = Acceptance { events: Some(vec![event]), ..crate::accept() };
            let events = admitted(proposal, &instead, self.head());
            self.append(events);
        }
        self
    }

    /// Proposes an event with a JSON payload.
    ///
    /// # Panics
    /// If the rules break the contract.
    #[track_caller]
    pub fn propose(&mut self, kind: &str, payload: impl Serialize) -> Answer {
        let payload = serde_json::to_vec(&payload).expect("the payload can be JSON");
        self.propose_all([super::proposal(kind, payload)])
    }

    /// Proposes a batch, all or nothing.
    ///
    /// # Panics
    /// If the rules break the contract: they answer differently when asked again, change the
    /// state while answering, do not survive a snapshot, give an answer over a cap, or judge and fold in
    /// one in another way than one after the other.
    #[track_caller]
    pub fn propose_all(&mut self, proposals: impl IntoIterator<Item = Proposal>) -> Answer {
        let host_ms = self.host_ms;
        let proposals: Vec<Proposal> =
            proposals.into_iter().map(|proposal| Proposal { host_ms, ..proposal }).collect();
        assert!(!proposals.is_empty(), "an append has at least one proposal");
        assert!(proposals.len() <= 1000, "an append has at most 1,000 proposals");

        self.restore();
        let (folded, restored) = (&self.folded, &self.restored);
        let (before, before_restored) = (folded.encode(), restored.encode());
        let judge = |instance: &Instance<V>| instance.validate(proposals.clone());
        let (answer, again, from_snapshot) = history::source::with(&mut self.events, || {
            (judge(folded), judge(folded), judge(restored))
        });
        self.lines.extend(log::take());
        assert_eq!(answer, again, "asked twice, the rules answer differently");
        assert_eq!(answer, from_snapshot, "after a snapshot the rules answer differently");
        assert_eq!(folded.encode(), before, "validate changed the state");
        assert_eq!(restored.encode(), before_restored, "validate changed the restored state");
        checks::answer(&answer);
        let at_once = match proposals.as_slice() {
            [only] => {
                let at_once = || folded.admitted_at_once(only);
                history::source::with(&mut self.events, at_once)
            }
            _ => None,
        };
        if let Some((admitted, _)) = &at_once {
            let admitted = admitted.clone().map(|acceptance| vec![acceptance]);
            assert_eq!(admitted, answer, "admit answers differently from validate");
        }

        if let Ok(acceptances) = &answer {
            let mut events = Vec::new();
            for (proposal, acceptance) in proposals.into_iter().zip(acceptances) {
                let head = self.head() + events.len() as u64;
                events.extend(admitted(proposal, acceptance, head));
            }
            self.append(events);
        }
        let plain = answer.as_ref().is_ok_and(|all| all.iter().all(|yes| *yes == crate::accept()));
        if let Some((_, state)) = at_once {
            let wanted = if plain { self.folded.encode() } else { before };
            assert_eq!(state, wanted, "admit leaves another state than apply");
        }
        Answer(answer)
    }

    /// Asks the state.
    ///
    /// # Errors
    /// The rules' own.
    ///
    /// # Panics
    /// If the answer after a snapshot differs, or the query changed the state.
    #[track_caller]
    pub fn query(&mut self, name: &str, args: impl AsRef<[u8]>) -> Result<Vec<u8>, String> {
        self.restore();
        let (folded, restored) = (&self.folded, &self.restored);
        let (before, args) = (folded.encode(), args.as_ref());
        let (answer, from_snapshot) = history::source::with(&mut self.events, || {
            (folded.query(name, args), restored.query(name, args))
        });
        self.lines.extend(log::take());
        assert_eq!(answer, from_snapshot, "after a snapshot the query answers differently");
        assert_eq!(folded.encode(), before, "the query changed the state");
        answer
    }

    /// The folded state.
    #[must_use]
    pub fn state(&self) -> &V::State {
        self.folded.state()
    }

    /// The events of the scope.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Takes what the rules have logged. A judged line appears for each of the three times the
    /// harness asks.
    pub fn take_log(&mut self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.lines)
    }

    fn head(&self) -> u64 {
        self.events.last().map_or(0, |event| event.seq)
    }

    #[track_caller]
    fn restore(&mut self) {
        let bytes = self.restored.encode();
        self.restored = Instance::restore(&self.scope, self.config.as_deref(), &bytes)
            .unwrap_or_else(|why| panic!("the state does not survive a snapshot: {why}"));
    }

    fn append(&mut self, events: Vec<Event>) {
        let (folded, restored) = (&mut self.folded, &mut self.restored);
        // The log has the events before they are folded, as in the store on replay.
        self.events.extend(events.iter().cloned());
        let today: Vec<Event> = events.into_iter().map(instance::today::<V>).collect();
        history::source::with(&mut self.events, || {
            folded.apply(&today);
            restored.apply(&today);
        });
        self.lines.extend(log::take());
    }
}

impl<V: Validator> Default for Harness<V> {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}
