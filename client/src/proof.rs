//! History, asked again: whether each event follows from its rule.

use crate::ClientError;
use crate::client::Client;
use crate::feed::{Feed, Next, unexpected};
use atomic_store_core::protocol::{Reply, Request};
use atomic_store_core::{LogicReport, ProofProgress, ScopeName};

impl Client {
    /// Judges the appends of a scope, or of all scopes whose names come after `after`, again, each by
    /// the rule recorded for it. `progress` is told how far it is. Dropping the future ends it; whoever
    /// asks again may begin after the last [`ProofProgress::through`].
    ///
    /// # Errors
    /// [`ClientError`]; what could not be shown is part of the report, not an error.
    pub async fn verify_logic(
        &self,
        scope: Option<ScopeName>,
        after: &str,
        progress: impl FnMut(ProofProgress) + Send,
    ) -> Result<LogicReport, ClientError> {
        let request = Request::VerifyLogic { scope, after: after.to_owned() };
        match self.prove(&request, progress).await? {
            Reply::Logic(report) => Ok(*report),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends a request that is answered with progress, and gives the last reply.
    async fn prove(
        &self,
        request: &Request,
        mut progress: impl FnMut(ProofProgress) + Send,
    ) -> Result<Reply, ClientError> {
        let mut feed = Feed::open(&self.handle, request).await?;
        loop {
            match feed.next().await {
                Next::Reply(Reply::ProofProgress(told)) => progress(told),
                Next::Reply(last) => return Ok(last),
                Next::Cut => return Err(ClientError::closed("the work was cut off")),
            }
        }
    }
}
