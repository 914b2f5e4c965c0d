//! What all sessions of a server share.

use super::tail::Tails;
use crate::engine::Engine;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// Pages that are read from the disk at the same time.
const READS: usize = 16;
/// Other requests that wait for the disk at the same time.
const TASKS: usize = 16;
/// Verifications at the same time; each reads everything.
const VERIFICATIONS: usize = 2;
/// Replays that hold the keys they are about at the same time.
const REPLAYS: usize = 64;
/// Threads that fold the past of scopes at the same time.
const PASTS: usize = 4;
/// Histories that hold an instance at the same time.
const HISTORIES: usize = 64;
/// Components on trial at the same time, each compiled and in memory.
const TRIALS: usize = 4;
/// Components on their way in at the same time, each up to the cap in memory.
const UPLOADS: usize = 4;
/// Scopes on their way in at the same time.
const RESTORES: usize = 4;

/// What all sessions of a server share.
pub(crate) struct Hub {
    pub(crate) engine: Engine,
    /// True once the server is shutting down.
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) reads: Semaphore,
    pub(crate) tasks: Semaphore,
    pub(crate) verifications: Semaphore,
    pub(crate) pasts: Semaphore,
    pub(crate) histories: Arc<Semaphore>,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) restores: Arc<Semaphore>,
    pub(crate) trials: Arc<Semaphore>,
    pub(crate) replays: Arc<Semaphore>,
    /// What subscribers of the same scope share.
    pub(crate) tails: Tails,
}

impl Hub {
    pub(crate) fn new(engine: Engine) -> Arc<Hub> {
        Arc::new(Hub {
            engine,
            stopping: watch::Sender::new(false),
            reads: Semaphore::new(READS),
            tasks: Semaphore::new(TASKS),
            verifications: Semaphore::new(VERIFICATIONS),
            pasts: Semaphore::new(PASTS),
            histories: Arc::new(Semaphore::new(HISTORIES)),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            restores: Arc::new(Semaphore::new(RESTORES)),
            trials: Arc::new(Semaphore::new(TRIALS)),
            replays: Arc::new(Semaphore::new(REPLAYS)),
            tails: Tails::default(),
        })
    }
}

/// Runs what may block, away from the threads that serve sockets. Nothing if it panicked.
pub(crate) async fn blocking<T: Send + 'static>(
    limit: &Semaphore,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    // The semaphores of a hub are never closed.
    let _permit = limit.acquire().await.ok()?;
    tokio::task::spawn_blocking(work).await.ok()
}
