//! What to read: one builder for every way.

use atomic_store_core::protocol::{Replay, Request, RequestError};
use atomic_store_core::{Filter, PagePlace, PageToken, PageTokenError, Position, ScopeName, Seq};

/// Which events to read, in which order.
///
/// ```
/// use atomic_store_client::Selection;
/// use atomic_store_core::{Filter, Key, ScopeName};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let filter = Filter { keys: vec![Key::new("book", "Neuromancer")], ..Filter::default() };
/// let last_ten = Selection::of(&ScopeName::new("library")?).filter(filter).backwards().limit(10);
/// # drop(last_ten);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub(crate) scope: Option<ScopeName>,
    pub(crate) place: PagePlace,
    pub(crate) backwards: bool,
    pub(crate) limit: u64,
    pub(crate) filter: Filter,
    pub(crate) replay: Replay,
}

impl Selection {
    /// The events of a scope.
    #[must_use]
    pub fn of(scope: &ScopeName) -> Self {
        Selection::new(Some(scope.clone()))
    }

    /// The events of all scopes, in their common order.
    #[must_use]
    pub fn all() -> Self {
        Selection::new(None)
    }

    fn new(scope: Option<ScopeName>) -> Self {
        Selection {
            scope,
            place: PagePlace { after: 0, through: u64::MAX, past: 0 },
            backwards: false,
            limit: u64::MAX,
            filter: Filter::default(),
            replay: Replay::Off,
        }
    }

    /// Only events after this one: its number in the scope, or for all scopes its position.
    #[must_use]
    pub fn after(mut self, number: u64) -> Self {
        self.place.after = number;
        self
    }

    /// Only events up to this one, included: its number in the scope, or for all scopes its position.
    #[must_use]
    pub fn through(mut self, number: u64) -> Self {
        self.place.through = number;
        self
    }

    /// The last event first.
    #[must_use]
    pub fn backwards(mut self) -> Self {
        self.backwards = true;
        self
    }

    /// At most so many events.
    #[must_use]
    pub fn limit(mut self, events: u64) -> Self {
        self.limit = events;
        self
    }

    /// Only events that pass.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Also earlier events that effects touch, marked as replayed (coherence C16). The read is one of
    /// the scope as it is when the read begins, or as it was at [`Self::through`]: only effects and
    /// links up to there count. A subscription replays in rounds: one for what is there, then one each
    /// time that something new is found, as if it was asked again after the last event.
    #[must_use]
    pub fn replay(mut self, replay: Replay) -> Self {
        self.replay = replay;
        self
    }

    /// Goes on where another read of the same selection stopped; see
    /// [`crate::SelectionStream::page`]. All but the bounds and the limit must be as it was.
    ///
    /// # Errors
    /// [`PageTokenError::Other`] if the token belongs to another selection.
    pub fn page(mut self, token: &PageToken) -> Result<Self, PageTokenError> {
        let Selection { scope, backwards, filter, replay, .. } = &self;
        self.place = token.place(scope.as_ref(), *backwards, filter, *replay)?;
        Ok(self)
    }

    /// The token for what is left behind a place.
    pub(crate) fn token(&self, place: PagePlace) -> PageToken {
        let Selection { scope, backwards, filter, replay, .. } = self;
        PageToken::new(place, scope.as_ref(), *backwards, filter, *replay)
    }

    /// True if no event is left out.
    pub(crate) fn is_contiguous(&self) -> bool {
        self.filter.is_open() && self.replay == Replay::Off
    }

    /// The request for what is left; without a limit, a subscription.
    pub(crate) fn request(&self, place: PagePlace, left: Option<u64>) -> Request {
        let PagePlace { after, through, past } = place;
        let (backwards, filter, replay) = (self.backwards, self.filter.clone(), self.replay);
        match (&self.scope, left) {
            (Some(scope), limit) if past > 0 => Request::ResumeReplay {
                scope: scope.clone(),
                after: Seq(after),
                through: Seq(through),
                past: Seq(past),
                limit,
                filter,
                replay,
            },
            (Some(scope), Some(limit)) => Request::Read {
                scope: scope.clone(),
                after: Seq(after),
                through: Seq(through),
                limit,
                backwards,
                filter,
                replay,
            },
            (Some(scope), None) => {
                Request::Subscribe { scope: scope.clone(), after: Seq(after), filter, replay }
            }
            (None, Some(limit)) => Request::ReadOrder {
                after: Position(after),
                through: Position(through),
                limit,
                backwards,
                filter,
            },
            (None, None) => Request::SubscribeOrder { after: Position(after), filter },
        }
    }

    /// Refuses what no request can say.
    pub(crate) fn check(&self, subscription: bool) -> Result<(), RequestError> {
        let no = |field: &str, why: &str| {
            Err(RequestError::Invalid { field: field.to_owned(), why: why.to_owned() })
        };
        if self.scope.is_none() && self.replay != Replay::Off {
            return no("replay", "effects touch keys of one scope; name it");
        }
        if subscription && self.backwards {
            return no("backwards", "what is to come can only be followed forwards");
        }
        if subscription && self.place.through != u64::MAX && self.place.past == 0 {
            return no("through", "a subscription has no end; read instead, or leave it out");
        }
        Ok(())
    }
}
