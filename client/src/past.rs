//! States in the past, one after the other, and what would become of appends.

use crate::client::{AGAIN, Handle};
use crate::feed::{Feed, Next, unexpected};
use crate::{Client, ClientError};
use atomic_store_core::protocol::{At, Reply, Request, Step};
use atomic_store_core::{Proposal, ScopeName, Seq};
use std::sync::Arc;
use tokio::time::timeout;

/// The states of a scope after each of some events; see [`Client::history`].
pub struct StateStream {
    handle: Arc<Handle>,
    scope: ScopeName,
    name: String,
    args: Vec<u8>,
    after: Seq,
    through: Seq,
    left: u64,
    feed: Option<Feed>,
    finished: bool,
}

/// A state: the event it is the state after, and the validator's answer or its complaint.
pub type StateAt = (Seq, Result<Vec<u8>, String>);

impl Client {
    /// Asks the state of a scope's validator at a moment (Eventsrc S19, S20): the event it is the state
    /// after, and the answer or the validator's complaint. The scope's present rule folds the events up
    /// to there.
    ///
    /// # Errors
    /// [`ClientError::Request`] if there is no such moment, or its events were deleted.
    pub async fn query_at(
        &self,
        scope: &ScopeName,
        name: &str,
        args: Vec<u8>,
        at: At,
    ) -> Result<StateAt, ClientError> {
        let request = Request::Query { scope: scope.clone(), name: name.to_owned(), args, at };
        match self.call(request, AGAIN).await? {
            Reply::State { head, answer } => Ok((head, answer.map(|bytes| bytes.into_vec()))),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks the state of a scope's validator after each event behind `after` up to `through`, at most
    /// `limit` of them (Eventsrc S21). A scope that was never written has none.
    #[must_use]
    pub fn history(
        &self,
        scope: &ScopeName,
        name: &str,
        args: Vec<u8>,
        (after, through): (Seq, Seq),
        limit: u64,
    ) -> StateStream {
        StateStream {
            handle: Arc::clone(&self.handle),
            scope: scope.clone(),
            name: name.to_owned(),
            args,
            after,
            through,
            left: limit,
            feed: None,
            finished: false,
        }
    }

    /// What would become of batches appended one after the other, each as one append, and, with a
    /// question, the state after each. Nothing is stored. They are judged on the state of the last
    /// durable event; after a fault there are no more steps.
    ///
    /// # Errors
    /// [`ClientError::Request`] if a limit is broken.
    pub async fn what_if(
        &self,
        scope: &ScopeName,
        batches: Vec<Vec<Proposal>>,
        query: Option<(&str, &[u8])>,
    ) -> Result<Vec<Step>, ClientError> {
        let bytes = |args: &[u8]| serde_bytes::ByteBuf::from(args.to_vec());
        let query = query.map(|(name, args)| (name.to_owned(), bytes(args)));
        let request = Request::WhatIf { scope: scope.clone(), batches, query };
        match self.call(request, AGAIN).await? {
            Reply::WhatIf(steps) => Ok(steps),
            other => Err(unexpected(&other)),
        }
    }
}

impl StateStream {
    /// The next state; nothing after the last one, or after an error. If the connection is lost it goes
    /// on after the last state that was given.
    pub async fn next(&mut self) -> Option<Result<StateAt, ClientError>> {
        loop {
            if self.finished || self.left == 0 {
                self.feed = None;
                return None;
            }
            match self.turn().await {
                Ok(Some(state)) => return Some(Ok(state)),
                Ok(None) => {}
                Err(why) => {
                    (self.finished, self.feed) = (true, None);
                    return Some(Err(why));
                }
            }
        }
    }

    /// The event after which the last state was given; where to go on with another stream.
    #[must_use]
    pub fn after(&self) -> Seq {
        self.after
    }

    /// Gets on by one step: opens a feed, takes a state, or learns the end.
    async fn turn(&mut self) -> Result<Option<StateAt>, ClientError> {
        let Some(feed) = &mut self.feed else {
            let request = Request::History {
                scope: self.scope.clone(),
                name: self.name.clone(),
                args: self.args.clone(),
                after: self.after,
                through: self.through,
                limit: self.left,
            };
            let after = self.handle.shared.options.retry_for;
            let open = timeout(after, Feed::open(&self.handle, &request)).await;
            let late = ClientError::Timeout { what: "connection", after };
            self.feed = Some(open.map_err(|_| late)??);
            return Ok(None);
        };
        match feed.next().await {
            Next::Reply(Reply::State { head, answer }) if head == self.after.next() => {
                (self.after, self.left) = (head, self.left - 1);
                Ok(Some((head, answer.map(|bytes| bytes.into_vec()))))
            }
            Next::Reply(Reply::State { head, .. }) => {
                let what = format!("the state after event {head} does not follow {}", self.after);
                Err(ClientError::Damaged { what })
            }
            Next::Reply(Reply::Done) => {
                self.finished = true;
                Ok(None)
            }
            Next::Reply(other) => Err(unexpected(&other)),
            Next::Cut => {
                self.feed = None;
                Ok(None)
            }
        }
    }
}
