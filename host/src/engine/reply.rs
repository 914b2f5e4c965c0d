//! Where answers go.

use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Answer, JointAnswer, Outcome, Question, Seq};

/// The other end of a call. Each call gets exactly one answer, from any thread.
pub trait ReplyTo: Send + Sync + 'static {
    /// The answer to an append. Must not block: the committer calls it.
    fn answer(&self, call: u64, answer: Answer);
    /// The answer to an append that was alone in its group commit: no other follows soon, so it may be
    /// sent at once. Must not block: the committer calls it.
    fn answer_alone(&self, call: u64, answer: Answer) {
        self.answer(call, answer);
    }
    /// The answer to a query. Must not block: the committer calls it.
    fn state(&self, call: u64, state: Result<State, RequestError>);
    /// The answer to a joint append. Must not block: the committer calls it.
    fn joint(&self, call: u64, answer: JointAnswer);

    /// Asks for a verdict on an append of this sender (Atomic Store A03). Must not block: the committer
    /// calls it. Whoever takes it sends the events, then calls [`super::Engine::put_question`], then
    /// sends the question; the answer goes to [`super::Engine::judge`].
    ///
    /// # Errors
    /// The outcome of the append if this sender cannot be asked.
    fn ask(&self, _call: u64, _asked: Asked) -> Result<(), Outcome> {
        let why = "its scope is bound to originator, so whoever appends is asked to judge, and this \
                   sender cannot be asked; append through a client that can";
        Err(Outcome::Invalid { field: "scope".to_owned(), why: why.to_owned() })
    }
}

/// A question, and what must come before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// The scope's events after this one and up to the question's head come first.
    pub after: Seq,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The scope's head that it is the state of.
    pub head: Seq,
    /// The validator's answer, or its complaint.
    pub answer: Result<Vec<u8>, String>,
}
