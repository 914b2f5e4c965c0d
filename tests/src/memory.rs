//! A store in memory: everything but the disk and the sandbox is real, and both do as they are told.

use crate::{Caller, Hands, JumpingClock, Probe, SCRIPTED};
use atomic_store::engine::{Drive, Engine};
use atomic_store::log::MemoryLog;
use atomic_store_core::Limits;
use atomic_store_core::protocol::StoreId;
use std::sync::Arc;

/// The parts of a store in memory.
pub struct Memory {
    /// Its log.
    pub log: Arc<MemoryLog>,
    /// Its clock, which stands at one million.
    pub clock: Arc<JumpingClock>,
    /// Its loops, for an engine that runs by hand.
    pub hands: Arc<Hands>,
    /// Its validator.
    pub probe: Arc<Probe>,
    /// Its caps.
    pub limits: Limits,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let clock = Arc::<JumpingClock>::default();
        clock.set(1_000_000);
        Memory {
            log: Arc::new(MemoryLog::new(StoreId([1; 16]), limits.clone())),
            clock,
            hands: Arc::default(),
            probe: Arc::default(),
            limits,
        }
    }

    fn open(&self, drive: Drive) -> Engine {
        let (log, clock) = (Arc::clone(&self.log), Arc::clone(&self.clock));
        Engine::open(log, self.probe.loader(), clock, self.limits.clone(), drive).unwrap()
    }

    /// Opens it, to run by hand.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn by_hand(&self) -> Caller {
        let engine = self.open(Drive::Manual(Arc::clone(&self.hands) as _));
        Caller::by_hand(engine, &self.hands)
    }

    /// Opens it with threads of its own.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn with_threads(&self, threads: usize) -> Caller {
        Caller::new(self.open(Drive::Threads(threads)))
    }

    /// Opens an empty store, to run by hand, in which the scripted validator judges `s/*`.
    #[must_use]
    pub fn ruled(limits: Limits) -> (Memory, Caller) {
        let memory = Memory::new(limits);
        let caller = memory.by_hand();
        caller.rule("s/*", SCRIPTED);
        (memory, caller)
    }

    /// The process stops at once; what was synced is left, and what else the seed says. Calls
    /// that are open get no answer.
    pub fn crash(&mut self, seed: u64) {
        self.hands.forget();
        self.log = Arc::new(self.log.crash(seed));
        self.probe = Arc::default();
    }
}
