//! Which events a reader wants. Applied in the host, so that only those travel.

use crate::Key;
use crate::record::{BodyIn, KeyIn};
use serde::{Deserialize, Serialize};

/// A selection of events. An event passes if it fits every part that is not empty; within a part
/// one match is enough. The default lets everything pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Filter {
    /// About one of these keys (coherence C20). Found through the index.
    pub keys: Vec<Key>,
    /// About a key of one of these kinds (coherence C21).
    pub key_kinds: Vec<String>,
    /// Of one of these kinds.
    pub kinds: Vec<String>,
    /// Linked to, or fired by, one of these triggers. Found through the index.
    pub triggers: Vec<Key>,
    /// When the caller says it happened. An event without a caller's time fits no bound.
    pub caller_ms: Span,
    /// When the store admitted it.
    pub host_ms: Span,
}

/// A span of time, in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Not before this moment.
    pub from: Option<u64>,
    /// Not at or after this moment.
    pub until: Option<u64>,
}

impl Span {
    /// True if no bound is set.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.from.is_none() && self.until.is_none()
    }

    /// True if the moment is within.
    #[must_use]
    pub fn holds(&self, ms: u64) -> bool {
        self.from.is_none_or(|from| ms >= from) && self.until.is_none_or(|until| ms < until)
    }
}

impl Filter {
    /// True if everything passes.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.keys.is_empty()
            && self.key_kinds.is_empty()
            && self.kinds.is_empty()
            && self.triggers.is_empty()
            && self.caller_ms.is_open()
            && self.host_ms.is_open()
    }

    /// True if the event passes.
    #[must_use]
    pub fn passes(&self, event: &BodyIn<'_>) -> bool {
        any(&self.kinds, |kind| kind == event.kind)
            && any(&self.keys, |key| event.keys.iter().any(|k| same(key, k)))
            && any(&self.key_kinds, |kind| event.keys.iter().any(|k| k.kind == kind))
            && any(&self.triggers, |key| event.triggers.iter().any(|k| same(key, k)))
            && self.host_ms.holds(event.host_ms)
            && (self.caller_ms.is_open()
                || event.caller_ms.is_some_and(|ms| self.caller_ms.holds(ms)))
    }
}

/// True if there is nothing to fit, or one of them does.
fn any<T>(wanted: &[T], fits: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(fits)
}

fn same(key: &Key, other: &KeyIn<'_>) -> bool {
    key.kind == other.kind && key.id == other.id
}
