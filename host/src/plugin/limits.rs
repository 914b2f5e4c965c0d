//! What one instance may use, and how a broken limit becomes a fault.
//!
//! Fuel is the budget that counts: it depends on nothing but the input, so the same call breaks it
//! at the same point on every machine. The wall clock is a backstop and the only fault that may
//! differ between two runs.

use super::footprint::HEAP_BYTES;
use super::log_lines::cut;
use atomic_store_core::{Fault, FaultKind, Limits, ScopeName};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasmtime::{ResourceLimiter, Trap, WasmBacktrace};

/// Core instances inside one component. Python components have about 26.
const CORE_INSTANCES_MAX: usize = 64;
/// Tables inside one component; Python needs fewer than 40.
const TABLES_MAX: usize = 64;
/// Linear memories inside one component. Toolchains make one, an adapter may bring another.
const MEMORIES_MAX: usize = 8;
/// Bytes of a fault's detail. It is stored and shown, and parts of it are the guest's own names.
const DETAIL_BYTES_MAX: usize = 1_024;
/// Frames of the guest's stack that a fault names.
const FRAMES_MAX: usize = 6;
/// Frames that go to the host's log.
const TRACE_MAX: usize = 64;

/// Counts memory and tables of one instance. Growth beyond the cap fails inside the guest, which
/// may live with that; the refusal is remembered to name the cause if it does not.
#[derive(Debug)]
pub(super) struct Meter {
    memory_bytes_max: usize,
    table_elements_max: usize,
    memory_bytes: usize,
    /// What a memory counts for at its start; see footprint.rs.
    started_bytes: usize,
    /// What its memories may still grow by without counting; see footprint.rs.
    heap_bytes: usize,
    /// What this instance counts for.
    counted: usize,
    /// What all instances count for.
    all: Arc<AtomicUsize>,
    memories: usize,
    denied: Option<String>,
}

impl Meter {
    pub(super) fn new(limits: &Limits, started_bytes: usize, all: Arc<AtomicUsize>) -> Self {
        Meter {
            memory_bytes_max: limits.memory_bytes_max,
            table_elements_max: limits.table_elements_max,
            memory_bytes: 0,
            started_bytes,
            heap_bytes: HEAP_BYTES,
            counted: 0,
            all,
            memories: 0,
            denied: None,
        }
    }

    /// Forgets a refused growth that the guest lived with.
    pub(super) fn begin_call(&mut self) {
        self.denied = None;
    }

    /// Linear memories of the instance; never fewer than there are.
    pub(super) fn memories(&self) -> usize {
        self.memories
    }

    /// What was refused since the call began.
    pub(super) fn denied(&self) -> Option<&str> {
        self.denied.as_deref()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.all.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_sub(current).saturating_add(desired);
        if total > self.memory_bytes_max {
            let max = self.memory_bytes_max;
            self.denied = Some(format!("{total} bytes of memory, at most {max} are allowed"));
            return Ok(false);
        }
        // A memory only grows, so this is what it grows by.
        let grown = total.saturating_sub(self.memory_bytes);
        let counts = if current == 0 {
            grown.min(self.started_bytes)
        } else {
            let heap = grown.min(self.heap_bytes);
            self.heap_bytes -= heap;
            grown - heap
        };
        self.counted += counts;
        self.all.fetch_add(counts, Ordering::Relaxed);
        self.memory_bytes = total;
        self.memories += usize::from(current == 0);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // Counted but not granted: the count errs to the safe side.
        self.denied = Some(format!("more memory than there is: {error:#}"));
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.table_elements_max {
            let max = self.table_elements_max;
            self.denied = Some(format!("{desired} table elements, at most {max} are allowed"));
            return Ok(false);
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

/// What a host function refuses, or fails at.
#[derive(Debug, thiserror::Error)]
pub(super) enum HostError {
    /// The guest calls too often, or hands over too much.
    #[error("{0}")]
    Misuse(String),
    /// The log could not be read; not the guest's fault, but it cannot go on.
    #[error("the scope's history could not be read: {0}")]
    History(String),
    /// An instance could not be made: too many parts, or the machine has no memory left.
    #[error("{0}")]
    Resources(String),
}

impl HostError {
    /// What keeps an instance from being made, if it is not its own code that fails.
    pub(super) fn resources(error: wasmtime::Error) -> wasmtime::Error {
        if error.is::<Trap>() || error.is::<HostError>() {
            return error;
        }
        HostError::Resources(format!("{error:#}")).into()
    }
}

/// Names what went wrong in a call.
///
/// A trap after a refused growth is reported as out of memory: that is how an allocator of a guest
/// fails, and its author must learn about the memory, not about the `unreachable` behind it.
pub(super) fn fault(error: &wasmtime::Error, denied: Option<&str>, limits: &Limits) -> Fault {
    let frames = error.downcast_ref::<WasmBacktrace>();
    let (kind, text) = match (error.downcast_ref::<Trap>(), error.downcast_ref::<HostError>()) {
        (Some(Trap::OutOfFuel), _) => {
            (FaultKind::OutOfFuel, format!("more than {} units of fuel", limits.call_fuel_max))
        }
        (Some(Trap::Interrupt), _) => {
            (FaultKind::Timeout, format!("no answer within {} ms", limits.call_ms_max))
        }
        (Some(trap), _) => match denied {
            Some(denied) => (FaultKind::OutOfMemory, format!("{denied}; then {trap}")),
            None => (FaultKind::Trap, trap.to_string()),
        },
        (None, Some(HostError::Misuse(why))) => (FaultKind::BadOutput, why.clone()),
        (None, Some(HostError::Resources(why))) => {
            (FaultKind::OutOfMemory, denied.unwrap_or(why).to_owned())
        }
        (None, Some(error @ HostError::History(_))) => (FaultKind::Trap, error.to_string()),
        // Not a trap and not ours: wasmtime met an answer, or an address for an argument, that
        // the canonical ABI does not allow.
        (None, None) => match denied {
            Some(denied) => (FaultKind::OutOfMemory, denied.to_owned()),
            None => (FaultKind::BadOutput, error.root_cause().to_string()),
        },
    };
    Fault { kind, detail: detail(text, frames) }
}

/// Tells the host's log where the guest was, frame by frame, for whoever listens to it that closely.
/// Names are the guest's own, so control characters in them are escaped.
pub(super) fn trace(error: &wasmtime::Error, scope: &ScopeName, call: &'static str) {
    let frames = error.downcast_ref::<WasmBacktrace>();
    for frame in frames.into_iter().flat_map(WasmBacktrace::frames).take(TRACE_MAX) {
        let name = frame.func_name().unwrap_or("a function without a name").escape_debug();
        let (function, offset) = (frame.func_index(), frame.func_offset().unwrap_or_default());
        tracing::debug!(target: "guest", %scope, call, "at {name} (function {function}, +{offset:#x})");
    }
}

/// A fault for an answer that breaks the contract.
pub(super) fn bad_output(why: impl Into<String>) -> Fault {
    Fault { kind: FaultKind::BadOutput, detail: detail(why.into(), None) }
}

/// Adds the innermost functions of the guest, and caps the whole.
fn detail(mut text: String, frames: Option<&WasmBacktrace>) -> String {
    let names: Vec<&str> = frames
        .map(|frames| frames.frames().iter().filter_map(|f| f.func_name()).take(FRAMES_MAX))
        .into_iter()
        .flatten()
        .collect();
    if !names.is_empty() {
        // Writing to a string does not fail.
        let _infallible = write!(text, " (in {})", names.join(" < "));
    }
    cut(&text, DETAIL_BYTES_MAX).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 * 1024;

    #[test]
    fn an_instance_counts_by_what_it_starts_with_and_what_it_grows_by_after_its_first_heap() {
        let all = Arc::new(AtomicUsize::new(0));
        let counted = || all.load(Ordering::Relaxed);
        let mut meter = Meter::new(&Limits::default(), 40_000, Arc::clone(&all));
        meter.memory_growing(0, 17 * PAGE, None).unwrap();
        assert_eq!(counted(), 40_000);
        meter.memory_growing(17 * PAGE, 18 * PAGE, None).unwrap();
        assert_eq!(counted(), 40_000, "the first heap");
        meter.memory_growing(18 * PAGE, 21 * PAGE, None).unwrap();
        assert_eq!(counted(), 40_000 + 3 * PAGE);
        drop(meter);
        assert_eq!(counted(), 0);
    }
}
