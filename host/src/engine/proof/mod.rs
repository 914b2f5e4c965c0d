//! History, asked again, on instances beside the scopes' loops and over all cores: whether each event
//! follows from its rule (`logic.rs`), and what other rules would have decided (`backtest.rs`). Nothing
//! here has a way to the committer.

mod asked;
mod backtest;
mod folded;
mod logic;
mod ruled;
mod scopes;

pub use backtest::{Against, Candidate};
