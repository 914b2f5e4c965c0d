//! Reads and subscriptions: pages from the log, one after the other, each waiting for room in the
//! session's queue; a subscription then waits for the next durable event and reads on.
//!
//! The log is the only source, and a feed asks it for what follows the last event it sent. So
//! there can be no gap and no repeat, and a slow reader costs the engine nothing.

use super::hub::blocking;
use super::page::{Page, Place, Source};
use super::session::{Phase, Session, Streaming};
use crate::engine::Engine;
use crate::log::ReadError;
use atomic_store_core::protocol::{Ended, Reply, RequestError};
use atomic_store_core::{Digest, Seq};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;

/// One read or subscription.
pub(crate) struct Feed {
    pub(crate) session: Arc<Session>,
    pub(crate) stream: Streaming,
    pub(crate) source: Source,
    pub(crate) place: Place,
}

/// Why a feed stops before its end.
enum Stop {
    /// Nobody wants it any more.
    Gone,
    /// The server is shutting down.
    Shutdown,
    /// The client does not read.
    Slow,
    /// The log cannot be read.
    Failed(ReadError),
    /// A defect: the reading thread panicked.
    Lost,
    /// The client has seen more than there is.
    Ahead(String),
}

impl Feed {
    /// Sends at most `limit` events, then `Done`.
    pub(crate) async fn read(mut self, mut limit: u64) {
        let end = loop {
            if limit == 0 {
                break Reply::Done;
            }
            match self.page(limit, None).await {
                Ok(page) => {
                    limit = limit.saturating_sub(page.events);
                    let full = page.full;
                    self.send(page);
                    if !full {
                        break Reply::Done;
                    }
                }
                // Without a last reply the client reads on after it has connected again.
                Err(Stop::Gone | Stop::Shutdown) => return,
                Err(stop) => break stop.of_read(),
            }
        };
        self.stream.finish(&end);
    }

    /// Sends what is there and what comes, until it is stopped.
    pub(crate) async fn subscribe(mut self) {
        let patience = Duration::from_millis(self.session.limits().slow_reader_ms_max);
        let end = match &self.source {
            Source::Scope(scope, _) => {
                let changes = self.session.engine().watch_scope(scope);
                self.follow(changes, patience).await
            }
            Source::Order => {
                let changes = self.session.engine().watch_order();
                self.follow(changes, patience).await
            }
        };
        let end = end.of_subscription(self.place);
        self.stream.finish(&end);
    }

    async fn follow<T>(&mut self, mut changes: watch::Receiver<T>, patience: Duration) -> Stop {
        if let Err(stop) = self.check_ahead().await {
            return stop;
        }
        loop {
            // Marked as seen before reading, so a change during the read is not missed.
            drop(changes.borrow_and_update());
            loop {
                match self.page(u64::MAX, Some(patience)).await {
                    Ok(page) => {
                        let full = page.full;
                        self.send(page);
                        if !full {
                            break;
                        }
                    }
                    Err(stop) => return stop,
                }
            }
            tokio::select! {
                stop = self.stream.stopped() => return stop.into(),
                changed = changes.changed() => {
                    if changed.is_err() {
                        return Stop::Shutdown;
                    }
                }
            }
        }
    }

    /// Refuses to wait for events after one that does not exist: the client has seen another
    /// history than this store has.
    async fn check_ahead(&self) -> Result<(), Stop> {
        let place = self.place;
        let ahead = match &self.source {
            Source::Order => {
                let end = *self.session.engine().watch_order().borrow();
                (place.position > end).then(|| {
                    format!(
                        "position {} is ahead of the store, which ends at {end}",
                        place.position
                    )
                })
            }
            Source::Scope(..) if place.seq == Seq::ZERO => None,
            Source::Scope(scope, _) => {
                let (session, scope) = (Arc::clone(&self.session), scope.clone());
                let look = move || {
                    let info = session.engine().show_scope(&scope)?;
                    let head = info.map_or(Seq::ZERO, |info| info.head);
                    let seq = place.seq;
                    let ahead =
                        format!("event {seq} is ahead of the store: {scope} ends at {head}");
                    Ok((seq > head).then_some(ahead))
                };
                let head = blocking(&self.session.hub.reads, look).await.ok_or(Stop::Lost)?;
                head.map_err(Stop::Failed)?
            }
        };
        let Some(why) = ahead else { return Ok(()) };
        Err(Stop::Ahead(format!("{why}; was an older copy restored? Start again from 0")))
    }

    /// The next page, and a permit for its bytes.
    async fn page(&self, limit: u64, patience: Option<Duration>) -> Result<Ready, Stop> {
        let room = self.session.out.room_for_page(self.session.limits());
        let permit = tokio::select! {
            stop = self.stream.stopped() => return Err(stop.into()),
            permit = async {
                match patience {
                    None => room.await.map_err(|_| Stop::Gone),
                    Some(patience) => match timeout(patience, room).await {
                        Ok(permit) => permit.map_err(|_| Stop::Gone),
                        Err(_) => Err(Stop::Slow),
                    },
                }
            } => permit?,
        };
        let (session, source, place) = (Arc::clone(&self.session), self.source.clone(), self.place);
        let read = move || loop {
            let gone = skipped(session.engine(), &source, place)?;
            let start = gone.map_or(place, |(through, _)| Place { seq: through, ..place });
            let page = Page::read(session.engine(), &source, start, limit)?;
            // If the scope was deleted while the page was read, the reader must hear of it first.
            if skipped(session.engine(), &source, place)? == gone {
                return Ok((gone, page));
            }
        };
        let page = tokio::select! {
            stop = self.stream.stopped() => return Err(stop.into()),
            page = blocking(&self.session.hub.reads, read) => page.ok_or(Stop::Lost)?,
        };
        let (skipped, page) = page.map_err(Stop::Failed)?;
        Ok(Ready { events: page.events, full: page.full, skipped, page, permit })
    }

    fn send(&mut self, ready: Ready) {
        let Ready { page, mut permit, skipped, .. } = ready;
        if let Some((through, hash)) = skipped {
            self.place.seq = through;
            self.stream.push(&Reply::Skipped { through, hash });
        }
        if page.events == 0 {
            return;
        }
        self.place = page.place;
        let mut chunk = page.into_chunk(self.stream.call);
        let held = permit.num_permits();
        let surplus = held.saturating_sub(chunk.bytes.len());
        drop(permit.split(surplus));
        chunk.permit = Some(permit);
        self.session.out.push_page(self.stream.cancelled(), chunk);
    }
}

/// A page that has room in the queue.
struct Ready {
    events: u64,
    full: bool,
    /// What the reader should hear before the page: events up to this one were deleted.
    skipped: Option<(Seq, Digest)>,
    page: Page,
    permit: OwnedSemaphorePermit,
}

/// The floor of the scope, if the reader stands before it.
fn skipped(
    engine: &Engine,
    source: &Source,
    place: Place,
) -> Result<Option<(Seq, Digest)>, ReadError> {
    match source {
        Source::Order => Ok(None),
        Source::Scope(scope, through) => {
            let floor = engine.floor(scope)?.filter(|(seq, _)| place.seq < *seq);
            Ok(floor.filter(|(seq, _)| seq <= through))
        }
    }
}

impl From<Phase> for Stop {
    fn from(phase: Phase) -> Stop {
        match phase {
            Phase::Stopping => Stop::Shutdown,
            Phase::Running | Phase::Gone => Stop::Gone,
        }
    }
}

impl Stop {
    fn of_read(self) -> Reply {
        Reply::Error(match self {
            Stop::Gone | Stop::Shutdown | Stop::Slow => RequestError::Overloaded(
                "the read was cut off; read on after the last event".into(),
            ),
            Stop::Failed(why) => failed(&why),
            Stop::Ahead(why) => ahead(why),
            Stop::Lost => lost(),
        })
    }

    fn of_subscription(self, place: Place) -> Reply {
        match self {
            Stop::Gone | Stop::Shutdown => Reply::Ended(Ended::Shutdown),
            Stop::Slow => Reply::Ended(Ended::SlowReader {
                resume_after: place.seq,
                resume_position: place.position,
            }),
            Stop::Failed(ReadError::Storage(why)) => Reply::Error(RequestError::Failed(why)),
            Stop::Failed(damage) => Reply::Ended(Ended::Damaged { what: damage.to_string() }),
            Stop::Ahead(why) => Reply::Error(ahead(why)),
            Stop::Lost => Reply::Error(lost()),
        }
    }
}

fn ahead(why: String) -> RequestError {
    RequestError::Invalid { field: "after".to_owned(), why }
}

/// A failed read, for the client.
pub(crate) fn failed(why: &ReadError) -> RequestError {
    match why {
        ReadError::Damaged { .. } | ReadError::DamagedIndex(_) => {
            RequestError::Damaged(why.to_string())
        }
        ReadError::Storage(_) => RequestError::Failed(why.to_string()),
    }
}

/// The answer when a thread was lost on the way.
pub(crate) fn lost() -> RequestError {
    RequestError::Failed("the server gave up on this request; its log says why".to_owned())
}
