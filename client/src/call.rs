//! One request and its one reply, as a future without any allocation of its own.

use crate::shared::{CallRules, Shared, Started};
use crate::slots::{CallEnd, CallSlot, Slot};
use atomic_store_core::protocol::Request;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A call: sends its request when first polled, gives the reply, and the request back. Dropped
/// early, it leaves nothing behind but a reply that nobody hears.
pub(crate) struct Call<'a> {
    shared: &'a Shared,
    rules: CallRules,
    request: Option<Request>,
    number: Option<u64>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(shared: &'a Shared, request: Request, rules: CallRules) -> Self {
        Call { shared, rules, request: Some(request), number: None }
    }
}

impl Future for Call<'_> {
    type Output = (CallEnd, Option<Request>);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(number) = this.number else {
            return match this.shared.start_call(&mut this.request, this.rules, cx.waker()) {
                Started::Wait => Poll::Pending,
                Started::Refused(why) => {
                    Poll::Ready((CallEnd::Failed { why, sent: false }, this.request.take()))
                }
                Started::Call(number) => {
                    this.number = Some(number);
                    Poll::Pending
                }
            };
        };
        let mut state = this.shared.lock();
        match state.slots.get_mut(number) {
            Some(Slot::Call(slot)) => {
                let Some(end) = slot.end.take() else {
                    slot.wait(cx);
                    return Poll::Pending;
                };
                let slot = state.slots.remove(number);
                drop(state);
                this.number = None;
                match slot {
                    Some(Slot::Call(slot)) => Poll::Ready((end, Some(slot.request))),
                    _ => Poll::Ready((end, None)),
                }
            }
            // Only this future removes its slot, and it is not polled after it was ready.
            _ => Poll::Pending,
        }
    }
}

impl CallSlot {
    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = self.shared.lock();
        let Some(Slot::Call(slot)) = state.slots.get_mut(number) else { return };
        // What the server may still answer keeps its number until then.
        if slot.sent && slot.end.is_none() {
            slot.abandoned = true;
            slot.request = Request::Status;
            slot.waker = None;
        } else {
            state.slots.remove(number);
        }
    }
}
