//! `export` and `restore`: whole scopes out of a store and into one, with their chains.

mod export;
mod lines;
mod rename;
mod restore;

pub(crate) use export::{Export, run as run_export};
pub(crate) use restore::{RestoreArgs, run as run_restore};
