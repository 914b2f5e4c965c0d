//! Where answers arrive.

use atomic_store::engine::{Asked, ReplyTo, State};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Answer, JointAnswer, Outcome};
use std::collections::HashMap;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// What came for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// The answer to an append.
    Answer(Answer),
    /// The answer to a joint append.
    Joint(JointAnswer),
    /// The answer to a query.
    State(Result<State, RequestError>),
}

/// Keeps answers by call, and insists that there is one for each.
#[derive(Debug, Default)]
pub struct Inbox {
    got: Mutex<HashMap<u64, Got>>,
    arrived: Condvar,
    /// Questions that came, if it takes any.
    asked: Option<Mutex<Vec<(u64, Asked)>>>,
}

impl Inbox {
    /// One that can be asked about its appends.
    #[must_use]
    pub fn that_judges() -> Self {
        Inbox { asked: Some(Mutex::default()), ..Inbox::default() }
    }

    /// The questions that came since the last time, by call.
    pub fn asked(&self) -> Vec<(u64, Asked)> {
        self.asked
            .as_ref()
            .map(|asked| std::mem::take(&mut *asked.lock().unwrap()))
            .unwrap_or_default()
    }

    fn put(&self, call: u64, got: Got) {
        let before = self.got.lock().unwrap().insert(call, got);
        assert_eq!(before, None, "call {call} was answered twice");
        self.arrived.notify_all();
    }

    /// What came for a call, taken out.
    pub fn take(&self, call: u64) -> Option<Got> {
        self.got.lock().unwrap().remove(&call)
    }

    /// The answer to an append, taken out.
    pub fn answer(&self, call: u64) -> Option<Answer> {
        match self.take(call)? {
            Got::Answer(answer) => Some(answer),
            other => panic!("call {call} got {other:?}"),
        }
    }

    /// Waits for the answer to an append; for engines with threads of their own.
    #[must_use]
    pub fn wait(&self, call: u64) -> Answer {
        match self.wait_for(call) {
            Got::Answer(answer) => answer,
            other => panic!("call {call} got {other:?}"),
        }
    }

    /// Waits for whatever comes for a call.
    #[must_use]
    pub fn wait_for(&self, call: u64) -> Got {
        let got = self.got.lock().unwrap();
        let patience = Duration::from_secs(60);
        let waiting = |got: &mut HashMap<u64, Got>| !got.contains_key(&call);
        let (mut got, late) = self.arrived.wait_timeout_while(got, patience, waiting).unwrap();
        assert!(!late.timed_out(), "call {call} was not answered within {patience:?}");
        got.remove(&call).unwrap()
    }
}

impl ReplyTo for Inbox {
    fn answer(&self, call: u64, answer: Answer) {
        self.put(call, Got::Answer(answer));
    }

    fn ask(&self, call: u64, asked: Asked) -> Result<(), Outcome> {
        let Some(questions) = &self.asked else {
            return Err(Outcome::ReadOnly { why: "this sender does not judge".to_owned() });
        };
        questions.lock().unwrap().push((call, asked));
        Ok(())
    }

    fn joint(&self, call: u64, answer: JointAnswer) {
        self.put(call, Got::Joint(answer));
    }

    fn state(&self, call: u64, state: Result<State, RequestError>) {
        self.put(call, Got::State(state));
    }
}
