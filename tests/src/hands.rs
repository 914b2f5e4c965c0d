//! Scope loops in the hands of a test: nothing runs until it says so, so what is in flight at a moment
//! is exact.

use atomic_store::engine::{Engine, Scheduler, Work};
use atomic_store_core::ScopeName;
use std::collections::VecDeque;
use std::sync::Mutex;

/// Loops that are ready to run, first come first.
#[derive(Default)]
pub struct Hands(Mutex<VecDeque<Work>>);

impl Scheduler for Hands {
    fn ready(&self, work: Work) {
        self.0.lock().unwrap().push_back(work);
    }
}

impl Hands {
    /// Runs what is ready, until nothing is. Nothing is committed by that.
    pub fn decide(&self) {
        loop {
            let Some(work) = self.0.lock().unwrap().pop_front() else { return };
            work.run();
        }
    }

    /// Runs the loop of one scope once, if it is ready.
    pub fn run_only(&self, scope: &ScopeName) {
        let mut ready = self.0.lock().unwrap();
        let at = ready.iter().position(|work| work.scope() == scope);
        let work = at.and_then(|at| ready.remove(at));
        drop(ready);
        if let Some(work) = work {
            work.run();
        }
    }

    /// Runs and commits until nothing is left to do.
    pub fn settle(&self, engine: &Engine) {
        loop {
            self.decide();
            if !engine.commit_turn() && self.0.lock().unwrap().is_empty() {
                return;
            }
        }
    }

    /// Forgets what is ready, as a crash does.
    pub fn forget(&self) {
        let gone = std::mem::take(&mut *self.0.lock().unwrap());
        drop(gone);
    }
}
