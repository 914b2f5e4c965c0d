//! The journal of rejections.

use crate::ClientError;
use crate::client::{AGAIN, Client};
use crate::feed::{Feed, Next, unexpected};
use atomic_store_core::protocol::{Ended, Reply, Request};
use atomic_store_core::{Rejection, RejectionCount, RejectionsEnd, ScopeName};
use std::vec::IntoIter;

/// What a [`RejectionStream`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Journaled {
    /// An entry.
    Entry(Box<Rejection>),
    /// Entries that are not kept any more: some of those after `after` up to `through`.
    Dropped {
        /// The last entry before them that was given, or where the stream began.
        after: u64,
        /// The last of them.
        through: u64,
    },
}

/// Entries of the journal of rejections, oldest first.
pub struct RejectionStream {
    client: Client,
    scope: Option<ScopeName>,
    after: u64,
    /// How many more are wanted; who follows wants all and never ends.
    left: Option<u64>,
    feed: Option<Feed>,
    page: IntoIter<Rejection>,
    /// The entry that comes after what was dropped.
    next: Option<Rejection>,
    finished: bool,
}

impl Client {
    /// Reads the journal of rejections after a number, of one scope or of all, page by page: at most
    /// `limit` entries.
    #[must_use]
    pub fn read_rejections(
        &self,
        scope: Option<&ScopeName>,
        after: u64,
        limit: u64,
    ) -> RejectionStream {
        RejectionStream::new(self, scope, after, Some(limit))
    }

    /// The entries of the journal of rejections after a number, of one scope or of all, then each new
    /// one; never ends by itself. If the connection is lost it goes on after the last entry that was
    /// given, and says if some were dropped meanwhile.
    #[must_use]
    pub fn follow_rejections(&self, scope: Option<&ScopeName>, after: u64) -> RejectionStream {
        RejectionStream::new(self, scope, after, None)
    }

    /// A page of the journal of rejections after a number, oldest first, of one scope or of all: at
    /// most `limit` entries and no more than the store puts on a page. Empty at the end; the next page
    /// begins after the number of the last entry.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rejections(
        &self,
        scope: Option<&ScopeName>,
        after: u64,
        limit: u64,
    ) -> Result<Vec<Rejection>, ClientError> {
        let request = Request::ReadRejections { scope: scope.cloned(), after, limit };
        match self.call(request, AGAIN).await? {
            Reply::Rejections(page) => Ok(page),
            other => Err(unexpected(&other)),
        }
    }

    /// Where the journal of rejections ends, of one scope or of all, and after which number the last so
    /// many entries come.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rejections_end(
        &self,
        scope: Option<&ScopeName>,
        last: u64,
    ) -> Result<RejectionsEnd, ClientError> {
        match self.call(Request::LocateRejections { scope: scope.cloned(), last }, AGAIN).await? {
            Reply::RejectionsEnd(end) => Ok(end),
            other => Err(unexpected(&other)),
        }
    }

    /// How often what was refused, among the entries that are kept; the most frequent first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn count_rejections(
        &self,
        scope: Option<&ScopeName>,
    ) -> Result<Vec<RejectionCount>, ClientError> {
        match self.call(Request::CountRejections { scope: scope.cloned() }, AGAIN).await? {
            Reply::RejectionCounts(counts) => Ok(counts),
            other => Err(unexpected(&other)),
        }
    }
}

impl RejectionStream {
    fn new(client: &Client, scope: Option<&ScopeName>, after: u64, left: Option<u64>) -> Self {
        RejectionStream {
            client: client.clone(),
            scope: scope.cloned(),
            after,
            left,
            feed: None,
            page: Vec::new().into_iter(),
            next: None,
            finished: false,
        }
    }

    /// The next entry, or that some were dropped before it; nothing after the last one of a read, or
    /// after an error. Who follows waits for it.
    pub async fn next(&mut self) -> Option<Result<Journaled, ClientError>> {
        while !self.finished && self.left != Some(0) {
            if let Some(entry) = self.next.take().or_else(|| self.page.next()) {
                return Some(self.give(entry));
            }
            if let Err(why) = self.turn().await {
                return Some(Err(self.finish(why)));
            }
        }
        self.feed = None;
        None
    }

    /// The last entry that was given; where to go on with another stream.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.after
    }

    fn finish(&mut self, why: ClientError) -> ClientError {
        (self.finished, self.feed) = (true, None);
        why
    }

    /// Gives an entry, or first what is missing before it.
    fn give(&mut self, entry: Rejection) -> Result<Journaled, ClientError> {
        let (after, number) = (self.after, entry.number);
        let previous = if self.scope.is_some() { entry.previous_of_scope } else { entry.previous };
        let foreign = self.scope.as_ref().is_some_and(|scope| *scope != entry.scope);
        if number <= after || previous >= number || foreign {
            let what = format!("entry {number} of the rejections does not follow {after}");
            return Err(self.finish(ClientError::Damaged { what }));
        }
        if previous > after {
            (self.after, self.next) = (previous, Some(entry));
            return Ok(Journaled::Dropped { after, through: previous });
        }
        self.after = number;
        self.left = self.left.map(|left| left - 1);
        Ok(Journaled::Entry(Box::new(entry)))
    }

    /// Gets on by one step: takes a page, opens a feed, or learns the end.
    async fn turn(&mut self) -> Result<(), ClientError> {
        if let Some(left) = self.left {
            let page = self.client.rejections(self.scope.as_ref(), self.after, left).await?;
            self.finished = page.is_empty();
            self.page = page.into_iter();
            return Ok(());
        }
        let Some(feed) = &mut self.feed else {
            let (scope, after) = (self.scope.clone(), self.after);
            let request = Request::SubscribeRejections { scope, after };
            self.feed = Some(Feed::open(&self.client.handle, &request).await?);
            return Ok(());
        };
        match feed.next().await {
            Next::Reply(Reply::Rejections(page)) => self.page = page.into_iter(),
            // A shutdown is followed by the loss of the connection; the feed waits for that.
            Next::Reply(Reply::Ended(Ended::Shutdown)) => {}
            Next::Reply(Reply::Ended(_)) | Next::Cut => self.feed = None,
            Next::Reply(other) => return Err(unexpected(&other)),
        }
        Ok(())
    }
}
