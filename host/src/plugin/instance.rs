//! One instance: the state of one scope. Every call gets a fresh budget; the first fault ends the
//! instance and gives its memory back.

use super::bindings::{
    Admit, Apply, ApplyPacked, Init, Query, Restore, Snapshot, Upcast, Validate,
};
use super::guest::Guest;
use super::limits::{HostError, Meter, bad_output, fault, trace};
use super::loader::Program;
use super::log_lines::LogLines;
use super::runtime::{Runtime, Slot};
use super::wasi::Moment;
use super::{convert, packed};
use crate::validator::{Admission, History, Start, StartError, Validator, Verdict, upcasted};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{Fault, FaultKind, Proposal, ScopeName, Seq};
use std::sync::Arc;
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

/// Bytes beyond the cap that a snapshot is read with, so that one a little too large is refused with
/// its own cap and not with that of all calls.
const SNAPSHOT_SLACK: usize = 64 * 1024;

/// Before there is anything to judge: whether an instance starts with `init` or `restore`, it sees the
/// same.
const STARTING: Moment = Moment { call: "start", seq: 0, ms: Some(0) };

/// A store with its budget set, and the instance in it.
pub(super) struct Live {
    pub(super) store: Store<Guest>,
    pub(super) instance: Instance,
}

impl Live {
    /// Instantiates a component. Its start functions run under the budget of one call.
    pub(super) fn new(
        runtime: &Runtime,
        pre: &InstancePre<Guest>,
        scope: &ScopeName,
        history: Arc<dyn History>,
        wasi: bool,
        started_bytes: usize,
    ) -> Result<Self, Fault> {
        let limits = Arc::clone(&runtime.limits);
        let guest = Guest {
            meter: Meter::new(&limits, started_bytes, Arc::clone(&runtime.memory)),
            scope: scope.clone(),
            history,
            log: LogLines::default(),
            limits,
            hostcalls: 0,
            wasi: wasi.then(Box::default),
        };
        let mut store = Store::new(&runtime.engine, guest);
        store.limiter(|guest| &mut guest.meter);
        store.data_mut().at(STARTING);
        let instance = budgeted(&mut store, runtime, "start", |store| {
            pre.instantiate(store).map_err(HostError::resources)
        })?;
        Ok(Live { store, instance })
    }
}

/// Runs one call under a fresh budget and names its fault.
pub(super) fn budgeted<R>(
    store: &mut Store<Guest>,
    runtime: &Runtime,
    call: &'static str,
    run: impl FnOnce(&mut Store<Guest>) -> wasmtime::Result<R>,
) -> Result<R, Fault> {
    let limits = &runtime.limits;
    store.data_mut().begin_call();
    store.set_epoch_deadline(runtime.call_ticks);
    store.set_hostcall_fuel(limits.hostcall_bytes_max);
    let result = match store.set_fuel(limits.call_fuel_max) {
        Ok(()) => run(store),
        Err(error) => Err(error),
    };
    store.data_mut().end_call();
    let Guest { log, scope, meter, .. } = store.data_mut();
    log.flush(scope, call);
    if let Err(error) = &result {
        trace(error, scope, call);
    }
    result.map_err(|error| fault(&error, meter.denied(), limits))
}

/// The functions that are called again and again, looked up once.
struct Calls {
    apply: Apply<'static>,
    validate: Validate<'static>,
    snapshot: Snapshot,
    query: Query<'static>,
    packed: Option<PackedCalls>,
    upcast: Option<Upcast<'static>>,
}

/// The faster ones, of a guest that has them.
#[derive(Clone, Copy)]
struct PackedCalls {
    apply: ApplyPacked<'static>,
    admit: Admit<'static>,
}

/// A running validator.
pub(super) struct WasmValidator {
    /// Gone after a fault.
    live: Option<Live>,
    calls: Calls,
    runtime: Arc<Runtime>,
    _slot: Slot,
}

impl WasmValidator {
    /// Instantiates the program and starts its state.
    pub(super) fn start(program: &Program, start: &Start<'_>) -> Result<Self, StartError> {
        let runtime = &program.runtime;
        let slot = runtime.slot(program.places).ok_or_else(|| no_room(runtime))?;
        let history = Arc::clone(&start.history);
        let (wasi, started_bytes) = (program.grants.wasi, program.started_bytes);
        let mut live = Live::new(runtime, &program.pre, start.scope, history, wasi, started_bytes)
            .map_err(StartError::Fault)?;
        let answer = match start.snapshot {
            Some(snapshot) => restore(&mut live, program, start, snapshot),
            None => init(&mut live, program, start),
        };
        match answer.map_err(StartError::Fault)? {
            Ok(()) => {}
            Err(why) => {
                return match runtime.limits.check_message("reason", &why) {
                    Ok(()) => Err(StartError::Declined(why)),
                    Err(invalid) => Err(StartError::Fault(bad_output(invalid.to_string()))),
                };
            }
        }
        let calls = calls(&mut live, program)
            .map_err(|error| StartError::Fault(bad_output(format!("{error:#}"))))?;
        Ok(WasmValidator { live: Some(live), calls, runtime: Arc::clone(runtime), _slot: slot })
    }

    /// Runs one call, and its checks; a fault in either ends the instance.
    fn call<R, T>(
        &mut self,
        moment: Moment,
        run: impl FnOnce(&mut Store<Guest>, &Calls) -> wasmtime::Result<R>,
        check: impl FnOnce(R) -> Result<T, atomic_store_core::Invalid>,
    ) -> Result<T, Fault> {
        let Some(live) = &mut self.live else { return Err(lost()) };
        live.store.data_mut().at(moment);
        let calls = &self.calls;
        let answer =
            budgeted(&mut live.store, &self.runtime, moment.call, |store| run(store, calls));
        let checked = answer
            .and_then(|answer| check(answer).map_err(|invalid| bad_output(invalid.to_string())));
        if checked.is_err() {
            self.live = None;
        }
        checked
    }
}

impl WasmValidator {
    /// Folds events as they are, with as many calls as it takes that how they come, one by one or in a
    /// batch, does not show in what a clock says.
    fn fold_in_turn(&mut self, events: &[BodyIn<'_>]) -> Result<(), Fault> {
        if self.has_wasi() {
            return events.iter().try_for_each(|event| self.fold(std::slice::from_ref(event)));
        }
        self.fold(events)
    }

    fn fold(&mut self, events: &[BodyIn<'_>]) -> Result<(), Fault> {
        let run = |store: &mut Store<Guest>, calls: &Calls| {
            if let Some(fast) = calls.packed {
                let apply: ApplyPacked<'_> = fast.apply;
                return apply.call(store, (&packed::events(events),));
            }
            let apply: Apply<'_> = calls.apply;
            match events {
                // The common case: one event, and nothing on the heap.
                [event] => apply.call(store, (&[convert::event(event)],)),
                events => {
                    let events: Vec<_> = events.iter().map(convert::event).collect();
                    apply.call(store, (&events,))
                }
            }
        };
        self.call(moment_of("apply", events), run, Ok)
    }

    fn upcast_all(&mut self, events: &[BodyIn<'_>]) -> Result<Vec<Option<Proposal>>, Fault> {
        let Some(upcast) = self.calls.upcast else { return Ok(vec![None; events.len()]) };
        let run = |store: &mut Store<Guest>, _: &Calls| {
            let upcast: Upcast<'_> = upcast;
            let events: Vec<_> = events.iter().map(convert::event).collect();
            Ok(upcast.call(store, (&events,))?.0)
        };
        let limits = Arc::clone(&self.runtime.limits);
        let moment = moment_of("upcast", events);
        self.call(moment, run, |answer| convert::upcast(answer, events, &limits))
    }

    fn has_wasi(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.store.data().wasi.is_some())
    }

    /// What a call is about that is about no event of its own.
    fn now(&self, call: &'static str) -> Moment {
        // Only a guest that was given WASI can tell.
        let guest = self.live.as_ref().map(|live| live.store.data());
        let head = guest.filter(|guest| guest.wasi.is_some()).map(|guest| guest.history.head());
        Moment { call, seq: head.map_or(0, |head| head.0), ms: None }
    }
}

impl Validator for WasmValidator {
    fn apply(&mut self, events: &[BodyIn<'_>]) -> Result<(), Fault> {
        if self.calls.upcast.is_none() {
            return self.fold_in_turn(events);
        }
        let newer = self.upcast(events)?;
        self.fold_in_turn(&upcasted(events, &newer))
    }

    fn upcast(&mut self, events: &[BodyIn<'_>]) -> Result<Vec<Option<Proposal>>, Fault> {
        if self.has_wasi() {
            let one = |event| self.upcast_all(std::slice::from_ref(event));
            let newer: Result<Vec<_>, _> = events.iter().map(one).collect();
            return Ok(newer?.concat());
        }
        self.upcast_all(events)
    }

    fn validate(&mut self, proposals: &[Proposal], host_ms: u64) -> Result<Verdict, Fault> {
        let run = |store: &mut Store<Guest>, calls: &Calls| {
            let validate: Validate<'_> = calls.validate;
            let (answer,) = match proposals {
                [proposal] => validate.call(store, (&[convert::proposal(proposal, host_ms)],))?,
                proposals => {
                    let proposals: Vec<_> =
                        proposals.iter().map(|p| convert::proposal(p, host_ms)).collect();
                    validate.call(store, (&proposals,))?
                }
            };
            Ok(answer)
        };
        let limits = Arc::clone(&self.runtime.limits);
        let now = self.now("validate");
        let moment = Moment { seq: now.seq.saturating_add(1), ms: Some(host_ms), ..now };
        self.call(moment, run, |answer| convert::verdict(answer, proposals, &limits))
    }

    fn admit(
        &mut self,
        proposal: &Proposal,
        seq: Seq,
        host_ms: u64,
    ) -> Result<Option<Admission>, Fault> {
        // What it folds at once it would fold as it stands, and not as it is today.
        if self.calls.upcast.is_some() {
            return Ok(None);
        }
        let Some(fast) = self.calls.packed else { return Ok(None) };
        if self.has_wasi() {
            // What it draws while it judges would change what it draws while it folds.
            return Ok(None);
        }
        let run = |store: &mut Store<Guest>, _: &Calls| {
            let admit: Admit<'_> = fast.admit;
            Ok(admit.call(store, (&packed::proposal(proposal, seq, host_ms),))?.0)
        };
        let limits = Arc::clone(&self.runtime.limits);
        let proposals = std::slice::from_ref(proposal);
        let moment = Moment { call: "admit", seq: seq.0, ms: Some(host_ms) };
        let admission = self.call(moment, run, |answer| match answer {
            Ok(None) => Ok(Admission::Folded),
            Ok(Some(yes)) => {
                convert::verdict(Ok(vec![yes]), proposals, &limits).map(Admission::Judged)
            }
            Err(no) => convert::verdict(Err(no), proposals, &limits).map(Admission::Judged),
        });
        admission.map(Some)
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let limits = Arc::clone(&self.runtime.limits);
        let moment = self.now("snapshot");
        self.call(
            moment,
            |store, calls| {
                // A snapshot may be larger than what any other call may hand over.
                let bytes = limits.snapshot_bytes_max.saturating_add(SNAPSHOT_SLACK);
                store.set_hostcall_fuel(bytes.max(limits.hostcall_bytes_max));
                calls.snapshot.call(store, ())
            },
            |(state,)| {
                limits.check_snapshot(state.as_deref().unwrap_or_default())?;
                Ok(state)
            },
        )
    }

    fn query(&mut self, name: &str, args: &[u8]) -> Result<Result<Vec<u8>, String>, Fault> {
        let limits = Arc::clone(&self.runtime.limits);
        let moment = self.now("query");
        self.call(
            moment,
            |store, calls| {
                let query: Query<'_> = calls.query;
                query.call(store, (name, args))
            },
            |(answer,)| {
                match &answer {
                    Ok(bytes) => limits.check_query_answer(bytes)?,
                    Err(why) => limits.check_message("query error", why)?,
                }
                Ok(answer)
            },
        )
    }

    fn fuel(&mut self) -> Option<u64> {
        let left = self.live.as_mut()?.store.get_fuel().ok()?;
        self.runtime.limits.call_fuel_max.checked_sub(left)
    }
}

fn init(
    live: &mut Live,
    program: &Program,
    start: &Start<'_>,
) -> Result<Result<(), String>, Fault> {
    let instance = live.instance;
    budgeted(&mut live.store, &program.runtime, "init", |store| {
        let init: Init<'_> = instance.get_typed_func(&mut *store, program.exports.init)?;
        Ok(init.call(store, (start.scope.as_str(), start.config))?.0)
    })
}

fn restore(
    live: &mut Live,
    program: &Program,
    start: &Start<'_>,
    snapshot: &[u8],
) -> Result<Result<(), String>, Fault> {
    let instance = live.instance;
    budgeted(&mut live.store, &program.runtime, "restore", |store| {
        let restore: Restore<'_> = instance.get_typed_func(&mut *store, program.exports.restore)?;
        Ok(restore.call(store, (start.scope.as_str(), start.config, snapshot))?.0)
    })
}

fn calls(live: &mut Live, program: &Program) -> wasmtime::Result<Calls> {
    let (store, exports) = (&mut live.store, &program.exports);
    let packed = match &exports.packed {
        None => None,
        Some(packed) => Some(PackedCalls {
            apply: live.instance.get_typed_func(&mut *store, packed.apply)?,
            admit: live.instance.get_typed_func(&mut *store, packed.admit)?,
        }),
    };
    let upcast = exports.upcast.map(|upcast| live.instance.get_typed_func(&mut *store, upcast));
    Ok(Calls {
        packed,
        upcast: upcast.transpose()?,
        apply: live.instance.get_typed_func(&mut *store, exports.apply)?,
        validate: live.instance.get_typed_func(&mut *store, exports.validate)?,
        snapshot: live.instance.get_typed_func(&mut *store, exports.snapshot)?,
        query: live.instance.get_typed_func(&mut *store, exports.query)?,
    })
}

fn no_room(runtime: &Runtime) -> StartError {
    let max = runtime.instances_max;
    StartError::NoRoom(format!("no room for one more validator; at most {max} may be alive"))
}

/// What a call about events is about: the last of them.
fn moment_of(call: &'static str, events: &[BodyIn<'_>]) -> Moment {
    let (seq, ms) = events.last().map_or((0, 0), |event| (event.seq.0, event.host_ms));
    Moment { call, seq, ms: Some(ms) }
}

fn lost() -> Fault {
    let detail = "this instance was lost to an earlier fault; start a new one".to_owned();
    Fault { kind: FaultKind::Trap, detail }
}
