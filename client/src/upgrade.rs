//! New rules for scopes that are in use, and snapshots of their states.

use crate::ClientError;
use crate::client::{AGAIN, Client, ONCE};
use crate::feed::unexpected;
use atomic_store_core::protocol::{Reply, Request};
use atomic_store_core::{
    Binding, Gate, Ruled, ScopeName, ScopePattern, Scrubbed, Share, SnapshotInfo, SnapshotReply,
    SnapshotRequest, Trial, TrialReport, UpgradeReply, UpgradeRequest, ValidatorRef,
};

impl Client {
    /// Tries a candidate on the scopes of a pattern that is bound: with a share it judges these of
    /// them, otherwise it runs beside the binding and decides nothing.
    ///
    /// # Errors
    /// [`ClientError`]; after [`ClientError::Closed`] the trial may have begun or not.
    pub async fn start_trial(
        &self,
        pattern: ScopePattern,
        which: ValidatorRef,
        config: Option<Vec<u8>>,
        share: Option<Share>,
    ) -> Result<Trial, ClientError> {
        let request = UpgradeRequest::Start { pattern, validator: which, config, share };
        match self.upgrade(request, false).await? {
            UpgradeReply::Trial(trial) => Ok(trial),
            other => Err(unexpected(&Reply::Upgrade(other))),
        }
    }

    /// Ends a trial; scopes that the candidate judged go back to the binding.
    ///
    /// # Errors
    /// [`ClientError`]; after [`ClientError::Closed`] it may have ended or not.
    pub async fn end_trial(&self, pattern: ScopePattern) -> Result<(), ClientError> {
        match self.upgrade(UpgradeRequest::End { pattern }, false).await? {
            UpgradeReply::Ended => Ok(()),
            other => Err(unexpected(&Reply::Upgrade(other))),
        }
    }

    /// All trials, and what each found.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn trials(&self) -> Result<Vec<TrialReport>, ClientError> {
        match self.upgrade(UpgradeRequest::List, true).await? {
            UpgradeReply::Trials(trials) => Ok(trials),
            other => Err(unexpected(&Reply::Upgrade(other))),
        }
    }

    /// Binds the candidate of a trial to the whole pattern, if the gate holds or with `force`.
    ///
    /// # Errors
    /// [`ClientError`]; after [`ClientError::Closed`] the binding may be made or not.
    pub async fn promote(
        &self,
        pattern: ScopePattern,
        gate: Gate,
        force: bool,
    ) -> Result<Binding, ClientError> {
        self.bound(UpgradeRequest::Promote { pattern, gate, force }).await
    }

    /// Binds what was bound to a pattern before, or ends the trial of a candidate that judges a share
    /// of its scopes.
    ///
    /// # Errors
    /// [`ClientError`]; after [`ClientError::Closed`] the binding may be made or not.
    pub async fn rollback(&self, pattern: ScopePattern) -> Result<Binding, ClientError> {
        self.bound(UpgradeRequest::Rollback { pattern }).await
    }

    /// Which rule admitted which events of a scope; of many changes the last thousand.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ruled(&self, scope: &ScopeName) -> Result<Vec<Ruled>, ClientError> {
        match self.upgrade(UpgradeRequest::Ruled { scope: scope.clone() }, true).await? {
            UpgradeReply::Ruled(ruled) => Ok(ruled),
            other => Err(unexpected(&Reply::Upgrade(other))),
        }
    }

    /// Keeps a scope's state as a snapshot, now. Nothing if its validator gives none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn take_snapshot(
        &self,
        scope: &ScopeName,
    ) -> Result<Option<SnapshotInfo>, ClientError> {
        let request = Request::Snapshots(SnapshotRequest::Take { scope: scope.clone() });
        match self.call(request, AGAIN).await? {
            Reply::Snapshots(SnapshotReply::Taken(taken)) => Ok(taken),
            other => Err(unexpected(&other)),
        }
    }

    /// Proves the snapshots of some scopes whose names start with `prefix` and come after `after`, and
    /// drops what is wrong. Ask again after its last scope until there is none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn scrub_snapshots(
        &self,
        prefix: &str,
        after: &str,
    ) -> Result<Scrubbed, ClientError> {
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        let request = Request::Snapshots(SnapshotRequest::Scrub { prefix, after });
        match self.call(request, AGAIN).await? {
            Reply::Snapshots(SnapshotReply::Scrubbed(scrubbed)) => Ok(scrubbed),
            other => Err(unexpected(&other)),
        }
    }

    async fn bound(&self, request: UpgradeRequest) -> Result<Binding, ClientError> {
        match self.upgrade(request, false).await? {
            UpgradeReply::Bound(binding) => Ok(binding),
            other => Err(unexpected(&Reply::Upgrade(other))),
        }
    }

    async fn upgrade(
        &self,
        request: UpgradeRequest,
        again: bool,
    ) -> Result<UpgradeReply, ClientError> {
        let rules = if again { AGAIN } else { ONCE };
        match self.call(Request::Upgrade(request), rules).await? {
            Reply::Upgrade(reply) => Ok(reply),
            other => Err(unexpected(&other)),
        }
    }
}
