//! Async client of Atomic Store.
//!
//! A [`Client`] is a handle on one connection that many tasks share: it is cheap to clone, and all
//! calls of all clones travel over the same socket without waiting for each other. It reconnects by
//! itself, asks again under the same id for every append whose answer was lost, and goes on
//! with every [`EventStream`] exactly where it stopped.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use atomic_store_client::{Client, Options};
//! use atomic_store_core::{Proposal, ScopeName, Seq};
//!
//! let client = Client::connect("data/run/atomic-store.sock".parse()?, Options::default()).await?;
//! let scope = ScopeName::new("auction/1")?;
//! let answer = client.append_one(&scope, Proposal::json("bid", r#"{"amount": 12}"#)).await?;
//! println!("{}", answer.outcome.word());
//! let mut events = client.subscribe(&scope, Seq::ZERO);
//! while let Some(event) = events.next().await {
//!     println!("{}", event?.kind);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Cancel safety
//!
//! Every future of this crate may be dropped at any time without harm to other calls. Dropping
//! the future of an append leaves its fate open: it may have been sent, and be stored; append again
//! with the same id and `repeated = true` to learn which. The `next` of
//! every stream loses nothing when dropped: the next call gives the same event. Dropping a
//! stream ends it on the server too. The connection closes when the last clone and the last stream
//! are gone.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

mod address;
mod append;
mod call;
mod client;
mod connection;
mod error;
mod feed;
mod ids;
mod judged;
mod options;
mod page;
mod past;
mod proof;
mod rejections;
mod retry;
mod scopes;
mod selection;
mod shared;
mod slots;
mod stream;
mod upgrade;
mod upload;
mod wire;

pub use address::{Address, AddressError};
pub use client::{Client, Loaded};
pub use error::ClientError;
pub use judged::JudgedScope;
pub use options::Options;
pub use past::{StateAt, StateStream};
pub use proof::{Against, Candidate};
pub use rejections::{Journaled, RejectionStream};
pub use retry::{Attempt, Decided, Pace, Retry, RetryError};
pub use scopes::Restore;
pub use selection::Selection;
pub use stream::{EventStream, Found, OrderStream, SelectionStream};
