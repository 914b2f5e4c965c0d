//! Events on their way to a consumer: checked, in order, without gap or repeat.
//!
//! A stream knows the place where it stands. Whenever the feed behind it ends early (the connection is
//! lost, the server cuts it off, the consumer falls behind) it asks for a new one behind exactly that
//! place, and checks that what comes may come next. So a stream may be slow, but not wrong.
//!
//! Every event is checked against its own hash. Where nothing is left out, numbers must follow each
//! other and each event must link to the one before, in either direction; where a filter or a replay
//! leaves some out, numbers must rise, or fall.

use crate::client::Handle;
use crate::feed::{Feed, Next, unexpected};
use crate::page::Page;
use crate::{ClientError, Selection};
use atomic_store_core::chain::{self, Broken};
use atomic_store_core::protocol::{Ended, Entry, Replay, Reply};
use atomic_store_core::record::RecordView;
use atomic_store_core::{Digest, Event, PagePlace, PageToken, Position, ScopeName, Seq};
use std::sync::Arc;
use tokio::time::timeout;

/// An event that was selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its scope.
    pub scope: ScopeName,
    /// True if it lies before the range that was asked for, and an effect touches it (coherence C16):
    /// whoever builds a state begins anew for its keys.
    pub replayed: bool,
    /// The event.
    pub event: Event,
}

/// The events of a [`Selection`].
pub struct SelectionStream {
    handle: Arc<Handle>,
    selection: Selection,
    /// What is left.
    place: PagePlace,
    /// How many more are wanted; a subscription wants all and never ends.
    left: Option<u64>,
    /// Where nothing is left out: the hash at the place.
    link: Option<Digest>,
    feed: Option<Feed>,
    page: Page,
    finished: bool,
    /// The last event before the end came because no more were wanted.
    cut: bool,
}

/// Events of one scope.
pub struct EventStream(SelectionStream);

/// Events of all scopes in their common order.
pub struct OrderStream(SelectionStream);

impl EventStream {
    pub(crate) fn new(stream: SelectionStream) -> Self {
        EventStream(stream)
    }

    /// The next event; nothing after the last one of a read, or after an error. A subscription waits
    /// for it.
    pub async fn next(&mut self) -> Option<Result<Event, ClientError>> {
        Some(self.0.next().await?.map(|found| found.event))
    }

    /// The last event that was given; where to go on with another stream.
    #[must_use]
    pub fn after(&self) -> Seq {
        Seq(self.0.place.mark(false))
    }
}

impl OrderStream {
    pub(crate) fn new(stream: SelectionStream) -> Self {
        OrderStream(stream)
    }

    /// The next event; nothing after the last one of a read, or after an error. A subscription waits
    /// for it. Each event is checked against its own hash, and positions must rise.
    pub async fn next(&mut self) -> Option<Result<(ScopeName, Event), ClientError>> {
        Some(self.0.next().await?.map(|found| (found.scope, found.event)))
    }

    /// The place of the last event that was given; where to go on with another stream.
    #[must_use]
    pub fn after(&self) -> Position {
        Position(self.0.place.mark(false))
    }
}

impl SelectionStream {
    pub(crate) fn new(handle: Arc<Handle>, selection: Selection, left: Option<u64>) -> Self {
        let place = selection.place;
        let link = match &selection.scope {
            Some(scope) if place.after == 0 && !selection.backwards => Some(chain::genesis(scope)),
            _ => None,
        };
        let page = Page::default();
        let feed = None;
        let (finished, cut) = (false, false);
        SelectionStream { handle, selection, place, left, link, feed, page, finished, cut }
    }

    /// The next event; nothing after the last one of a read, or after an error. A subscription waits
    /// for it.
    pub async fn next(&mut self) -> Option<Result<Found, ClientError>> {
        loop {
            if self.finished {
                return None;
            }
            if self.left == Some(0) {
                self.cut = true;
                self.finish();
                return None;
            }
            if let Some((entry, intact)) = self.page.next() {
                let checked = self.check(entry, intact);
                return Some(checked.map_err(|what| {
                    self.finish();
                    ClientError::Damaged { what }
                }));
            }
            if let Err(why) = self.turn().await {
                self.finish();
                return Some(Err(why));
            }
        }
    }

    /// Where the next page begins, if the stream ended because of its limit; there may be nothing on
    /// it. In the middle of a stream: where another one would go on.
    #[must_use]
    pub fn page(&self) -> Option<PageToken> {
        (!self.finished || self.cut).then(|| self.selection.token(self.place))
    }

    fn finish(&mut self) {
        self.finished = true;
        self.feed = None;
        self.page = Page::default();
    }

    /// Gets on by one step: opens a feed, takes a page, or learns the end.
    async fn turn(&mut self) -> Result<(), ClientError> {
        let Some(feed) = &mut self.feed else {
            return self.open().await;
        };
        match feed.next().await {
            Next::Reply(Reply::Events(page)) => self.page = Page::new(page),
            Next::Reply(Reply::Scanned { seq, position }) => {
                let mark = if self.selection.scope.is_some() { seq.0 } else { position.0 };
                self.move_to(mark);
                // What was left out cannot be linked to.
                self.link = None;
            }
            Next::Reply(Reply::Skipped { through, hash }) => {
                // Events up to there were deleted; the chain goes on from their end.
                self.move_to(through.0);
                self.link = Some(hash);
            }
            Next::Reply(Reply::Replaying { after, through }) => {
                // A new round, or the bounds of the one that was asked for.
                let past = if after.0 == self.place.after { self.place.past } else { 0 };
                self.place = PagePlace { after: after.0, through: through.0, past };
            }
            Next::Reply(Reply::Done) if self.left.is_some() => self.finish(),
            Next::Reply(Reply::Ended(Ended::Damaged { what })) => {
                return Err(ClientError::Damaged { what });
            }
            // A shutdown is followed by the loss of the connection; the feed waits for that.
            Next::Reply(Reply::Ended(Ended::Shutdown)) => {}
            Next::Reply(Reply::Ended(_)) | Next::Cut => self.feed = None,
            Next::Reply(other) => return Err(unexpected(&other)),
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(), ClientError> {
        self.selection.check(self.left.is_none())?;
        if self.left.is_some() && self.place.mark(false) >= self.place.through {
            self.finish();
            return Ok(());
        }
        let request = self.selection.request(self.place, self.left);
        let open = Feed::open(&self.handle, &request);
        let after = self.handle.shared.options.retry_for;
        self.feed = Some(match self.left {
            None => open.await?,
            Some(_) => timeout(after, open)
                .await
                .map_err(|_| ClientError::Timeout { what: "connection", after })??,
        });
        Ok(())
    }

    /// What is done with, up to this number, or down to it.
    fn move_to(&mut self, mark: u64) {
        let place = &mut self.place;
        if self.selection.backwards {
            place.through = place.through.min(mark.saturating_sub(1));
        } else if self.selection.replay != Replay::Off {
            place.past = place.past.max(mark);
        } else {
            place.after = place.after.max(mark);
        }
    }

    #[inline]
    fn check(&mut self, entry: Entry, intact: bool) -> Result<Found, String> {
        let scope = self.selection.scope.clone().or(entry.scope);
        let scope = scope.ok_or("an event without its scope")?;
        let found = |found: String| format!("scope {scope}: {found}");
        let event = self.follow(&entry.record, entry.replayed, intact).map_err(found)?;
        self.left = self.left.map(|left| left - 1);
        Ok(Found { scope, replayed: entry.replayed, event })
    }

    /// Checks that the event may come next. Its content is looked at unless it is known to be intact.
    #[inline]
    fn follow(&mut self, record: &[u8], replayed: bool, intact: bool) -> Result<Event, String> {
        let view = RecordView::parse(record).map_err(|why| why.to_string())?;
        let of_scope = self.selection.scope.is_some();
        let number = if of_scope { view.seq().0 } else { view.position().0 };
        let contiguous = of_scope && self.selection.is_contiguous();
        let backwards = self.selection.backwards;
        let PagePlace { after, through, past } = self.place;
        let mark = if replayed { past } else { self.place.mark(backwards) };
        let within = match (backwards, replayed) {
            (true, _) => number < mark && number > after,
            (false, false) => number > mark && number <= through,
            (false, true) => number > mark && number <= after,
        };
        if !within {
            return Err(format!("event {number} does not follow {mark}"));
        }
        if contiguous && !backwards && number != mark.saturating_add(1) {
            let (expected, found) = (Seq(mark.saturating_add(1)), Seq(number));
            return Err(Broken::Gap { expected, found }.to_string());
        }
        if !intact && chain::link(&view.previous(), view.body()) != view.hash() {
            return Err(Broken::Content(view.seq()).to_string());
        }
        if contiguous {
            self.check_link(number, mark, view)?;
        }
        let event = view.to_event().map_err(|why| why.to_string())?;
        self.move_to(number);
        Ok(event)
    }

    /// Where nothing is left out, each event links to the one before.
    fn check_link(&mut self, number: u64, mark: u64, view: RecordView<'_>) -> Result<(), String> {
        let backwards = self.selection.backwards;
        if backwards && self.link.is_some() && number.saturating_add(1) != mark {
            let (expected, found) = (Seq(mark.saturating_sub(1)), Seq(number));
            return Err(Broken::Gap { expected, found }.to_string());
        }
        let hash = if backwards { view.hash() } else { view.previous() };
        if self.link.is_some_and(|link| link != hash) {
            let seq = if backwards { view.seq().next() } else { view.seq() };
            return Err(Broken::Link(seq).to_string());
        }
        self.link = Some(if backwards { view.previous() } else { view.hash() });
        Ok(())
    }
}
