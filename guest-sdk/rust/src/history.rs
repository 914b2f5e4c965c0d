//! The earlier events of the scope, for rules that would rather look than fold.
//!
//! During `validate` it shows every event before the append under judgement; the earlier members
//! of the same batch are in the state, not here. In a native test the harness provides it.

use crate::Event;

/// How many events one call asks for; the store may give fewer.
const PAGE: u32 = 256;

/// The number of the last event, 0 for none.
#[must_use]
pub fn head() -> u64 {
    source::head()
}

/// Events after `after`, in order: at most `limit`, fewer if they are large, none at the end.
#[must_use]
pub fn read(after: u64, limit: u32) -> Vec<Event> {
    source::read(after, limit)
}

/// All events after `after`, in order, fetched in pages as they are needed.
///
/// ```
/// # use atomic_store_guest::history;
/// let total = history::since(0).filter(|event| event.kind == "paid").count();
/// # assert_eq!(total, 0);
/// ```
pub fn since(after: u64) -> impl Iterator<Item = Event> {
    let mut last = after;
    let mut page = Vec::new().into_iter();
    std::iter::from_fn(move || {
        let event = page.next().or_else(|| {
            page = read(last, PAGE).into_iter();
            page.next()
        })?;
        last = event.seq;
        Some(event)
    })
}

#[cfg(target_arch = "wasm32")]
mod source {
    pub(super) use crate::bindings::atomic_store::validator::history::{head, read};
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod source {
    //! The history that a native test provides for the call it makes.

    use crate::Event;
    use std::cell::RefCell;

    thread_local! {
        static EVENTS: RefCell<Vec<Event>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn head() -> u64 {
        EVENTS.with_borrow(|events| events.last().map_or(0, |event| event.seq))
    }

    pub(super) fn read(after: u64, limit: u32) -> Vec<Event> {
        EVENTS.with_borrow(|events| {
            let later = events.iter().filter(|event| event.seq > after);
            later.take(limit as usize).cloned().collect()
        })
    }

    /// Runs `call` with these events as the history; they come back afterwards.
    pub(crate) fn with<R>(events: &mut Vec<Event>, call: impl FnOnce() -> R) -> R {
        EVENTS.with_borrow_mut(|slot| std::mem::swap(slot, events));
        let answer = call();
        EVENTS.with_borrow_mut(|slot| std::mem::swap(slot, events));
        answer
    }
}
