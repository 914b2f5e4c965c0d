//! The command line: one file per subcommand, and what they share.

mod append;
mod append_joint;
mod args;
mod backtest;
mod bench;
mod bundle;
mod completions;
mod conflict;
mod conflicts;
mod connect;
mod exit;
mod failure;
mod import;
mod input;
mod json;
mod judge;
mod moment;
mod output;
mod query;
mod read;
mod rejection_json;
mod rejections;
mod run;
mod scope;
mod select;
mod serve;
mod status;
mod tail;
mod text;
mod transfer;
mod validator;
mod verify;
mod what_if;
mod work;

pub(crate) use run::main;
