//! History, asked again: whether each event follows from its rule.

use crate::ClientError;
use crate::client::{AGAIN, Client};
use crate::feed::{Feed, Next, unexpected};
use atomic_store_core::protocol::{BundleOf, Reply, Request};
use atomic_store_core::{
    BacktestReport, LogicReport, ProofProgress, Proposal, ScopeName, ScopePattern, Seq,
    ValidatorRef,
};

/// Rules on trial.
#[derive(Clone, Debug)]
pub enum Candidate<'a> {
    /// A component that need not be loaded.
    Component(&'a [u8]),
    /// A loaded validator.
    Loaded(ValidatorRef),
}

/// What to hold rules on trial against.
#[derive(Clone, Debug)]
pub struct Against {
    /// Only what this validator decided; nothing for whatever was decided.
    pub validator: Option<ValidatorRef>,
    /// In these scopes.
    pub scopes: ScopePattern,
    /// Only scopes whose names come after this one; empty for all.
    pub after: String,
    /// The candidate's configuration; nothing for the one in force at each event.
    pub config: Option<Vec<u8>>,
}

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

    /// Goes on with [`Self::verify_logic`] of one scope that was ended early: events up to `after`, the last
    /// [`ProofProgress::at`] of the work before, are folded and not judged again.
    ///
    /// # Errors
    /// [`ClientError`]; what could not be shown is part of the report, not an error.
    pub async fn resume_logic(
        &self,
        scope: ScopeName,
        after: Seq,
        progress: impl FnMut(ProofProgress) + Send,
    ) -> Result<LogicReport, ClientError> {
        match self.prove(&Request::ResumeLogic { scope, after }, progress).await? {
            Reply::Logic(report) => Ok(*report),
            other => Err(unexpected(&other)),
        }
    }

    /// Puts the appends and the recorded rejections of scopes before a candidate. `progress` is told how
    /// far it is. Dropping the future ends it; whoever asks again may begin after the last
    /// [`ProofProgress::through`].
    ///
    /// # Errors
    /// [`ClientError`]; where it decides otherwise is part of the report, not an error.
    pub async fn backtest(
        &self,
        candidate: Candidate<'_>,
        against: Against,
        progress: impl FnMut(ProofProgress) + Send,
    ) -> Result<BacktestReport, ClientError> {
        let candidate = match candidate {
            Candidate::Loaded(which) => Some(which),
            Candidate::Component(bytes) => {
                self.offer_validator(bytes).await?;
                None
            }
        };
        let Against { validator: against, scopes, after, config } = against;
        let request = Request::Backtest { candidate, against, scopes, after, config };
        match self.prove(&request, progress).await? {
            Reply::Backtested(report) => Ok(*report),
            other => Err(unexpected(&other)),
        }
    }

    /// What events of a scope are today, as its present rules say; nothing for one that is as it was.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn upcast(
        &self,
        scope: &ScopeName,
        seqs: &[Seq],
    ) -> Result<Vec<Option<Proposal>>, ClientError> {
        let mut newer = Vec::with_capacity(seqs.len());
        let page = self.limits().page_events_max.max(1);
        while newer.len() < seqs.len() {
            let rest = &seqs[newer.len()..];
            let seqs = rest[..rest.len().min(page)].to_vec();
            match self.call(Request::Upcast { scope: scope.clone(), seqs }, AGAIN).await? {
                Reply::Upcast(part) if (1..=rest.len()).contains(&part.len()) => newer.extend(part),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(newer)
    }

    /// All that a verdict depended on, as one file.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn bundle(&self, scope: ScopeName, of: BundleOf) -> Result<Vec<u8>, ClientError> {
        let mut feed = Feed::open(&self.handle, &Request::Bundle { scope, of }).await?;
        let mut bundle = Vec::new();
        loop {
            match feed.next().await {
                Next::Reply(Reply::BundlePart(part)) => bundle.extend_from_slice(&part),
                Next::Reply(Reply::Done) => return Ok(bundle),
                Next::Reply(other) => return Err(unexpected(&other)),
                Next::Cut => return Err(ClientError::closed("the bundle was cut off")),
            }
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
