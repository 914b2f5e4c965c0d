//! The public face: bytes in, rules out.

use super::admission;
use super::compile::{CompileCounts, CompileOptions};
use super::guest::Guest;
use super::instance::WasmValidator;
use super::runtime::Runtime;
use crate::self_test;
use crate::validator::{AdmitError, Loader, Rules, Start, StartError, Trial, Validator};
use atomic_store_core::{Check, Description, Digest, Grants, Limits};
use std::sync::Arc;
use wasmtime::component::{ComponentExportIndex, InstancePre};

/// The sandbox could not be set up on this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the WebAssembly sandbox cannot start: {0}")]
pub struct RuntimeError(pub(super) String);

/// Loads components. One per store; all its validators share one engine.
pub struct WasmLoader {
    runtime: Arc<Runtime>,
}

impl WasmLoader {
    /// Sets the engine up and starts its clock.
    ///
    /// # Errors
    /// [`RuntimeError`] if the machine does not let it.
    pub fn new(limits: Limits) -> Result<Self, RuntimeError> {
        WasmLoader::with(limits, CompileOptions::default())
    }

    /// The same, with a say in where compiling is done.
    ///
    /// # Errors
    /// [`RuntimeError`] if the machine does not let it.
    pub fn with(limits: Limits, compiling: CompileOptions) -> Result<Self, RuntimeError> {
        Ok(WasmLoader { runtime: Runtime::new(Arc::new(limits), compiling)? })
    }

    /// How many components were compiled since the start, and how many need not be.
    #[must_use]
    pub fn compiled(&self) -> CompileCounts {
        self.runtime.compiler.counts()
    }

    /// Instances that may be alive at a time: the limit, or what the kernel has memory maps for.
    #[must_use]
    pub fn instances_max(&self) -> usize {
        self.runtime.instances_max
    }
}

impl Loader for WasmLoader {
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Rules>, AdmitError> {
        self.load_granted(bytes, &Grants::default())
    }

    fn load_granted(&self, bytes: &[u8], grants: &Grants) -> Result<Arc<dyn Rules>, AdmitError> {
        Ok(Arc::new(WasmRules { program: admission::admit(&self.runtime, bytes, grants)? }))
    }

    fn try_out(&self, rules: &dyn Rules, trial: &Trial) -> Vec<Check> {
        self_test::run(rules, trial, &self.runtime.limits)
    }

    fn memory_bytes(&self) -> usize {
        self.runtime.memory_bytes()
    }
}

/// Where a component keeps the contract's functions.
pub(super) struct Exports {
    pub(super) describe: ComponentExportIndex,
    pub(super) init: ComponentExportIndex,
    pub(super) restore: ComponentExportIndex,
    pub(super) apply: ComponentExportIndex,
    pub(super) validate: ComponentExportIndex,
    pub(super) snapshot: ComponentExportIndex,
    pub(super) query: ComponentExportIndex,
    /// Only if it has the faster calls, too.
    pub(super) packed: Option<PackedExports>,
    /// Only if it knows older events.
    pub(super) upcast: Option<ComponentExportIndex>,
}

/// Where a component keeps the faster calls.
pub(super) struct PackedExports {
    pub(super) apply: ComponentExportIndex,
    pub(super) admit: ComponentExportIndex,
}

/// An admitted component.
pub(super) struct Program {
    pub(super) digest: Digest,
    pub(super) description: Description,
    pub(super) pre: InstancePre<Guest>,
    pub(super) exports: Exports,
    pub(super) grants: Grants,
    /// Places of an instance among those that may be alive.
    pub(super) places: usize,
    /// What a memory of an instance counts for at its start.
    pub(super) started_bytes: usize,
    pub(super) runtime: Arc<Runtime>,
}

struct WasmRules {
    program: Program,
}

impl Rules for WasmRules {
    fn digest(&self) -> Digest {
        self.program.digest
    }

    fn description(&self) -> &Description {
        &self.program.description
    }

    fn upcasts(&self) -> bool {
        self.program.exports.upcast.is_some()
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Validator>, StartError> {
        Ok(Box::new(WasmValidator::start(&self.program, &start)?))
    }
}
