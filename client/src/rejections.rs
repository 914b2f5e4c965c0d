//! The journal of rejections.

use crate::ClientError;
use crate::client::{AGAIN, Client};
use crate::feed::unexpected;
use atomic_store_core::protocol::{Reply, Request};
use atomic_store_core::{Rejection, RejectionCount, ScopeName};

impl Client {
    /// A page of the journal of rejections after a number, oldest first, of one scope or of all: at
    /// most `limit` entries and no more than the store puts on a page. Empty at the end; the next page
    /// begins after the number of the last entry.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rejections(
        &self,
        scope: Option<&ScopeName>,
        after: u64,
        limit: u64,
    ) -> Result<Vec<Rejection>, ClientError> {
        let request = Request::ReadRejections { scope: scope.cloned(), after, limit };
        match self.call(request, AGAIN).await? {
            Reply::Rejections(page) => Ok(page),
            other => Err(unexpected(&other)),
        }
    }

    /// How often what was refused, among the entries that are kept; the most frequent first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn count_rejections(
        &self,
        scope: Option<&ScopeName>,
    ) -> Result<Vec<RejectionCount>, ClientError> {
        match self.call(Request::CountRejections { scope: scope.cloned() }, AGAIN).await? {
            Reply::RejectionCounts(counts) => Ok(counts),
            other => Err(unexpected(&other)),
        }
    }
}
