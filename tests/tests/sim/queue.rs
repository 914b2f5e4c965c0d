//! Loops that are ready to run, in the hands of the seed.

use atomic_store::engine::{Scheduler, Work};
use atomic_store_tests::Rng;
use std::sync::Mutex;

/// The ready loops.
#[derive(Default)]
pub struct Ready(Mutex<Vec<Work>>);

impl Scheduler for Ready {
    fn ready(&self, work: Work) {
        self.0.lock().unwrap().push(work);
    }
}

impl Ready {
    /// One of them, taken out.
    pub fn any(&self, rng: &mut Rng) -> Option<Work> {
        let mut ready = self.0.lock().unwrap();
        if ready.is_empty() {
            return None;
        }
        let index = rng.index(ready.len());
        Some(ready.swap_remove(index))
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    /// Forgets them, as a crash does.
    pub fn clear(&self) {
        let gone = std::mem::take(&mut *self.0.lock().unwrap());
        drop(gone);
    }
}
