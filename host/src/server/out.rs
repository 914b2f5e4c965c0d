//! What waits to be written to one connection, and how many calls wait for their answers.
//!
//! Whoever has an answer encodes it straight into the queue under a short lock; the writing task is
//! woken only when it sleeps, and then writes all that has gathered. Bounds: answers by the calls in
//! flight and by a hard cap, beyond which the session is closed; pages of events by permits,
//! which they hold until they are written.

use super::wire::Direct;
use crate::engine::{Asked, ReplyTo, State as QueryState};
use atomic_store_core::protocol::{Reply, RequestError};
use atomic_store_core::{Answer, JointAnswer, Limits, Outcome, frame};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore};

/// How many times over answers may fill the queue before the session is closed. No more requests are
/// taken from a full queue on, but one group commit may answer many that were: a client that reads
/// must not lose its session for it.
const OVERFULL: usize = 16;
/// Answers gather in buffers of about this size.
const CHUNK_BYTES: usize = 64 * 1024;

/// The queue of one connection.
pub(crate) struct Out {
    state: Mutex<State>,
    /// Told when the queue is no longer empty, or closed.
    writer: Notify,
    /// Told when the reader may take more requests.
    reader: Notify,
    /// Told when the queue is closed.
    gone: Notify,
    /// Bytes of pages that may wait.
    room: Arc<Semaphore>,
    frame_bytes_max: usize,
    bytes_max: usize,
    calls_max: u64,
    queries_max: u64,
    /// How the client is asked about its appends.
    asker: OnceLock<Asker>,
    /// True once nobody is there to be asked.
    unasked: AtomicBool,
}

/// Takes a question to the client of a call; false if it is gone.
pub(crate) type Asker = Box<dyn Fn(u64, Asked) -> bool + Send + Sync>;

#[derive(Default)]
struct State {
    chunks: VecDeque<Chunk>,
    spare: Vec<u8>,
    /// For single answers, while the writing task sleeps.
    direct: Option<Arc<dyn Direct>>,
    bytes: usize,
    answered: u64,
    queries: u64,
    /// The writing task sleeps.
    writer_sleeps: bool,
    /// The reader waits until so many calls are answered.
    reader_waits: Option<u64>,
    end: End,
}

/// Bytes to write, from an offset on.
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) from: usize,
    /// Held until the bytes are written.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// Write what is there, take no more.
    Finishing,
    /// Nobody reads it any more.
    Closed,
}

impl Out {
    pub(crate) fn new(limits: &Limits, direct: Option<Arc<dyn Direct>>) -> Self {
        let bytes_max = limits.session_out_bytes_max.min(u32::MAX as usize >> 1).max(1);
        let queries = bytes_max / limits.query_answer_bytes_max.max(1);
        Out {
            state: Mutex::new(State { direct, ..State::default() }),
            writer: Notify::new(),
            reader: Notify::new(),
            gone: Notify::new(),
            room: Arc::new(Semaphore::new(bytes_max)),
            frame_bytes_max: limits.frame_bytes_max,
            bytes_max,
            calls_max: limits.session_calls_max.max(1) as u64,
            queries_max: queries.max(1) as u64,
            asker: OnceLock::new(),
            unasked: AtomicBool::new(false),
        }
    }

    /// Says how the client is asked.
    pub(crate) fn on_question(&self, asker: Asker) {
        // Only the first one counts; there is only one.
        drop(self.asker.set(asker));
    }

    /// From here on the client is not asked any more. What it was asked before must be withdrawn after
    /// this.
    pub(crate) fn ask_no_more(&self) {
        self.unasked.store(true, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Encoding cannot leave the queue half-written: a frame is put back whole or not at all.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the one answer of a call.
    pub(crate) fn reply(&self, call: u64, reply: &Reply) {
        let mut state = self.lock();
        self.put(&mut state, call, reply);
        self.answered(state);
    }

    /// Sends the one answer of a call, to which nothing will be added soon.
    fn reply_at_once(&self, call: u64, reply: &Reply) {
        let mut state = self.lock();
        self.put(&mut state, call, reply);
        state.write_directly();
        self.answered(state);
    }

    /// Queues a frame that ends no call.
    pub(crate) fn push(&self, call: u64, reply: &Reply) {
        let mut state = self.lock();
        self.put(&mut state, call, reply);
        self.wake_writer(state);
    }

    /// Queues a frame of a stream, unless the stream is cancelled.
    pub(crate) fn push_live(&self, cancelled: &AtomicBool, call: u64, reply: &Reply) {
        let mut state = self.lock();
        if !cancelled.load(Ordering::Relaxed) {
            self.put(&mut state, call, reply);
        }
        self.wake_writer(state);
    }

    /// Queues a page of a stream, unless the stream is cancelled.
    pub(crate) fn push_page(&self, cancelled: &AtomicBool, chunk: Chunk) {
        let mut state = self.lock();
        if !cancelled.load(Ordering::Relaxed) && state.end == End::Open {
            let more = &chunk.bytes[chunk.from..];
            state.bytes += more.len();
            match state.chunks.back_mut() {
                // Many small pages, of as many streams, take one write.
                Some(Chunk { bytes, permit: Some(held), .. })
                    if bytes.len() + more.len() <= CHUNK_BYTES =>
                {
                    bytes.extend_from_slice(more);
                    if let Some(permit) = chunk.permit {
                        held.merge(permit);
                    }
                }
                _ => state.chunks.push_back(chunk),
            }
        }
        self.wake_writer(state);
    }

    /// Answers the request that ends a stream. After this answer the stream has no frames.
    pub(crate) fn cancel(&self, cancelled: Option<&AtomicBool>, call: u64) {
        let mut state = self.lock();
        if let Some(cancelled) = cancelled {
            cancelled.store(true, Ordering::Relaxed);
        }
        self.put(&mut state, call, &Reply::Done);
        self.answered(state);
    }

    /// A call with many replies has ended.
    pub(crate) fn done(&self) {
        let state = self.lock();
        self.answered(state);
    }

    fn answered(&self, mut state: MutexGuard<'_, State>) {
        state.answered += 1;
        if state.reader_waits.is_some_and(|enough| state.answered >= enough) {
            state.reader_waits = None;
            self.reader.notify_one();
        }
        self.wake_writer(state);
    }

    fn wake_writer(&self, mut state: MutexGuard<'_, State>) {
        if state.writer_sleeps && (!state.chunks.is_empty() || state.end != End::Open) {
            state.writer_sleeps = false;
            drop(state);
            self.writer.notify_one();
        }
    }

    fn put(&self, state: &mut State, call: u64, reply: &Reply) {
        if state.end != End::Open {
            return;
        }
        if state.bytes > self.bytes_max.saturating_mul(OVERFULL) {
            // Answers alone fill the queue many times over: this client sends, but does not read.
            state.end = End::Closed;
            state.chunks.clear();
            self.gone.notify_one();
            return;
        }
        let fits = |c: &Chunk| c.permit.is_none() && c.bytes.len() < CHUNK_BYTES;
        if !state.chunks.back().is_some_and(fits) {
            let bytes = std::mem::take(&mut state.spare);
            state.chunks.push_back(Chunk { bytes, from: 0, permit: None });
        }
        let Some(chunk) = state.chunks.back_mut() else { return };
        let start = chunk.bytes.len();
        let mut bytes = encode(std::mem::take(&mut chunk.bytes), call, reply);
        let length = bytes.len() - start - frame::LENGTH_BYTES;
        if length > self.frame_bytes_max {
            bytes.truncate(start);
            let max = self.frame_bytes_max;
            let why = format!("the answer has {length} bytes, at most {max} fit into a frame");
            bytes = encode(bytes, call, &Reply::Error(RequestError::Failed(why)));
        }
        state.bytes += bytes.len() - start;
        chunk.bytes = bytes;
    }

    /// Waits for room for one page of events.
    pub(crate) async fn room_for_page(
        &self,
        limits: &Limits,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        let bytes = limits.page_bytes_max.clamp(1, self.bytes_max);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX >> 1);
        Arc::clone(&self.room).acquire_many_owned(bytes).await
    }

    /// Waits for all of the room for pages.
    pub(crate) async fn room_for_all(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        let bytes = u32::try_from(self.bytes_max.max(1)).unwrap_or(u32::MAX >> 1);
        Arc::clone(&self.room).acquire_many_owned(bytes).await
    }

    /// Waits until another request may be taken, of which `started` were so far. Tells how many are
    /// answered. Waiting here is what slows a client down that asks faster than it is answered,
    /// or does not read.
    pub(crate) async fn ready(&self, started: u64, query: bool) -> u64 {
        loop {
            {
                let mut state = self.lock();
                let free = started - state.answered < self.calls_max;
                let room = state.bytes <= self.bytes_max || state.end != End::Open;
                let query_free = !query || state.queries < self.queries_max;
                if free && room && query_free {
                    state.queries += u64::from(query);
                    return state.answered;
                }
                // Waking up for each single answer would cost more than it brings.
                let enough = started.saturating_sub(self.calls_max - self.calls_max.div_ceil(8));
                state.reader_waits = Some(if free { 0 } else { enough });
            }
            self.reader.notified().await;
        }
    }

    /// Waits until all of `started` calls are answered.
    pub(crate) async fn drained(&self, started: u64) {
        loop {
            {
                let mut state = self.lock();
                if state.answered >= started || state.end != End::Open {
                    return;
                }
                state.reader_waits = Some(started);
            }
            self.reader.notified().await;
        }
    }

    /// Waits until the queue is closed: the client is gone, or does not read.
    pub(crate) async fn closed(&self) {
        self.gone.notified().await;
    }

    /// What there is to write, once there is something. Nothing when the queue has ended.
    pub(crate) async fn take(&self, spare: Vec<u8>) -> Option<VecDeque<Chunk>> {
        let mut spare = Some(spare);
        loop {
            {
                let mut state = self.lock();
                if state.end == End::Closed {
                    return None;
                }
                if let Some(spare) = spare.take() {
                    state.spare = spare;
                }
                if !state.chunks.is_empty() {
                    state.bytes = 0;
                    if state.reader_waits.is_some() {
                        state.reader_waits = None;
                        self.reader.notify_one();
                    }
                    return Some(std::mem::take(&mut state.chunks));
                }
                if state.end == End::Finishing {
                    return None;
                }
                state.writer_sleeps = true;
            }
            self.writer.notified().await;
            // Answers come in groups; whoever is about to add more gets to it before the write.
            tokio::task::yield_now().await;
        }
    }

    /// Ends the queue after what is in it.
    pub(crate) fn finish(&self) {
        self.end(End::Finishing);
    }

    /// Ends the queue at once.
    pub(crate) fn close(&self) {
        self.end(End::Closed);
    }

    fn end(&self, end: End) {
        let mut state = self.lock();
        if state.end != End::Closed {
            state.end = end;
        }
        if end == End::Closed {
            state.chunks.clear();
            state.direct = None;
            self.gone.notify_one();
        }
        self.room.close();
        state.reader_waits = None;
        self.reader.notify_one();
        state.writer_sleeps = false;
        drop(state);
        self.writer.notify_one();
    }
}

/// Appends a frame. A tuple of the two has the bytes of a `ServerFrame`, without owning the reply.
fn encode(buffer: Vec<u8>, call: u64, reply: &Reply) -> Vec<u8> {
    frame::put(buffer, &(call, reply)).expect("every reply can be encoded: it has no maps")
}

impl State {
    /// Writes what is queued, if nobody else does and it is one answer. What cannot be written now is
    /// left to the writing task, an error too.
    fn write_directly(&mut self) {
        let Some(direct) = self.direct.as_ref().filter(|_| self.writer_sleeps) else { return };
        let [chunk] = self.chunks.make_contiguous() else { return };
        if chunk.permit.is_some() {
            return;
        }
        let Ok(written) = direct.try_write(&chunk.bytes[chunk.from..]) else { return };
        chunk.from += written;
        self.bytes = self.bytes.saturating_sub(written);
        if chunk.from == chunk.bytes.len()
            && let Some(Chunk { mut bytes, .. }) = self.chunks.pop_front()
        {
            bytes.clear();
            self.spare = bytes;
        }
    }
}

impl ReplyTo for Out {
    fn answer(&self, call: u64, answer: Answer) {
        self.reply(call, &Reply::Answer(answer));
    }

    fn answer_alone(&self, call: u64, answer: Answer) {
        self.reply_at_once(call, &Reply::Answer(answer));
    }

    fn ask(&self, call: u64, asked: Asked) -> Result<(), Outcome> {
        let there = !self.unasked.load(Ordering::SeqCst);
        if there && self.asker.get().is_some_and(|asker| asker(call, asked)) {
            return Ok(());
        }
        Err(Outcome::ReadOnly { why: "the client that would be asked is gone".to_owned() })
    }

    fn joint(&self, call: u64, answer: JointAnswer) {
        self.reply(call, &Reply::Joint(answer));
    }

    fn state(&self, call: u64, state: Result<QueryState, RequestError>) {
        let reply = match state {
            Ok(QueryState { head, answer }) => {
                Reply::State { head, answer: answer.map(serde_bytes::ByteBuf::from) }
            }
            Err(why) => Reply::Error(why),
        };
        let mut out = self.lock();
        out.queries = out.queries.saturating_sub(1);
        if out.reader_waits.is_some() {
            out.reader_waits = None;
            self.reader.notify_one();
        }
        drop(out);
        self.reply(call, &reply);
    }
}
