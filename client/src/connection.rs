//! The one task of a connection: writes what callers encoded, hands out what the server sends, and
//! connects again.
//!
//! Invariants: a reply is handed out before the loss of the connection is told; after a reconnect,
//! everything without an answer is sent before anything new; another store is never resumed.

use crate::shared::Shared;
use crate::wire::{self, Reading, Wire, Writing};
use crate::{Address, ClientError};
use atomic_store_core::frame;
use atomic_store_core::protocol::{self, Reply, ServerFrame};
use bytes::{Buf, BytesMut};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const READ_BYTES: usize = 128 * 1024;
/// A buffer that grew beyond this is given back when it is empty.
const KEEP_BYTES: usize = 1024 * 1024;
const BACKOFF_FIRST: Duration = Duration::from_millis(10);

/// Serves the connection until it is lost for good or the last handle is dropped.
pub(crate) async fn run(shared: Arc<Shared>, wire: Wire, address: Option<Address>) {
    let mut wire = Some(wire);
    loop {
        let Some(Wire { reading, writing, limits, .. }) = wire.take() else { return };
        let max = limits.frame_bytes_max;
        let lost = tokio::select! {
            lost = read(&shared, reading, max) => lost,
            lost = write(&shared, writing) => lost,
        };
        let again = address.as_ref().filter(|_| shared.reconnects && !shared.lock().closed);
        let Some(address) = again else {
            return go_down(&shared, &lost, None);
        };
        go_down(&shared, &lost, Some(Instant::now() + shared.options.retry_for));
        match reconnect(&shared, address, lost).await {
            Ok(Some(new)) => {
                let wakers = shared.lock().link_up(new.limits.clone());
                wake(wakers);
                wire = Some(new);
            }
            Ok(None) => return,
            Err(why) => return go_down(&shared, &why, None),
        }
    }
}

fn go_down(shared: &Shared, why: &ClientError, deadline: Option<Instant>) {
    let wakers = shared.lock().link_down(why, deadline);
    wake(wakers);
}

fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

/// Writes until the connection is lost, or until the last handle is dropped.
async fn write(shared: &Shared, mut writing: Writing) -> ClientError {
    let mut spare = Vec::new();
    loop {
        let (bytes, wakers) = {
            let mut state = shared.lock();
            if state.closed {
                return ClientError::closed("the client was dropped");
            }
            state.take_out(spare)
        };
        wake(wakers);
        spare = bytes;
        if spare.is_empty() {
            shared.writer.notified().await;
            // Whoever else is ready to ask gets to it before the write, so that one write takes
            // all of it.
            tokio::task::yield_now().await;
            continue;
        }
        let written = async {
            writing.write_all(&spare).await?;
            writing.flush().await
        };
        if let Err(why) = written.await {
            return ClientError::closed(why);
        }
        spare.clear();
        if spare.capacity() > KEEP_BYTES {
            spare = Vec::new();
        }
    }
}

/// Reads until the connection is lost.
async fn read(shared: &Shared, mut reading: Reading, max: usize) -> ClientError {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    // The longest frame so far.
    let mut longest = 0;
    let (mut frames, mut wakers) = (Vec::new(), Vec::new());
    loop {
        match reading.read_buf(&mut buffer).await {
            Ok(0) => return ClientError::closed("the server closed the connection"),
            Ok(_) => {}
            Err(why) => return ClientError::closed(why),
        }
        let parsed = parse(&mut buffer, max, &mut frames);
        longest = frames.iter().map(|(_, length)| *length).fold(longest, usize::max);
        shared.deliver(&mut frames, &mut wakers);
        if let Err(why) = parsed {
            return why;
        }
        if buffer.is_empty() && buffer.capacity() > KEEP_BYTES {
            buffer = BytesMut::with_capacity(READ_BYTES);
        }
        make_room(&mut buffer, longest.min(KEEP_BYTES));
    }
}

/// Makes room for the rest of the frame that has begun, or for the next ones. Frames no longer than those
/// before are not moved once some of them has come. Others grow with what arrives, so a length alone
/// costs no memory.
fn make_room(buffer: &mut BytesMut, longest: usize) {
    let (room, usual) = (buffer.capacity() - buffer.len(), longest + frame::LENGTH_BYTES);
    match buffer.first_chunk() {
        Some(length) => {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            let frame = length.saturating_add(frame::LENGTH_BYTES);
            let expected = frame.min(usual.max(2 * buffer.len()).max(READ_BYTES));
            if buffer.capacity() < expected {
                buffer.reserve(expected - buffer.len());
            }
        }
        None if room < READ_BYTES / 4 => buffer.reserve(READ_BYTES.max(usual)),
        None => {}
    }
}

/// Takes the whole frames off the front of the buffer. Those before one that is wrong are taken, too.
fn parse(
    buffer: &mut BytesMut,
    max: usize,
    frames: &mut Vec<(ServerFrame, usize)>,
) -> Result<(), ClientError> {
    let broke = |why: String| ClientError::Protocol(why);
    let (mut used, mut wrong) = (0, None);
    while let Some((length, body)) = buffer[used..].split_first_chunk() {
        match frame::length(*length, max) {
            Ok(length) if body.len() >= length => used += frame::LENGTH_BYTES + length,
            Ok(_) => break,
            Err(why) => {
                wrong = Some(broke(why.to_string()));
                break;
            }
        }
    }
    let mut whole = buffer.split_to(used).freeze();
    while let Some((length, _)) = whole.split_first_chunk() {
        let length = frame::length(*length, max).map_err(|why| broke(why.to_string()))?;
        whole.advance(frame::LENGTH_BYTES);
        let body = whole.split_to(length);
        let frame = protocol::decode_reply(&body).map_err(|why| broke(why.to_string()))?;
        match frame {
            ServerFrame { call: 0, reply: Reply::Error(why) } => {
                return Err(ClientError::closed(why));
            }
            ServerFrame { call: 0, .. } => {
                return Err(broke("a second welcome".to_owned()));
            }
            frame => frames.push((frame, length)),
        }
    }
    wrong.map_or(Ok(()), Err)
}

/// Connects again, with random pauses that grow. Nothing if the last handle was dropped meanwhile.
async fn reconnect(
    shared: &Shared,
    address: &Address,
    mut why: ClientError,
) -> Result<Option<Wire>, ClientError> {
    let mut ceiling = BACKOFF_FIRST;
    loop {
        pause(shared, random_below(ceiling), &why).await;
        if shared.lock().closed {
            return Ok(None);
        }
        ceiling = (ceiling * 2).min(shared.options.backoff_max);
        match wire::connect(address, &shared.options).await {
            Ok(wire) if wire.store != shared.store => {
                let (expected, found) = (shared.store, wire.store);
                return Err(ClientError::OtherStore { expected, found });
            }
            Ok(wire) => return Ok(Some(wire)),
            Err(why @ ClientError::Protocol(_)) => return Err(why),
            Err(failed) => why = failed,
        }
    }
}

/// Waits, fails calls whose time is over meanwhile, and returns early when the last handle is
/// dropped.
async fn pause(shared: &Shared, length: Duration, why: &ClientError) {
    let until = Instant::now() + length;
    loop {
        let (next, wakers) = shared.lock().expire(Instant::now(), why);
        wake(wakers);
        if shared.lock().closed || Instant::now() >= until {
            return;
        }
        let next = next.map_or(until, |next| next.min(until));
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {}
            () = shared.writer.notified() => {}
        }
    }
}

/// Full jitter: any pause up to the ceiling is as likely as another.
fn random_below(ceiling: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX).max(1);
    Duration::from_nanos(random % nanos)
}
