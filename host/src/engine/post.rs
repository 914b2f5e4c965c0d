//! Letters on their way to the mailbox of a scope, which is started or found again for them.

use super::handle::LEAVING_MAX;
use super::mailbox::{Letter, MAILBOX_FULL, Refused, Work};
use super::shared::Shared;
use atomic_store_core::{Outcome, Overload, ScopeName};
use std::sync::Arc;

impl Shared {
    /// Puts a letter into the mailbox of a scope, or answers it. Returns the loop if it was idle and
    /// must be woken.
    ///
    /// `room` says that whoever sends has waited for room and got it: what has come in between does not
    /// count against it.
    pub(crate) fn send(
        self: &Arc<Self>,
        scope: &ScopeName,
        mut letter: Letter,
        room: bool,
    ) -> Option<Work> {
        loop {
            if !room && !self.has_room(scope) {
                letter.give_up(self, Outcome::Overloaded(Overload::Instances));
                return None;
            }
            let cell = self.live.get_or_start(scope);
            match cell.send(self, letter) {
                Ok(work) => return work,
                Err(Refused::Full(letter)) => {
                    letter.give_up(self, MAILBOX_FULL);
                    return None;
                }
                Err(Refused::Closed(back)) => {
                    // It is evicted but still listed; after this its successor gets the letter.
                    self.live.remove(&cell);
                    letter = back;
                }
            }
        }
    }

    /// True if the scope is in memory or may be started. Whoever can wait does, and looks again.
    pub(crate) fn has_room(self: &Arc<Self>, scope: &ScopeName) -> bool {
        let full = self.live.count() >= self.limits.instances_max || self.over_memory();
        !full || self.make_room(scope)
    }

    /// Asks cold scopes to leave when a new one would be too many. False if too many have not left
    /// yet.
    fn make_room(self: &Arc<Self>, scope: &ScopeName) -> bool {
        if self.live.contains(scope) {
            return true;
        }
        self.live.ask_cold_to_leave(self);
        // Asked also when this one is refused: whoever declined before, because it had something on
        // its way to the disk, may be able to leave now.
        self.live.count() < self.limits.instances_max + LEAVING_MAX && !self.far_over_memory()
    }

    /// True if the instances have more memory than they should.
    fn over_memory(&self) -> bool {
        self.registry.memory_bytes() > self.limits.instance_bytes_max
    }

    /// The same by so much that no scope is started before others have left. One that is alone is
    /// never refused: its size has a limit of its own.
    fn far_over_memory(&self) -> bool {
        let max = self.limits.instance_bytes_max;
        self.registry.memory_bytes() > max.saturating_add(max / 4) && self.live.count() > 1
    }

    /// Asks cold scopes to leave if the instances have grown too large, wherever that was.
    pub(crate) fn keep_to_memory(self: &Arc<Self>) {
        if self.over_memory() && self.live.count() > 1 {
            self.live.ask_cold_to_leave(self);
        }
    }
}
