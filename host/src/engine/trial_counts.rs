//! What candidates said so far: counted in memory, kept in the log.
//!
//! The gate of a promotion looks at these counts, so they outlive a restart: a clean close keeps them,
//! and a server does every few seconds. What a crash loses of them is said in the report. They stand
//! among the snapshots of `$system`, each under a rule of its own that no validator has.

use super::shadow::{Job, Live};
use super::shadow_desk::Compared;
use super::trials::Tap;
use crate::log::{EventLog, ReadError, ScopeRow, Snapshot, Unit};
use atomic_store_core::codec;
use atomic_store_core::{Digest, Seq, Trial, TrialDivergence, TrialReport};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Divergences that are told in full.
const FIRST_MAX: usize = 10;
/// The version of what is kept.
const VERSION: u8 = 1;

/// What one candidate said so far; see [`TrialReport`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Appends that were taken since the store was opened, whatever came of them.
    #[serde(skip)]
    taken: u64,
    compared: u64,
    same: u64,
    newly_accepted: u64,
    newly_rejected: u64,
    changed: u64,
    faults: u64,
    dropped: u64,
    dry_runs: u64,
    unjudged: u64,
    live_fuel: u64,
    fuel: u64,
    first: Vec<TrialDivergence>,
    interrupted: u64,
}

impl Counts {
    /// Counts one judgement.
    pub(super) fn book(&mut self, job: &Job, compared: Compared) {
        self.taken += 1;
        let (what, fuel, candidate) = match compared {
            // Those are put back, and not booked.
            Compared::Early | Compared::Behind => return,
            Compared::GivenUp => {
                self.dropped += 1;
                return;
            }
            Compared::Same { fuel } => {
                self.compared += 1;
                self.same += 1;
                self.burn(job, fuel);
                return;
            }
            Compared::Fault(detail) => {
                self.faults += 1;
                (None, 0, detail)
            }
            Compared::Differs { accepts, fuel, said } => (Some(accepts), fuel, said),
        };
        if let Some(accepts) = what {
            self.compared += 1;
            self.burn(job, fuel);
            match (&job.live, accepts) {
                (Live::Accepted(_) | Live::Unstored(_), false) => self.newly_rejected += 1,
                (Live::Refused(_), true) => self.newly_accepted += 1,
                _ => self.changed += 1,
            }
        }
        if self.first.len() < FIRST_MAX {
            let (scope, live) = (job.row.name.clone(), job.live.describe());
            let (after, append) = (job.after, job.append);
            self.first.push(TrialDivergence { scope, after, append, live, candidate });
        }
    }

    /// Fuel is held against fuel where both are known.
    fn burn(&mut self, job: &Job, fuel: u64) {
        if let Some(live) = job.fuel {
            self.live_fuel += live;
            self.fuel += fuel;
        }
    }

    /// The same with what the loops counted themselves since the store was opened.
    fn with(&self, tap: &Tap) -> Counts {
        let seen = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            dropped: self.dropped + seen(&tap.seen.missed),
            dry_runs: self.dry_runs + seen(&tap.seen.dry_runs),
            unjudged: self.unjudged + seen(&tap.seen.unjudged),
            ..self.clone()
        }
    }

    /// What to tell of a trial.
    pub(super) fn report(&self, trial: Trial, tap: &Tap) -> TrialReport {
        let waiting = tap.seen.left.load(Ordering::Relaxed).saturating_sub(self.taken);
        let found = self.with(tap);
        TrialReport {
            trial,
            compared: found.compared,
            same: found.same,
            newly_accepted: found.newly_accepted,
            newly_rejected: found.newly_rejected,
            changed: found.changed,
            faults: found.faults,
            dropped: found.dropped,
            waiting,
            live_fuel: found.live_fuel,
            fuel: found.fuel,
            first: found.first,
            dry_runs: found.dry_runs,
            unjudged: found.unjudged,
            interrupted: found.interrupted,
        }
    }
}

/// What the log holds of a trial.
#[derive(Serialize, Deserialize)]
struct Row {
    /// True while the store that wrote it may find out more.
    open: bool,
    counts: Counts,
}

/// What the log holds of all trials, and what of it was written last.
#[derive(Default)]
pub(super) struct Kept {
    written: HashMap<Seq, Vec<u8>>,
    /// The store closes; what was written last is to stay.
    closed: bool,
}

impl Kept {
    /// What the log has of the trials that run.
    pub(super) fn read(
        &mut self,
        log: &dyn EventLog,
        system: &ScopeRow,
        trials: impl Iterator<Item = Seq>,
    ) -> Result<HashMap<Seq, Counts>, ReadError> {
        let mut found = HashMap::new();
        for trial in trials {
            let Some((_, kept)) = log.snapshots(system.id, &rule(trial))?.into_iter().next() else {
                continue;
            };
            let row = kept.and_then(|kept| {
                let row = codec::decode_versioned::<Row>(VERSION, &kept.state);
                row.map(|row| (row, kept.state)).map_err(|why| why.to_string())
            });
            let counts = match row {
                Ok((Row { open, mut counts }, state)) => {
                    counts.interrupted += u64::from(open);
                    self.written.insert(trial, state);
                    counts
                }
                Err(why) => {
                    tracing::warn!(%trial, why, "what a candidate said is damaged; it is counted anew");
                    Counts { interrupted: 1, ..Counts::default() }
                }
            };
            found.insert(trial, counts);
        }
        Ok(found)
    }

    /// Units that keep what has changed, and remove what belongs to no trial any more. With the last
    /// time, what waits will not be compared.
    pub(super) fn units(
        &mut self,
        system: &Arc<ScopeRow>,
        trials: &[(Trial, Tap)],
        counts: &HashMap<Seq, Counts>,
        last: bool,
        now_ms: u64,
    ) -> Vec<Unit> {
        if self.closed {
            return Vec::new();
        }
        self.closed = last;
        let unit = || {
            let mut unit = Unit::bare(Arc::clone(system));
            unit.host_ms = now_ms;
            unit
        };
        let mut units = Vec::new();
        self.written.retain(|trial, _| {
            let running = trials.iter().any(|(_, tap)| tap.trial == *trial);
            if !running {
                units.push(Unit { dropped: Some(Box::new((rule(*trial), *trial))), ..unit() });
            }
            running
        });
        for (trial, tap) in trials.iter().filter(|(trial, _)| trial.share.is_none()) {
            let seq = trial.candidate.seq;
            let found = counts.get(&seq).cloned().unwrap_or_default();
            let mut all = found.with(tap);
            if last {
                let left = tap.seen.left.load(Ordering::Relaxed);
                all.dropped += left.saturating_sub(found.taken);
            }
            let Ok(state) = codec::encode_versioned(VERSION, &Row { open: !last, counts: all })
            else {
                continue;
            };
            if self.written.get(&seq) == Some(&state) {
                continue;
            }
            let (rule, hash) = (rule(seq), Digest::default());
            self.written.insert(seq, state.clone());
            let snapshot = Snapshot { rule, seq, hash, host_ms: now_ms, state };
            units.push(Unit { snapshot: Some(Box::new(snapshot)), ..unit() });
        }
        units
    }
}

/// Under which rule the counts of a trial stand.
fn rule(trial: Seq) -> Digest {
    Digest::of(format!("what the candidate of trial {trial} said").as_bytes())
}
