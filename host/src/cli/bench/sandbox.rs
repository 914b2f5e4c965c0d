//! One warm call into the validator: what the rules themselves cost.

use super::engine::Setup;
use super::point::median;
use crate::cli::exit;
use crate::cli::failure::Failure;
use atomic_store::engine::ACCEPT_ALL;
use atomic_store::plugin::WasmLoader;
use atomic_store::validator::{History, Loader as _, Start, Validator, Verdict};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{AppendId, ContentType, Digest, Fault, Limits, ScopeName, Seq};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Blocks of calls; the one in the middle counts.
const BLOCKS: u32 = 9;
/// Calls between two looks at the clock.
const CALLS: u32 = 500;
/// Any time will do: validators see no other.
const HOST_MS: u64 = 1_700_000_000_000;

/// Costs of single calls, in nanoseconds.
pub(super) struct Warm {
    /// The validator.
    pub(super) name: String,
    /// One proposal judged; nothing for accept-all, which is no guest.
    pub(super) validate_ns: Option<f64>,
    /// One event folded.
    pub(super) apply_ns: Option<f64>,
}

/// Measures an instance that has seen one event.
pub(super) fn measure(setup: &Setup, seconds: f64) -> Result<Warm, Failure> {
    let Some(component) = &setup.component else {
        let name = format!("{ACCEPT_ALL} (built in)");
        return Ok(Warm { name, validate_ns: None, apply_ns: None });
    };
    let failed = |why: String| Failure::new(exit::FAULT, why);
    let loader = WasmLoader::new(Limits::default()).map_err(|error| failed(error.to_string()))?;
    let rules = loader.load(component).map_err(|error| Failure::usage(error.to_string()))?;
    let scope = ScopeName::new("bench/0").map_err(|error| Failure::usage(error.to_string()))?;
    let start = Start { scope: &scope, config: None, snapshot: None, history: Arc::new(NoHistory) };
    let started = rules.start(start);
    let mut instance = started.map_err(|error| failed(format!("{error:?}")))?;
    let time = Duration::from_secs_f64(seconds / 2.0) / BLOCKS;

    let (first, next) = (setup.shape.proposal(1), [setup.shape.proposal(2)]);
    let mut seq = 0;
    let mut fold = |instance: &mut Box<dyn Validator>| {
        seq += 1;
        instance.apply(&[body(seq, &first)])
    };
    fold(&mut instance).map_err(fault)?;
    match instance.validate(&next, HOST_MS).map_err(fault)? {
        Verdict::Accepted(_) => {}
        Verdict::Refused(refusal) => {
            let why = refusal.reasons.first().map(|reason| reason.message.clone());
            return Err(super::driver::refusal(&why.unwrap_or_default()));
        }
    }
    let validate = warm(time, || instance.validate(&next, HOST_MS).map(drop)).map_err(fault)?;
    let apply = warm(time, || fold(&mut instance)).map_err(fault)?;
    let description = rules.description();
    Ok(Warm {
        name: format!("{}@{}", description.name, description.version),
        validate_ns: Some(validate),
        apply_ns: Some(apply),
    })
}

/// Nanoseconds of a call: the median of several blocks, each in this thread's time on a core.
fn warm(time: Duration, mut call: impl FnMut() -> Result<(), Fault>) -> Result<f64, Fault> {
    let mut blocks = Vec::new();
    for _ in 0..BLOCKS {
        let (start, before, mut calls) = (Instant::now(), on_core(), 0_u32);
        while start.elapsed() < time {
            for _ in 0..CALLS {
                call()?;
            }
            calls += CALLS;
        }
        let wall = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let spent = before.zip(on_core()).map_or(wall, |(before, after)| after - before);
        blocks.push(spent as f64 / f64::from(calls));
    }
    Ok(median(&mut blocks))
}

/// Nanoseconds that this thread has spent on a core: neighbours do not count. Nothing where the
/// kernel does not tell; then the wall clock has to do.
fn on_core() -> Option<u64> {
    // The kernel adds up when a thread leaves its core, so leave it for a moment.
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse().ok().filter(|spent| *spent > 0)
}

fn body(seq: u64, proposal: &atomic_store_core::Proposal) -> BodyIn<'_> {
    BodyIn {
        seq: Seq(seq),
        kind: &proposal.kind,
        content_type: ContentType::Json,
        payload: &proposal.payload,
        keys: Vec::new(),
        triggers: Vec::new(),
        metadata: Vec::new(),
        caller_ms: None,
        host_ms: HOST_MS,
        append_id: AppendId::default(),
        validator: Digest::default(),
        binding: Seq(1),
    }
}

fn fault(fault: Fault) -> Failure {
    Failure::new(exit::FAULT, format!("{}: {}", fault.kind.word(), fault.detail))
}

/// A scope without a past.
struct NoHistory;

impl History for NoHistory {
    fn head(&self) -> Seq {
        Seq::ZERO
    }

    fn read(&self, _: Seq, _: usize, _: &mut dyn FnMut(&BodyIn<'_>)) -> Result<(), String> {
        Ok(())
    }
}
