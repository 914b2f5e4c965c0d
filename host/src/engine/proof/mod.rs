//! History, asked again: whether each event follows from its rule ([`logic`]), on instances beside the
//! scopes' loops and over all cores. Nothing here has a way to the committer.

mod asked;
mod folded;
mod logic;
mod ruled;
mod scopes;
