//! The public face: bytes in, rules out.

use super::admission;
use super::guest::Guest;
use super::instance::WasmValidator;
use super::runtime::Runtime;
use crate::validator::{AdmitError, Loader, Rules, Start, StartError, Validator};
use atomic_store_core::{Description, Digest, Limits};
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
        Ok(WasmLoader { runtime: Runtime::new(Arc::new(limits))? })
    }

    /// Instances that may be alive at a time: the limit, or what the kernel has memory maps for.
    #[must_use]
    pub fn instances_max(&self) -> usize {
        self.runtime.instances_max
    }
}

impl Loader for WasmLoader {
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Rules>, AdmitError> {
        Ok(Arc::new(WasmRules { program: admission::admit(&self.runtime, bytes)? }))
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
    /// Places of an instance among those that may be alive.
    pub(super) places: usize,
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

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Validator>, StartError> {
        Ok(Box::new(WasmValidator::start(&self.program, &start)?))
    }
}
