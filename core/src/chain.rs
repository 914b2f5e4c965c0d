//! The hash chain of a scope: the only definition of "intact".
//!
//! `hash(n) = BLAKE3(hash(n-1) || body(n))`, and `hash(0)` is made of the scope's name. The body
//! holds everything of the event but its position, so a scope can move to another store with its
//! chain unchanged, but no event can move to another scope, change its number, or go missing.

use crate::record::{RecordError, RecordView};
use crate::{Digest, ScopeName, Seq};

/// The chain's hash before the first event.
#[must_use]
pub fn genesis(scope: &ScopeName) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("atomic-store 1 scope genesis");
    hasher.update(scope.as_str().as_bytes());
    Digest(*hasher.finalize().as_bytes())
}

/// The next link: of the hash before and the body that follows.
#[must_use]
pub fn link(previous: &Digest, body: &[u8]) -> Digest {
    // One buffer and one call is twice as fast as a Hasher for the few hundred bytes of an event.
    const ON_STACK: usize = 1024;
    if body.len() <= ON_STACK - 32 {
        let mut buffer = [0; ON_STACK];
        buffer[..32].copy_from_slice(&previous.0);
        buffer[32..32 + body.len()].copy_from_slice(body);
        Digest::of(&buffer[..32 + body.len()])
    } else {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&previous.0).update(body);
        Digest(*hasher.finalize().as_bytes())
    }
}

/// What was found where the chain should have gone on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// Another number than the next one: events are missing.
    #[error("expected event {expected}, found event {found}")]
    Gap {
        /// The number that should have come.
        expected: Seq,
        /// The number that came.
        found: Seq,
    },
    /// The event does not follow from the one before.
    #[error("event {0} does not link to the event before it")]
    Link(Seq),
    /// The event's bytes are not the ones that were hashed.
    #[error("the content of event {0} does not match its hash")]
    Content(Seq),
    /// The index does not lead to the event, so that a conflict with it would not be seen.
    #[error("event {0} is missing in the index of its keys and triggers")]
    Unindexed(Seq),
    /// The event cannot be decoded at all.
    #[error("event {seq} cannot be read: {why}")]
    Record {
        /// The number that should have come.
        seq: Seq,
        /// What is wrong with it.
        why: RecordError,
    },
    /// The log ends before the recorded head.
    #[error("the log ends at event {found}, but event {expected} was acknowledged")]
    Short {
        /// The recorded head.
        expected: Seq,
        /// The last event found.
        found: Seq,
    },
}

/// Walks a scope's events in order and checks each against the one before.
#[derive(Clone, Debug)]
pub struct Walk {
    head: Seq,
    /// The hash at `head`; unknown when the walk starts in the middle of a scope.
    hash: Option<Digest>,
}

impl Walk {
    /// From the first event of a scope.
    #[must_use]
    pub fn from_start(scope: &ScopeName) -> Self {
        Walk { head: Seq::ZERO, hash: Some(genesis(scope)) }
    }

    /// From the event after `head`, whose hash is known.
    #[must_use]
    pub fn from(head: Seq, hash: Digest) -> Self {
        Walk { head, hash: Some(hash) }
    }

    /// From the event after `head`, whose hash is not known: the first event is checked against
    /// its own content only.
    #[must_use]
    pub fn after(scope: &ScopeName, head: Seq) -> Self {
        match head {
            Seq::ZERO => Walk::from_start(scope),
            head => Walk { head, hash: None },
        }
    }

    /// The number of the last event that passed.
    #[must_use]
    pub fn head(&self) -> Seq {
        self.head
    }

    /// The hash at [`Self::head`], if known.
    #[must_use]
    pub fn hash(&self) -> Option<Digest> {
        self.hash
    }

    /// Checks that this record is the next event of the scope.
    ///
    /// # Errors
    /// [`Broken`] names the first thing that does not fit.
    pub fn step<'a>(&mut self, record: &'a [u8]) -> Result<RecordView<'a>, Broken> {
        self.step_known(record, false)
    }

    /// The same for a record whose content may be known to be intact, see [`crate::contents`]. If it is
    /// not known, it is looked at here.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn step_known<'a>(
        &mut self,
        record: &'a [u8],
        intact: bool,
    ) -> Result<RecordView<'a>, Broken> {
        let expected = self.head.next();
        let view =
            RecordView::parse(record).map_err(|why| Broken::Record { seq: expected, why })?;
        if view.seq() != expected {
            return Err(Broken::Gap { expected, found: view.seq() });
        }
        if self.hash.is_some_and(|hash| hash != view.previous()) {
            return Err(Broken::Link(expected));
        }
        if !intact && link(&view.previous(), view.body()) != view.hash() {
            return Err(Broken::Content(expected));
        }
        self.head = expected;
        self.hash = Some(view.hash());
        Ok(view)
    }
}
