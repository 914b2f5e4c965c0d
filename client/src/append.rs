//! Appends: asked again until they have an answer, always under the same id.

use crate::Client;
use crate::ClientError;
use crate::call::Call;
use crate::feed::unexpected;
use crate::shared::CallRules;
use crate::slots::CallEnd;
use atomic_store_core::protocol::{Reply, Request};
use atomic_store_core::{Answer, Append, Outcome, Proposal, ScopeName};
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
        let mut request = Request::Append(append);
        let mut give_up = None::<Instant>;
        let mut pause = ASK_AGAIN_FIRST;
        let rules = CallRules { resend: true, link: None };
        loop {
            let (end, back) = Call::new(&self.handle.shared, request, rules).await;
            let answer = match end {
                CallEnd::Reply(Reply::Answer(answer)) => answer,
                CallEnd::Reply(other) => return Err(unexpected(&other)),
                CallEnd::Failed { why, sent: false } if give_up.is_none() => return Err(why),
                CallEnd::Failed { why, .. } => {
                    let outcome = Outcome::Unknown { why: why.to_string() };
                    return Ok(Answer { outcome, duplicate: false });
                }
            };
            // An unknown outcome is what a store says that is about to end: after its restart the
            // same id gets the real one. And when an append that may have been stored is asked for
            // again, a store that is too busy to look says nothing about the first time.
            let repeated = matches!(&back, Some(Request::Append(append)) if append.repeated);
            let answer = match answer.outcome {
                outcome if !repeated || outcome.is_decided() => Answer { outcome, ..answer },
                Outcome::Invalid { field, why } => {
                    Answer { outcome: Outcome::Invalid { field, why }, ..answer }
                }
                undecided => {
                    let why = format!("asked again, the store answered {}", undecided.word());
                    Answer { outcome: Outcome::Unknown { why }, duplicate: false }
                }
            };
            let unknown = matches!(answer.outcome, Outcome::Unknown { .. });
            let now = Instant::now;
            let until = unknown.then(|| now() + self.handle.shared.options.retry_for);
            give_up = give_up.or(until);
            let over = give_up.is_some_and(|until| now() + pause >= until);
            match back {
                Some(back) if unknown && self.handle.shared.reconnects && !over => request = back,
                _ => return Ok(answer),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            if let Request::Append(append) = &mut request {
                append.repeated = true;
            }
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
