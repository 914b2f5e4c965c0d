//! `bench`
use super::args::Global;
use super::failure::Failure;
use super::output::Out;
use clap::Args;
/// Bench
#[derive(Debug, Args)]
pub(crate) struct Bench {}
/// C
#[derive(Debug, Args)]
pub(crate) struct BenchClient {}
pub(crate) fn run(_g: &Global, _a: &Bench, _o: &mut Out) -> Result<(), Failure> {
    Ok(())
}
pub(crate) fn run_client(_a: BenchClient, _o: &mut Out) -> Result<(), Failure> {
    Ok(())
}
