//! A store in this process: the log on disk, the sandbox and the engine, put together.

use crate::clock::SystemClock;
use crate::engine::{Drive, Engine, LEAVING_MAX};
use crate::log::{FjallLog, OpenError, OpenReport, ReadError};
use crate::plugin::{CompileCounts, CompileOptions, CompilerProcess, RuntimeError, WasmLoader};
use crate::signing::Trust;
use atomic_store_core::Limits;
use std::sync::Arc;
use std::time::Duration;

pub use crate::log::OpenOptions as StoreOptions;

/// The folder for compiled code, in the data directory.
const CODE: &str = "code";

/// What is let into the sandbox, and how.
#[derive(Clone, Debug, Default)]
pub struct SandboxOptions {
    /// The program that compiles components, in a process of its own with capped memory and time.
    /// Without one this process does, and neither is capped.
    pub compiler: Option<CompilerProcess>,
    /// Whose components are let in.
    pub trust: Trust,
}

/// An open store. Dropping it without [`Store::close`] is what a crash would do: nothing
/// acknowledged is lost, and the next start folds more.
pub struct Store {
    engine: Engine,
    loader: Arc<WasmLoader>,
    report: OpenReport,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The data directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The sandbox.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The store's own scope, `$system`.
    #[error("$system cannot be read: {0}")]
    System(#[from] ReadError),
}

impl Store {
    /// Opens the store in a directory, or makes one.
    ///
    /// # Errors
    /// [`StoreError`] says what to do.
    pub fn open(options: StoreOptions) -> Result<Store, StoreError> {
        Store::open_with(options, SandboxOptions::default())
    }

    /// The same, with a say in what is let into the sandbox, and how.
    ///
    /// # Errors
    /// [`StoreError`] says what to do.
    pub fn open_with(options: StoreOptions, sandbox: SandboxOptions) -> Result<Store, StoreError> {
        let mut limits = options.limits.clone();
        let (log, report) = FjallLog::open(&options)?;
        // The engine holds more than its cap while cold scopes leave; the sandbox must have room for
        // all of them, or appends would be refused whenever scopes come and go.
        let places = limits.instances_max.saturating_add(LEAVING_MAX);
        let compiling =
            CompileOptions { cache: Some(options.path.join(CODE)), compiler: sandbox.compiler };
        let limits_of_sandbox = Limits { instances_max: places, ..limits.clone() };
        let loader = WasmLoader::with(limits_of_sandbox, compiling)?;
        let steady = loader.instances_max().saturating_sub(LEAVING_MAX).max(1);
        limits.instances_max = limits.instances_max.min(steady);
        let clock = Arc::new(SystemClock);
        let (log, loader) = (Arc::new(log), Arc::new(loader));
        let rules = Arc::clone(&loader);
        let engine = Engine::open(log, rules, clock, limits, Drive::for_this_machine())?;
        engine.keep_rejected_payloads(options.keep_rejected_payloads);
        engine.trust(sandbox.trust);
        if !options.reads_only
            && let Err(why) = engine.record_options()
        {
            // With a full disk, for example; what is there can be read all the same.
            tracing::warn!(%why, "other options than before, and $system does not say so");
        }
        Ok(Store { engine, loader, report })
    }

    /// The engine, which does the work.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What opening the directory found.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// How many components this process compiled, and how many it found compiled.
    #[must_use]
    pub fn compiled(&self) -> CompileCounts {
        self.loader.compiled()
    }

    /// Decides and commits what waits, saves the validators' states, and closes the log. False if
    /// the deadline came first; everything acknowledged is durable all the same.
    #[must_use]
    pub fn close(self, deadline: Duration) -> bool {
        self.engine.close(deadline)
    }
}
