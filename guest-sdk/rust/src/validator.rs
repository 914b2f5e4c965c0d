//! The trait that a validator implements.

use crate::{Event, KindInfo, NewEvent, Proposal, Verdict};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The rules of a log.
///
/// The store keeps one instance for each scope and calls [`init`](Validator::init) once,
/// [`apply`](Validator::apply) for each accepted event in order, and
/// [`validate`](Validator::validate) for each event that somebody wants to append. The rules must
/// be deterministic: what they answer depends on the state and the proposal, on nothing else. The
/// sandbox has no clock, no randomness, no files and no network; the time is
/// [`Proposal::host_ms`].
///
/// ```
/// use atomic_store_guest::*;
///
/// /// A counter that never exceeds its maximum.
/// struct Counter;
///
/// impl Validator for Counter {
///     const NAME: &'static str = "counter";
///     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
///     type State = u64;
///     type Config = ();
///
///     fn init(_scope: &str, _config: ()) -> Result<u64, String> {
///         Ok(0)
///     }
///
///     fn apply(count: &mut u64, event: &Event) {
///         *count += event.json::<u64>().unwrap_or(0);
///     }
///
///     fn validate(count: &u64, proposal: &Proposal) -> Verdict {
///         let step: u64 = proposal.json()?;
///         if step > 100 - *count {
///             return Err(reject("full", format!("{count} of 100 are taken")));
///         }
///         Ok(accept())
///     }
/// }
///
/// atomic_store_guest::export!(Counter);
///
/// let mut counter = testing::Harness::<Counter>::new();
/// counter.propose("add", 60).accepted();
/// counter.propose("add", 60).rejected("full");
/// ```
pub trait Validator: 'static {
    /// Its name in the store: 1 to 64 lower-case letters, digits and `-`.
    const NAME: &'static str;

    /// Its semantic version; `env!("CARGO_PKG_VERSION")` takes it from your `Cargo.toml`.
    const VERSION: &'static str;

    /// False makes the store fold the log instead of keeping snapshots of the state. Right for a
    /// state that is larger than the events it came from, or that is worth nothing.
    const SNAPSHOTS: bool = true;

    /// What the rules need to know of a scope's events, folded. `()` for rules that look at
    /// [`history`](crate::history) instead.
    ///
    /// It is cloned when a batch is judged, so keep it to what the rules need. Prefer `BTreeMap`
    /// to `HashMap`: the order of its entries is the same everywhere.
    type State: Clone + Serialize + DeserializeOwned + 'static;

    /// What a binding can configure, as JSON. [`Default`] is used when there is none. `()` takes
    /// no configuration; `Option<YourConfig>` tells a missing one from an empty one.
    type Config: Default + DeserializeOwned;

    /// The kinds of event it knows, for people and tools. The store does not check them.
    #[must_use]
    fn kinds() -> Vec<KindInfo> {
        Vec::new()
    }

    /// The state of a scope without events. Keep of the configuration what the rules need.
    ///
    /// # Errors
    /// Why this scope or configuration cannot be used. The scope then refuses every append.
    fn init(scope: &str, config: Self::Config) -> Result<Self::State, String>;

    /// Folds an accepted event into the state. It cannot say no: the event has been accepted,
    /// perhaps by an earlier version of these rules, so ignore what you do not understand.
    fn apply(state: &mut Self::State, event: &Event);

    /// What an older event is today; nothing if it is as it was. Number and times stay.
    ///
    /// The store asks only if the component is exported with `export!(Yours, upcasting)`. It then asks
    /// before each [`apply`](Validator::apply), which so sees the newer forms only, and for readers.
    /// [`history`](crate::history) shows events as they are stored.
    #[must_use]
    fn upcast(event: &Event) -> Option<NewEvent> {
        let _ = event;
        None
    }

    /// Judges a proposal against everything before it, earlier members of its batch included.
    ///
    /// # Errors
    /// A [`Rejection`](crate::Rejection), made by [`reject`](crate::reject()), or by `?` from a
    /// payload that does not decode.
    fn validate(state: &Self::State, proposal: &Proposal) -> Verdict;

    /// Judges a proposal and, if it accepts it as it stands, folds it as the event of that number: both
    /// in one, so that a payload is decoded once. Only for speed, and only for those kinds that are worth
    /// it: for nothing, the default, [`validate`](Validator::validate) and
    /// [`apply`](Validator::apply) are called.
    ///
    /// What it answers must be what `validate` would, and the state then the one after `apply`; if it
    /// refuses, or gives a reason, `meta` or other events, the state stays as it was. The
    /// [`Harness`](crate::testing::Harness) holds them against each other.
    #[must_use]
    fn admit(state: &mut Self::State, proposal: &Proposal, seq: u64) -> Option<Verdict> {
        let _ = (state, proposal, seq);
        None
    }

    /// Answers a question about the state.
    ///
    /// # Errors
    /// Why there is no answer.
    fn query(state: &Self::State, name: &str, args: &[u8]) -> Result<Vec<u8>, String> {
        let _ = (state, args);
        Err(format!("{} has no query {name:?}", Self::NAME))
    }
}
