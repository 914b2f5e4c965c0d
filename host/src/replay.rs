//! Replays a bundle without a store, and listens to what the guest says meanwhile.

use crate::engine::replay;
use crate::plugin::{RuntimeError, WasmLoader, thread_stack_bytes};
use crate::validator::AdmitError;
use atomic_store_core::Limits;
use atomic_store_core::bundle::{Bundle, Replayed};
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A bundle may ask for so many times the usual caps of a call: stores may be set up otherwise, but a
/// foreign file must not take the machine.
const TIMES_USUAL: u64 = 16;
/// Lines kept of one replay.
const LINES_MAX: usize = 10_000;

/// Why a bundle could not be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The sandbox.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The component.
    #[error("the bundle's component is not admitted: {0}")]
    Admit(#[from] AdmitError),
    /// The thread it runs on.
    #[error("the replay could not run: {0}")]
    Thread(String),
}

/// Replays a bundle. Gives the outcome, and the lines of the guest's log, those of its last functions
/// before a trap included.
///
/// # Errors
/// [`ReplayError`]: it could not be asked at all.
pub fn replay_bundle(bundle: &Bundle) -> Result<(Replayed, Vec<String>), ReplayError> {
    let limits = capped(&bundle.limits);
    let stack = thread_stack_bytes(&limits) * 2;
    let listener = Listener::default();
    let lines = Arc::clone(&listener.0);
    let run = || {
        let loader = WasmLoader::new(limits)?;
        tracing::subscriber::with_default(listener, || Ok(replay(bundle, &loader)?))
    };
    let failed = |why: String| ReplayError::Thread(why);
    let replayed = std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("replay".to_owned()).stack_size(stack);
        let thread = builder.spawn_scoped(scope, run).map_err(|error| failed(error.to_string()))?;
        thread.join().unwrap_or_else(|_| Err(failed("it panicked".to_owned())))
    })?;
    let lines = std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((replayed, lines))
}

/// The caps of the bundle, as far as they are not beyond reason.
fn capped(of: &Limits) -> Limits {
    let usual = Limits::default();
    let size = |asked: usize, usual: usize| {
        asked.min(usual.saturating_mul(usize::try_from(TIMES_USUAL).unwrap_or(usize::MAX)))
    };
    let number = |asked: u64, usual: u64| asked.min(usual.saturating_mul(TIMES_USUAL));
    Limits {
        component_bytes_max: size(of.component_bytes_max, usual.component_bytes_max),
        call_fuel_max: number(of.call_fuel_max, usual.call_fuel_max),
        call_ms_max: number(of.call_ms_max, usual.call_ms_max),
        memory_bytes_max: size(of.memory_bytes_max, usual.memory_bytes_max),
        table_elements_max: size(of.table_elements_max, usual.table_elements_max),
        stack_bytes_max: size(of.stack_bytes_max, usual.stack_bytes_max),
        hostcall_bytes_max: size(of.hostcall_bytes_max, usual.hostcall_bytes_max),
        log_lines_max: size(of.log_lines_max, usual.log_lines_max),
        log_line_bytes_max: size(of.log_line_bytes_max, usual.log_line_bytes_max),
        ..of.clone()
    }
}

/// Keeps what is logged for guests on this thread.
#[derive(Default)]
struct Listener(Arc<Mutex<Vec<String>>>);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "guest"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < LINES_MAX {
            let level = event.metadata().level().as_str().to_lowercase();
            lines.push(format!("{level} {}: {}", line.call, line.message));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What is of use in one line.
#[derive(Default)]
struct Line {
    call: String,
    message: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "call" {
            value.clone_into(&mut self.call);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing to a string does not fail.
            let _infallible = write!(self.message, "{value:?}");
        }
    }
}
