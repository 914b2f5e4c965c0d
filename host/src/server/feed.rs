//! Reads and subscriptions: pages from the log, one after the other, each waiting for room in the
//! session's queue; a subscription then waits for the next durable event and reads on.
//!
//! The log is the only source, and a feed asks it for what follows the place where it stands. So
//! there can be no gap and no repeat, and a slow reader costs the engine nothing.

use super::hub::blocking;
use super::out::Chunk;
use super::page::Page;
use super::session::{Phase, Session, Streaming};
use super::tail::{Stand, Tail};
use crate::engine::{Scan, SelectError, Selection};
use crate::log::ReadError;
use atomic_store_core::protocol::{Ended, Replay, Reply, RequestError};
use atomic_store_core::{Invalid, PagePlace, Position, ScopeName, Seq, frame};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;

/// A client is told how far was looked after so many events of which none passed.
const TOLD_EVERY: u64 = 8_000;

/// One read or subscription.
pub(crate) struct Feed {
    session: Arc<Session>,
    stream: Streaming,
    selection: Selection,
    /// Lent to the thread that reads.
    scan: Option<Scan>,
    /// Where the scan stands.
    place: PagePlace,
    done: bool,
    /// The place that the client knows: an event it got, or what it was told.
    told: u64,
    /// The client knows the bounds of this round of a replay.
    announced: bool,
    /// Held while what is replayed is in memory.
    replaying: Option<OwnedSemaphorePermit>,
    /// What all that follow the scope share; nothing where a reader chooses.
    tail: Option<Arc<Tail>>,
    /// Bytes of the last page; the next one may be as large.
    page_bytes: usize,
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
    /// It is too large.
    Invalid(Invalid),
    /// A defect: the reading thread panicked.
    Lost,
    /// The client has seen more than there is.
    Ahead(String),
}

impl Feed {
    /// Begins, or tells the client why not.
    pub(crate) fn start(
        session: Arc<Session>,
        stream: Streaming,
        selection: Selection,
    ) -> Option<Feed> {
        match session.engine().select(selection) {
            Ok(scan) => Some(Feed {
                session,
                stream,
                selection: scan.selection().clone(),
                place: scan.place(),
                told: scan.place().mark(scan.selection().backwards),
                scan: Some(scan),
                done: false,
                announced: false,
                replaying: None,
                tail: None,
                page_bytes: 0,
            }),
            Err(why) => {
                stream.finish(&Reply::Error(invalid(why)));
                None
            }
        }
    }

    /// Sends at most `limit` events, then `Done`.
    pub(crate) async fn read(mut self, mut limit: u64) {
        let end = loop {
            if limit == 0 || self.done {
                break Reply::Done;
            }
            match self.page(limit, None).await {
                Ok((page, permit)) => {
                    limit = limit.saturating_sub(page.events);
                    self.send(page, permit);
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
        let end = match &self.selection.scope {
            Some(scope) => {
                let changes = self.session.engine().watch_scope(scope);
                let shares = self.selection.is_contiguous();
                self.tail = shares.then(|| self.session.hub.tails.of(scope));
                self.follow(changes, |head| head.0, patience).await
            }
            None => {
                let changes = self.session.engine().watch_order();
                self.follow(changes, |end| end.0, patience).await
            }
        };
        let end = end.of_subscription(&self.selection, self.place);
        self.stream.finish(&end);
    }

    async fn follow<T>(
        &mut self,
        mut changes: watch::Receiver<T>,
        end: impl Fn(&T) -> u64,
        patience: Duration,
    ) -> Stop {
        if let Err(stop) = self.check_ahead().await {
            return stop;
        }
        loop {
            // Marked as seen before reading, so a change during the read is not missed.
            let known = end(&changes.borrow_and_update());
            match self.share(known, patience).await {
                Ok(true) => {}
                Ok(false) => {
                    if let Err(stop) = self.go_on() {
                        return stop;
                    }
                }
                Err(stop) => return stop,
            }
            while !self.done {
                match self.page(u64::MAX, Some(patience)).await {
                    Ok((page, permit)) => self.send(page, permit),
                    Err(stop) => return stop,
                }
            }
            // A round that was resumed ends where it did; there may be more already.
            if self.selection.place.through == u64::MAX {
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
    }

    /// Sends what is known to be there, as far as the tail of the scope has it; false if what is left
    /// must be read without it.
    async fn share(&mut self, known: u64, patience: Duration) -> Result<bool, Stop> {
        let tail = self.tail.as_ref().filter(|tail| self.done && tail.is_shared()).cloned();
        let (Some(tail), Some(scope)) = (tail, self.selection.scope.clone()) else {
            return Ok(false);
        };
        let session = Arc::clone(&self.session);
        while self.place.mark(false) < known {
            let after = self.place.mark(false);
            if tail.stand(session.engine(), after) == Stand::AtEnd {
                self.read_on(&tail, &scope, after).await?;
            }
            if tail.stand(session.engine(), after) != Stand::Within {
                return Ok(false);
            }
            let permit = self.room(Some(patience)).await?;
            let Some(page) = tail.page(session.engine(), after) else { return Ok(false) };
            let after = after + page.events;
            self.place = PagePlace { after, through: u64::MAX, past: 0 };
            self.send(page, permit);
        }
        Ok(true)
    }

    /// Reads what comes behind the end of the tail, unless somebody else did meanwhile.
    async fn read_on(&self, tail: &Arc<Tail>, scope: &ScopeName, after: u64) -> Result<(), Stop> {
        let _alone = tokio::select! {
            stop = self.stream.stopped() => return Err(stop.into()),
            alone = tail.reading.lock() => alone,
        };
        let (session, tail, scope) = (Arc::clone(&self.session), Arc::clone(tail), scope.clone());
        if tail.stand(session.engine(), after) != Stand::AtEnd {
            return Ok(());
        }
        let read = move || tail.read_on(session.engine(), &scope, after);
        let read = tokio::select! {
            stop = self.stream.stopped() => return Err(stop.into()),
            read = blocking(&self.session.hub.reads, read) => read.ok_or(Stop::Lost)?,
        };
        read.map_err(Stop::from)
    }

    /// Begins anew behind all that was looked at, if that was done with.
    fn go_on(&mut self) -> Result<(), Stop> {
        if !self.done {
            return Ok(());
        }
        let after = self.place.mark(false);
        self.selection.place = PagePlace { after, through: u64::MAX, past: 0 };
        self.place = self.selection.place;
        let scan = self.session.engine().select(self.selection.clone());
        self.scan = Some(scan.map_err(Stop::Invalid)?);
        (self.done, self.announced) = (false, false);
        Ok(())
    }

    /// Refuses to wait for events after one that does not exist: the client has seen another
    /// history than this store has.
    async fn check_ahead(&self) -> Result<(), Stop> {
        let place = self.place.mark(false);
        let ahead = match &self.selection.scope {
            None => {
                let end = *self.session.engine().watch_order().borrow();
                (place > end.0)
                    .then(|| format!("position {place} is ahead of the store, which ends at {end}"))
            }
            Some(_) if place == 0 => None,
            Some(scope) => {
                let (session, scope) = (Arc::clone(&self.session), scope.clone());
                let look = move || {
                    let info = session.engine().show_scope(&scope)?;
                    let head = info.map_or(Seq::ZERO, |info| info.head);
                    let ahead =
                        format!("event {place} is ahead of the store: {scope} ends at {head}");
                    Ok((Seq(place) > head).then_some(ahead))
                };
                let head = blocking(&self.session.hub.reads, look).await.ok_or(Stop::Lost)?;
                head.map_err(Stop::Failed)?
            }
        };
        let Some(why) = ahead else { return Ok(()) };
        Err(Stop::Ahead(format!("{why}; was an older copy restored? Start again from 0")))
    }

    /// The next page, and a permit for its bytes.
    async fn page(
        &mut self,
        limit: u64,
        patience: Option<Duration>,
    ) -> Result<(Page, OwnedSemaphorePermit), Stop> {
        let Some(mut scan) = self.scan.take() else { return Err(Stop::Lost) };
        if scan.remembers() && self.replaying.is_none() {
            let replays = Arc::clone(&self.session.hub.replays);
            self.replaying = Some(tokio::select! {
                stop = self.stream.stopped() => return Err(stop.into()),
                permit = replays.acquire_owned() => permit.map_err(|_| Stop::Gone)?,
            });
        }
        let permit = self.room(patience).await?;
        let (session, known, room) = (Arc::clone(&self.session), self.told, self.page_bytes);
        let read = move || {
            let page = Page::read(session.engine(), &mut scan, limit, known, room);
            (scan, page)
        };
        let (scan, page) = tokio::select! {
            stop = self.stream.stopped() => return Err(stop.into()),
            page = blocking(&self.session.hub.reads, read) => page.ok_or(Stop::Lost)?,
        };
        if !scan.remembers() {
            self.replaying = None;
        }
        (self.place, self.done) = (scan.place(), scan.is_done());
        self.scan = Some(scan);
        let page = page?;
        self.page_bytes = page.size();
        Ok((page, permit))
    }

    /// Waits for room for a page, but not for ever if there is a patience.
    async fn room(&self, patience: Option<Duration>) -> Result<OwnedSemaphorePermit, Stop> {
        let room = self.session.out.room_for_page(self.session.limits());
        tokio::select! {
            stop = self.stream.stopped() => Err(stop.into()),
            permit = async {
                match patience {
                    None => room.await.map_err(|_| Stop::Gone),
                    Some(patience) => match timeout(patience, room).await {
                        Ok(permit) => permit.map_err(|_| Stop::Gone),
                        Err(_) => Err(Stop::Slow),
                    },
                }
            } => permit,
        }
    }

    fn send(&mut self, page: Page, permit: OwnedSemaphorePermit) {
        let call = self.stream.call;
        let PagePlace { after, through, .. } = self.place;
        if self.selection.replay != Replay::Off && !self.announced && through > after {
            self.announced = true;
            let (after, through) = (Seq(after), Seq(through));
            self.stream.push(&Reply::Replaying { after, through });
        }
        if let Some((through, hash)) = page.skipped {
            self.stream.push(&Reply::Skipped { through, hash });
        }
        let mark = self.place.mark(self.selection.backwards);
        if self.told == u64::MAX {
            // Backwards from the end, wherever that is.
            self.told = mark;
        }
        if page.events > 0 {
            self.push(page.into_chunk(call), permit);
        } else if mark.abs_diff(self.told) >= TOLD_EVERY {
            let (seq, position) = match self.selection.scope {
                Some(_) => (Seq(mark), Position(0)),
                None => (Seq::ZERO, Position(mark)),
            };
            let told = (call, Reply::Scanned { seq, position });
            match frame::put(Vec::new(), &told) {
                Ok(bytes) => self.push(Chunk { bytes, from: 0, permit: None }, permit),
                Err(why) => tracing::error!(%why, "a place cannot be encoded"),
            }
        } else {
            return;
        }
        self.told = mark;
    }

    /// Queues bytes of the stream, which hold as much room as they take.
    fn push(&self, mut chunk: Chunk, mut permit: OwnedSemaphorePermit) {
        let surplus = permit.num_permits().saturating_sub(chunk.bytes.len());
        drop(permit.split(surplus));
        chunk.permit = Some(permit);
        self.session.out.push_page(self.stream.cancelled(), chunk);
    }
}

impl From<SelectError> for Stop {
    fn from(why: SelectError) -> Stop {
        match why {
            SelectError::Read(why) => Stop::Failed(why),
            SelectError::Invalid(why) => Stop::Invalid(why),
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
            Stop::Invalid(why) => invalid(why),
            Stop::Lost => lost(),
        })
    }

    fn of_subscription(self, selection: &Selection, place: PagePlace) -> Reply {
        match self {
            Stop::Gone | Stop::Shutdown => Reply::Ended(Ended::Shutdown),
            Stop::Slow => Reply::Ended(match selection.scope {
                Some(_) => Ended::SlowReader {
                    resume_after: Seq(place.after),
                    resume_position: Position(0),
                },
                None => Ended::SlowReader {
                    resume_after: Seq::ZERO,
                    resume_position: Position(place.after),
                },
            }),
            Stop::Failed(ReadError::Storage(why)) => Reply::Error(RequestError::Failed(why)),
            Stop::Failed(damage) => Reply::Ended(Ended::Damaged { what: damage.to_string() }),
            Stop::Ahead(why) => Reply::Error(ahead(why)),
            Stop::Invalid(why) => Reply::Error(invalid(why)),
            Stop::Lost => Reply::Error(lost()),
        }
    }
}

/// A broken rule or cap, for the client.
pub(crate) fn invalid(why: Invalid) -> RequestError {
    RequestError::Invalid { field: why.field, why: why.why }
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
