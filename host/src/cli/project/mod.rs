//! Projects of validators, one folder each: `validator new | build | dev`.

mod build;
mod dev;
mod files;
mod language;
mod marker;
mod new;
mod tools;
mod verdicts;
mod watch;

pub(crate) use build::{Build, run as run_build};
pub(crate) use dev::{Dev, run as run_dev};
pub(crate) use new::{New, run as run_new};
