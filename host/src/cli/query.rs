//! `query`: asks the state of a scope's validator.

use super::args::Global;
use super::connect::{Missing, connect};
use super::failure::Failure;
use super::json::{Shown, StateJson};
use super::output::Out;
use super::{exit, input};
use atomic_store_core::ScopeName;
use clap::Args;

/// Ask the state of a scope's validator
///
/// Which questions there are is up to the validator.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store query auction/1 highest
  atomic-store query door/front door
  atomic-store --json query auction/1 highest | jq .answer")]
pub(crate) struct Query {
    /// The scope
    #[arg(value_parser = input::scope)]
    scope: ScopeName,
    /// What the validator calls this question
    name: String,
    /// Its arguments: the bytes themselves, - for standard input, or @FILE
    #[arg(default_value = "")]
    args: String,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, args: Query, out: &mut Out) -> Result<(), Failure> {
    let bytes = input::bytes(&args.args)?;
    let connection = connect(global, Missing::Refuse).await?;
    let (head, answer) = connection.client.query(&args.scope, &args.name, bytes).await?;
    let answered = match answer {
        Ok(answer) => {
            let answer = Shown::guess(&answer);
            match out.json() {
                true => out.document(&StateJson { scope: &args.scope, head, answer }),
                false => out.line(answer.text()),
            }
        }
        Err(complaint) => Err(Failure::new(exit::REFUSED, complaint)),
    };
    answered.and(connection.close().await)
}
