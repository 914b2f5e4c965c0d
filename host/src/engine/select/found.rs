//! Whether an event passes, and what is given if it does.

use crate::log::ReadError;
use atomic_store_core::chain::Broken;
use atomic_store_core::record::{BodyIn, RecordView};
use atomic_store_core::{Filter, Key, ScopeName, Seq};
use std::collections::BTreeSet;

/// An event that passed.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Its scope.
    pub scope: &'a ScopeName,
    /// True if it lies before the range, and an effect in the range touches it.
    pub replayed: bool,
    /// The event.
    pub view: RecordView<'a>,
}

/// What became of an event that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was taken; the next one, please.
    Next,
    /// It was taken, and is enough for this step.
    Enough,
    /// It was not taken, and comes first in the next step.
    Not,
}

/// Takes events.
pub type Each<'a> = &'a mut dyn FnMut(Found<'_>) -> Taken;

/// What an event must fit.
pub(super) struct Sieve<'a> {
    filter: &'a Filter,
    open: bool,
    without_effects: bool,
}

impl<'a> Sieve<'a> {
    pub(super) fn new(filter: &'a Filter, without_effects: bool) -> Self {
        Sieve { filter, open: filter.is_open(), without_effects }
    }

    /// True if the event passes.
    pub(super) fn passes(
        &self,
        scope: &ScopeName,
        view: RecordView<'_>,
    ) -> Result<bool, ReadError> {
        if self.open && !self.without_effects {
            return Ok(true);
        }
        let body = decode(scope, view)?;
        Ok(!(self.without_effects && is_effect(&body)) && self.filter.passes(&body))
    }

    /// Gives the event to `each` if it passes.
    pub(super) fn offer(
        &self,
        scope: &ScopeName,
        replayed: bool,
        view: RecordView<'_>,
        each: &mut dyn FnMut(Found<'_>) -> Taken,
    ) -> Result<Taken, ReadError> {
        if self.passes(scope, view)? {
            return Ok(each(Found { scope, replayed, view }));
        }
        Ok(Taken::Next)
    }
}

/// The event's content.
pub(super) fn decode<'a>(scope: &ScopeName, view: RecordView<'a>) -> Result<BodyIn<'a>, ReadError> {
    let seq: Seq = view.seq();
    view.decode().map_err(|why| {
        let found = Broken::Record { seq, why };
        ReadError::Damaged { scope: scope.clone(), seq, found }
    })
}

/// True if it fires triggers.
pub(super) fn is_effect(body: &BodyIn<'_>) -> bool {
    body.keys.is_empty() && !body.triggers.is_empty()
}

/// True if it is about one of the keys.
pub(super) fn is_about(body: &BodyIn<'_>, keys: &BTreeSet<Key>) -> bool {
    body.keys.iter().any(|key| keys.contains(&Key::new(key.kind, key.id)))
}
