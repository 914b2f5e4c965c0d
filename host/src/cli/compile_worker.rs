//! `compile-worker`, which people do not type: a store has a component compiled in a process of its
//! own, so that one that takes too much memory or time ends that process and not the store.

use super::failure::Failure;
use atomic_store::plugin::{CompilerProcess, WorkerLimits, compile_worker};
use clap::Args;

/// The name of the command.
const NAME: &str = "compile-worker";
/// This very program, also if its file was replaced by a newer one meanwhile.
const THIS: &str = "/proc/self/exe";

/// Reads a component from standard input, writes its machine code to standard output
#[derive(Debug, Args)]
pub(crate) struct CompileWorker {
    memory_bytes: u64,
    cpu_seconds: u64,
    component_bytes: usize,
    code_bytes: usize,
}

/// How the program calls itself to compile.
pub(crate) fn this_program() -> CompilerProcess {
    CompilerProcess { program: THIS.into(), args: vec![NAME.into()] }
}

/// Runs the command.
pub(crate) fn run(args: &CompileWorker) -> Result<(), Failure> {
    let CompileWorker { memory_bytes, cpu_seconds, component_bytes, code_bytes } = *args;
    let limits = WorkerLimits { memory_bytes, cpu_seconds, component_bytes, code_bytes };
    compile_worker(&limits, &mut std::io::stdin().lock(), &mut std::io::stdout().lock())
        .map_err(|error| Failure::file("compiling", &error))
}
