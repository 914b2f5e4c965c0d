//! Atomic Store: logs in which one event is admitted at a time, contingent on the events before it.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

pub mod clock;
pub mod engine;
pub mod exchange;
pub mod log;
pub mod plugin;
pub mod replay;
pub mod self_test;
pub mod server;
pub mod signing;
pub mod store;
pub mod validator;
