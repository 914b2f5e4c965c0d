//! Answers from instances beside the scopes' loops: states in the past, one after the other, and
//! what-ifs. They fold on threads of their own number, so that no read waits for them.

use super::feed::lost;
use super::hub::blocking;
use super::out::Chunk;
use super::session::{Session, Streaming};
use crate::engine::{Admitted, History, State};
use atomic_store_core::protocol::{At, Reply, RequestError};
use atomic_store_core::{Proposal, ScopeName, Seq, frame};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// What a history is asked for.
pub(super) struct Ask {
    pub(super) scope: ScopeName,
    pub(super) name: String,
    pub(super) args: Vec<u8>,
    pub(super) after: Seq,
    pub(super) through: Seq,
    pub(super) limit: u64,
}

/// Answers a query about a moment, which must have been counted as one.
pub(super) async fn query(
    session: Arc<Session>,
    call: u64,
    scope: ScopeName,
    question: (String, Vec<u8>),
    at: At,
) {
    let hub = Arc::clone(&session.hub);
    let work = move || hub.engine.query_at(&scope, &question.0, &question.1, at);
    let state = blocking(&session.hub.pasts, work).await;
    session.reply_to.state(call, state.unwrap_or_else(|| Err(lost())));
}

/// Answers a what-if. Its answer may be a whole frame, so it is asked only once there is room for one.
pub(super) async fn what_if(
    session: Arc<Session>,
    stream: Streaming,
    admitted: Admitted,
    scope: ScopeName,
    batches: Vec<Vec<Proposal>>,
    query: Option<(String, serde_bytes::ByteBuf)>,
) {
    let room = session.out.room_for_all();
    let room = tokio::select! {
        _ = stream.stopped() => return stream.finish(&ended()),
        room = room => match room {
            Ok(room) => room,
            Err(_) => return,
        },
    };
    let hub = Arc::clone(&session.hub);
    let work = move || {
        let query = query.as_ref().map(|(name, args)| (name.as_str(), args.as_slice()));
        let steps = hub.engine.what_if(&scope, batches, query);
        drop(admitted);
        steps
    };
    let steps = tokio::select! {
        _ = stream.stopped() => return stream.finish(&ended()),
        steps = blocking(&session.hub.pasts, work) => steps,
    };
    match steps.unwrap_or_else(|| Err(lost())) {
        Ok(steps) => last_page(&session, &stream, &Reply::WhatIf(steps), room),
        Err(why) => stream.finish(&Reply::Error(why)),
    }
}

/// A what-if that was taken is answered, also during a shutdown.
fn ended() -> Reply {
    Reply::Error(RequestError::Overloaded("the server is shutting down; ask again".to_owned()))
}

/// Sends the states, a page at a time, each waiting for room, then `Done`.
pub(super) async fn history(session: Arc<Session>, stream: Streaming, ask: Ask) {
    let stream = Arc::new(stream);
    let hub = Arc::clone(&session.hub);
    // Held to the end, as the instance is.
    let _held = tokio::select! {
        _ = stream.stopped() => return,
        held = Arc::clone(&hub.histories).acquire_owned() => match held {
            Ok(held) => held,
            Err(_) => return,
        },
    };
    let begin = move || {
        let Ask { scope, name, args, after, through, limit } = ask;
        hub.engine.history(&scope, name, args, (after, through), limit)
    };
    let mut history = match blocking(&session.hub.pasts, begin).await {
        Some(Ok(history)) => history,
        Some(Err(why)) => return stream.finish(&Reply::Error(why)),
        None => return stream.finish(&Reply::Error(lost())),
    };
    let end = loop {
        if history.is_done() {
            break Reply::Done;
        }
        let next = tokio::select! {
            _ = stream.stopped() => return,
            next = page(&session, &stream, history) => next,
        };
        match next {
            // It is asked for again after a loss of the connection, and nobody wants it otherwise.
            Ok(_) if stream.must_end() => return,
            Ok(back) => history = back,
            Err(why) => break Reply::Error(why),
        }
    };
    stream.finish(&end);
}

/// One page of states. The history comes back.
async fn page(
    session: &Arc<Session>,
    stream: &Arc<Streaming>,
    mut history: History,
) -> Result<History, RequestError> {
    let patience = Duration::from_millis(session.limits().slow_reader_ms_max);
    let room = timeout(patience, session.out.room_for_page(session.limits())).await;
    let slow = || {
        let why = "the history was cut off, as it was not read; go on after the last state";
        RequestError::Overloaded(why.to_owned())
    };
    let permit = room.map_err(|_| slow())?.map_err(|_| slow())?;
    let step = {
        let stream = Arc::clone(stream);
        move || {
            let states = history.step(&|| stream.must_end());
            (history, states)
        }
    };
    let (history, states) = blocking(&session.hub.pasts, step).await.ok_or_else(lost)?;
    let mut bytes = Vec::new();
    for State { head, answer } in states? {
        let answer = answer.map(serde_bytes::ByteBuf::from);
        bytes = encode(bytes, stream.call, &Reply::State { head, answer })?;
    }
    push(session, stream, bytes, permit);
    Ok(history)
}

/// Sends a large last reply, which holds as much room as it takes.
fn last_page(session: &Session, stream: &Streaming, reply: &Reply, permit: OwnedSemaphorePermit) {
    match encode(Vec::new(), stream.call, reply) {
        Ok(bytes) => {
            stream.forget();
            push(session, stream, bytes, permit);
        }
        Err(why) => stream.finish(&Reply::Error(why)),
    }
}

pub(super) fn push(
    session: &Session,
    stream: &Streaming,
    bytes: Vec<u8>,
    mut permit: OwnedSemaphorePermit,
) {
    let surplus = permit.num_permits().saturating_sub(bytes.len());
    drop(permit.split(surplus));
    let chunk = Chunk { bytes, from: 0, permit: Some(permit) };
    session.out.push_page(stream.cancelled(), chunk);
}

pub(super) fn encode(buffer: Vec<u8>, call: u64, reply: &Reply) -> Result<Vec<u8>, RequestError> {
    let failed = |why| RequestError::Failed(format!("the answer cannot be encoded: {why}"));
    frame::put(buffer, &(call, reply)).map_err(failed)
}
