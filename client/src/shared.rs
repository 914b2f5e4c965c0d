//! What the handles, the streams and the task of a connection share: one lock around the calls in
//! flight and the bytes that wait to be sent.
//!
//! The lock is held for the encoding of one frame at most, never over an await. Callers encode
//! straight into the buffer that the connection writes from.

use crate::slots::{CallEnd, CallSlot, Slot, Slots, StreamSlot};
use crate::{ClientError, Options};
use atomic_store_core::protocol::{Reply, Request, RequestError, ServerFrame, StoreId};
use atomic_store_core::{Limits, frame};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;
use tokio::sync::Notify;

/// Bytes to send beyond which callers wait.
const OUT_BYTES_MAX: usize = 1024 * 1024;

/// Whether requests can be sent.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// Yes.
    Up,
    /// Not now, but again.
    Down,
    /// Never again.
    Gone(ClientError),
}

pub(crate) struct Shared {
    state: Mutex<State>,
    /// Told when the buffer is no longer empty, and when the last handle is dropped.
    pub(crate) writer: Notify,
    pub(crate) options: Options,
    pub(crate) store: StoreId,
    /// Whether this client connects again; false over a given stream.
    pub(crate) reconnects: bool,
}

pub(crate) struct State {
    pub(crate) slots: Slots,
    pub(crate) out: Vec<u8>,
    pub(crate) link: Link,
    /// Calls made so far.
    pub(crate) calls: u64,
    /// How often the link came up.
    pub(crate) links: u64,
    pub(crate) limits: Arc<Limits>,
    /// The last handle was dropped.
    pub(crate) closed: bool,
    /// Callers that wait for room in `out`.
    room: Vec<Waker>,
    /// Streams that wait for the link.
    waiting: Vec<Waker>,
}

/// What became of an attempt to start a call.
pub(crate) enum Started {
    /// It has this number.
    Call(u64),
    /// Too much waits to be sent; the waker is kept.
    Wait,
    /// It cannot be sent.
    Refused(ClientError),
}

impl Shared {
    pub(crate) fn new(
        store: StoreId,
        limits: Limits,
        options: Options,
        reconnects: bool,
    ) -> Arc<Self> {
        let state = State {
            slots: Slots::new(),
            out: Vec::new(),
            link: Link::Up,
            calls: 0,
            links: 1,
            limits: Arc::new(limits),
            closed: false,
            room: Vec::new(),
            waiting: Vec::new(),
        };
        let (state, writer) = (Mutex::new(state), Notify::new());
        Arc::new(Shared { state, writer, options, store, reconnects })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a defect of this crate; the state is still the best there is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a call; `request` is taken only if it got a number.
    pub(crate) fn start_call(
        &self,
        request: &mut Option<Request>,
        rules: CallRules,
        waker: &Waker,
    ) -> Started {
        let mut state = self.lock();
        let up = match &state.link {
            Link::Gone(why) => return Started::Refused(why.clone()),
            Link::Up => true,
            Link::Down => false,
        };
        if rules.link.is_some_and(|link| !up || link != state.links) {
            return Started::Refused(ClientError::closed("the upload was interrupted"));
        }
        if state.out.len() > OUT_BYTES_MAX {
            state.room.push(waker.clone());
            return Started::Wait;
        }
        let Some(request) = request.take() else {
            return Started::Refused(ClientError::closed("the call was started twice"));
        };
        state.calls += 1;
        let slot = CallSlot {
            request,
            number: state.calls,
            resend: rules.resend,
            sent: false,
            abandoned: false,
            deadline: (!up).then(|| Instant::now() + self.options.retry_for),
            end: None,
            waker: Some(waker.clone()),
        };
        let Some(call) = state.slots.insert(Slot::Call(slot)) else {
            return Started::Refused(RequestError::Overloaded("a million calls".into()).into());
        };
        if up {
            let was_empty = state.out.is_empty();
            // A request that is too long fails at once; whoever asks is then told to look again.
            let failed = state.send_call(call);
            drop(state);
            if was_empty {
                self.writer.notify_one();
            }
            failed.into_iter().for_each(Waker::wake);
        }
        Started::Call(call)
    }

    /// Starts a call with many replies, once the link is up.
    pub(crate) fn start_stream(&self, request: &Request, waker: &Waker) -> Started {
        let mut state = self.lock();
        match &state.link {
            Link::Gone(why) => return Started::Refused(why.clone()),
            Link::Down => {
                state.waiting.push(waker.clone());
                return Started::Wait;
            }
            Link::Up => {}
        }
        let Some(call) = state.slots.insert(Slot::Stream(StreamSlot::default())) else {
            return Started::Refused(RequestError::Overloaded("a million calls".into()).into());
        };
        match state.put(call, request) {
            Ok(()) => {
                drop(state);
                self.writer.notify_one();
                Started::Call(call)
            }
            Err(why) => {
                state.slots.remove(call);
                Started::Refused(why)
            }
        }
    }

    /// Ends a call with many replies, from this side.
    pub(crate) fn cancel(&self, call: u64) {
        let mut state = self.lock();
        if let Some(Slot::Stream(stream)) = state.slots.remove(call)
            && !stream.cut
            && matches!(state.link, Link::Up)
        {
            state.put_cancel(call);
            drop(state);
            self.writer.notify_one();
        }
    }

    /// Hands out what one read of the socket brought. Empties both lists; the wakers are woken
    /// after the lock is released.
    pub(crate) fn deliver(&self, frames: &mut Vec<(ServerFrame, usize)>, wakers: &mut Vec<Waker>) {
        let mut state = self.lock();
        let was_empty = state.out.is_empty();
        for (frame, bytes) in frames.drain(..) {
            let waker = state.deliver(frame, bytes, self.options.stream_bytes_max);
            wakers.extend(waker);
        }
        let cancelled = was_empty && !state.out.is_empty();
        drop(state);
        if cancelled {
            self.writer.notify_one();
        }
        wakers.drain(..).for_each(Waker::wake);
    }
}

/// How a call may be sent.
#[derive(Clone, Copy, Default)]
pub(crate) struct CallRules {
    /// Sending it twice does no harm.
    pub(crate) resend: bool,
    /// Only over this very connection.
    pub(crate) link: Option<u64>,
}

impl State {
    /// Encodes a request. One that is longer than the server takes is refused here.
    pub(crate) fn put(&mut self, call: u64, request: &Request) -> Result<(), ClientError> {
        let start = self.out.len();
        // A tuple of the two has the bytes of a `ClientFrame`, without owning the request.
        self.out = frame::put(std::mem::take(&mut self.out), &(call, request))
            .map_err(|why| ClientError::Protocol(why.to_string()))?;
        let (bytes, max) =
            (self.out.len() - start - frame::LENGTH_BYTES, self.limits.frame_bytes_max);
        if bytes > max {
            self.out.truncate(start);
            let (field, why) =
                ("request".into(), format!("{bytes} bytes, at most {max} are allowed"));
            return Err(RequestError::Invalid { field, why }.into());
        }
        Ok(())
    }

    /// Encodes a call that has its slot already, for the first time or again. Gives back who waits if
    /// the request failed instead.
    #[must_use]
    pub(crate) fn send_call(&mut self, call: u64) -> Option<Waker> {
        let Some(Slot::Call(slot)) = self.slots.get_mut(call) else { return None };
        let idle = Request::Status;
        if slot.sent {
            repeat(&mut slot.request);
        }
        let sent = std::mem::replace(&mut slot.sent, true);
        // The request is lent out of its slot, because encoding needs the rest of the state.
        let request = std::mem::replace(&mut slot.request, idle);
        let put = self.put(call, &request);
        let Some(Slot::Call(slot)) = self.slots.get_mut(call) else { return None };
        slot.request = request;
        match put {
            Ok(()) => None,
            Err(why) => slot.fail(why, sent),
        }
    }

    fn put_cancel(&mut self, call: u64) {
        let number = self.slots.unheard();
        // A cancel is a few bytes and always fits.
        let fits = self.put(number, &Request::Cancel { call });
        debug_assert!(fits.is_ok());
    }

    fn deliver(&mut self, frame: ServerFrame, bytes: usize, stream_max: usize) -> Option<Waker> {
        if self.slots.get_mut(frame.call).is_none() {
            if let Reply::Question(_) = frame.reply {
                // Whoever would judge is gone; the scope need not wait for the deadline.
                self.put_cancel(frame.call);
            }
            return None;
        }
        match self.slots.get_mut(frame.call)? {
            // This kind of call cannot judge. Given up, it ends with the one answer that is left.
            Slot::Call(_) if precedes_answer(&frame.reply) => {
                if let Reply::Question(_) = frame.reply {
                    self.put_cancel(frame.call);
                    if let Some(Slot::Call(slot)) = self.slots.get_mut(frame.call) {
                        let (field, why) = ("scope".to_owned(), MUST_JUDGE.to_owned());
                        let error = RequestError::Invalid { field, why };
                        slot.end = slot.end.take().or(Some(CallEnd::Reply(Reply::Error(error))));
                        return slot.waker.take();
                    }
                }
                None
            }
            Slot::Call(slot) if slot.abandoned => {
                self.slots.remove(frame.call);
                None
            }
            Slot::Call(slot) if slot.end.is_some() => None,
            Slot::Call(slot) => {
                slot.end = Some(CallEnd::Reply(frame.reply));
                slot.waker.take()
            }
            Slot::Stream(slot) if slot.cut => None,
            Slot::Stream(slot) => {
                let last = !goes_on(&frame.reply);
                slot.replies.push_back(frame.reply);
                slot.bytes += bytes;
                let waker = slot.waker.take();
                if !last && slot.bytes > stream_max {
                    slot.cut = true;
                    self.put_cancel(frame.call);
                }
                waker
            }
        }
    }

    /// The bytes to send, in exchange for an empty buffer; and who may now send more.
    pub(crate) fn take_out(&mut self, spare: Vec<u8>) -> (Vec<u8>, Vec<Waker>) {
        (std::mem::replace(&mut self.out, spare), std::mem::take(&mut self.room))
    }

    /// The link is down: streams learn it, calls that cannot be sent again fail.
    pub(crate) fn link_down(&mut self, why: &ClientError, deadline: Option<Instant>) -> Vec<Waker> {
        self.link = match deadline {
            Some(_) => Link::Down,
            None => Link::Gone(why.clone()),
        };
        self.out.clear();
        let mut wakers = std::mem::take(&mut self.room);
        wakers.append(&mut self.waiting);
        let mut abandoned = Vec::new();
        for (call, slot) in self.slots.iter_mut() {
            match slot {
                Slot::Call(slot) if slot.abandoned => abandoned.push(call),
                Slot::Call(slot) if deadline.is_some() && (slot.resend || !slot.sent) => {
                    slot.deadline = slot.deadline.or(deadline);
                }
                Slot::Call(slot) => wakers.extend(slot.fail(why.clone(), slot.sent)),
                Slot::Stream(slot) => {
                    slot.cut = true;
                    wakers.extend(slot.waker.take());
                }
            }
        }
        for call in abandoned {
            self.slots.remove(call);
        }
        wakers
    }

    /// The link is up: what has no answer is sent, again or for the first time.
    pub(crate) fn link_up(&mut self, limits: Limits) -> Vec<Waker> {
        self.link = Link::Up;
        self.links += 1;
        self.limits = Arc::new(limits);
        let mut wakers = std::mem::take(&mut self.waiting);
        let is_open = |(call, slot): (u64, &mut Slot)| match slot {
            Slot::Call(slot) if slot.end.is_none() => {
                slot.deadline = None;
                Some((slot.number, call))
            }
            _ => None,
        };
        let mut calls: Vec<(u64, u64)> = self.slots.iter_mut().filter_map(is_open).collect();
        calls.sort_unstable();
        for (_, call) in calls {
            wakers.extend(self.send_call(call));
        }
        wakers
    }

    /// Fails the calls whose time is over, while the link is down; tells the next one's time.
    pub(crate) fn expire(
        &mut self,
        now: Instant,
        why: &ClientError,
    ) -> (Option<Instant>, Vec<Waker>) {
        let (mut next, mut wakers, mut abandoned) = (None::<Instant>, Vec::new(), Vec::new());
        for (call, slot) in self.slots.iter_mut() {
            let Slot::Call(slot) = slot else { continue };
            match slot.deadline {
                _ if slot.abandoned => abandoned.push(call),
                _ if slot.end.is_some() => {}
                Some(deadline) if deadline <= now => {
                    wakers.extend(slot.fail(why.clone(), slot.sent));
                }
                Some(deadline) => next = Some(next.map_or(deadline, |next| next.min(deadline))),
                None => {}
            }
        }
        for call in abandoned {
            self.slots.remove(call);
        }
        (next, wakers)
    }
}

impl CallSlot {
    fn fail(&mut self, why: ClientError, sent: bool) -> Option<Waker> {
        if self.end.is_none() {
            self.end = Some(CallEnd::Failed { why, sent });
        }
        self.waker.take()
    }
}

const MUST_JUDGE: &str = "its scope is bound to originator, so whoever appends must judge it: append_judged, or \
     append --judge";

/// Marks an append as one that may have been sent before.
pub(crate) fn repeat(request: &mut Request) {
    match request {
        Request::Append(append) => append.repeated = true,
        Request::AppendJoint(append) => append.repeated = true,
        _ => {}
    }
}

/// True of what may come before the one answer of a call: the past, and the question about it.
fn precedes_answer(reply: &Reply) -> bool {
    matches!(reply, Reply::Events(_) | Reply::Question(_))
}

/// True if more replies of a stream follow.
fn goes_on(reply: &Reply) -> bool {
    precedes_answer(reply)
        || matches!(
            reply,
            Reply::Progress { .. }
                | Reply::ProofProgress(_)
                | Reply::Rejections(_)
                | Reply::BundlePart(_)
                | Reply::State { .. }
                | Reply::Scanned { .. }
                | Reply::Replaying { .. }
                | Reply::Skipped { .. }
        )
}
