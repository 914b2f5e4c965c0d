//! Validators as WebAssembly components. Nothing outside this folder names wasmtime.
//!
//! A guest is assumed hostile: it may run for ever, eat memory, recurse, lie about lengths, answer
//! nonsense. Each costs the call in which it happens, and the instance; never the process, never
//! another scope.

mod admission;
mod bindings;
mod code_cache;
mod compile;
mod componentize;
mod convert;
mod first_pages;
mod footprint;
mod guest;
mod instance;
mod limits;
mod loader;
mod log_lines;
mod packed;
mod runtime;
mod wasi;
mod wasi_streams;
mod worker;

pub use compile::{CompileCounts, CompileOptions};
pub use loader::{RuntimeError, WasmLoader};
pub use runtime::thread_stack_bytes;
pub use worker::{CompilerProcess, WorkerLimits, compile_worker};
