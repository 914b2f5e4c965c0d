//! The `atomic-store` program: reads the command line, runs one command, ends with its exit code.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod cli;

/// What one thread allocates another one frees, for every append: the C library's allocator locks for that.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
