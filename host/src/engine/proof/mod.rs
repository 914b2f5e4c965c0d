//! History, asked again, on instances beside the scopes' loops and over all cores: whether each event
//! follows from its rule (`logic.rs`), and what other rules would have decided (`backtest.rs`). `bundle.rs`
//! puts one verdict into a file and `replay.rs` asks it again without a store. Nothing here has a way to the committer.

mod appends;
mod asked;
mod backtest;
mod bundle;
mod folded;
mod logic;
mod replay;
mod ruled;
mod scopes;

pub use backtest::{Against, Candidate};
pub use replay::replay;
