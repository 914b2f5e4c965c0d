//! What the end-to-end tests share: a seeded source of choices, a scripted validator, a place where
//! answers arrive, and a clock that jumps.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod clock;
mod inbox;
mod process;
mod rng;
mod scripted;

pub use clock::JumpingClock;
pub use inbox::{Got, Inbox};
pub use process::{Server, guest, program};
pub use rng::Rng;
pub use scripted::{Op, SCRIPTED, ScriptedLoader, State as ScriptedState};
