//! The only client of an engine: sends appends and queries, waits for answers, reads back.

use crate::{Got, Hands, Inbox};
use atomic_store::engine::{Engine, ReplyTo, State};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{
    Answer, Append, AppendId, Binding, Event, Outcome, Proposal, ScopeName, ScopePattern, Seq,
};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A caller of one engine.
pub struct Caller {
    /// The engine.
    pub engine: Engine,
    /// Where answers arrive.
    pub inbox: Arc<Inbox>,
    hands: Option<Arc<Hands>>,
    calls: AtomicU64,
}

/// A scope by name.
///
/// # Panics
/// If there can be no such scope.
#[must_use]
pub fn scope(name: &str) -> ScopeName {
    ScopeName::new(name).unwrap()
}

/// An append of payloads under an id that no other append of this process has.
#[must_use]
pub fn append_to(name: &str, payloads: &[&str]) -> Append {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut id = [0xa5; 16];
    id[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let proposals = payloads.iter().map(|payload| Proposal::json("op", *payload)).collect();
    Append::new(scope(name), AppendId(id), proposals)
}

impl Caller {
    /// Of an engine with threads of its own.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Caller { engine, inbox: Arc::default(), hands: None, calls: AtomicU64::new(0) }
    }

    /// Of an engine that runs by hand: waiting for an answer makes it run.
    #[must_use]
    pub fn by_hand(engine: Engine, hands: &Arc<Hands>) -> Self {
        Caller { hands: Some(Arc::clone(hands)), ..Caller::new(engine) }
    }

    fn call(&self) -> (u64, Arc<dyn ReplyTo>) {
        (self.calls.fetch_add(1, Ordering::Relaxed) + 1, Arc::clone(&self.inbox) as _)
    }

    /// Sends an append and does not wait.
    pub fn send(&self, append: Append) -> u64 {
        let (call, to) = self.call();
        self.engine.append(append, &to, call);
        call
    }

    /// Sends a query and does not wait.
    pub fn send_query(&self, name: &str, query: &str) -> u64 {
        let (call, to) = self.call();
        self.engine.query(&scope(name), query.to_owned(), Vec::new(), &to, call);
        call
    }

    fn wait_for(&self, call: u64) -> Got {
        if let Some(hands) = &self.hands {
            hands.settle(&self.engine);
        }
        self.inbox.wait_for(call)
    }

    /// Waits for the answer to an append.
    ///
    /// # Panics
    /// If it does not come.
    #[must_use]
    pub fn wait(&self, call: u64) -> Answer {
        match self.wait_for(call) {
            Got::Answer(answer) => answer,
            other => panic!("an append got {other:?}"),
        }
    }

    /// Waits for the answer to a query.
    ///
    /// # Errors
    /// What the engine refused it with.
    ///
    /// # Panics
    /// If it does not come.
    pub fn wait_state(&self, call: u64) -> Result<State, RequestError> {
        match self.wait_for(call) {
            Got::State(state) => state,
            other => panic!("a query got {other:?}"),
        }
    }

    /// Sends an append and waits.
    pub fn ask(&self, append: Append) -> Answer {
        self.wait(self.send(append))
    }

    /// Sends an append again, as a client does that got no answer.
    pub fn ask_again(&self, append: &Append) -> Answer {
        self.ask(Append { repeated: true, ..append.clone() })
    }

    /// Appends payloads under a new id.
    pub fn append(&self, name: &str, payloads: &[&str]) -> Outcome {
        let answer = self.ask(append_to(name, payloads));
        assert!(!answer.duplicate, "a new id was taken for an old one");
        answer.outcome
    }

    /// Appends what must be stored, and gives the last seq.
    ///
    /// # Panics
    /// If it is not stored.
    pub fn store(&self, name: &str, payloads: &[&str]) -> Seq {
        match self.append(name, payloads) {
            Outcome::Committed(committed) => committed.last.seq,
            other => panic!("{payloads:?} to {name}: {other:?}"),
        }
    }

    /// Asks a scope's validator.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn query(&self, name: &str, query: &str) -> (Seq, Result<Vec<u8>, String>) {
        let state = self.wait_state(self.send_query(name, query)).unwrap();
        (state.head, state.answer)
    }

    /// Loads a validator and binds it.
    ///
    /// # Panics
    /// If that is refused.
    pub fn rule(&self, pattern: &str, component: &[u8]) -> Binding {
        let (info, _) = self.engine.load(component).unwrap();
        self.bind(pattern, &info.digest.to_string())
    }

    /// Binds a loaded validator.
    ///
    /// # Panics
    /// If that is refused.
    pub fn bind(&self, pattern: &str, validator: &str) -> Binding {
        let pattern = ScopePattern::new(pattern).unwrap();
        self.engine.bind(pattern, &validator.parse().unwrap(), None).unwrap()
    }

    /// The events of a scope.
    ///
    /// # Panics
    /// If they cannot be read.
    #[must_use]
    pub fn events(&self, name: &str) -> Vec<Event> {
        let mut events = Vec::new();
        let read = self.engine.read(&scope(name), Seq::ZERO, Seq::MAX, &mut |view| {
            events.push(view.to_event().unwrap());
            ControlFlow::Continue(())
        });
        read.unwrap();
        events
    }

    /// The payloads of a scope's events, as text.
    #[must_use]
    pub fn payloads(&self, name: &str) -> Vec<String> {
        let text = |event: Event| String::from_utf8(event.payload).unwrap();
        self.events(name).into_iter().map(text).collect()
    }

    /// Checks every chain, and that every event follows from its rule.
    ///
    /// # Panics
    /// If anything is damaged, or cannot be shown.
    pub fn verify(&self) {
        let report = self.engine.verify(None, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
        assert_eq!(report.damage, Vec::<String>::new());
        let logic = self.engine.verify_logic(None, "", &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!((logic.failed, logic.not_shown), (0, 0), "{logic:?}");
        assert_eq!(logic.events, report.events);
    }
}
