//! The journal of rejections as it grows: pages of entries, each waiting for room in the session's queue,
//! then whatever comes. The journal is the only source; a reader is asked for nothing but to read.

use super::feed::{failed, lost};
use super::hub::blocking;
use super::out::Chunk;
use super::session::{Phase, Session, Streaming};
use atomic_store_core::protocol::{Ended, Reply, RequestError};
use atomic_store_core::{Rejection, ScopeName, frame};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// Why it ends.
enum Stop {
    /// Nobody wants it any more, or the server is shutting down.
    Over,
    /// The client does not read.
    Slow,
    Failed(RequestError),
}

impl From<Phase> for Stop {
    fn from(_: Phase) -> Stop {
        Stop::Over
    }
}

/// Sends what is there and what comes, until it is stopped.
pub(super) async fn follow(
    session: Arc<Session>,
    stream: Streaming,
    scope: Option<ScopeName>,
    mut after: u64,
) {
    let end = match go_on(&session, &stream, scope.as_ref(), &mut after).await {
        Stop::Over => Reply::Ended(Ended::Shutdown),
        Stop::Slow => Reply::Ended(Ended::SlowRejections { resume_after: after }),
        Stop::Failed(why) => Reply::Error(why),
    };
    stream.finish(&end);
}

async fn go_on(
    session: &Arc<Session>,
    stream: &Streaming,
    scope: Option<&ScopeName>,
    after: &mut u64,
) -> Stop {
    let mut changes = session.engine().watch_rejections();
    if let Some(why) = ahead(session, *after) {
        return Stop::Failed(why);
    }
    loop {
        // Marked as seen before looking, so a change during the look is not missed.
        drop(changes.borrow_and_update());
        while session.engine().rejections_end(scope, 1).newest > *after {
            match page(session, stream, scope, *after).await {
                Ok(Some(last)) => *after = last,
                // All that was there has been dropped since; of what came for it we are told.
                Ok(None) => break,
                Err(stop) => return stop,
            }
        }
        tokio::select! {
            stop = stream.stopped() => return stop.into(),
            changed = changes.changed() => {
                if changed.is_err() {
                    return Stop::Over;
                }
            }
        }
    }
}

/// Refuses to wait for entries after one that does not exist: the client has seen another journal than
/// this store has.
fn ahead(session: &Session, after: u64) -> Option<RequestError> {
    let end = session.engine().rejections_end(None, 0).end;
    (after > end).then(|| RequestError::Invalid {
        field: "after".to_owned(),
        why: format!(
            "number {after} is ahead of the journal of rejections, which ends at {end}; was an older \
             copy restored? Start again from 0"
        ),
    })
}

/// Sends the next page; gives the number of its last entry.
async fn page(
    session: &Arc<Session>,
    stream: &Streaming,
    scope: Option<&ScopeName>,
    after: u64,
) -> Result<Option<u64>, Stop> {
    let patience = Duration::from_millis(session.limits().slow_reader_ms_max);
    let room = session.out.room_for_page(session.limits());
    let permit = tokio::select! {
        stop = stream.stopped() => return Err(stop.into()),
        room = timeout(patience, room) => room.map_err(|_| Stop::Slow)?.map_err(|_| Stop::Over)?,
    };
    let (hub, scope) = (Arc::clone(&session.hub), scope.cloned());
    let read = move || hub.engine.rejections(scope.as_ref(), after, u64::MAX);
    let entries = tokio::select! {
        stop = stream.stopped() => return Err(stop.into()),
        entries = blocking(&session.hub.reads, read) => entries,
    };
    let entries = entries.ok_or_else(|| Stop::Failed(lost()))?;
    let entries = entries.map_err(|why| Stop::Failed(failed(&why)))?;
    let Some(last) = entries.last().map(|entry| entry.number) else { return Ok(None) };
    push(session, stream, entries, permit)?;
    Ok(Some(last))
}

/// Queues a page, which holds as much room as it takes.
fn push(
    session: &Session,
    stream: &Streaming,
    entries: Vec<Rejection>,
    mut permit: OwnedSemaphorePermit,
) -> Result<(), Stop> {
    let page = (stream.call, Reply::Rejections(entries));
    let bytes = frame::put(Vec::new(), &page).map_err(|why| {
        Stop::Failed(RequestError::Failed(format!("a page cannot be encoded: {why}")))
    })?;
    let surplus = permit.num_permits().saturating_sub(bytes.len());
    drop(permit.split(surplus));
    session.out.push_page(stream.cancelled(), Chunk { bytes, from: 0, permit: Some(permit) });
    Ok(())
}
