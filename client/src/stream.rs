//! Events on their way to a consumer: checked, in order, without gap or repeat.
//!
//! A stream knows the last event it gave. Whenever the feed behind it ends early (the connection is
//! lost, the server cuts it off, the consumer falls behind) it asks for a new one after exactly
//! that event, and checks that what comes is the next one. So a stream may be slow, but not
//! wrong.

use crate::ClientError;
use crate::client::Handle;
use crate::feed::{Feed, Next, unexpected};
use atomic_store_core::chain::{self, Broken, Walk};
use atomic_store_core::protocol::{Ended, Entry, Replay, Reply, Request};
use atomic_store_core::record::RecordView;
use atomic_store_core::{Digest, Event, Filter, Position, ScopeName, Seq};
use std::sync::Arc;
use std::vec::IntoIter;
use tokio::time::timeout;

/// Events of one scope.
pub struct EventStream {
    pages: Pages,
    scope: ScopeName,
    walk: Walk,
    through: Seq,
}

/// Events of all scopes in their common order.
pub struct OrderStream {
    pages: Pages,
    after: Position,
}

/// Pages of entries over as many feeds as it takes.
struct Pages {
    handle: Arc<Handle>,
    feed: Option<Feed>,
    page: IntoIter<Entry>,
    /// What the server said about deleted events since the last entry.
    skipped: Option<(Seq, Digest)>,
    /// How many more are wanted; a subscription wants all and never ends.
    left: Option<u64>,
    finished: bool,
}

impl EventStream {
    pub(crate) fn read(handle: Arc<Handle>, scope: ScopeName, after: Seq, to: Seq, n: u64) -> Self {
        let walk = Walk::after(&scope, after);
        EventStream { pages: Pages::new(handle, Some(n)), scope, walk, through: to }
    }

    pub(crate) fn subscribe(handle: Arc<Handle>, scope: ScopeName, after: Seq) -> Self {
        let walk = Walk::after(&scope, after);
        EventStream { pages: Pages::new(handle, None), scope, walk, through: Seq::MAX }
    }

    /// The next event; nothing after the last one of a read, or after an error. A subscription waits
    /// for it.
    pub async fn next(&mut self) -> Option<Result<Event, ClientError>> {
        if self.pages.left.is_some() && self.walk.head() >= self.through {
            self.pages.finish();
        }
        let (scope, after, through) = (&self.scope, self.walk.head(), self.through);
        let request = |left: Option<u64>| match left {
            Some(limit) => Request::Read {
                scope: scope.clone(),
                after,
                through,
                limit,
                backwards: false,
                filter: Filter::default(),
                replay: Replay::Off,
            },
            None => Request::Subscribe {
                scope: scope.clone(),
                after,
                filter: Filter::default(),
                replay: Replay::Off,
            },
        };
        let entry = match self.pages.next(request).await? {
            Ok(entry) => entry,
            Err(why) => return Some(Err(why)),
        };
        if let Some((through, hash)) = self.pages.skipped.take()
            && through > self.walk.head()
        {
            // Events up to there were deleted; the chain goes on from their end.
            self.walk = Walk::from(through, hash);
        }
        let event = self.walk.step(&entry.record).and_then(|view| {
            let seq = view.seq();
            view.to_event().map_err(|why| Broken::Record { seq, why })
        });
        Some(event.map_err(|found| self.pages.damaged(format!("scope {}: {found}", self.scope))))
    }

    /// The last event that was given; where to go on with another stream.
    #[must_use]
    pub fn after(&self) -> Seq {
        self.walk.head()
    }
}

impl OrderStream {
    pub(crate) fn new(handle: Arc<Handle>, after: Position, limit: Option<u64>) -> Self {
        OrderStream { pages: Pages::new(handle, limit), after }
    }

    /// The next event; nothing after the last one of a read, or after an error. A subscription waits
    /// for it. Each event is checked against its own hash, and positions must rise.
    pub async fn next(&mut self) -> Option<Result<(ScopeName, Event), ClientError>> {
        let after = self.after;
        let request = |left: Option<u64>| match left {
            Some(limit) => Request::ReadOrder {
                after,
                through: Position(u64::MAX),
                limit,
                backwards: false,
                filter: Filter::default(),
            },
            None => Request::SubscribeOrder { after, filter: Filter::default() },
        };
        let entry = match self.pages.next(request).await? {
            Ok(entry) => entry,
            Err(why) => return Some(Err(why)),
        };
        match check(entry, after) {
            Ok((scope, event)) => {
                self.after = event.position;
                Some(Ok((scope, event)))
            }
            Err(what) => Some(Err(self.pages.damaged(what))),
        }
    }

    /// The place of the last event that was given; where to go on with another stream.
    #[must_use]
    pub fn after(&self) -> Position {
        self.after
    }
}

fn check(entry: Entry, after: Position) -> Result<(ScopeName, Event), String> {
    let scope = entry.scope.ok_or("an event without its scope")?;
    let found = |found: String| format!("scope {scope}: {found}");
    let view = RecordView::parse(&entry.record).map_err(|why| found(why.to_string()))?;
    if chain::link(&view.previous(), view.body()) != view.hash() {
        return Err(found(Broken::Content(view.seq()).to_string()));
    }
    if view.position() <= after {
        return Err(found(format!("position {} after position {after}", view.position())));
    }
    let event = view.to_event().map_err(|why| found(why.to_string()))?;
    Ok((scope, event))
}

impl Pages {
    fn new(handle: Arc<Handle>, left: Option<u64>) -> Self {
        let page = Vec::new().into_iter();
        Pages { handle, feed: None, page, skipped: None, left, finished: false }
    }

    fn finish(&mut self) {
        self.finished = true;
        self.feed = None;
        self.page = Vec::new().into_iter();
    }

    fn damaged(&mut self, what: String) -> ClientError {
        self.finish();
        ClientError::Damaged { what }
    }

    /// The next entry. `request` makes the request for what is still wanted.
    async fn next(
        &mut self,
        request: impl Fn(Option<u64>) -> Request,
    ) -> Option<Result<Entry, ClientError>> {
        loop {
            if self.finished || self.left == Some(0) {
                self.finish();
                return None;
            }
            if let Some(entry) = self.page.next() {
                self.left = self.left.map(|left| left - 1);
                return Some(Ok(entry));
            }
            if let Err(why) = self.turn(&request).await {
                self.finish();
                return Some(Err(why));
            }
        }
    }

    /// Gets on by one step: opens a feed, takes a page, or learns the end.
    async fn turn(&mut self, request: &impl Fn(Option<u64>) -> Request) -> Result<(), ClientError> {
        let Some(feed) = &mut self.feed else {
            let request = request(self.left);
            let open = Feed::open(&self.handle, &request);
            let after = self.handle.shared.options.retry_for;
            self.feed = Some(match self.left {
                None => open.await?,
                Some(_) => timeout(after, open)
                    .await
                    .map_err(|_| ClientError::Timeout { what: "connection", after })??,
            });
            return Ok(());
        };
        match feed.next().await {
            Next::Reply(Reply::Events(page)) => self.page = page.into_iter(),
            Next::Reply(Reply::Skipped { through, hash }) => self.skipped = Some((through, hash)),
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
}
