//! `completions`: scripts that let a shell complete commands and options.

use super::args::Cli;
use super::failure::Failure;
use super::output::Out;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store completions bash > ~/.local/share/bash-completion/completions/atomic-store
  atomic-store completions zsh > ~/.zfunc/_atomic-store
  atomic-store completions fish > ~/.config/fish/completions/atomic-store.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Runs the command.
pub(crate) fn run(args: &Completions, out: &mut Out) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "atomic-store", &mut script);
    out.put(&String::from_utf8_lossy(&script))
}
