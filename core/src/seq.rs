//! Numbers that order things: a place in one scope, a place in the whole store, and the store's
//! own short name for a scope.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Number of an event in its scope: 1, 2, 3 and so on without gaps. 0 means "nothing yet".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Seq(pub u64);

/// Place of an event in the order over all scopes of a store.
///
/// Positions only compare. They rise with every event but may have gaps, so "position + 1" names
/// nothing. 0 is before every event.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position(pub u64);

/// The store's internal number of a scope; keys on disk carry it in place of the name.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ScopeId(pub u64);

impl Seq {
    /// The head of an empty scope.
    pub const ZERO: Seq = Seq(0);
    /// The highest number there is; as an upper bound it means "to the end".
    pub const MAX: Seq = Seq(u64::MAX);

    /// The number of the next event.
    #[must_use]
    pub const fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }

    /// The number `n` events later.
    #[must_use]
    pub const fn plus(self, n: u64) -> Seq {
        Seq(self.0.saturating_add(n))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
