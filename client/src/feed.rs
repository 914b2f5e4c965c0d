//! A call with many replies, before their meaning is known.

use crate::ClientError;
use crate::client::Handle;
use crate::shared::Started;
use crate::slots::Slot;
use atomic_store_core::protocol::{Reply, Request};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A call with many replies. Dropping it ends it on the server.
pub(crate) struct Feed {
    handle: Arc<Handle>,
    call: u64,
}

/// What comes next.
pub(crate) enum Next {
    /// A reply.
    Reply(Reply),
    /// It ended early and must be asked for again.
    Cut,
}

impl Feed {
    /// Sends the request once the link is up.
    pub(crate) async fn open(handle: &Arc<Handle>, request: &Request) -> Result<Feed, ClientError> {
        let call = poll_fn(|cx| match handle.shared.start_stream(request, cx.waker()) {
            Started::Call(call) => Poll::Ready(Ok(call)),
            Started::Refused(why) => Poll::Ready(Err(why)),
            Started::Wait => Poll::Pending,
        });
        Ok(Feed { handle: Arc::clone(handle), call: call.await? })
    }

    /// The next reply, in order. Loses nothing when dropped.
    pub(crate) async fn next(&mut self) -> Next {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Next> {
        let mut state = self.handle.shared.lock();
        let Some(Slot::Stream(slot)) = state.slots.get_mut(self.call) else {
            return Poll::Ready(Next::Cut);
        };
        if let Some(reply) = slot.replies.pop_front() {
            if slot.replies.is_empty() {
                slot.bytes = 0;
            }
            return Poll::Ready(Next::Reply(reply));
        }
        if slot.cut {
            return Poll::Ready(Next::Cut);
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.handle.shared.cancel(self.call);
    }
}

/// A reply that does not belong to this kind of call.
pub(crate) fn unexpected(reply: &Reply) -> ClientError {
    match reply {
        Reply::Error(why) => ClientError::Request(why.clone()),
        _ => ClientError::Protocol("a reply of another kind than asked for".to_owned()),
    }
}
