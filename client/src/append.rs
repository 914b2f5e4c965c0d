//! Appends: asked again until they have an answer, always under the same id.

use crate::Client;
use crate::ClientError;
use crate::call::Call;
use crate::feed::unexpected;
use crate::shared::{CallRules, repeat};
use crate::slots::CallEnd;
use atomic_store_core::protocol::{Reply, Request};
use atomic_store_core::{
    Answer, Append, JointAnswer, JointAppend, JointOutcome, Outcome, PartOutcome, Proposal,
    ScopeName,
};
use std::time::{Duration, Instant};

const ASK_AGAIN_FIRST: Duration = Duration::from_millis(50);

impl Client {
    /// Appends, and waits until the events are durable or refused.
    ///
    /// If the connection is lost, or the store cannot tell the outcome, the append is sent again with
    /// the same id and `repeated = true`, for as long as [`crate::Options::retry_for`] allows. After
    /// that the outcome is `Unknown`, which is not an error: the events may be stored.
    ///
    /// # Errors
    /// [`ClientError`] if the append has certainly not been sent, or the server broke the
    /// protocol.
    pub async fn append(&self, append: Append) -> Result<Answer, ClientError> {
        let unknown = |why| {
            let outcome = Outcome::Unknown { why };
            Reply::Answer(Answer { outcome, duplicate: false })
        };
        match self.until_answered(Request::Append(append), unknown).await? {
            Reply::Answer(answer) => Ok(answer),
            other => Err(unexpected(&other)),
        }
    }

    /// Appends to several scopes: all of them accept, or nothing is stored. Sent again like
    /// [`Self::append`].
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn append_joint(&self, append: JointAppend) -> Result<JointAnswer, ClientError> {
        let first = append.parts.iter().map(|part| &part.scope).min().cloned();
        let scope = first.unwrap_or_else(ScopeName::system);
        let unknown = |why| {
            let (scope, outcome) = (scope.clone(), Outcome::Unknown { why });
            let outcome = JointOutcome::Refused(PartOutcome { scope, outcome });
            Reply::Joint(JointAnswer { outcome, duplicate: false })
        };
        match self.until_answered(Request::AppendJoint(append), unknown).await? {
            Reply::Joint(answer) => Ok(answer),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends an append until it is decided, or may be and nobody can tell.
    async fn until_answered(
        &self,
        mut request: Request,
        unknown: impl Fn(String) -> Reply,
    ) -> Result<Reply, ClientError> {
        let mut give_up = None::<Instant>;
        let mut pause = ASK_AGAIN_FIRST;
        let rules = CallRules { resend: true, link: None };
        loop {
            let (end, back) = Call::new(&self.handle.shared, request, rules).await;
            let reply = match end {
                CallEnd::Reply(reply @ (Reply::Answer(_) | Reply::Joint(_))) => reply,
                CallEnd::Reply(other) => return Err(unexpected(&other)),
                CallEnd::Failed { why, sent: false } if give_up.is_none() => return Err(why),
                CallEnd::Failed { why, .. } => return Ok(unknown(why.to_string())),
            };
            // An unknown outcome is what a store says that is about to end: after its restart the
            // same id gets the real one. And when an append that may have been stored is asked for
            // again, a store that is too busy to look says nothing about the first time.
            let repeated = match &back {
                Some(Request::Append(append)) => append.repeated,
                Some(Request::AppendJoint(append)) => append.repeated,
                _ => false,
            };
            let undecided = match outcome(&reply) {
                None | Some(Outcome::Invalid { .. }) => None,
                Some(outcome) => (repeated && !outcome.is_decided()).then(|| outcome.word()),
            };
            let reply = match undecided {
                None => reply,
                Some(word) => unknown(format!("asked again, the store answered {word}")),
            };
            let is_unknown = matches!(outcome(&reply), Some(Outcome::Unknown { .. }));
            let now = Instant::now;
            let until = is_unknown.then(|| now() + self.handle.shared.options.retry_for);
            give_up = give_up.or(until);
            let over = give_up.is_some_and(|until| now() + pause >= until);
            match back {
                Some(back) if is_unknown && self.handle.shared.reconnects && !over => {
                    request = back
                }
                _ => return Ok(reply),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            repeat(&mut request);
        }
    }

    /// Appends one event under a new id, whatever the scope's head is.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn append_one(
        &self,
        scope: &ScopeName,
        proposal: Proposal,
    ) -> Result<Answer, ClientError> {
        self.append(Append::new(scope.clone(), self.new_id(), vec![proposal])).await
    }
}

/// What was decided, unless a joint append was accepted.
fn outcome(reply: &Reply) -> Option<&Outcome> {
    match reply {
        Reply::Answer(answer) => Some(&answer.outcome),
        Reply::Joint(JointAnswer { outcome: JointOutcome::Refused(part), .. }) => {
            Some(&part.outcome)
        }
        _ => None,
    }
}
