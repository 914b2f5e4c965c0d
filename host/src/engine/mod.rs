//! The heart: one serialized loop per scope, one committer for all.
//!
//! An append goes one way: [`Engine::append`] -> the scope's mailbox (`mailbox.rs`) -> the scope's
//! loop (`scope_loop.rs`) -> the commit queue and the committer (`committer.rs`) -> [`ReplyTo`].
//!
//! Invariants: a scope has one loop, and nothing else decides for it. Only the committer calls
//! `EventLog::commit`. Nothing leaves before what it was judged against is durable. After a failed
//! commit nothing is written until a restart.

mod admin;
mod admit;
mod beside;
mod built_in;
mod burst;
mod committer;
mod conflict;
mod decided;
mod feed;
mod handle;
mod item;
mod joint;
mod live;
mod mailbox;
mod options;
mod originator;
mod park;
mod past;
mod pending;
mod pool;
mod post;
mod proof;
mod registry;
mod rejected;
mod repeats;
mod reply;
mod restore;
mod ruled;
mod scope_loop;
mod scrub;
mod select;
mod shadow;
mod shadow_desk;
mod shared;
mod snapshot;
mod start;
mod system;
mod trial;
mod trial_counts;
mod trials;
mod upcast;
mod upgrade;
mod verify;
mod whole;

pub use built_in::{ACCEPT_ALL, ORIGINATOR, accept_all_digest, originator_digest};
pub use burst::Burst;
pub(crate) use handle::LEAVING_MAX;
pub use handle::{Drive, Engine};
pub use mailbox::Work;
pub(crate) use mailbox::as_request_error;
pub(crate) use past::Admitted;
pub use past::History;
pub use pool::Scheduler;
pub use proof::{Against, Candidate, replay};
pub use reply::{Asked, ReplyTo, State};
pub use restore::Restore;
pub use select::{Each, Found, Scan, SelectError, Selection, Taken};
