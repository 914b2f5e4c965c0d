//! A clock that the test moves, also backwards.

use atomic_store::clock::Clock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stands still until it is set.
#[derive(Debug, Default)]
pub struct JumpingClock(AtomicU64);

impl JumpingClock {
    /// Jumps to a time in milliseconds.
    pub fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::SeqCst);
    }
}

impl Clock for JumpingClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
