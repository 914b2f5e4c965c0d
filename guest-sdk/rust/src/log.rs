//! Lines for the author of the validator. They never influence a verdict; the store keeps at most
//! 32 lines of 1 KiB of each call. In a native test the harness collects them.

#[cfg(not(target_arch = "wasm32"))]
use std::cell::RefCell;

pub use crate::bindings::atomic_store::validator::log::Level;

/// Logs a line for finding errors.
///
/// ```
/// # use atomic_store_guest::log;
/// log::debug(format!("{} bids so far", 3));
/// ```
pub fn debug(message: impl AsRef<str>) {
    line(Level::Debug, message.as_ref());
}

/// Logs a line worth knowing.
pub fn info(message: impl AsRef<str>) {
    line(Level::Info, message.as_ref());
}

/// Logs a line worth looking into.
pub fn warn(message: impl AsRef<str>) {
    line(Level::Warn, message.as_ref());
}

/// Logs a line about something broken.
pub fn error(message: impl AsRef<str>) {
    line(Level::Error, message.as_ref());
}

#[cfg(target_arch = "wasm32")]
fn line(level: Level, message: &str) {
    crate::bindings::atomic_store::validator::log::line(level, message);
}

#[cfg(not(target_arch = "wasm32"))]
fn line(level: Level, message: &str) {
    LINES.with_borrow_mut(|lines| lines.push((level, message.to_owned())));
}

#[cfg(not(target_arch = "wasm32"))]
thread_local! {
    static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Takes the lines logged on this thread since the last time.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn take() -> Vec<(Level, String)> {
    LINES.take()
}
