//! Test rules natively: plain `cargo test`, no WebAssembly, no store.
//!
//! ```
//! # use atomic_store_guest::*;
//! # struct Turns;
//! # impl Validator for Turns {
//! #     const NAME: &'static str = "turns";
//! #     const VERSION: &'static str = "1.0.0";
//! #     type State = String;
//! #     type Config = ();
//! #     fn init(_: &str, _: ()) -> Result<String, String> { Ok(String::new()) }
//! #     fn apply(last: &mut String, event: &Event) { *last = event.json().unwrap_or_default(); }
//! #     fn validate(last: &String, proposal: &Proposal) -> Verdict {
//! #         let player: String = proposal.json()?;
//! #         if player == *last { return Err(reject("not-your-turn", "it is the other's turn")); }
//! #         Ok(accept().reason(format!("{player} moved")))
//! #     }
//! # }
//! use atomic_store_guest::testing::{Harness, event, proposal};
//!
//! let mut turns = Harness::<Turns>::new();
//! turns.given([event("move", "black")]);
//! turns.propose("move", "black").rejected("not-your-turn");
//! turns.propose("move", "white").accepted_because("white moved");
//! turns.propose_all([proposal("move", br#""black""#), proposal("move", br#""black""#)])
//!     .rejected_at(1, "not-your-turn");
//! assert_eq!(turns.state(), "white");
//! ```

mod answer;
mod checks;
mod harness;

pub use answer::Answer;
pub use harness::Harness;
pub use serde_json::json;

use crate::{NewEvent, Proposal};
use serde::Serialize;

/// An event with a JSON payload, for [`Harness::given`].
///
/// # Panics
/// If JSON cannot express the payload.
#[must_use]
pub fn event(kind: &str, payload: impl Serialize) -> NewEvent {
    NewEvent::json(kind, &payload).expect("the payload can be JSON")
}

/// A proposal whose payload is any bytes, which may be malformed. The media type is JSON's; all
/// fields are public.
#[must_use]
pub fn proposal(kind: &str, payload: impl AsRef<[u8]>) -> Proposal {
    Proposal {
        kind: kind.to_owned(),
        content_type: "application/json".to_owned(),
        payload: payload.as_ref().to_vec(),
        keys: Vec::new(),
        metadata: Vec::new(),
        caller_ms: None,
        host_ms: 0,
    }
}
