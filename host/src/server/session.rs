//! One connection: the greeting, then requests as they come, then an orderly end.
//!
//! Two tasks: this one reads and takes requests, the other writes. A frame is decoded when it is
//! whole, its length is held against the cap before anything is allocated, and the buffer grows
//! only with what has arrived.

use super::hub::Hub;
use super::out::Out;
use super::questions;
use super::requests::Requests;
use super::wire::{Direct, Wire};
use crate::engine::{Engine, ReplyTo};
use atomic_store_core::protocol::{Reply, RequestError};
use atomic_store_core::{Limits, codec, frame};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

const READ_BYTES: usize = 64 * 1024;
/// A buffer that grew beyond this is given back when it is empty.
const KEEP_BYTES: usize = 1024 * 1024;
/// How long a client that was told goodbye has to take it.
const LINGER: Duration = Duration::from_millis(500);

/// What the tasks of one connection share.
pub(crate) struct Session {
    pub(crate) hub: Arc<Hub>,
    pub(crate) out: Arc<Out>,
    pub(crate) reply_to: Arc<dyn ReplyTo>,
    phase: watch::Sender<Phase>,
    streams: Mutex<HashMap<u64, Arc<Control>>>,
    subscriptions: AtomicUsize,
    /// Told when the last subscription has ended.
    unsubscribed: Notify,
}

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It takes requests.
    Running,
    /// The server is shutting down: what was taken is answered.
    Stopping,
    /// The client is gone.
    Gone,
}

/// How a stream of replies is ended from outside.
#[derive(Default)]
struct Control {
    cancelled: AtomicBool,
    stop: Notify,
}

/// Why the reading ended.
enum End {
    Eof,
    Malformed(String),
    Stopping,
    Gone,
}

/// Serves one connection to its end.
pub(crate) async fn run<R, W>(hub: Arc<Hub>, mut reading: R, mut writing: W)
where
    R: AsyncRead + Send + Unpin,
    W: Wire,
{
    let patience = Duration::from_millis(hub.engine.limits().hello_ms_max);
    match timeout(patience, greet(&mut reading, &mut writing)).await {
        Ok(Ok(())) => {}
        // Whoever is not a client learns nothing.
        Ok(Err(_)) | Err(_) => return,
    }
    let session = Session::new(hub, writing.direct());
    let writer = tokio::spawn(write(Arc::clone(&session.out), writing, session.stall()));
    let welcome = Reply::Welcome {
        store: session.engine().store_id(),
        limits: Box::new(session.limits().clone()),
    };
    session.out.push(0, &welcome);
    questions::listen(&session);
    let mut requests = Requests::new(Arc::clone(&session));
    let mut stopping = session.hub.stopping.subscribe();
    let end = tokio::select! {
        end = read(&session, &mut requests, &mut reading) => end,
        _ = stopping.wait_for(|stopping| *stopping) => End::Stopping,
        () = session.out.closed() => End::Gone,
    };
    // Whatever ended the reading: the loops of what was taken must run, and no scope waits for a
    // verdict that cannot come any more.
    requests.flush();
    session.out.ask_no_more();
    let why = match end {
        End::Stopping => "the server is shutting down",
        _ => "the client that was asked is gone",
    };
    session.engine().withdraw(&session.reply_to, None, why);
    match end {
        End::Eof | End::Gone => {
            session.phase.send_replace(Phase::Gone);
            session.out.close();
        }
        End::Malformed(why) => {
            session.phase.send_replace(Phase::Gone);
            goodbye(&session, why);
        }
        End::Stopping => {
            session.phase.send_replace(Phase::Stopping);
            session.out.drained(requests.started()).await;
            while session.subscriptions.load(Ordering::Relaxed) > 0 {
                session.unsubscribed.notified().await;
            }
            goodbye(&session, "the server is shutting down; connect again later".to_owned());
        }
    }
    drop(writer.await);
    let linger = async {
        // Closing with unread bytes would throw away what the client has not read yet.
        let mut rest = vec![0; READ_BYTES];
        while reading.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {}
    };
    drop(timeout(LINGER, linger).await);
    session.out.close();
}

fn goodbye(session: &Session, why: String) {
    session.out.push(0, &Reply::Error(RequestError::Goodbye(why)));
    session.out.finish();
}

async fn greet<R, W>(reading: &mut R, writing: &mut W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut hello = [0; frame::HELLO.len()];
    reading.read_exact(&mut hello).await?;
    let check = frame::check_hello(hello);
    if let Err(frame::FrameError::Magic) = check {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // A client of another version gets our hello, from which it learns which one we speak.
    writing.write_all(&frame::HELLO).await?;
    writing.flush().await?;
    check.map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Takes requests until there are no more.
async fn read<R>(session: &Arc<Session>, requests: &mut Requests, reading: &mut R) -> End
where
    R: AsyncRead + Send + Unpin,
{
    let max = session.limits().frame_bytes_max;
    let patience = Duration::from_millis(session.limits().frame_ms_max);
    let mut buffer = Vec::with_capacity(READ_BYTES);
    let mut deadline = None;
    loop {
        let mut at = 0;
        loop {
            let body = match whole_frame(&buffer[at..], max) {
                Ok(Some(body)) => body,
                Ok(None) => break,
                Err(why) => return End::Malformed(why.to_string()),
            };
            at += frame::LENGTH_BYTES + body.len();
            deadline = None;
            if let Err(why) = requests.take(body).await {
                return End::Malformed(why);
            }
        }
        buffer.drain(..at);
        let waits = Instant::now();
        requests.rest().await;
        deadline = match deadline {
            _ if buffer.is_empty() => None,
            // Time that the client spent waiting for us is not its fault.
            Some(deadline) => Some(deadline + waits.elapsed()),
            None => Some(Instant::now() + patience),
        };
        make_room(&mut buffer);
        let arrived = match deadline {
            None => reading.read_buf(&mut buffer).await,
            Some(deadline) => match timeout_at(deadline, reading.read_buf(&mut buffer)).await {
                Ok(arrived) => arrived,
                Err(_) => return End::Malformed("the rest of a frame did not come".to_owned()),
            },
        };
        match arrived {
            Ok(0) | Err(_) => return End::Eof,
            Ok(_) => {}
        }
    }
}

/// The body of the first frame, if all of it is there.
fn whole_frame(bytes: &[u8], max: usize) -> Result<Option<&[u8]>, frame::FrameError> {
    let Some((length, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    Ok(rest.get(..frame::length(*length, max)?))
}

fn make_room(buffer: &mut Vec<u8>) {
    if buffer.is_empty() && buffer.capacity() > KEEP_BYTES {
        *buffer = Vec::with_capacity(READ_BYTES);
    }
    if buffer.capacity() - buffer.len() < READ_BYTES / 4 {
        buffer.reserve(buffer.len().max(READ_BYTES));
    }
}

/// Writes what is queued until the queue ends or the client has not read for too long.
async fn write<W: Wire>(out: Arc<Out>, mut writing: W, stall: Duration) {
    let mut spare = Vec::new();
    'queue: while let Some(chunks) = out.take(std::mem::take(&mut spare)).await {
        for mut chunk in chunks {
            let mut rest = &chunk.bytes[chunk.from..];
            while !rest.is_empty() {
                match timeout(stall, writing.write(rest)).await {
                    Ok(Ok(written)) if written > 0 => rest = &rest[written..],
                    _ => break 'queue,
                }
            }
            if chunk.permit.is_none() && chunk.bytes.capacity() <= KEEP_BYTES {
                chunk.bytes.clear();
                spare = chunk.bytes;
            }
        }
        if !matches!(timeout(stall, writing.flush()).await, Ok(Ok(()))) {
            break;
        }
    }
    out.close();
    drop(timeout(LINGER, writing.shutdown()).await);
}

impl Session {
    fn new(hub: Arc<Hub>, direct: Option<Arc<dyn Direct>>) -> Arc<Session> {
        let out = Arc::new(Out::new(hub.engine.limits(), direct));
        let reply_to: Arc<dyn ReplyTo> = Arc::<Out>::clone(&out);
        Arc::new(Session {
            hub,
            out,
            reply_to,
            phase: watch::Sender::new(Phase::Running),
            streams: Mutex::default(),
            subscriptions: AtomicUsize::new(0),
            unsubscribed: Notify::new(),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.hub.engine
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.hub.engine.limits()
    }

    fn stall(&self) -> Duration {
        Duration::from_millis(self.limits().frame_ms_max)
    }

    /// Registers a call with many replies, so that it can be cancelled.
    ///
    /// # Errors
    /// `Overloaded` or `Invalid`: too many subscriptions, or the number is in use.
    pub(crate) fn stream(
        self: &Arc<Self>,
        call: u64,
        subscription: bool,
    ) -> Result<Streaming, RequestError> {
        let control = Arc::new(Control::default());
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let max = self.limits().session_subscriptions_max;
        if subscription && self.subscriptions.load(Ordering::Relaxed) >= max {
            let why = format!("{max} subscriptions are open on this connection, which is the cap");
            return Err(RequestError::Overloaded(why));
        }
        match streams.entry(call) {
            Entry::Occupied(_) => {
                let (field, why) = ("call".into(), format!("number {call} is in use"));
                return Err(RequestError::Invalid { field, why });
            }
            Entry::Vacant(entry) => entry.insert(Arc::clone(&control)),
        };
        self.subscriptions.fetch_add(usize::from(subscription), Ordering::Relaxed);
        let (phase, session) = (self.phase.subscribe(), Arc::clone(self));
        Ok(Streaming { session, call, control, phase, subscription })
    }

    /// Ends a stream; `call` is the request to do so.
    pub(crate) fn cancel(&self, stream: u64, call: u64) {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let control = streams.get(&stream).cloned();
        drop(streams);
        self.out.cancel(control.as_ref().map(|control| &control.cancelled), call);
        if let Some(control) = control {
            control.stop.notify_one();
        }
    }
}

/// A call with many replies, as long as it goes on.
pub(crate) struct Streaming {
    session: Arc<Session>,
    pub(crate) call: u64,
    control: Arc<Control>,
    phase: watch::Receiver<Phase>,
    subscription: bool,
}

impl Streaming {
    /// True once the stream must end.
    pub(crate) fn must_end(&self) -> bool {
        self.control.cancelled.load(Ordering::Relaxed) || *self.phase.borrow() != Phase::Running
    }

    /// The mark that a cancelled stream has.
    pub(crate) fn cancelled(&self) -> &AtomicBool {
        &self.control.cancelled
    }

    /// Waits until the stream must end; tells why.
    pub(crate) async fn stopped(&self) -> Phase {
        let mut phase = self.phase.clone();
        let ends = |phase: &Phase| *phase != Phase::Running;
        tokio::select! {
            () = self.control.stop.notified() => Phase::Gone,
            phase = phase.wait_for(ends) => phase.map_or(Phase::Gone, |phase| *phase),
        }
    }

    /// Sends a reply that is not the last.
    pub(crate) fn push(&self, reply: &Reply) {
        self.session.out.push_live(self.cancelled(), self.call, reply);
    }

    /// Sends the last reply. The number is free before the client can know that.
    pub(crate) fn finish(&self, reply: &Reply) {
        self.forget();
        self.push(reply);
    }

    /// Frees the number.
    pub(crate) fn forget(&self) {
        let mut streams = self.session.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.get(&self.call).is_some_and(|control| Arc::ptr_eq(control, &self.control)) {
            streams.remove(&self.call);
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.forget();
        if self.subscription {
            if self.session.subscriptions.fetch_sub(1, Ordering::Relaxed) == 1 {
                self.session.unsubscribed.notify_one();
            }
        } else {
            self.session.out.done();
        }
    }
}

/// Decodes a request.
pub(crate) fn decode<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    codec::decode(body).map_err(|why| format!("a frame is not a request: {why}"))
}
