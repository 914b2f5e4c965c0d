//! Appends that arrive together wake their loops together: one turn at the pool's lock and one
//! wake-up for each thread, instead of one for each append.

use super::handle::Engine;
use super::mailbox::Work;
use super::reply::ReplyTo;
use atomic_store_core::{Append, ScopeName};
use std::sync::Arc;

/// So many loops are woken at the latest, so that they start while the rest still arrives.
const HELD_MAX: usize = 64;

/// A sender of appends that come in bursts, such as a session. What it took is certain to be
/// decided once it is flushed or dropped.
pub struct Burst {
    engine: Engine,
    held: Vec<Work>,
}

impl Burst {
    pub(crate) fn new(engine: Engine) -> Self {
        Burst { engine, held: Vec::with_capacity(HELD_MAX) }
    }

    /// As [`Engine::append`], but the loop may wait for the flush.
    pub fn append(&mut self, append: Append, to: &Arc<dyn ReplyTo>, call: u64) {
        self.send(append, to, call, false);
    }

    /// The same after [`Self::has_room`] was true: nobody who came in between takes the place away.
    pub fn append_with_room(&mut self, append: Append, to: &Arc<dyn ReplyTo>, call: u64) {
        self.send(append, to, call, true);
    }

    fn send(&mut self, append: Append, to: &Arc<dyn ReplyTo>, call: u64, room: bool) {
        self.held.extend(self.engine.take(append, to, call, room));
        if self.held.len() >= HELD_MAX {
            self.flush();
        }
    }

    /// True if an append to this scope would not be refused for want of room in memory. Asks scopes
    /// that are cold to leave, so it may be true a moment later.
    #[must_use]
    pub fn has_room(&self, scope: &ScopeName) -> bool {
        self.engine.shared.has_room(scope)
    }

    /// Wakes the loops. Does not block.
    pub fn flush(&mut self) {
        if !self.held.is_empty() {
            self.engine.shared.schedule_all(&mut self.held);
        }
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.flush();
    }
}
