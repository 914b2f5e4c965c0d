//! The native API: sockets, sessions, and the framed protocol of `atomic_store_core::protocol`.
//!
//! Invariants: whoever connects over the Unix socket is this user or root, and is known before a byte
//! is read. One session's queue is bounded, and nothing that a client does or fails to do holds up
//! the engine or another session. Every call with one answer that was taken gets it, also during a
//! shutdown; reads and subscriptions are cut off there, to be resumed.

mod feed;
mod hub;
mod listener;
mod out;
mod page;
mod past;
mod proofs;
mod questions;
mod rejections;
mod requests;
mod restores;
mod serve;
mod session;
mod skim;
mod skim_batches;
mod skim_reads;
mod socket_file;
mod tail;
mod uploads;
mod wire;

pub use listener::ServeError;
pub use serve::{Server, ServerOptions, attach, default_socket, serve};
