//! The contract's types as wasmtime lowers and lifts them, and the typed functions of a guest.
//!
//! Written by hand where `bindgen!` would do, for one reason: what goes into a guest is borrowed
//! here, down to the keys of an event, so that the only copy of a payload is the one into the
//! guest's memory. The types are checked against the component when its functions are looked up.

use wasmtime::component::{ComponentType, Lift, Lower, TypedFunc, WasmList};

/// The package of the contract, without a version.
pub(super) const PACKAGE: &str = "atomic-store:validator";
/// What a validator exports.
pub(super) const RULES: &str = "atomic-store:validator/rules@1.0.0";
/// The functions of it.
pub(super) const FUNCTIONS: [&str; 7] =
    ["describe", "init", "restore", "apply", "validate", "snapshot", "query"];
/// What it may export, too: the two calls of every append in one.
pub(super) const PACKED: &str = "atomic-store:validator/packed@1.0.0";
/// The functions of it.
pub(super) const PACKED_FUNCTIONS: [&str; 2] = ["apply", "admit"];
/// What it may export, too: what older events are today.
pub(super) const UPCASTING: &str = "atomic-store:validator/upcasting@1.0.0";
/// What it may import: earlier events.
pub(super) const HISTORY: &str = "atomic-store:validator/history@1.0.0";
/// What it may import: log lines.
pub(super) const LOG: &str = "atomic-store:validator/log@1.0.0";
/// What it may import: the types alone.
pub(super) const TYPES: &str = "atomic-store:validator/types@1.0.0";

/// `key`, going in.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct KeyIn<'a> {
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
}

/// `pair`, going in.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct PairIn<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
}

/// `event`, going in.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct EventIn<'a> {
    pub(super) seq: u64,
    pub(super) kind: &'a str,
    #[component(name = "content-type")]
    pub(super) content_type: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) keys: Vec<KeyIn<'a>>,
    pub(super) metadata: Vec<PairIn<'a>>,
    #[component(name = "caller-ms")]
    pub(super) caller_ms: Option<u64>,
    #[component(name = "host-ms")]
    pub(super) host_ms: u64,
}

/// `proposal`, going in.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct ProposalIn<'a> {
    pub(super) kind: &'a str,
    #[component(name = "content-type")]
    pub(super) content_type: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) keys: Vec<KeyIn<'a>>,
    pub(super) metadata: Vec<PairIn<'a>>,
    #[component(name = "caller-ms")]
    pub(super) caller_ms: Option<u64>,
    #[component(name = "host-ms")]
    pub(super) host_ms: u64,
}

/// `key`, coming out, or going in as part of a page of history.
#[derive(ComponentType, Lower, Lift)]
#[component(record)]
pub(super) struct KeyOut {
    pub(super) kind: String,
    pub(super) id: String,
}

/// `pair`, coming out, or going in as part of a page of history.
#[derive(ComponentType, Lower, Lift)]
#[component(record)]
pub(super) struct PairOut {
    pub(super) name: String,
    pub(super) value: String,
}

/// `event` of a page of history. wasmtime wants the results of host functions owned.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct EventOwned {
    pub(super) seq: u64,
    pub(super) kind: String,
    #[component(name = "content-type")]
    pub(super) content_type: String,
    pub(super) payload: Vec<u8>,
    pub(super) keys: Vec<KeyOut>,
    pub(super) metadata: Vec<PairOut>,
    #[component(name = "caller-ms")]
    pub(super) caller_ms: Option<u64>,
    #[component(name = "host-ms")]
    pub(super) host_ms: u64,
}

/// `new-event`, coming out.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct NewEventOut {
    pub(super) kind: String,
    #[component(name = "content-type")]
    pub(super) content_type: String,
    pub(super) payload: Vec<u8>,
    pub(super) keys: Vec<KeyOut>,
    pub(super) metadata: Vec<PairOut>,
}

/// `output`, coming out.
#[derive(ComponentType, Lift)]
#[component(record)]
#[expect(dead_code, reason = "without channels an output is refused by its name alone")]
pub(super) struct OutputOut {
    pub(super) channel: String,
    pub(super) payload: WasmList<u8>,
}

/// `acceptance`, coming out.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct AcceptanceOut {
    pub(super) events: Option<Vec<NewEventOut>>,
    pub(super) reason: Option<String>,
    pub(super) meta: Option<Vec<u8>>,
    pub(super) outputs: Vec<OutputOut>,
}

/// `reason`, coming out.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct ReasonOut {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) data: Option<Vec<u8>>,
    pub(super) seqs: Vec<u64>,
}

/// `refusal`, coming out.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct RefusalOut {
    pub(super) index: u32,
    pub(super) reasons: Vec<ReasonOut>,
    pub(super) meta: Option<Vec<u8>>,
}

/// `kind-info`, coming out.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct KindInfoOut {
    pub(super) name: String,
    pub(super) schema: Option<String>,
}

/// `description`, coming out.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct DescriptionOut {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) kinds: Vec<KindInfoOut>,
}

/// `level` of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[expect(dead_code, reason = "values of this type are made by lifting them from a guest")]
#[repr(u8)]
pub(super) enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

// The lifetimes of parameters are `'static` where a function is kept. `TypedFunc` is covariant in
// its parameters, so a kept function takes shorter-lived arguments once it is copied out.

/// `describe`.
pub(super) type Describe = TypedFunc<(), (DescriptionOut,)>;
/// `init`.
pub(super) type Init<'a> = TypedFunc<(&'a str, Option<&'a [u8]>), (Result<(), String>,)>;
/// `restore`.
pub(super) type Restore<'a> =
    TypedFunc<(&'a str, Option<&'a [u8]>, &'a [u8]), (Result<(), String>,)>;
/// `apply`.
pub(super) type Apply<'a> = TypedFunc<(&'a [EventIn<'a>],), ()>;
/// `validate`.
pub(super) type Validate<'a> =
    TypedFunc<(&'a [ProposalIn<'a>],), (Result<Vec<AcceptanceOut>, RefusalOut>,)>;
/// `snapshot`.
pub(super) type Snapshot = TypedFunc<(), (Option<Vec<u8>>,)>;
/// `query`.
pub(super) type Query<'a> = TypedFunc<(&'a str, &'a [u8]), (Result<Vec<u8>, String>,)>;
/// `apply` of `packed`.
pub(super) type ApplyPacked<'a> = TypedFunc<(&'a [u8],), ()>;
/// `admit` of `packed`.
pub(super) type Admit<'a> = TypedFunc<(&'a [u8],), (Result<Option<AcceptanceOut>, RefusalOut>,)>;
/// `upcast` of `upcasting`.
pub(super) type Upcast<'a> = TypedFunc<(&'a [EventIn<'a>],), (Vec<Option<NewEventOut>>,)>;
