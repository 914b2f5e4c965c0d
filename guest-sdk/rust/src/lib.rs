//! Write validators for Atomic Store in Rust.
//!
//! A validator holds the rules of a log: the store asks it about every event that somebody wants
//! to append, and stores the event only if the validator accepts. This crate turns one type that
//! implements [`Validator`] into the WebAssembly component that the store loads, and lets you test
//! it natively with [`testing::Harness`].
//!
//! ```
//! use atomic_store_guest::*;
//! use serde::{Deserialize, Serialize};
//!
//! /// Seats of a flight: each is taken once.
//! struct Flight;
//!
//! #[derive(Clone, Default, Serialize, Deserialize)]
//! struct Seats {
//!     taken: std::collections::BTreeMap<String, u64>,
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Reservation {
//!     seat: String,
//! }
//!
//! impl Validator for Flight {
//!     const NAME: &'static str = "flight";
//!     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
//!     type State = Seats;
//!     type Config = ();
//!
//!     fn init(_scope: &str, _config: ()) -> Result<Seats, String> {
//!         Ok(Seats::default())
//!     }
//!
//!     fn apply(seats: &mut Seats, event: &Event) {
//!         if let Ok(Reservation { seat }) = event.json() {
//!             seats.taken.insert(seat, event.seq);
//!         }
//!     }
//!
//!     fn validate(seats: &Seats, proposal: &Proposal) -> Verdict {
//!         match proposal.kind.as_str() {
//!             "reserve" => {
//!                 let Reservation { seat } = proposal.json()?;
//!                 if let Some(by) = seats.taken.get(&seat) {
//!                     return Err(reject("taken", format!("seat {seat} is taken")).seqs([*by]));
//!                 }
//!                 Ok(accept())
//!             }
//!             _ => Err(proposal.unknown_kind()),
//!         }
//!     }
//! }
//!
//! atomic_store_guest::export!(Flight);
//!
//! // The rules as a test: no WebAssembly, no store.
//! let mut flight = testing::Harness::<Flight>::new();
//! flight.propose("reserve", testing::json!({"seat": "4A"})).accepted();
//! flight.propose("reserve", testing::json!({"seat": "4A"})).rejected("taken");
//! ```
//!
//! Build it with `cargo build --release --target wasm32-unknown-unknown`, in a crate with
//! `crate-type = ["cdylib"]`, and give the `.wasm` file to `atomic-store validator load`.

#[doc(hidden)]
pub mod bindings;
mod export;
pub mod history;
mod instance;
pub mod log;
mod memory;
mod packed;
mod payload;
mod snapshot;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod validator;
mod verdict;

pub use bindings::atomic_store::validator::types::{
    Acceptance, Description, Event, Key, KindInfo, NewEvent, Output, Pair, Proposal, Reason,
    Refusal,
};
pub use payload::{EncodeError, Malformed, to_json};
pub use validator::Validator;
pub use verdict::{Rejection, Verdict, accept, accept_instead, reject};

/// For [`export!`] only.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::upcasts::{
        self, export_upcasting,
        exports::atomic_store::validator::upcasting::Guest as GuestUpcasting,
    };
    pub use crate::bindings::{
        self, export_component,
        exports::atomic_store::validator::{packed::Guest as GuestPacked, rules::Guest},
    };
    pub use crate::export::{Slot, upcast};
}
