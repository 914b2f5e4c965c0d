//! Calls about scopes as a whole: list, seal, unseal, delete, restore.

use crate::client::{AGAIN, ONCE};
use crate::feed::unexpected;
use crate::shared::CallRules;
use crate::{Client, ClientError};
use atomic_store_core::protocol::{Origin, Reply, Request, ScopeInfo};
use atomic_store_core::{ScopeName, Seq};
use serde_bytes::ByteBuf;
use tokio::sync::MutexGuard;

/// Bytes of records that are sent together, unless the store allows less.
const PART_BYTES: usize = 1024 * 1024;

impl Client {
    /// Scopes whose loop is in memory (Atomic Store A14), as [`Client::list_scopes`]. Some may have no
    /// events.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_live_scopes(
        &self,
        prefix: &str,
        after: &str,
        limit: u64,
    ) -> Result<Vec<ScopeInfo>, ClientError> {
        self.scopes(true, prefix, after, limit).await
    }

    pub(crate) async fn scopes(
        &self,
        live: bool,
        prefix: &str,
        after: &str,
        limit: u64,
    ) -> Result<Vec<ScopeInfo>, ClientError> {
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        match self.call(Request::ListScopes { live, prefix, after, limit }, AGAIN).await? {
            Reply::Scopes(scopes) => Ok(scopes),
            other => Err(unexpected(&other)),
        }
    }

    /// Closes a scope for appends until it is unsealed. Reads and queries go on.
    ///
    /// # Errors
    /// [`ClientError`]; after [`ClientError::Closed`] it may be sealed or not.
    pub async fn seal_scope(&self, scope: &ScopeName, why: &str) -> Result<(), ClientError> {
        let request = Request::SealScope { scope: scope.clone(), why: why.to_owned() };
        done(&self.call(request, ONCE).await?)
    }

    /// Opens a sealed scope again.
    ///
    /// # Errors
    /// [`ClientError::Request`] if it is not sealed, or sealed because it is damaged.
    pub async fn unseal_scope(&self, scope: &ScopeName) -> Result<(), ClientError> {
        done(&self.call(Request::UnsealScope { scope: scope.clone() }, ONCE).await?)
    }

    /// Deletes the events of a scope and says how many; its numbering goes on (coherence C28). With
    /// `head`, only if that is its last event.
    ///
    /// # Errors
    /// [`ClientError::Request`] if it has no events or another head; after [`ClientError::Closed`] it
    /// may be deleted or not.
    pub async fn delete_scope(
        &self,
        scope: &ScopeName,
        head: Option<Seq>,
    ) -> Result<u64, ClientError> {
        match self.call(Request::DeleteScope { scope: scope.clone(), head }, ONCE).await? {
            Reply::Deleted { events } => Ok(events),
            other => Err(unexpected(&other)),
        }
    }

    /// Begins to restore a scope from records, as an export holds them. One at a time on a
    /// connection: a second one waits.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn restore_scope(&self, scope: &ScopeName) -> Result<Restore<'_>, ClientError> {
        // Parts of two scopes must not mix on the one connection.
        let alone = self.handle.restore.lock().await;
        let begin = Request::RestoreScope {
            scope: scope.clone(),
            records: Vec::new(),
            last: false,
            from: None,
        };
        done(&self.call(begin, CallRules::default()).await?)?;
        let rules = CallRules { resend: false, link: Some(self.handle.shared.lock().links) };
        let (scope, records) = (scope.clone(), Vec::new());
        Ok(Restore { client: self, scope, rules, records, bytes: 0, _alone: alone })
    }
}

/// A scope on its way into a store. Dropped before [`Restore::finish`], it leaves nothing there.
pub struct Restore<'a> {
    client: &'a Client,
    scope: ScopeName,
    /// Bound to one connection: what was sent over another is gone.
    rules: CallRules,
    records: Vec<ByteBuf>,
    bytes: usize,
    _alone: MutexGuard<'a, ()>,
}

impl Restore<'_> {
    /// Adds the next record, in order from the first; sends when enough are together.
    ///
    /// # Errors
    /// [`ClientError::Request`] says which record does not follow from the one before it.
    pub async fn push(&mut self, record: Vec<u8>) -> Result<(), ClientError> {
        let limits = self.client.limits();
        let most = limits.restore_bytes_max.min(limits.frame_bytes_max / 2).min(PART_BYTES);
        let full = self.bytes + record.len() > most
            || self.records.len() >= limits.restore_records_max.clamp(1, 1_000);
        if full && !self.records.is_empty() {
            match self.send(false, None).await? {
                Reply::Done => {}
                other => return Err(unexpected(&other)),
            }
        }
        self.bytes += record.len();
        self.records.push(ByteBuf::from(record));
        Ok(())
    }

    /// Makes the scope visible with all its events. `from` says where they come from, if the scope
    /// had another name there.
    ///
    /// # Errors
    /// [`ClientError::Request`] if the store does not take it; after [`ClientError::Closed`] it may be
    /// restored or not.
    pub async fn finish(mut self, from: Option<Origin>) -> Result<ScopeInfo, ClientError> {
        match self.send(true, from).await? {
            Reply::Scope(Some(info)) => Ok(info),
            other => Err(unexpected(&other)),
        }
    }

    async fn send(&mut self, last: bool, from: Option<Origin>) -> Result<Reply, ClientError> {
        self.bytes = 0;
        let records = std::mem::take(&mut self.records);
        let request = Request::RestoreScope { scope: self.scope.clone(), records, last, from };
        self.client.call(request, self.rules).await
    }
}

fn done(reply: &Reply) -> Result<(), ClientError> {
    match reply {
        Reply::Done => Ok(()),
        other => Err(unexpected(other)),
    }
}
