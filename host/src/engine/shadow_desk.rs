//! Where candidates judge: an instance for each scope, with the state that the scope had then.

use super::decided::accepted;
use super::past::Fork;
use super::registry::Ruling;
use super::shadow::{Job, Live};
use super::shared::Shared;
use crate::log::ScopeRow;
use crate::validator::{Acceptance, Verdict};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::record::{BodyIn, KeyIn, RecordView};
use atomic_store_core::{Binding, Fault, Key, Proposal, ScopeName, Seq, counted};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Scopes that candidates follow at a time; appends of others are not compared. Folding scopes anew
/// in turn, because they do not fit, would cost more than it shows.
const FORKS_MAX: usize = 512;
/// Events that a candidate folds in a turn. It may have to fold millions before it can judge for the first
/// time, and rests in between while appends come.
const FOLDED_IN_TURN: u64 = 256;
/// Milliseconds without an append after which a scope makes place for another.
const IDLE_MS: u64 = 5_000;
/// Bytes of what a candidate said that are told.
const SAID_BYTES: usize = 200;

/// The rules of candidates, and their instances.
#[derive(Default)]
pub(super) struct Desk {
    rules: HashMap<Seq, Ruling>,
    forks: HashMap<(Seq, ScopeName), Kept>,
}

struct Kept {
    /// When it judged, by the store's clock.
    used_ms: u64,
    /// Nothing if it could not be started: it is not tried again for each append.
    fork: Result<Fork, String>,
}

/// What came of a judgement.
pub(super) enum Compared {
    /// Its events are not durable yet.
    Early,
    /// The candidate folds what was before it.
    Behind,
    /// It could not be compared, by no fault of the candidate.
    GivenUp,
    Same {
        fuel: u64,
    },
    Differs {
        accepts: bool,
        fuel: u64,
        said: String,
    },
    Fault(String),
}

impl Desk {
    /// Drops what belongs to trials that have ended.
    pub(super) fn keep_only(&mut self, running: impl Fn(Seq) -> bool) {
        self.rules.retain(|trial, _| running(*trial));
        self.forks.retain(|(trial, _), _| running(*trial));
    }

    /// Lets the candidate judge an append, and holds that against what was decided; or fold a part of what
    /// was before it, unless that is more than so many events.
    pub(super) fn compare(
        &mut self,
        shared: &Arc<Shared>,
        candidate: Binding,
        job: &Job,
        most: u64,
    ) -> Compared {
        let row = match shared.log.scope(&job.row.name) {
            Ok(Some(row)) => row,
            Ok(None) => ScopeRow::clone(&job.row),
            Err(_) => return Compared::GivenUp,
        };
        let stored = match job.live {
            Live::Accepted(events) => events,
            Live::Unstored(_) | Live::Refused(_) => 0,
        };
        if row.head < job.after.plus(stored) {
            return Compared::Early;
        }
        if row.floor.seq > job.after {
            return Compared::GivenUp;
        }
        let key = (job.trial, job.row.name.clone());
        let mut kept = match self.take(shared, candidate, job, Arc::new(row), &key) {
            Ok(kept) => kept,
            Err(why) => return why,
        };
        let compared = match &mut kept.fork {
            Ok(fork) if job.after.0 - fork.loaded.head.0 > most => Compared::GivenUp,
            Ok(fork) => judge(shared, fork, job),
            Err(why) => Compared::Fault(why.clone()),
        };
        // After a fault its state is not known; the next append gets a new instance.
        let usable = matches!(&kept.fork, Ok(fork) if fork.loaded.instance.is_some());
        if usable || kept.fork.is_err() {
            self.forks.insert(key, kept);
        }
        compared
    }

    /// The instance of the job's scope, with some state before the job.
    fn take(
        &mut self,
        shared: &Arc<Shared>,
        candidate: Binding,
        job: &Job,
        row: Arc<ScopeRow>,
        key: &(Seq, ScopeName),
    ) -> Result<Kept, Compared> {
        let used_ms = shared.clock.now_ms();
        if let Some(mut kept) = self.forks.remove(key) {
            kept.used_ms = used_ms;
            let behind = |fork: &Fork| fork.loaded.head <= job.after && fork.row.id == row.id;
            if kept.fork.as_ref().map_or(true, behind) {
                return Ok(kept);
            }
        }
        if self.forks.len() >= FORKS_MAX {
            self.forks.retain(|_, kept| used_ms.saturating_sub(kept.used_ms) < IDLE_MS);
            if self.forks.len() >= FORKS_MAX {
                return Err(Compared::GivenUp);
            }
        }
        let ruling = match self.rules.entry(job.trial) {
            Entry::Occupied(known) => known.get().again(),
            Entry::Vacant(place) => {
                let ruling = shared.registry.ruling_of(candidate).map_err(Compared::Fault)?;
                place.insert(ruling).again()
            }
        };
        let at = if ruling.rules.folds() {
            let Ok(snapshot) = shared.log.snapshot(row.id, &ruling.rule, job.after) else {
                return Err(Compared::GivenUp);
            };
            snapshot.map_or(row.floor.seq, |snapshot| snapshot.seq)
        } else {
            job.after
        };
        match Fork::under(shared, row, at, ruling) {
            Ok(fork) => Ok(Kept { used_ms, fork: Ok(fork) }),
            Err(RequestError::Overloaded(_) | RequestError::Damaged(_)) => Err(Compared::GivenUp),
            Err(why) => Ok(Kept { used_ms, fork: Err(why.to_string()) }),
        }
    }
}

fn judge(shared: &Arc<Shared>, fork: &mut Fork, job: &Job) -> Compared {
    let part = job.after.min(fork.loaded.head.plus(FOLDED_IN_TURN));
    if let Err(why) = go_on(shared, fork, part, &mut |_| {}) {
        return why;
    }
    if part < job.after {
        return Compared::Behind;
    }
    let Some(instance) = &mut fork.loaded.instance else { return Compared::GivenUp };
    let verdict = instance.validate(&job.proposals, job.host_ms);
    let fuel = instance.fuel().unwrap_or(0);
    match (verdict, &job.live) {
        (Err(fault), _) => {
            if fork.loaded.pending.take_failure().is_some() {
                fork.loaded.instance = None;
                return Compared::GivenUp;
            }
            fault_of(fork, &fault)
        }
        (Ok(Verdict::Refused(refusal)), live) => {
            let codes: Vec<_> = refusal.reasons.iter().map(|reason| reason.code.clone()).collect();
            if matches!(live, Live::Refused(before) if *before == codes) {
                return Compared::Same { fuel };
            }
            let message = refusal.reasons.first().map_or("", |reason| reason.message.as_str());
            let said = cut(format!("refused: {}: {message}", codes.join(", ")));
            Compared::Differs { accepts: false, fuel, said }
        }
        (Ok(Verdict::Accepted(acceptances)), Live::Accepted(events)) => {
            stored(shared, fork, job, &acceptances, *events, fuel)
        }
        (Ok(Verdict::Accepted(acceptances)), Live::Unstored(records)) => {
            let wanted = accepted(&job.proposals, &acceptances);
            let found =
                records.iter().filter_map(|record| RecordView::parse(record.as_bytes()).ok());
            let found: Vec<_> = found.collect();
            let bodies = found.iter().filter_map(|view| view.decode().ok());
            let mut pairs = bodies.zip(&wanted);
            let same = wanted.len() == records.len()
                && acceptances.len() == job.proposals.len()
                && pairs.all(|(body, (proposal, _))| is_same(&body, proposal));
            if same { Compared::Same { fuel } } else { not_the_same(wanted.len(), fuel) }
        }
        (Ok(Verdict::Accepted(acceptances)), Live::Refused(_)) => {
            let events = accepted(&job.proposals, &acceptances).len();
            let said = format!("accepted: {}", counted(events as u64, "event"));
            Compared::Differs { accepts: true, fuel, said }
        }
    }
}

/// Holds what the candidate would have stored against what was stored, and folds the latter.
fn stored(
    shared: &Arc<Shared>,
    fork: &mut Fork,
    job: &Job,
    acceptances: &[Acceptance],
    events: u64,
    fuel: u64,
) -> Compared {
    let wanted = accepted(&job.proposals, acceptances);
    let mut same = wanted.len() as u64 == events && acceptances.len() == job.proposals.len();
    let mut wanted_next = wanted.iter();
    let mut each = |body: &BodyIn<'_>| {
        same &= wanted_next.next().is_some_and(|(proposal, _)| is_same(body, proposal));
    };
    if let Err(why) = go_on(shared, fork, job.after.plus(events), &mut each) {
        return why;
    }
    if same {
        return Compared::Same { fuel };
    }
    not_the_same(wanted.len(), fuel)
}

fn not_the_same(events: usize, fuel: u64) -> Compared {
    let said = format!("accepted: {}, and not the same", counted(events as u64, "event"));
    Compared::Differs { accepts: true, fuel, said }
}

/// Folds the events of the log up to this one.
fn go_on(
    shared: &Arc<Shared>,
    fork: &mut Fork,
    to: Seq,
    each: &mut dyn FnMut(&BodyIn<'_>),
) -> Result<(), Compared> {
    if fork.loaded.head >= to {
        return Ok(());
    }
    let row = Arc::clone(&fork.row);
    let mut walk = row.walk_after(fork.loaded.head);
    let mut problem = None;
    let read = shared.log.read(&row, &mut walk, to, &mut |view| {
        if let Ok(body) = view.decode() {
            each(&body);
        }
        match fork.go_on(view) {
            Ok(()) => ControlFlow::Continue(()),
            Err(fault) => {
                problem = Some(fault);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(fault) = problem {
        return Err(fault_of(fork, &fault));
    }
    if read.is_err() || fork.loaded.head < to {
        fork.loaded.instance = None;
        return Err(Compared::GivenUp);
    }
    Ok(())
}

fn fault_of(fork: &mut Fork, fault: &Fault) -> Compared {
    fork.loaded.instance = None;
    Compared::Fault(cut(format!("{}: {}", fault.kind.word(), fault.detail)))
}

fn is_same(body: &BodyIn<'_>, proposal: &Proposal) -> bool {
    let keys = |found: &[KeyIn<'_>], wanted: &[Key]| {
        found.len() == wanted.len()
            && found.iter().zip(wanted).all(|(f, w)| f.kind == w.kind && f.id == w.id)
    };
    let metadata = || {
        let wanted = proposal.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        body.metadata.iter().copied().eq(wanted)
    };
    body.kind == proposal.kind
        && body.content_type == proposal.content_type
        && body.payload == proposal.payload
        && keys(&body.keys, &proposal.keys)
        && keys(&body.triggers, &proposal.triggers)
        && metadata()
}

fn cut(mut text: String) -> String {
    let mut end = SAID_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
