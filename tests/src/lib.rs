//! What the end-to-end tests share: a seeded source of choices, validators that do as they are told
//! (one in Rust, one in wasm), callers, stores on disk, and a clock that jumps.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod caller;
mod clock;
mod disk;
mod entity;
mod guests;
mod hands;
mod inbox;
mod kills;
mod memory;
mod probe;
mod process;
mod rng;
mod scripted;
mod versions;
mod wat_rules;

pub use caller::{Caller, append_to, scope};
pub use clock::JumpingClock;
pub use disk::Disk;
pub use entity::{ENTITY, EntityLoader, EntityState, OTHER_ENTITY, entity_fold};
pub use guests::{Case, Played, Step, Table, Told};
pub use hands::Hands;
pub use inbox::{Got, Inbox};
pub use kills::Kills;
pub use memory::Memory;
pub use probe::Probe;
pub use process::{Server, guest, program};
pub use rng::Rng;
pub use scripted::{Op, SCRIPTED, ScriptedLoader, State as ScriptedState};
pub use versions::{Versions, VersionsLoader, VersionsStore};
pub use wat_rules::wat_rules;
