//! Threads that end with the engine: originators that do not answer, candidates on trial, proofs of
//! snapshots. They hold nothing that must be put in order.

use super::handle::{Engine, Runtime};
use super::scrub;
use super::shadow::Turned;
use super::shared::Shared;
use super::system::SystemLog;
use crate::validator::Loader;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// Starts them.
pub(super) fn start(engine: &Engine, stack_bytes: usize) -> std::io::Result<Vec<JoinHandle<()>>> {
    let named = |name: &str| Builder::new().name(name.to_owned()).stack_size(stack_bytes);
    let shared = Arc::clone(&engine.shared);
    let originators = named("originators").spawn(move || shared.questions.watch(&shared))?;
    let shared = Arc::clone(&engine.shared);
    let candidates = named("candidates").spawn(move || shared.shadow.run(&shared))?;
    let mut started = vec![originators, candidates];
    let rest = Duration::from_millis(engine.shared.limits.scrub_ms);
    if rest > Duration::ZERO {
        let frail = Frail::of(engine);
        started.push(named("scrub").spawn(move || scrub::run(&frail, rest))?);
    }
    Ok(started)
}

impl Engine {
    /// Lets a candidate judge one of the appends that wait for it; false if there is nothing to judge,
    /// or not yet. Only with [`super::Drive::Manual`].
    pub fn trial_turn(&self) -> bool {
        self.shared.shadow.turn(&self.shared) == Turned::Done
    }

    /// Lets candidates judge what waits for them, for a while, and keeps what they said in the log.
    pub(super) fn finish_trials(&self, end: Instant) {
        let kept = self.shared.shadow.finish(&self.shared, end);
        self.pump();
        for outcome in kept {
            let left = end.saturating_duration_since(Instant::now());
            if let Ok(Err(why)) = outcome.recv_timeout(left) {
                tracing::warn!(why, "what a candidate said was not kept");
            }
        }
    }
}

/// An engine that does not keep itself alive.
pub(super) struct Frail {
    bell: Arc<Bell>,
    shared: Arc<Shared>,
    loader: Arc<dyn Loader>,
    system: Arc<SystemLog>,
    runtime: Weak<Runtime>,
}

impl Frail {
    fn of(engine: &Engine) -> Frail {
        let (shared, loader) = (Arc::clone(&engine.shared), Arc::clone(&engine.loader));
        let (system, runtime) = (Arc::clone(&engine.system), Arc::downgrade(&engine.runtime));
        Frail { bell: Arc::clone(&engine.runtime.bell), shared, loader, system, runtime }
    }

    /// Waits; false if the store stops.
    pub(super) fn rest(&self, time: Duration) -> bool {
        self.bell.rest(time)
    }

    /// The engine, if it is still there.
    pub(super) fn get(&self) -> Option<Engine> {
        let runtime = self.runtime.upgrade()?;
        let (shared, loader) = (Arc::clone(&self.shared), Arc::clone(&self.loader));
        Some(Engine { shared, loader, system: Arc::clone(&self.system), runtime })
    }
}

/// Rests that end early once the store stops.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    wake: Condvar,
}

impl Bell {
    /// False if it was rung.
    fn rest(&self, time: Duration) -> bool {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let rung = self.wake.wait_timeout_while(rung, time, |rung| !*rung);
        !*rung.unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }
}
