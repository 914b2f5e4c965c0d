//! The same rules in every guest language: a table of cases, and what plays it through the store's own
//! sandbox.

mod play;
mod render;
mod table;

pub use play::Played;
pub use table::{Case, Step, Table, Told};
