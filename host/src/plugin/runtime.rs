//! One engine for all validators of a store: the same switches for each, a clock for the backstop,
//! and the count of live instances.
//!
//! Whatever could make two runs of a guest differ is off: threads, relaxed SIMD, the bits of a NaN.

use super::compile::{CompileOptions, Compiler};
use super::guest::{self, Guest};
use super::loader::RuntimeError;
use atomic_store_core::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;
use wasmtime::component::Linker;
use wasmtime::{Config, Engine};

/// Period of the wall-clock backstop. A call overstays its time by two periods at most.
const TICK_MS: u64 = 5;
/// Stack of the host's own frames below and above the guest's.
const HOST_STACK_BYTES: usize = 1024 * 1024;
/// Memory maps of one linear memory: its first contents, what was written, what was not, what it may grow
/// into.
const MAPS_PER_MEMORY: usize = 4;
/// Memory maps left to the rest of the process.
const MAPS_RESERVED: usize = 5_000;
/// What Linux grants a process unless told otherwise.
const MAPS_DEFAULT: usize = 65_530;

/// Bytes of stack that a thread needs to call validators. On less, deep recursion in a guest ends
/// the process and not just the call.
#[must_use]
pub const fn thread_stack_bytes(limits: &Limits) -> usize {
    limits.stack_bytes_max + HOST_STACK_BYTES
}

/// The engine and what goes with it.
pub(super) struct Runtime {
    pub(super) engine: Engine,
    pub(super) linker: Linker<Guest>,
    pub(super) compiler: Compiler,
    pub(super) limits: Arc<Limits>,
    /// Ticks after which a call is over time.
    pub(super) call_ticks: u64,
    /// Most instances alive at a time; one with several memories counts as several.
    pub(super) instances_max: usize,
    alive: AtomicUsize,
    /// Bytes of linear memory of all instances.
    pub(super) memory: Arc<AtomicUsize>,
    _ticker: Ticker,
}

impl Runtime {
    pub(super) fn new(
        limits: Arc<Limits>,
        compiling: CompileOptions,
    ) -> Result<Arc<Self>, RuntimeError> {
        let wasm = |error: wasmtime::Error| RuntimeError(format!("{error:#}"));
        let engine = engine(&limits).map_err(wasm)?;
        let mut linker = Linker::new(&engine);
        guest::link(&mut linker).map_err(wasm)?;
        let ticker = Ticker::start(&engine)?;
        Ok(Arc::new(Runtime {
            compiler: Compiler::new(&engine, &limits, compiling),
            linker,
            call_ticks: limits.call_ms_max.div_ceil(TICK_MS).saturating_add(1),
            instances_max: limits.instances_max.min(instances_by_maps()),
            alive: AtomicUsize::new(0),
            memory: Arc::default(),
            limits,
            engine,
            _ticker: ticker,
        }))
    }

    /// Bytes of linear memory of all instances that are alive.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Reserves the places of one instance, one for each of its memories; nothing if too few are
    /// free.
    pub(super) fn slot(self: &Arc<Self>, places: usize) -> Option<Slot> {
        let room = |alive: usize| Some(alive + places).filter(|all| *all <= self.instances_max);
        self.alive.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Slot { runtime: Arc::clone(self), places })
    }
}

/// The places of one live instance, given back when dropped.
pub(super) struct Slot {
    runtime: Arc<Runtime>,
    places: usize,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.runtime.alive.fetch_sub(self.places, Ordering::Relaxed);
    }
}

/// The engine, with the same settings wherever something is compiled or run.
pub(super) fn engine(limits: &Limits) -> wasmtime::Result<Engine> {
    Engine::new(&config(limits))
}

fn config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes_max)
        // The same answer on every machine, bit for bit.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        // A guest has 64 MiB at most; 64-bit addresses would only be more to go wrong.
        .wasm_memory64(false)
        // All that a 32-bit address can reach, so that guest code needs no bounds checks: a quarter
        // more appends per second. It is address space only, of which there is enough for as many
        // instances as the kernel has memory maps for.
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .guard_before_linear_memory(false);
    config
}

/// Instances that the kernel has memory maps for. Beyond them not only a guest's memory fails: so
/// may the host's allocator.
fn instances_by_maps() -> usize {
    let maps = std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(MAPS_DEFAULT);
    (maps.saturating_sub(MAPS_RESERVED) / MAPS_PER_MEMORY).max(1)
}

/// Moves the engine's epoch on. Ends with the runtime, at once.
struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: &Engine) -> Result<Self, RuntimeError> {
        let (stop, stopped) = mpsc::channel::<()>();
        let engine = engine.clone();
        let tick = Duration::from_millis(TICK_MS);
        let thread = std::thread::Builder::new()
            .name("validator-clock".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                    engine.increment_epoch();
                }
            })
            .map_err(|error| {
                RuntimeError(format!("no thread for the validators' clock: {error}"))
            })?;
        Ok(Ticker { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread does nothing that panics, and there is nobody to tell.
            let _ended = thread.join();
        }
    }
}
