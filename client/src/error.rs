//! Why a call failed. What became of an append is not an error: see `Outcome`.

use atomic_store_core::protocol::{RequestError, StoreId};
use std::time::Duration;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No connection could be made.
    #[error("cannot connect to {address}: {why}")]
    Connect {
        /// Where to.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// The connection was lost, and with it the answer.
    #[error("the connection was lost: {why}")]
    Closed {
        /// What went wrong.
        why: String,
    },
    /// The server refused the request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The server sent something that the protocol does not allow here.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The events received are not the ones that were stored.
    #[error("damaged: {what}")]
    Damaged {
        /// Where, and what was found.
        what: String,
    },
    /// Another store answers at this address now; nothing can be resumed there.
    #[error("the server has another store now: {found} in place of {expected}; connect anew")]
    OtherStore {
        /// The store this client was connected to.
        expected: StoreId,
        /// The one that answers now.
        found: StoreId,
    },
    /// It took too long.
    #[error("no {what} within {after:?}")]
    Timeout {
        /// What did not come.
        what: &'static str,
        /// The time it had.
        after: Duration,
    },
}

impl ClientError {
    /// True if the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            ClientError::Connect { .. } | ClientError::Closed { .. } => true,
            ClientError::Timeout { .. } => true,
            ClientError::Request(why) => {
                matches!(why, RequestError::Overloaded(_) | RequestError::Goodbye(_))
            }
            ClientError::Protocol(_)
            | ClientError::Damaged { .. }
            | ClientError::OtherStore { .. } => false,
        }
    }

    pub(crate) fn closed(why: impl ToString) -> Self {
        ClientError::Closed { why: why.to_string() }
    }
}
