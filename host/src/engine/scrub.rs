//! Are the snapshots what the events say? (E40)
//!
//! A snapshot saves folding, and nobody looks at it again. So the state that comes of it and of the
//! events behind it is held against the state that comes of all events. One that differs is dropped,
//! `$system` and the log say so, and a loop that may have begun with it folds all events again.

use super::beside::Frail;
use super::handle::Engine;
use super::past::Fork;
use super::registry::Ruling;
use super::system::SystemEvent;
use crate::log::{ScopeRow, Snapshot, Unit};
use crate::validator::Validator;
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{DroppedSnapshot, Scrubbed, Seq};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Scopes looked at for one request.
const PAGE: usize = 100;
/// After so long an answer leaves, however many scopes it is about.
const PAGE_FOR: Duration = Duration::from_secs(2);
/// How often the loop of a scope is asked for, if somebody else has it.
const PARK_TRIES: u32 = 200;
/// How nice the thread in the background is: a little, as it may hold what others wait for.
const NICE: i32 = 5;

/// Proves one scope's snapshots after the other, with rests between them, until the engine is gone.
pub(super) fn run(engine: &Frail, rest: Duration) {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::warn!(%error, "snapshots are proven at the priority of everything else");
    }
    let mut after = String::new();
    while engine.rest(rest) {
        let Some(engine) = engine.get() else { return };
        after = match engine.scrub_page("", &after, 1) {
            Ok(Scrubbed { last: Some(last), .. }) => last.as_str().to_owned(),
            Ok(_) => String::new(),
            Err(why) => {
                tracing::warn!(%why, "snapshots cannot be proven");
                String::new()
            }
        };
    }
}

impl Engine {
    /// Proves the snapshots of some scopes by name, and drops what is wrong. Ask again after its last
    /// scope until there is none. Blocks while events are folded.
    ///
    /// # Errors
    /// `Damaged` or `Failed` if the scopes cannot be read or nothing can be written.
    pub fn scrub(&self, prefix: &str, after: &str) -> Result<Scrubbed, RequestError> {
        self.scrub_page(prefix, after, PAGE)
    }

    fn scrub_page(&self, prefix: &str, after: &str, most: usize) -> Result<Scrubbed, RequestError> {
        self.check_writable()?;
        let rows = self.shared.log.scopes(prefix, after, most);
        let rows = rows.map_err(|error| self.shared.read_refusal(&error))?;
        let (start, mut found) = (Instant::now(), Scrubbed::default());
        for row in rows {
            found.last = Some(row.name.clone());
            found.scopes += 1;
            self.scrub_scope(&Arc::new(row), &mut found)?;
            if start.elapsed() >= PAGE_FOR {
                break;
            }
        }
        Ok(found)
    }

    fn scrub_scope(&self, row: &Arc<ScopeRow>, found: &mut Scrubbed) -> Result<(), RequestError> {
        let shared = &self.shared;
        if row.name.is_reserved() || shared.sealed.why(&row.name).is_some() {
            found.skipped += u64::from(!row.name.is_reserved());
            return Ok(());
        }
        let ruling = match shared.registry.ruling(&row.name) {
            Ok(ruling) if ruling.rules.folds() => ruling,
            _ => {
                found.skipped += 1;
                return Ok(());
            }
        };
        let kept = shared.log.snapshots(row.id, &ruling.rule);
        let kept = kept.map_err(|error| shared.read_refusal(&error))?;
        let kept: Vec<_> =
            kept.into_iter().filter(|(seq, _)| row.floor.seq < *seq && *seq <= row.head).collect();
        if kept.is_empty() {
            return Ok(());
        }
        let Some(full) = self.state(row, &ruling, None)? else {
            found.skipped += 1;
            return Ok(());
        };
        for (seq, snapshot) in kept {
            let why = match &snapshot {
                Err(why) => Some(why.clone()),
                Ok(snapshot) => match self.state(row, &ruling, Some(snapshot)) {
                    Ok(Some(state)) if state == full => None,
                    Ok(_) => {
                        Some("the state that comes of it is not that of the events".to_owned())
                    }
                    Err(RequestError::Failed(why)) => Some(why),
                    Err(other) => return Err(other),
                },
            };
            match why {
                None => found.proven += 1,
                Some(why) => found.dropped.push(self.drop_snapshot(row, &ruling, seq, why)?),
            }
        }
        Ok(())
    }

    /// The state of the last event as bytes: from a snapshot, or from all events. Nothing if it cannot
    /// be had from all events, which is not about snapshots.
    fn state(
        &self,
        row: &Arc<ScopeRow>,
        ruling: &Ruling,
        from: Option<&Snapshot>,
    ) -> Result<Option<Vec<u8>>, RequestError> {
        let loaded = Fork::unready(&self.shared, Arc::clone(row), row.head).loaded;
        let started = match from {
            None => loaded.folded(row, ruling),
            Some(snapshot) => match loaded.is_at(row, snapshot) {
                Ok(true) => loaded.restored(row, ruling, snapshot),
                Ok(false) => {
                    return Err(RequestError::Failed("it is of other events".to_owned()));
                }
                Err(why) => Err(why),
            },
        };
        let mut instance: Box<dyn Validator> = match started {
            Ok((instance, ..)) => instance,
            Err(why) => return why.of_snapshot(&self.shared, from.is_some()).map(|()| None),
        };
        match instance.snapshot() {
            Ok(state) => Ok(state),
            Err(_) if from.is_none() => Ok(None),
            Err(fault) => Err(RequestError::Failed(format!(
                "no state comes of it ({}): {}",
                fault.kind.word(),
                fault.detail
            ))),
        }
    }

    fn drop_snapshot(
        &self,
        row: &Arc<ScopeRow>,
        ruling: &Ruling,
        seq: Seq,
        why: String,
    ) -> Result<DroppedSnapshot, RequestError> {
        let scope = row.name.clone();
        tracing::error!(%scope, %seq, why, "a snapshot is not what the events say; it is dropped");
        let (validator, told) = (ruling.binding.validator, why.clone());
        let event =
            SystemEvent::SnapshotDropped { scope: scope.clone(), validator, seq, why: told };
        self.record(&event, None)?;
        let mut unit = Unit::bare(Arc::clone(row));
        unit.host_ms = self.shared.clock.now_ms();
        unit.dropped = Some(Box::new((ruling.rule, seq)));
        self.commit_alone(unit)?;
        self.refold(&scope);
        Ok(DroppedSnapshot { scope, seq, why })
    }

    /// Lets the loop of a scope, if it is in memory, make its instance anew.
    fn refold(&self, scope: &atomic_store_core::ScopeName) {
        for _ in 0..PARK_TRIES {
            if !self.shared.live.contains(scope) {
                return;
            }
            if let Ok(parked) = self.park(scope) {
                return parked.drop_instance();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        tracing::error!(%scope, "it may go on with the state of a dropped snapshot until a restart");
    }
}
