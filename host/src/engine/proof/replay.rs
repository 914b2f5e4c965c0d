//! Asks again what a bundle holds, without a store.

use crate::engine::decided::accepted;
use crate::validator::{
    Acceptance, Admission, AdmitError, History, Loader, Start, StartError, Validator, Verdict,
};
use atomic_store_core::bundle::{Bundle, Replayed};
use atomic_store_core::record::{Body, BodyIn, KeyIn, RecordView};
use atomic_store_core::{
    AppendId, Committed, Digest, Fault, FaultKind, Outcome, Place, Position, Proposal, Seq,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Events folded in one call.
const BATCH: usize = 64;

/// Judges what a bundle holds as the store did: starts the rules, folds the events, asks, and folds what
/// was accepted.
///
/// # Errors
/// [`AdmitError`] if the component cannot be loaded.
pub fn replay(bundle: &Bundle, loader: &dyn Loader) -> Result<Replayed, AdmitError> {
    let rules = loader.load(&bundle.component)?;
    let events = Arc::new(Events {
        after: bundle.after,
        records: bundle.records.iter().map(|record| record.to_vec()).collect(),
        shown: AtomicUsize::new(0),
    });
    let start = Start {
        scope: &bundle.scope,
        config: bundle.config.as_deref(),
        snapshot: bundle.snapshot.as_deref(),
        history: Arc::clone(&events) as _,
    };
    let (call, outcome) = match rules.start(start) {
        Err(StartError::Declined(why)) => {
            let why = format!("its validator declined to start: {why}");
            ("start", Outcome::ReadOnly { why })
        }
        Err(StartError::NoRoom(why)) => return Err(AdmitError::Limit(why)),
        Err(StartError::Fault(fault)) => ("start", faulted(bundle, fault)),
        Ok(mut instance) => match events.fold(&mut *instance) {
            Err(fault) => ("fold", faulted(bundle, fault)),
            Ok(()) => judge(bundle, &mut *instance),
        },
    };
    let same = bundle.recorded.as_ref().map(|recorded| match (recorded, &outcome) {
        (Outcome::Faulted(then), Outcome::Faulted(now)) => then.kind == now.kind,
        (Outcome::TimedOut { .. }, Outcome::TimedOut { .. }) => true,
        (then, now) => then == now,
    });
    Ok(Replayed { outcome, call, same })
}

/// Judges and folds, on the way that an append goes.
fn judge(bundle: &Bundle, instance: &mut dyn Validator) -> (&'static str, Outcome) {
    let (proposals, host_ms) = (bundle.proposals.as_slice(), bundle.host_ms);
    let admission = match proposals {
        [only] => instance.admit(only, bundle.head().next(), host_ms),
        _ => Ok(None),
    };
    let verdict = match admission {
        Err(fault) => Err(fault),
        Ok(Some(Admission::Folded)) => {
            return ("judge", committed(bundle, &[Acceptance::default()], 1));
        }
        Ok(Some(Admission::Judged(verdict))) => Ok(verdict),
        Ok(None) => instance.validate(proposals, host_ms),
    };
    let acceptances = match verdict {
        Err(fault) => return ("judge", faulted(bundle, fault)),
        Ok(Verdict::Refused(refusal)) => return ("judge", Outcome::Rejected(refusal)),
        Ok(Verdict::Accepted(acceptances)) => acceptances,
    };
    if acceptances.len() != proposals.len() {
        let detail = "it did not answer with one acceptance for each proposal".to_owned();
        return ("judge", faulted(bundle, Fault { kind: FaultKind::BadOutput, detail }));
    }
    let events = accepted(proposals, &acceptances);
    let mut next = bundle.head();
    let bodies: Vec<_> = events
        .iter()
        .map(|(event, caller_ms)| {
            next = next.next();
            body(event, *caller_ms, next, host_ms)
        })
        .collect();
    if bodies.is_empty() {
        let reason = acceptances.iter().find_map(|acceptance| acceptance.reason.clone());
        return ("judge", Outcome::Noop { reason });
    }
    match instance.apply(&bodies) {
        Err(fault) => ("apply", faulted(bundle, fault)),
        Ok(()) => ("judge", committed(bundle, &acceptances, bodies.len() as u64)),
    }
}

fn committed(bundle: &Bundle, acceptances: &[Acceptance], events: u64) -> Outcome {
    let place = |seq| Place { seq, position: Position(0) };
    Outcome::Committed(Committed {
        first: place(bundle.head().next()),
        last: place(bundle.head().plus(events)),
        hash: Digest::default(),
        reason: acceptances.iter().find_map(|acceptance| acceptance.reason.clone()),
        meta: acceptances.iter().find_map(|acceptance| acceptance.meta.clone()),
    })
}

fn faulted(bundle: &Bundle, fault: Fault) -> Outcome {
    match fault.kind {
        FaultKind::Timeout => Outcome::TimedOut { after_ms: bundle.limits.call_ms_max },
        _ => Outcome::Faulted(fault),
    }
}

fn body(event: &Proposal, caller_ms: Option<u64>, seq: Seq, host_ms: u64) -> BodyIn<'_> {
    let own = |key| {
        let atomic_store_core::Key { kind, id }: &atomic_store_core::Key = key;
        KeyIn { kind, id }
    };
    let pairs = event.metadata.iter();
    Body {
        seq,
        kind: &event.kind,
        content_type: event.content_type.clone(),
        payload: &event.payload,
        keys: event.keys.iter().map(own).collect(),
        triggers: event.triggers.iter().map(own).collect(),
        metadata: pairs.map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        caller_ms,
        host_ms,
        append_id: AppendId::default(),
        validator: Digest::default(),
        binding: Seq::ZERO,
    }
}

/// The events of a bundle, as its guest may see them.
struct Events {
    after: Seq,
    records: Vec<Vec<u8>>,
    /// So many of them have come to be.
    shown: AtomicUsize,
}

impl Events {
    fn fold(&self, instance: &mut dyn Validator) -> Result<(), Fault> {
        // As in a store that starts a scope: the history shows all that is there.
        self.shown.store(self.records.len(), Ordering::Relaxed);
        for records in self.records.chunks(BATCH) {
            let bodies: Result<Vec<_>, String> =
                records.iter().map(|record| read(record)).collect();
            let bodies = bodies.map_err(|detail| Fault { kind: FaultKind::BadOutput, detail })?;
            instance.apply(&bodies)?;
        }
        Ok(())
    }
}

fn read(record: &[u8]) -> Result<BodyIn<'_>, String> {
    RecordView::parse(record).and_then(|view| view.decode()).map_err(|error| error.to_string())
}

impl History for Events {
    fn head(&self) -> Seq {
        self.after.plus(self.shown.load(Ordering::Relaxed) as u64)
    }

    fn read(
        &self,
        after: Seq,
        limit: usize,
        each: &mut dyn FnMut(&BodyIn<'_>),
    ) -> Result<(), String> {
        let shown = &self.records[..self.shown.load(Ordering::Relaxed)];
        let Some(skip) = after.0.checked_sub(self.after.0) else {
            let (asked, first) = (after.next(), self.after.next());
            return Err(format!("event {asked} is not in the bundle, which begins at {first}"));
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        for record in shown.iter().skip(skip).take(limit) {
            each(&read(record)?);
        }
        Ok(())
    }
}
